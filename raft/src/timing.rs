//! Timers, and the randomness in them.

use crate::engine::{Out, Raft, Role, Timer};
use bft_core::random::SplitMix64;
use bft_core::types::Time;
use crypto::ReplicaId;
use std::time::Duration;

/// Heartbeats in an election timeout.
const HEARTBEATS: u32 = 10;

/// How long a leader waits for something to say before it says alone what is committed.
const NOTICE: Duration = Duration::from_millis(5);

/// When what happens next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing {
    /// When the leader was heard of last; at a start, then: it may have been heard of right before.
    pub heard: Time,
    /// When to ask for votes.
    pub election: Time,
    /// As leader: when to say that it is there.
    pub heartbeat: Time,
    /// As leader: when to say what is committed.
    pub notice: Option<Time>,
    /// Settings of the timers, so that they are not set again in vain.
    pub election_set: Option<Time>,
    pub heartbeat_set: Option<Time>,
    pub notice_set: Option<Time>,
}

/// Another sequence for each seed and replica.
pub(crate) fn random(seed: u64, replica: ReplicaId) -> SplitMix64 {
    SplitMix64(seed ^ (u64::from(replica.0) << 48))
}

impl Raft {
    /// The shortest election timeout.
    pub(crate) fn patience(&self) -> Duration {
        self.config.limits.view_timeout()
    }

    pub(crate) fn heartbeat_pause(&self) -> Duration {
        self.patience() / HEARTBEATS
    }

    /// Waits for a leader for one to two timeouts from now on.
    pub(crate) fn wait_for_leader(&mut self, now: Time) {
        let patience = self.patience();
        let micros = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX).max(1);
        let extra = Duration::from_micros(self.random.draw() % micros);
        self.timing.election = now + patience + extra;
    }

    /// Whether a leader was heard of so recently that nobody else is to be elected.
    pub(crate) fn hears_leader(&self, now: Time) -> bool {
        self.leads() || now < self.timing.heard + self.patience()
    }

    /// Sets the timers that follow from the state, where they differ from their settings.
    pub(crate) fn set_timers(&mut self, now: Time, out: &mut Out) {
        let owes = match &self.role {
            Role::Leader(leadership) => leadership.peers.values().any(|peer| peer.owes(self.committed)),
            Role::Follower | Role::Candidate(_) => false,
        };
        // With entries on their way the next append may say it.
        let open = self.log.last().height > self.committed;
        let pause = if open { NOTICE } else { Duration::ZERO };
        self.timing.notice = owes.then(|| self.timing.notice.map_or(now + pause, |at| at.min(now + pause)));
        let leads = self.leads();
        let election = (!leads && self.config.votes).then_some(self.timing.election);
        let heartbeat = leads.then_some(self.timing.heartbeat);
        out.set_timer(Timer::Election, &mut self.timing.election_set, election);
        out.set_timer(Timer::Heartbeat, &mut self.timing.heartbeat_set, heartbeat);
        out.set_timer(Timer::Notice, &mut self.timing.notice_set, self.timing.notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_draw_different_numbers() {
        let draw = |seed, replica| {
            let mut random = random(seed, ReplicaId(replica));
            [random.draw(), random.draw()]
        };
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
        assert_eq!(draw(1, 0), draw(1, 0));
    }
}
