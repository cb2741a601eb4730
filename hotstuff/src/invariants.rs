//! What no correct run breaks. Checked after every step in tests and in the simulator.

use crate::engine::HotStuff;

impl HotStuff {
    pub(crate) fn check_invariants(&self) {
        assert!(
            self.stable <= self.executed && self.executed <= self.committed,
            "stable ≤ executed ≤ committed"
        );
        assert!(self.high.node.view < self.view, "a certificate begins the next view");
        assert!(self.safety.locked <= self.high.node.view, "the lock is certified, and so is its child");
        assert!(
            self.tc.as_ref().is_none_or(|tc| tc.view < self.view),
            "a timeout certificate begins the next tenure"
        );
        let members = self.config.committee.replicas;
        assert!(self.votes.len() <= members && self.timeouts.len() <= members, "one word a signer");
        if let Some(ballot) = &self.ballot {
            assert!(ballot.node.view <= self.safety.voted && ballot.node.view <= self.view);
            assert!(ballot.locked <= self.safety.locked, "a lock only rises");
            assert_eq!(self.ballot_digest, ballot.node.digest());
        }
        assert_eq!(self.high_digest, self.high.node.digest());
        assert!(self.left.as_ref().is_none_or(|left| left.timeout.view <= self.safety.voted));
        for (digest, known) in self.tree.iter() {
            assert_eq!(*digest, known.node.digest());
            let height = known.node.height;
            assert!(height > self.stable, "{:?} is stable", known.node);
            let within = height <= self.stable + self.config.limits.reach();
            assert!(within || known.idle || known.body.is_none(), "the window bounds blocks");
            let body = known.body.is_some();
            assert!(!body || height > self.committed, "bodies above the committed height only");
            assert!(known.voted.is_none() || known.stored, "a vote implies a durable block");
        }
        let lowest = self.lowest_known().height.max(self.committed + 1);
        let certified = self.tree.branch(self.high_digest, self.committed).count();
        let voted = self.ballot.iter().flat_map(|own| self.tree.branch(own.node.digest(), self.committed));
        let open = self.tree.iter().filter(|(_, known)| known.node.height >= lowest).count();
        let most = certified + voted.count() + self.decided.len() + 3;
        assert!(open <= most, "{open} nodes from height {lowest} on, of at most {most}");
        for (height, digest) in &self.decided {
            let known = self.tree.node(digest);
            assert!(*height > self.committed && known.is_some_and(|node| node.height == *height));
        }
    }
}
