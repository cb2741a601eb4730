//! A disk that keeps what was synced, and may lose the rest.

use crate::random::Random;
use bft_core::host::{ChainBytes, Recovered};
use bft_core::log::{Height, LoadedState, LogBatch, LogItem, LogKind, StateBatch};
use bytes::Bytes;
use crypto::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The log and the state store of one replica.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    items: Vec<LogItem>,
    /// End of each batch in `items`, with its sequence.
    batches: Vec<(u64, usize)>,
    /// Where segments begin.
    segments: BTreeSet<usize>,
    /// Items that survive a crash.
    durable: usize,
    state: Option<LoadedState>,
    /// Items that were durable when `state` was written: it depends on them.
    under_state: usize,
    blocks: BTreeMap<Digest, usize>,
    entries: BTreeMap<Height, usize>,
    certificates: BTreeMap<Height, usize>,
    /// What is below is no longer served.
    released: Height,
}

impl Disk {
    /// Appends, not yet durable.
    pub fn append(&mut self, batch: LogBatch) {
        if batch.new_segment {
            self.segments.insert(self.items.len());
        }
        for item in batch.items {
            self.index(self.items.len(), &item);
            self.items.push(item);
        }
        self.batches.push((batch.sequence, self.items.len()));
    }

    /// Gives up what is below a height.
    pub fn release(&mut self, below: Height) {
        self.released = self.released.max(below);
        self.entries = self.entries.split_off(&self.released);
        self.certificates = self.certificates.split_off(&self.released);
        self.blocks.retain(|_, at| self.items[*at].height >= self.released);
    }

    fn index(&mut self, at: usize, item: &LogItem) {
        if item.height < self.released {
            return;
        }
        match item.kind {
            LogKind::Block => self.blocks.insert(item.digest, at).map_or((), |_| ()),
            LogKind::Entry => self.entries.insert(item.height, at).map_or((), |_| ()),
            LogKind::Certificate => self.certificates.insert(item.height, at).map_or((), |_| ()),
            LogKind::Record | LogKind::Mark => {}
        }
    }

    /// The last batch appended.
    pub fn appended(&self) -> Option<u64> {
        self.batches.last().map(|(sequence, _)| *sequence)
    }

    /// Makes everything through `sequence` durable; gives the items that became so.
    pub fn sync(&mut self, sequence: u64) -> &[LogItem] {
        let end = self.batches.iter().filter(|(s, _)| *s <= sequence).map(|(_, end)| *end).max();
        let from = self.durable;
        self.durable = self.durable.max(end.unwrap_or(0));
        self.batches.retain(|(s, _)| *s > sequence);
        &self.items[from..self.durable]
    }

    /// Applies a state batch: atomic and durable.
    pub fn flush(&mut self, batch: StateBatch) {
        self.under_state = self.durable;
        let state = self.state.get_or_insert_default();
        if batch.replace {
            *state = LoadedState::default();
        }
        let mut pairs: BTreeMap<Bytes, Bytes> = std::mem::take(&mut state.pairs).into_iter().collect();
        for (key, value) in batch.writes {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        state.pairs = pairs.into_iter().collect();
        state.height = batch.height;
        state.meta = batch.meta;
        let mut receipts: BTreeMap<Height, Bytes> = state.receipts.drain(..).collect();
        receipts.extend(batch.receipts);
        state.receipts = receipts.into_iter().filter(|(height, _)| *height >= batch.receipts_from).collect();
    }

    /// What a copy made now has.
    pub fn copy(&self) -> Disk {
        let mut copy = self.clone();
        copy.items.truncate(copy.durable);
        copy
    }

    /// Some of what was synced last was not: a disk that lies about it. What the state depends on is there.
    pub fn lose_tail(&mut self, random: &mut Random) {
        self.durable = self.under_state + random.index(self.durable - self.under_state + 1);
        self.items.truncate(self.durable);
    }

    /// The machine stops: of what was not synced, any prefix may have reached the disk. Gives what a restart finds.
    pub fn crash(&mut self, random: &mut Random) -> Recovered {
        let survived = self.durable + random.index(self.items.len() - self.durable + 1);
        self.items.truncate(survived);
        self.segments.retain(|start| *start < survived);
        self.durable = survived;
        self.batches.clear();
        (self.blocks, self.entries, self.certificates) = Default::default();
        let items = std::mem::take(&mut self.items);
        for (at, item) in items.iter().enumerate() {
            self.index(at, item);
        }
        self.items = items;
        self.recover()
    }

    /// Everything in the log right after a start.
    pub fn survived(&self) -> &[LogItem] {
        &self.items[..self.durable]
    }

    /// What a start finds.
    fn recover(&self) -> Recovered {
        let above = self.state.as_ref().map_or(0, |state| state.height);
        // A mark supersedes the records before its segment: here, before the batch that it ends. What stands in the batch itself
        // may be repeated in the head, which does no harm.
        let mut records = Vec::new();
        let mut kept_from = 0;
        for (at, item) in self.items.iter().enumerate() {
            match item.kind {
                LogKind::Record => records.push((at, item.body.clone())),
                LogKind::Mark => kept_from = self.segments.range(..=at).next_back().copied().unwrap_or(0),
                LogKind::Block | LogKind::Entry | LogKind::Certificate => {}
            }
        }
        records.retain(|(at, _)| *at >= kept_from);
        // What was released stood in segments that are gone, unless it is in the last one.
        let is_there = |at: usize, item: &LogItem| at >= kept_from || item.height >= self.released;
        let kept = self.items.iter().enumerate().filter(|(at, item)| is_there(*at, item));
        let records = records.into_iter().map(|(_, body)| body).collect();
        // Certificates that the records rely on count at any height.
        let relied_on = self.items[kept_from..].iter().filter(|item| item.kind == LogKind::Certificate);
        let relied_on = relied_on.filter(|item| item.height <= above).cloned().collect::<Vec<_>>();
        let above = |item: &&LogItem| {
            item.height > above && matches!(item.kind, LogKind::Block | LogKind::Entry | LogKind::Certificate)
        };
        let kept = kept.map(|(_, item)| item).filter(above).cloned();
        let items = relied_on.into_iter().chain(kept).collect();
        Recovered { state: self.state.clone(), records, items }
    }

    /// A block by digest.
    pub fn block(&self, digest: &Digest) -> Option<Bytes> {
        self.blocks.get(digest).map(|at| self.items[*at].body.clone())
    }

    /// Entries from `from` to the last certified height through which all blocks fit, or to the next one; the certificate;
    /// and blocks that fit.
    pub fn chain(&self, from: Height, max_bytes: usize, max_entries: usize) -> ChainBytes {
        let mut blocks = Vec::new();
        let mut room = max_bytes;
        for (_, entry) in self.entries.range(from..).take(max_entries) {
            let Some(block) = self.block(&self.items[*entry].digest) else { break };
            if block.len() > room && !blocks.is_empty() {
                break;
            }
            room = room.saturating_sub(block.len());
            blocks.push(block);
        }
        let fitting = self.certificates.range(from..from + blocks.len() as u64).next_back();
        let Some((to, certificate)) = fitting.or_else(|| self.certificates.range(from..).next()) else {
            return ChainBytes::default();
        };
        let entries = self.entries.range(from..=*to).map(|(_, at)| self.items[*at].body.clone());
        let entries: Vec<Bytes> = entries.collect();
        if entries.len() as u64 != to - from + 1 {
            return ChainBytes::default();
        }
        blocks.truncate(entries.len());
        ChainBytes { entries, certificate: Some(self.items[*certificate].body.clone()), blocks }
    }
}
