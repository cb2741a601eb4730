//! Certificates that are one threshold signature.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Aggregate, Certificate, CertificateError, CombineError, Roll, Scheme, Share, culprits};
use crate::bls::{self, PreparedKey, SignaturePoint, UncheckedPoint};
use crate::{ReplicaId, Statement, ThresholdPublic, work};

/// Verifies and combines threshold signatures.
#[derive(Clone, Debug)]
pub struct ThresholdVerifier {
    keys: Arc<ThresholdPublic>,
    group: Arc<PreparedKey>,
}

impl ThresholdVerifier {
    pub(super) fn new(keys: ThresholdPublic) -> ThresholdVerifier {
        let group = Arc::new(PreparedKey::new(keys.group().point()));
        ThresholdVerifier { keys: Arc::new(keys), group }
    }

    pub(super) fn quorum(&self) -> usize {
        self.keys.quorum()
    }

    pub(super) fn replicas(&self) -> usize {
        self.keys.shares().len()
    }

    pub(super) fn verify(
        &self,
        statement: &Statement,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        let point = decode(certificate)?;
        work::verified(1);
        if bls::verify_batch(&[(*statement, point)], &self.group).is_empty() {
            Ok(())
        } else {
            Err(CertificateError::Signature(None))
        }
    }

    pub(super) fn verify_batch(
        &self,
        items: &[(Statement, Certificate)],
    ) -> Vec<Result<(), CertificateError>> {
        let mut verdicts = Vec::with_capacity(items.len());
        let mut decoded = Vec::with_capacity(items.len());
        let mut positions = Vec::with_capacity(items.len());
        for (at, (statement, certificate)) in items.iter().enumerate() {
            verdicts.push(decode(certificate).map(|point| {
                decoded.push((*statement, point));
                positions.push(at);
            }));
        }
        work::verified(decoded.len());
        for bad in bls::verify_batch(&decoded, &self.group) {
            verdicts[positions[bad]] = Err(CertificateError::Signature(None));
        }
        verdicts
    }

    pub(super) fn verify_share(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        share: &Share,
    ) -> Result<(), CertificateError> {
        let key = self.keys.shares().get(signer.index()).ok_or(CertificateError::Stranger(signer))?;
        let Share::Threshold(bytes, _) = share else {
            return Err(CertificateError::Scheme(Scheme::Threshold));
        };
        let point = SignaturePoint::decode(bytes).ok_or(CertificateError::Point)?;
        work::verified(1);
        if point.verify_statement(statement, key.point()) {
            Ok(())
        } else {
            Err(CertificateError::Signature(Some(signer)))
        }
    }

    pub(super) fn combine(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Result<Certificate, CombineError> {
        let roll = Roll::call(shares, self.replicas());
        let (have, need) = (roll.distinct.len(), self.quorum());
        if roll.culprits.is_empty() && have < need {
            return Err(CombineError::TooFew { have, need });
        }
        let sum = self.interpolate(shares).filter(|sum| {
            work::verified(1);
            bls::verify_batch(&[(*statement, *sum)], &self.group).is_empty()
        });
        sum.map(|sum| Certificate::Threshold(sum.encode()))
            .ok_or_else(|| self.name_culprits(statement, shares, roll))
    }

    /// What the first quorum of shares sums up to, if they are of distinct members and the sum is a point of the group.
    pub(super) fn interpolate(&self, shares: &[(ReplicaId, Share)]) -> Option<SignaturePoint> {
        let first = shares.get(..self.quorum())?;
        if !Roll::call(shares, self.replicas()).culprits.is_empty() {
            return None;
        }
        interpolate(first)
    }

    /// The aggregate, if it verifies.
    pub(super) fn aggregate(&self, shares: &[(ReplicaId, Statement, Share)]) -> Option<Aggregate> {
        if shares.iter().any(|(signer, _, _)| signer.index() >= self.replicas()) {
            return None;
        }
        let points: Option<Vec<UncheckedPoint>> =
            shares.iter().map(|(_, _, share)| decompress(share)).collect();
        let words: Vec<(ReplicaId, Statement)> =
            shares.iter().map(|(signer, statement, _)| (*signer, *statement)).collect();
        work::verified(words.len());
        bls::aggregate(&words, &points?, &self.keys).map(Aggregate::Threshold)
    }

    /// The signers are distinct members.
    pub(super) fn verify_aggregate(
        &self,
        words: &[(ReplicaId, Statement)],
        aggregate: &Aggregate,
    ) -> Result<(), CertificateError> {
        let Aggregate::Threshold(bytes) = aggregate else {
            return Err(CertificateError::Scheme(Scheme::Threshold));
        };
        let point = SignaturePoint::decode(bytes).ok_or(CertificateError::Point)?;
        work::verified(words.len());
        if bls::verify_aggregate(words, &point, &self.keys) {
            Ok(())
        } else {
            Err(CertificateError::Signature(None))
        }
    }

    /// Checks every share that has a signer of its own.
    fn name_culprits(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
        roll: Roll,
    ) -> CombineError {
        let mut named: BTreeSet<ReplicaId> = roll.culprits;
        let mut signers = Vec::with_capacity(roll.distinct.len());
        let mut checked = Vec::with_capacity(roll.distinct.len());
        for at in roll.distinct {
            let (signer, share) = &shares[at];
            match decompress(share).and_then(UncheckedPoint::check) {
                Some(point) => {
                    signers.push(*signer);
                    checked.push((point, self.keys.shares()[signer.index()]));
                }
                None => {
                    named.insert(*signer);
                }
            }
        }
        // Where nothing else is wrong, the interpolation failed. The keys lie on one polynomial, so shares
        // that all verify interpolate to a signature that does: one of them does not.
        work::verified(checked.len());
        for bad in bls::culprits(statement, &checked, named.is_empty()) {
            named.insert(signers[bad]);
        }
        culprits(named)
    }
}

fn decode(certificate: &Certificate) -> Result<SignaturePoint, CertificateError> {
    match certificate {
        Certificate::Threshold(bytes) => SignaturePoint::decode(bytes).ok_or(CertificateError::Point),
        Certificate::Ed25519(_) | Certificate::Named(_) => Err(CertificateError::Scheme(Scheme::Threshold)),
    }
}

/// What the shares sum up to. The signers are distinct.
pub(super) fn interpolate(shares: &[(ReplicaId, Share)]) -> Option<SignaturePoint> {
    let points: Option<Vec<(ReplicaId, UncheckedPoint)>> =
        shares.iter().map(|(signer, share)| Some((*signer, decompress(share)?))).collect();
    bls::interpolate(&points?)
}

fn decompress(share: &Share) -> Option<UncheckedPoint> {
    match share {
        Share::Threshold(bytes, _) => UncheckedPoint::decompress(bytes),
        Share::Ed25519(_) | Share::None => None,
    }
}
