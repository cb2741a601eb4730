//! Certificates that are one threshold signature.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Aggregate, Certificate, CertificateError, CombineError, Roll, Scheme, Share, culprits};
use crate::bls::{self, SignaturePoint, UncheckedPoint};
use crate::{ReplicaId, Statement, ThresholdPublic, work};

/// Verifies and combines threshold signatures.
#[derive(Clone, Debug)]
pub struct ThresholdVerifier(Arc<ThresholdPublic>);

impl ThresholdVerifier {
    pub(super) fn new(keys: ThresholdPublic) -> ThresholdVerifier {
        ThresholdVerifier(Arc::new(keys))
    }

    pub(super) fn quorum(&self) -> usize {
        self.0.quorum()
    }

    pub(super) fn replicas(&self) -> usize {
        self.0.shares().len()
    }

    pub(super) fn verify(
        &self,
        statement: &Statement,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        let point = decode(certificate)?;
        work::verified(1);
        if point.verify_statement(statement, self.0.group().point()) {
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
        for bad in bls::verify_batch(&decoded, self.0.group()) {
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
        let key = self.0.shares().get(signer.index()).ok_or(CertificateError::Stranger(signer))?;
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
        let need = self.quorum();
        if roll.culprits.is_empty() {
            if roll.distinct.len() < need {
                return Err(CombineError::TooFew { have: roll.distinct.len(), need });
            }
            if let Some(signature) = self.interpolate(statement, &shares[..need]) {
                return Ok(Certificate::Threshold(signature));
            }
        }
        Err(self.name_culprits(statement, shares, roll))
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
        bls::aggregate(&words, &points?, &self.0).map(Aggregate::Threshold)
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
        if bls::verify_aggregate(words, &point, &self.0) {
            Ok(())
        } else {
            Err(CertificateError::Signature(None))
        }
    }

    /// The signature that the shares make, if it verifies. The signers are distinct.
    pub(super) fn interpolate(
        &self,
        statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Option<[u8; 48]> {
        let points: Option<Vec<(ReplicaId, UncheckedPoint)>> =
            shares.iter().map(|(signer, share)| Some((*signer, decompress(share)?))).collect();
        work::verified(1);
        bls::combine(statement, &points?, self.0.group())
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
                    checked.push((point, self.0.shares()[signer.index()]));
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

fn decompress(share: &Share) -> Option<UncheckedPoint> {
    match share {
        Share::Threshold(bytes, _) => UncheckedPoint::decompress(bytes),
        Share::Ed25519(_) | Share::None => None,
    }
}
