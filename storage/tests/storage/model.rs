//! What a log should hold, told independently of the log.

use bft_core::log::{Height, LogBatch, LogItem, LogKind};
use bytes::Bytes;
use crypto::Digest;
use storage::Recovered;

/// Everything appended, in order, and what of it was reported durable.
#[derive(Clone, Debug, Default)]
pub struct Model {
    items: Vec<LogItem>,
    /// For each mark: its place in `items`, and where its batch begins.
    marks: Vec<(usize, usize)>,
    durable: usize,
    /// Heights below this may be gone.
    pub released: Height,
}

impl Model {
    /// To be called before the log is given the batch: a part of it may reach the disk even where that fails.
    pub fn append(&mut self, batch: &LogBatch) {
        let start = self.items.len();
        for item in &batch.items {
            if item.kind == LogKind::Mark {
                self.marks.push((self.items.len(), start));
            }
            self.items.push(item.clone());
        }
    }

    pub fn synced(&mut self) {
        self.durable = self.items.len();
    }

    /// What recovery must give if exactly the first `kept` items survived.
    fn expected(&self, kept: usize) -> (Vec<Bytes>, Vec<LogItem>) {
        let head = self.marks.iter().rev().find(|(mark, _)| *mark < kept).map_or(0, |(_, start)| *start);
        let records = self.items[head..kept].iter().filter(|item| item.kind == LogKind::Record);
        let others = self.items[..kept].iter().enumerate().filter(|(at, item)| match item.kind {
            LogKind::Record | LogKind::Mark => false,
            // Records in force rely on certificates of any height.
            LogKind::Certificate => item.height >= self.released || *at >= head,
            LogKind::Block | LogKind::Entry => item.height >= self.released,
        });
        let others = others.map(|(_, item)| item.clone());
        (records.map(|item| item.body.clone()).collect(), others.collect())
    }

    /// What to ask recovery for: everything that cannot have been released.
    pub fn above(&self) -> Height {
        self.released.saturating_sub(1)
    }

    /// Checks that what was recovered is everything durable and then a prefix of the rest, in order, nothing
    /// invented; forgets the rest.
    pub fn check(&mut self, recovered: &Recovered) -> Result<(), String> {
        self.check_from(self.durable, recovered)
    }

    /// Checks that what was recovered is a prefix of what was appended, even without some that was durable.
    pub fn check_shortened(&mut self, recovered: &Recovered) -> Result<(), String> {
        self.check_from(0, recovered)
    }

    fn check_from(&mut self, least: usize, recovered: &Recovered) -> Result<(), String> {
        for kept in (least..=self.items.len()).rev() {
            let (records, items) = self.expected(kept);
            if recovered.records == records && recovered.items == items {
                self.items.truncate(kept);
                self.marks.retain(|(mark, _)| *mark < kept);
                self.durable = kept;
                return Ok(());
            }
        }
        Err(format!(
            "recovered {} records and {} items, which is no prefix of the {} appended that holds the {least} first",
            recovered.records.len(),
            recovered.items.len(),
            self.items.len(),
        ))
    }
}

pub fn digest(n: u64) -> Digest {
    let mut digest = Digest::default();
    digest.0[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

pub fn item(kind: LogKind, height: Height, about: u64, bytes: usize) -> LogItem {
    let body: Vec<u8> = (0..bytes).map(|at| (about as usize * 31 + at * 7 + kind as usize) as u8).collect();
    let digest = if kind == LogKind::Record { Digest::default() } else { digest(about) };
    LogItem { kind, height, digest, body: body.into() }
}

pub fn record(about: u64, bytes: usize) -> LogItem {
    item(LogKind::Record, 0, about, bytes)
}

pub fn mark() -> LogItem {
    LogItem { kind: LogKind::Mark, height: 0, digest: Digest::default(), body: Bytes::new() }
}

pub fn batch(sequence: u64, items: Vec<LogItem>) -> LogBatch {
    LogBatch { sequence, new_segment: false, items }
}

/// A batch that begins a segment: records, the mark, then the rest.
pub fn head(sequence: u64, mut records: Vec<LogItem>, rest: Vec<LogItem>) -> LogBatch {
    records.push(mark());
    records.extend(rest);
    LogBatch { sequence, new_segment: true, items: records }
}
