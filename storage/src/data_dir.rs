//! The directory of a replica: locked, marked with its owner, and laid out.
//!
//! ```text
//! <home>/data/LOCK          held by the process that uses the directory
//! <home>/data/marker.toml   network, replica, how the directory came to be
//! <home>/data/log/          the segment log
//! <home>/data/state.redb    the state store
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::log::{Disk, Log, LogConfig, LogError, LogReader, RealDisk};
use crate::marker::{Marker, Origin};

/// Why a data directory cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DataDirError {
    /// The operating system refused an operation.
    #[error(
        "cannot {operation} {path}: {source}. Check that the path is right and that this user may write there"
    )]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The answer.
        source: Arc<io::Error>,
    },
    /// Another process uses the directory.
    #[error(
        "{path} is locked by another process{}. Two replicas on one directory would contradict each other: stop the \
         other one, or give this one a home of its own. The lock ends with the process; do not delete the file",
        holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it said so.
        holder: Option<u32>,
    },
    /// A directory to be initialised is in use already.
    #[error(
        "{path} exists: this home was initialised before, and making it new would let the replica vote twice. Start \
         the replica without initialising, or choose an empty home"
    )]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// There are data but no marker.
    #[error(
        "{path} is missing, but {found} exists. Put the marker back; if it is lost, move the whole data directory away \
         and start again: the replica comes back as a learner and does not vote until it has caught up"
    )]
    MarkerMissing {
        /// Where the marker should be.
        path: PathBuf,
        /// What exists without it.
        found: PathBuf,
    },
    /// The marker is damaged or was edited.
    #[error(
        "{path} cannot be read: {reason}. Put the marker back as it was; if it is lost, move the whole data directory \
         away and start again: the replica comes back as a learner and does not vote until it has caught up"
    )]
    MarkerUnreadable {
        /// The marker.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The marker was written by a program newer than this.
    #[error("{path} has version {found}, this program reads up to {supported}. Start a newer version of it")]
    MarkerVersion {
        /// The marker.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// The directory belongs to another network.
    #[error(
        "{path} says this directory belongs to the network {found}, but the replica was started for {expected}. Give \
         it the genesis file, or the home, that fits"
    )]
    ForeignChain {
        /// The marker.
        path: PathBuf,
        /// The network in it.
        found: String,
        /// The network of this replica.
        expected: String,
    },
    /// The directory belongs to another replica.
    #[error(
        "{path} says this directory belongs to replica {found}, but replica {expected} was started. Give it the key \
         file, or the home, that fits"
    )]
    ForeignReplica {
        /// The marker.
        path: PathBuf,
        /// The replica in it.
        found: u32,
        /// This replica.
        expected: u32,
    },
    /// The log was there once.
    #[error(
        "{path} has lost its log, and with it what this replica promised. Put the log back; if it is lost, move the \
         whole data directory away and start again: the replica comes back as a learner and does not vote until it \
         has caught up"
    )]
    LogMissing {
        /// The directory of the log.
        path: PathBuf,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The data directory of one replica, locked against every other process as long as this value lives.
///
/// It notices a directory that was swapped, half lost, or started twice. A complete older copy of the directory, put
/// back from a backup, looks like any other: an operator must never restore one, and a replica that is shown evidence
/// against itself must start from an empty directory instead.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    chain: [u8; 32],
    marker: Marker,
    /// Closing it gives the lock up.
    _lock: File,
}

impl DataDir {
    /// Makes `<home>/data` as new for replica number `replica` of the network `chain`: such a replica may vote from the
    /// start. Only for a replica that never ran before.
    ///
    /// # Errors
    /// [`DataDirError::Exists`] if there is one already, of whatever origin; locked; the disk refuses.
    pub fn init(home: &Path, chain: [u8; 32], replica: u32) -> Result<(), DataDirError> {
        let path = home.join("data");
        let _lock = lock(&path)?;
        let marker_path = path.join(MARKER);
        if marker_path.exists() {
            return Err(DataDirError::Exists { path: marker_path });
        }
        if let Some(found) = content(&path)? {
            return Err(DataDirError::Exists { path: found });
        }
        Marker::new(&chain, replica, Origin::New).write(&marker_path)
    }

    /// Opens `<home>/data` and locks it. Where there is nothing, a directory of origin [`Origin::Rejoining`] is made.
    ///
    /// # Errors
    /// Another process has it; it belongs to another network or replica; parts of it are missing; the disk refuses.
    pub fn open(home: &Path, chain: [u8; 32], replica: u32) -> Result<DataDir, DataDirError> {
        let path = home.join("data");
        let lock = lock(&path)?;
        let marker_path = path.join(MARKER);
        let marker = match (Marker::read(&marker_path)?, content(&path)?) {
            (Some(marker), found) => {
                marker.check(&marker_path, &chain, replica)?;
                if marker.log_begun && !holds(&path.join(LOG), "segment-")? {
                    return Err(DataDirError::LogMissing { path: path.join(LOG) });
                }
                tracing::debug!(path = %path.display(), ?found, "data directory opened");
                marker
            }
            (None, Some(found)) => return Err(DataDirError::MarkerMissing { path: marker_path, found }),
            (None, None) => {
                tracing::warn!(
                    path = %path.display(),
                    "no data directory: making one for a replica that rejoins and does not vote yet"
                );
                let marker = Marker::new(&chain, replica, Origin::Rejoining);
                marker.write(&marker_path)?;
                marker
            }
        };
        Ok(DataDir { path, chain, marker, _lock: lock })
    }

    /// Opens the log in it, for the network of this directory whatever `config` says.
    ///
    /// From the first time on the marker tells that there is a log, so that losing it does not make the directory
    /// look new: a replica must open its log this way, or by [`Log::open`] only in tests.
    ///
    /// # Errors
    /// As [`Log::open`], or the marker cannot be written.
    pub fn open_log(&mut self, config: LogConfig) -> Result<(Log, LogReader), DataDirError> {
        let opened = Log::open(&self.log_dir(), LogConfig { chain: self.chain, ..config })?;
        if !self.marker.log_begun {
            self.marker.log_begun = true;
            self.marker.write(&self.path.join(MARKER))?;
        }
        Ok(opened)
    }

    /// How the directory came to be: whether the replica may vote.
    pub fn origin(&self) -> Origin {
        self.marker.origin
    }

    /// The directory itself, `<home>/data`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log is.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the state store is.
    pub fn state_path(&self) -> PathBuf {
        self.path.join(STATE)
    }
}

const MARKER: &str = "marker.toml";
const LOG: &str = "log";
const STATE: &str = "state.redb";

/// Creates the directory if needed and takes its lock (threat 79).
fn lock(path: &Path) -> Result<File, DataDirError> {
    RealDisk.create_dir(path).map_err(|error| DataDirError::io("create", path, error))?;
    let lock_path = path.join("LOCK");
    let failed = |error| DataDirError::io("lock", &lock_path, error);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Only to tell the operator whom to stop; the lock itself does not depend on it.
            let _ = file.read_to_string(&mut text);
            return Err(DataDirError::Locked { path: lock_path, holder: text.trim().parse().ok() });
        }
        Err(error) => return Err(failed(error.into())),
    }
    let sign = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    sign(&mut file).map_err(failed)?;
    Ok(file)
}

/// Data that a replica has left in the directory, if any.
fn content(path: &Path) -> Result<Option<PathBuf>, DataDirError> {
    let state = path.join(STATE);
    if state.exists() {
        return Ok(Some(state));
    }
    let log = path.join(LOG);
    // Any file counts here: whoever lost the segments of a log may have kept a spare.
    Ok(holds(&log, "")?.then_some(log))
}

/// Whether a directory holds a file whose name begins with `prefix`.
fn holds(dir: &Path, prefix: &str) -> Result<bool, DataDirError> {
    let failed = |error| DataDirError::io("list", dir, error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        if entry.map_err(failed)?.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
