//! The durable application state: one redb file, one transaction a checkpoint.
//!
//! Tables: `state` (key → value), `receipts` (height → receipts of that height), `meta` (`version`: u32, `height`: u64,
//! both little endian; `meta`: the host's bytes; `fetched`: the height of a state that is being fetched, u64, and the host's bytes about
//! it), `fetched` (place → part of that state). redb checks its pages against checksums and rolls an unfinished
//! transaction back by itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bft_core::log::{FetchedPart, FetchedState, Height, LoadedState, StateBatch};
use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const FETCHED: TableDefinition<&[u8], &[u8]> = TableDefinition::new("fetched");

const VERSION: u32 = 1;

/// Why the state store refused or stopped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateStoreError {
    /// The operating system refused an operation.
    #[error(
        "cannot read or write the state store {path}: {source}. Mend the cause (permissions, disk, mount), then \
         restart the replica"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The answer.
        source: Arc<io::Error>,
    },
    /// The file system is full, or the quota used up.
    #[error(
        "no space left for the state store {path}: {source}. The state of the last checkpoint is intact: free space \
         on that file system, then restart the replica"
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The answer.
        source: Arc<io::Error>,
    },
    /// Another process, or another handle of this one, has the file open.
    #[error("the state store {path} is open already. Stop the other process that uses it")]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The content no longer verifies.
    #[error(
        "the state store {path} is damaged: {reason}. Check the disk, then move the file away and restart: the replica \
         fetches the state again from the others. The log beside it must stay"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was written by a program newer than this.
    #[error(
        "the state store {path} has version {found}, this program reads up to {supported}. Start a newer version of it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// A batch of a height below the stored one: nothing of it was written.
    #[error(
        "the state store {path} holds the state of height {stored} and was given that of height {given}. This is a \
         fault in the program: report it"
    )]
    HeightGoesBack {
        /// The file.
        path: PathBuf,
        /// Height in the store.
        stored: Height,
        /// Height of the batch.
        given: Height,
    },
    /// redb refused for a reason of its own.
    #[error("the state store {path} failed: {source}. Restart the replica; if it happens again, report it")]
    Store {
        /// The file.
        path: PathBuf,
        /// The answer.
        source: Arc<redb::Error>,
    },
    /// The thread that writes the store could not be started, or panicked.
    #[error(
        "the state store's writer thread failed: {reason}. Restart the replica; if it happens again, report it"
    )]
    Thread {
        /// How.
        reason: String,
    },
}

/// The state of the last checkpoint, on disk.
#[derive(Debug)]
pub struct StateStore {
    database: Database,
    path: PathBuf,
}

impl StateStore {
    /// Opens the store at `path`, or creates an empty one. Reads every page to check it: about a second per gigabyte.
    ///
    /// # Errors
    /// The file is open elsewhere, damaged, of a newer version, or the disk refuses.
    pub fn open(path: &Path) -> Result<StateStore, StateStoreError> {
        let failed = |error: redb::Error| classify(path, error);
        let database = open_checked(path)?;
        sync_parent(path).map_err(|e| failed(redb::Error::Io(e)))?;
        let store = StateStore { database, path: path.to_path_buf() };
        store.prepare()?;
        Ok(store)
    }

    /// Everything in the store; none before the first [`commit`](Self::commit).
    ///
    /// # Errors
    /// The disk refuses, or the content makes no sense.
    pub fn load(&self) -> Result<Option<LoadedState>, StateStoreError> {
        let Some(height) = self.height().map_err(|e| self.failed(e))? else { return Ok(None) };
        self.read_all(height).map(Some).map_err(|e| self.failed(e))
    }

    /// Writes one batch in one transaction, durable when this returns.
    ///
    /// Must not be called before the log is durable through the batch's `log_sequence`: the state would be ahead of
    /// the log, which could then not explain it.
    ///
    /// # Errors
    /// The batch is below the stored height, or the disk refuses: then nothing of it is in the store after the next
    /// open, and the store takes no more.
    pub fn commit(&self, batch: &StateBatch) -> Result<(), StateStoreError> {
        let stored = self.height().map_err(|e| self.failed(e))?;
        if let Some(stored) = stored
            && batch.height < stored
        {
            return Err(StateStoreError::HeightGoesBack {
                path: self.path.clone(),
                stored,
                given: batch.height,
            });
        }
        self.write(batch).map_err(|e| self.failed(e))
    }

    /// Keeps a part of a state that is being fetched, durable when this returns, in the place of any of another height.
    ///
    /// # Errors
    /// The disk refuses: then the store takes no more.
    pub fn keep_fetched(&self, part: &FetchedPart) -> Result<(), StateStoreError> {
        self.write_fetched(part).map_err(|e| self.failed(e))
    }

    /// What is kept of a state that was being fetched.
    ///
    /// # Errors
    /// The disk refuses, or the content makes no sense.
    pub fn fetched(&self) -> Result<Option<FetchedState>, StateStoreError> {
        self.read_fetched().map_err(|e| self.failed(e))
    }

    /// Writes the version into a new store, checks it in an old one.
    fn prepare(&self) -> Result<(), StateStoreError> {
        let found = self.version().map_err(|e| self.failed(e))?;
        match found {
            None | Some(VERSION) => Ok(()),
            Some(found) => {
                Err(StateStoreError::Version { path: self.path.clone(), found, supported: VERSION })
            }
        }
    }

    /// The version of the store, which is written first of all.
    fn version(&self) -> Result<Option<u32>, redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        let found = {
            // Opening a table creates it, so that readers find all of them.
            write.open_table(FETCHED)?;
            write.open_table(STATE)?;
            write.open_table(RECEIPTS)?;
            let mut meta = write.open_table(META)?;
            let found = meta.get("version")?.map(|value| number::<4>(value.value())).transpose()?;
            if found.is_none() {
                meta.insert("version", VERSION.to_le_bytes().as_slice())?;
            }
            found.map(u32::from_le_bytes)
        };
        match found {
            None => write.commit()?,
            Some(_) => write.abort()?,
        }
        Ok(found)
    }

    fn height(&self) -> Result<Option<Height>, redb::Error> {
        let meta = self.database.begin_read()?.open_table(META)?;
        let height = meta.get("height")?.map(|value| number::<8>(value.value())).transpose()?;
        Ok(height.map(u64::from_le_bytes))
    }

    fn read_all(&self, height: Height) -> Result<LoadedState, redb::Error> {
        let read = self.database.begin_read()?;
        let mut loaded = LoadedState { height, ..LoadedState::default() };
        if let Some(meta) = read.open_table(META)?.get("meta")? {
            loaded.meta = Bytes::copy_from_slice(meta.value());
        }
        for pair in read.open_table(STATE)?.iter()? {
            let (key, value) = pair?;
            loaded.pairs.push((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())));
        }
        for pair in read.open_table(RECEIPTS)?.iter()? {
            let (height, receipts) = pair?;
            loaded.receipts.push((height.value(), Bytes::copy_from_slice(receipts.value())));
        }
        Ok(loaded)
    }

    fn write(&self, batch: &StateBatch) -> Result<(), redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut state = write.open_table(STATE)?;
            let mut receipts = write.open_table(RECEIPTS)?;
            if batch.replace {
                state.retain(|_, _| false)?;
                receipts.retain(|_, _| false)?;
            }
            for (key, value) in &batch.writes {
                match value {
                    Some(value) => drop(state.insert(key.as_ref(), value.as_ref())?),
                    None => drop(state.remove(key.as_ref())?),
                }
            }
            for (height, bytes) in &batch.receipts {
                receipts.insert(height, bytes.as_ref())?;
            }
            receipts.retain_in(..batch.receipts_from, |_, _| false)?;
            let mut meta = write.open_table(META)?;
            meta.insert("height", batch.height.to_le_bytes().as_slice())?;
            meta.insert("meta", batch.meta.as_ref())?;
            let fetched =
                meta.get("fetched")?.map(|about| Ok::<_, redb::Error>(split_height(about.value())?.0));
            if fetched.transpose()?.is_some_and(|height| height <= batch.height) {
                meta.remove("fetched")?;
                write.delete_table(FETCHED)?;
                write.open_table(FETCHED)?;
            }
        }
        Ok(write.commit()?)
    }

    fn write_fetched(&self, part: &FetchedPart) -> Result<(), redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let about = [&part.height.to_le_bytes(), part.offer.as_ref()].concat();
            let mut meta = write.open_table(META)?;
            let other = meta.get("fetched")?.is_some_and(|kept| kept.value() != about);
            if other {
                write.delete_table(FETCHED)?;
            }
            meta.insert("fetched", about.as_slice())?;
            write.open_table(FETCHED)?.insert(part.place.0.as_slice(), part.stretch.as_ref())?;
        }
        Ok(write.commit()?)
    }

    fn read_fetched(&self) -> Result<Option<FetchedState>, redb::Error> {
        let read = self.database.begin_read()?;
        let meta = read.open_table(META)?;
        let Some(about) = meta.get("fetched")? else { return Ok(None) };
        let (height, offer) = split_height(about.value())?;
        let mut stretches = Vec::new();
        for pair in read.open_table(FETCHED)?.iter()? {
            stretches.push(Bytes::copy_from_slice(pair?.1.value()));
        }
        Ok(Some(FetchedState { height, offer: Bytes::copy_from_slice(offer), stretches }))
    }

    fn failed(&self, error: redb::Error) -> StateStoreError {
        classify(&self.path, error)
    }
}

/// Opens the file and verifies all its pages: redb trusts a file that was closed in order, and what a rotten page
/// does to it later is not foreseeable.
fn open_checked(path: &Path) -> Result<Database, StateStoreError> {
    let open = || -> Result<Database, redb::Error> {
        let mut database = Database::create(path)?;
        if !database.check_integrity()? {
            tracing::warn!(path = %path.display(), "the state store was repaired to the last state that verifies");
        }
        Ok(database)
    };
    // A build with debug assertions walks the pages before it verifies them, and panics at rotten ones. Nothing is
    // shared with the closure, so nothing can be left half changed.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)) {
        Ok(result) => result.map_err(|error| classify(path, error)),
        Err(_) => Err(StateStoreError::Damaged {
            path: path.to_path_buf(),
            reason: "redb panicked while it read the file".into(),
        }),
    }
}

/// A height and what follows it.
fn split_height(bytes: &[u8]) -> Result<(Height, &[u8]), redb::Error> {
    let (height, rest) = bytes.split_at_checked(8).unwrap_or_default();
    Ok((u64::from_le_bytes(number(height)?), rest))
}

fn number<const N: usize>(bytes: &[u8]) -> Result<[u8; N], redb::Error> {
    bytes
        .try_into()
        .map_err(|_| redb::Error::Corrupted(format!("a number of {} bytes instead of {N}", bytes.len())))
}

/// The file itself is synced by its commits; its name is not.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}

fn classify(path: &Path, error: redb::Error) -> StateStoreError {
    let path = path.to_path_buf();
    match error {
        redb::Error::Io(source)
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
        {
            StateStoreError::DiskFull { path, source: Arc::new(source) }
        }
        // What redb says of a file that does not begin like one of its own.
        redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            StateStoreError::Damaged { path, reason: source.to_string() }
        }
        redb::Error::Io(source) => StateStoreError::Io { path, source: Arc::new(source) },
        redb::Error::Corrupted(reason) => StateStoreError::Damaged { path, reason },
        redb::Error::DatabaseAlreadyOpen => StateStoreError::AlreadyOpen { path },
        source => StateStoreError::Store { path, source: Arc::new(source) },
    }
}

#[cfg(test)]
mod tests;
