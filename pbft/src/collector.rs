//! Votes that the leader collects, where the genesis says so (`VoteRouting::Collector`): prepares and commits go to the leader
//! alone, which combines a quorum of them and tells everybody what came of it.
//!
//! A leader that keeps that to itself gains nothing: whoever waits says so on the resend timer, and all others answer (`resend.rs`), with their
//! votes, as if these went to everybody, or with the certificate that decides.

use crate::engine::{Out, Pbft, to_all, to_one};
use crate::message::{COMMIT, Committed, Message, Prepared, Vote};
use crate::rules;
use bft_core::engine::{Output, Recipients};
use bft_core::genesis::VoteRouting;
use bft_core::types::{Height, Time};
use crypto::{Certificate, ReplicaId};

impl Pbft {
    fn is_collected(&self) -> bool {
        self.config.limits.vote_routing == VoteRouting::Collector
    }

    /// Whether this replica collects the votes of its view.
    pub(crate) fn collects(&self) -> bool {
        self.is_collected() && self.leads()
    }

    /// Whether somebody else does.
    pub(crate) fn has_collector(&self) -> bool {
        self.is_collected() && self.leader() != self.config.me
    }

    /// Who gets the votes of this view.
    pub(crate) fn votes_to(&self) -> Recipients {
        if self.is_collected() { Recipients::One(self.leader()) } else { Recipients::All }
    }

    /// The leader says that a block is prepared. Its certificate counts as one that this replica has combined, once it accepts the
    /// block: the proposal may still be on its way.
    pub(crate) fn on_prepared(&mut self, now: Time, prepared: Prepared, out: &mut Out) {
        let height = prepared.vote.height;
        let below = self.committed;
        let Some(slot) = self.slot(height) else { return };
        if rules::supersedes(&prepared, slot.collected.as_ref()) {
            slot.collected = Some(prepared);
            // A quorum has prepared it: something is to be decided here, even if its proposal never comes.
            if height > below {
                slot.since.get_or_insert(now);
            }
            self.try_prepared(now, height, out);
        }
    }

    /// A leader says that a block is decided. That is true in whichever view this replica is.
    pub(crate) fn on_committed(&mut self, now: Time, committed: Committed, out: &mut Out) {
        let Vote { height, block, .. } = committed.vote;
        let (below, others) = (self.committed, self.others());
        let Some(slot) = self.slot(height) else { return };
        slot.decided.get_or_insert(committed);
        if height > below && slot.committed.is_none() {
            slot.since.get_or_insert(now);
            self.decide(height, block, others, out);
        }
    }

    /// As collector: combines a quorum of commits for the accepted block, once.
    pub(crate) fn collect_commits(&mut self, height: Height, out: &mut Out) {
        if !self.collects() {
            return;
        }
        let (view, quorum, domain) = (self.view, self.quorum(), self.config.domain);
        let Some(slot) = self.slots.get_mut(&height) else { return };
        let Some(block) = slot.accepted_in(view).filter(|_| slot.collecting != Some(view)) else { return };
        let shares = slot.commit_shares(view, &block);
        if shares.len() >= quorum {
            slot.collecting = Some(view);
            let statement = Vote { view, height, block }.statement(COMMIT, &domain);
            out.push(Output::Combine { statement, shares });
        }
    }

    /// As collector: tells everybody, or tries again without those whose shares were bad.
    pub(crate) fn on_commits_combined(
        &mut self,
        vote: Vote,
        result: Result<Certificate, Vec<ReplicaId>>,
        out: &mut Out,
    ) {
        if vote.view != self.view || !self.active {
            return;
        }
        let Some(slot) = self.slots.get_mut(&vote.height) else { return };
        match result {
            Ok(certificate) => {
                let committed = Committed { vote, certificate };
                slot.decided = Some(committed.clone());
                to_all(Message::Committed(committed), out);
            }
            Err(culprits) => {
                slot.collecting = None;
                slot.refused.extend(culprits);
                self.collect_commits(vote.height, out);
            }
        }
    }

    /// Where the collector is silent, what others answer makes a quorum only with this replica's own votes, which it counts when they
    /// come back to it, and in no other way.
    pub(crate) fn hear_own_votes(&self, out: &mut Out) {
        if !self.is_collected() || !self.active {
            return;
        }
        let (me, view) = (self.config.me, self.view);
        for slot in self.slots.range(self.committed + 1..).map(|(_, slot)| slot) {
            let heard = |cast: Option<&crate::slot::Cast>| cast.is_some_and(|cast| cast.view == view);
            if let Some(vote) = slot.voted.filter(|vote| vote.view == view && !heard(slot.prepares.get(&me)))
            {
                to_one(me, Message::Prepare(vote), out);
            }
            let prepared = slot.prepared.as_ref().map(|prepared| prepared.vote);
            if let Some(vote) = prepared.filter(|vote| vote.view == view && !heard(slot.commits.get(&me))) {
                to_one(me, Message::Commit(vote), out);
            }
        }
    }
}
