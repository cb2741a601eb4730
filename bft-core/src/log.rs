//! What a host writes to its disk: items of the log and batches for the state store.
//!
//! The log knows nothing of protocols: an item is a kind, the height and digest it is found by, and bytes.

use bytes::Bytes;
use crypto::Digest;

/// Position in the ledger.
pub type Height = u64;

/// What an item of the log is. The discriminant is the byte on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogKind {
    /// A durable promise of the engine, or of the host; found by nothing, replayed in order.
    Record = 1,
    /// A block, found by its digest; several may share a height.
    Block = 2,
    /// The ledger entry of an executed block, found by its height. At most one a height.
    Entry = 3,
    /// A checkpoint certificate, found by its height.
    Certificate = 4,
    /// Ends the head of a segment: the records between the segment's start and this mark are all that are in force,
    /// so that records of earlier segments no longer count.
    Mark = 5,
}

impl LogKind {
    /// The kind whose byte on disk is `byte`.
    pub fn from_byte(byte: u8) -> Option<LogKind> {
        [LogKind::Record, LogKind::Block, LogKind::Entry, LogKind::Certificate, LogKind::Mark]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One item of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogItem {
    /// What it is.
    pub kind: LogKind,
    /// The height it is about (0 where there is none).
    pub height: Height,
    /// The digest it is found by (zero where there is none).
    pub digest: Digest,
    /// Its encoding, which begins with a version.
    pub body: Bytes,
}

/// Items that belong together: they become durable in this order, and `sequence` is reported once they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// Strictly increasing; durable through `sequence` means every batch up to it is on disk.
    pub sequence: u64,
    /// Begin a new segment with this batch: every record in force, then a [`LogKind::Mark`].
    pub new_segment: bool,
    /// What to append.
    pub items: Vec<LogItem>,
}

/// One atomic step of the durable state: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateBatch {
    /// The height whose state this is. Must not be committed before the log is durable through `log_sequence`.
    pub height: Height,
    /// The log must be durable through this sequence first.
    pub log_sequence: u64,
    /// Everything there was goes: the writes are the whole state.
    pub replace: bool,
    /// Keys written since the last batch, with `None` for deleted ones; every key at most once, in key order.
    pub writes: Vec<(Bytes, Option<Bytes>)>,
    /// Receipts of the heights since the last batch.
    pub receipts: Vec<(Height, Bytes)>,
    /// Receipts below this height are forgotten.
    pub receipts_from: Height,
    /// What the host needs to start from this height (tip entry, header, certificate), versioned.
    pub meta: Bytes,
}

/// A part of a state that is being fetched, kept so that a restart need not fetch it again. It replaces what is kept of a state of
/// another height; the next [`StateBatch`] that is not below its height ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPart {
    /// The height of the state.
    pub height: Height,
    /// What the host needs to go on: the same for all parts of a state.
    pub offer: Bytes,
    /// Where the part begins.
    pub place: Digest,
    /// The part.
    pub stretch: Bytes,
}

/// What is kept of a state that was being fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchedState {
    /// The height of the state.
    pub height: Height,
    /// See [`FetchedPart`].
    pub offer: Bytes,
    /// The parts, in the order of their places.
    pub stretches: Vec<Bytes>,
}

/// What the state store held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedState {
    /// Height of the last batch.
    pub height: Height,
    /// Its `meta`.
    pub meta: Bytes,
    /// Every key with its value, in key order.
    pub pairs: Vec<(Bytes, Bytes)>,
    /// The receipts kept, by height.
    pub receipts: Vec<(Height, Bytes)>,
}
