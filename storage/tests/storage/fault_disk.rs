//! A file system in memory that keeps apart what was written and what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use storage::log::{Disk, SegmentFile};

const SECTOR: usize = 512;

/// A small generator, so that a failing seed replays.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From this operation on nothing happens any more; a write under way may be on disk in part.
    Crash,
    /// This operation fails. A failed sync drops what it should have written, and the next one "succeeds".
    Eio,
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// What reads see: the page cache.
    cached: Vec<u8>,
    /// What a crash cannot take.
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum DirOperation {
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced: Vec<DirOperation>,
    next_file: u64,
    nonces: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    /// Bytes that all files together may have.
    capacity: Option<usize>,
}

#[derive(Clone, Default)]
pub struct FaultDisk(Arc<Mutex<State>>);

impl fmt::Debug for FaultDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultDisk")
    }
}

impl FaultDisk {
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    pub fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// An independent disk with the same content, cached and durable, and no fault.
    pub fn copy(&self) -> FaultDisk {
        let mut state = self.0.lock().clone();
        state.fault = None;
        FaultDisk(Arc::new(Mutex::new(state)))
    }

    /// Operations that change something, so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Lets operation number `at` (counted from 0) fail.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        self.0.lock().fault = Some((at, fault));
    }

    pub fn limit(&self, capacity: Option<usize>) {
        self.0.lock().capacity = capacity;
    }

    pub fn used(&self) -> usize {
        self.0.lock().used()
    }

    /// What a machine finds that comes back after a power failure: of everything not synced, the dice decide.
    pub fn crash(&self, dice: &mut Dice) -> FaultDisk {
        let old = self.0.lock();
        let mut new = State { next_file: old.next_file, nonces: old.nonces, ..State::default() };
        new.names = old.durable_names.clone();
        // No order holds between what was not synced.
        for operation in &old.unsynced {
            if dice.roll(2) == 0 {
                apply(&mut new.names, operation);
            }
        }
        new.durable_names = new.names.clone();
        for (id, content) in &old.files {
            let disk = content.after_crash(dice);
            let content = Content { cached: disk.clone(), durable: disk, dirty: BTreeSet::new() };
            new.files.insert(*id, content);
        }
        FaultDisk(Arc::new(Mutex::new(new)))
    }

    pub fn list_all(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        state.files[&state.names[path]].cached.clone()
    }

    /// Changes a file behind the program's back, durably: rot, or a write that went astray.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let id = state.names[path];
        let content = state.files.get_mut(&id).expect("named files exist");
        change(&mut content.cached);
        content.durable = content.cached.clone();
        content.dirty.clear();
    }

    pub fn delete(&self, path: &Path) {
        let mut state = self.0.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, operation: &DirOperation) {
    match operation {
        DirOperation::Create(path, id) => {
            names.insert(path.clone(), *id);
        }
        DirOperation::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        DirOperation::Remove(path) => {
            names.remove(path);
        }
    }
}

fn crashed() -> io::Error {
    io::Error::other("the machine has crashed")
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
    }

    fn sync(&mut self) {
        self.durable.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..self.cached.len().min((sector + 1) * SECTOR);
            self.durable[range.clone()].copy_from_slice(&self.cached[range]);
        }
    }

    /// Each unsynced sector is old, new, or new up to some byte; the length is anything between.
    fn after_crash(&self, dice: &mut Dice) -> Vec<u8> {
        let mut disk = self.durable.clone();
        let grown = self.cached.len().saturating_sub(disk.len()) as u64;
        disk.resize(disk.len() + dice.roll(grown + 1) as usize, 0);
        for sector in &self.dirty {
            let start = sector * SECTOR;
            let end = disk.len().min((sector + 1) * SECTOR);
            if start >= end {
                continue;
            }
            let keep = match dice.roll(5) {
                0 | 1 => 0,
                2 | 3 => end - start,
                _ => dice.roll((end - start) as u64) as usize,
            };
            disk[start..start + keep].copy_from_slice(&self.cached[start..start + keep]);
        }
        disk
    }
}

impl State {
    /// Counts an operation; the fault that meets it, if any.
    fn begin(&mut self) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::Crash)) if number >= at => Some(Fault::Crash),
            Some((at, Fault::Eio)) if number == at => Some(Fault::Eio),
            _ => None,
        }
    }

    /// Whether the crash was before this operation, so that nothing of it happens.
    fn over(&self) -> bool {
        matches!(self.fault, Some((at, Fault::Crash)) if self.operations > at + 1)
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[id].cached.len()).sum()
    }

    fn change_dir(&mut self, operation: DirOperation) -> io::Result<()> {
        match self.begin() {
            Some(Fault::Eio) => return Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Crash) if self.over() => return Err(crashed()),
            Some(Fault::Crash) => {
                self.unsynced.push(operation);
                return Err(crashed());
            }
            None => {}
        }
        apply(&mut self.names, &operation);
        self.unsynced.push(operation);
        Ok(())
    }
}

impl Disk for FaultDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.0.lock();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Content::default());
        state.change_dir(DirOperation::Create(path.to_path_buf(), id))?;
        Ok(Arc::new(FaultFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let state = self.0.lock();
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().change_dir(DirOperation::Rename(from.to_path_buf(), to.to_path_buf()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change_dir(DirOperation::Remove(path.to_path_buf()))
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        match state.begin() {
            Some(Fault::Eio) => return Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Crash) => return Err(crashed()),
            None => {}
        }
        state.unsynced.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn nonce(&self) -> io::Result<u64> {
        let mut state = self.0.lock();
        state.nonces += 1;
        Ok(Dice(state.nonces).roll(u64::MAX))
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    id: u64,
}

impl SegmentFile for FaultFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let fault = state.begin();
        let over = state.over();
        let room = state.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(state.used()));
        let content = state.files.get_mut(&self.id).expect("open files exist");
        match fault {
            Some(Fault::Eio) => return Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Crash) if over => return Err(crashed()),
            _ => {}
        }
        // A full disk takes what fits and refuses the rest: threat 77 is about the half that was taken.
        let grown = (offset as usize + bytes.len()).saturating_sub(content.cached.len());
        let taken = bytes.len() - grown.saturating_sub(room).min(bytes.len());
        content.write(&bytes[..taken], offset as usize);
        if fault.is_some() {
            return Err(crashed());
        }
        if taken < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        let cached = &state.files[&self.id].cached;
        let from = (offset as usize).min(cached.len());
        let len = bytes.len().min(cached.len() - from);
        bytes[..len].copy_from_slice(&cached[from..from + len]);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let fault = state.begin();
        let content = state.files.get_mut(&self.id).expect("open files exist");
        match fault {
            // The lesson of fsyncgate: the error is told once, the pages count as clean, and reads still show them.
            Some(Fault::Eio) => {
                content.dirty.clear();
                Err(io::Error::from_raw_os_error(5))
            }
            Some(Fault::Crash) => Err(crashed()),
            None => {
                content.sync();
                Ok(())
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files[&self.id].cached.len() as u64)
    }
}
