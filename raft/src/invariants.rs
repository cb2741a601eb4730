//! What no correct run breaks. Checked after every step in tests and in the simulator.

use crate::engine::{Raft, Role};

impl Raft {
    pub(crate) fn check_invariants(&self) {
        assert!(self.executed <= self.committed, "executed ≤ committed");
        let last = self.log.last();
        assert!(last.view <= self.view, "no entry is of a later view than this replica has heard of");
        for (height, entry) in self.log.from(0) {
            let body = entry.body.is_some();
            assert_eq!(
                body,
                height > self.committed,
                "bodies above the committed height only, and all of them"
            );
            let within = height <= self.stable + self.config.limits.reach();
            let empty = entry.body.as_ref().is_none_or(|block| block.payload.is_empty());
            assert!(within || empty, "the window bounds blocks");
        }
        let base = self.log.base().height;
        assert!(
            self.fetched.values().all(|(height, _)| *height > base),
            "nothing is fetched that the log is past"
        );
        assert!(self.agreed <= last.height, "what agrees with the leader's log is in this one");
        match &self.role {
            Role::Leader(leadership) => {
                assert_eq!(self.leader, Some(self.config.me));
                assert!(leadership.own <= last.height, "its own log is what it acknowledges");
                for (replica, peer) in &leadership.peers {
                    assert!(
                        peer.matched < peer.next,
                        "{replica} has acknowledged what was not sent: {peer:?}"
                    );
                    assert!(peer.next <= last.height + 1, "{replica} is sent what is not there: {peer:?}");
                }
            }
            Role::Candidate(candidacy) => {
                assert!(self.leader.is_none() && candidacy.granted.len() <= self.config.committee.replicas);
                assert!(candidacy.pre || self.voted == Some(self.config.me), "a candidate votes for itself");
            }
            Role::Follower => assert!(self.leader != Some(self.config.me), "who follows does not lead"),
        }
    }
}
