//! Elections (3.4, 3.6, 3.10, 4.2.3, 6.2, 9.6).

use crate::engine::{Candidacy, Leadership, Out, Peer, Raft, Role, to_one};
use crate::message::{Alive, Ask, Message, Vote};
use crate::record::Record;
use crate::rules;
use bft_core::engine::{Draft, Output};
use bft_core::mutants::Mutant;
use bft_core::transaction::Payload;
use bft_core::types::{Height, Time, Timestamp, View};
use crypto::ReplicaId;
use std::collections::BTreeSet;

impl Raft {
    /// Enters a view, or stays in it, as a follower.
    pub(crate) fn follow(&mut self, now: Time, view: View, leader: Option<ReplicaId>, out: &mut Out) {
        if view > self.view {
            (self.view, self.voted) = (view, None);
            self.persist_view(out);
        }
        self.role = Role::Follower;
        self.leader = leader;
        self.agreed = self.known_to_agree();
        self.wanted = None;
        self.fetched.clear();
        self.wait_for_leader(now);
        self.ask_again(now, out);
    }

    /// Up to here the log is every leader's: it is committed. Block sync may be ahead of the log.
    pub(crate) fn known_to_agree(&self) -> Height {
        self.committed.min(self.log.last().height)
    }

    fn persist_view(&self, out: &mut Out) {
        let record = Record::View { view: self.view, voted: self.voted };
        out.push(Output::Persist { record: Some(record), block: None });
    }

    /// The leader of this view is there.
    pub(crate) fn hear(&mut self, now: Time, from: ReplicaId, view: View, out: &mut Out) {
        assert!(view > self.view || !self.leads(), "{from} leads view {view}, and so does this replica");
        let known = view == self.view && self.leader == Some(from) && matches!(self.role, Role::Follower);
        if !known {
            self.follow(now, view, Some(from), out);
        }
        self.timing.heard = now;
        self.wait_for_leader(now);
    }

    /// Says in which view it is, to whoever speaks of an earlier one.
    pub(crate) fn tell_view(&self, to: ReplicaId, out: &mut Out) {
        let message =
            Message::Alive(Alive { view: self.view, round: 0, received: 0, votes: self.config.votes });
        to_one(to, message, out);
    }

    /// No leader for too long: asks whether it would be elected.
    pub(crate) fn on_election_timeout(&mut self, now: Time, out: &mut Out) {
        self.timing.election_set = None;
        if self.leads() || !self.config.votes {
            return;
        }
        self.leader = None;
        self.wait_for_leader(now);
        if Mutant::NoPreVote.is_on() {
            return self.campaign(now, false, out);
        }
        self.role = Role::Candidate(Candidacy { pre: true, granted: BTreeSet::from([self.config.me]) });
        let ask = Ask { view: self.view + 1, last: self.log.last(), pre: true, transfer: false };
        for to in self.others() {
            to_one(to, Message::Ask(ask), out);
        }
        self.count_votes(now, out);
    }

    /// Asks for votes in the next view.
    fn campaign(&mut self, now: Time, transfer: bool, out: &mut Out) {
        (self.view, self.voted, self.leader) = (self.view + 1, Some(self.config.me), None);
        self.persist_view(out);
        self.role = Role::Candidate(Candidacy { pre: false, granted: BTreeSet::new() });
        self.wait_for_leader(now);
        let ask = Ask { view: self.view, last: self.log.last(), pre: false, transfer };
        for to in self.others() {
            to_one(to, Message::Ask(ask), out);
        }
        to_one(self.config.me, Message::Vote(Vote { view: self.view, pre: false, granted: true }), out);
    }

    pub(crate) fn on_pre_ask(&mut self, now: Time, from: ReplicaId, ask: Ask, out: &mut Out) {
        let granted = ask.view > self.view
            && !self.hears_leader(now)
            && (rules::is_up_to_date(ask.last, self.log.last()) || Mutant::AnyLogLeads.is_on());
        let view = if granted { ask.view } else { self.view };
        if self.config.votes {
            to_one(from, Message::Vote(Vote { view, pre: true, granted }), out);
        }
    }

    pub(crate) fn on_ask(&mut self, now: Time, from: ReplicaId, ask: Ask, out: &mut Out) {
        // threat 40: while a leader is there, nobody else is elected but on its own wish; not even in a view that this replica has come to
        // hear of meanwhile, or the leader's lease would be worth nothing.
        let hears = self.hears_leader(now) && !Mutant::NoPreVote.is_on();
        if ask.view >= self.view && !ask.transfer && hears {
            return;
        }
        if ask.view > self.view {
            self.follow(now, ask.view, None, out);
        }
        let last = if Mutant::AnyLogLeads.is_on() { ask.last } else { self.log.last() };
        let voted = self.voted.filter(|_| !Mutant::SecondVote.is_on());
        let granted = ask.view == self.view
            && self.config.votes
            && (matches!(self.role, Role::Follower) || Mutant::SecondVote.is_on())
            && self.leader.is_none()
            && rules::may_vote(voted, from, ask.last, last);
        if granted {
            if self.voted != Some(from) {
                self.voted = Some(from);
                self.persist_view(out);
            }
            self.wait_for_leader(now);
        }
        to_one(from, Message::Vote(Vote { view: self.view, pre: false, granted }), out);
    }

    pub(crate) fn on_vote(&mut self, now: Time, from: ReplicaId, vote: Vote, out: &mut Out) {
        let Vote { view, pre, granted } = vote;
        if view > self.view && !(pre && granted) {
            return self.follow(now, view, None, out);
        }
        let Role::Candidate(candidacy) = &mut self.role else { return };
        let asked = if candidacy.pre { self.view + 1 } else { self.view };
        if pre == candidacy.pre && view == asked && granted {
            candidacy.granted.insert(from);
            self.count_votes(now, out);
        }
    }

    fn count_votes(&mut self, now: Time, out: &mut Out) {
        let Role::Candidate(candidacy) = &self.role else { return };
        if candidacy.granted.len() < Mutant::VoteQuorum.lowers(self.quorum()) {
            return;
        }
        if candidacy.pre {
            self.campaign(now, false, out);
        } else {
            self.lead(now, out);
        }
    }

    /// Elected: begins with an empty block, since only an entry of its own commits what earlier leaders left (3.6.2, 6.4).
    fn lead(&mut self, now: Time, out: &mut Out) {
        self.leader = Some(self.config.me);
        let next = self.log.last().height + 1;
        let peer = Peer {
            next,
            matched: 0,
            received: 0,
            before: 0,
            checked: 0,
            probing: true,
            waiting: false,
            heard: now,
            round: 0,
            told: 0,
            votes: true,
        };
        self.role = Role::Leader(Leadership {
            peers: self.others().map(|replica| (replica, peer)).collect(),
            own: 0,
            round: 0,
            timed: 0,
            proposed: now,
            leaving: false,
        });
        self.fetched.clear();
        self.timing.heartbeat = now + self.heartbeat_pause();
        self.reads.lead();
        if Mutant::NoFirstEntry.is_on() {
            return;
        }
        let draft = Draft { payload: Payload::empty(), time: Timestamp(0), checkpoint: false };
        self.propose(draft, out);
        self.ask_again(now, out);
    }

    /// Asks the follower that has most to take over (3.10).
    pub(crate) fn on_leaving(&mut self, out: &mut Out) {
        if let Role::Leader(leadership) = &mut self.role {
            leadership.leaving = true;
            self.wanted = None;
            self.hand_over(out);
        }
    }

    /// Once somebody has everything.
    /// As leader that leaves: to whoever has everything and was heard last.
    pub(crate) fn hand_over(&self, out: &mut Out) {
        let Role::Leader(leadership) = &self.role else { return };
        let last = self.log.last().height;
        let ready = leadership.peers.iter().filter(|(_, peer)| peer.votes && peer.matched == last);
        if let Some((heir, _)) = ready.max_by_key(|(_, peer)| peer.heard).filter(|_| leadership.leaving) {
            to_one(*heir, Message::Lead { view: self.view }, out);
        }
    }

    pub(crate) fn on_lead(&mut self, now: Time, from: ReplicaId, view: View, out: &mut Out) {
        if view == self.view && self.leader == Some(from) && self.config.votes {
            self.campaign(now, true, out);
        }
    }
}
