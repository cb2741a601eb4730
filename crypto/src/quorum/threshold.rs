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
        self.combine_batch(&[(*statement, shares)]).pop().expect("an outcome for each statement")
    }

    pub(super) fn combine_batch(
        &self,
        votes: &[(Statement, &[(ReplicaId, Share)])],
    ) -> Vec<Result<Certificate, CombineError>> {
        let need = self.quorum();
        let (mut sums, mut outcomes) = (Vec::new(), Vec::with_capacity(votes.len()));
        for (at, (statement, shares)) in votes.iter().enumerate() {
            let roll = Roll::call(shares, self.replicas());
            if roll.culprits.is_empty() && roll.distinct.len() < need {
                outcomes.push(Err(CombineError::TooFew { have: roll.distinct.len(), need }));
            } else if let Some(sum) = roll.culprits.is_empty().then(|| interpolate(&shares[..need])).flatten()
            {
                sums.push((at, (*statement, sum)));
                outcomes.push(Ok(Certificate::Threshold(sum.encode())));
            } else {
                outcomes.push(Err(self.name_culprits(statement, shares, roll)));
            }
        }
        let (positions, sums): (Vec<usize>, Vec<_>) = sums.into_iter().unzip();
        work::verified(sums.len());
        for bad in bls::verify_batch(&sums, &self.group) {
            let (statement, shares) = &votes[positions[bad]];
            let roll = Roll::call(shares, self.replicas());
            outcomes[positions[bad]] = Err(self.name_culprits(statement, shares, roll));
        }
        outcomes
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
