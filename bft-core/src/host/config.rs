//! What a host is made of, and what replicas choose each for themselves.

use crate::committee::Trust;
use crate::genesis::Genesis;
use crate::types::ReplicaId;
use std::sync::Arc;
use std::time::Duration;

/// What a host is made of.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// This replica.
    pub me: ReplicaId,
    /// What the members agreed on.
    pub genesis: Arc<Genesis>,
    /// The keys that follow from it.
    pub trust: Trust,
    /// Whether it may vote: not when its data directory was found empty instead of initialised as new.
    pub may_vote: bool,
    /// This replica's own choices.
    pub local: LocalLimits,
    /// Processor time that the calling thread has spent so far, to account for ([`super::Totals::spent`]) and for nothing else. Where nobody asks,
    /// [`no_clock`].
    pub spent: fn() -> Duration,
}

/// For [`HostConfig::spent`]: no time passes.
pub fn no_clock() -> Duration {
    Duration::ZERO
}

/// Choices that replicas make each for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalLimits {
    /// Bytes of pooled transactions.
    pub pool_bytes: usize,
    /// A new log segment begins after this many bytes.
    pub segment_bytes: usize,
    /// The state goes to disk at the first checkpoint this many heights after the last time.
    pub flush_heights: u64,
    /// Blocks this far below the stable height are kept for others.
    pub retain_blocks: u64,
    /// Whether it fetches all blocks that others still have, even where the state would be less to fetch.
    pub fetch_all_blocks: bool,
    /// Bytes of blocks in one answer to a replica that catches up.
    pub sync_bytes: usize,
    /// Bytes a second for each replica that catches up.
    pub sync_rate: u64,
}

impl Default for LocalLimits {
    fn default() -> LocalLimits {
        LocalLimits {
            pool_bytes: 32 << 20,
            segment_bytes: 48 << 20,
            flush_heights: 64,
            retain_blocks: 1000,
            fetch_all_blocks: false,
            sync_bytes: 2 << 20,
            sync_rate: 64 << 20,
        }
    }
}
