//! View change and new view (the paper's 4.4).

use crate::engine::{Out, Pbft, PendingNewView, fetch, to_all, to_one};
use crate::message::{Message, NewView, Relay, ViewChange};
use crate::record::{NewViewProof, Record, SignedViewChange};
use crate::rules;
use bft_core::block::Block;
use bft_core::engine::Output;
use bft_core::envelope::Seal;
use bft_core::evidence::Evidence;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, Time, View};
use crypto::{Digest, ReplicaId, Signature};
use std::collections::BTreeMap;

impl Pbft {
    /// Leaves all views before `view` and says so.
    pub(crate) fn start_view_change(&mut self, now: Time, view: View, out: &mut Out) {
        assert!(view > self.view, "views only grow");
        self.view = view;
        self.active = false;
        self.wanted = None;
        self.begun = None;
        self.timing.enter(now);
        let change = ViewChange {
            view,
            stable: self.stable.clone(),
            prepared: (self.slots.values().filter_map(|slot| slot.prepared.clone()))
                .filter(|_| !Mutant::PreparedUnsaid.is_on())
                .collect(),
        };
        self.own_change = Some(change.clone());
        self.pending.retain(|_, pending| pending.new_view.view >= view);
        out.push(Output::Persist { record: Some(Record::ViewChange(change.clone())), block: None });
        to_all(Message::ViewChange(change), out);
        self.try_begin(out);
        self.try_enter(now, out);
    }

    pub(crate) fn on_view_change(&mut self, now: Time, signed: SignedViewChange, out: &mut Out) {
        self.compare_view_change(&signed, out);
        let known =
            self.changes.get(&signed.author).is_some_and(|held| held.change.view >= signed.change.view);
        if !known {
            self.changes.insert(signed.author, signed);
            let me = self.config.me;
            let others: BTreeMap<ReplicaId, View> = self
                .changes
                .iter()
                .filter(|(id, _)| **id != me)
                .map(|(id, s)| (*id, s.change.view))
                .collect();
            let believable = if Mutant::JoinOne.is_on() { 1 } else { self.config.committee.believable() };
            if let Some(view) = rules::view_to_join(&others, self.view, believable) {
                self.start_view_change(now, view, out);
            }
        }
        self.try_begin(out);
        self.try_enter(now, out);
    }

    /// View-changes for the view this replica wants to enter.
    pub(crate) fn changes_for_view(&self) -> Vec<&SignedViewChange> {
        self.changes.values().filter(|signed| signed.change.view == self.view).collect()
    }

    /// How many replicas have left every view before the wanted one. Those that have gone on count too: their view-change for
    /// this view may have been lost, and is not said again.
    pub(crate) fn have_left(&self) -> usize {
        self.changes.values().filter(|signed| signed.change.view >= self.view).count()
    }

    /// As leader: begins the view with a quorum of view-changes.
    fn try_begin(&mut self, out: &mut Out) {
        let leads = !self.active && self.leader() == self.config.me;
        let begun = self.begun.as_ref().is_some_and(|proof| proof.new_view.view == self.view);
        let quorum = Mutant::ViewChangeQuorum.lowers(self.quorum());
        if !leads || begun || self.changes_for_view().len() < quorum {
            return;
        }
        let changes: Vec<SignedViewChange> =
            self.changes_for_view().into_iter().take(quorum).cloned().collect();
        let sources = changes.iter().map(|signed| (signed.author, signed.change.digest())).collect();
        let new_view = NewView { view: self.view, sources };
        let proof = NewViewProof { new_view: new_view.clone(), signature: None, changes };
        self.begun = Some(proof.clone());
        out.push(Output::Persist { record: Some(Record::NewView(proof)), block: None });
        to_all(Message::NewView(new_view), out);
    }

    pub(crate) fn on_new_view(
        &mut self,
        now: Time,
        from: ReplicaId,
        new_view: NewView,
        signature: Signature,
        out: &mut Out,
    ) {
        self.compare_new_view(&new_view, signature, out);
        let late = new_view.view < self.view
            || (new_view.view == self.view && self.active && !Mutant::SecondNewView.is_on());
        let known = self.pending.get(&from).is_some_and(|held| held.new_view.view >= new_view.view);
        if late || known {
            return;
        }
        self.pending
            .insert(from, PendingNewView { new_view, signature, found: BTreeMap::new(), asked: false });
        self.try_enter(now, out);
    }

    /// Enters the highest view whose new-view is here with every view-change it names.
    pub(crate) fn try_enter(&mut self, now: Time, out: &mut Out) {
        if self.pending.is_empty() {
            return;
        }
        let mut ready: Option<NewViewProof> = None;
        let mut liars = Vec::new();
        // Also what this replica itself began with, should an author have gone on since.
        let begun = self.begun.iter().flat_map(|proof| &proof.changes);
        let found = self.pending.values().flat_map(|pending| pending.found.values());
        let known: BTreeMap<(ReplicaId, Digest), &SignedViewChange> = self
            .changes
            .values()
            .chain(begun)
            .chain(found)
            .map(|s| ((s.author, s.change.digest()), s))
            .collect();
        let mut asked = Vec::new();
        for (from, PendingNewView { new_view, signature, found: _, asked: before }) in &self.pending {
            let find = |source: &(ReplicaId, Digest)| known.get(source).map(|signed| (*signed).clone());
            let changes: Vec<SignedViewChange> = new_view.sources.iter().filter_map(find).collect();
            if changes.len() < new_view.sources.len() {
                let missing =
                    new_view.sources.iter().filter(|source| !known.contains_key(source)).copied().collect();
                if *from != self.config.me && !before {
                    to_one(*from, Message::FetchViewChanges(new_view.view, missing), out);
                    asked.push(*from);
                }
            } else if changes.iter().any(|signed| signed.change.view != new_view.view) {
                // threat 5: a new-view counts for nothing but the view-changes it names.
                liars.push(*from);
            } else if ready.as_ref().is_none_or(|ready| ready.new_view.view < new_view.view) {
                ready =
                    Some(NewViewProof { new_view: new_view.clone(), signature: Some(*signature), changes });
            }
        }
        for (from, pending) in &mut self.pending {
            pending.asked |= asked.contains(from);
        }
        self.pending.retain(|from, _| !liars.contains(from));
        if let Some(proof) = ready {
            self.enter(now, proof, out);
        }
    }

    fn enter(&mut self, now: Time, proof: NewViewProof, out: &mut Out) {
        self.view = proof.new_view.view;
        self.active = true;
        self.wanted = None;
        self.own_change = None;
        self.begun = None;
        let view = self.view;
        self.pending.retain(|_, pending| pending.new_view.view > view);
        self.timing.enter(now);
        out.push(Output::Persist { record: Some(Record::NewView(proof.clone())), block: None });
        let plan =
            rules::plan(proof.changes.iter().map(|signed| &signed.change)).expect("a quorum is not empty");
        self.proof = Some(proof);
        if plan.stable.height() > self.stable.height() {
            out.push(Output::Lagging { checkpoint: plan.stable.clone() });
        }
        self.lay_out(&plan);
        self.next_height = self.plan_top.max(self.committed).max(self.stable.height()) + 1;
        self.accept_planned(now, out);
        self.take_early(now, out);
        let heights: Vec<Height> = self.slots.keys().copied().collect();
        for height in heights {
            self.try_prepared(now, height, out);
        }
    }

    /// Makes the plan this view's: what is beyond it in the slots is no longer proposed.
    pub(crate) fn lay_out(&mut self, plan: &rules::Plan) {
        let top = plan.top();
        let (epoch, stable) = (self.config.domain.epoch, self.stable.height());
        let digest = |(height, block): (&Height, &Option<Digest>)| {
            (*height, block.unwrap_or_else(|| Block::null(epoch, *height).digest()))
        };
        self.plan = plan.blocks.range(stable + 1..).map(digest).collect();
        self.plan_top = top;
        for (height, slot) in &mut self.slots {
            let planned = self.plan.get(height).copied();
            slot.refused.clear();
            slot.combining = None;
            if *height > top && slot.committed.is_none() {
                slot.since = None;
            }
            if Mutant::PreparedDropped.is_on() {
                slot.prepared = None;
            }
            slot.drop_bodies(planned);
        }
    }

    /// Accepts the planned blocks whose bodies are here, and asks for the others.
    pub(crate) fn accept_planned(&mut self, now: Time, out: &mut Out) {
        if !self.active {
            return;
        }
        let (view, committed, epoch) = (self.view, self.committed, self.config.domain.epoch);
        for (height, digest) in self.plan.clone() {
            let Some(slot) = self.slot(height).filter(|slot| slot.accepted_in(view).is_none()) else {
                continue;
            };
            // A new-view that comes late may plan what a later view, seen only through its commits, has decided otherwise.
            if slot.committed.is_some_and(|decided| decided != digest) {
                continue;
            }
            let null = Block::null(epoch, height);
            if height > committed && null.digest() == digest {
                slot.bodies.insert(digest, null);
            }
            if height <= committed || slot.bodies.contains_key(&digest) {
                self.accept(now, height, digest, out);
                self.try_prepared(now, height, out);
            } else {
                slot.since.get_or_insert(now);
                fetch(self.others(), digest, out);
            }
        }
        self.commit_ready(out);
    }

    /// Takes the proposals of this view that came before it was entered.
    fn take_early(&mut self, now: Time, out: &mut Out) {
        let (view, leader) = (self.view, self.leader());
        let mut due = Vec::new();
        for slot in self.slots.values_mut() {
            if let Some(early) = slot.early.take_if(|early| early.view <= view)
                && early.view == view
            {
                due.push(early);
            }
        }
        for early in due {
            let proposal = crate::message::PrePrepare { view, block: early.block };
            self.on_pre_prepare(now, leader, proposal, early.share, out);
        }
    }

    pub(crate) fn on_fetch_view_changes(
        &mut self,
        from: ReplicaId,
        view: View,
        wanted: &[(ReplicaId, Digest)],
        out: &mut Out,
    ) {
        let proofs = self.proof.iter().chain(&self.begun);
        let proven = proofs.filter(|proof| proof.new_view.view == view).flat_map(|proof| &proof.changes);
        let known: Vec<&SignedViewChange> = proven.chain(self.changes.values()).collect();
        for (author, digest) in wanted {
            let found =
                known.iter().find(|signed| signed.author == *author && signed.change.digest() == *digest);
            if let Some(SignedViewChange { author, change, signature }) = found {
                to_one(
                    from,
                    Message::Relay(Relay::ViewChange(*author, Box::new(change.clone()), *signature)),
                    out,
                );
            }
        }
    }

    pub(crate) fn on_relay(&mut self, now: Time, from: ReplicaId, relay: Relay, out: &mut Out) {
        match relay {
            Relay::ViewChange(author, change, signature) => {
                let signed = SignedViewChange { author, change: *change, signature };
                self.compare_view_change(&signed, out);
                self.take_wanted(&signed);
                self.try_enter(now, out);
            }
            Relay::NewView(new_view, signature) => self.on_new_view(now, from, new_view, signature, out),
            Relay::Proposed(vote, share) => self.compare_proposal(vote, share, out),
        }
    }

    /// Reports the author of another view-change for the same view, if one is known: the leader may have been told one thing and
    /// this replica another.
    fn compare_view_change(&self, signed: &SignedViewChange, out: &mut Out) {
        let proven = self.proof.iter().chain(&self.begun).flat_map(|proof| &proof.changes);
        let found = self.pending.values().flat_map(|pending| pending.found.values());
        let other = self.changes.values().chain(proven).chain(found).find(|known| {
            known.author == signed.author
                && known.change.view == signed.change.view
                && known.change != signed.change
        });
        if let Some(other) = other {
            let sealed = |signed: &SignedViewChange| {
                (signed.change.statement(&self.config.domain), Seal::Signature(signed.signature))
            };
            out.push(Output::Report(Evidence::new(signed.author, sealed(other), sealed(signed))));
        }
    }

    /// Reports the leader of a view that began it twice.
    fn compare_new_view(&self, new_view: &NewView, signature: Signature, out: &mut Out) {
        let pending = self.pending.values().map(|pending| (&pending.new_view, Some(pending.signature)));
        let entered = self.proof.iter().map(|proof| (&proof.new_view, proof.signature));
        let other = pending.chain(entered).find_map(|(known, signature)| {
            let differs = known.view == new_view.view && known != new_view;
            differs.then_some((known, signature?))
        });
        if let Some((other, other_signature)) = other {
            let sealed = |new_view: &NewView, signature| {
                (new_view.statement(&self.config.domain), Seal::Signature(signature))
            };
            let leader = self.config.committee.in_turn(new_view.view);
            let (first, second) = (sealed(other, other_signature), sealed(new_view, signature));
            out.push(Output::Report(Evidence::new(leader, first, second)));
        }
    }

    /// Keeps a view-change for the new-views that name it, even where its author has gone on since.
    fn take_wanted(&mut self, signed: &SignedViewChange) {
        let source = (signed.author, signed.change.digest());
        for pending in self.pending.values_mut().filter(|pending| pending.new_view.sources.contains(&source))
        {
            pending.found.insert(signed.author, signed.clone());
        }
    }
}
