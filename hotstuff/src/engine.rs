//! The engine: its state, and which part handles which input.

use crate::message::{Message, Node, Qc, Tc, Timeout};
use crate::record::{Ballot, Left, Record};
use crate::rules::{self, Safety};
use crate::timing::Timing;
use crate::tree::Tree;
use bft_core::engine::{
    Engine, EngineConfig, Input, Lead, Outbox, Output, Recipients, Start, Status, WaitsFor,
};
use bft_core::envelope::{Promised, Seal, Sealed};
use bft_core::types::{Height, Time, View};
use crypto::{Digest, ReplicaId, Share};
use std::collections::{BTreeMap, BTreeSet};

/// What a replica waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Something waited too long in this tenure.
    Progress,
    /// The timeout certificate did not come.
    Spread,
    /// Say again what others may lack.
    Resend,
}

/// A chained HotStuff replica. See the crate's text.
#[derive(Debug)]
pub struct HotStuff {
    pub(crate) config: EngineConfig,
    /// The view it is in.
    pub(crate) view: View,
    /// What bounds its votes. Invariant: follows from records on disk, or on their way there before any promise.
    pub(crate) safety: Safety,
    /// The highest certificate (the paper's genericQC, b_leaf's). Invariant: of a view before `view`.
    pub(crate) high: Qc,
    /// Invariant: the digest of `high`'s node. It is looked up in every step.
    pub(crate) high_digest: Digest,
    /// The highest timeout certificate.
    pub(crate) tc: Option<Tc>,
    /// Its last vote.
    pub(crate) ballot: Option<Ballot>,
    /// Invariant: the digest of `ballot`'s node, where there is one.
    pub(crate) ballot_digest: Digest,
    /// Its last timeout. Said again as it was said, whatever happens afterwards.
    pub(crate) left: Option<Left>,
    /// Highest height committed, with all below it.
    pub(crate) committed: Height,
    pub(crate) executed: Height,
    pub(crate) stable: Height,
    /// Nodes above the stable height: the certified branch, and few others. Invariant: bodies only above the committed height.
    pub(crate) tree: Tree,
    /// Committed nodes whose turn, or whose block, has not come.
    pub(crate) decided: BTreeMap<Height, Digest>,
    /// A proposal of this view that cannot be voted for yet.
    pub(crate) held: Option<Held>,
    /// As collector: the vote of the highest view, of each replica.
    pub(crate) votes: BTreeMap<ReplicaId, (Node, Share)>,
    /// Votes are being combined for a node of this view.
    pub(crate) combining: Option<View>,
    /// The timeout of the highest view, of each replica.
    pub(crate) timeouts: BTreeMap<ReplicaId, (Timeout, Share)>,
    /// Timeouts are being aggregated: to this certificate, but for the proof.
    pub(crate) aggregating: Option<Aggregating>,
    /// Whose shares were bad in this view.
    pub(crate) refused: BTreeSet<ReplicaId>,
    /// The highest certificate that it told everybody, alone or in a proposal.
    pub(crate) told: View,
    /// A node that is missing was asked for; the resend timer asks again.
    pub(crate) asked: bool,
    /// Which of the others is asked next.
    pub(crate) turn: usize,
    pub(crate) timing: Timing,
    /// The outstanding request for a payload.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) tokens: u64,
}

/// A proposal of this view that was not voted for yet.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub node: Digest,
    pub justify: Qc,
    pub tc: Option<Tc>,
}

/// A timeout certificate in the making.
#[derive(Clone, Debug)]
pub(crate) struct Aggregating {
    pub view: View,
    pub reports: Vec<(ReplicaId, View)>,
    pub high: Qc,
}

/// A request for a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub token: u64,
    pub view: View,
    pub flush: bool,
}

/// What an engine's part writes to.
pub(crate) type Out = Outbox<HotStuff>;

impl Engine for HotStuff {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(config: EngineConfig, start: Start<HotStuff>, now: Time, out: &mut Out) -> HotStuff {
        HotStuff::start(config, start, now, out)
    }

    fn step(&mut self, now: Time, input: Input<HotStuff>, out: &mut Out) {
        match input {
            Input::Message { from, message } => self.on_message(now, from, message.into_inner(), out),
            Input::Work { oldest } => self.timing.work = oldest,
            Input::Behind { behind } => self.timing.behind = behind,
            Input::Payload { token, draft } => self.on_payload(now, token, draft, out),
            Input::Blocks { blocks } => self.on_blocks(now, blocks.into_inner(), out),
            // The resend timer asks again while the block is missing.
            Input::FetchFailed { blocks: _ } => {}
            Input::Combined { statement, result } => self.on_combined(now, statement, result, out),
            Input::Aggregated { view, result } => self.on_aggregated(now, view, result, out),
            Input::Executed { entry, epoch_ends_at: _ } => self.on_executed(now, entry.height, out),
            Input::Stable { checkpoint, header: _ } | Input::Restored { checkpoint, header: _ } => {
                self.on_stable(now, checkpoint.height(), out);
            }
            // Reads are certified or ordered; who stops is missed as one that crashes.
            Input::Read { token: _ } | Input::Leaving | Input::Stalled => {}
            Input::Timeout(Timer::Progress) => self.on_progress_timeout(now, out),
            Input::Timeout(Timer::Spread) => self.on_spread(now, out),
            Input::Timeout(Timer::Resend) => self.on_resend(now, out),
        }
        self.want_payload(now, out);
        self.set_timers(now, out);
    }

    fn records(&self) -> Vec<Record> {
        let last = self.ballot.iter().filter(|_| self.tree.get(&self.ballot_digest).is_none());
        let mut ballots: Vec<&Ballot> =
            self.tree.iter().filter_map(|(_, known)| known.voted.as_ref()).chain(last).collect();
        ballots.sort_unstable_by_key(|ballot| ballot.node.view);
        let votes = ballots.into_iter().cloned().map(|ballot| Record::Vote(Box::new(ballot)));
        let left = self.left.iter().cloned().map(Box::new).map(Record::Timeout);
        votes.chain(left).collect()
    }

    fn promises_of(&self, replica: ReplicaId) -> Vec<Promised> {
        self.held_of(replica)
    }

    fn led_by(&self) -> Lead {
        let (turn, length) = (self.tenure(self.view), self.config.limits.tenure_views);
        let committee = &self.config.committee;
        let ends = rules::ends_soon(self.view, length) || self.has_left();
        let next = ends.then(|| committee.in_turn(turn + 1));
        Lead { view: turn * length, leader: committee.in_turn(turn), next }
    }

    fn status(&self) -> Status {
        Status {
            epoch: self.config.domain.epoch,
            view: self.view,
            leader: self.leader(self.view),
            active: !self.has_left(),
            committed: self.committed,
            waits_for: self.waits_for(),
        }
    }

    fn invariants(&self) {
        self.check_invariants();
    }
}

impl HotStuff {
    fn on_message(&mut self, now: Time, from: ReplicaId, sealed: Sealed<Message>, out: &mut Out) {
        let Sealed { message, seal } = sealed;
        match (message, seal) {
            (Message::Proposal(proposal), Seal::Share(share)) => {
                self.on_proposal(now, from, *proposal, share, out);
            }
            (Message::Vote(node), Seal::Share(share)) => self.cast(from, node, share, out),
            (Message::Timeout(timeout), Seal::Share(share)) => {
                self.on_timeout(now, from, timeout, share, out);
            }
            (Message::Certificate(qc), _) => self.on_qc(now, from, qc, out),
            (Message::TimeoutCertificate(tc), _) => self.on_tc(now, from, *tc, out),
            (Message::Status(status), _) => self.on_status(from, status, out),
            (Message::FetchNodes(tip, above), _) => self.on_fetch_nodes(from, tip, above, out),
            (Message::Nodes(nodes), _) => self.on_nodes(now, from, &nodes, out),
            (Message::Proposed(node, share), _) => self.compare_proposal(&node, &share, out),
            (Message::Proposal(_) | Message::Vote(_) | Message::Timeout(_), seal) => {
                unreachable!("the edge lets no promise pass with {seal:?}")
            }
        }
    }

    fn tenure(&self, view: View) -> u64 {
        rules::tenure(view, self.config.limits.tenure_views)
    }

    /// The leader of a view.
    pub(crate) fn leader(&self, view: View) -> ReplicaId {
        self.config.committee.in_turn(self.tenure(view))
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader(self.view) == self.config.me
    }

    /// Whether it has timed out in the tenure it is in.
    pub(crate) fn has_left(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.timeout.view >= self.view)
    }

    pub(crate) fn quorum(&self) -> usize {
        self.config.committee.quorum()
    }

    /// The highest height to vote on now.
    pub(crate) fn limit(&self) -> Height {
        rules::highest(self.executed, self.stable, self.config.limits.window)
    }

    pub(crate) fn others(&self) -> Vec<ReplicaId> {
        self.config.committee.members().filter(|replica| *replica != self.config.me).collect()
    }

    /// Who combines the votes of a view: the leader of the next one, who goes on from there, and the one of the view itself, so
    /// that a next leader that keeps the certificate to itself hides nothing (threat 32).
    pub(crate) fn collectors(&self, view: View) -> impl Iterator<Item = ReplicaId> + use<> {
        let (next, own) = (self.leader(view.saturating_add(1)), self.leader(view));
        [next].into_iter().chain(Some(own).filter(|own| *own != next))
    }

    fn waits_for(&self) -> Vec<WaitsFor> {
        let needed = self.quorum();
        let one = |what, height| vec![WaitsFor { what, height, from: Vec::new(), needed: 1 }];
        if let Some(own) = self.left.as_ref().filter(|_| self.has_left()) {
            if self.leader(own.timeout.view.saturating_add(1)) != self.config.me {
                return one("the next leader's timeout certificate", None);
            }
            let left = self.timeouts.iter().filter(|(_, (timeout, _))| timeout.view >= self.view);
            let from = left.map(|(from, _)| *from).collect();
            return vec![WaitsFor { what: "timeouts", height: None, from, needed }];
        }
        let Some(ballot) = self.ballot.as_ref().filter(|ballot| ballot.node.view == self.view) else {
            return Vec::new();
        };
        if !self.collectors(self.view).any(|collector| collector == self.config.me) {
            return one("the leader's certificate", Some(ballot.node.height));
        }
        let from =
            self.votes.iter().filter(|(_, (node, _))| *node == ballot.node).map(|(from, _)| *from).collect();
        vec![WaitsFor { what: "votes", height: Some(ballot.node.height), from, needed }]
    }
}

pub(crate) fn to_all(message: Message, out: &mut Out) {
    out.push(Output::Send { to: Recipients::All, message });
}

pub(crate) fn to_one(to: ReplicaId, message: Message, out: &mut Out) {
    out.push(Output::Send { to: Recipients::One(to), message });
}
