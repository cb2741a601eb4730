//! Certificates that are lists of Ed25519 signatures.

use std::collections::BTreeSet;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;

use super::{Certificate, CertificateError, CombineError, Roll, Scheme, Share, culprits};
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
        let disorder = list.windows(2).find(|pair| pair[0].0 >= pair[1].0);
        if let Some(pair) = disorder {
            return Err(CertificateError::Order(pair[1].0));
        }
        let message = statement.encode();
        list.iter().try_for_each(|(signer, signature)| self.check(*signer, &message, signature))
    }

    pub(super) fn verify_batch(
        &self,
        items: &[(Statement, Certificate)],
    ) -> Vec<Result<(), CertificateError>> {
        items.iter().map(|(statement, certificate)| self.verify(statement, certificate)).collect()
    }

    pub(super) fn verify_share(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        share: &Share,
    ) -> Result<(), CertificateError> {
        match share {
            Share::Ed25519(signature) => self.check(signer, &statement.encode(), signature),
            Share::Threshold(_) => Err(CertificateError::Scheme(Scheme::Ed25519)),
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
            if let Some(mut list) = self.good(statement, &shares[..self.quorum]) {
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
    fn good(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Option<Vec<(ReplicaId, Signature)>> {
        let message = statement.encode();
        let good = |(signer, share): &(ReplicaId, Share)| match share {
            Share::Ed25519(signature) => {
                self.check(*signer, &message, signature).ok().map(|()| (*signer, *signature))
            }
            Share::Threshold(_) => None,
        };
        shares.iter().map(good).collect()
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
