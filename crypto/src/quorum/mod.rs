//! Shares and certificates of a quorum: one enumeration over the schemes, no generics.
//!
//! A replica signs a [`Statement`] and gets a [`Share`]; whoever holds a quorum of shares combines them to a
//! [`Certificate`], which convinces everybody that a quorum signed. Two schemes:
//!
//! - `threshold`: BLS signatures interpolate to one signature of the group's key. Constant size, one check,
//!   no signer named.
//! - `ed25519`: a list of signatures. Needs no ceremony, names the signers, cheapest with four replicas.
//!
//! Where replicas only crash, nothing is signed (`none`): a certificate is a list of names, by the word of whoever shows it.

mod aggregate;
mod list;
mod named;
#[cfg(feature = "simulated")]
mod simulated;
mod threshold;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use aggregate::Aggregate;
pub use list::ListVerifier;
pub use named::NamedVerifier;
#[cfg(feature = "simulated")]
pub use simulated::{SimulatedSigner, SimulatedVerifier};
pub use threshold::ThresholdVerifier;

use crate::{
    Identity, IdentitySecret, KeyError, ReplicaId, SecretShare, Signature, SignatureError, Statement,
    ThresholdPublic,
};

/// How a quorum signs. In binary formats one byte: 0, 1 and 2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Threshold BLS signatures.
    Threshold,
    /// Lists of Ed25519 signatures.
    Ed25519,
    /// Not at all: lists of names, for the crash fault model.
    None,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Threshold => "threshold",
            Scheme::Ed25519 => "ed25519",
            Scheme::None => "none",
        })
    }
}

/// A word that names no scheme.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no certificate scheme; there are threshold and ed25519, and none for the crash fault model"
)]
pub struct SchemeError(pub String);

impl FromStr for Scheme {
    type Err = SchemeError;

    fn from_str(word: &str) -> Result<Scheme, SchemeError> {
        match word {
            "threshold" => Ok(Scheme::Threshold),
            "ed25519" => Ok(Scheme::Ed25519),
            "none" => Ok(Scheme::None),
            _ => Err(SchemeError(word.to_owned())),
        }
    }
}

/// One replica's part of a certificate, as it travels. Not checked until it is combined.
///
/// **A point alone proves nothing of its signer**: the shares of a statement lie on one polynomial, so that whoever has
/// a quorum of them computes those of all others. So the signer's own signature travels with it. Nobody verifies it on the way: a
/// liar can leave it out, but nobody can make another one's. See [`QuorumVerifier::proves`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Share {
    /// A compressed point of G1, and the signer's own signature over the same statement.
    Threshold(#[serde(with = "crate::wire")] [u8; 48], Signature),
    /// A signature.
    Ed25519(Signature),
    /// The word of whoever sends it, on the channel that it comes on.
    None,
}

impl Share {
    /// A point without its signer's signature: it combines like any other, and proves nothing.
    pub fn unsigned(point: [u8; 48]) -> Share {
        Share::Threshold(point, Signature([0; 64]))
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes): (&str, &[u8]) = match self {
            Share::Threshold(point, _) => ("Threshold", point),
            Share::Ed25519(signature) => ("Ed25519", &signature.0),
            Share::None => return f.write_str("None"),
        };
        write!(f, "{name}(")?;
        crate::hex::write(f, &bytes[..4])?;
        f.write_str(")")
    }
}

/// Proof that a quorum signed a statement, as it travels. Not checked until it is verified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Certificate {
    /// The group's signature: a compressed point of G1.
    Threshold(#[serde(with = "crate::wire")] [u8; 48]),
    /// Exactly a quorum of signatures, in ascending order of the signers.
    Ed25519(Vec<(ReplicaId, Signature)>),
    /// Exactly a quorum of names in ascending order: whoever shows it says that these said so. It proves nothing to anybody else.
    Named(Vec<ReplicaId>),
}

impl Certificate {
    /// How many authenticators the certificate carries: the unit in which papers count (1 for a threshold
    /// signature, none for names).
    pub fn authenticators(&self) -> usize {
        match self {
            Certificate::Threshold(_) => 1,
            Certificate::Ed25519(list) => list.len(),
            Certificate::Named(_) => 0,
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Certificate::Threshold(point) => {
                f.write_str("Threshold(")?;
                crate::hex::write(f, &point[..4])?;
                f.write_str(")")
            }
            Certificate::Ed25519(list) => f.debug_map().entries(list.iter().map(|(id, s)| (id, s))).finish(),
            Certificate::Named(list) => write!(f, "Named({list:?})"),
        }
    }
}

/// Why a certificate or a share is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is of another scheme than the epoch's.
    #[error("the scheme of this epoch is {0}")]
    Scheme(Scheme),
    /// The point is not canonical, outside the subgroup, or the identity.
    #[error("the point is not a canonical one of the subgroup, or is the identity")]
    Point,
    /// A list has more or fewer signatures than a quorum, or an aggregate covers fewer words or is a list of another length.
    #[error("{have} signatures, where a certificate has {need}")]
    Count {
        /// Signatures in the list, or words.
        have: usize,
        /// The quorum, or for a list beside words their number.
        need: usize,
    },
    /// A signer is not of the committee.
    #[error("{0} is not of the committee")]
    Stranger(ReplicaId),
    /// The signers do not ascend strictly: one occurs twice, or the order is another.
    #[error("{0} stands in the list after a signer with the same or a larger identifier")]
    Order(ReplicaId),
    /// A signature does not verify; in a list, this replica's.
    #[error("the signature does not verify{}", .0.map(|signer| format!(" as that of {signer}")).unwrap_or_default())]
    Signature(Option<ReplicaId>),
}

/// Why shares do not combine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CombineError {
    /// There are fewer shares of distinct signers than a quorum. None was checked.
    #[error("{have} shares, where {need} are needed")]
    TooFew {
        /// Shares given.
        have: usize,
        /// The quorum.
        need: usize,
    },
    /// The signers of words to aggregate do not ascend strictly: this one stands after one with the same or a larger
    /// identifier. Nothing was checked.
    #[error("{0} stands among the words after a signer with the same or a larger identifier")]
    Order(ReplicaId),
    /// These signers, in ascending order, gave shares that are bad, malformed, doubled or from outside the
    /// committee: all such among the shares given. Without them the rest can be tried again.
    #[error("bad shares from {0:?}")]
    Culprits(Vec<ReplicaId>),
}

/// What signs a replica's shares.
#[derive(Clone, Debug)]
pub enum QuorumSigner {
    /// With a share of the group's secret, and the replica's identity.
    Threshold(SecretShare, IdentitySecret),
    /// With the replica's identity.
    Ed25519(IdentitySecret),
    /// With nothing.
    None,
    /// With a keyed checksum, for the simulator. **No cryptography.**
    #[cfg(feature = "simulated")]
    Simulated(SimulatedSigner),
}

impl QuorumSigner {
    /// This replica's share of a certificate for `statement`. Deterministic.
    pub fn sign(&self, statement: &Statement) -> Share {
        match self {
            QuorumSigner::Threshold(secret, identity) => {
                Share::Threshold(secret.sign(statement), identity.sign(&statement.encode()))
            }
            QuorumSigner::Ed25519(secret) => Share::Ed25519(secret.sign(&statement.encode())),
            QuorumSigner::None => Share::None,
            #[cfg(feature = "simulated")]
            QuorumSigner::Simulated(signer) => signer.sign(statement),
        }
    }
}

/// What verifies and combines for one committee. Clones share their keys.
#[derive(Clone, Debug)]
pub enum QuorumVerifier {
    /// Threshold BLS.
    Threshold(ThresholdVerifier),
    /// Lists of Ed25519 signatures.
    Ed25519(ListVerifier),
    /// Lists of names.
    Named(NamedVerifier),
    /// Keyed checksums in the wire form of threshold signatures, for the simulator. **No cryptography.**
    #[cfg(feature = "simulated")]
    Simulated(SimulatedVerifier),
}

/// Forwards a call to the scheme.
macro_rules! each {
    ($self:ident, $verifier:ident => $call:expr) => {
        match $self {
            QuorumVerifier::Threshold($verifier) => $call,
            QuorumVerifier::Ed25519($verifier) => $call,
            QuorumVerifier::Named($verifier) => $call,
            #[cfg(feature = "simulated")]
            QuorumVerifier::Simulated($verifier) => $call,
        }
    };
}

impl QuorumVerifier {
    /// For a threshold group. The keys were checked when they were made or decoded.
    pub fn threshold(keys: ThresholdPublic) -> Result<QuorumVerifier, KeyError> {
        Ok(QuorumVerifier::Threshold(ThresholdVerifier::new(keys)))
    }

    /// For lists of signatures: `identities[i]` is replica i's.
    ///
    /// # Errors
    /// [`KeyError::Replica`] for a key that [`Identity::validate`] refuses or that occurred before (threat
    /// 95), [`KeyError::Size`] unless `1 ≤ quorum ≤ identities.len() ≤ 65535`.
    pub fn ed25519(identities: Vec<Identity>, quorum: usize) -> Result<QuorumVerifier, KeyError> {
        ListVerifier::new(identities, quorum).map(QuorumVerifier::Ed25519)
    }

    /// For lists of names, in the crash fault model.
    ///
    /// # Errors
    /// [`KeyError::Size`] unless `1 ≤ quorum ≤ replicas ≤ 65535`.
    pub fn named(replicas: usize, quorum: usize) -> Result<QuorumVerifier, KeyError> {
        NamedVerifier::new(replicas, quorum).map(QuorumVerifier::Named)
    }

    /// For the simulator, with a signer for each replica: a checksum or two an operation, and **no
    /// cryptography**.
    ///
    /// # Panics
    /// Unless `1 ≤ quorum ≤ replicas ≤ 65535`.
    #[cfg(feature = "simulated")]
    pub fn simulated(
        secret: [u8; 32],
        replicas: usize,
        quorum: usize,
    ) -> (QuorumVerifier, Vec<QuorumSigner>) {
        let (verifier, signers) = SimulatedVerifier::new(secret, replicas, quorum);
        (QuorumVerifier::Simulated(verifier), signers.into_iter().map(QuorumSigner::Simulated).collect())
    }

    /// How many shares make a certificate.
    pub fn quorum(&self) -> usize {
        each!(self, verifier => verifier.quorum())
    }

    /// How many replicas the committee has.
    pub fn replicas(&self) -> usize {
        each!(self, verifier => verifier.replicas())
    }

    /// The scheme of shares and certificates, as they travel.
    pub fn scheme(&self) -> Scheme {
        match self {
            QuorumVerifier::Ed25519(_) => Scheme::Ed25519,
            QuorumVerifier::Named(_) => Scheme::None,
            QuorumVerifier::Threshold(_) => Scheme::Threshold,
            #[cfg(feature = "simulated")]
            QuorumVerifier::Simulated(_) => Scheme::Threshold,
        }
    }

    /// Whether `certificate` proves that a quorum signed `statement`.
    pub fn verify(&self, statement: &Statement, certificate: &Certificate) -> Result<(), CertificateError> {
        each!(self, verifier => verifier.verify(statement, certificate))
    }

    /// The verdict on each certificate, equal to [`QuorumVerifier::verify`] on it alone (except with
    /// probability 2⁻¹²⁸). Threshold signatures are checked in one equation with random weights, halved on
    /// failure.
    pub fn verify_batch(&self, items: &[(Statement, Certificate)]) -> Vec<Result<(), CertificateError>> {
        match self {
            QuorumVerifier::Threshold(verifier) => verifier.verify_batch(items),
            _ => items.iter().map(|(statement, certificate)| self.verify(statement, certificate)).collect(),
        }
    }

    /// Whether `share` combines to a certificate of `statement` as `signer`'s part.
    pub fn verify_share(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        share: &Share,
    ) -> Result<(), CertificateError> {
        each!(self, verifier => verifier.verify_share(signer, statement, share))
    }

    /// Whether `share` proves to everybody that `signer`, whose identity is given, vouched for `statement`: nobody else can have made
    /// it, however many shares of others they have.
    pub fn proves(
        &self,
        signer: ReplicaId,
        identity: &Identity,
        statement: &Statement,
        share: &Share,
    ) -> bool {
        match (self, share) {
            (QuorumVerifier::Threshold(_), Share::Threshold(_, signature)) => {
                identity.verify(&statement.encode(), signature).is_ok()
            }
            (QuorumVerifier::Threshold(_), Share::Ed25519(_) | Share::None)
            | (QuorumVerifier::Named(_), _) => false,
            (QuorumVerifier::Ed25519(verifier), share) => {
                verifier.verify_share(signer, statement, share).is_ok()
            }
            // No liar of a simulated world computes another one's checksum.
            #[cfg(feature = "simulated")]
            (QuorumVerifier::Simulated(verifier), share) => {
                verifier.verify_share(signer, statement, share).is_ok()
            }
        }
    }

    /// Whether `signature` is the replica's own over `statement`. Ed25519 under strict verification, whatever the
    /// scheme of the certificates; the simulator's committee alone has a stand-in.
    pub fn verify_signature(
        &self,
        identity: &Identity,
        statement: &Statement,
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        match self {
            QuorumVerifier::Threshold(_) | QuorumVerifier::Ed25519(_) | QuorumVerifier::Named(_) => {
                identity.verify(&statement.encode(), signature)
            }
            #[cfg(feature = "simulated")]
            QuorumVerifier::Simulated(_) => identity.verify_simulated(&statement.encode(), signature),
        }
    }

    /// Makes a certificate from exactly a quorum of `shares`: the first ones given.
    ///
    /// The usual case checks once, the certificate itself. Where that fails, or the shares are not of
    /// distinct members of the committee, all shares given are checked and every bad one's signer is named
    /// (threat 53).
    pub fn combine(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Result<Certificate, CombineError> {
        each!(self, verifier => verifier.combine(statement, shares))
    }

    /// What the first quorum of `shares` comes to, not verified: the certificate, if they are good. For those who verify it with others, where that
    /// costs less than each alone ([`QuorumVerifier::verify_batch`]); `None` where it does not, or where nothing can come of these shares. Whoever
    /// finds it bad asks [`QuorumVerifier::combine`] why.
    pub fn interpolate(&self, shares: &[(ReplicaId, Share)]) -> Option<Certificate> {
        match self {
            QuorumVerifier::Threshold(verifier) => {
                Some(Certificate::Threshold(verifier.interpolate(shares)?.encode()))
            }
            _ => None,
        }
    }
}

/// Tells signers that occur once and belong to the committee from the others.
struct Roll {
    /// Positions in the list given of shares whose signer is of the committee and did not occur before.
    distinct: Vec<usize>,
    /// Signers that are not of the committee, or occur more than once.
    culprits: BTreeSet<ReplicaId>,
}

impl Roll {
    fn call(shares: &[(ReplicaId, Share)], replicas: usize) -> Roll {
        let mut seen = BTreeSet::new();
        let mut roll = Roll { distinct: Vec::with_capacity(shares.len()), culprits: BTreeSet::new() };
        for (at, (signer, _)) in shares.iter().enumerate() {
            if signer.index() < replicas && seen.insert(*signer) {
                roll.distinct.push(at);
            } else {
                roll.culprits.insert(*signer);
            }
        }
        roll
    }
}

/// The outcome where culprits were looked for.
fn culprits(signers: BTreeSet<ReplicaId>) -> CombineError {
    CombineError::Culprits(signers.into_iter().collect())
}
