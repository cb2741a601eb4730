//! The marker of a data directory: whose it is, and how it came to be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data_dir::DataDirError;

const VERSION: u32 = 1;

/// How a data directory came to be. It decides whether the replica may vote from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Initialised as new for this genesis: the replica has never voted elsewhere, and may vote.
    New,
    /// Created on the way, in place of a directory that was lost or never there. The replica may have voted and
    /// forgotten it: it must not vote until it has caught up beyond what it may have voted (threat 80).
    Rejoining,
}

/// The content of `marker.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marker {
    version: u32,
    /// The chain id, in hex.
    chain: String,
    pub replica: u32,
    pub origin: Origin,
    /// Set once the log exists, before anything is promised: from then on a directory without a log has lost it.
    pub log_begun: bool,
}

/// What every version of the marker has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Marker {
    pub fn new(chain: &[u8; 32], replica: u32, origin: Origin) -> Marker {
        Marker { version: VERSION, chain: hex(chain), replica, origin, log_begun: false }
    }

    /// Reads a marker; none if there is no file.
    pub fn read(path: &Path) -> Result<Option<Marker>, DataDirError> {
        let unreadable = |reason: String| DataDirError::MarkerUnreadable { path: path.to_path_buf(), reason };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(unreadable(error.to_string()));
            }
            Err(error) => return Err(DataDirError::io("read", path, error)),
        };
        let Versioned { version } = toml::from_str(&text).map_err(|e| unreadable(e.message().to_string()))?;
        if version != VERSION {
            return Err(DataDirError::MarkerVersion {
                path: path.to_path_buf(),
                found: version,
                supported: VERSION,
            });
        }
        toml::from_str(&text).map(Some).map_err(|e| unreadable(e.message().to_string()))
    }

    /// Writes the marker so that a crash leaves the old one or the new one: aside, synced, renamed, directory synced.
    pub fn write(&self, path: &Path) -> Result<(), DataDirError> {
        let aside = path.with_extension("toml.new");
        let text = toml::to_string(self).map_err(|error| DataDirError::MarkerUnreadable {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        let write = || -> io::Result<()> {
            let mut file = File::create(&aside)?;
            file.write_all(
                b"# Written by Quorate. Belongs to this directory alone: never edit or copy it.\n",
            )?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| DataDirError::io("write", path, error))
    }

    /// Refuses a directory of another network or replica.
    pub fn check(&self, path: &Path, chain: &[u8; 32], replica: u32) -> Result<(), DataDirError> {
        let expected = hex(chain);
        if self.chain != expected {
            return Err(DataDirError::ForeignChain {
                path: path.to_path_buf(),
                found: self.chain.clone(),
                expected,
            });
        }
        if self.replica != replica {
            return Err(DataDirError::ForeignReplica {
                path: path.to_path_buf(),
                found: self.replica,
                expected: replica,
            });
        }
        Ok(())
    }
}

impl DataDirError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> DataDirError {
        DataDirError::Io { operation, path: PathBuf::from(path), source: Arc::new(source) }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
