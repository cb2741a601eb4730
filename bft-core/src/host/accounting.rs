//! What was sent and received, by class, kind and direction, and for recent heights one by one.

use crate::engine::Class;
use crate::types::Height;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Heights kept apart.
const HEIGHTS: u64 = 64;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From this replica, counted once per recipient.
    Sent,
    /// To this replica, after verification.
    Received,
}

/// Frames of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sort {
    /// Stream.
    pub class: Class,
    /// The message's name.
    pub kind: &'static str,
    /// Which way.
    pub direction: Direction,
}

/// What frames of one sort amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames.
    pub messages: u64,
    /// Bytes of the frames, without the transport's own.
    pub bytes: u64,
    /// Signatures and certificates in them.
    pub authenticators: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.authenticators += other.authenticators;
    }
}

/// The ledger of traffic.
#[derive(Clone, Debug, Default)]
pub struct Accounting {
    totals: BTreeMap<Sort, Traffic>,
    by_height: BTreeMap<Height, BTreeMap<Sort, Traffic>>,
}

impl Accounting {
    /// Counts one frame.
    pub fn count(&mut self, sort: Sort, height: Option<Height>, traffic: Traffic) {
        *self.totals.entry(sort).or_default() += traffic;
        if let Some(height) = height {
            *self.by_height.entry(height).or_default().entry(sort).or_default() += traffic;
            while self.by_height.len() as u64 > HEIGHTS {
                self.by_height.pop_first();
            }
        }
    }

    /// Everything since the start.
    pub fn totals(&self) -> &BTreeMap<Sort, Traffic> {
        &self.totals
    }

    /// Recent heights, one by one.
    pub fn by_height(&self) -> &BTreeMap<Height, BTreeMap<Sort, Traffic>> {
        &self.by_height
    }
}
