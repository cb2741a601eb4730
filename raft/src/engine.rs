//! The engine: its state, and which part handles which input.

use crate::log::Log;
use crate::message::{Ask, Message};
use crate::reads::Reads;
use crate::record::Record;
use crate::rules;
use crate::timing::Timing;
use bft_core::block::Block;
use bft_core::engine::{
    Engine, EngineConfig, Input, Lead, Outbox, Output, Recipients, Start, Status, WaitsFor,
};
use bft_core::envelope::Promised;
use bft_core::random::SplitMix64;
use bft_core::types::{Height, Time, View};
use crypto::{Digest, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};

/// What a replica waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// No leader was heard of.
    Election,
    /// As leader: say that it is there.
    Heartbeat,
    /// As leader: say what is committed, if nothing else does.
    Notice,
}

/// A Raft replica. See the crate's text.
#[derive(Debug)]
pub struct Raft {
    pub(crate) config: EngineConfig,
    /// The view it is in (currentTerm). Invariant: on disk, or on its way there before any promise; and so is `voted`.
    pub(crate) view: View,
    /// Whom it voted for in this view.
    pub(crate) voted: Option<ReplicaId>,
    pub(crate) role: Role,
    /// Who leads this view, once it was heard.
    pub(crate) leader: Option<ReplicaId>,
    /// Invariant: bodies only above the committed height.
    pub(crate) log: Log,
    /// Highest height committed, with all below it.
    pub(crate) committed: Height,
    pub(crate) executed: Height,
    pub(crate) stable: Height,
    /// As follower: up to here its log is the leader's.
    pub(crate) agreed: Height,
    /// Blocks of entries that were only named, with their heights: asked for, and here once they came. Invariant: above the base.
    pub(crate) fetched: BTreeMap<Digest, (Height, Option<Block>)>,
    pub(crate) reads: Reads,
    pub(crate) timing: Timing,
    pub(crate) random: SplitMix64,
    /// The outstanding request for a payload.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) tokens: u64,
}

/// What a replica is to the others.
#[derive(Debug)]
pub(crate) enum Role {
    Follower,
    Candidate(Candidacy),
    Leader(Leadership),
}

/// An election that it wants to win.
#[derive(Debug)]
pub(crate) struct Candidacy {
    /// It only asks whether it would win.
    pub pre: bool,
    pub granted: BTreeSet<ReplicaId>,
}

/// What a leader knows of the others.
#[derive(Debug)]
pub(crate) struct Leadership {
    pub peers: BTreeMap<ReplicaId, Peer>,
    /// Up to here its log is on its own disk.
    pub own: Height,
    /// The last heartbeat sent.
    pub round: u64,
    /// The last one that the timer has sent.
    pub timed: u64,
    /// When it proposed transactions last.
    pub proposed: Time,
    /// It is about to stop, and proposes nothing more.
    pub leaving: bool,
}

/// What a leader knows of one follower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The next entry to send. Invariant: matched < next.
    pub next: Height,
    /// Up to here its log is the leader's, on its disk.
    pub matched: Height,
    /// Up to here it has received it.
    pub received: Height,
    /// What it had received at the heartbeat that `checked` counts.
    pub before: Height,
    /// The last heartbeat of the timer that it has answered.
    pub checked: u64,
    /// Where the logs agree is not known: one append at a time.
    pub probing: bool,
    /// The answer to that one is out.
    pub waiting: bool,
    /// When it was heard of last.
    pub heard: Time,
    /// The last heartbeat that it has answered.
    pub round: u64,
    /// It was told that everything up to here is committed.
    pub told: Height,
    /// Whether it votes.
    pub votes: bool,
}

/// A request for a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub token: u64,
    /// Whether entries were open.
    pub open: bool,
}

/// What an engine's part writes to.
pub(crate) type Out = Outbox<Raft>;

pub(crate) fn to_one(to: ReplicaId, message: Message, out: &mut Out) {
    out.push(Output::Send { to: Recipients::One(to), message });
}

impl Engine for Raft {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(config: EngineConfig, start: Start<Raft>, now: Time, out: &mut Out) -> Raft {
        Raft::start(config, start, now, out)
    }

    fn step(&mut self, now: Time, input: Input<Raft>, out: &mut Out) {
        match input {
            Input::Message { from, message } => self.on_message(now, from, message.into_inner().message, out),
            Input::Payload { token, draft } => self.on_payload(now, token, draft, out),
            Input::Blocks { blocks } => self.on_blocks(blocks.into_inner(), out),
            Input::FetchFailed { blocks } => self.fetched.retain(|digest, _| !blocks.contains(digest)),
            Input::Executed { entry, epoch_ends_at: _ } => {
                self.on_executed(now, entry.height, entry.block, out);
            }
            Input::Stable { checkpoint, header } | Input::Restored { checkpoint, header } => {
                self.on_stable(now, &checkpoint, header, out);
            }
            Input::Read { token } => self.on_read(now, token, out),
            Input::Leaving => self.on_leaving(out),
            Input::Stalled => self.reads.forget_lease(),
            Input::Timeout(Timer::Election) => self.on_election_timeout(now, out),
            Input::Timeout(Timer::Heartbeat) => self.on_heartbeat_timeout(now, out),
            Input::Timeout(Timer::Notice) => self.on_notice(out),
            // A leader is suspected of nothing but of being gone.
            Input::Work { oldest: _ } | Input::Behind { behind: _ } => {}
            Input::Combined { .. } | Input::Aggregated { .. } => unreachable!("nothing is signed"),
        }
        self.feed(out);
        self.want_payload(now, out);
        self.set_timers(now, out);
    }

    fn records(&self) -> Vec<Record> {
        let view = Record::View { view: self.view, voted: self.voted };
        let base = Record::Base { position: self.log.base() };
        let entries = self.log.from(0).map(|(height, entry)| Record::Entry {
            position: crate::Position { view: entry.view, height },
            block: entry.block,
        });
        [view, base].into_iter().chain(entries).collect()
    }

    fn promises_of(&self, _: ReplicaId) -> Vec<Promised> {
        Vec::new()
    }

    /// Whose transactions are nobody's to propose yet keeps them.
    fn led_by(&self) -> Lead {
        Lead { view: self.view, leader: self.leader.unwrap_or(self.config.me), next: None }
    }

    fn status(&self) -> Status {
        Status {
            epoch: self.config.domain.epoch,
            view: self.view,
            leader: self.leader.unwrap_or(self.config.me),
            active: self.leader.is_some(),
            committed: self.committed,
            waits_for: self.waits_for(),
        }
    }

    fn invariants(&self) {
        self.check_invariants();
    }
}

impl Raft {
    fn on_message(&mut self, now: Time, from: ReplicaId, message: Message, out: &mut Out) {
        match message {
            Message::Ask(ask @ Ask { pre: true, .. }) => self.on_pre_ask(now, from, ask, out),
            Message::Ask(ask) => self.on_ask(now, from, ask, out),
            Message::Vote(vote) => self.on_vote(now, from, vote, out),
            Message::Append(append) => self.on_append(now, from, append, out),
            Message::Appended { view, matched } => self.on_appended(now, from, view, matched, out),
            Message::Refused(refusal) => self.on_refused(now, from, refusal, out),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(now, from, heartbeat, out),
            Message::Alive(alive) => self.on_alive(now, from, alive, out),
            Message::Lead { view } => self.on_lead(now, from, view, out),
            Message::AskRead { token } => self.on_ask_read(now, from, token, out),
            Message::Read { token, at } => self.on_read_answer(token, at, out),
        }
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    pub(crate) fn quorum(&self) -> usize {
        self.config.committee.quorum()
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let me = self.config.me;
        self.config.committee.members().filter(move |replica| *replica != me)
    }

    /// The highest height to propose now.
    pub(crate) fn limit(&self) -> Height {
        rules::highest(self.executed, self.stable, self.config.limits.window)
    }

    fn waits_for(&self) -> Vec<WaitsFor> {
        let needed = self.quorum();
        let wait = |what, height, from| vec![WaitsFor { what, height, from, needed }];
        match &self.role {
            Role::Candidate(candidacy) => {
                let what = if candidacy.pre { "pre-votes" } else { "votes" };
                wait(what, None, candidacy.granted.iter().copied().collect())
            }
            Role::Leader(leadership) if self.log.last().height > self.committed => {
                let height = self.committed + 1;
                let own = (leadership.own >= height).then_some(self.config.me);
                let others = leadership.peers.iter().filter(|(_, peer)| peer.matched >= height);
                wait(
                    "acknowledgements",
                    Some(height),
                    own.into_iter().chain(others.map(|(id, _)| *id)).collect(),
                )
            }
            Role::Follower if self.leader.is_none() => {
                vec![WaitsFor { what: "a leader", height: None, from: Vec::new(), needed: 1 }]
            }
            Role::Leader(_) | Role::Follower => Vec::new(),
        }
    }
}
