//! Random choices that a seed decides.

use bft_core::random::SplitMix64;
use std::ops::RangeInclusive;

/// A source of choices. Equal seeds choose alike.
#[derive(Clone, Debug)]
pub struct Dice(SplitMix64);

impl Dice {
    /// Choices of `seed`, other ones for every `stream`.
    pub fn new(seed: u64, stream: u64) -> Dice {
        let mut split = SplitMix64(SplitMix64(seed).draw().wrapping_add(stream));
        Dice(SplitMix64(split.draw()))
    }

    /// One number of a range, all about equally likely.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn among(&mut self, range: RangeInclusive<u64>) -> u64 {
        assert!(!range.is_empty(), "a choice among nothing");
        let span = (range.end() - range.start()).wrapping_add(1);
        range.start() + if span == 0 { self.0.draw() } else { self.0.draw() % span }
    }

    /// From 0 up to and not including 1.
    pub fn part(&mut self) -> f64 {
        (self.0.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.part() < probability
    }

    /// One of several.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.among(0..=choices.len() as u64 - 1) as usize]
    }

    /// `count` of several, in any order.
    pub fn some<T>(&mut self, mut choices: Vec<T>, count: usize) -> Vec<T> {
        let mut some = Vec::new();
        while some.len() < count && !choices.is_empty() {
            let at = self.among(0..=choices.len() as u64 - 1) as usize;
            some.push(choices.swap_remove(at));
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_choose_alike_and_stay_in_range() {
        let all = |seed, stream| -> Vec<u64> {
            let mut dice = Dice::new(seed, stream);
            (0..200).map(|_| dice.among(3..=9)).collect()
        };
        assert_eq!(all(1, 0), all(1, 0));
        assert_ne!(all(1, 0), all(2, 0));
        assert_ne!(all(1, 0), all(1, 1));
        assert!((3..=9).all(|n| all(1, 0).contains(&n)) && all(1, 0).iter().all(|n| (3..=9).contains(n)));
        let mut dice = Dice::new(5, 0);
        assert_eq!((0..1000).filter(|_| dice.chance(0.0)).count(), 0);
        assert_eq!((0..1000).filter(|_| dice.chance(1.0)).count(), 1000);
        let mut some = dice.some(vec![1, 2, 3], 2);
        some.dedup();
        assert_eq!(some.len(), 2);
        assert_eq!(dice.some(vec![1], 5), [1]);
    }
}
