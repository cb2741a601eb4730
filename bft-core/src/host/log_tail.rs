//! What waits to be written: items of the log, and state on its way to disk.

use super::{Effect, Host};
use crate::engine::Engine;
use crate::ledger::CheckpointCertificate;
use crate::log::{Height, LogBatch, LogItem, LogKind, StateBatch};
use crate::machine::StateMachine;
use crate::types::Time;
use std::time::Duration;

/// Items waiting for the next batch, and where the log stands.
#[derive(Debug, Default)]
pub(super) struct LogTail {
    pub items: Vec<LogItem>,
    /// Whether a promise or a body is among them; entries and certificates can wait for the next of these.
    pub urgent: bool,
    /// When items that are not urgent have waited long enough.
    pub lazy_until: Option<Time>,
    /// Sequence of the last batch handed out.
    pub sequence: u64,
    pub durable: u64,
    pub segment_bytes: usize,
}

/// How long entries and certificates wait for something urgent to be written with, so that they cost no sync of their own.
const LAZY_WAIT: Duration = Duration::from_millis(50);

impl LogTail {
    pub fn push(&mut self, item: LogItem) {
        self.urgent |= match item.kind {
            LogKind::Record | LogKind::Block | LogKind::Mark => true,
            LogKind::Entry | LogKind::Certificate => false,
        };
        self.items.push(item);
    }

    /// The sequence that covers every promise and body so far.
    pub fn covering_promises(&self) -> u64 {
        if self.urgent { self.sequence + 1 } else { self.sequence }
    }

    /// The sequence that covers everything so far.
    pub fn covering(&self) -> u64 {
        if self.items.is_empty() { self.sequence } else { self.sequence + 1 }
    }
}

/// State on its way to disk.
#[derive(Debug, Default)]
pub(super) struct Flushing {
    /// Waits for a certificate and for the log.
    pub waiting: Option<StateBatch>,
    /// How many are at the state store.
    pub handed_out: usize,
    /// On disk.
    pub height: Height,
    /// The checkpoint of a fetched state that is on its way. Until it is on disk the engine does not hear of it: a crash would
    /// bring back the older state, under promises beyond its reach.
    pub installed: Option<CheckpointCertificate>,
}

impl Flushing {
    pub fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.handed_out > 0
    }
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Hands out the batch of log items gathered since the last one.
    pub(super) fn append(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.log.items.is_empty() {
            return;
        }
        if !self.log.urgent && now < *self.log.lazy_until.get_or_insert(now + LAZY_WAIT) {
            return;
        }
        self.log.urgent = false;
        self.log.lazy_until = None;
        let items = std::mem::take(&mut self.log.items);
        self.hand_out(items, false, effects);
        if self.log.segment_bytes >= self.config.local.segment_bytes {
            self.log.segment_bytes = 0;
            let head = self.segment_head().collect();
            self.hand_out(head, true, effects);
        }
    }

    fn hand_out(&mut self, items: Vec<LogItem>, new_segment: bool, effects: &mut Vec<Effect>) {
        self.log.segment_bytes += items.iter().map(|item| item.body.len() + 96).sum::<usize>();
        self.log.sequence += 1;
        effects.push(Effect::Append(LogBatch { sequence: self.log.sequence, new_segment, items }));
    }
}
