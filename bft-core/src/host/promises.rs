//! Promises on their way out: each waits for the disk and for its seal, and none contradicts another.

use crate::envelope::{Seal, SealWith};
use crate::log::Height;
use crate::mutants::Mutant;
use crypto::{Digest, Statement, StatementKind};
use std::collections::BTreeMap;

/// What may carry one signed value only: kind, view and height of a statement.
type Slot = (StatementKind, u64, Height);

/// Remembers every statement signed, so that no second one contradicts it, and its seal, so that saying it again
/// costs nothing.
#[derive(Debug, Default)]
pub struct Guard {
    signed: BTreeMap<Slot, (Digest, Option<Seal>)>,
}

/// This replica was about to sign a statement that contradicts one it signed before. An engine that is correct never
/// does; the replica stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused to sign {new:?}: it contradicts {old}, signed before; this is a defect, and the replica stops"
)]
pub struct Contradiction {
    /// The statement.
    pub new: Box<Statement>,
    /// What was signed in its place.
    pub old: Digest,
}

impl Guard {
    /// Enters a statement; gives the seal if it was sealed before.
    ///
    /// # Errors
    /// If another value was signed in its place.
    pub fn enter(&mut self, statement: &Statement) -> Result<Option<Seal>, Contradiction> {
        let slot = (statement.kind, statement.view, statement.height);
        let (digest, seal) = self.signed.entry(slot).or_insert((statement.digest, None));
        if *digest == statement.digest {
            Ok(seal.clone())
        } else if Mutant::SecondVote.is_on() {
            (*digest, *seal) = (statement.digest, None);
            Ok(None)
        } else {
            Err(Contradiction { new: Box::new(*statement), old: *digest })
        }
    }

    fn sealed(&mut self, statement: &Statement, seal: &Seal) {
        if let Some(entry) = self.signed.get_mut(&(statement.kind, statement.view, statement.height)) {
            entry.1 = Some(seal.clone());
        }
    }

    /// Forgets statements about heights up to `stable`: no correct engine signs there again. Statements without a height
    /// (view changes) are few and stay for the views from `view` on.
    fn forget(&mut self, stable: Height, view: u64) {
        self.signed.retain(|(_, v, height), _| *height > stable || (*height == 0 && *v >= view));
    }
}

/// One promise that has not left.
#[derive(Debug)]
struct Pending<P> {
    promise: P,
    durable_at: u64,
    statement: Option<Statement>,
    seal: Option<Seal>,
}

/// A seal to be made by the holder of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealJob {
    /// Comes back with the seal.
    pub ticket: u64,
    /// What to sign, and how.
    pub with: SealWith,
}

/// Promises that have not left, in the order they were made.
#[derive(Debug)]
pub struct Promises<P> {
    guard: Guard,
    pending: BTreeMap<u64, Pending<P>>,
    next_ticket: u64,
    durable: u64,
}

impl<P> Promises<P> {
    /// None yet, bound by statements signed in an earlier life.
    pub fn new(signed: impl Iterator<Item = Statement>) -> Promises<P> {
        let mut guard = Guard::default();
        for statement in signed {
            // Records of one replica never contradict: were it otherwise, the engine that wrote them is broken.
            guard.enter(&statement).expect("records of this replica do not contradict each other");
        }
        Promises { guard, pending: BTreeMap::new(), next_ticket: 0, durable: 0 }
    }

    /// Takes a promise in that may leave once the log is durable through `durable_at`. Gives a job if it has to be sealed.
    ///
    /// # Errors
    /// If it contradicts an earlier one.
    pub fn make(
        &mut self,
        promise: P,
        with: SealWith,
        durable_at: u64,
    ) -> Result<Option<SealJob>, Contradiction> {
        let statement = match with {
            SealWith::Nothing => None,
            SealWith::Share(statement) | SealWith::Signature(statement) => Some(statement),
        };
        let seal = match &statement {
            None => Some(Seal::None),
            Some(statement) => self.guard.enter(statement)?,
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let job = seal.is_none().then_some(SealJob { ticket, with });
        self.pending.insert(ticket, Pending { promise, durable_at, statement, seal });
        Ok(job)
    }

    /// A seal was made.
    pub fn sealed(&mut self, ticket: u64, seal: Seal) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            if let Some(statement) = &pending.statement {
                self.guard.sealed(statement, &seal);
            }
            pending.seal = Some(seal);
        }
    }

    /// The log is durable through `sequence`.
    pub fn durable(&mut self, sequence: u64) {
        self.durable = self.durable.max(sequence);
    }

    /// Takes the next promise that may leave. Promises do not overtake each other.
    pub fn release(&mut self) -> Option<(P, Seal)> {
        let entry = self.pending.first_entry()?;
        let ready = entry.get().durable_at <= self.durable && entry.get().seal.is_some();
        if !ready {
            return None;
        }
        let Pending { promise, seal, .. } = entry.remove();
        Some((promise, seal.expect("a ready promise is sealed")))
    }

    /// Statements about heights up to `stable`, and view statements before `view`, are settled. What has not left of the former is not
    /// wanted any more.
    pub fn forget(&mut self, stable: Height, view: u64) {
        let settled = |statement: &Statement| (1..=stable).contains(&statement.height);
        self.pending.retain(|_, pending| !pending.statement.as_ref().is_some_and(settled));
        self.guard.forget(stable, view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::StatementDomain;
    use crate::types::View;
    use crypto::{FaultModel, ProtocolTag};

    fn statement(view: View, height: Height, digest: u8) -> Statement {
        let domain = StatementDomain {
            chain: Digest::ZERO,
            epoch: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
        };
        domain.statement(StatementKind(16), view, height, Digest([digest; 32]))
    }

    #[test]
    fn a_promise_waits_for_the_disk_and_the_seal() {
        let mut promises = Promises::new(std::iter::empty());
        let job = promises.make("a", SealWith::Share(statement(0, 1, 1)), 5).unwrap().expect("to be sealed");
        assert_eq!(promises.make("b", SealWith::Nothing, 4), Ok(None));
        promises.durable(4);
        assert_eq!(promises.release(), None);
        promises.durable(5);
        assert_eq!(promises.release(), None);
        promises.sealed(job.ticket, Seal::None);
        assert_eq!(promises.release(), Some(("a", Seal::None)));
        assert_eq!(promises.release(), Some(("b", Seal::None)));
        assert_eq!(promises.release(), None);
    }

    #[test]
    fn a_contradiction_is_refused_also_after_a_restart() {
        let mut promises = Promises::new([statement(3, 7, 1)].into_iter());
        assert!(promises.make((), SealWith::Share(statement(3, 7, 2)), 0).is_err());
        assert!(promises.make((), SealWith::Share(statement(3, 7, 1)), 0).is_ok());
        assert!(promises.make((), SealWith::Share(statement(4, 7, 2)), 0).is_ok());
        promises.forget(7, 0);
        assert!(promises.guard.signed.is_empty());
    }

    #[test]
    fn saying_it_again_needs_no_new_seal() {
        let mut promises = Promises::new(std::iter::empty());
        let with = SealWith::Share(statement(0, 1, 1));
        let job = promises.make(1, with, 0).unwrap().expect("to be sealed");
        promises.sealed(job.ticket, Seal::None);
        assert_eq!(promises.make(2, with, 0), Ok(None));
        assert_eq!(promises.release(), Some((1, Seal::None)));
        assert_eq!(promises.release(), Some((2, Seal::None)));
    }
}
