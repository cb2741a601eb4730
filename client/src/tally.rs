//! What replicas say of one transaction, and what follows.

use crate::exchange::Verdict;
use crate::proof::Verifier;
use crate::switchboard::Said;
use bft_core::receipt::{ProvenReceipt, code};
use bft_core::request::{Advice, Answer};
use crypto::{Digest, ReplicaId};
use std::collections::BTreeMap;

/// The end of a submission.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Proven.
    Proven(Box<ProvenReceipt>),
    /// f + 1 replicas will not take it.
    Refused(ReplicaId, String),
    /// A quorum says that its sequence is used up and its receipt gone.
    Forgotten(String),
    /// f + 1 replicas show another transaction under its sequence.
    Taken,
}

/// What one replica says without proof.
#[derive(Debug)]
enum Claim {
    Abandon,
    Forgotten,
    /// The receipt of another transaction that was executed, proven to be in the ledger; but that it has the same
    /// client and sequence is the replica's word.
    Taken,
    /// A receipt of this very transaction that says it was not executed at that place.
    Unsettled,
}

/// Answers to one submission.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    verifier: &'a Verifier,
    transaction: Digest,
    claims: BTreeMap<ReplicaId, Claim>,
}

impl<'a> Tally<'a> {
    pub fn new(verifier: &'a Verifier, transaction: Digest) -> Tally<'a> {
        Tally { verifier, transaction, claims: BTreeMap::new() }
    }

    /// Takes one answer.
    pub fn judge(&mut self, from: ReplicaId, Said { answer, placed }: Said) -> Verdict<Fate> {
        match answer {
            Answer::Receipt(proven) => self.receipt(from, proven, placed),
            Answer::Refused { advice: Advice::Retry, sentence } => Verdict::Later(sentence),
            Answer::Refused { advice: Advice::Abandon, sentence } => {
                let believed = self.claim(from, Claim::Abandon, self.believable());
                if believed {
                    Verdict::Done(Fate::Refused(from, sentence))
                } else {
                    Verdict::Elsewhere(sentence)
                }
            }
            Answer::Refused { advice: Advice::AskAnother, sentence } => {
                // A quorum, not f + 1: an honest replica that keeps more may still have the receipt.
                let quorum = self.verifier.trust.committee.quorum();
                let believed = self.claim(from, Claim::Forgotten, quorum);
                if believed { Verdict::Done(Fate::Forgotten(sentence)) } else { Verdict::Elsewhere(sentence) }
            }
            Answer::Query(_)
            | Answer::Reading(_)
            | Answer::Signed(_)
            | Answer::Session(_)
            | Answer::Status(_)
            | Answer::Receipts(_)
            | Answer::Evidence(_) => Verdict::Lie("it answered another question".into()),
        }
    }

    fn receipt(&mut self, from: ReplicaId, proven: Box<ProvenReceipt>, placed: bool) -> Verdict<Fate> {
        if let Err(error) = self.verifier.receipt(&proven, placed) {
            return Verdict::Lie(error.to_string());
        }
        let settled = code::settles(proven.receipt.code);
        if proven.receipt.transaction == self.transaction {
            return if settled || self.claim(from, Claim::Unsettled, self.believable()) {
                Verdict::Done(Fate::Proven(proven))
            } else {
                Verdict::Elsewhere(String::from_utf8_lossy(&proven.receipt.answer).into_owned())
            };
        }
        if settled && self.claim(from, Claim::Taken, self.believable()) {
            return Verdict::Done(Fate::Taken);
        }
        Verdict::Mismatch(format!(
            "it showed the receipt of another transaction, {}",
            proven.receipt.transaction
        ))
    }

    fn believable(&self) -> usize {
        self.verifier.trust.committee.believable()
    }

    /// Notes a claim, and says whether `enough` replicas now agree.
    fn claim(&mut self, from: ReplicaId, claim: Claim, enough: usize) -> bool {
        let kind = std::mem::discriminant(&claim);
        self.claims.insert(from, claim);
        self.claims.values().filter(|other| std::mem::discriminant(*other) == kind).count() >= enough
    }
}
