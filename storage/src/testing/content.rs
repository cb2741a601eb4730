//! What one file holds, sector by sector: what reads see, and what the platter has.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Dice;

/// What a disk writes as one.
pub(super) const SECTOR: usize = 512;

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What reads see: the page cache.
    pub cached: Vec<u8>,
    /// What a crash cannot take.
    pub durable: Vec<u8>,
    /// Sectors written since the last sync.
    pub dirty: BTreeSet<usize>,
    /// Sectors that a sync reported durable and did not write: they are in a cache that a crash may take.
    pub claimed: BTreeSet<usize>,
}

impl Content {
    /// A file that holds these bytes, all durable.
    pub fn settled(bytes: Vec<u8>) -> Content {
        Content { cached: bytes.clone(), durable: bytes, ..Content::default() }
    }

    pub fn write(&mut self, bytes: &[u8], offset: usize) {
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

    /// Makes the length and these sectors durable.
    pub fn keep(&mut self, sectors: &BTreeSet<usize>) {
        self.durable.resize(self.cached.len(), 0);
        for sector in sectors {
            let range = self.range(*sector);
            self.durable[range.clone()].copy_from_slice(&self.cached[range]);
        }
    }

    /// Everything in the caches reaches the disk.
    pub fn flush(&mut self) {
        let claimed = std::mem::take(&mut self.claimed);
        self.keep(&claimed);
    }

    /// The bytes of a sector, as far as the file goes.
    pub fn range(&self, sector: usize) -> Range<usize> {
        sector * SECTOR..self.cached.len().min((sector + 1) * SECTOR)
    }

    /// Sectors that are on disk as reads see them, and hold something.
    pub fn settled_sectors(&self) -> impl Iterator<Item = usize> {
        let same = self.durable.len() == self.cached.len();
        let sectors = if same { self.durable.len().div_ceil(SECTOR) } else { 0 };
        (0..sectors).filter(|sector| {
            let range = self.range(*sector);
            !self.dirty.contains(sector)
                && !self.claimed.contains(sector)
                && self.durable[range].iter().any(|byte| *byte != 0)
        })
    }

    /// Puts bytes in the place of a sector behind everybody's back, from its start.
    pub fn overwrite(&mut self, sector: usize, bytes: &[u8]) {
        let range = self.range(sector);
        let (start, len) = (range.start, bytes.len().min(range.len()));
        self.cached[start..start + len].copy_from_slice(&bytes[..len]);
        self.durable[start..start + len].copy_from_slice(&bytes[..len]);
    }

    /// Each sector not written for certain is old, new, or new up to some byte; the length is anything between. Also whether
    /// anything was lost.
    pub fn after_crash(&self, dice: &mut Dice) -> (Vec<u8>, bool) {
        let mut disk = self.durable.clone();
        let grown = self.cached.len().saturating_sub(disk.len()) as u64;
        disk.resize(disk.len() + dice.roll(grown + 1) as usize, 0);
        for sector in self.dirty.union(&self.claimed) {
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
        let lost = disk != self.cached;
        (disk, lost)
    }
}
