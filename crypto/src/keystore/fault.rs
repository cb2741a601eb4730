//! What can be wrong with a key file, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::KeyKind;
use super::format::VERSION;
use crate::Digest;

/// A key file that could not be written or is refused. The text names the file, the cause and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("key file {}: {fault}{}", .path.display(), remedy(.fault, .path))]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub fault: KeyFileFault,
}

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileFault {
    /// There is a file of this name already.
    #[error("exists already and is never overwritten")]
    Exists,
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not a regular file.
    #[error("is not a regular file")]
    NotAFile,
    /// Group or others have rights to it.
    #[error("is open to other users (mode {mode:03o})")]
    Exposed {
        /// The permission bits.
        mode: u32,
    },
    /// It does not begin as a key file.
    #[error("is no key file of Quorate")]
    NotAKeyFile,
    /// It is of a version that this program does not know.
    #[error("has version {0:?}, this program knows version {VERSION}")]
    Version(String),
    /// Its last line is missing: it was half-written or cut off.
    #[error("is cut off: its last line, \"end\", is missing")]
    Truncated,
    /// A line is not what must stand there.
    #[error("is damaged in line {line}, where {expected} is expected")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The secret has another public key than the file says.
    #[error("is damaged: the public key in it does not belong to the secret")]
    Mismatch,
    /// The key is for something else.
    #[error("holds a {have} key, where a {need} key is needed")]
    Kind {
        /// The kind in the file.
        have: KeyKind,
        /// The kind asked for.
        need: KeyKind,
    },
    /// The share is of another epoch.
    #[error("holds a share of epoch {have}, where one of epoch {need} is needed")]
    Epoch {
        /// The epoch in the file.
        have: u64,
        /// The epoch asked for.
        need: u64,
    },
    /// The share is not of this group.
    #[error("holds a share that is not this replica's in the group {need}: it says group {have}")]
    Group {
        /// The group in the file.
        have: Digest,
        /// The group asked for.
        need: Digest,
    },
}

/// What to do about it, as the end of the message.
fn remedy(fault: &KeyFileFault, path: &Path) -> String {
    let text = match fault {
        KeyFileFault::Exists => "choose another name, or move the old file away",
        KeyFileFault::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "check the path in the configuration, or make a key"
        }
        KeyFileFault::Io(_) => "check the path, the owner and the disk",
        KeyFileFault::NotAFile | KeyFileFault::NotAKeyFile => "check the path in the configuration",
        KeyFileFault::Exposed { .. } => {
            return format!(
                "; if nobody else may have read it, run \"chmod 600 {0}\", else replace the key",
                path.display()
            );
        }
        KeyFileFault::Version(_) => "use the program that wrote it, or upgrade this one",
        KeyFileFault::Truncated | KeyFileFault::Malformed { .. } | KeyFileFault::Mismatch => {
            "restore it from a backup, or remove it and make a new key"
        }
        KeyFileFault::Kind { .. } => "check which path in the configuration belongs to which key",
        KeyFileFault::Epoch { .. } | KeyFileFault::Group { .. } => {
            "use the file that the key generation of this network and epoch wrote"
        }
    };
    format!("; {text}")
}
