//! What this replica promised in an earlier life, as others remember it (threat 79).
//!
//! A replica that was started on an old copy of its data has forgotten promises, and nothing on its own disk says so. The others
//! hold what it said. So whoever starts asks them, and withholds its own promises until a quorum, itself included, has told, or
//! a view timeout has passed: a start of all waits for nobody. What it is told proves itself: it is this replica's own seal under
//! a statement that none of its durable records accounts for. Nobody else can make one, so that no liar stops an honest replica.
//!
//! Those who answer also show how far the ledger is certified. What this replica said about heights up to there they no longer
//! hold, and it says nothing again before it is there itself.

use super::{Effect, Host};
use crate::engine::{Engine, Record};
use crate::envelope::{Body, Promised, Promises};
use crate::ledger::CheckpointCertificate;
use crate::machine::StateMachine;
use crate::mutants::Mutant;
use crate::types::{Height, Time};
use crypto::{ReplicaId, Statement};
use std::collections::BTreeSet;
use std::time::Duration;

/// Bytes of a promise in an answer, at most.
const PROMISE_BYTES: usize = 256;

/// See the module's text. Invariant: a replica is in at most one of `answered` and `examined`.
#[derive(Debug)]
pub struct Recall<R> {
    /// What was durable at the start.
    records: Vec<R>,
    /// Names the question of this life: the answer to an earlier one may lack what was said since.
    question: u64,
    /// Promises are withheld until then at the latest; none once they leave.
    until: Option<Time>,
    /// The highest certified height that was shown while promises are withheld.
    goal: Height,
    /// When to ask again.
    ask_at: Time,
    patience: Duration,
    /// Who has told what it holds.
    answered: BTreeSet<ReplicaId>,
    /// Whose word is being verified.
    examined: BTreeSet<ReplicaId>,
    /// How many answers are waited for.
    needed: usize,
}

impl<R: Record> Recall<R> {
    /// At the start of a life that begins with these records and makes promises: answers of so many others are needed.
    pub fn new(records: Vec<R>, question: u64, now: Time, patience: Duration, needed: usize) -> Recall<R> {
        let until = (needed > 0).then(|| now + patience);
        let ask_at = now;
        let (answered, examined) = Default::default();
        Recall { records, question, until, goal: 0, ask_at, patience, answered, examined, needed }
    }

    /// Whether promises are withheld.
    pub fn withholds(&self) -> bool {
        self.until.is_some()
    }

    /// Whom to ask now.
    fn ask(&mut self, now: Time, connected: &BTreeSet<ReplicaId>) -> Vec<ReplicaId> {
        if !self.withholds() || now < self.ask_at {
            return Vec::new();
        }
        self.ask_at = now + self.patience / 8;
        connected.iter().copied().filter(|peer| self.is_open(*peer)).collect()
    }

    /// Whether a peer has not answered yet.
    fn is_open(&self, peer: ReplicaId) -> bool {
        !self.answered.contains(&peer) && !self.examined.contains(&peer)
    }

    /// Promises may leave once enough was told, all of it is verified, and the height is reached that was shown; or it took too
    /// long. Gives whether they may from now on.
    fn ends(&mut self, now: Time, tip: Height) -> bool {
        let Some(until) = self.until else { return false };
        let told = self.answered.len() >= self.needed && self.examined.is_empty();
        let ends = (told || until <= now) && self.goal <= tip;
        if ends {
            self.until = None;
        }
        ends
    }

    /// What is withheld may leave at one of the times to ask again, if not after an event.
    fn deadline(&self) -> Option<Time> {
        self.until.map(|_| self.ask_at)
    }
}

/// What it means when a replica is shown a promise of its own that it does not know.
fn forgotten(Statement { kind, view, height, .. }: &Statement) -> String {
    format!(
        "this replica has signed a statement that its records do not have (kind {}, view {view}, height {height}), and another replica \
         has shown it: its data directory is older than what it has signed (a copy was put back, or its disk lost what was \
         synced), or another process runs under its key. See that none does, move the data directory away and start on an \
         empty one, which does not vote",
        kind.0
    )
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Asks a peer that is connected (again), unless it has answered.
    pub(super) fn ask_promises(&mut self, peer: ReplicaId, effects: &mut Vec<Effect>) {
        if self.recall.needed > 0 && self.recall.is_open(peer) {
            self.send(&[peer], Body::FetchPromises(self.recall.question), effects);
        }
    }

    /// Asks again, and lets promises go when it is time.
    pub(super) fn pursue_recall(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if !self.recall.withholds() {
            return;
        }
        for peer in self.recall.ask(now, &self.connected) {
            self.send(&[peer], Body::FetchPromises(self.recall.question), effects);
        }
        if self.recall.ends(now, self.ledger.tip().height) {
            tracing::info!(answers = self.recall.answered.len(), "promises leave from now on");
            self.drive(now, effects);
        }
    }

    /// What keeps promises back, for the operator.
    pub(super) fn recall_in_words(&self) -> Option<String> {
        let Recall { answered, needed, goal, .. } = &self.recall;
        self.recall.withholds().then(|| {
            let told = answered.len();
            format!("votes are withheld: {told} of {needed} replicas have told what this one has signed; it has to reach height {goal}")
        })
    }

    pub(super) fn recall_deadline(&self) -> Option<Time> {
        self.recall.deadline()
    }

    /// Tells a replica what it has promised here. Gives the bytes of the answer, about.
    pub(super) fn serve_promises(
        &mut self,
        to: ReplicaId,
        question: u64,
        effects: &mut Vec<Effect>,
    ) -> usize {
        let room = self.config.genesis.limits.frame_bytes() / 2;
        let mut held = self.engine.promises_of(to);
        held.truncate(room / PROMISE_BYTES);
        let bytes = held.len() * PROMISE_BYTES;
        self.send(
            &[to],
            Body::Promises(Box::new(Promises { question, stable: self.stable.clone(), held })),
            effects,
        );
        bytes
    }

    /// A peer tells what this replica has promised.
    pub(super) fn on_promises(
        &mut self,
        now: Time,
        from: ReplicaId,
        told: Promises,
        effects: &mut Vec<Effect>,
    ) {
        let Promises { question, stable, held } = told;
        if !self.config.may_vote || question != self.recall.question || !self.recall.is_open(from) {
            return;
        }
        self.aim_at(now, &stable, effects);
        // One is enough: whoever shows one that does not verify shows nothing that counts.
        let unknown = held.into_iter().find(|promised| !self.knows(&promised.statement));
        match unknown.filter(|_| !Mutant::ForgottenStays.is_on()) {
            Some(promised) => {
                self.recall.examined.insert(from);
                effects.push(Effect::Recognize { shown_by: from, promised: Box::new(promised) });
            }
            None => self.told(from),
        }
        self.pursue_recall(now, effects);
    }

    /// How far the ledger is certified, by somebody who answers.
    fn aim_at(&mut self, now: Time, stable: &CheckpointCertificate, effects: &mut Vec<Effect>) {
        if self.recall.withholds() {
            self.recall.goal = self.recall.goal.max(stable.height());
        }
        self.on_certificate(now, stable, effects);
    }

    /// A promise that a peer has shown is verified, or is not this replica's.
    pub(super) fn on_recognized(
        &mut self,
        now: Time,
        shown_by: ReplicaId,
        promised: &Promised,
        own: bool,
        effects: &mut Vec<Effect>,
    ) {
        if !self.recall.examined.remove(&shown_by) {
            return;
        }
        if own {
            return self.halt(forgotten(&promised.statement), effects);
        }
        tracing::warn!(%shown_by, "a promise that is not this replica's was shown to it");
        self.told(shown_by);
        self.pursue_recall(now, effects);
    }

    fn told(&mut self, by: ReplicaId) {
        self.recall.answered.insert(by);
        if self.recall.answered.len() + 1 == self.config.trust.committee.replicas {
            self.recall.records.clear();
        }
    }

    /// Whether this replica accounts for a statement that it is said to have signed: it is settled, or on record. Before the first promise
    /// of this life has left, only what was durable counts.
    fn knows(&self, statement: &Statement) -> bool {
        let Statement { chain, epoch, protocol, fault_model, height, .. } = *statement;
        let domain = crate::committee::StatementDomain { chain, epoch, protocol, fault_model };
        domain != self.config.trust.domain
            || (1..=self.stable.height()).contains(&height)
            || E::Record::account_for(self.recall.records.iter(), statement)
            || (!self.recall.withholds() && E::Record::account_for(self.engine.records().iter(), statement))
    }
}
