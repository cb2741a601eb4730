//! Keyed checksums in place of threshold signatures, for the simulator. **No cryptography.**
//!
//! A simulated world signs and verifies millions of times; what it tests is the protocol, not the curve. One
//! secret, which every replica of the world holds, stands in for all keys: whoever has it can forge anything,
//! and the simulator's liars are trusted not to. Shares and certificates have the wire form and the size of
//! threshold ones, and the errors are the same, so that bytes on the wire are counted right.

use std::collections::BTreeSet;
use std::fmt;

use super::{Aggregate, Certificate, CertificateError, CombineError, Roll, Scheme, Share, culprits};
use crate::bls::check_size;
use crate::scramble::scramble;
use crate::{ReplicaId, Statement};

/// Signs for one replica of a simulated world.
#[derive(Clone)]
pub struct SimulatedSigner {
    secret: [u8; 32],
    replica: ReplicaId,
}

impl SimulatedSigner {
    pub(super) fn sign(&self, statement: &Statement) -> Share {
        Share::unsigned(share(&self.secret, self.replica, statement))
    }
}

impl fmt::Debug for SimulatedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedSigner of {}", self.replica)
    }
}

/// Verifies and combines for a simulated world.
#[derive(Clone)]
pub struct SimulatedVerifier {
    secret: [u8; 32],
    replicas: usize,
    quorum: usize,
}

impl fmt::Debug for SimulatedVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedVerifier, {} of {}", self.quorum, self.replicas)
    }
}

impl SimulatedVerifier {
    pub(super) fn new(
        secret: [u8; 32],
        replicas: usize,
        quorum: usize,
    ) -> (SimulatedVerifier, Vec<SimulatedSigner>) {
        assert!(check_size(replicas, quorum).is_ok(), "a quorum of {quorum} among {replicas} replicas");
        let signers = (0..replicas as u16).map(|i| SimulatedSigner { secret, replica: ReplicaId(i) });
        (SimulatedVerifier { secret, replicas, quorum }, signers.collect())
    }

    pub(super) fn quorum(&self) -> usize {
        self.quorum
    }

    pub(super) fn replicas(&self) -> usize {
        self.replicas
    }

    pub(super) fn verify(
        &self,
        statement: &Statement,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        match certificate {
            Certificate::Threshold(bytes) if *bytes == group(&self.secret, statement) => Ok(()),
            Certificate::Threshold(_) => Err(CertificateError::Signature(None)),
            Certificate::Ed25519(_) | Certificate::Named(_) => {
                Err(CertificateError::Scheme(Scheme::Threshold))
            }
        }
    }

    pub(super) fn verify_share(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        given: &Share,
    ) -> Result<(), CertificateError> {
        if signer.index() >= self.replicas {
            return Err(CertificateError::Stranger(signer));
        }
        match given {
            Share::Threshold(bytes, _) if *bytes == share(&self.secret, signer, statement) => Ok(()),
            Share::Threshold(..) => Err(CertificateError::Signature(Some(signer))),
            Share::Ed25519(_) | Share::None => Err(CertificateError::Scheme(Scheme::Threshold)),
        }
    }

    pub(super) fn aggregate(&self, words: &[(ReplicaId, Statement, Share)]) -> Option<Aggregate> {
        let good = |(signer, statement, share): &(ReplicaId, Statement, Share)| {
            self.verify_share(*signer, statement, share).is_ok()
        };
        let said = words.iter().map(|(signer, statement, _)| (*signer, *statement));
        words.iter().all(good).then(|| Aggregate::Threshold(aggregate(&self.secret, said)))
    }

    pub(super) fn verify_aggregate(
        &self,
        words: &[(ReplicaId, Statement)],
        given: &Aggregate,
    ) -> Result<(), CertificateError> {
        match given {
            Aggregate::Threshold(bytes) if *bytes == aggregate(&self.secret, words.iter().copied()) => Ok(()),
            Aggregate::Threshold(_) => Err(CertificateError::Signature(None)),
            Aggregate::Ed25519(_) => Err(CertificateError::Scheme(Scheme::Threshold)),
        }
    }

    pub(super) fn combine(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Result<Certificate, CombineError> {
        let roll = Roll::call(shares, self.replicas);
        let bad = |range: &[(ReplicaId, Share)]| -> BTreeSet<ReplicaId> {
            let bad =
                range.iter().filter(|(signer, share)| self.verify_share(*signer, statement, share).is_err());
            bad.map(|(signer, _)| *signer).collect()
        };
        if roll.culprits.is_empty() {
            if roll.distinct.len() < self.quorum {
                return Err(CombineError::TooFew { have: roll.distinct.len(), need: self.quorum });
            }
            if bad(&shares[..self.quorum]).is_empty() {
                return Ok(Certificate::Threshold(group(&self.secret, statement)));
            }
        }
        let mut named = roll.culprits;
        named.append(&mut bad(shares));
        Err(culprits(named))
    }
}

fn aggregate(secret: &[u8; 32], words: impl Iterator<Item = (ReplicaId, Statement)>) -> [u8; 48] {
    let words: Vec<[u8; 48]> = words.map(|(signer, statement)| share(secret, signer, &statement)).collect();
    scramble(&[b"aggregate", secret, words.as_flattened()])
}

fn share(secret: &[u8; 32], signer: ReplicaId, statement: &Statement) -> [u8; 48] {
    scramble(&[b"share", secret, &signer.0.to_be_bytes(), &statement.encode()])
}

fn group(secret: &[u8; 32], statement: &Statement) -> [u8; 48] {
    scramble(&[b"group", secret, &statement.encode()])
}
