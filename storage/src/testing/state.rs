//! What a fault disk holds, and what becomes of each operation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;

use super::Dice;
use super::content::Content;
use super::fault_disk::{Ailment, Fault};

/// How many replaced sectors are remembered for stale reads.
const REMEMBERED: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum DirOperation {
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// A sector as it was: file, number, bytes.
pub(super) type OldSector = (u64, usize, Vec<u8>);

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub files: BTreeMap<u64, Content>,
    pub names: BTreeMap<PathBuf, u64>,
    pub durable_names: BTreeMap<PathBuf, u64>,
    pub unsynced: Vec<DirOperation>,
    pub next_file: u64,
    pub nonces: u64,
    pub operations: u64,
    pub fault: Option<(u64, Fault)>,
    /// Bytes that all files together may have.
    pub capacity: Option<usize>,
    pub armed: Vec<Ailment>,
    /// Syncs succeed and write nothing.
    pub lying: bool,
    /// What sectors held before the last syncs, where a stale read is to come. At most `REMEMBERED`.
    pub replaced: VecDeque<OldSector>,
    /// What the next read of a sector shows.
    pub stale: Option<OldSector>,
    /// Decides which sector an ailment meets.
    pub dice: Dice,
    /// What went wrong, by kind.
    pub struck: BTreeMap<&'static str, u64>,
}

pub(super) fn apply(names: &mut BTreeMap<PathBuf, u64>, operation: &DirOperation) {
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

    pub fn take(&mut self, ailment: Ailment) -> bool {
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
    fn remember(&mut self, id: u64, sectors: &BTreeSet<usize>) {
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
    pub fn any_sector(&self, dice: &mut Dice) -> Option<(u64, usize)> {
        let sectors = self
            .names
            .values()
            .flat_map(|id| self.files[id].settled_sectors().map(move |sector| (*id, sector)));
        dice.pick(&sectors.collect::<Vec<_>>())
    }
}
