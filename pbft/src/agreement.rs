//! The normal case (the paper's 4.2): pre-prepare, prepare, commit.

use crate::engine::{Out, Pbft, to_all, to_one};
use crate::message::{COMMIT, Message, PREPARE, PrePrepare, Prepared, Relay, Vote};
use crate::record::Record;
use crate::rules;
use crate::slot::{Cast, Early};
use bft_core::block::Block;
use bft_core::engine::{Draft, Output, Recipients};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::mutants::Mutant;
use bft_core::types::{Height, Time};
use crypto::{Certificate, Digest, ReplicaId, Share, Statement};
use std::collections::btree_map::Entry;
use std::time::Duration;

impl Pbft {
    /// As leader: asks for something to propose, at once if nothing is in agreement, else when a block has filled.
    pub(crate) fn want_payload(&mut self, now: Time, out: &mut Out) {
        if !self.leads() || self.next_height > self.limit() {
            self.wanted = None;
            return;
        }
        let in_flight = (self.next_height - 1 - self.committed).min(2);
        if self.wanted.is_some_and(|(_, asked_with)| asked_with <= in_flight) {
            return;
        }
        self.tokens += 1;
        self.wanted = Some((self.tokens, in_flight));
        // One block in agreement and one on its way keep everybody busy; more of them, unless full, only cost more votes.
        let wait = match in_flight {
            0 => Duration::ZERO,
            1 => Duration::from_millis(self.config.limits.batch_ms),
            _ => self.config.limits.view_timeout() / 8,
        };
        let uncommitted = (self.committed + 1..self.next_height).filter_map(|height| {
            let slot = self.slots.get(&height)?;
            self.plan.get(&height).copied().or_else(|| slot.voted.map(|vote| vote.block))
        });
        out.push(Output::NeedPayload {
            token: self.tokens,
            uncommitted: uncommitted.collect(),
            deadline: now + wait,
            flush: false,
        });
    }

    /// As leader: proposes a block at the next height.
    pub(crate) fn on_payload(&mut self, token: u64, draft: Draft, out: &mut Out) {
        if !self.leads() || self.wanted.is_none_or(|(wanted, _)| wanted != token) {
            return;
        }
        self.wanted = None;
        let height = self.next_height;
        let Draft { payload, time, checkpoint } = draft;
        let domain = self.config.domain;
        let block = Block::new(&domain.chain, domain.epoch, height, payload, time, checkpoint)
            .expect("the host builds payloads that parse");
        let (view, digest) = (self.view, block.digest());
        let Some(slot) = self.slot(height) else { return };
        assert!(rules::may_prepare(slot.voted.as_ref(), view, &digest), "a leader proposes once per height");
        let vote = Vote { view, height, block: digest };
        slot.voted = Some(vote);
        slot.bodies.insert(digest, block.clone());
        slot.stored.insert(digest);
        self.next_height = height + 1;
        out.push(Output::Persist { record: Some(Record::Prepare(vote)), block: Some(block.clone()) });
        to_all(Message::PrePrepare(PrePrepare { view, block }), out);
    }

    pub(crate) fn on_pre_prepare(
        &mut self,
        now: Time,
        from: ReplicaId,
        proposal: PrePrepare,
        share: Share,
        out: &mut Out,
    ) {
        let PrePrepare { view, block } = proposal;
        let height = block.header.height;
        if view < self.view {
            return;
        }
        if view > self.view || !self.active {
            // threat 8: a proposal of a view not entered yet waits; one a slot, of the nearest view, so that the leader of a
            // view far away cannot keep others out.
            let (mine, domain) = (self.view, self.config.domain);
            let Some(slot) = self.slot(height) else { return };
            let early = Early { view, block, share };
            if let Some(held) = &slot.early {
                let said = |view, block| Vote { view, height, block }.statement(PREPARE, &domain);
                out.extend(held.cast().against(&early.cast(), from, said).map(Output::Report));
            }
            if slot.early.as_ref().is_none_or(|held| held.view < mine || view < held.view) {
                slot.early = Some(early);
            }
            return;
        }
        let digest = block.digest();
        self.cast(from, Vote { view, height, block: digest }, share, out);
        if height > self.committed
            && rules::is_as_planned(self.plan.get(&height), self.plan_top, height, &digest)
            && let Some(slot) = self.slot(height)
            && (slot.accepted_in(view).is_none()
                || Mutant::SecondProposal.is_on()
                || Mutant::SecondVote.is_on())
        {
            slot.bodies.insert(digest, block);
            self.accept(now, height, digest, out);
        }
        self.try_prepared(now, height, out);
        self.try_committed(height, out);
    }

    /// Accepts a block as this view's at its height. Its body is at hand, or the height is committed.
    pub(crate) fn accept(&mut self, now: Time, height: Height, digest: Digest, out: &mut Out) {
        let (view, committed) = (self.view, self.committed);
        let Some(slot) = self.slot(height) else { return };
        slot.accepted = Some((view, digest));
        if height > committed {
            slot.since.get_or_insert(now);
        }
        self.try_vote(height, out);
    }

    /// Prepares the accepted block, once it is within the window.
    fn try_vote(&mut self, height: Height, out: &mut Out) {
        let (view, active, limit, committed) = (self.view, self.active, self.limit(), self.committed);
        let to = self.votes_to();
        let Some(slot) = self.slots.get_mut(&height) else { return };
        let Some(block) = slot.accepted_in(view).filter(|_| active && height <= limit) else { return };
        let voted_already = slot.voted.is_some_and(|vote| vote.view == view);
        if (voted_already && !Mutant::SecondVote.is_on())
            || !rules::may_prepare(slot.voted.as_ref(), view, &block)
        {
            return;
        }
        // While the window kept the vote back, others may have decided another block than a lying leader gave to this replica.
        if slot.committed.is_some_and(|decided| decided != block) {
            return;
        }
        let vote = Vote { view, height, block };
        slot.voted = Some(vote);
        // A vote implies a durable block: what is committed is in the log already.
        let body = if height > committed && slot.stored.insert(block) {
            Some(slot.bodies.get(&block).cloned().expect("the body of an accepted block is at hand"))
        } else {
            None
        };
        out.push(Output::Persist { record: Some(Record::Prepare(vote)), block: body });
        out.push(Output::Send { to, message: Message::Prepare(vote) });
        if Mutant::CommitUnprepared.is_on() {
            to_all(Message::Commit(vote), out);
        }
    }

    /// Takes up what the window kept back.
    fn try_votes(&mut self, now: Time, out: &mut Out) {
        let heights: Vec<Height> = self.slots.range(..=self.limit()).map(|(height, _)| *height).collect();
        for height in heights {
            self.try_vote(height, out);
            self.try_prepared(now, height, out);
        }
    }

    pub(crate) fn on_prepare(&mut self, now: Time, from: ReplicaId, vote: Vote, share: Share, out: &mut Out) {
        self.cast(from, vote, share, out);
        self.try_prepared(now, vote.height, out);
    }

    /// Remembers a prepare: the one of the highest view, and the first of that view.
    fn cast(&mut self, from: ReplicaId, vote: Vote, share: Share, out: &mut Out) {
        let domain = self.config.domain;
        let Some(slot) = self.slot(vote.height) else { return };
        let cast = Cast { view: vote.view, block: vote.block, share };
        match slot.prepares.entry(from) {
            Entry::Vacant(entry) => {
                entry.insert(cast);
                self.show_proposal(from, vote, out);
            }
            Entry::Occupied(mut entry) => {
                let held = entry.get();
                if held.view < vote.view && !Mutant::EvidenceAcrossViews.is_on() {
                    entry.insert(cast);
                    self.show_proposal(from, vote, out);
                } else {
                    let said = |view, block| Vote { view, block, ..vote }.statement(PREPARE, &domain);
                    out.extend(held.against(&cast, from, said).map(Output::Report));
                }
            }
        }
    }

    /// Shows what this view's leader proposed to whoever prepared another block, once: either it lies, or the leader told it so. A
    /// leader that says one thing to each would not be found out by anybody alone.
    fn show_proposal(&self, from: ReplicaId, vote: Vote, out: &mut Out) {
        let (me, leader) = (self.config.me, self.config.committee.in_turn(vote.view));
        let Some(slot) = self.slots.get(&vote.height) else { return };
        let Some(told) = slot.prepares.get(&leader).filter(|told| told.view == vote.view) else { return };
        let others = slot.prepares.iter().filter(|(id, cast)| {
            let is_new = from == leader || **id == from;
            is_new && ![me, leader].contains(id) && cast.view == told.view && cast.block != told.block
        });
        for (to, _) in others.filter(|_| leader != me) {
            let proposed = Vote { block: told.block, ..vote };
            to_one(*to, Message::Relay(Relay::Proposed(proposed, told.share.clone())), out);
        }
    }

    /// What a leader proposed to somebody else, beside what it proposed here.
    pub(crate) fn compare_proposal(&mut self, vote: Vote, share: Share, out: &mut Out) {
        let (domain, leader) = (self.config.domain, self.config.committee.in_turn(vote.view));
        let Some(slot) = self.slot(vote.height) else { return };
        let shown = Cast { view: vote.view, block: vote.block, share };
        let said = |view, block| Vote { view, block, ..vote }.statement(PREPARE, &domain);
        let held =
            slot.prepares.get(&leader).cloned().into_iter().chain(slot.early.as_ref().map(Early::cast));
        out.extend(held.filter_map(|held| held.against(&shown, leader, said)).map(Output::Report));
    }

    /// Combines a quorum of prepares for the accepted block, or takes what the collector made of them; accepts a block that f+1 others
    /// have accepted.
    pub(crate) fn try_prepared(&mut self, now: Time, height: Height, out: &mut Out) {
        let (view, quorum) = (self.view, self.quorum());
        let believable = self.config.committee.believable();
        let domain = self.config.domain;
        if !self.active {
            return;
        }
        let (committed, planned, plan_top) = (self.committed, self.plan.get(&height).copied(), self.plan_top);
        let limit = self.limit();
        // Whom the certificate names has its block, and the leader may be the one who keeps it back.
        let others = if self.has_collector() { self.others() } else { Vec::new() };
        let Some(slot) = self.slots.get_mut(&height) else { return };
        let Some(block) = slot.accepted_in(view) else {
            let said = slot.prepared_by(view).into_iter().filter(|(_, from)| from.len() >= believable);
            let collected = slot.collected.as_ref().filter(|prepared| prepared.vote.view == view);
            let believed = collected
                .map(|prepared| (prepared.vote.block, others.clone()))
                .into_iter()
                .chain(said)
                .find(|(block, _)| rules::is_as_planned(planned.as_ref(), plan_top, height, block));
            if let Some((block, from)) = believed.filter(|_| height > committed) {
                if slot.bodies.contains_key(&block) {
                    self.accept(now, height, block, out);
                    self.try_prepared(now, height, out);
                } else {
                    self.fetch_overtaken(from, block, out);
                }
            }
            return;
        };
        let done = slot.prepared.as_ref().is_some_and(|prepared| prepared.vote.view == view);
        // What is not to be voted on yet is not to be committed either, and would make a view-change that others refuse.
        if done || height > limit {
            return;
        }
        let vote = Vote { view, height, block };
        if let Some(prepared) = slot.collected.take_if(|prepared| prepared.vote == vote) {
            self.become_prepared(prepared, self.votes_to(), out);
            return;
        }
        if slot.combining == Some(view) {
            return;
        }
        let shares = slot.shares(view, &block);
        if shares.len() >= Mutant::PrepareQuorum.lowers(quorum) {
            slot.combining = Some(view);
            out.push(Output::Combine { statement: vote.statement(PREPARE, &domain), shares });
        }
    }

    /// Remembers the certificate and sends commit.
    fn become_prepared(&mut self, prepared: Prepared, to: Recipients, out: &mut Out) {
        let (vote, collects) = (prepared.vote, self.collects());
        let Some(slot) = self.slots.get_mut(&vote.height) else { return };
        if !rules::supersedes(&prepared, slot.prepared.as_ref()) {
            return;
        }
        slot.prepared = Some(prepared.clone());
        if collects {
            to_all(Message::Prepared(prepared.clone()), out);
        }
        out.push(Output::Persist { record: Some(Record::Prepared(prepared)), block: None });
        out.push(Output::Send { to, message: Message::Commit(vote) });
    }

    pub(crate) fn on_combined(
        &mut self,
        now: Time,
        statement: Statement,
        result: Result<Certificate, Vec<ReplicaId>>,
        out: &mut Out,
    ) {
        let Statement { kind, view, height, digest: block, .. } = statement;
        let vote = Vote { view, height, block };
        if kind == COMMIT {
            self.on_commits_combined(vote, result, out);
            return;
        }
        if kind != PREPARE || view != self.view || !self.active {
            return;
        }
        let Some(slot) = self.slots.get_mut(&height) else { return };
        slot.combining = None;
        match result {
            Ok(certificate) => {
                // Who had to combine what its collector should have combined does not count on it.
                let to = if self.has_collector() { Recipients::All } else { self.votes_to() };
                self.become_prepared(Prepared { vote, certificate }, to, out);
            }
            Err(culprits) => {
                slot.refused.extend(culprits.into_iter().filter(|_| !Mutant::BadSharesStay.is_on()));
                self.try_prepared(now, height, out);
            }
        }
    }

    pub(crate) fn on_commit(&mut self, now: Time, from: ReplicaId, vote: Vote, share: Share, out: &mut Out) {
        // PBFT counts the channel's word on a commit and needs no share, unless to show that its author lied.
        let domain = self.config.domain;
        let (committed, believable) = (self.committed, self.config.committee.believable());
        let Some(slot) = self.slot(vote.height) else { return };
        let cast = Cast { view: vote.view, block: vote.block, share };
        match slot.commits.get(&from) {
            Some(held) if held.view >= cast.view => {
                let said = |view, block| Vote { view, block, ..vote }.statement(COMMIT, &domain);
                out.extend(held.against(&cast, from, said).map(Output::Report));
            }
            Some(_) | None => drop(slot.commits.insert(from, cast)),
        }
        // An honest replica is about to decide here. Whoever is not in its view has to hear of what comes of it.
        if vote.height > committed && slot.commits.len() >= believable {
            slot.since.get_or_insert(now);
        }
        self.try_committed(vote.height, out);
        self.collect_commits(vote.height, out);
    }

    /// Commits what a quorum committed.
    pub(crate) fn try_committed(&mut self, height: Height, out: &mut Out) {
        let (quorum, committed) = (self.quorum(), self.committed);
        let Some(slot) = self.slots.get_mut(&height) else { return };
        if height <= committed {
            return;
        }
        if slot.committed.is_none() {
            let any = Mutant::CommitsOfAnyBlock.is_on() && slot.commits.len() >= quorum;
            let quorum = Mutant::CommitQuorum.lowers(quorum);
            let decided = slot.committed_by().into_iter().find(|(_, from)| any || from.len() >= quorum);
            let Some(((_, block), from)) = decided else { return };
            self.decide(height, block, from, out);
            return;
        }
        self.commit_ready(out);
    }

    /// Takes a block for decided, on the word of `from`.
    pub(crate) fn decide(&mut self, height: Height, block: Digest, from: Vec<ReplicaId>, out: &mut Out) {
        let Some(slot) = self.slots.get_mut(&height) else { return };
        slot.committed = Some(block);
        if !slot.bodies.contains_key(&block) {
            self.fetch_overtaken(from, block, out);
        }
        self.commit_ready(out);
    }

    /// Emits what is decided, in height order.
    pub(crate) fn commit_ready(&mut self, out: &mut Out) {
        loop {
            let height = self.committed + 1;
            let Some(slot) = self.slots.get_mut(&height) else { return };
            let Some(block) = slot.committed else { return };
            let Some(body) = slot.bodies.get(&block) else { return };
            if slot.stored.insert(block) {
                out.push(Output::Persist { record: None, block: Some(body.clone()) });
            }
            slot.bodies.clear();
            slot.since = None;
            self.committed = height;
            self.next_height = self.next_height.max(height + 1);
            out.push(Output::Commit { height, block, proof: None });
        }
    }

    pub(crate) fn on_executed(&mut self, now: Time, entry: LedgerEntry, out: &mut Out) {
        self.executed = self.executed.max(entry.height);
        if entry.height > self.committed {
            // Block sync went ahead of agreement here.
            self.committed = entry.height;
            if let Some(slot) = self.slot(entry.height) {
                slot.committed = Some(entry.block);
                slot.bodies.clear();
                slot.since = None;
            }
            for slot in self.slots.range_mut(..entry.height).map(|(_, slot)| slot) {
                slot.bodies.clear();
                slot.since = None;
            }
            self.next_height = self.next_height.max(entry.height + 1);
            self.commit_ready(out);
        }
        self.try_votes(now, out);
    }

    pub(crate) fn on_stable(&mut self, now: Time, checkpoint: CheckpointCertificate, out: &mut Out) {
        let height = checkpoint.height();
        if height <= self.stable.height() {
            return;
        }
        self.stable = checkpoint;
        self.slots = self.slots.split_off(&(height + 1));
        self.plan = self.plan.split_off(&(height + 1));
        self.committed = self.committed.max(height);
        self.executed = self.executed.max(height);
        self.next_height = self.next_height.max(height + 1);
        self.commit_ready(out);
        // Planned heights that were out of reach may have come within it.
        self.accept_planned(now, out);
        self.try_votes(now, out);
    }

    /// Bodies that were fetched.
    pub(crate) fn on_blocks(&mut self, now: Time, blocks: Vec<Block>, out: &mut Out) {
        for block in blocks {
            let (height, digest) = (block.header.height, block.digest());
            let (view, active, committed) = (self.view, self.active, self.committed);
            let planned = self.plan.get(&height).copied();
            let Some(slot) = self.slot(height).filter(|_| height > committed) else { continue };
            slot.bodies.insert(digest, block);
            if active && planned == Some(digest) && slot.accepted_in(view).is_none() {
                self.accept(now, height, digest, out);
            }
            self.try_prepared(now, height, out);
            self.try_committed(height, out);
            if let Some(slot) = self.slots.get_mut(&height) {
                slot.drop_bodies(planned);
            }
        }
    }
}
