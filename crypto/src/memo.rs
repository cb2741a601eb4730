//! Digests computed lately, for the simulator: the replicas of one world hash the same transactions, entries and nodes of the
//! state, each for itself. A digest is a function of its input, so that nobody can tell whether it was remembered.

use std::cell::RefCell;

use crate::scramble::scramble;
use crate::{Digest, Domain};

/// Inputs remembered, a power of two. Another input with the same place takes the place over.
const PLACES: usize = 1 << 10;
/// Longest input remembered, with a byte for the domain: a transaction or a ledger entry fits.
const LONGEST: usize = 256;

#[derive(Clone)]
struct Remembered {
    length: usize,
    input: [u8; LONGEST],
    digest: Digest,
}

thread_local! {
    /// Empty: this thread remembers nothing.
    static PLACED: RefCell<Vec<Remembered>> = const { RefCell::new(Vec::new()) };
}

/// From here on this thread remembers the digests that it computes. For the simulator.
pub fn remember_digests() {
    let nothing = Remembered { length: 0, input: [0; LONGEST], digest: Digest::ZERO };
    PLACED.with_borrow_mut(|placed| placed.resize(PLACES, nothing));
}

/// The digest of `parts`: as remembered, or else from `compute`.
pub(crate) fn recall(domain: Domain, parts: &[&[u8]], compute: impl Fn() -> Digest) -> Digest {
    PLACED.with_borrow_mut(|placed| {
        if placed.is_empty() {
            return compute();
        }
        let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
        if length > LONGEST {
            return compute();
        }
        let mut input = [0; LONGEST];
        input[0] = domain as u8;
        let mut at = 1;
        for part in parts {
            input[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let place = u64::from_le_bytes(scramble(&[&input[..length]])) as usize % PLACES;
        let there = &mut placed[place];
        if there.input[..there.length] != input[..length] {
            *there = Remembered { length, input, digest: compute() };
        }
        there.digest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_would_be_computed() {
        let inputs: Vec<Vec<u8>> = (0..3 * PLACES).map(|i| i.to_be_bytes().repeat(i % 40)).collect();
        let digests = || -> Vec<Digest> {
            let of = |input: &Vec<u8>| {
                let (left, right) = input.split_at(input.len() / 3);
                [Domain::Test, Domain::StateKey].map(|domain| Digest::of_parts(domain, &[left, right]))
            };
            inputs.iter().flat_map(of).collect()
        };
        let computed = digests();
        remember_digests();
        assert_eq!(digests(), computed);
        assert_eq!(digests(), computed);
    }

    #[test]
    fn the_second_time_it_is_remembered() {
        remember_digests();
        let first = recall(Domain::Test, &[b"a", b"b"], || Digest([1; 32]));
        assert_eq!(recall(Domain::Test, &[b"ab"], || Digest([2; 32])), first);
        assert_ne!(recall(Domain::StateKey, &[b"ab"], || Digest([2; 32])), first);
        assert_ne!(recall(Domain::Test, &[b"ab\0"], || Digest([2; 32])), first);
    }
}
