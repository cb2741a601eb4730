//! What no correct run breaks. Checked after every step in tests and in the simulator.

use crate::engine::Pbft;

impl Pbft {
    pub(crate) fn check_invariants(&self) {
        let stable = self.stable.height();
        assert!(stable <= self.executed && self.executed <= self.committed, "stable ≤ executed ≤ committed");
        assert!(self.next_height > self.committed, "nothing is proposed at a committed height");
        assert!(self.active || self.own_change.as_ref().is_some_and(|change| change.view == self.view));
        let reach = stable + self.config.limits.stable_window() + self.config.limits.window;
        let members = self.config.committee.replicas;
        assert!(
            self.changes.len() <= members && self.pending.len() <= members,
            "one view-change and new-view a sender"
        );
        for (height, slot) in &self.slots {
            assert!(*height > stable && *height <= reach, "slot {height} is outside the window");
            assert!(slot.prepares.len() <= members && slot.commits.len() <= members, "one vote a signer");
            assert!(slot.bodies.len() <= 5, "bodies at height {height} are bounded");
            if let Some(vote) = slot.voted {
                assert!(vote.view <= self.view && vote.height == *height, "no vote in a view not reached");
            }
            if let Some(prepared) = &slot.prepared {
                assert!(prepared.vote.view <= self.view && prepared.vote.height == *height);
                let voted = slot
                    .voted
                    .is_some_and(|vote| vote.view > prepared.vote.view || vote.block == prepared.vote.block);
                assert!(
                    voted || slot.voted.is_none_or(|vote| vote.view < prepared.vote.view),
                    "prepared what it did not vote for"
                );
            }
            if let Some((view, block)) = slot.accepted {
                assert!(view <= self.view);
                assert!(
                    *height <= self.committed || view < self.view || slot.bodies.contains_key(&block),
                    "accepted a block without a body at height {height}"
                );
            }
            if *height > self.committed {
                assert!(slot.committed.is_none_or(|block| !slot.bodies.contains_key(&block) || *height > self.committed + 1));
            }
        }
    }
}
