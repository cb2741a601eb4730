//! What a client counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the client was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Replies that do not decode, do not verify, or are about something else than was asked.
    pub lies: u64,
    /// Replicas left for the next one.
    pub fail_overs: u64,
    /// Requests sent again because a replica asked for patience.
    pub retries: u64,
    /// Transactions given up with an unknown outcome.
    pub unknown: u64,
    /// Certificates verified, not counting those known already.
    pub certificates: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub lies: AtomicU64,
    pub fail_overs: AtomicU64,
    pub retries: AtomicU64,
    pub unknown: AtomicU64,
    pub certificates: AtomicU64,
}

impl Counters {
    pub fn read(&self) -> ClientStats {
        ClientStats {
            lies: self.lies.load(Relaxed),
            fail_overs: self.fail_overs.load(Relaxed),
            retries: self.retries.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            certificates: self.certificates.load(Relaxed),
        }
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
