//! Lies that can be proven: suspected here, verified off this thread, kept, and passed on.
//!
//! Of each replica at most one piece of evidence is kept for each kind of contradiction. That bounds memory, disk and
//! traffic, whatever liars do to themselves: what is not new is neither kept nor passed on.

use super::{Effect, Host};
use crate::engine::Engine;
use crate::envelope::Body;
use crate::evidence::{self, Evidence};
use crate::machine::StateMachine;
use crate::types::Time;
use crate::verified::Verified;
use crypto::{ReplicaId, Statement, StatementKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long no other suspicion of the same kind against the same replica is looked into. Shares come unverified, and a liar may
/// contradict itself with bad ones without end.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is accused, of what.
type Charge = (ReplicaId, StatementKind);

/// See the module's text. Invariant: both maps have an entry for each member and kind of contradiction at most.
#[derive(Debug, Default)]
pub struct Accusations {
    kept: BTreeMap<Charge, Evidence>,
    /// When the next suspicion may be looked into.
    next: BTreeMap<Charge, Time>,
}

fn charge(evidence: &Evidence) -> Charge {
    (evidence.accused, evidence.first.0.kind)
}

impl Accusations {
    /// With what was kept before a restart.
    pub fn new(kept: Vec<Verified<Evidence>>) -> Accusations {
        let mut accusations = Accusations::default();
        for evidence in kept {
            accusations.keep(&evidence);
        }
        accusations
    }

    /// Why a replica must not vote any more, if its own word is known to be worth nothing.
    pub fn against(&self, me: ReplicaId) -> Option<String> {
        self.kept.values().find(|evidence| evidence.accused == me).map(against_oneself)
    }

    /// Whether to look into a suspicion now. One that is passed over now may be looked into when its author goes on.
    fn suspect(&mut self, now: Time, suspicion: &Evidence) -> bool {
        let charge = charge(suspicion);
        let waits = self.next.get(&charge).is_some_and(|next| now < *next);
        if waits || self.kept.contains_key(&charge) {
            return false;
        }
        self.next.insert(charge, now + PAUSE);
        true
    }

    /// Keeps evidence; gives whether it is new.
    fn keep(&mut self, evidence: &Evidence) -> bool {
        let charge = charge(evidence);
        let new = !self.kept.contains_key(&charge);
        if new {
            self.kept.insert(charge, evidence.clone());
            self.next.remove(&charge);
        }
        new
    }
}

/// What it means when a replica is shown evidence against itself.
fn against_oneself(evidence: &Evidence) -> String {
    let Statement { view, height, .. } = evidence.first.0;
    format!(
        "this replica has signed two statements that contradict each other, in view {view} at height {height}: its data directory is \
         older than what it has signed (a copy was put back, or its disk lost what was synced), or another process runs under its \
         key. See that none does, move the data directory away and start on an empty one, which does not vote; the directory \
         `evidence` has both statements"
    )
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Two statements of one replica came by that seem to contradict each other: their seals are to be verified.
    pub(super) fn on_suspicion(&mut self, now: Time, suspicion: Evidence, effects: &mut Vec<Effect>) {
        let contradiction = evidence::contradiction::<E::Message>(&suspicion.first.0, &suspicion.second.0);
        if contradiction.is_some() && self.accusations.suspect(now, &suspicion) {
            effects.push(Effect::Examine(Box::new(suspicion)));
        }
    }

    /// Keeps evidence that is new, and tells everybody once.
    pub(super) fn on_evidence(&mut self, evidence: Verified<Evidence>, effects: &mut Vec<Effect>) {
        if !self.accusations.keep(&evidence) {
            return;
        }
        let evidence = evidence.into_inner();
        effects.push(Effect::Report(Box::new(evidence.clone())));
        let others: Vec<ReplicaId> = self.others().collect();
        self.send(&others, Body::Evidence(Box::new(evidence.clone())), effects);
        // threat 79: it did not sign one of the two in this life, or it would have refused.
        if evidence.accused == self.config.me && self.config.may_vote {
            self.halt(against_oneself(&evidence), effects);
        }
    }

    /// A connection is new: what was said before may have been lost.
    pub(super) fn tell_evidence(&mut self, to: ReplicaId, effects: &mut Vec<Effect>) {
        for evidence in self.accusations.kept.values().cloned().collect::<Vec<_>>() {
            self.send(&[to], Body::Evidence(Box::new(evidence)), effects);
        }
    }

    /// Every proven lie that this replica knows of, in order of the accused.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.accusations.kept.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Seal;
    use crypto::{Digest, FaultModel, ProtocolTag};

    fn lie(accused: u16, kind: u8, digest: u8) -> Evidence {
        let statement = Statement {
            kind: StatementKind(kind),
            chain: Digest::ZERO,
            epoch: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
            view: 0,
            height: 3,
            digest: Digest([digest; 32]),
        };
        let other = Statement { digest: Digest::ZERO, ..statement };
        Evidence::new(ReplicaId(accused), (statement, Seal::None), (other, Seal::None))
    }

    #[test]
    fn one_piece_is_kept_for_each_replica_and_kind() {
        let mut accusations = Accusations::default();
        for digest in 1..100 {
            assert_eq!(accusations.keep(&lie(1, 16, digest)), digest == 1);
            assert_eq!(accusations.keep(&lie(1, 17, digest)), digest == 1);
            assert_eq!(accusations.keep(&lie(2, 16, digest)), digest == 1);
        }
        assert_eq!(accusations.kept.len(), 3);
        // The first one stays: what others were told is what is kept.
        assert_eq!(accusations.kept[&(ReplicaId(1), StatementKind(16))], lie(1, 16, 1));
    }

    #[test]
    fn suspicions_are_looked_into_one_at_a_time_until_there_is_evidence() {
        let mut accusations = Accusations::default();
        let start = Time(0);
        assert!(accusations.suspect(start, &lie(1, 16, 1)));
        assert!(!accusations.suspect(start, &lie(1, 16, 2)));
        // Neither another kind nor another replica waits for it.
        assert!(accusations.suspect(start, &lie(1, 17, 1)) && accusations.suspect(start, &lie(2, 16, 1)));
        assert!(accusations.suspect(start + PAUSE, &lie(1, 16, 3)));
        assert!(accusations.keep(&lie(1, 16, 3)));
        assert!(!accusations.suspect(start + 9 * PAUSE, &lie(1, 16, 4)));
        assert_eq!(accusations.next.len(), 2);
    }
}
