//! Reads that miss nothing (6.4).

use crate::engine::{Out, Raft, Role, to_one};
use crate::message::{Heartbeat, Message};
use bft_core::engine::Output;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, Time};
use crypto::ReplicaId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads, this replica's own and those it answers as leader.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The newest token that its host asked for.
    wanted: u64,
    /// The newest that was answered.
    answered: u64,
    /// When the leader was asked last.
    asked: Time,
    /// As leader: questions, by the heartbeat whose answers allow to answer them: of each replica the newest. Invariant: for heartbeats that a
    /// majority has not answered and the next one only.
    open: BTreeMap<(u64, ReplicaId), u64>,
    /// As leader: when the heartbeats were sent that a majority has not answered.
    sent: BTreeMap<u64, Time>,
    /// As leader: the last heartbeat that a majority has answered.
    confirmed: u64,
    /// As leader: until then nobody else can have been elected, if clocks drift no more than is configured.
    lease: Option<Time>,
}

impl Reads {
    /// It was elected.
    pub fn lead(&mut self) {
        let Reads { wanted, answered, .. } = *self;
        *self = Reads { wanted, answered, ..Reads::default() };
    }

    /// The clock has left out some time: for the others more has passed since the heartbeats than it says.
    pub fn forget_lease(&mut self) {
        self.lease = None;
        self.sent.clear();
    }
}

impl Raft {
    /// Its host wants to read.
    pub(crate) fn on_read(&mut self, now: Time, token: u64, out: &mut Out) {
        self.reads.wanted = self.reads.wanted.max(token);
        self.reads.asked = now;
        match self.leader {
            Some(leader) if leader == self.config.me => self.on_ask_read(now, leader, token, out),
            Some(leader) => to_one(leader, Message::AskRead { token }, out),
            None => {}
        }
    }

    /// The leader is there and has not answered for a while: the question or the answer is lost.
    pub(crate) fn ask_patiently(&mut self, now: Time, out: &mut Out) {
        if now >= self.reads.asked + self.heartbeat_pause() {
            self.ask_again(now, out);
        }
    }

    /// There is a leader, perhaps another one: it is asked what the one before did not answer.
    pub(crate) fn ask_again(&mut self, now: Time, out: &mut Out) {
        let Reads { wanted, answered, .. } = self.reads;
        if wanted <= answered {
            return;
        }
        self.reads.asked = now;
        match self.leader {
            Some(leader) if leader == self.config.me => self.on_ask_read(now, leader, wanted, out),
            Some(leader) => to_one(leader, Message::AskRead { token: wanted }, out),
            None => {}
        }
    }

    fn round(&self) -> u64 {
        match &self.role {
            Role::Leader(leadership) => leadership.round,
            Role::Follower | Role::Candidate(_) => 0,
        }
    }

    pub(crate) fn on_ask_read(&mut self, now: Time, from: ReplicaId, token: u64, out: &mut Out) {
        if !self.leads() {
            return;
        }
        let newest = self.reads.open.entry((self.round() + 1, from)).or_default();
        *newest = token.max(*newest);
        self.answer_reads(now, out);
        self.beat_for_reads(now, out);
    }

    /// One heartbeat after the other: what is asked meanwhile shares the next one.
    fn beat_for_reads(&mut self, now: Time, out: &mut Out) {
        let unsent = self.reads.open.keys().any(|(round, _)| *round > self.round());
        if unsent && self.round() == self.reads.confirmed {
            self.beat(now, out);
            self.answer_reads(now, out);
        }
    }

    /// Says to everybody that it is there.
    pub(crate) fn beat(&mut self, now: Time, out: &mut Out) {
        let (view, committed) = (self.view, self.committed);
        let Role::Leader(leadership) = &mut self.role else { return };
        leadership.round += 1;
        let round = leadership.round;
        for (to, peer) in &mut leadership.peers {
            peer.told = peer.told.max(committed.min(peer.here()));
            to_one(*to, Message::Heartbeat(Heartbeat { view, committed, round }), out);
        }
        self.reads.sent.insert(round, now);
        self.confirm();
    }

    /// Finds the last heartbeat that a majority has answered.
    fn confirm(&mut self) {
        let quorum = self.quorum();
        let Role::Leader(leadership) = &self.role else { return };
        let voters = leadership.peers.values().filter(|peer| peer.votes);
        let mut rounds: Vec<u64> = voters.map(|peer| peer.round).chain([leadership.round]).collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        let Some(confirmed) = rounds.get(quorum - 1).copied() else { return };
        if confirmed <= self.reads.confirmed {
            return;
        }
        self.reads.confirmed = confirmed;
        let later = self.reads.sent.split_off(&(confirmed + 1));
        let sent = std::mem::replace(&mut self.reads.sent, later).into_values().next_back();
        let drift = self.config.limits.lease_drift_ppm;
        self.reads.lease = sent.zip(drift).map(|(sent, ppm)| sent + lease(self.patience(), ppm));
    }

    /// A follower has answered a heartbeat.
    pub(crate) fn on_round(&mut self, now: Time, out: &mut Out) {
        self.confirm();
        self.answer_reads(now, out);
        self.beat_for_reads(now, out);
    }

    /// Answers what may be answered, once an entry of its own view is committed: until then it may not know all that is.
    pub(crate) fn answer_reads(&mut self, now: Time, out: &mut Out) {
        let Role::Leader(leadership) = &self.role else { return };
        if self.log.view_at(self.committed) != Some(self.view) && !Mutant::ReadBeforeFirstEntry.is_on() {
            return;
        }
        let leased = !leadership.leaving && self.reads.lease.is_some_and(|until| now < until);
        let (confirmed, at, me) = (self.reads.confirmed, self.committed, self.config.me);
        let sure = leased || Mutant::ReadUnconfirmed.is_on();
        let open = std::mem::take(&mut self.reads.open);
        for ((round, from), token) in open {
            if !sure && round > confirmed {
                self.reads.open.insert((round, from), token);
            } else if from == me {
                self.on_read_answer(token, at, out);
            } else {
                to_one(from, Message::Read { token, at }, out);
            }
        }
    }

    pub(crate) fn on_read_answer(&mut self, token: u64, at: Height, out: &mut Out) {
        if token > self.reads.answered && token <= self.reads.wanted {
            self.reads.answered = token;
            out.push(Output::Readable { token, at });
        }
    }
}

/// How long after a heartbeat that a majority has answered nobody else is elected, by the leader's own clock: the shortest election timeout,
/// less what the fastest follower's clock may gain on it.
fn lease(patience: Duration, drift_ppm: u32) -> Duration {
    patience.mul_f64(1.0 - f64::from(drift_ppm.min(1_000_000)) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_the_fastest_clock_has_run_a_timeout() {
        assert_eq!(lease(Duration::from_secs(2), 0), Duration::from_secs(2));
        assert_eq!(lease(Duration::from_secs(2), 250_000), Duration::from_millis(1500));
        assert_eq!(lease(Duration::from_secs(2), u32::MAX), Duration::ZERO);
    }
}
