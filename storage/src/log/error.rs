//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::Defect;

/// Why the log refused or stopped. Cloned, because a log that has stopped gives its first error to every caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused an operation.
    #[error(
        "cannot {operation} {path}: {source}. The log has stopped; mend the cause (permissions, disk, mount), \
         then restart the replica"
    )]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The answer.
        source: Arc<io::Error>,
    },
    /// An fsync failed. It is never tried again: the kernel may have dropped the data and call the next one a success.
    #[error(
        "cannot make {path} durable: {source}. After a failed fsync the kernel's word about this file is worthless, \
         so the log has stopped and does not try again; check the disk (dmesg, smartctl), then restart the replica"
    )]
    SyncFailed {
        /// The file or directory.
        path: PathBuf,
        /// The answer.
        source: Arc<io::Error>,
    },
    /// The file system is full, or the quota used up.
    #[error(
        "no space left for {path}: {source}. Nothing that was reported durable is lost: free space on that file \
         system, then restart the replica"
    )]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
        /// The answer.
        source: Arc<io::Error>,
    },
    /// Something that was durable no longer verifies.
    #[error(
        "{path} is damaged at byte {offset}, in what was durable (frame {frame}): {defect}. Do not truncate or delete \
         this file: promises of this replica may be in it, and without them it could contradict itself. Check the \
         disk, then move the whole data directory away and start again: the replica comes back as a learner and \
         does not vote until it has caught up"
    )]
    Rot {
        /// The segment file.
        path: PathBuf,
        /// Where in it the damage begins.
        offset: u64,
        /// Number of the frame expected there; 0 for the header of the segment.
        frame: u64,
        /// What was found against what was expected.
        defect: Defect,
    },
    /// A segment between two others, or the way from one to the next, is missing.
    #[error(
        "segment {expected} is missing: expected {path}. Put the file back; if it is lost, move the whole data \
         directory away and start again: the replica comes back as a learner and does not vote until it has caught up"
    )]
    MissingSegment {
        /// Number of the missing segment.
        expected: u64,
        /// Where it should be.
        path: PathBuf,
    },
    /// The log belongs to another network.
    #[error(
        "{path} belongs to the network {}, this replica to {}. Start the replica with the genesis file or the data \
         directory that fits", hex(.found), hex(.expected)
    )]
    ForeignChain {
        /// The segment file.
        path: PathBuf,
        /// The network in it.
        found: [u8; 32],
        /// The network of this replica.
        expected: [u8; 32],
    },
    /// The log was written by a program newer than this.
    #[error(
        "{path} has format version {found}, this program reads up to {supported}. Start a newer version of it"
    )]
    Version {
        /// The segment file.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// A body exceeds `max_body_bytes`.
    #[error(
        "a body of {bytes} bytes exceeds max_body_bytes = {limit} ({path}, byte {offset}). Raise max_body_bytes in the \
         configuration"
    )]
    BodyTooLarge {
        /// The segment file it is in, or would have gone to.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u32,
    },
    /// A batch broke the rules of [`LogBatch`](bft_core::log::LogBatch); nothing of it was written.
    #[error("batch {sequence} cannot be appended: {reason}. This is a fault in the program: report it")]
    Batch {
        /// Its sequence.
        sequence: u64,
        /// The rule it broke.
        reason: &'static str,
    },
    /// The settings contradict themselves.
    #[error("the log cannot be opened with these settings: {reason}. Change the configuration")]
    Config {
        /// Which, and what would do.
        reason: String,
    },
    /// The thread that writes the log could not be started, or panicked.
    #[error("the log's writer thread failed: {reason}. Restart the replica; if it happens again, report it")]
    Thread {
        /// How.
        reason: String,
    },
}

impl LogError {
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> LogError {
        let (path, source) = (path.to_path_buf(), Arc::new(source));
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::DiskFull { path, source },
            _ => LogError::Io { operation, path, source },
        }
    }

    /// For fsyncs. Delayed allocation makes even a full disk show only here; the remedy is then the same as for a
    /// full disk, and the log stops either way.
    pub(super) fn sync(path: &Path, source: io::Error) -> LogError {
        let (path, source) = (path.to_path_buf(), Arc::new(source));
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::DiskFull { path, source },
            _ => LogError::SyncFailed { path, source },
        }
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    crate::marker::hex(bytes)
}
