//! What an engine wants done, turned into effects.

use super::accounting::{Direction, Sort, Traffic};
use super::progress::certificate_item;
use super::proposing::Wanted;
use super::{AggregateJob, CombineJob, Effect, Host, Promise};
use crate::block::Block;
use crate::codec;
use crate::engine::{Class, Engine, Input, Message, Outbox, Output, Recipients, Record};
use crate::envelope::{Body, CheckpointVote, Envelope, Seal, SealWith, Sealed};
use crate::log::{LogItem, LogKind};
use crate::machine::StateMachine;
use crate::types::Time;
use bytes::Bytes;
use crypto::{Digest, ReplicaId};

impl<E: Engine, A: StateMachine> Host<E, A> {
    pub(super) fn absorb(&mut self, now: Time, mut out: Outbox<E>, effects: &mut Vec<Effect>) {
        for output in out.take() {
            match output {
                Output::Persist { record, block } => self.persist(record, block),
                Output::Send { to, message } if message.is_promise() => self.promise(to, message, effects),
                Output::Send { to, message } => {
                    self.send_message(&to, &Sealed { message, seal: Seal::None }, effects);
                }
                Output::Combine { statement, shares } => {
                    effects.push(Effect::Combine(CombineJob { statement, shares }));
                }
                Output::Aggregate { view, words } => {
                    effects.push(Effect::Aggregate(AggregateJob { view, words }));
                }
                Output::NeedPayload { token, uncommitted, deadline, flush } => {
                    // Nobody would hear the proposal of a replica that does not vote, itself included: the next one has to lead.
                    let lead = self.engine.led_by();
                    let wanted = Wanted { token, lead, uncommitted, deadline, flush };
                    self.wanted = self.config.may_vote.then_some(wanted);
                }
                Output::FetchBlocks { from, blocks, patience } => {
                    self.fetch_blocks(now, &from, &blocks, patience, effects);
                }
                Output::Lagging { checkpoint } => self.on_certificate(now, &checkpoint, effects),
                Output::Advise { to } => self.tell_stable(to, effects),
                Output::Commit { height, block, proof: _ } => {
                    if height > self.ledger.tip().height {
                        let before = self.committed.insert(height, block);
                        assert!(
                            before.is_none_or(|before| before == block),
                            "height {height} committed twice"
                        );
                    }
                }
                Output::Readable { token, at } => self.on_readable(token, at, effects),
                Output::SetTimer { timer, at } => {
                    self.timers.insert(timer, at);
                }
                Output::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                Output::Report(suspicion) => self.on_suspicion(now, suspicion, effects),
            }
        }
    }

    fn persist(&mut self, record: Option<E::Record>, block: Option<Block>) {
        if let Some(block) = block {
            self.block_fetch.got(&block.digest());
            self.keep_block(block);
        }
        if let Some(record) = record {
            self.log.push(record_item(&record));
        }
    }

    /// Logs a block and remembers it until its height is executed.
    pub(super) fn keep_block(&mut self, block: Block) {
        let digest = block.digest();
        if self.bodies.contains_key(&digest) {
            return;
        }
        if block.header.height <= self.ledger.tip().height {
            // Executed; or passed over by a state that is not on disk yet, so that a crash would bring its height back.
            if self.flush.installed.is_some() {
                self.log.push(block_item(&block, digest));
            }
            return;
        }
        let items =
            block.payload.items(&self.config.trust.domain.chain).expect("a block to keep passed the edge");
        self.pool.proposed(block.header.height, digest, items.iter().map(crate::transaction::Item::key));
        self.log.push(block_item(&block, digest));
        self.bodies.insert(digest, block);
    }

    fn promise(&mut self, to: Recipients, message: E::Message, effects: &mut Vec<Effect>) {
        if !self.config.may_vote {
            return;
        }
        let with = message.seal(&self.config.trust.domain);
        self.make_promise(Promise::Engine { to, message }, with, self.log.covering_promises(), effects);
    }

    /// A promise that leaves once it is sealed and the log is durable through `durable_at`.
    pub(super) fn make_promise(
        &mut self,
        promise: Promise<E::Message>,
        with: SealWith,
        durable_at: u64,
        effects: &mut Vec<Effect>,
    ) {
        match self.promises.make(promise, with, durable_at) {
            Ok(Some(job)) => effects.push(Effect::Seal(job)),
            Ok(None) => {}
            Err(contradiction) => self.halt(contradiction.to_string(), effects),
        }
    }

    /// Sends every promise that is durable and sealed, and returns the replica's own to its engine.
    pub(super) fn release_promises(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.recall.withholds() {
            return;
        }
        while let Some((promise, seal)) = self.promises.release() {
            match promise {
                Promise::Engine { to, message } => {
                    let sealed = Sealed { message, seal };
                    self.send_message(&to, &sealed, effects);
                    if to == Recipients::All || to == Recipients::One(self.config.me) {
                        self.loopback.push_back(sealed);
                    }
                }
                Promise::Checkpoint { height } => {
                    if let Seal::Share(share) = seal
                        && let Some(job) = self.checkpoints.sealed(now, height, share, &self.connected)
                    {
                        effects.push(Effect::Combine(job));
                    }
                }
            }
        }
    }

    fn send_message(&mut self, to: &Recipients, sealed: &Sealed<E::Message>, effects: &mut Vec<Effect>) {
        let recipients: Vec<ReplicaId> = match to {
            Recipients::All => self.others().collect(),
            Recipients::One(replica) if *replica == self.config.me => Vec::new(),
            Recipients::One(replica) => vec![*replica],
        };
        self.send(&recipients, Body::Engine(sealed.clone()), effects);
    }

    /// Sends one body to several replicas: encoded once, except where checkpoint votes ride along.
    pub(super) fn send(&mut self, to: &[ReplicaId], body: Body<E::Message>, effects: &mut Vec<Effect>) {
        let (class, kind, height) = (body.class(), body.kind(), body.height());
        let sort = Sort { class, kind, direction: Direction::Sent };
        let mut envelope = Envelope { epoch: self.config.trust.domain.epoch, votes: Vec::new(), body };
        let mut plain: Option<Bytes> = None;
        for replica in to {
            let votes: Vec<CheckpointVote> = self.checkpoints.riders(*replica);
            let authenticators = envelope.body.authenticators() as u64;
            self.count_riders(Direction::Sent, votes.len());
            let frame = if votes.is_empty() {
                plain.get_or_insert_with(|| codec::encode(&envelope).into()).clone()
            } else {
                envelope.votes = votes;
                let frame = codec::encode(&envelope).into();
                envelope.votes = Vec::new();
                frame
            };
            let traffic = Traffic { messages: 1, bytes: frame.len() as u64, authenticators };
            self.accounting.count(sort, height, traffic);
            effects.push(Effect::Send { to: *replica, class, frame });
        }
    }

    /// Votes on checkpoints, which travel on frames of any kind.
    pub(super) fn count_riders(&mut self, direction: Direction, votes: usize) {
        if votes > 0 {
            let sort = Sort { class: Class::Vote, kind: Body::<E::Message>::Votes.kind(), direction };
            let traffic = Traffic { authenticators: votes as u64, ..Traffic::default() };
            self.accounting.count(sort, None, traffic);
        }
    }

    /// Fires the engine's timers that are due.
    pub(super) fn fire_timers(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let due: Vec<E::Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            // An earlier one of these may have set or cancelled it.
            if self.timers.get(&timer).is_some_and(|at| *at <= now) {
                self.timers.remove(&timer);
                self.feed(now, Input::Timeout(timer), effects);
                self.drive(now, effects);
            }
        }
    }

    /// What a new segment begins with: every promise in force, so that older segments can go; and the certificate that excuses
    /// the promises left out, because a start that knew a lower one would find its replica to have prepared nothing in between.
    pub(super) fn segment_head(&self) -> impl Iterator<Item = LogItem> + use<E, A> {
        let mark = LogItem { kind: LogKind::Mark, height: 0, digest: Digest::ZERO, body: Bytes::new() };
        let records: Vec<LogItem> = self.engine.records().iter().map(record_item).collect();
        let stable = Some(&self.stable).filter(|stable| stable.proof.is_some()).map(certificate_item);
        stable.into_iter().chain(records).chain([mark])
    }
}

fn record_item<R: Record>(record: &R) -> LogItem {
    LogItem {
        kind: LogKind::Record,
        height: record.height(),
        digest: Digest::ZERO,
        body: codec::encode(record).into(),
    }
}

pub(super) fn block_item(block: &Block, digest: Digest) -> LogItem {
    LogItem { kind: LogKind::Block, height: block.header.height, digest, body: codec::encode(block).into() }
}
