//! From the pool to a payload, and from a replica's clients to the leader.

use super::{Effect, Host};
use crate::engine::{Draft, Engine, Input, Lead};
use crate::envelope::Body;
use crate::machine::StateMachine;
use crate::transaction::{Item, Payload};
use crate::types::{Now, Time};
use crypto::{Digest, FaultModel, ReplicaId};
use std::time::Duration;

/// Bytes of transactions forwarded in one frame.
const FORWARD_BYTES: usize = 256 << 10;

/// A leader's wish for something to propose.
#[derive(Debug)]
pub(super) struct Wanted {
    pub token: u64,
    /// Who led when it was uttered.
    pub lead: Lead,
    pub uncommitted: Vec<Digest>,
    pub deadline: Time,
    pub flush: bool,
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Answers the engine's wish for a payload once there is enough to propose, or the wait is over.
    pub(super) fn propose(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(wanted) = self.wanted.take() {
            let limits = &self.config.genesis.limits;
            let ready = self.pool.ready_bytes();
            let full = ready >= limits.block_bytes as usize;
            // An empty block that only flushes has nothing to wait for.
            let flushes = ready == 0 && wanted.flush;
            let due = self.certificate_due();
            let certifies = due <= now.time && self.would_certify(&wanted.uncommitted);
            let something = ready > 0 || certifies || flushes;
            if !something || (!full && !flushes && now.time < wanted.deadline) {
                self.wanted = Some(wanted);
                return;
            }
            let items = self.pool.take(limits.block_bytes as usize - 1);
            let overdue = now.time.since(self.flagged_at) >= Duration::from_millis(limits.checkpoint_ms);
            // Where an executed transaction is settled by a replica's word, nobody waits for a certificate.
            let last = self.pool.ready_bytes() == 0 && !self.believes_one();
            let checkpoint = if items.is_empty() { certifies } else { last || overdue };
            if checkpoint {
                self.flagged_at = now.time;
            }
            let keys: Vec<_> = items.iter().map(Item::key).collect();
            let payload = Payload::of(items);
            // Hashed here: the engine's step, which makes a block of it, finds it done.
            payload.root(&self.config.trust.domain.chain).expect("a payload of transactions is one");
            let draft = Draft { payload, time: now.wall, checkpoint };
            let before = self.bodies.len();
            self.feed(now.time, Input::Payload { token: wanted.token, draft }, effects);
            if self.bodies.len() == before {
                self.pool.put_back(keys.into_iter());
            }
            self.drive(now.time, effects);
        }
    }

    /// When [`Host::propose`] has something to do.
    pub(super) fn proposing_deadline(&self) -> Option<Time> {
        let wanted = self.wanted.as_ref()?;
        if self.pool.ready_bytes() == 0 && wanted.flush {
            return Some(Time(0));
        }
        if self.pool.ready_bytes() > 0 {
            return Some(wanted.deadline);
        }
        let certifies = self.would_certify(&wanted.uncommitted);
        certifies.then(|| wanted.deadline.max(self.certificate_due()))
    }

    /// Whether one replica's word is believed, so that nothing has to be proven.
    pub(super) fn believes_one(&self) -> bool {
        self.config.trust.domain.fault_model == FaultModel::Crash
    }

    /// From when on an empty block is proposed that asks for a certificate, if one is wanted.
    fn certificate_due(&self) -> Time {
        let pause = Duration::from_millis(self.config.genesis.limits.checkpoint_ms);
        if self.believes_one() { self.flagged_at + pause } else { Time(0) }
    }

    /// Whether an empty block on top of these would be the first to certify what is executed: transactions ask for it, and nothing
    /// that is on its way does.
    fn would_certify(&self, uncommitted: &[Digest]) -> bool {
        let idle = |digest: &Digest| {
            let header = self.bodies.get(digest).map(|block| (block.payload.is_empty(), block.header));
            header.is_some_and(|(empty, header)| empty && !self.ledger.is_checkpoint(&header))
        };
        self.ledger.is_open() && uncommitted.iter().all(idle)
    }

    /// Tells the engine whether this replica has to catch up, and since when something waits to be ordered, if that changed.
    pub(super) fn update_work(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let behind =
            self.chain_sync.target(self.ledger.tip().height).is_some() || self.flush.installed.is_some();
        if behind != self.behind {
            self.behind = behind;
            self.feed(now, Input::Behind { behind }, effects);
            self.drive(now, effects);
        }
        // An executed tip without a certificate is work too: where too few replicas have executed it to certify it, those that
        // have must not rest, or nobody would help the others to it.
        let uncertified = self.ledger.owes() > self.stable.height();
        let oldest = self.pool.oldest().into_iter().chain(uncertified.then_some(self.executed_at)).min();
        if oldest != self.work {
            self.work = oldest;
            self.feed(now, Input::Work { oldest }, effects);
            self.drive(now, effects);
        }
    }

    /// Forwards what clients gave to this replica: new transactions to the leader and whoever leads next, everything to a new leader
    /// that was not told, and what the leader does not take to everybody.
    pub(super) fn follow_leader(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let lead = self.engine.led_by();
        let Lead { leader, next, .. } = lead;
        if self.led_by != lead {
            let same = (self.led_by.view, self.led_by.leader) == (lead.view, leader);
            let in_turn = same || self.led_by.next == Some(leader);
            self.led_by = lead;
            self.to_leader = self.pool.local(in_turn);
            self.refresh_pool |= !same;
            // What an earlier view wanted to propose on top of is nothing to sort the pool by.
            self.wanted.take_if(|wanted| (wanted.lead.view, wanted.lead.leader) != (lead.view, leader));
        }
        let items = std::mem::take(&mut self.to_leader);
        let me = self.config.me;
        for to in [leader].into_iter().chain(next).filter(|to| *to != me) {
            let untold = self.pool.tell(to, &items);
            self.forward(&[to], untold, effects);
        }
        if self.spread_at().is_some_and(|at| at <= now) {
            let overdue = self.pool.overdue(now, self.patience(), leader == self.config.me);
            let others: Vec<ReplicaId> = self.others().collect();
            self.forward(&others, overdue, effects);
        }
        if self.refresh_pool
            && let Some(wanted) = &self.wanted
        {
            self.pool.refresh(&wanted.uncommitted);
            self.refresh_pool = false;
        }
    }

    /// How long the leader may take before everybody hears of a transaction.
    fn patience(&self) -> Duration {
        self.config.genesis.limits.view_timeout() / 2
    }

    pub(super) fn spread_at(&self) -> Option<Time> {
        self.pool.next_overdue().map(|since| since + self.patience())
    }

    fn forward(&mut self, to: &[ReplicaId], items: Vec<Item>, effects: &mut Vec<Effect>) {
        let most = FORWARD_BYTES.min(self.config.genesis.limits.block_bytes as usize - 1);
        let mut part = Vec::new();
        let mut bytes = 0;
        for item in items {
            let size = item.transaction.size();
            if bytes + size > most && !part.is_empty() {
                self.send(to, Body::Forward(Payload::of(std::mem::take(&mut part))), effects);
                bytes = 0;
            }
            bytes += size;
            part.push(item);
        }
        if !part.is_empty() {
            self.send(to, Body::Forward(Payload::of(part)), effects);
        }
    }
}
