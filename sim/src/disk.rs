//! What a replica's disk has to hold, told without the log's own code: a disk that keeps what was synced, and may lose the rest.
//!
//! By itself it serves where a disk need not be hostile. Under a [`Drive`](crate::drive::Drive) it says what must be found
//! after a crash, and it is the state store, whose batches are atomic.

use crate::random::Random;
use bft_core::evidence::Evidence;
use bft_core::host::{ChainBytes, Recovered};
use bft_core::log::{FetchedPart, FetchedState, Height, LoadedState, LogBatch, LogItem, LogKind, StateBatch};
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
    /// What is kept of a state that is being fetched: its height, what is known of it, and its parts.
    fetched: Option<(Height, Bytes, BTreeMap<Digest, Bytes>)>,
    blocks: BTreeMap<Digest, usize>,
    entries: BTreeMap<Height, usize>,
    certificates: BTreeMap<Height, usize>,
    /// What is below is no longer served.
    released: Height,
    /// Lies that were proven, each in a file of its own that is durable at once.
    pub evidence: Vec<Evidence>,
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
        self.fetched.take_if(|(height, ..)| *height <= batch.height);
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

    /// Keeps a part of a state that is being fetched.
    pub fn keep_fetched(&mut self, part: FetchedPart) {
        let FetchedPart { height, offer, place, stretch } = part;
        let same = self.fetched.take().filter(|(kept, about, _)| *kept == height && *about == offer);
        let (.., mut parts) = same.unwrap_or_default();
        parts.insert(place, stretch);
        self.fetched = Some((height, offer, parts));
    }

    /// Whether it has such a part of the same state already, whoever offered it.
    pub fn holds(&self, part: &FetchedPart) -> bool {
        let kept = self.fetched.as_ref().filter(|(height, ..)| *height == part.height);
        kept.is_some_and(|(.., parts)| parts.contains_key(&part.place))
    }

    /// What a start finds of a state that was being fetched.
    pub fn fetched(&self) -> Option<FetchedState> {
        let (height, offer, parts) = self.fetched.clone()?;
        Some(FetchedState { height, offer, stretches: parts.into_values().collect() })
    }

    /// What a copy made now has.
    pub fn copy(&self) -> Disk {
        let mut copy = self.clone();
        copy.items.truncate(copy.durable);
        copy
    }

    /// The machine stops: of what was not synced, any prefix may have reached the disk. Gives what a restart finds.
    pub fn crash(&mut self, random: &mut Random) -> Recovered {
        self.keep(self.durable + random.index(self.items.len() - self.durable + 1));
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

    /// The first so many items survived, and are durable now.
    fn keep(&mut self, survived: usize) {
        self.items.truncate(survived);
        self.segments.retain(|start| *start < survived);
        self.durable = survived;
        self.batches.clear();
    }

    /// What a start finds, but for the evidence, which is verified before it counts.
    fn recover(&self) -> Recovered {
        let (records, items) = self.expected(self.items.len());
        let records = records.map(|item| item.body.clone()).collect();
        Recovered {
            state: self.state.clone(),
            records,
            items: items.cloned().collect(),
            fetched: self.fetched(),
            ..Recovered::default()
        }
    }

    /// The height of the state store.
    pub fn flushed(&self) -> Height {
        self.state.as_ref().map_or(0, |state| state.height)
    }

    /// What the state store has.
    pub fn state(&self) -> Option<LoadedState> {
        self.state.clone()
    }

    /// The records in force and the other items that a start finds, if the first `kept` items survived.
    fn expected(&self, kept: usize) -> (impl Iterator<Item = &LogItem>, impl Iterator<Item = &LogItem>) {
        // A mark supersedes the records before its segment: here, before the batch that it ends. What stands in the batch itself
        // may be repeated in the head, which does no harm.
        let mark = self.items[..kept].iter().rposition(|item| item.kind == LogKind::Mark);
        let start = mark.and_then(|mark| self.segments.range(..=mark).next_back()).copied().unwrap_or(0);
        let records = self.items[start..kept].iter().filter(|item| item.kind == LogKind::Record);
        let above = self.flushed();
        let items = self.items[..kept].iter().enumerate().filter(move |(at, item)| match item.kind {
            LogKind::Record | LogKind::Mark => false,
            LogKind::Block | LogKind::Entry => item.height > above,
            // Those that the records rely on count at any height.
            LogKind::Certificate => item.height > above || *at >= start,
        });
        (records, items.map(|(_, item)| item))
    }

    /// A start found this. True if it is everything durable and then a prefix of what was appended; the rest is forgotten. If
    /// it is not, it is what the disk has from now on.
    pub fn settle(&mut self, records: &[Bytes], items: &[LogItem]) -> bool {
        for kept in (self.durable..=self.items.len()).rev() {
            let (expected_records, expected_items) = self.expected(kept);
            if expected_records.map(|item| &item.body).eq(records) && expected_items.eq(items) {
                self.keep(kept);
                return true;
            }
        }
        let record = |body: &Bytes| LogItem {
            kind: LogKind::Record,
            height: 0,
            digest: Digest::ZERO,
            body: body.clone(),
        };
        self.items = records.iter().map(record).chain(items.iter().cloned()).collect();
        self.segments.clear();
        self.keep(self.items.len());
        false
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
