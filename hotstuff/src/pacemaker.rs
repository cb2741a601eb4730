//! Views: what begins them, and how a tenure ends whose leader does not lead (the paper's section 6; Jolteon, figure 2).

use crate::engine::{Aggregating, HotStuff, Out, to_all, to_one};
use crate::message::{Message, Qc, Tc, Timeout};
use crate::record::{Left, Record};
use crate::rules;
use bft_core::engine::Output;
use bft_core::envelope::Seal;
use bft_core::evidence::Evidence;
use bft_core::mutants::Mutant;
use bft_core::types::{Time, View};
use crypto::{Aggregate, ReplicaId, Share, Statement};
use std::collections::BTreeSet;

impl HotStuff {
    /// Begins a view.
    pub(crate) fn enter(&mut self, now: Time, view: View) {
        assert!(view > self.view, "views only grow");
        let leader = self.leader(self.view);
        self.view = view;
        self.held = None;
        self.wanted = None;
        self.refused.clear();
        self.timing.resent = 0;
        if self.leader(view) != leader {
            self.timing.enter(now);
        }
        self.prune_branches();
    }

    /// Forgets the branches that were given up, but for that of its own last vote: should that be certified after all, the others have to get
    /// it from those who voted for it. Below a gap of the certified branch nobody knows yet what was given up.
    pub(crate) fn prune_branches(&mut self) {
        let tips = self.ballot.iter().map(|_| self.ballot_digest).chain([self.high_digest]);
        let branches = tips.flat_map(|tip| self.tree.digests(tip, self.committed));
        let keep: BTreeSet<_> = branches.chain(self.decided.values().copied()).collect();
        self.tree.retain(self.lowest_known().height.max(self.committed + 1), &keep);
    }

    /// Gives up the tenure that ends with `view`: says so to the leader of the next one.
    fn leave(&mut self, now: Time, view: View, out: &mut Out) {
        if !Mutant::VoteAfterTimeout.is_on() {
            self.safety.voted = self.safety.voted.max(view);
        }
        let genesis = Mutant::HighUnsaid.is_on().then(|| Qc::genesis(&self.config.genesis_entry));
        let high = genesis.unwrap_or_else(|| self.high.clone());
        let timeout = Timeout { view, high };
        let tc = self.tc.clone().filter(|tc| tc.view > self.high.node.view);
        let left = Left { timeout: timeout.clone(), tc };
        self.left = Some(left.clone());
        self.wanted = None;
        self.timing.leave(now, self.config.limits.view_timeout());
        out.push(Output::Persist { record: Some(Record::Timeout(Box::new(left))), block: None });
        let next = self.leader(view.saturating_add(1));
        to_one(next, Message::Timeout(timeout), out);
    }

    pub(crate) fn on_progress_timeout(&mut self, now: Time, out: &mut Out) {
        self.timing.progress = None;
        if self.timing.behind && !self.has_left() {
            // Others have committed what waits here: the leader gets another timeout once this replica is with them.
            self.timing.entered = now;
        } else if !self.has_left() {
            let view = rules::last_of_tenure(self.view, self.config.limits.tenure_views);
            self.leave(now, view, out);
        }
    }

    /// The next leader did not bring a timeout certificate: everybody gets a chance to.
    pub(crate) fn on_spread(&mut self, now: Time, out: &mut Out) {
        self.timing.spread_again(now, self.config.limits.view_timeout());
        if let Some(left) = self.left.clone().filter(|_| self.has_left()) {
            to_all(Message::Timeout(left.timeout), out);
        }
    }

    pub(crate) fn on_timeout(
        &mut self,
        now: Time,
        from: ReplicaId,
        timeout: Timeout,
        share: Share,
        out: &mut Out,
    ) {
        let view = timeout.view;
        self.on_qc(now, from, timeout.high.clone(), out);
        if from != self.config.me {
            self.tell(from, timeout.high.node.view, view, out);
            self.timing.others_wait |= self.left.as_ref().is_some_and(|own| own.timeout.view == view);
        }
        if view < self.view {
            return;
        }
        if let Some((held, held_share)) = self.timeouts.get(&from) {
            if held.view == view && held.high.node.view != timeout.high.node.view {
                self.report_timeouts(from, (held, held_share), (&timeout, &share), out);
            }
            if held.view >= view {
                return;
            }
        }
        self.timeouts.insert(from, (timeout, share));
        self.try_join(now, out);
        self.try_aggregate(view, out);
    }

    fn report_timeouts(
        &self,
        who: ReplicaId,
        first: (&Timeout, &Share),
        second: (&Timeout, &Share),
        out: &mut Out,
    ) {
        let sealed = |(timeout, share): (&Timeout, &Share)| -> (Statement, Seal) {
            (timeout.statement(&self.config.domain), Seal::Share(share.clone()))
        };
        out.push(Output::Report(Evidence::new(who, sealed(first), sealed(second))));
    }

    /// Gives up the tenure that f+1 others gave up.
    fn try_join(&mut self, now: Time, out: &mut Out) {
        let me = self.config.me;
        let others = self.timeouts.iter().filter(|(from, _)| **from != me);
        let views = others.map(|(from, (timeout, _))| (*from, timeout.view)).collect();
        let least = self.left.as_ref().map_or(0, |own| own.timeout.view.saturating_add(1)).max(self.view);
        let believable = if Mutant::JoinOne.is_on() { 1 } else { self.config.committee.believable() };
        if let Some(view) = rules::view_to_join(&views, least, believable) {
            self.leave(now, view, out);
        }
    }

    /// Makes a timeout certificate of a quorum of timeouts.
    fn try_aggregate(&mut self, view: View, out: &mut Out) {
        let done = self.tc.as_ref().is_some_and(|tc| tc.view >= view);
        if done || self.aggregating.as_ref().is_some_and(|pending| pending.view >= view) {
            return;
        }
        let quorum = Mutant::TimeoutQuorum.lowers(self.quorum());
        let matching: Vec<(ReplicaId, &Timeout, &Share)> = self
            .timeouts
            .iter()
            .filter(|(from, (timeout, _))| timeout.view == view && !self.refused.contains(from))
            .map(|(from, (timeout, share))| (*from, timeout, share))
            .take(quorum)
            .collect();
        let highest = matching.iter().map(|(_, timeout, _)| &timeout.high).max_by_key(|high| high.node.view);
        let Some(high) = highest.filter(|_| matching.len() == quorum).cloned() else { return };
        let reports = matching.iter().map(|(from, timeout, _)| (*from, timeout.high.node.view)).collect();
        let words = matching
            .iter()
            .map(|(from, timeout, share)| {
                (*from, timeout.statement(&self.config.domain), Share::clone(share))
            })
            .collect();
        self.aggregating = Some(Aggregating { view, reports, high });
        out.push(Output::Aggregate { view, words });
    }

    pub(crate) fn on_aggregated(
        &mut self,
        now: Time,
        view: View,
        result: Result<Aggregate, Vec<ReplicaId>>,
        out: &mut Out,
    ) {
        let Some(Aggregating { view, reports, high }) = self.aggregating.take_if(|p| p.view == view) else {
            return;
        };
        match result {
            Ok(proof) => self.on_tc(now, self.config.me, Tc { view, reports, high, proof }, out),
            Err(culprits) => {
                self.refused.extend(culprits);
                self.try_aggregate(view, out);
            }
        }
    }

    /// A timeout certificate that holds: the next tenure begins.
    pub(crate) fn on_tc(&mut self, now: Time, from: ReplicaId, tc: Tc, out: &mut Out) {
        let view = tc.view;
        self.on_qc(now, from, tc.high.clone(), out);
        if self.tc.as_ref().is_none_or(|held| held.view < view) {
            self.tc = Some(tc);
        }
        if view >= self.view {
            self.timing.fail();
            self.enter(now, view + 1);
        }
    }

    /// Tells a replica in `view` or before, whose highest certificate is of view `high`, what it lacks.
    pub(crate) fn tell(&self, to: ReplicaId, high: View, view: View, out: &mut Out) {
        if high < self.high.node.view {
            to_one(to, Message::Certificate(Qc::clone(&self.high)), out);
        }
        let began = self.tc.as_ref().filter(|tc| tc.view >= view && tc.view > self.high.node.view);
        if let Some(tc) = began {
            to_one(to, Message::TimeoutCertificate(Box::new(tc.clone())), out);
        }
    }
}
