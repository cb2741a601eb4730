//! Proposals, votes, certificates, and what they commit (the paper's algorithm 3; algorithm 5 in its words: `onReceiveProposal`,
//! `onReceiveVote`, `update`, `onCommit`).

use crate::engine::{Held, HotStuff, Out, Wanted, to_all, to_one};
use crate::message::{Message, Node, Proposal, Qc, Tc, VOTE};
use crate::record::{Ballot, Record};
use crate::rules;
use crate::tree::is_idle;
use bft_core::block::Block;
use bft_core::engine::{Draft, Output};
use bft_core::envelope::Seal;
use bft_core::evidence::Evidence;
use bft_core::mutants::Mutant;
use bft_core::transaction::Payload;
use bft_core::types::{Height, Time, Timestamp};
use crypto::{Certificate, Digest, ReplicaId, Share, Statement};
use std::time::Duration;

/// Certified heights above the committed one while views follow each other: two with three chains, one with two.
const MOST_OPEN: u64 = 2;

impl HotStuff {
    /// Certified blocks that are not committed, the highest first.
    fn uncommitted(&self) -> Vec<Digest> {
        self.tree.branch(self.high_digest, self.committed).map(|known| known.node.block).collect()
    }

    /// Whether something waits for the certified branch to be committed. A part of it that is not here may; and so does whatever comes
    /// next, where bad luck has filled the window with empty blocks that consecutive views would have committed.
    fn must_flush(&self) -> bool {
        let high = self.high.node.height;
        if high >= self.limit() && high > self.committed + MOST_OPEN {
            return true;
        }
        let mut lowest = high + 1;
        for known in self.tree.branch(self.high_digest, self.committed) {
            if !known.idle {
                return true;
            }
            lowest = known.node.height;
        }
        lowest > self.committed + 1
    }

    /// As leader: asks for something to propose in this view; or, where there is nothing to, tells everybody the last
    /// certificate.
    pub(crate) fn want_payload(&mut self, now: Time, out: &mut Out) {
        let (view, high) = (self.view, self.high.node);
        let tc = self.tc.as_ref().map(Tc::leave).filter(|tc| tc.view.checked_add(1) == Some(view));
        let begun = rules::follows(view, high.view, tc);
        if !self.leads() || !begun || view <= self.safety.voted || high.height < self.committed {
            self.wanted = None;
            return;
        }
        // Everybody enters a tenure that began with timeouts by its first proposal: it does not wait for transactions.
        let open = self.must_flush();
        let flush = open || high.view.checked_add(1) != Some(view);
        let possible = high.height < self.limit();
        if !flush && self.told < high.view {
            self.told = high.view;
            to_all(Message::Certificate(self.high.clone()), out);
        }
        if !possible {
            self.wanted = None;
            if flush {
                self.propose(
                    now,
                    Draft { payload: Payload::empty(), time: Timestamp(0), checkpoint: false },
                    out,
                );
            }
            return;
        }
        if self.wanted.is_some_and(|wanted| wanted.view == view && wanted.flush == flush) {
            return;
        }
        self.tokens += 1;
        self.wanted = Some(Wanted { token: self.tokens, view, flush });
        // With a block on its way the next one may fill meanwhile.
        let pause = if open { Duration::from_millis(self.config.limits.batch_ms) } else { Duration::ZERO };
        let deadline = now.max(self.timing.proposed + pause);
        out.push(Output::NeedPayload {
            token: self.tokens,
            uncommitted: self.uncommitted(),
            deadline,
            flush,
        });
    }

    /// As leader: proposes a node on top of the highest certified one (the paper's `createLeaf` and `onPropose`), if this is still
    /// the view in which it asked for a payload.
    pub(crate) fn on_payload(&mut self, now: Time, token: u64, draft: Draft, out: &mut Out) {
        if self.wanted.take_if(|wanted| wanted.token == token).is_some() {
            self.propose(now, draft, out);
        }
    }

    fn propose(&mut self, now: Time, draft: Draft, out: &mut Out) {
        let (view, justify) = (self.view, self.high.clone());
        let height = justify.node.height + 1;
        let tc = self.tc.clone().filter(|_| justify.node.view + 1 != view);
        let Draft { payload, time, checkpoint } = draft;
        if !payload.is_empty() {
            self.timing.proposed = now;
        }
        let domain = self.config.domain;
        let block = Block::new(&domain.chain, domain.epoch, height, payload, time, checkpoint)
            .expect("the host builds payloads that parse");
        let proposal = Proposal { view, block: block.clone(), justify, tc };
        let node = proposal.node();
        let leave = proposal.tc.as_ref().map(Tc::leave);
        if !rules::may_vote(self.config.limits.chain, self.safety, view, node.parent_view, leave) {
            return;
        }
        self.tree.learn(now, node).keep(block);
        self.told = self.told.max(node.parent_view);
        self.promise_vote(node, proposal.justify.clone(), proposal.tc.clone(), out);
        to_all(Message::Proposal(Box::new(proposal)), out);
    }

    /// Records a vote, and the block with it. The block is here.
    fn promise_vote(&mut self, node: Node, justify: Qc, tc: Option<Tc>, out: &mut Out) {
        self.safety.voted = self.safety.voted.max(node.view);
        let ballot = Ballot { node, justify, tc, locked: self.safety.locked };
        (self.ballot, self.ballot_digest) = (Some(ballot.clone()), node.digest());
        let known = self.tree.get_mut(&self.ballot_digest).expect("a node to vote for is known");
        known.voted = Some(ballot.clone());
        let block = known.body.clone().filter(|_| !std::mem::replace(&mut known.stored, true));
        out.push(Output::Persist { record: Some(Record::Vote(Box::new(ballot))), block });
    }

    pub(crate) fn on_proposal(
        &mut self,
        now: Time,
        from: ReplicaId,
        proposal: Proposal,
        share: Share,
        out: &mut Out,
    ) {
        let node = proposal.node();
        let Proposal { view, block, justify, tc } = proposal;
        if let Some(tc) = tc.clone() {
            self.on_tc(now, from, tc, out);
        }
        self.on_qc(now, from, justify.clone(), out);
        self.compare_proposal(&node, &share, out);
        self.cast(from, node, share.clone(), out);
        let digest = node.digest();
        // Of a leader that proposes twice the first counts, and the one that is certified. Of views that are over, the latter.
        let first =
            view == self.view && (self.tree.proposed_in(view).is_none() || Mutant::SecondVote.is_on());
        let wanted = first || self.tree.get(&digest).is_some();
        let bounded = node.height <= self.stable + self.config.limits.reach() || is_idle(&block);
        if node.height <= self.committed || !bounded || !wanted {
            return;
        }
        let known = self.tree.learn(now, node);
        known.proposed.get_or_insert(share);
        if known.body.is_none() {
            known.keep(block);
        }
        if view == self.view && known.voted.is_none() {
            self.held = Some(Held { node: digest, justify, tc });
        }
        self.try_vote(out);
        self.commit_ready(now, out);
    }

    /// Votes for this view's proposal, once it is within the window.
    ///
    /// What is certified in views that do not follow each other commits nothing, so that bad luck may fill the window. Beyond it
    /// empty blocks are voted for, as long as they are needed to commit what is below them.
    pub(crate) fn try_vote(&mut self, out: &mut Out) {
        let (view, limit, committed) = (self.view, self.limit(), self.committed);
        let Some(held) = &self.held else { return };
        let Some(known) = self.tree.get(&held.node) else { return };
        let node = known.node;
        let leave = held.tc.as_ref().map(Tc::leave);
        let within = node.height <= limit || (known.idle && self.must_flush());
        if node.view != view || !within || node.height <= committed || known.body.is_none() {
            return;
        }
        if !rules::may_vote(self.config.limits.chain, self.safety, view, node.parent_view, leave) {
            return;
        }
        let Held { justify, tc, .. } = self.held.take().expect("it was just looked at");
        self.promise_vote(node, justify, tc, out);
        for collector in self.collectors(view) {
            to_one(collector, Message::Vote(node), out);
        }
    }

    /// As collector: keeps a vote.
    pub(crate) fn cast(&mut self, from: ReplicaId, node: Node, share: Share, out: &mut Out) {
        if !self.collectors(node.view).any(|collector| collector == self.config.me) {
            return;
        }
        match self.votes.get(&from) {
            Some((held, _)) if held.view > node.view => return,
            Some((held, held_share)) if held.view == node.view => {
                if *held != node {
                    self.report(from, (held, held_share), (&node, &share), out);
                }
                return;
            }
            Some(_) | None => {}
        }
        self.votes.insert(from, (node, share));
        self.try_certify(node, out);
    }

    /// Combines a quorum of votes for a node.
    fn try_certify(&mut self, node: Node, out: &mut Out) {
        if node.view <= self.high.node.view || self.combining.is_some_and(|view| view >= node.view) {
            return;
        }
        let matching =
            self.votes.iter().filter(|(from, (voted, _))| *voted == node && !self.refused.contains(from));
        let shares: Vec<(ReplicaId, Share)> =
            matching.map(|(from, (_, share))| (*from, share.clone())).collect();
        if shares.len() >= Mutant::VoteQuorum.lowers(self.quorum()) {
            self.combining = Some(node.view);
            out.push(Output::Combine { statement: node.statement(&self.config.domain), shares });
        }
    }

    pub(crate) fn on_combined(
        &mut self,
        now: Time,
        statement: Statement,
        result: Result<Certificate, Vec<ReplicaId>>,
        out: &mut Out,
    ) {
        if statement.kind != VOTE {
            return;
        }
        self.combining.take_if(|view| *view == statement.view);
        let voted = self.votes.values().map(|(node, _)| *node).find(|node| node.digest() == statement.digest);
        let Some(node) = voted.or_else(|| self.tree.node(&statement.digest).copied()) else { return };
        match result {
            Ok(proof) => self.on_qc(now, self.config.me, Qc { node, proof: Some(proof) }, out),
            Err(culprits) => {
                self.refused.extend(culprits);
                self.try_certify(node, out);
            }
        }
    }

    /// A certificate that holds (algorithm 5, `update`): raises the lock and the highest certificate, begins the next view, and
    /// commits.
    pub(crate) fn on_qc(&mut self, now: Time, from: ReplicaId, qc: Qc, out: &mut Out) {
        let node = qc.node;
        self.safety.locked = rules::lock(self.safety.locked, &node);
        if node.view <= self.high.node.view && !Mutant::AnyCertificateIsHigh.is_on() {
            return;
        }
        self.show_proposal(&node, out);
        (self.high, self.high_digest) = (qc, node.digest());
        let open = node.height > self.stable;
        if open {
            self.tree.learn(now, node);
        }
        if node.view >= self.view {
            self.enter(now, node.view + 1);
        } else {
            // Timeouts went ahead of it; it may be of another branch than the one before.
            self.prune_branches();
        }
        if open {
            self.settle(now, from, out);
        }
    }

    /// Commits what the highest certificate commits, and asks `from` for what is missing of its branch.
    pub(crate) fn settle(&mut self, now: Time, from: ReplicaId, out: &mut Out) {
        match self.newest_decision() {
            Ok(decided) => {
                self.decided.extend(decided);
                self.commit_ready(now, out);
            }
            Err(missing) => {
                if from != self.config.me && !std::mem::replace(&mut self.asked, true) {
                    to_one(from, Message::FetchNodes(missing, self.committed), out);
                }
            }
        }
    }

    /// What the certified branch commits above what is decided already; or a node of it that is not here.
    fn newest_decision(&self) -> Result<Vec<(Height, Digest)>, Digest> {
        let decided = self.decided.last_key_value().map_or(self.committed, |(height, _)| *height);
        let mut certified = self.high.node;
        let tip = loop {
            // Nothing right below it, or further down, is new.
            if certified.height <= decided + 1 {
                return Ok(Vec::new());
            }
            let parent = self.tree.node(&certified.parent).copied();
            if let Some(tip) = rules::committed(self.config.limits.chain, &certified, parent.as_ref()) {
                break tip;
            }
            certified = parent.ok_or(certified.parent)?;
        };
        let mut branch = Vec::new();
        let mut height = certified.height - if tip == certified.parent { 1 } else { 2 };
        let mut next = tip;
        while height > self.committed {
            branch.push((height, next));
            next = self.tree.node(&next).ok_or(next)?.parent;
            height -= 1;
        }
        Ok(branch)
    }

    /// Emits what is decided, in height order.
    pub(crate) fn commit_ready(&mut self, now: Time, out: &mut Out) {
        while let Some(digest) = self.decided.get(&(self.committed + 1)).copied() {
            let Some(known) = self.tree.get_mut(&digest) else { break };
            let block = known.node.block;
            match known.body.take() {
                Some(body) if !std::mem::replace(&mut known.stored, true) => {
                    out.push(Output::Persist { record: None, block: Some(body) });
                }
                Some(_) => {}
                None => {
                    let patience = self.config.limits.view_timeout() / 16;
                    let from = self.others();
                    out.push(Output::FetchBlocks { from, blocks: vec![block], patience });
                    break;
                }
            }
            self.committed += 1;
            self.timing.commit(now);
            out.push(Output::Commit { height: self.committed, block, proof: None });
        }
        self.drop_below();
    }

    /// Forgets what is committed.
    fn drop_below(&mut self) {
        let committed = self.committed;
        self.decided = self.decided.split_off(&(committed + 1));
        self.tree.drop_bodies(committed);
    }

    pub(crate) fn on_executed(&mut self, now: Time, height: Height, out: &mut Out) {
        self.executed = self.executed.max(height);
        if height > self.committed {
            // Block sync went ahead of agreement here.
            self.committed = height;
            self.drop_below();
            self.commit_ready(now, out);
        }
        self.try_vote(out);
    }

    pub(crate) fn on_stable(&mut self, now: Time, height: Height, out: &mut Out) {
        if height <= self.stable {
            return;
        }
        self.stable = height;
        self.committed = self.committed.max(height);
        self.executed = self.executed.max(height);
        self.tree.prune(height);
        self.drop_below();
        self.settle(now, self.config.me, out);
        self.try_vote(out);
    }

    /// Bodies that were fetched.
    pub(crate) fn on_blocks(&mut self, now: Time, blocks: Vec<Block>, out: &mut Out) {
        let (committed, reach) = (self.committed, self.stable + self.config.limits.reach());
        for block in blocks {
            let idle = is_idle(&block);
            for known in self.tree.with_block(block.digest()) {
                // The host fetches some for itself.
                let bounded = known.node.height <= reach || idle;
                if bounded && known.node.height > committed && known.body.is_none() {
                    known.keep(block.clone());
                }
            }
        }
        self.commit_ready(now, out);
        self.try_vote(out);
    }

    /// Reports the leader of a view if it proposed another node here than this.
    pub(crate) fn compare_proposal(&self, node: &Node, share: &Share, out: &mut Out) {
        let Some(told) = self.tree.proposed_in(node.view).filter(|told| told.node != *node) else { return };
        if let Some(told_share) = &told.proposed {
            self.report(self.leader(node.view), (&told.node, told_share), (node, share), out);
        }
    }

    /// A view's certified node is another one than its leader proposed here: shows everybody what it proposed, once. A leader that
    /// says one thing to each would not be found out by anybody alone.
    fn show_proposal(&self, certified: &Node, out: &mut Out) {
        let Some(told) = self.tree.proposed_in(certified.view).filter(|told| told.node != *certified) else {
            return;
        };
        if let Some(share) = &told.proposed {
            to_all(Message::Proposed(told.node, share.clone()), out);
        }
    }

    fn report(&self, who: ReplicaId, first: (&Node, &Share), second: (&Node, &Share), out: &mut Out) {
        let sealed = |(node, share): (&Node, &Share)| {
            (node.statement(&self.config.domain), Seal::Share(share.clone()))
        };
        out.push(Output::Report(Evidence::new(who, sealed(first), sealed(second))));
    }
}
