//! Exactly once: which sequences of a client have executed.

use crate::codec;
use crate::mutants::Mutant;
use serde::{Deserialize, Serialize};

/// A low mark and a bitmap above it. Part of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Lowest sequence that has not executed; all below count as executed.
    low: u64,
    /// Bit i: whether `low + i` has executed. Invariant: bit 0 is clear, and the last word is not zero.
    done: Vec<u64>,
}

/// What a session says of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// May execute.
    Fresh,
    /// Executed before, or so far back that it counts as executed.
    Stale,
    /// So far ahead that accepting it would give up every sequence in between.
    TooFarAhead,
}

impl Default for Session {
    fn default() -> Session {
        Session::new()
    }
}

impl Session {
    /// Of a client that has done nothing.
    pub const fn new() -> Session {
        Session { low: 1, done: Vec::new() }
    }

    /// The session as the state holds it.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The sequence after the highest that has executed: nothing of this client's has used it.
    pub fn next(&self) -> u64 {
        let words = self.done.len() as u64;
        self.low + self.done.last().map_or(0, |word| 64 * words - u64::from(word.leading_zeros()))
    }

    /// Whether `sequence` may execute, for a window of `window` sequences.
    pub fn verdict(&self, sequence: u64, window: u32) -> Verdict {
        let Some(offset) = sequence.checked_sub(self.low) else {
            return if Mutant::SessionLowMark.is_on() { Verdict::Fresh } else { Verdict::Stale };
        };
        if self.is_done(offset) && !Mutant::SessionBitmap.is_on() {
            Verdict::Stale
        } else if offset >= 2 * u64::from(window) {
            Verdict::TooFarAhead
        } else {
            Verdict::Fresh
        }
    }

    /// Marks a fresh `sequence` as executed. Beyond the window the low mark moves up with it: what it passes over never
    /// executes.
    pub fn mark(&mut self, sequence: u64, window: u32) {
        debug_assert_eq!(self.verdict(sequence, window), Verdict::Fresh);
        if Mutant::SessionLowMark.is_on() && sequence < self.low {
            return;
        }
        let window = u64::from(window);
        if let Some(excess) = (sequence - self.low).checked_sub(window) {
            self.advance(excess + 1);
        }
        let offset = sequence - self.low;
        let (word, bit) = ((offset / 64) as usize, offset % 64);
        if self.done.len() <= word {
            self.done.resize(word + 1, 0);
        }
        self.done[word] |= 1 << bit;
        let executed = self.leading_done();
        self.advance(executed);
    }

    fn is_done(&self, offset: u64) -> bool {
        let word = usize::try_from(offset / 64).ok().and_then(|word| self.done.get(word));
        word.is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    fn leading_done(&self) -> u64 {
        let full = self.done.iter().take_while(|word| **word == u64::MAX).count();
        let partial = self.done.get(full).map_or(0, |word| word.trailing_ones());
        64 * full as u64 + u64::from(partial)
    }

    /// Moves the low mark up by `by`, then past all that has executed.
    fn advance(&mut self, by: u64) {
        self.low += by;
        let words = usize::try_from(by / 64).unwrap_or(usize::MAX).min(self.done.len());
        self.done.drain(..words);
        let shift = by % 64;
        if shift > 0 {
            for index in 0..self.done.len() {
                let carry = self.done.get(index + 1).map_or(0, |next| next << (64 - shift));
                self.done[index] = self.done[index] >> shift | carry;
            }
        }
        while self.done.last() == Some(&0) {
            self.done.pop();
        }
        let executed = self.leading_done();
        if executed > 0 {
            self.advance(executed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn sequences_execute_once_in_any_order() {
        let mut session = Session::default();
        for sequence in [3, 1, 2, 70, 4] {
            assert_eq!(session.verdict(sequence, 128), Verdict::Fresh, "{sequence}");
            session.mark(sequence, 128);
            assert_eq!(session.verdict(sequence, 128), Verdict::Stale, "{sequence}");
        }
        assert_eq!((session.low, session.next()), (5, 71));
        assert_eq!(session.verdict(0, 128), Verdict::Stale);
        assert_eq!(session.verdict(5 + 256, 128), Verdict::TooFarAhead);
        assert_eq!(session.verdict(u64::MAX, 128), Verdict::TooFarAhead);
    }

    #[test]
    fn beyond_the_window_the_low_mark_follows() {
        let mut session = Session::default();
        session.mark(200, 128);
        assert_eq!((session.low, session.next()), (73, 201));
        assert_eq!(session.verdict(72, 128), Verdict::Stale);
        assert_eq!(session.verdict(73, 128), Verdict::Fresh);
    }

    proptest! {
        // threat 88: whatever the order of arrival, no sequence executes twice.
        #[test]
        fn threat_88_no_sequence_executes_twice(sequences in proptest::collection::vec(1u64..400, 1..300)) {
            let mut session = Session::default();
            let mut executed = BTreeSet::new();
            for sequence in sequences {
                if session.verdict(sequence, 64) == Verdict::Fresh {
                    session.mark(sequence, 64);
                    prop_assert!(executed.insert(sequence), "{} executed twice", sequence);
                }
                prop_assert_eq!(session.next(), executed.last().map_or(1, |last| last + 1));
                prop_assert!(session.done.first().is_none_or(|word| word & 1 == 0));
                prop_assert!(session.done.last() != Some(&0));
                prop_assert!(session.done.len() <= 3);
                prop_assert_eq!(codec::decode::<Session>(&session.encode(), 4096).unwrap(), session.clone());
            }
        }
    }
}
