//! Retransmission: says how far it is, and sends again what others lack (Castro's thesis, section 5.2).

use crate::engine::{Out, Pbft, fetch, to_all, to_one};
use crate::message::{COMMIT, Message, NewView, PREPARE, PrePrepare, Relay, Status, Vote};
use crate::slot::Early;
use bft_core::engine::Output;
use bft_core::envelope::{Promised, Seal};
use bft_core::mutants::Mutant;
use bft_core::types::{Height, Time};
use crypto::{Digest, ReplicaId};

/// Heights sent again in answer to one status.
const HEIGHTS: u64 = 16;

impl Pbft {
    /// While something waits: says how far it is, and asks again for what it lacks.
    pub(crate) fn on_resend(&mut self, now: Time, out: &mut Out) {
        self.timing.resend = None;
        if Mutant::NoRetransmission.is_on() {
            return;
        }
        to_all(Message::Status(self.own_status()), out);
        self.hear_own_votes(out);
        if !self.active
            && let Some(change) = self.own_change.clone()
        {
            to_all(Message::ViewChange(change), out);
        }
        for pending in self.pending.values_mut() {
            pending.asked = false;
        }
        self.try_enter(now, out);
        let missing: Vec<Digest> = self
            .slots
            .range(self.committed + 1..)
            .filter_map(|(height, slot)| {
                let wanted = slot.committed.or(self.plan.get(height).copied())?;
                (!slot.bodies.contains_key(&wanted)).then_some(wanted)
            })
            .collect();
        for block in missing {
            fetch(self.others(), block, out);
        }
        let heights: Vec<Height> =
            self.slots.range(self.committed + 1..).map(|(height, _)| *height).collect();
        for height in heights {
            self.try_prepared(now, height, out);
        }
    }

    fn own_status(&self) -> Status {
        let accepted = |height: &Height| {
            self.slots.get(height).is_some_and(|slot| slot.accepted_in(self.view).is_some())
        };
        let proposed = (self.committed + 1..).take_while(accepted).last().unwrap_or(self.committed);
        Status { view: self.view, active: self.active, committed: self.committed, proposed }
    }

    pub(crate) fn on_status(&mut self, now: Time, from: ReplicaId, status: Status, out: &mut Out) {
        if status.committed < self.stable.height() {
            out.push(Output::Advise { to: from });
        }
        if status.view < self.view || (status.view == self.view && !status.active) {
            self.tell_view(from, out);
        }
        self.send_decisions(from, &status, out);
        if status.view == self.view && status.active && self.active {
            self.send_votes_again(now, from, &status, out);
        }
    }

    /// What a quorum has decided needs no votes, and no view: who was told by the collector tells the others.
    fn send_decisions(&self, to: ReplicaId, status: &Status, out: &mut Out) {
        let from = status.committed.saturating_add(1);
        let slots = self.slots.range(from..from.saturating_add(HEIGHTS)).map(|(_, slot)| slot);
        for decided in slots.filter_map(|slot| slot.decided.clone()) {
            to_one(to, Message::Committed(decided), out);
        }
    }

    /// Tells a replica that has not entered this view why it is the view, or what this replica wants.
    fn tell_view(&mut self, to: ReplicaId, out: &mut Out) {
        if !self.active {
            if let Some(change) = self.own_change.clone() {
                to_one(to, Message::ViewChange(change), out);
            }
            return;
        }
        let Some(proof) = &self.proof else { return };
        let new_view = proof.new_view.clone();
        match proof.signature {
            Some(signature) => to_one(to, Message::Relay(Relay::NewView(new_view, signature)), out),
            None => to_one(to, Message::NewView(new_view), out),
        }
    }

    /// What it holds of another replica's promises: about views, then votes from the highest height down.
    pub(crate) fn held_of(&self, replica: ReplicaId) -> Vec<Promised> {
        let domain = self.config.domain;
        let leads = |view| self.config.committee.in_turn(view) == replica;
        let proven = self.proof.iter().chain(&self.begun).flat_map(|proof| &proof.changes);
        let changes = self.changes.values().chain(proven).filter(|signed| signed.author == replica);
        let left = changes.map(|signed| (signed.change.statement(&domain), signed.signature));
        let begun = |new_view: &NewView, signature| {
            leads(new_view.view).then(|| (new_view.statement(&domain), signature))
        };
        let pending = self.pending.values().filter_map(|held| begun(&held.new_view, held.signature));
        let entered = self.proof.iter().filter_map(|proof| begun(&proof.new_view, proof.signature?));
        let views = left.chain(entered).chain(pending).map(|(said, by)| (said, Seal::Signature(by)));
        let votes = self.slots.iter().rev().flat_map(|(height, slot)| {
            let early = slot.early.as_ref().filter(|early| leads(early.view)).map(Early::cast);
            let prepares = slot.prepares.get(&replica).cloned().into_iter().chain(early);
            let commits = slot.commits.get(&replica).cloned();
            let prepares = prepares.map(|cast| (PREPARE, cast));
            prepares.chain(commits.map(|cast| (COMMIT, cast))).map(|(kind, cast)| {
                let vote = Vote { view: cast.view, height: *height, block: cast.block };
                (vote.statement(kind, &domain), Seal::Share(cast.share))
            })
        });
        views.chain(votes).map(|(statement, seal)| Promised { statement, seal }).collect()
    }

    fn send_votes_again(&mut self, now: Time, to: ReplicaId, status: &Status, out: &mut Out) {
        let from = status.committed.saturating_add(1);
        let leads = self.leads();
        for (height, slot) in self.slots.range(from..from.saturating_add(HEIGHTS)) {
            let vote = slot.voted.filter(|vote| vote.view == self.view && slot.decided.is_none());
            let Some(vote) = vote else { continue };
            // A proposal that is young is still on its way: sending it twice would slow down whom it is meant to help.
            let lost =
                slot.since.is_some_and(|since| now.since(since) >= self.config.limits.view_timeout() / 2);
            let own_proposal = leads && *height > self.plan_top && *height > status.proposed && lost;
            match slot.bodies.get(&vote.block).filter(|_| own_proposal) {
                Some(block) => {
                    let proposal = PrePrepare { view: self.view, block: block.clone() };
                    to_one(to, Message::PrePrepare(proposal), out);
                }
                None => to_one(to, Message::Prepare(vote), out),
            }
            if let Some(prepared) = slot.prepared.as_ref().filter(|prepared| prepared.vote.view == self.view)
            {
                to_one(to, Message::Commit(prepared.vote), out);
            }
        }
    }
}
