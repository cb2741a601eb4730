//! The engine: its state, and which part handles which input.

use crate::message::{Message, NewView, ViewChange};
use crate::record::{NewViewProof, Record, SignedViewChange};
use crate::rules;
use crate::slot::Slot;
use crate::timing::Timing;
use bft_core::engine::{
    Engine, EngineConfig, Input, Lead, Outbox, Output, Recipients, Start, Status, WaitsFor,
};
use bft_core::envelope::{Promised, Seal, Sealed};
use bft_core::ledger::CheckpointCertificate;
use bft_core::types::{Height, Time, View};
use crypto::{Digest, ReplicaId, Signature};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a replica waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Something waited too long in this view.
    Progress,
    /// The new-view did not come.
    NewView,
    /// Say again what others may lack.
    Resend,
}

/// A PBFT replica. See the crate's text.
#[derive(Debug)]
pub struct Pbft {
    pub(crate) config: EngineConfig,
    /// The view it is in, or wants to enter.
    pub(crate) view: View,
    /// Whether it has entered `view`. Invariant: if not, `own_change` is for `view`.
    pub(crate) active: bool,
    /// Highest height committed, with all below it.
    pub(crate) committed: Height,
    pub(crate) executed: Height,
    pub(crate) stable: CheckpointCertificate,
    /// Heights above the stable one. Invariant: within `reach`.
    pub(crate) slots: BTreeMap<Height, Slot>,
    /// What the new-view of this view fixed, at heights above the stable one.
    pub(crate) plan: BTreeMap<Height, Digest>,
    /// Highest height that it fixed: above it the leader proposes what it likes.
    pub(crate) plan_top: Height,
    /// As leader: the next height to propose.
    pub(crate) next_height: Height,
    /// The view-change of the highest view, of each replica.
    pub(crate) changes: BTreeMap<ReplicaId, SignedViewChange>,
    /// The last view-change of its own. Kept as it was said, whatever happens afterwards.
    pub(crate) own_change: Option<ViewChange>,
    /// New-views that wait for view-changes they name: one from each sender, so that what a liar made or passed on hides no
    /// other, and the missing view-changes are asked of somebody who should have them.
    pub(crate) pending: BTreeMap<ReplicaId, PendingNewView>,
    /// Why it is in the last view it entered.
    pub(crate) proof: Option<NewViewProof>,
    /// As leader: the view it began last, until it has entered it.
    pub(crate) begun: Option<NewViewProof>,
    pub(crate) timing: Timing,
    /// The outstanding request for a payload: its token, and how many blocks (up to two) were in agreement then.
    pub(crate) wanted: Option<(u64, u64)>,
    pub(crate) tokens: u64,
}

/// A new-view that names view-changes which are not here.
#[derive(Clone, Debug)]
pub(crate) struct PendingNewView {
    pub new_view: NewView,
    pub signature: Signature,
    /// Fetched for it alone.
    pub found: BTreeMap<ReplicaId, SignedViewChange>,
    /// What it lacks was asked for; the resend timer asks again.
    pub asked: bool,
}

/// What an engine's part writes to.
pub(crate) type Out = Outbox<Pbft>;

impl Engine for Pbft {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(config: EngineConfig, start: Start<Pbft>, now: Time, out: &mut Out) -> Pbft {
        Pbft::start(config, start, now, out)
    }

    fn step(&mut self, now: Time, input: Input<Pbft>, out: &mut Out) {
        match input {
            Input::Message { from, message } => self.on_message(now, from, message.into_inner(), out),
            Input::Work { oldest } => self.timing.work = oldest,
            Input::Behind { behind } => self.timing.behind = behind,
            Input::Payload { token, draft } => self.on_payload(token, draft, out),
            Input::Blocks { blocks } => self.on_blocks(now, blocks.into_inner(), out),
            // The resend timer asks again while the block is missing.
            Input::FetchFailed { blocks: _ } => {}
            Input::Combined { statement, result } => self.on_combined(now, statement, result, out),
            // PBFT asks for no aggregate.
            Input::Aggregated { view: _, result: _ } => {}
            Input::Executed { entry, epoch_ends_at: _ } => self.on_executed(now, entry, out),
            Input::Stable { checkpoint, header: _ } | Input::Restored { checkpoint, header: _ } => {
                self.on_stable(now, checkpoint, out)
            }
            // Reads are certified or ordered; who stops is missed as one that crashes.
            Input::Read { token: _ } | Input::Leaving | Input::Stalled => {}
            Input::Timeout(Timer::Progress) => self.on_progress_timeout(now, out),
            Input::Timeout(Timer::NewView) => self.on_new_view_timeout(now, out),
            Input::Timeout(Timer::Resend) => self.on_resend(now, out),
        }
        self.want_payload(now, out);
        self.set_timers(now, out);
    }

    fn records(&self) -> Vec<Record> {
        let entered = self.proof.iter().map(|proof| Record::NewView(proof.clone()));
        let left =
            self.own_change.iter().filter(|change| change.view >= self.view).cloned().map(Record::ViewChange);
        let votes = self.slots.values().filter_map(|slot| slot.voted).map(Record::Prepare);
        let prepared = self.slots.values().filter_map(|slot| slot.prepared.clone()).map(Record::Prepared);
        let begun = self.begun.iter().cloned().map(Record::NewView);
        entered.chain(left).chain(begun).chain(votes).chain(prepared).collect()
    }

    fn promises_of(&self, replica: ReplicaId) -> Vec<Promised> {
        self.held_of(replica)
    }

    fn led_by(&self) -> Lead {
        Lead { view: self.view, leader: self.leader(), next: None }
    }

    fn status(&self) -> Status {
        Status {
            epoch: self.config.domain.epoch,
            view: self.view,
            leader: self.leader(),
            active: self.active,
            committed: self.committed,
            waits_for: self.waits_for(),
        }
    }

    fn invariants(&self) {
        self.check_invariants();
    }
}

impl Pbft {
    fn on_message(&mut self, now: Time, from: ReplicaId, sealed: Sealed<Message>, out: &mut Out) {
        let Sealed { message, seal } = sealed;
        match (message, seal) {
            (Message::PrePrepare(proposal), Seal::Share(share)) => {
                self.on_pre_prepare(now, from, proposal, share, out)
            }
            (Message::Prepare(vote), Seal::Share(share)) => self.on_prepare(now, from, vote, share, out),
            (Message::Commit(vote), Seal::Share(share)) => self.on_commit(now, from, vote, share, out),
            (Message::ViewChange(change), Seal::Signature(signature)) => {
                self.on_view_change(now, SignedViewChange { author: from, change, signature }, out);
            }
            (Message::NewView(new_view), Seal::Signature(signature)) => {
                self.on_new_view(now, from, new_view, signature, out);
            }
            (Message::Status(status), _) => self.on_status(now, from, status, out),
            (Message::FetchViewChanges(view, wanted), _) => {
                self.on_fetch_view_changes(from, view, &wanted, out)
            }
            (Message::Relay(relay), _) => self.on_relay(now, from, relay, out),
            (Message::Prepared(prepared), _) => self.on_prepared(now, prepared, out),
            (Message::Committed(committed), _) => self.on_committed(now, committed, out),
            (
                Message::PrePrepare(_)
                | Message::Prepare(_)
                | Message::Commit(_)
                | Message::ViewChange(_)
                | Message::NewView(_),
                seal,
            ) => unreachable!("the edge lets no promise pass with {seal:?}"),
        }
    }

    /// The leader of the current view.
    pub(crate) fn leader(&self) -> ReplicaId {
        self.config.committee.in_turn(self.view)
    }

    pub(crate) fn leads(&self) -> bool {
        self.active && self.leader() == self.config.me
    }

    pub(crate) fn quorum(&self) -> usize {
        self.config.committee.quorum()
    }

    /// The highest height to vote on now.
    pub(crate) fn limit(&self) -> Height {
        rules::high_water_mark(self.executed, self.stable.height(), self.config.limits.window)
    }

    /// The slot of a height that is worth remembering.
    pub(crate) fn slot(&mut self, height: Height) -> Option<&mut Slot> {
        let stable = self.stable.height();
        let reach = stable.saturating_add(self.config.limits.reach());
        (height > stable && height <= reach).then(|| self.slots.entry(height).or_default())
    }

    /// Wants the body of a proposal that small votes may have overtaken.
    pub(crate) fn fetch_overtaken(&self, from: Vec<ReplicaId>, block: Digest, out: &mut Out) {
        let patience = self.config.limits.view_timeout() / 16;
        out.push(Output::FetchBlocks { from, blocks: vec![block], patience });
    }

    pub(crate) fn others(&self) -> Vec<ReplicaId> {
        self.config.committee.members().filter(|replica| *replica != self.config.me).collect()
    }

    fn waits_for(&self) -> Vec<WaitsFor> {
        let needed = self.quorum();
        if !self.active {
            let from: Vec<ReplicaId> =
                self.changes.values().filter(|s| s.change.view == self.view).map(|s| s.author).collect();
            let wait = if from.len() < needed {
                WaitsFor { what: "view-changes", height: None, from, needed }
            } else {
                WaitsFor { what: "new-view of the leader", height: None, from: Vec::new(), needed: 1 }
            };
            return vec![wait];
        }
        let height = self.committed + 1;
        let Some(slot) = self.slots.get(&height) else { return Vec::new() };
        let Some(block) = slot.accepted_in(self.view) else { return Vec::new() };
        let commits: Vec<ReplicaId> = slot.committed_by().remove(&(self.view, block)).unwrap_or_default();
        let prepares: Vec<ReplicaId> =
            slot.shares(self.view, &block).into_iter().map(|(from, _)| from).collect();
        let height = Some(height);
        if self.has_collector() {
            let what = match &slot.prepared {
                Some(prepared) if prepared.vote.view == self.view => "the leader's certificate of commits",
                Some(_) | None => "the leader's certificate of prepares",
            };
            vec![WaitsFor { what, height, from: Vec::new(), needed: 1 }]
        } else if prepares.len() < needed {
            vec![WaitsFor { what: "prepares", height, from: prepares, needed }]
        } else {
            vec![WaitsFor { what: "commits", height, from: commits, needed }]
        }
    }
}

pub(crate) fn to_all(message: Message, out: &mut Out) {
    out.push(Output::Send { to: Recipients::All, message });
}

pub(crate) fn to_one(to: ReplicaId, message: Message, out: &mut Out) {
    out.push(Output::Send { to: Recipients::One(to), message });
}

/// Blocks by digest, wanted from some replicas.
/// Wants a body that nobody is about to send.
pub(crate) fn fetch(from: Vec<ReplicaId>, block: Digest, out: &mut Out) {
    out.push(Output::FetchBlocks { from, blocks: vec![block], patience: Duration::ZERO });
}
