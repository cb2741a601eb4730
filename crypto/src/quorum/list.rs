//! Certificates that are lists of Ed25519 signatures.

use std::collections::BTreeSet;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;

use super::aggregate::disorder;
use super::{Aggregate, Certificate, CertificateError, CombineError, Roll, Scheme, Share, culprits};
use crate::bls::check_size;
use crate::identity::verify_strict;
use crate::{Identity, KeyError, ReplicaId, Signature, Statement};

/// Verifies and combines lists of Ed25519 signatures, each strictly and on its own.
#[derive(Clone, Debug)]
pub struct ListVerifier {
    /// Decompressed once; in the order of the replicas.
    keys: Arc<[VerifyingKey]>,
    quorum: usize,
}

impl ListVerifier {
    pub(super) fn new(identities: Vec<Identity>, quorum: usize) -> Result<ListVerifier, KeyError> {
        check_size(identities.len(), quorum)?;
        let mut seen = BTreeSet::new();
        let mut keys = Vec::with_capacity(identities.len());
        for (i, identity) in identities.iter().enumerate() {
            let refused = KeyError::Replica(ReplicaId(i as u16));
            identity.validate().map_err(|_| refused)?;
            if !seen.insert(*identity) {
                return Err(refused);
            }
            keys.push(identity.point().map_err(|_| refused)?);
        }
        Ok(ListVerifier { keys: keys.into(), quorum })
    }

    pub(super) fn quorum(&self) -> usize {
        self.quorum
    }

    pub(super) fn replicas(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn verify(
        &self,
        statement: &Statement,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        let Certificate::Ed25519(list) = certificate else {
            return Err(CertificateError::Scheme(Scheme::Ed25519));
        };
        if list.len() != self.quorum {
            return Err(CertificateError::Count { have: list.len(), need: self.quorum });
        }
        if let Some(signer) = disorder(list.iter().map(|(signer, _)| *signer)) {
            return Err(CertificateError::Order(signer));
        }
        let message = statement.encode();
        list.iter().try_for_each(|(signer, signature)| self.check(*signer, &message, signature))
    }

    pub(super) fn verify_share(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        share: &Share,
    ) -> Result<(), CertificateError> {
        match share {
            Share::Ed25519(signature) => self.check(signer, &statement.encode(), signature),
            Share::Threshold(..) | Share::None => Err(CertificateError::Scheme(Scheme::Ed25519)),
        }
    }

    pub(super) fn combine(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Result<Certificate, CombineError> {
        let roll = Roll::call(shares, self.replicas());
        if roll.culprits.is_empty() {
            if roll.distinct.len() < self.quorum {
                return Err(CombineError::TooFew { have: roll.distinct.len(), need: self.quorum });
            }
            let message = statement.encode();
            let good = |(signer, share): &(ReplicaId, Share)| {
                self.good(*signer, &message, share).map(|signature| (*signer, signature))
            };
            let list: Option<Vec<_>> = shares[..self.quorum].iter().map(good).collect();
            if let Some(mut list) = list {
                list.sort_unstable_by_key(|(signer, _)| *signer);
                return Ok(Certificate::Ed25519(list));
            }
        }
        let mut named = roll.culprits;
        for at in roll.distinct {
            let (signer, share) = &shares[at];
            if self.verify_share(*signer, statement, share).is_err() {
                named.insert(*signer);
            }
        }
        Err(culprits(named))
    }

    /// The signatures, if all are good.
    pub(super) fn aggregate(&self, words: &[(ReplicaId, Statement, Share)]) -> Option<Aggregate> {
        let good = |(signer, statement, share): &(ReplicaId, Statement, Share)| {
            self.good(*signer, &statement.encode(), share)
        };
        words.iter().map(good).collect::<Option<Vec<_>>>().map(Aggregate::Ed25519)
    }

    pub(super) fn verify_aggregate(
        &self,
        words: &[(ReplicaId, Statement)],
        aggregate: &Aggregate,
    ) -> Result<(), CertificateError> {
        let Aggregate::Ed25519(list) = aggregate else {
            return Err(CertificateError::Scheme(Scheme::Ed25519));
        };
        if list.len() != words.len() {
            return Err(CertificateError::Count { have: list.len(), need: words.len() });
        }
        words.iter().zip(list).try_for_each(|((signer, statement), signature)| {
            self.check(*signer, &statement.encode(), signature)
        })
    }

    /// The signature that the share is, if it is good.
    fn good(&self, signer: ReplicaId, message: &[u8], share: &Share) -> Option<Signature> {
        match share {
            Share::Ed25519(signature) => self.check(signer, message, signature).ok().map(|()| *signature),
            Share::Threshold(..) | Share::None => None,
        }
    }

    fn check(
        &self,
        signer: ReplicaId,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), CertificateError> {
        let key = self.keys.get(signer.index()).ok_or(CertificateError::Stranger(signer))?;
        verify_strict(key, message, signature).map_err(|_| CertificateError::Signature(Some(signer)))
    }
}
