//! Execution, checkpoints and catch-up: how the ledger grows.

use super::checkpoint::RIDE_WAIT;
use super::outputs::block_item;
use super::sync::Step;
use super::{Effect, Host, Promise};
use crate::block::{Block, Header};
use crate::codec;
use crate::engine::{Engine, Input};
use crate::envelope::{Body, ChainPart, SealWith};
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::log::{LogItem, LogKind, StateBatch};
use crate::machine::StateMachine;
use crate::mutants::Mutant;
use crate::transaction::Item;
use crate::types::{Height, Time};
use crypto::{Certificate, Digest, ReplicaId, Statement, StatementKind};
use std::time::Duration;

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Executes the next committed block, if its body is here.
    pub(super) fn execute_next(&mut self, now: Time, effects: &mut Vec<Effect>) -> bool {
        let height = self.ledger.tip().height + 1;
        let Some(digest) = self.committed.get(&height) else { return false };
        let Some(block) = self.bodies.get(digest).cloned() else { return false };
        self.execute(now, &block, effects);
        true
    }

    fn execute(&mut self, now: Time, block: &Block, effects: &mut Vec<Effect>) -> LedgerEntry {
        let before = (self.config.spent)();
        let entry = self.ledger.execute(block);
        self.totals.spent.execution += (self.config.spent)().saturating_sub(before);
        let height = entry.height;
        self.executed_at = now;
        let below = self.log.covering();
        self.log.push(entry_item(&entry));
        let chain = &self.config.trust.domain.chain;
        let items = block.payload.items(chain).expect("an executed payload was parsed").clone();
        self.totals.blocks += 1;
        self.totals.transactions += items.len() as u64;
        self.totals.payload_bytes += block.payload.bytes().len() as u64;
        self.pool.executed(height, items.iter().map(Item::key));
        self.committed.remove(&height);
        self.bodies.retain(|_, block| block.header.height > height);
        let by = self.believes_one().then_some(self.config.me);
        self.clients.executed(height, &items, &self.ledger, by, effects);
        self.answer_reads(effects);
        // While catching up, the quorum has voted already.
        let target = self.chain_sync.target(height - 1).cloned();
        let behind = target.is_some();
        if entry.state_root.is_some() && !behind {
            let statement = self.checkpoints.executed(now, entry);
            if self.config.may_vote {
                // Who takes a certificate for stable takes no more part in agreeing on what is at its height or below. Were that
                // forgotten by all who signed it, in a crash of everybody, nobody could bring the others there. The certificate
                // itself names the block of its height; what is below has to be on disk.
                let below = if Mutant::CheckpointEarly.is_on() { 0 } else { below };
                self.log.urgent |= below > self.log.sequence;
                self.make_promise(Promise::Checkpoint { height }, SealWith::Share(statement), below, effects);
            }
        }
        if entry.state_root.is_some() {
            self.plan_flush();
        }
        self.feed(now, Input::Executed { entry, epoch_ends_at: None }, effects);
        if let Some(certificate) = target.filter(|target| target.height() == height) {
            self.on_certificate(now, &certificate, effects);
        }
        entry
    }

    /// A certificate that holds: of a height executed here, or of one to catch up to.
    pub(super) fn on_certificate(
        &mut self,
        now: Time,
        certificate: &CheckpointCertificate,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(height) = self.adopt(now, certificate, effects) {
            let (checkpoint, header) = (certificate.clone(), self.header_of(height));
            effects.push(Effect::Stable { height });
            self.feed(now, Input::Stable { checkpoint, header }, effects);
        }
    }

    /// The header of the last certified height's block.
    fn header_of(&self, height: Height) -> Option<Header> {
        let (certificate, header, _) = self.ledger.certified_state()?;
        header.filter(|_| certificate.height() == height)
    }

    /// Makes a certificate the stable one if this replica has executed its height; gives the height if it did.
    fn adopt(
        &mut self,
        now: Time,
        certificate: &CheckpointCertificate,
        effects: &mut Vec<Effect>,
    ) -> Option<Height> {
        let height = certificate.height();
        if height <= self.stable.height() {
            return None;
        }
        if height > self.ledger.tip().height && !Mutant::CheckpointUnexecuted.is_on() {
            let urgent = height > self.ledger.tip().height + self.config.genesis.limits.window;
            self.chain_sync.aim(now, certificate, urgent);
            return None;
        }
        // Its receipts are kept: the receipts of more heights are kept than can be executed without a certificate.
        if let Some(own) = self.ledger.entry(height)
            && *own != certificate.entry
        {
            self.diverged(height, own.state_root != certificate.entry.state_root, effects);
            return None;
        }
        let before = std::mem::replace(&mut self.stable, certificate.clone()).height();
        self.log.push(certificate_item(certificate));
        if let Some(batch) =
            self.flush.waiting.as_mut().filter(|batch| (before + 1..=height).contains(&batch.height))
        {
            batch.log_sequence = self.log.covering();
        }
        self.certificates.insert(height, certificate.clone());
        self.certificates = self.certificates.split_off(&self.ledger.receipts_from());
        self.checkpoints.stable(height);
        self.promises.forget(height, self.engine.led_by().view);
        self.clients.certified(certificate, &self.ledger, effects);
        self.ledger.certified(certificate);
        self.keep_snapshot(now);
        self.began_at.take_if(|tip| *tip < height);
        self.answer_certified_reads(effects);
        self.release_log(effects);
        Some(height)
    }

    // threat 94: an application that is not deterministic, or a damaged state, shows as a root that the quorum does not share.
    fn diverged(&mut self, height: Height, state: bool, effects: &mut Vec<Effect>) {
        let what = if state { "state root" } else { "ledger entry" };
        let reason = format!(
            "the {what} of height {height} differs from the one a quorum certified: the application is not deterministic, or \
             this replica's state is damaged; keep the data directory for inspection and let the replica start on an empty one"
        );
        self.halt(reason, effects);
    }

    pub(super) fn on_combined(
        &mut self,
        now: Time,
        statement: Statement,
        result: Result<Certificate, Vec<ReplicaId>>,
        effects: &mut Vec<Effect>,
    ) {
        if statement.kind != StatementKind::CHECKPOINT {
            self.feed(now, Input::Combined { statement, result }, effects);
            return;
        }
        match result {
            Ok(proof) => {
                let Some(entry) = self.checkpoints.entry(statement.height).copied() else { return };
                let certificate = CheckpointCertificate { entry, proof: Some(proof) };
                let others: Vec<ReplicaId> = self.others().collect();
                self.checkpoints.made(now, certificate.height());
                self.send(&others, Body::Certificate(certificate.clone()), effects);
                self.on_certificate(now, &certificate, effects);
            }
            Err(culprits) => {
                tracing::warn!(?culprits, height = statement.height, "bad checkpoint shares left out");
                if let Some(job) = self.checkpoints.refused(statement.height, &culprits) {
                    effects.push(Effect::Combine(job));
                }
            }
        }
    }

    /// A stretch of the certified chain. The edge has checked that it links up to its certificate. It is executed in steps, so
    /// that the next stretch is on its way meanwhile and votes are not held up.
    pub(super) fn on_chain(
        &mut self,
        now: Time,
        from: ReplicaId,
        part: ChainPart,
        effects: &mut Vec<Effect>,
    ) {
        // A log lets go of whole segments, so that it may have an entry and no longer its block.
        let Some(certificate) = part.certificate.filter(|_| !part.blocks.is_empty()) else {
            self.chain_sync.lacks(now, from);
            if let Some(next) = self.next_certified() {
                let others: Vec<ReplicaId> = self.others().collect();
                self.fetch_blocks(now, &others, &[next.block], Duration::ZERO, effects);
            }
            // It may have executed what is wanted and lack the certificate: whoever made it may have lost it since.
            if let Some(certificate) = self.chain_sync.target(self.ledger.tip().height).cloned() {
                self.send(&[from], Body::Certificate(certificate), effects);
            }
            self.pursue_state(now, effects);
            return;
        };
        self.chain_sync.answered(now, from);
        let tip = *self.ledger.tip();
        let before = self.chain_sync.end(&tip);
        let mut end = before;
        for (entry, block) in part.entries.into_iter().zip(part.blocks) {
            if entry.height <= end.height {
                continue;
            }
            if entry.height > end.height + 1 {
                break;
            }
            if entry.previous != end.digest() {
                return self.diverged(end.height, true, effects);
            }
            end = entry;
            self.chain_sync.push(Step::Execute(entry, block));
        }
        tracing::debug!(%from, through = end.height, certified = certificate.height(), executed = tip.height, "a stretch of the chain");
        if certificate.height() > tip.height {
            self.chain_sync.aim(now, &certificate, true);
        }
        if end.height >= certificate.height() {
            self.chain_sync.push(Step::Adopt(certificate));
        }
        if end == before {
            self.chain_sync.useless(now, from);
        }
        self.ask_chain(now, effects);
    }

    /// Takes one step along the chain received.
    pub(super) fn take_chain_step(&mut self, now: Time, effects: &mut Vec<Effect>) {
        match self.chain_sync.pop() {
            Some(Step::Execute(entry, block)) => self.execute_certified(now, &entry, &block, effects),
            Some(Step::Adopt(checkpoint)) => {
                if let Some(height) = self.adopt(now, &checkpoint, effects) {
                    effects.push(Effect::Stable { height });
                    let header = self.header_of(height);
                    self.feed(now, Input::Restored { checkpoint, header }, effects);
                    self.ask_for_more(effects);
                }
            }
            None => return,
        }
        self.drive(now, effects);
    }

    /// At the end of a catch-up: what was decided meanwhile was out of reach when others said it, and if they rest now, nobody
    /// will say it again.
    fn ask_for_more(&mut self, effects: &mut Vec<Effect>) {
        if self.chain_sync.target(self.ledger.tip().height).is_none() {
            let others: Vec<ReplicaId> = self.others().collect();
            self.send(&others, Body::Votes, effects);
        }
    }

    /// The entry of the next height, if that is what is to be caught up to. Its block is all that is missing, and may be held by
    /// those who have not executed it either.
    pub(super) fn next_certified(&mut self) -> Option<LedgerEntry> {
        let tip = self.ledger.tip().height;
        self.chain_sync.target(tip).map(|target| target.entry).filter(|entry| entry.height == tip + 1)
    }

    /// Executes the next height under its certificate, if its block is here.
    pub(super) fn execute_next_certified(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(entry) = self.next_certified() else { return };
        if let Some(block) = self.bodies.get(&entry.block).cloned() {
            self.execute_certified(now, &entry, &block, effects);
            self.drive(now, effects);
        }
    }

    fn execute_certified(
        &mut self,
        now: Time,
        entry: &LedgerEntry,
        block: &Block,
        effects: &mut Vec<Effect>,
    ) {
        let tip = *self.ledger.tip();
        if entry.height <= tip.height {
            // Agreement was faster.
            if self.ledger.entry(entry.height).is_some_and(|own| own != entry) {
                self.diverged(entry.height, true, effects);
            }
            return;
        }
        if entry.previous != tip.digest() {
            return self.diverged(tip.height, true, effects);
        }
        if !self.bodies.contains_key(&entry.block) {
            self.log.push(block_item(block, entry.block));
        }
        let own = self.execute(now, block, effects);
        if own != *entry {
            self.diverged(entry.height, own.state_root != entry.state_root, effects);
        }
    }

    /// How long a checkpoint vote waits for an envelope to ride on. While no transactions are in agreement, none will come soon.
    fn ride_wait(&self) -> Duration {
        let quiet = self.bodies.values().all(|block| block.payload.is_empty());
        if quiet { Duration::ZERO } else { RIDE_WAIT }
    }

    /// Sends votes that waited for an envelope alone, and turns to the next collector.
    pub(super) fn pursue_checkpoints(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if let Some(job) = self.checkpoints.retry(now, &self.connected) {
            effects.push(Effect::Combine(job));
        }
        for to in self.checkpoints.waited(now, self.ride_wait()) {
            self.send(&[to], Body::Votes, effects);
        }
    }

    /// Takes the state of a checkpoint height for the disk, if it is time and none is on its way.
    fn plan_flush(&mut self) {
        let height = self.ledger.tip().height;
        if self.flush.is_busy() || height < self.flush.height + self.config.local.flush_heights {
            return;
        }
        self.flush.waiting = Some(self.ledger.batch(&self.stable, &self.certificates, self.log.covering()));
    }

    /// Hands the state out once it is certified and the log is durable through the certificate: what a start then has to build on
    /// can be given to others, however few replicas are left to certify anything later.
    pub(super) fn start_flush(&mut self, effects: &mut Vec<Effect>) {
        let (stable, durable) = (self.stable.height(), self.log.durable);
        let ready = |batch: &mut StateBatch| batch.height <= stable && batch.log_sequence <= durable;
        if let Some(batch) = self.flush.waiting.take_if(ready) {
            self.flush.handed_out += 1;
            effects.push(Effect::Flush(batch));
        }
    }

    pub(super) fn on_flushed(&mut self, now: Time, height: Height, effects: &mut Vec<Effect>) {
        self.flush.handed_out -= 1;
        self.flush.height = height;
        self.release_log(effects);
        if let Some(checkpoint) = self.flush.installed.take_if(|installed| installed.height() <= height) {
            effects.push(Effect::Stable { height: checkpoint.height() });
            let header = self.header_of(checkpoint.height());
            self.feed(now, Input::Restored { checkpoint, header }, effects);
            self.ask_for_more(effects);
        }
    }

    /// What neither this replica's state nor a replica that catches up needs may go from the log.
    fn release_log(&mut self, effects: &mut Vec<Effect>) {
        let flushed = if Mutant::ReleaseUnflushed.is_on() { u64::MAX } else { self.flush.height };
        let covered = flushed.min(self.stable.height());
        let below = covered.saturating_sub(self.config.local.retain_blocks);
        if below > 0 {
            effects.push(Effect::Release { below });
        }
    }
}

pub(super) fn entry_item(entry: &LedgerEntry) -> LogItem {
    LogItem {
        kind: LogKind::Entry,
        height: entry.height,
        digest: entry.block,
        body: codec::encode(entry).into(),
    }
}

pub(super) fn certificate_item(certificate: &CheckpointCertificate) -> LogItem {
    LogItem {
        kind: LogKind::Certificate,
        height: certificate.height(),
        digest: Digest::ZERO,
        body: codec::encode(certificate).into(),
    }
}
