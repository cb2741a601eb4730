//! A file system in memory that keeps apart what was written and what is durable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Dice;
use super::content::Content;
use super::state::{OldSector, State, apply};
use crate::log::Disk;

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
    pub(super) fn name(self) -> &'static str {
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
        state.dice = Dice::new(seed);
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
        let mut dice = Dice::new(seed);
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
