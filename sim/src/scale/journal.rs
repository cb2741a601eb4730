//! A replica's log: what others may ask for, and what waits to be synced.

use bft_core::host::ChainBytes;
use bft_core::log::{Height, LogBatch, LogKind};
use bytes::Bytes;
use crypto::Digest;
use std::collections::BTreeMap;

/// What a frame of the log adds to an item's body, in bytes.
const ITEM_BYTES: usize = 64;

/// See the module's text. Nothing is ever lost, so that what is appended can be read at once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    waiting: Option<(u64, usize)>,
    /// Whether the writer is at work.
    pub writing: bool,
    blocks: BTreeMap<(Height, Digest), Bytes>,
    heights: BTreeMap<Digest, Height>,
    entries: BTreeMap<Height, Bytes>,
    certificates: BTreeMap<Height, Bytes>,
    /// Bytes appended so far.
    pub appended: u64,
    /// Syncs so far.
    pub syncs: u64,
}

impl Journal {
    pub fn append(&mut self, batch: LogBatch) {
        let bytes: usize = batch.items.iter().map(|item| item.body.len() + ITEM_BYTES).sum();
        let before = self.waiting.map_or(0, |(_, bytes)| bytes);
        self.waiting = Some((batch.sequence, before + bytes));
        for item in batch.items {
            match item.kind {
                LogKind::Block => {
                    self.heights.insert(item.digest, item.height);
                    self.blocks.insert((item.height, item.digest), item.body);
                }
                LogKind::Entry => drop(self.entries.insert(item.height, item.body)),
                LogKind::Certificate => drop(self.certificates.insert(item.height, item.body)),
                LogKind::Record | LogKind::Mark => {}
            }
        }
    }

    /// Whether something waits to be appended.
    pub fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// What is appended and synced next: through which sequence, and how many bytes.
    pub fn take(&mut self) -> Option<(u64, usize)> {
        let group = self.waiting.take()?;
        self.appended += group.1 as u64;
        self.syncs += 1;
        Some(group)
    }

    pub fn release(&mut self, below: Height) {
        let kept = self.blocks.split_off(&(below, Digest::ZERO));
        for (_, digest) in std::mem::replace(&mut self.blocks, kept).into_keys() {
            self.heights.remove(&digest);
        }
        self.entries = self.entries.split_off(&below);
        self.certificates = self.certificates.split_off(&below);
    }

    pub fn block(&self, digest: &Digest) -> Option<Bytes> {
        let height = self.heights.get(digest)?;
        self.blocks.get(&(*height, *digest)).cloned()
    }

    /// The certified chain from a height up to the highest certificate within so many entries, without blocks beyond `max_bytes`.
    pub fn chain(&self, from: Height, max_bytes: usize, max_entries: usize) -> ChainBytes {
        let end = from + max_entries as u64;
        let Some((to, certificate)) = self.certificates.range(from..end).next_back() else {
            return ChainBytes::default();
        };
        let entries: Vec<Bytes> = self.entries.range(from..=*to).map(|(_, entry)| entry.clone()).collect();
        if entries.len() as u64 != to - from + 1 {
            return ChainBytes::default();
        }
        let mut blocks = Vec::new();
        let mut room = max_bytes;
        for height in from..=*to {
            let mut here = self.blocks.range((height, Digest::ZERO)..=(height, Digest([0xff; 32])));
            // Where several blocks share a height, nobody here knows which was committed.
            let (Some((_, block)), None) = (here.next(), here.next()) else { break };
            if block.len() > room && !blocks.is_empty() {
                break;
            }
            room = room.saturating_sub(block.len());
            blocks.push(block.clone());
        }
        ChainBytes { entries, certificate: Some(certificate.clone()), blocks }
    }
}
