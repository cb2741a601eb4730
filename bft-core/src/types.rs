//! Numbers with a meaning.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};
use std::time::Duration;

pub use crate::log::Height;
pub use crypto::{Digest, FaultModel, ProtocolTag, ReplicaId};

/// One leader's period (PBFT's view, Raft's term).
pub type View = u64;

/// The period of one committee.
pub type Epoch = u64;

/// A reading of a monotonic clock, in nanoseconds since some start that only this replica knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Time passed since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall time in microseconds since the Unix epoch. What a leader claims, never what a replica acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

/// Both clocks, read at the same moment by whoever drives a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timeouts.
    pub time: Time,
    /// For the time a leader proposes.
    pub wall: Timestamp,
}
