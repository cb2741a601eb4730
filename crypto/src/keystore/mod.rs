//! Key files.
//!
//! A key file is text: a head line with the version, one `name value` line a field in fixed order, and `end`,
//! without which the file is half-written. The secret is next to the public key it must match, so that a
//! damaged or edited file is noticed before it signs anything.
//!
//! ```text
//! quorate-key 1
//! kind identity
//! public 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29
//! secret 0000000000000000000000000000000000000000000000000000000000000000
//! end
//! ```
//!
//! `kind` is `identity`, `client` or `threshold`; the last has `replica`, `epoch` and `group` (the digest of
//! the group's public keys) before `public`. Files are made with mode 0600 and refused when others may read
//! them (threats 58, 97). The format is read and written by hand so that no library keeps a copy of the
//! secret: every buffer that held it is wiped.

mod fault;
mod format;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

pub use fault::{KeyFileError, KeyFileFault};

use crate::{ClientSecret, Digest, IdentitySecret, SecretShare, ThresholdPublic};

/// No key file is longer, in bytes.
const LIMIT: usize = 1024;

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// A replica's identity.
    Identity,
    /// A client's key.
    Client,
    /// A share of a threshold group's secret.
    Threshold,
}

impl KeyKind {
    fn word(self) -> &'static str {
        match self {
            KeyKind::Identity => "identity",
            KeyKind::Client => "client",
            KeyKind::Threshold => "threshold",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A share of a threshold group's secret, and the group it belongs to.
#[derive(Clone, Debug)]
pub struct ThresholdKey {
    /// The share, with its replica.
    pub share: SecretShare,
    /// The epoch whose statements it signs.
    pub epoch: u64,
    /// [`ThresholdPublic::digest`] of the group.
    pub group: Digest,
}

/// What a key file holds. `Debug` shows public keys only.
#[derive(Clone, Debug)]
pub enum KeyFile {
    /// A replica's identity.
    Identity(IdentitySecret),
    /// A client's key.
    Client(ClientSecret),
    /// A share of a threshold group's secret.
    Threshold(ThresholdKey),
}

impl KeyFile {
    /// What the key is for.
    pub fn kind(&self) -> KeyKind {
        match self {
            KeyFile::Identity(_) => KeyKind::Identity,
            KeyFile::Client(_) => KeyKind::Client,
            KeyFile::Threshold(_) => KeyKind::Threshold,
        }
    }
}

/// Writes `key` to a new file with mode 0600 and syncs the file and its directory before it returns.
///
/// # Errors
/// [`KeyFileFault::Exists`] rather than overwriting anything; [`KeyFileFault::Io`], after which the new file
/// is gone again.
pub fn write_new(path: &Path, key: &KeyFile) -> Result<(), KeyFileError> {
    create(path, &format::encode(key)).map_err(|fault| KeyFileError { path: path.to_owned(), fault })
}

/// Reads a key file with every check.
pub fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
    let key = load(path).and_then(|text| format::decode(&text));
    key.map_err(|fault| KeyFileError { path: path.to_owned(), fault })
}

/// Reads a replica's identity.
pub fn read_identity(path: &Path) -> Result<IdentitySecret, KeyFileError> {
    match read(path)? {
        KeyFile::Identity(secret) => Ok(secret),
        other => Err(wrong_kind(path, &other, KeyKind::Identity)),
    }
}

/// Reads a client's key.
pub fn read_client(path: &Path) -> Result<ClientSecret, KeyFileError> {
    match read(path)? {
        KeyFile::Client(secret) => Ok(secret),
        other => Err(wrong_kind(path, &other, KeyKind::Client)),
    }
}

/// Reads a share of the group `keys` for `epoch`: a share of another epoch or group is refused.
pub fn read_threshold(path: &Path, epoch: u64, keys: &ThresholdPublic) -> Result<SecretShare, KeyFileError> {
    let key = match read(path)? {
        KeyFile::Threshold(key) => key,
        other => return Err(wrong_kind(path, &other, KeyKind::Threshold)),
    };
    let need = keys.digest();
    let fault = if key.epoch != epoch {
        KeyFileFault::Epoch { have: key.epoch, need: epoch }
    } else if key.group != need || keys.shares().get(key.share.replica().index()) != Some(&key.share.public())
    {
        KeyFileFault::Group { have: key.group, need }
    } else {
        return Ok(key.share);
    };
    Err(KeyFileError { path: path.to_owned(), fault })
}

fn wrong_kind(path: &Path, key: &KeyFile, need: KeyKind) -> KeyFileError {
    KeyFileError { path: path.to_owned(), fault: KeyFileFault::Kind { have: key.kind(), need } }
}

fn create(path: &Path, text: &[u8]) -> Result<(), KeyFileFault> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileFault::Exists,
        _ => KeyFileFault::Io(error),
    })?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let written = file.write_all(text).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| File::open(directory)?.sync_all()) {
        // The file is ours and of no use. That it cannot be removed would not be worse news than the error
        // itself.
        let _ = std::fs::remove_file(path);
        return Err(error.into());
    }
    Ok(())
}

/// Reads the bytes of a file that only its owner has rights to. The rights are those of the open file, so
/// that no other can take its place in between.
fn load(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileFault> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(KeyFileFault::NotAFile);
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileFault::Exposed { mode });
        }
    }
    // Never grows, which would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(2 * LIMIT));
    file.take(LIMIT as u64 + 1).read_to_end(&mut text)?;
    if text.len() > LIMIT { Err(KeyFileFault::NotAKeyFile) } else { Ok(text) }
}
