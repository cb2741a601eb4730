//! The replica that requests go to.

use crate::stats::{Counters, count};
use crypto::ReplicaId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

/// One replica at a time, the same for all new requests.
#[derive(Debug)]
pub(crate) struct Route {
    at: AtomicU16,
    replicas: u16,
    counters: Arc<Counters>,
}

impl Route {
    pub fn new(first: ReplicaId, replicas: u16, counters: Arc<Counters>) -> Route {
        Route { at: AtomicU16::new(first.0), replicas, counters }
    }

    /// The replica that new requests go to.
    pub fn at(&self) -> ReplicaId {
        ReplicaId(self.at.load(SeqCst))
    }

    /// The replica after `replica`, round robin.
    pub fn after(&self, replica: ReplicaId) -> ReplicaId {
        ReplicaId((replica.0 + 1) % self.replicas)
    }

    /// Whether `moves` from replica to replica are once around, or several times.
    pub fn is_round(&self, moves: u16) -> bool {
        moves.is_multiple_of(self.replicas)
    }

    /// Moves new requests away from a replica, unless they go elsewhere already.
    pub fn leave(&self, replica: ReplicaId) {
        let next = self.after(replica);
        if self.at.compare_exchange(replica.0, next.0, SeqCst, SeqCst).is_ok() {
            count(&self.counters.fail_overs);
            tracing::debug!(%replica, %next, "failing over");
        }
    }
}
