//! What the log did, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts since the log was opened. They only grow, except the two gauges at the end; read them at any time.
#[derive(Debug, Default)]
pub struct LogCounters {
    /// Batches appended.
    pub batches: AtomicU64,
    /// Items appended.
    pub items: AtomicU64,
    /// Bytes of the items' bodies.
    pub payload_bytes: AtomicU64,
    /// Bytes of frames written, with headers and padding.
    pub appended_bytes: AtomicU64,
    /// Syncs that made at least one frame durable: the groups of group commit.
    pub groups: AtomicU64,
    /// Calls of fdatasync for frames: one a group, and one more for a group that fills a segment.
    pub fsyncs: AtomicU64,
    /// Time spent in them, in nanoseconds.
    pub fsync_nanos: AtomicU64,
    /// Other syncs: of headers, of directories, of files being prepared.
    pub other_fsyncs: AtomicU64,
    /// Segments begun for which no prepared file was there, so that the writer had to stop and write one.
    pub unprepared_rolls: AtomicU64,
    /// Gauge: segments on disk, the current one included.
    pub segments: AtomicU64,
    /// Gauge: bytes used in the current segment, its header included.
    pub segment_used_bytes: AtomicU64,
}

impl LogCounters {
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }

    pub(super) fn synced(&self, took: Duration) {
        LogCounters::add(&self.fsyncs, 1);
        LogCounters::add(&self.fsync_nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}
