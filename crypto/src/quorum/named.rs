//! Certificates that are lists of names: nothing is signed where replicas crash and do not lie.

use super::aggregate::disorder;
use super::{Certificate, CertificateError, CombineError, Roll, Scheme, Share, culprits};
use crate::bls::check_size;
use crate::{KeyError, ReplicaId, Statement};

/// Counts names. What it accepts is worth the word of whoever shows it.
#[derive(Clone, Copy, Debug)]
pub struct NamedVerifier {
    replicas: usize,
    quorum: usize,
}

impl NamedVerifier {
    pub(super) fn new(replicas: usize, quorum: usize) -> Result<NamedVerifier, KeyError> {
        check_size(replicas, quorum)?;
        Ok(NamedVerifier { replicas, quorum })
    }

    pub(super) fn quorum(&self) -> usize {
        self.quorum
    }

    pub(super) fn replicas(&self) -> usize {
        self.replicas
    }

    pub(super) fn verify(
        &self,
        _statement: &Statement,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        let Certificate::Named(list) = certificate else {
            return Err(CertificateError::Scheme(Scheme::None));
        };
        if list.len() != self.quorum {
            return Err(CertificateError::Count { have: list.len(), need: self.quorum });
        }
        if let Some(name) = disorder(list.iter().copied()) {
            return Err(CertificateError::Order(name));
        }
        match list.iter().find(|name| name.index() >= self.replicas) {
            Some(name) => Err(CertificateError::Stranger(*name)),
            None => Ok(()),
        }
    }

    pub(super) fn verify_share(
        &self,
        signer: ReplicaId,
        _statement: &Statement,
        share: &Share,
    ) -> Result<(), CertificateError> {
        match share {
            Share::None if signer.index() < self.replicas => Ok(()),
            Share::None => Err(CertificateError::Stranger(signer)),
            Share::Threshold(..) | Share::Ed25519(_) => Err(CertificateError::Scheme(Scheme::None)),
        }
    }

    pub(super) fn combine(
        &self,
        _statement: &Statement,
        shares: &[(ReplicaId, Share)],
    ) -> Result<Certificate, CombineError> {
        let Roll { distinct, culprits: mut bad } = Roll::call(shares, self.replicas);
        bad.extend(shares.iter().filter(|(_, share)| *share != Share::None).map(|(name, _)| *name));
        if !bad.is_empty() {
            return Err(culprits(bad));
        }
        if distinct.len() < self.quorum {
            return Err(CombineError::TooFew { have: distinct.len(), need: self.quorum });
        }
        let mut list: Vec<ReplicaId> = shares[..self.quorum].iter().map(|(name, _)| *name).collect();
        list.sort_unstable();
        Ok(Certificate::Named(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, FaultModel, ProtocolTag, StatementKind};

    fn statement() -> Statement {
        Statement {
            kind: StatementKind::CHECKPOINT,
            chain: Digest::ZERO,
            epoch: 1,
            protocol: ProtocolTag::RAFT,
            fault_model: FaultModel::Crash,
            view: 0,
            height: 7,
            digest: Digest::ZERO,
        }
    }

    #[test]
    fn a_majority_of_names_is_a_certificate_and_nothing_else_is() {
        let verifier = NamedVerifier::new(5, 3).unwrap();
        let names =
            |names: &[u16]| names.iter().map(|name| (ReplicaId(*name), Share::None)).collect::<Vec<_>>();
        let good = verifier.combine(&statement(), &names(&[4, 0, 2, 1])).unwrap();
        assert_eq!(good, Certificate::Named(vec![ReplicaId(0), ReplicaId(2), ReplicaId(4)]));
        assert_eq!(verifier.verify(&statement(), &good), Ok(()));
        let refused = |names: &[u16]| {
            let list = names.iter().map(|name| ReplicaId(*name)).collect();
            verifier.verify(&statement(), &Certificate::Named(list)).unwrap_err()
        };
        assert_eq!(refused(&[0, 1]), CertificateError::Count { have: 2, need: 3 });
        assert_eq!(refused(&[0, 1, 2, 3]), CertificateError::Count { have: 4, need: 3 });
        assert_eq!(refused(&[0, 1, 1]), CertificateError::Order(ReplicaId(1)));
        assert_eq!(refused(&[0, 1, 5]), CertificateError::Stranger(ReplicaId(5)));
        let other = verifier.verify(&statement(), &Certificate::Threshold([0; 48])).unwrap_err();
        assert_eq!(other, CertificateError::Scheme(Scheme::None));
    }

    #[test]
    fn doubled_and_strange_names_are_named() {
        let verifier = NamedVerifier::new(3, 2).unwrap();
        let shares = [(ReplicaId(0), Share::None), (ReplicaId(0), Share::None), (ReplicaId(7), Share::None)];
        let bad = verifier.combine(&statement(), &shares).unwrap_err();
        assert_eq!(bad, CombineError::Culprits(vec![ReplicaId(0), ReplicaId(7)]));
        let few = verifier.combine(&statement(), &shares[..1]).unwrap_err();
        assert_eq!(few, CombineError::TooFew { have: 1, need: 2 });
    }
}
