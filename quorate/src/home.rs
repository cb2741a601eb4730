//! A replica's home directory and the files in it.
//!
//! ```text
//! HOME/genesis.json    what the members agreed on, the same everywhere
//! HOME/replica.toml    which replica this is, and its own choices
//! HOME/identity.key    its Ed25519 key (mode 0600)
//! HOME/threshold.key   its share of the group's key, for the threshold scheme (mode 0600)
//! HOME/data/           log, state, lock
//! HOME/evidence/       lies of others that the replica can prove, a file each
//! ```

use bft_core::genesis::{Genesis, GenesisError};
use bft_core::host::LocalLimits;
use net::TransportOptions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Not readable or writable.
    #[error("{path}: {error}; {remedy}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Not in the format.
    #[error(
        "{path} cannot be read: {why}; it is half-written or edited, take it again from where it was made"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A genesis that cannot start a network.
    #[error("{path}: {error}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        error: GenesisError,
    },
}

impl Home {
    /// The home at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Home {
        Home(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the members agreed on.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// The replica's own choices.
    pub fn config(&self) -> PathBuf {
        self.0.join("replica.toml")
    }

    /// Its Ed25519 key.
    pub fn identity_key(&self) -> PathBuf {
        self.0.join("identity.key")
    }

    /// Lies of others that the replica can prove.
    pub fn evidence(&self) -> PathBuf {
        self.0.join("evidence")
    }

    /// Its share of the group's key.
    pub fn threshold_key(&self) -> PathBuf {
        self.0.join("threshold.key")
    }
}

/// A replica's own choices. Everything but `replica` has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// Its place in the genesis, from 0.
    pub replica: u16,
    /// Where it listens; its address in the genesis if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Bytes of pooled transactions.
    #[serde(default = "default_pool_bytes")]
    pub pool_bytes: usize,
    /// Bytes of a log segment.
    #[serde(default = "default_segment_bytes")]
    pub segment_bytes: u64,
    /// The state goes to disk at the first checkpoint this many heights after the last time.
    #[serde(default = "default_flush_heights")]
    pub flush_heights: u64,
    /// Blocks this far below the stable height are kept, for replicas that catch up and for whoever wants the history. A number
    /// that no height reaches keeps all.
    #[serde(default = "default_retain_blocks")]
    pub retain_blocks: u64,
    /// After an absence, fetch every block that others still have, even where the state would be less to fetch: for a replica
    /// that keeps the history.
    #[serde(default)]
    pub fetch_all_blocks: bool,
    /// The largest UDP payload that is tried on a path, in bytes ([`net::TransportOptions::mtu_upper_bound`]): where packets of
    /// 9000 bytes pass, 8952.
    #[serde(default = "default_mtu_upper_bound")]
    pub mtu_upper_bound: u16,
    /// Where this replica reaches others, by their number, instead of at their addresses in the genesis. Who they are
    /// does not change: their keys are those of the genesis. A table, so it comes last in the file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<u16, String>,
}

fn default_pool_bytes() -> usize {
    LocalLimits::default().pool_bytes
}

fn default_segment_bytes() -> u64 {
    64 << 20
}

fn default_flush_heights() -> u64 {
    LocalLimits::default().flush_heights
}

fn default_retain_blocks() -> u64 {
    LocalLimits::default().retain_blocks
}

fn default_mtu_upper_bound() -> u16 {
    TransportOptions::default().mtu_upper_bound
}

impl ReplicaConfig {
    /// Defaults for a replica.
    pub fn new(replica: u16) -> ReplicaConfig {
        ReplicaConfig {
            replica,
            listen: None,
            pool_bytes: default_pool_bytes(),
            segment_bytes: default_segment_bytes(),
            flush_heights: default_flush_heights(),
            retain_blocks: default_retain_blocks(),
            fetch_all_blocks: false,
            mtu_upper_bound: default_mtu_upper_bound(),
            peers: BTreeMap::new(),
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// If it is not readable or not one.
    pub fn read(path: &Path) -> Result<ReplicaConfig, HomeError> {
        toml::from_str(&read(path)?).map_err(|error| malformed(path, &error))
    }

    /// Writes it, commented.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), HomeError> {
        let text = toml::to_string(self).map_err(|error| malformed(path, &error))?;
        write(path, &format!("# A replica's own choices; see `quorate start --help`.\n{text}"))
    }
}

/// Reads and validates a genesis file.
///
/// # Errors
/// If it is not readable, not one, or cannot start a network.
pub fn read_genesis(path: &Path) -> Result<Genesis, HomeError> {
    let genesis: Genesis = serde_json::from_str(&read(path)?).map_err(|error| malformed(path, &error))?;
    genesis.validate().map_err(|error| HomeError::Genesis { path: path.to_owned(), error })?;
    Ok(genesis)
}

/// Writes a genesis file.
///
/// # Errors
/// If the file cannot be written.
pub fn write_genesis(path: &Path, genesis: &Genesis) -> Result<(), HomeError> {
    let text = serde_json::to_string_pretty(genesis).map_err(|error| malformed(path, &error))?;
    write(path, &format!("{text}\n"))
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> HomeError {
    HomeError::Format { path: path.to_owned(), why: error.to_string() }
}

fn read(path: &Path) -> Result<String, HomeError> {
    let remedy = "give the path of a file made by `quorate genesis` or `quorate init`";
    std::fs::read_to_string(path).map_err(|error| HomeError::Io { path: path.to_owned(), error, remedy })
}

fn write(path: &Path, text: &str) -> Result<(), HomeError> {
    let remedy = "check that the directory exists and is writable";
    std::fs::write(path, text).map_err(|error| HomeError::Io { path: path.to_owned(), error, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replica.toml");
        let plain = ReplicaConfig::new(2);
        let peers = BTreeMap::from([(0, "10.0.0.1:7000".to_owned()), (3, "north.example:7000".to_owned())]);
        for config in
            [ReplicaConfig { peers, retain_blocks: 9, fetch_all_blocks: true, ..plain.clone() }, plain]
        {
            config.write(&path).unwrap();
            assert_eq!(ReplicaConfig::read(&path).unwrap(), config);
        }
        assert!(!read(&path).unwrap().contains("peers"));
    }
}
