//! What comes from other replicas, and what they ask for.

use super::accounting::{Direction, Sort, Traffic};
use super::pool::Refused;
use super::serving::Question;
use super::{ChainBytes, Effect, Host};
use crate::block::Block;
use crate::codec;
use crate::engine::{Engine, Input, Message};
use crate::envelope::{Body, ChainPart, Envelope};
use crate::host::execution::Fate;
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::machine::StateMachine;
use crate::mutants::Mutant;
use crate::transaction::{Item, Kind};
use crate::types::{Now, Time, Timestamp};
use crate::verified::Verified;
use bytes::Bytes;
use crypto::{Digest, ReplicaId};
use std::collections::BTreeMap;
use std::time::Duration;

impl<E: Engine, A: StateMachine> Host<E, A> {
    pub(super) fn on_frame(
        &mut self,
        now: Now,
        from: ReplicaId,
        bytes: usize,
        envelope: Verified<Envelope<E::Message>>,
        effects: &mut Vec<Effect>,
    ) {
        let Envelope { epoch: _, votes, body } = envelope.into_inner();
        let sort = Sort { class: body.class(), kind: body.kind(), direction: Direction::Received };
        let authenticators = body.authenticators() as u64;
        self.count_riders(Direction::Received, votes.len());
        // A height that is far from here is a liar's, or of no interest: it must not push near ones out of the books.
        let reach = self.ledger.tip().height.saturating_add(2 * self.config.genesis.limits.stable_window());
        let height = body.height().filter(|height| *height <= reach);
        self.accounting.count(sort, height, Traffic { messages: 1, bytes: bytes as u64, authenticators });
        // A replica that still votes for what is certified has missed the certificate; so has one that comes without a vote.
        let without = matches!(body, Body::Votes) && votes.is_empty();
        let stable = self.stable.height();
        let late = votes.iter().any(|vote| vote.height <= stable);
        if without || (late && !self.checkpoints.has_just_told(now.time, stable)) {
            self.tell_stable(from, effects);
        }
        for vote in votes {
            if let Some(suspicion) = self.checkpoints.contradiction(from, &vote) {
                self.on_suspicion(now.time, suspicion, effects);
            }
            if let Some(job) = self.checkpoints.collect(from, vote) {
                effects.push(Effect::Combine(job));
            }
        }
        match body {
            Body::Engine(sealed) => {
                if let Some(block) = sealed.message.fresh_block()
                    && self.is_from_the_future(now.wall, block)
                {
                    tracing::warn!(%from, height = block.header.height, "proposal refused: its time is ahead of this replica's clock");
                    return;
                }
                self.feed(now.time, Input::Message { from, message: Verified::new(sealed) }, effects);
            }
            Body::Votes => {}
            Body::Forward(payload) => {
                let items =
                    payload.items(&self.config.trust.domain.chain).expect("the edge parsed it").clone();
                for item in items.iter() {
                    self.pool_item(now.time, item, false);
                }
            }
            Body::Certificate(certificate) => self.on_certificate(now.time, &certificate, effects),
            Body::FetchBlocks(blocks) => self.serving.ask(from, Question::Blocks(blocks)),
            Body::Blocks(blocks, missing) => self.on_blocks(now.time, from, blocks, &missing, effects),
            Body::FetchChain(question) => self.serving.ask_chain(from, question),
            Body::FetchState(question) => self.serving.ask(from, Question::State(question)),
            Body::State(part) => self.on_state(now.time, from, part, effects),
            Body::Chain(part) => self.on_chain(now.time, from, part, effects),
            Body::FetchPromises(question) => self.serving.ask(from, Question::Promises(question)),
            Body::Promises(told) => self.on_promises(now.time, from, *told, effects),
            Body::Evidence(evidence) => self.on_evidence(Verified::new(*evidence), effects),
        }
    }

    fn is_from_the_future(&self, wall: Timestamp, block: &Block) -> bool {
        let skew = self.config.genesis.limits.clock_skew_ms.saturating_mul(1000);
        block.header.time.0 > wall.0.saturating_add(skew) && !Mutant::FutureTime.is_on()
    }

    /// Pools a transaction whose signature holds, unless it cannot execute.
    pub(super) fn pool_item(&mut self, now: Time, item: &Item, local: bool) -> Option<Refused> {
        let client = &item.transaction.client;
        let organisation = self.ledger.directory().organisation(client)?;
        if self.ledger.fate(&item.key()) != Fate::Unknown {
            return None;
        }
        if item.transaction.kind == Kind::Application
            && self.ledger.app().check(&item.transaction.body).is_err()
        {
            return None;
        }
        let refused = self.pool.add(now, item.clone(), organisation, local).err();
        if refused.is_none() && local {
            self.to_leader.push(item.clone());
        }
        refused
    }

    /// Sends the highest certificate to a replica that may be behind it.
    pub(super) fn tell_stable(&mut self, to: ReplicaId, effects: &mut Vec<Effect>) {
        if self.stable.height() > 0 {
            self.send(&[to], Body::Certificate(self.stable.clone()), effects);
        }
    }

    pub(super) fn fetch_blocks(
        &mut self,
        now: Time,
        from: &[ReplicaId],
        blocks: &[Digest],
        patience: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let others: Vec<ReplicaId> =
            from.iter().copied().filter(|replica| *replica != self.config.me).collect();
        let questions = self.block_fetch.want(now, &others, blocks, patience);
        self.ask_blocks(questions, effects);
    }

    pub(super) fn ask_blocks(&mut self, questions: Vec<(ReplicaId, Vec<Digest>)>, effects: &mut Vec<Effect>) {
        for (to, blocks) in questions {
            self.send(&[to], Body::FetchBlocks(blocks), effects);
        }
    }

    fn on_blocks(
        &mut self,
        now: Time,
        from: ReplicaId,
        blocks: Vec<Block>,
        missing: &[Digest],
        effects: &mut Vec<Effect>,
    ) {
        let wanted: Vec<Block> =
            blocks.into_iter().filter(|block| self.block_fetch.got(&block.digest())).collect();
        let next = self.next_certified().map(|entry| entry.block);
        if let Some(block) = wanted.iter().find(|block| Some(block.digest()) == next) {
            self.keep_block(block.clone());
        }
        if !wanted.is_empty() {
            self.feed(now, Input::Blocks { blocks: Verified::new(wanted) }, effects);
        }
        self.blocks_missing(now, Some(from), missing, effects);
    }

    pub(super) fn blocks_missing(
        &mut self,
        now: Time,
        from: Option<ReplicaId>,
        missing: &[Digest],
        effects: &mut Vec<Effect>,
    ) {
        let (questions, nobody) = self.block_fetch.missing(now, from, missing);
        self.ask_blocks(questions, effects);
        if !nobody.is_empty() {
            self.feed(now, Input::FetchFailed { blocks: nobody }, effects);
        }
    }

    /// Asks for the chain, and again for blocks that did not come.
    pub(super) fn catch_up(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let mut late: BTreeMap<Option<ReplicaId>, Vec<Digest>> = BTreeMap::new();
        for (from, block) in self.block_fetch.late(now) {
            late.entry(from).or_default().push(block);
        }
        for (from, blocks) in late {
            self.blocks_missing(now, from, &blocks, effects);
        }
        if self.flush.installed.is_none() {
            self.execute_next_certified(now, effects);
            self.ask_chain(now, effects);
            self.take_chain_step(now, effects);
        }
    }

    /// Asks for the next stretch of the certified chain, if one is wanted.
    pub(super) fn ask_chain(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let tip = *self.ledger.tip();
        if self.chain_sync.target(tip.height).is_none() {
            return;
        }
        let others = self.chain_sources();
        let end = self.chain_sync.end(&tip).height;
        if let Some((peer, question)) = self.chain_sync.ask(now, end, self.config.local.sync_bytes, &others) {
            tracing::debug!(%peer, ?question, "asking for the chain");
            self.send(&[peer], Body::FetchChain(question), effects);
        }
    }

    /// Whom to ask for the chain, in this order: the leader, who has most to do, last; and each replica begins with another one.
    fn chain_sources(&self) -> Vec<ReplicaId> {
        let mut sources: Vec<ReplicaId> =
            self.others().filter(|replica| self.connected.contains(replica)).collect();
        let first = self.config.me.index() % sources.len().max(1);
        sources.rotate_left(first);
        let leader = self.engine.led_by().leader;
        sources.sort_by_key(|replica| *replica == leader);
        sources
    }

    /// Answers replicas that catch up, as far as their rates allow.
    pub(super) fn serve(&mut self, now: Time, effects: &mut Vec<Effect>) {
        // An answer has to fit into a frame, entries and certificate included.
        let limits = &self.config.genesis.limits;
        let max_bytes = self.config.local.sync_bytes.min(limits.frame_bytes() / 2);
        let max_entries = limits.chain_entries();
        while let Some((to, question)) = self.serving.next(now) {
            match question {
                Question::Blocks(blocks) => effects.push(Effect::ReadBlocks { to, blocks }),
                Question::Chain(from, _) => {
                    effects.push(Effect::ReadChain { to, from, max_bytes, max_entries });
                }
                Question::Promises(question) => {
                    let bytes = self.serve_promises(to, question, effects);
                    self.serving.served(now, to, bytes, None);
                }
                Question::State(question) => {
                    let bytes = self.serve_state(now, to, &question, effects);
                    self.serving.served(now, to, bytes, None);
                }
            }
        }
    }

    /// Answers a replica that catches up, from what the log gave.
    pub(super) fn serve_chain(
        &mut self,
        now: Time,
        to: ReplicaId,
        chain: &ChainBytes,
        effects: &mut Vec<Effect>,
    ) {
        let part = (|| {
            let decode = |bytes: &Bytes| codec::decode::<LedgerEntry>(bytes, 4096).ok();
            let entries = chain.entries.iter().map(decode).collect::<Option<Vec<_>>>()?;
            let certificate =
                codec::decode::<CheckpointCertificate>(chain.certificate.as_ref()?, 1 << 20).ok()?;
            let blocks =
                chain.blocks.iter().map(|bytes| self.decode_block(bytes)).collect::<Option<Vec<_>>>()?;
            Some(ChainPart { entries, certificate: Some(certificate), blocks })
        })();
        // Nothing to give, or a log that does not read back: the asker turns to another replica.
        let part = part.unwrap_or(ChainPart { entries: Vec::new(), certificate: None, blocks: Vec::new() });
        let through = part.blocks.last().map(|block| block.header.height);
        self.serving.served(now, to, chain.blocks.iter().map(Bytes::len).sum(), through);
        self.send(&[to], Body::Chain(part), effects);
        // The next answer can be read while this one is on its way.
        self.serve(now, effects);
    }

    pub(super) fn serve_blocks(
        &mut self,
        now: Time,
        to: ReplicaId,
        read: Vec<(Digest, Option<Bytes>)>,
        effects: &mut Vec<Effect>,
    ) {
        let mut blocks = Vec::new();
        let mut missing = Vec::new();
        let mut given = 0;
        let mut room = self.config.genesis.limits.frame_bytes() / 2;
        for (digest, bytes) in read {
            let size = bytes.as_ref().map_or(0, Bytes::len);
            match bytes.and_then(|bytes| self.decode_block(&bytes)) {
                // What does not fit is neither given nor denied: it is asked for again.
                Some(block) if size <= room || blocks.is_empty() => {
                    room = room.saturating_sub(size);
                    given += size;
                    blocks.push(block);
                }
                Some(_) => {}
                None => missing.push(digest),
            }
        }
        self.serving.served(now, to, given, None);
        self.send(&[to], Body::Blocks(blocks, missing), effects);
    }

    fn decode_block(&self, bytes: &[u8]) -> Option<Block> {
        codec::decode::<Block>(bytes, self.config.genesis.limits.frame_bytes()).ok()
    }
}
