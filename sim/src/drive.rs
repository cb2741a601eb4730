//! One replica's disk: the production log on simulated sectors, beside an account of what must be on it.
//!
//! What a start finds is what `storage`'s recovery makes of the sectors, after torn, lost and misdirected writes, rot and lies.
//! The account ([`Disk`]) shares nothing with the log: it keeps the items that were appended and which of them were reported
//! durable, so that a promise which the log lost without noticing is known here. It is the state store as well: redb has its
//! own tests, so that its batches are taken to be atomic and durable.

use crate::disk::Disk;
use crate::random::Random;
use bft_core::host::{ChainBytes, HostConfig, Recovered};
use bft_core::log::{Height, LogBatch, LogItem, StateBatch};
use bytes::Bytes;
use crypto::Digest;
use std::path::Path;
use storage::testing::{Dice, Fault, FaultDisk};
use storage::{Log, LogConfig, LogError, LogReader};

/// Where the log is on its disk.
const DIR: &str = "log";

/// Longer than any body: a view's proof of many view-changes is the longest.
const MOST_BODY_BYTES: u32 = 1 << 24;

/// See the module's text.
#[derive(Debug)]
pub struct Drive {
    pub(crate) account: Disk,
    /// What is written to.
    pub sectors: FaultDisk,
    /// Whether something was done to it that the log need not notice. From then on it may forget.
    pub sick: bool,
    /// Whether it was made to fail, and say so.
    pub failing: bool,
    config: LogConfig,
    running: Option<Running>,
}

/// The log of a running replica.
#[derive(Debug)]
struct Running {
    log: Log,
    reader: LogReader,
    /// What waits for the log's writer.
    queue: Vec<LogBatch>,
    /// What the writer has taken and is about to append and sync.
    group: Vec<LogBatch>,
    release: Option<Height>,
}

/// What a start finds.
#[derive(Debug)]
pub struct Found {
    /// For the host.
    pub recovered: Recovered,
    /// Whether all of it is there that was reported durable.
    pub whole: bool,
}

impl Drive {
    /// An empty disk for a replica.
    pub fn new(config: &HostConfig) -> Drive {
        // A third more than the host puts into a segment, for the headers, as in production.
        let segment_bytes = (config.local.segment_bytes as u64 / 3 * 4).next_multiple_of(4096).max(8192);
        let log = LogConfig::new(config.genesis.chain().0);
        Drive {
            account: Disk::default(),
            sectors: FaultDisk::new(),
            sick: false,
            failing: false,
            config: LogConfig { segment_bytes, max_body_bytes: MOST_BODY_BYTES, max_spares: 1, ..log },
            running: None,
        }
    }

    /// Appends, not yet durable.
    pub fn append(&mut self, batch: LogBatch) {
        let Some(running) = &mut self.running else { return };
        self.account.append(batch.clone());
        running.queue.push(batch);
    }

    /// The writer takes what is queued, and will make it durable with one sync. Gives the last sequence.
    pub fn take_group(&mut self) -> Option<u64> {
        let running = self.running.as_mut()?;
        running.group = std::mem::take(&mut running.queue);
        running.group.last().map(|batch| batch.sequence)
    }

    /// The writer appends and syncs what it has taken. Gives the items that are durable now.
    ///
    /// # Errors
    /// The log has stopped.
    pub fn sync(&mut self) -> Result<&[LogItem], LogError> {
        let Some(running) = &mut self.running else { return Ok(&[]) };
        running.write()?;
        match running.group.drain(..).next_back() {
            Some(last) => Ok(self.account.sync(last.sequence)),
            None => Ok(&[]),
        }
    }

    /// What the writer does after it has reported a group: it releases, and prepares the next segment.
    ///
    /// # Errors
    /// The log has stopped.
    pub fn tidy(&mut self) -> Result<(), LogError> {
        self.running.as_mut().map_or(Ok(()), Running::tidy)
    }

    /// Lets go of what is below a height, after the next group.
    pub fn release(&mut self, below: Height) {
        if let Some(running) = &mut self.running {
            running.release = running.release.max(Some(below));
        }
    }

    /// Applies a state batch: atomic and durable.
    pub fn flush(&mut self, batch: StateBatch) {
        self.account.flush(batch);
    }

    /// A block by digest.
    ///
    /// # Errors
    /// The disk refuses, or what stands there does not verify.
    pub fn block(&self, digest: &Digest) -> Result<Option<Bytes>, LogError> {
        self.running.as_ref().map_or(Ok(None), |running| running.reader.block(digest))
    }

    /// The certified chain from a height.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn chain(&self, from: Height, max_bytes: usize, max_entries: usize) -> Result<ChainBytes, LogError> {
        let Some(running) = &self.running else { return Ok(ChainBytes::default()) };
        let part = running.reader.chain(from, max_bytes, max_entries)?;
        Ok(ChainBytes { entries: part.entries, certificate: part.certificate, blocks: part.blocks })
    }

    /// What a copy made now has.
    pub fn copy(&self) -> Drive {
        Drive {
            account: self.account.copy(),
            sectors: self.sectors.copy(),
            sick: self.sick,
            failing: self.failing,
            config: self.config.clone(),
            running: None,
        }
    }

    /// The replica stops: only its process, or the power fails, and then of what was not synced any sectors survive. The writer may
    /// have been in the middle of a group, or have finished what was queued and closed the log.
    pub fn stop(&mut self, random: &mut Random) {
        let mut dice = Dice::new(random.bits());
        let cut = self.sectors.has_crashed();
        let running = self.running.take();
        if running.is_none() && !cut {
            return;
        }
        if let Some(mut running) = running.filter(|_| !cut) {
            // Whatever the log answers now, nobody hears it.
            match dice.roll(8) {
                0 => {
                    running.group.append(&mut running.queue);
                    let _ = running.write().and_then(|()| running.log.close());
                }
                1..4 if !running.group.is_empty() => {
                    self.sectors.fail_at(self.sectors.operations() + dice.roll(12), Fault::Crash);
                    let _ = running.write().and_then(|()| running.tidy());
                }
                _ => {}
            }
        }
        self.sectors = match dice.roll(4) {
            0 if !cut => self.sectors.copy(),
            _ => self.sectors.crash(&mut dice),
        };
    }

    /// Loses the end of what was durable, as a disk that lied about all of the last syncs: nothing on it tells.
    pub fn lose_tail(&mut self, random: &mut Random) {
        let Some(last) = self.sectors.list_all().into_iter().rfind(|path| is_segment(path)) else { return };
        let used = self.sectors.content(&last).iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // The first page is the header, which is synced before the file has its name.
        let from = 4096 + random.index(used.saturating_sub(4096) + 1);
        self.sectors.tamper(&last, |bytes| bytes[from.min(used)..].fill(0));
    }

    /// Starts the log on what the disk has, as a replica's process does.
    ///
    /// # Errors
    /// The log refuses.
    pub fn start(&mut self) -> Result<Found, LogError> {
        self.running = None;
        let (log, reader) = Log::open_on(self.sectors.arc(), Path::new(DIR), self.config.clone())?;
        let storage::Recovered { records, items, .. } = reader.recover(self.account.flushed())?;
        let whole = self.account.settle(&records, &items);
        self.running = Some(Running { log, reader, queue: Vec::new(), group: Vec::new(), release: None });
        Ok(Found {
            recovered: Recovered {
                state: self.account.state(),
                fetched: self.account.fetched(),
                records,
                items,
                ..Recovered::default()
            },
            whole,
        })
    }

    /// Everything in the log right after a start.
    pub fn survived(&self) -> &[LogItem] {
        self.account.survived()
    }
}

impl Running {
    /// One round of the writer.
    fn write(&mut self) -> Result<(), LogError> {
        for batch in &self.group {
            self.log.append(batch)?;
        }
        self.log.sync()
    }

    /// What the writer does between two groups.
    fn tidy(&mut self) -> Result<(), LogError> {
        if let Some(below) = self.release.take() {
            self.log.release(below)?;
        }
        self.log.keep_pace()
    }
}

fn is_segment(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("segment-"))
}
