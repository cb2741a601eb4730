//! Aggregates: what a quorum said, where each may have said something else.
//!
//! A certificate is a quorum's word on one statement. A timeout certificate of HotStuff's kind is a quorum's words on
//! several: each replica says how far *it* has come. What travels is who said what, beside the message, and here one
//! authenticator for all of it.
//!
//! # Rogue keys
//! A sum of keys invites whoever may choose its key last to choose it so that the others cancel (Ristenpart and Yilek, *The
//! Power of Proofs-of-Possession*, 2007). Here nobody chooses a key. The key of a replica's share is the value of the
//! group's polynomial at the replica's index ([`ThresholdPublic`](crate::ThresholdPublic) refuses other keys), and those of
//! any quorum of the others determine it; the replica knows its secret, and got it without a choice. What the polynomial costs, and why each share has a weight (Boneh, Drijvers
//! and Neven, 2018), stands in `bls/aggregate.rs`.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CertificateError, CombineError, QuorumVerifier, Scheme, Share};
use crate::{ReplicaId, Signature, Statement};

/// Proof that replicas signed a statement each, as it travels. Who said what is known from elsewhere. Not checked until it
/// is verified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Aggregate {
    /// The weighted sum of the shares: a compressed point of G1.
    Threshold(#[serde(with = "crate::wire")] [u8; 48]),
    /// The signatures, in the order of the words.
    Ed25519(Vec<Signature>),
}

impl Aggregate {
    /// How many authenticators the aggregate carries: the unit in which papers count (1 for a threshold signature).
    pub fn authenticators(&self) -> usize {
        match self {
            Aggregate::Threshold(_) => 1,
            Aggregate::Ed25519(list) => list.len(),
        }
    }
}

impl fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aggregate::Threshold(point) => {
                f.write_str("Threshold(")?;
                crate::hex::write(f, &point[..4])?;
                f.write_str(")")
            }
            Aggregate::Ed25519(list) => f.debug_list().entries(list).finish(),
        }
    }
}

impl QuorumVerifier {
    /// One authenticator for all of `words`, which are at least a quorum, in ascending order of distinct signers.
    ///
    /// The usual case checks once, the aggregate itself (a list: each signature). Where that fails, every share is checked
    /// and every bad one's signer is named.
    ///
    /// # Errors
    /// [`CombineError::TooFew`] and [`CombineError::Order`] before anything is checked, [`CombineError::Culprits`] with the
    /// signers without whose words the rest can be tried again.
    pub fn aggregate(&self, words: &[(ReplicaId, Statement, Share)]) -> Result<Aggregate, CombineError> {
        let need = self.quorum();
        if words.len() < need {
            return Err(CombineError::TooFew { have: words.len(), need });
        }
        if let Some(signer) = disorder(words.iter().map(|(signer, _, _)| *signer)) {
            return Err(CombineError::Order(signer));
        }
        if let Some(aggregate) = self.sum(words) {
            return Ok(aggregate);
        }
        // Of names alone nothing can be made that proves who said what.
        let unsigned = self.scheme() == Scheme::None;
        let bad = |(signer, statement, share): &&(ReplicaId, Statement, Share)| {
            unsigned || self.verify_share(*signer, statement, share).is_err()
        };
        let culprits: Vec<ReplicaId> = words.iter().filter(bad).map(|(signer, _, _)| *signer).collect();
        assert!(!culprits.is_empty(), "shares that verify one by one have a sum that verifies");
        Err(CombineError::Culprits(culprits))
    }

    /// Whether `aggregate` proves that each of `words` was signed. They are at least a quorum, in ascending order of distinct
    /// signers. How many pairings it takes: one more than there are distinct statements; a list takes none.
    ///
    /// # Errors
    /// Why it does not. A list names the signer whose signature is bad, an aggregate cannot.
    pub fn verify_aggregate(
        &self,
        words: &[(ReplicaId, Statement)],
        aggregate: &Aggregate,
    ) -> Result<(), CertificateError> {
        let need = self.quorum();
        if words.len() < need {
            return Err(CertificateError::Count { have: words.len(), need });
        }
        if let Some(signer) = disorder(words.iter().map(|(signer, _)| *signer)) {
            return Err(CertificateError::Order(signer));
        }
        if let Some((signer, _)) = words.iter().find(|(signer, _)| signer.index() >= self.replicas()) {
            return Err(CertificateError::Stranger(*signer));
        }
        match self {
            QuorumVerifier::Threshold(verifier) => verifier.verify_aggregate(words, aggregate),
            QuorumVerifier::Ed25519(verifier) => verifier.verify_aggregate(words, aggregate),
            // Nothing to aggregate where nothing is signed.
            QuorumVerifier::Named(_) => Err(CertificateError::Scheme(Scheme::None)),
            #[cfg(feature = "simulated")]
            QuorumVerifier::Simulated(verifier) => verifier.verify_aggregate(words, aggregate),
        }
    }

    /// The aggregate, if all is well with it. The signers are distinct, but perhaps not of the committee.
    fn sum(&self, words: &[(ReplicaId, Statement, Share)]) -> Option<Aggregate> {
        match self {
            QuorumVerifier::Threshold(verifier) => verifier.aggregate(words),
            QuorumVerifier::Ed25519(verifier) => verifier.aggregate(words),
            QuorumVerifier::Named(_) => None,
            #[cfg(feature = "simulated")]
            QuorumVerifier::Simulated(verifier) => verifier.aggregate(words),
        }
    }
}

/// The first signer that does not stand above the one before it.
pub(super) fn disorder(mut signers: impl Iterator<Item = ReplicaId>) -> Option<ReplicaId> {
    let mut highest = signers.next()?;
    signers.find(|signer| {
        let late = *signer <= highest;
        highest = *signer;
        late
    })
}
