//! States that are being fetched: what of them is kept, and replicas that crash in the middle of it.

use crate::fault::Fault;
use crate::world::{Action, World};
use bft_core::log::FetchedPart;
use bft_core::types::ReplicaId;
use std::time::Duration;

/// Crashes of a run in the middle of a transfer, at most.
const MOST_CRASHES: u64 = 12;

/// Crashes replicas while they fetch state.
#[derive(Clone, Copy, Debug)]
pub struct Interruption {
    /// After so many parts.
    pub every: u64,
    parts: u64,
}

impl Interruption {
    /// After every so many parts.
    pub fn new(every: u64) -> Interruption {
        Interruption { every, parts: 0 }
    }
}

impl World {
    /// A replica has a part of a state, and wants it kept.
    pub(crate) fn fetched(&mut self, replica: ReplicaId, part: FetchedPart) {
        let node = &self.replicas[replica.index()];
        let (life, again) = (node.life, node.drive.account.holds(&part));
        if again {
            self.count("parts of a state fetched twice");
        }
        let delay = self.random.span(Duration::from_micros(100), Duration::from_millis(2));
        self.at(delay, Action::Kept { replica, life, part: Box::new(part) });
        let Some(Interruption { every, parts }) = &mut self.interruption else { return };
        *parts += 1;
        if parts.is_multiple_of(*every) && *parts / *every <= MOST_CRASHES {
            // Some of what came last is on disk by then, and some is not.
            let down = self.random.span(Duration::from_millis(5), Duration::from_millis(100));
            self.plan(Duration::from_millis(1), Fault::Crash(replica));
            self.plan(Duration::from_millis(1) + down, Fault::Restart(replica));
            self.count("crashes amid a transfer");
        }
    }
}
