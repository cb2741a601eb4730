//! The log on a real disk.

use super::operation::{Group, Operation, Prepared};
use bft_core::log::{Height, LogBatch, LogItem, LogKind};
use bytes::Bytes;
use crypto::Digest;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use storage::{Log, LogConfig};

/// Bytes of a batch: some votes, and a block.
const SIZES: [usize; 2] = [4 << 10, 256 << 10];

/// Bytes of a segment: shorter than a replica's, so that little disk is taken.
const SEGMENT_BYTES: u64 = 16 << 20;

pub fn operations() -> Vec<Operation> {
    SIZES.map(append).into()
}

fn append(bytes: usize) -> Operation {
    Operation::new(Group::Log, format!("append-and-sync/{bytes}"), "batch", move || {
        let mut journal = Journal::begin();
        let body = Bytes::from(vec![0xb1; bytes]);
        Prepared::in_parts(1, move |stopwatch| {
            journal.make_room(bytes);
            let batch = journal.next(LogKind::Block, body.clone());
            stopwatch.time(|| journal.write(&batch));
        })
    })
    .on_the_wall()
}

/// A log in a directory of its own.
struct Journal {
    log: Log,
    sequence: u64,
    /// Bytes of bodies in this segment, about.
    used: u64,
    /// Dropped after the log.
    _directory: Directory,
}

impl Journal {
    fn begin() -> Journal {
        let directory = Directory::new();
        let config = LogConfig { segment_bytes: SEGMENT_BYTES, ..LogConfig::new([7; 32]) };
        let (log, _) = Log::open(directory.path(), config).expect("a log in a new directory");
        let mut journal = Journal { log, sequence: 0, used: 0, _directory: directory };
        journal.prepare();
        journal
    }

    fn next(&mut self, kind: LogKind, body: Bytes) -> LogBatch {
        self.sequence += 1;
        let mut digest = Digest::ZERO;
        digest.0[..8].copy_from_slice(&self.sequence.to_be_bytes());
        let item = LogItem { kind, height: self.sequence, digest, body };
        LogBatch { sequence: self.sequence, new_segment: kind == LogKind::Mark, items: vec![item] }
    }

    fn write(&mut self, batch: &LogBatch) {
        self.log.append(batch).expect("the batch keeps the rules");
        self.log.sync().expect("the disk works");
    }

    /// Begins another segment where this one is nearly full, as a host does, and lets go of the one before.
    fn make_room(&mut self, bytes: usize) {
        self.used += bytes as u64;
        if self.used < SEGMENT_BYTES / 2 {
            return;
        }
        self.used = 0;
        let mark = self.next(LogKind::Mark, Bytes::new());
        self.write(&mark);
        self.log.release(Height::MAX).expect("the disk works");
        self.prepare();
    }

    /// What a log writer does when it is idle.
    fn prepare(&mut self) {
        while self.log.prepare().expect("the disk works") {}
    }
}

/// A directory for a while.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("quorate-operations-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory among the temporary ones");
        Directory(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed stays where temporary files are.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
