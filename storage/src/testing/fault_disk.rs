//! A file system in memory that keeps apart what was written and what is durable.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Dice;
use super::content::Content;
use crate::log::Disk;

/// How many replaced sectors are remembered for stale reads.
const REMEMBERED: usize = 64;

/// What happens at an operation that a test chooses by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From this operation on nothing happens any more; a write under way may be on disk in part.
    Crash,
    /// This operation fails. A failed sync drops what it should have written, and the next one "succeeds".
    Eio,
}

/// What a disk does wrong at the next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ailment {
    /// A write fails.
    WriteError,
    /// A sync fails, and forgets what it should have written.
    SyncError,
    /// A read fails.
    ReadError,
    /// A sync succeeds, and one of its sectors never arrives. Reads show it until the next crash.
    LostWrite,
    /// A sync succeeds, and one of its sectors lands on another one, perhaps of another file.
    MisdirectedWrite,
    /// After the next crash the first read of a sector shows what it held before.
    StaleRead,
}

impl Ailment {
    /// How it is counted.
    fn name(self) -> &'static str {
        match self {
            Ailment::WriteError => "disk: writes that failed",
            Ailment::SyncError => "disk: syncs that failed",
            Ailment::ReadError => "disk: reads that failed",
            Ailment::LostWrite => "disk: writes lost",
            Ailment::MisdirectedWrite => "disk: writes misdirected",
            Ailment::StaleRead => "disk: stale reads",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum DirOperation {
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// A sector as it was: file, number, bytes.
type OldSector = (u64, usize, Vec<u8>);

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub files: BTreeMap<u64, Content>,
    pub names: BTreeMap<PathBuf, u64>,
    pub durable_names: BTreeMap<PathBuf, u64>,
    pub unsynced: Vec<DirOperation>,
    pub next_file: u64,
    pub nonces: u64,
    pub operations: u64,
    fault: Option<(u64, Fault)>,
    /// Bytes that all files together may have.
    pub capacity: Option<usize>,
    armed: Vec<Ailment>,
    /// Syncs succeed and write nothing.
    pub lying: bool,
    /// What sectors held before the last syncs, where a stale read is to come. At most `REMEMBERED`.
    replaced: VecDeque<OldSector>,
    /// What the next read of a sector shows.
    stale: Option<OldSector>,
    /// Decides which sector an ailment meets.
    dice: Dice,
    /// What went wrong, by kind.
    struck: BTreeMap<&'static str, u64>,
}

/// See the module's text. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultDisk(pub(super) Arc<Mutex<State>>);

impl fmt::Debug for FaultDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultDisk")
    }
}

impl FaultDisk {
    /// An empty disk without faults.
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    /// The port that a log is opened on.
    pub fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// An independent disk with the same content, cached and durable, and no fault to come at a certain operation.
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

    /// Whether the crash that was asked for has come.
    pub fn has_crashed(&self) -> bool {
        let state = self.0.lock();
        matches!(state.fault, Some((at, Fault::Crash)) if state.operations > at)
    }

    /// Bytes that all files together may have from now on.
    pub fn limit(&self, capacity: Option<usize>) {
        self.0.lock().capacity = capacity;
    }

    /// Bytes that all files together have.
    pub fn used(&self) -> usize {
        self.0.lock().used()
    }

    /// Something goes wrong at the next opportunity; `seed` chooses the sector.
    pub fn arm(&self, ailment: Ailment, seed: u64) {
        let mut state = self.0.lock();
        state.dice = Dice(seed);
        state.armed.push(ailment);
    }

    /// From now on, or no longer, syncs succeed and write nothing. When they are honest again, what they claimed is written.
    pub fn lie(&self, lying: bool) {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.lying, lying) && !lying {
            state.files.values_mut().for_each(Content::flush);
            state.unsynced.clear();
            state.durable_names = state.names.clone();
        }
    }

    /// One durable sector of a file rots: a bit flips, or all of it becomes garbage. False if there is nothing to rot.
    pub fn rot(&self, seed: u64) -> bool {
        let mut state = self.0.lock();
        let mut dice = Dice(seed);
        let Some((id, sector)) = state.any_sector(&mut dice) else { return false };
        let content = state.files.get_mut(&id).expect("it was just found");
        let mut bytes = content.cached[content.range(sector)].to_vec();
        if dice.roll(4) == 0 {
            bytes.fill_with(|| dice.roll(256) as u8);
        } else {
            let at = dice.roll(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << dice.roll(8);
        }
        content.overwrite(sector, &bytes);
        state.count("disk: sectors rotten");
        true
    }

    /// The disk is sound again, and has the room it needs. What is damaged stays so.
    pub fn mend(&self) {
        self.lie(false);
        let mut state = self.0.lock();
        state.armed.clear();
        state.replaced.clear();
        (state.stale, state.capacity) = (None, None);
    }

    /// What went wrong since this was asked last, by kind.
    pub fn take_struck(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.0.lock().struck)
    }

    /// What a machine finds that comes back after a power failure: of everything not synced, the dice decide.
    pub fn crash(&self, dice: &mut Dice) -> FaultDisk {
        let mut old = self.0.lock();
        let mut names = old.durable_names.clone();
        // No order holds between what was not synced.
        for operation in &old.unsynced {
            if dice.roll(2) == 0 {
                apply(&mut names, operation);
            }
        }
        let mut files = BTreeMap::new();
        let mut torn = false;
        for id in names.values() {
            let (bytes, lost) = old.files[id].after_crash(dice);
            files.insert(*id, Content::settled(bytes));
            torn |= lost;
        }
        if torn {
            old.count("disk: crashes that lost sectors");
        }
        if old.armed.contains(&Ailment::StaleRead) {
            let shown = old.replaced.iter().filter(|(id, sector, bytes)| {
                files.get(id).is_some_and(|content| {
                    content.durable.get(content.range(*sector)).is_some_and(|now| now != bytes)
                })
            });
            let shown: Vec<&OldSector> = shown.collect();
            let stale = dice.pick(&shown).cloned();
            if stale.is_some() {
                old.take(Ailment::StaleRead);
                old.stale = stale;
            }
        }
        let new = State {
            files,
            durable_names: names.clone(),
            names,
            next_file: old.next_file,
            nonces: old.nonces,
            capacity: old.capacity,
            armed: old.armed.clone(),
            lying: old.lying,
            stale: old.stale.clone(),
            dice: old.dice.clone(),
            struck: old.struck.clone(),
            ..State::default()
        };
        FaultDisk(Arc::new(Mutex::new(new)))
    }

    /// Every file there is.
    pub fn list_all(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// What reads of a file see.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        state.files[&state.names[path]].cached.clone()
    }

    /// Changes a file behind the program's back, durably: rot, or a write that went astray.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let id = state.names[path];
        let content = state.files.get_mut(&id).expect("named files exist");
        let mut bytes = std::mem::take(&mut content.cached);
        change(&mut bytes);
        *content = Content::settled(bytes);
    }

    /// Deletes a file behind the program's back, durably.
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

pub(super) fn crashed() -> io::Error {
    io::Error::other("the machine has crashed")
}

pub(super) fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl State {
    /// Counts an operation; the fault that meets it, if any.
    pub fn begin(&mut self) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::Crash)) if number >= at => Some(Fault::Crash),
            Some((at, Fault::Eio)) if number == at => Some(Fault::Eio),
            _ => None,
        }
    }

    /// Whether the crash was before this operation, so that nothing of it happens.
    pub fn over(&self) -> bool {
        matches!(self.fault, Some((at, Fault::Crash)) if self.operations > at + 1)
    }

    pub fn used(&self) -> usize {
        self.names.values().map(|id| self.files[id].cached.len()).sum()
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.struck.entry(kind).or_default() += 1;
    }

    /// Whether this ailment strikes now.
    pub fn strikes(&mut self, ailment: Ailment) -> bool {
        let strikes = self.take(ailment);
        if strikes {
            self.count(ailment.name());
        }
        strikes
    }

    fn take(&mut self, ailment: Ailment) -> bool {
        let at = self.armed.iter().position(|armed| *armed == ailment);
        at.map(|at| self.armed.remove(at)).is_some()
    }

    pub fn change_dir(&mut self, operation: DirOperation) -> io::Result<()> {
        match self.begin() {
            Some(Fault::Eio) => return Err(eio()),
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

    pub fn sync_dir(&mut self) -> io::Result<()> {
        match self.begin() {
            Some(Fault::Eio) => return Err(eio()),
            Some(Fault::Crash) => return Err(crashed()),
            None => {}
        }
        if self.strikes(Ailment::SyncError) {
            return Err(eio());
        }
        if !self.lying {
            self.unsynced.clear();
            self.durable_names = self.names.clone();
        }
        Ok(())
    }

    pub fn sync(&mut self, id: u64) -> io::Result<()> {
        let fault = self.begin();
        if fault == Some(Fault::Crash) {
            return Err(crashed());
        }
        let mut dirty = std::mem::take(&mut self.content(id).dirty);
        // The lesson of fsyncgate: the error is told once, the pages count as clean, and reads still show them.
        if fault == Some(Fault::Eio) || self.strikes(Ailment::SyncError) {
            return Err(eio());
        }
        if dirty.is_empty() {
            return Ok(());
        }
        if self.lying {
            self.count("disk: syncs that lied");
            self.content(id).claimed.extend(dirty);
            return Ok(());
        }
        if self.armed.contains(&Ailment::StaleRead) {
            self.remember(id, &dirty);
        }
        let sectors: Vec<usize> = dirty.iter().copied().collect();
        let chosen = self.dice.pick(&sectors).expect("not empty");
        if self.strikes(Ailment::LostWrite) {
            dirty.remove(&chosen);
        } else if self.armed.contains(&Ailment::MisdirectedWrite) {
            dirty.remove(&chosen);
            let content = self.content(id);
            let bytes = content.cached[content.range(chosen)].to_vec();
            let mut dice = self.dice.clone();
            // Without another sector there is none to hit, and the write is only lost.
            if let Some((victim, sector)) = self.any_sector(&mut dice) {
                self.strikes(Ailment::MisdirectedWrite);
                self.content(victim).overwrite(sector, &bytes);
            }
        }
        self.content(id).keep(&dirty);
        Ok(())
    }

    /// Keeps what the disk has in these sectors, before they are written.
    fn remember(&mut self, id: u64, sectors: &std::collections::BTreeSet<usize>) {
        let content = &self.files[&id];
        for sector in sectors {
            if let Some(old) = content.durable.get(content.range(*sector)) {
                self.replaced.push_back((id, *sector, old.to_vec()));
            }
        }
        let beyond = self.replaced.len().saturating_sub(REMEMBERED);
        self.replaced.drain(..beyond);
    }

    /// A read of a file: of what is cached, or once of what a sector held before.
    pub fn read(&mut self, id: u64, bytes: &mut [u8], offset: usize) -> io::Result<usize> {
        if self.strikes(Ailment::ReadError) {
            return Err(eio());
        }
        let content = &self.files[&id];
        let from = offset.min(content.cached.len());
        let len = bytes.len().min(content.cached.len() - from);
        bytes[..len].copy_from_slice(&content.cached[from..from + len]);
        let meets = |(file, sector, _): &OldSector| {
            let range = content.range(*sector);
            *file == id && range.start >= from && range.end <= from + len
        };
        if self.stale.as_ref().is_some_and(meets) {
            let (_, sector, old) = self.stale.take().expect("it was just seen");
            let range = content.range(sector);
            bytes[range.start - from..range.end - from].copy_from_slice(&old[..range.len()]);
            self.count(Ailment::StaleRead.name());
        }
        Ok(len)
    }

    pub fn content(&mut self, id: u64) -> &mut Content {
        self.files.get_mut(&id).expect("open files exist")
    }

    /// Any sector that is on disk as reads see it, and holds something.
    fn any_sector(&self, dice: &mut Dice) -> Option<(u64, usize)> {
        let sectors = self
            .names
            .values()
            .flat_map(|id| self.files[id].settled_sectors().map(move |sector| (*id, sector)));
        dice.pick(&sectors.collect::<Vec<_>>())
    }
}
