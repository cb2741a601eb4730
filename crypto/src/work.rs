//! What cryptography for quorums was done, for accounting. It changes no result.
//!
//! Counted for each thread, where the operations are done, so that whoever measures a piece of work takes the difference of two
//! looks around it and nobody else's work is in it.

use std::cell::Cell;
use std::ops::{AddAssign, Sub};

/// Operations so far. Signatures of clients are not among them: whoever checks those counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Signatures and shares made: under a threshold scheme a replica makes two for each promise, a share and its own signature.
    pub signed: u64,
    /// Signatures and certificates verified: a threshold signature counts as one, a list as many as it has, words under an
    /// aggregate one each.
    pub verified: u64,
    /// Pairings evaluated: two for a signature, one more than there are words for an aggregate.
    pub pairings: u64,
}

impl Work {
    /// All of this thread so far.
    pub fn of_this_thread() -> Work {
        DONE.get()
    }
}

impl Sub for Work {
    type Output = Work;

    fn sub(self, earlier: Work) -> Work {
        Work {
            signed: self.signed - earlier.signed,
            verified: self.verified - earlier.verified,
            pairings: self.pairings - earlier.pairings,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, more: Work) {
        self.signed += more.signed;
        self.verified += more.verified;
        self.pairings += more.pairings;
    }
}

thread_local! {
    static DONE: Cell<Work> = const { Cell::new(Work { signed: 0, verified: 0, pairings: 0 }) };
}

fn add(more: Work) {
    let mut done = DONE.get();
    done += more;
    DONE.set(done);
}

pub(crate) fn signed() {
    add(Work { signed: 1, ..Work::default() });
}

pub(crate) fn verified(authenticators: usize) {
    add(Work { verified: authenticators as u64, ..Work::default() });
}

pub(crate) fn paired(pairings: usize) {
    add(Work { pairings: pairings as u64, ..Work::default() });
}
