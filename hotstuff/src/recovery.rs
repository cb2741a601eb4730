//! From records to a running engine.

use crate::engine::{HotStuff, Out, to_one};
use crate::message::{Message, Node, Qc, Tc};
use crate::record::{Ballot, Record};
use crate::rules::{self, Safety};
use crate::timing::Timing;
use crate::tree::Tree;
use bft_core::engine::{EngineConfig, Output, Recipients, Start};
use bft_core::types::Time;
use crypto::Digest;
use std::collections::{BTreeMap, BTreeSet};

impl HotStuff {
    pub(crate) fn start(config: EngineConfig, start: Start<HotStuff>, now: Time, out: &mut Out) -> HotStuff {
        let Start { tip, tip_header: _, stable, records, blocks } = start;
        let mut engine = HotStuff {
            config,
            view: 1,
            safety: Safety { voted: 0, locked: 0 },
            high: Qc::genesis(&config.genesis_entry),
            high_digest: Node::genesis(&config.genesis_entry).digest(),
            tc: None,
            ballot: None,
            ballot_digest: Digest::ZERO,
            left: None,
            committed: tip.height,
            executed: tip.height,
            stable: stable.height(),
            tree: Tree::default(),
            decided: BTreeMap::new(),
            held: None,
            votes: BTreeMap::new(),
            combining: None,
            timeouts: BTreeMap::new(),
            aggregating: None,
            refused: BTreeSet::new(),
            told: 0,
            asked: false,
            turn: 0,
            timing: Timing { entered: now, committed: now, ..Timing::default() },
            wanted: None,
            tokens: 0,
        };
        for record in records {
            engine.restore(now, record);
        }
        for block in blocks {
            for known in engine.tree.with_block(block.digest()) {
                known.keep(block.clone());
                known.stored = true;
            }
        }
        engine.prune_branches();
        engine.resume(now, out);
        engine
    }

    fn restore(&mut self, now: Time, record: Record) {
        match record {
            Record::Vote(ballot) => {
                let Ballot { node, justify, tc, locked } = (*ballot).clone();
                self.safety.voted = self.safety.voted.max(node.view);
                self.safety.locked = self.safety.locked.max(locked);
                self.know(now, justify);
                self.view = self.view.max(node.view);
                self.know_tc(now, tc);
                if node.height > self.stable {
                    let known = self.tree.learn(now, node);
                    (known.voted, known.stored) = (Some((*ballot).clone()), true);
                }
                if self.ballot.as_ref().is_none_or(|last| last.node.view < node.view) {
                    (self.ballot, self.ballot_digest) = (Some(*ballot), node.digest());
                }
            }
            Record::Timeout(left) => {
                let view = left.timeout.view;
                self.safety.voted = self.safety.voted.max(view);
                self.know(now, left.timeout.high.clone());
                self.know_tc(now, left.tc.clone());
                if self.left.as_ref().is_none_or(|last| last.timeout.view < view) {
                    self.left = Some(*left);
                }
            }
        }
    }

    /// A certificate from a record.
    fn know(&mut self, now: Time, qc: Qc) {
        self.safety.locked = rules::lock(self.safety.locked, &qc.node);
        if qc.node.height > self.stable {
            self.tree.learn(now, qc.node);
        }
        self.view = self.view.max(qc.node.view + 1);
        if qc.node.view > self.high.node.view {
            self.high_digest = qc.node.digest();
            self.high = qc;
        }
    }

    /// Why a tenure had begun, from a record.
    fn know_tc(&mut self, now: Time, tc: Option<Tc>) {
        if let Some(tc) = tc.filter(|tc| self.tc.as_ref().is_none_or(|held| held.view < tc.view)) {
            self.know(now, tc.high.clone());
            self.view = self.view.max(tc.view + 1);
            self.tc = Some(tc);
        }
    }

    /// Takes up the view where it was left, and says again what was promised.
    fn resume(&mut self, now: Time, out: &mut Out) {
        if let Some(ballot) = &self.ballot
            && ballot.node.height > self.committed
        {
            let known = self.tree.get(&self.ballot_digest);
            let durable = known.is_none_or(|known| known.body.is_some());
            assert!(durable, "a vote implies a durable block, at height {}", ballot.node.height);
        }
        self.settle(now, self.config.me, out);
        if let Some(left) = self.left.clone().filter(|_| self.has_left()) {
            // Everybody may have waited for it meanwhile.
            out.push(Output::Send { to: Recipients::All, message: Message::Timeout(left.timeout) });
        }
        // It comes back to this replica too, which counts its own vote in no other way.
        if let Some(proposal) = self.own_proposal() {
            out.push(Output::Send { to: Recipients::All, message: Message::Proposal(Box::new(proposal)) });
        } else if let Some(node) = self.pending_vote().map(|ballot| ballot.node) {
            for collector in self.collectors(self.view) {
                to_one(collector, Message::Vote(node), out);
            }
        }
        self.want_payload(now, out);
        self.set_timers(now, out);
    }
}
