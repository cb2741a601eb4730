//! Pauses between attempts to reach a peer.

use std::time::Duration;

/// Doubles from `first` to `cap`; every pause is drawn between half of the present step and the whole of it, so that
/// replicas that lost each other together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    step: Duration,
}

impl Backoff {
    pub fn new(first: Duration, cap: Duration) -> Backoff {
        Backoff { first, cap, step: first }
    }

    /// The next pause. `random` is any number, all equally likely.
    pub fn pause(&mut self, random: u32) -> Duration {
        let half = self.step / 2;
        let pause = half + half.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.step = (self.step * 2).min(self.cap);
        pause
    }

    /// Begins again with the first step.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_within_the_jitter_and_starts_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(2000));
        let longest: Vec<Duration> = (0..8).map(|_| backoff.pause(u32::MAX)).collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1600, 2000, 2000].map(ms));
        assert_eq!(backoff.pause(0), ms(1000));
        backoff.reset();
        assert_eq!(backoff.pause(0), ms(25));
    }
}
