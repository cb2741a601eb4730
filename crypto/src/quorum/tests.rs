//! One suite for all schemes, and the attacks on each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use blst::min_sig::{AggregateSignature, Signature as Point};
use proptest::prelude::*;

use super::*;
use crate::{Digest, FaultModel, ProtocolTag, StatementKind, hex, trusted_dealer};

/// A committee under one scheme.
pub(super) struct Committee {
    pub(super) verifier: QuorumVerifier,
    pub(super) signers: Vec<QuorumSigner>,
}

impl Committee {
    pub(super) fn threshold(replicas: usize, quorum: usize) -> Committee {
        let (keys, shares) = trusted_dealer([11; 32], replicas, quorum).unwrap();
        let verifier = QuorumVerifier::threshold(keys).unwrap();
        let own = (0..).map(|number| IdentitySecret::from_seed([number; 32]));
        let signers =
            shares.into_iter().zip(own).map(|(share, own)| QuorumSigner::Threshold(share, own)).collect();
        Committee { verifier, signers }
    }

    pub(super) fn ed25519(replicas: usize, quorum: usize) -> Committee {
        let secrets: Vec<IdentitySecret> =
            (0..replicas).map(|i| IdentitySecret::from_seed([i as u8 + 1; 32])).collect();
        let identities = secrets.iter().map(IdentitySecret::public).collect();
        let verifier = QuorumVerifier::ed25519(identities, quorum).unwrap();
        Committee { verifier, signers: secrets.into_iter().map(QuorumSigner::Ed25519).collect() }
    }

    #[cfg(feature = "simulated")]
    pub(super) fn simulated(replicas: usize, quorum: usize) -> Committee {
        let (verifier, signers) = QuorumVerifier::simulated([12; 32], replicas, quorum);
        Committee { verifier, signers }
    }

    pub(super) fn share(&self, signer: u16, statement: &Statement) -> (ReplicaId, Share) {
        (ReplicaId(signer), self.signers[usize::from(signer)].sign(statement))
    }

    fn shares(&self, signers: &[u16], statement: &Statement) -> Vec<(ReplicaId, Share)> {
        signers.iter().map(|signer| self.share(*signer, statement)).collect()
    }

    fn certificate(&self, statement: &Statement) -> Certificate {
        let signers: Vec<u16> = (0..self.verifier.quorum() as u16).collect();
        self.verifier.combine(statement, &self.shares(&signers, statement)).unwrap()
    }
}

/// Seven replicas, quorum five, under every scheme.
pub(super) static COMMITTEES: LazyLock<Vec<Committee>> = LazyLock::new(|| {
    vec![
        Committee::threshold(7, 5),
        Committee::ed25519(7, 5),
        #[cfg(feature = "simulated")]
        Committee::simulated(7, 5),
    ]
});

pub(super) fn statement(height: u64) -> Statement {
    Statement {
        kind: StatementKind::CHECKPOINT,
        chain: Digest([1; 32]),
        epoch: 2,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        view: 3,
        height,
        digest: Digest([4; 32]),
    }
}

pub(super) fn ids(ids: &[u16]) -> Vec<ReplicaId> {
    ids.iter().map(|id| ReplicaId(*id)).collect()
}

fn named(ids_: &[u16]) -> Result<Certificate, CombineError> {
    Err(CombineError::Culprits(ids(ids_)))
}

/// `point` plus `other`, both encoded.
pub(super) fn plus(point: &[u8; 48], other: &[u8; 48]) -> [u8; 48] {
    let [a, b] = [point, other].map(|bytes| Point::uncompress(bytes).unwrap());
    AggregateSignature::aggregate(&[&a, &b], false).unwrap().to_signature().compress()
}

/// The negative of an encoded point.
pub(super) fn minus(point: &[u8; 48]) -> [u8; 48] {
    let mut negative = *point;
    negative[0] ^= 0x20;
    negative
}

/// A point of the curve that is not in the subgroup, encoded.
pub(super) fn outside() -> [u8; 48] {
    (1..)
        .find_map(|x: u8| {
            let mut bytes = [0; 48];
            (bytes[0], bytes[47]) = (0x80, x);
            Point::uncompress(&bytes).ok().filter(|point| !point.subgroup_check()).map(|_| bytes)
        })
        .unwrap()
}

/// The encoding of the identity.
pub(super) fn identity() -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
}

pub(super) fn bytes(share: &Share) -> [u8; 48] {
    match share {
        Share::Threshold(bytes, _) => *bytes,
        Share::Ed25519(_) | Share::None => panic!("not a point"),
    }
}

#[test]
fn any_quorum_combines_and_only_its_statement_verifies() {
    for committee in COMMITTEES.iter() {
        let verifier = &committee.verifier;
        assert_eq!((verifier.replicas(), verifier.quorum()), (7, 5));
        let good = statement(9);
        for signers in [[0, 1, 2, 3, 4], [6, 5, 4, 3, 2], [0, 2, 4, 6, 1]] {
            let shares = committee.shares(&signers, &good);
            for (signer, share) in &shares {
                assert_eq!(verifier.verify_share(*signer, &good, share), Ok(()));
                assert!(verifier.verify_share(*signer, &statement(8), share).is_err());
                assert!(verifier.verify_share(ReplicaId((signer.0 + 1) % 7), &good, share).is_err());
            }
            let certificate = verifier.combine(&good, &shares).unwrap();
            assert_eq!(verifier.verify(&good, &certificate), Ok(()));
            assert!(verifier.verify(&statement(8), &certificate).is_err());
        }
    }
}

/// Threats 31 and 56: a certificate is for one kind, chain, epoch, protocol, fault model, view, height and
/// digest.
#[test]
fn threat_54_a_certificate_is_for_no_other_statement() {
    for committee in COMMITTEES.iter() {
        let base = statement(9);
        let certificate = committee.certificate(&base);
        for other in [
            Statement { kind: StatementKind::FIRST_OF_PROTOCOL, ..base },
            Statement { chain: Digest([2; 32]), ..base },
            Statement { epoch: 3, ..base },
            Statement { protocol: ProtocolTag::HOTSTUFF, ..base },
            Statement { fault_model: FaultModel::Crash, ..base },
            Statement { view: 4, ..base },
            Statement { height: 10, ..base },
            Statement { digest: Digest([5; 32]), ..base },
        ] {
            assert!(committee.verifier.verify(&other, &certificate).is_err(), "{other:?}");
        }
    }
}

#[test]
fn the_forms_on_the_wire_are_pinned() {
    for committee in COMMITTEES.iter() {
        let statement = statement(9);
        let (_, share) = committee.share(0, &statement);
        let certificate = committee.certificate(&statement);
        let (share_length, certificate_length, authenticators) = match committee.verifier.scheme() {
            Scheme::Threshold => (1 + 48 + 64, 1 + 48, 1),
            Scheme::Ed25519 => (1 + 64, 1 + 1 + 5 * (1 + 64), 5),
            Scheme::None => unreachable!("nothing is signed there"),
        };
        let encoded = postcard::to_allocvec(&share).unwrap();
        assert_eq!(encoded.len(), share_length);
        assert_eq!(encoded[0], committee.verifier.scheme() as u8);
        assert_eq!(postcard::from_bytes::<Share>(&encoded), Ok(share));
        let encoded = postcard::to_allocvec(&certificate).unwrap();
        assert_eq!(encoded.len(), certificate_length);
        assert_eq!(encoded[0], committee.verifier.scheme() as u8);
        assert_eq!(postcard::from_bytes::<Certificate>(&encoded), Ok(certificate.clone()));
        assert_eq!(certificate.authenticators(), authenticators);
    }
}

#[test]
fn schemes_have_names() {
    for scheme in [Scheme::Threshold, Scheme::Ed25519] {
        assert_eq!(scheme.to_string().parse(), Ok(scheme));
    }
    assert_eq!("bls".parse::<Scheme>(), Err(SchemeError("bls".to_owned())));
}

/// Threat 50: shares and certificates with a part outside the subgroup, of any encoding, are refused and
/// named.
#[test]
fn threat_50_point_outside_the_subgroup_in_a_share_or_certificate() {
    let committee = &COMMITTEES[0];
    let statement = statement(9);
    let outside = outside();
    let mut shares = committee.shares(&[0, 1, 2, 3, 4], &statement);
    let moved = Share::unsigned(plus(&bytes(&shares[2].1), &outside));
    assert_eq!(
        committee.verifier.verify_share(ReplicaId(2), &statement, &moved),
        Err(CertificateError::Point)
    );
    shares[2].1 = moved;
    assert_eq!(committee.verifier.combine(&statement, &shares), named(&[2]));

    let Certificate::Threshold(good) = committee.certificate(&statement) else { panic!("not a point") };
    let moved = Certificate::Threshold(plus(&good, &outside));
    assert_eq!(committee.verifier.verify(&statement, &moved), Err(CertificateError::Point));
    let verdicts = committee.verifier.verify_batch(&[(statement, moved)]);
    assert_eq!(verdicts, [Err(CertificateError::Point)]);
}

/// Threat 51: the identity as a share, as a certificate, and as the sum that the last signer aims at.
#[test]
fn threat_51_identity_as_share_or_certificate() {
    let committee = &COMMITTEES[0];
    let statement = statement(9);
    let certificate = Certificate::Threshold(identity());
    assert_eq!(committee.verifier.verify(&statement, &certificate), Err(CertificateError::Point));
    let mut shares = committee.shares(&[0, 1, 2, 3, 4], &statement);
    shares[4].1 = Share::unsigned(identity());
    assert_eq!(committee.verifier.combine(&statement, &shares), named(&[4]));

    // With quorum 2 the coefficients of r0 and r1 are 2 and −1: twice r0's share, from r1, sums up to the
    // identity.
    let pair = Committee::threshold(2, 2);
    let mut shares = pair.shares(&[0, 1], &statement);
    let first = bytes(&shares[0].1);
    shares[1].1 = Share::unsigned(plus(&first, &first));
    assert_eq!(pair.verifier.combine(&statement, &shares), named(&[1]));
}

/// Small committees interpolate with whole numbers, few points or many, and large ones in the field: whoever signs, it is the same signature.
#[test]
fn every_quorum_of_a_committee_of_any_size_combines_to_the_same_certificate() {
    let good = statement(9);
    for (replicas, quorum) in [(31, 21), (49, 33), (52, 35), (100, 67)] {
        let committee = Committee::threshold(replicas, quorum);
        let first = (0..quorum as u16).collect::<Vec<u16>>();
        let last = (replicas as u16 - quorum as u16..replicas as u16).collect::<Vec<u16>>();
        // A stride without a common divisor goes round all of them.
        let scattered = (0..quorum as u16).map(|i| i * 17 % replicas as u16).collect::<Vec<u16>>();
        let of = |signers: &[u16]| committee.verifier.combine(&good, &committee.shares(signers, &good));
        let certificate = of(&first).unwrap();
        assert_eq!(committee.verifier.verify(&good, &certificate), Ok(()));
        assert_eq!([of(&last), of(&scattered)], [Ok(certificate.clone()), Ok(certificate)], "{replicas}");
    }
}

/// Threat 52: a signer twice, or from outside the committee, is named and never panics; no identifier maps to
/// index zero.
#[test]
fn threat_52_duplicates_and_strangers_are_named() {
    for committee in COMMITTEES.iter() {
        let statement = statement(9);
        let shares = committee.shares(&[0, 1, 2, 3, 3], &statement);
        assert_eq!(committee.verifier.combine(&statement, &shares), named(&[3]));
        let mut shares = committee.shares(&[0, 1, 2, 3, 4], &statement);
        shares.push((ReplicaId(7), shares[0].1.clone()));
        shares.push((ReplicaId(u16::MAX), shares[0].1.clone()));
        assert_eq!(committee.verifier.combine(&statement, &shares), named(&[7, u16::MAX]));
        let (_, share) = &shares[0];
        let stranger = committee.verifier.verify_share(ReplicaId(7), &statement, share);
        assert_eq!(stranger, Err(CertificateError::Stranger(ReplicaId(7))));
    }
}

#[test]
fn threat_53_bad_share_is_named_and_the_rest_goes_on() {
    for committee in COMMITTEES.iter() {
        let (good, other) = (statement(9), statement(8));
        let mut shares = committee.shares(&[0, 1, 2, 3, 4, 5, 6], &good);
        // A share of another statement, and one in another's name.
        shares[1] = committee.share(1, &other);
        shares[3].1 = shares[4].1.clone();
        assert_eq!(committee.verifier.combine(&good, &shares), named(&[1, 3]));
        shares.retain(|(signer, _)| ![1, 3].contains(&signer.0));
        let certificate = committee.verifier.combine(&good, &shares).unwrap();
        assert_eq!(committee.verifier.verify(&good, &certificate), Ok(()));
    }
}

/// Bad shares behind the quorum cost nothing: the first ones are tried.
#[test]
fn threat_53_bad_shares_behind_a_good_quorum_do_not_delay_it() {
    for committee in COMMITTEES.iter() {
        let good = statement(9);
        let mut shares = committee.shares(&[0, 1, 2, 3, 4], &good);
        shares.push(committee.share(5, &statement(8)));
        assert_eq!(committee.verifier.combine(&good, &shares), Ok(committee.certificate(&good)));
    }
}

#[test]
fn threat_53_malformed_shares_are_named() {
    let good = statement(9);
    for (committee, wrong_scheme) in [(&COMMITTEES[0], &COMMITTEES[1]), (&COMMITTEES[1], &COMMITTEES[0])] {
        let mut shares = committee.shares(&[0, 1, 2, 3, 4, 5], &good);
        shares[0] = wrong_scheme.share(0, &good);
        shares[5].1 = match &shares[5].1 {
            Share::Threshold(..) => Share::unsigned([0xff; 48]),
            Share::Ed25519(_) => Share::Ed25519(Signature([0xff; 64])),
            Share::None => unreachable!("nothing is signed there"),
        };
        assert_eq!(committee.verifier.combine(&good, &shares), named(&[0, 5]));
        let error = committee.verifier.verify_share(ReplicaId(0), &good, &shares[0].1);
        assert_eq!(error, Err(CertificateError::Scheme(committee.verifier.scheme())));
        let foreign = wrong_scheme.certificate(&good);
        let error = committee.verifier.verify(&good, &foreign);
        assert_eq!(error, Err(CertificateError::Scheme(committee.verifier.scheme())));
    }
}

/// Two liars whose errors cancel in the batch's sum without weights, and do not in the interpolation.
#[test]
fn threat_57_shares_whose_errors_cancel_are_both_named() {
    let committee = &COMMITTEES[0];
    let good = statement(9);
    let mut shares = committee.shares(&[0, 1, 2, 3, 4], &good);
    let error = bytes(&committee.share(0, &statement(8)).1);
    shares[1].1 = Share::unsigned(plus(&bytes(&shares[1].1), &error));
    shares[2].1 = Share::unsigned(plus(&bytes(&shares[2].1), &minus(&error)));
    assert_eq!(committee.verifier.combine(&good, &shares), named(&[1, 2]));
}

/// Two certificates whose errors cancel without weights (that they would: `bls::tests::threat_57_…`) are both
/// refused.
#[test]
fn threat_57_batch_without_weights_two_certificates_whose_errors_cancel() {
    let committee = &COMMITTEES[0];
    let statements = [statement(1), statement(2), statement(3), statement(4)];
    let mut points = statements.map(|statement| match committee.certificate(&statement) {
        Certificate::Threshold(point) => point,
        Certificate::Ed25519(_) | Certificate::Named(_) => panic!("not a point"),
    });
    let error = bytes(&committee.share(0, &statement(9)).1);
    points[1] = plus(&points[1], &error);
    points[2] = plus(&points[2], &minus(&error));
    let items: Vec<(Statement, Certificate)> =
        statements.into_iter().zip(points.map(Certificate::Threshold)).collect();
    let bad = Err(CertificateError::Signature(None));
    assert_eq!(committee.verifier.verify_batch(&items), [Ok(()), bad, bad, Ok(())]);
    // The two alone, where the first halving meets single ones.
    assert_eq!(committee.verifier.verify_batch(&items[1..3]), [bad, bad]);
}

#[test]
fn lists_are_exact() {
    let committee = &COMMITTEES[1];
    let statement = statement(9);
    let Certificate::Ed25519(good) = committee.certificate(&statement) else { panic!("not a list") };
    let verdict = |list: Vec<(ReplicaId, Signature)>| {
        committee.verifier.verify(&statement, &Certificate::Ed25519(list))
    };
    assert_eq!(verdict(good.clone()), Ok(()));
    assert!(good.is_sorted());

    let count = |have| Err(CertificateError::Count { have, need: 5 });
    assert_eq!(verdict(good[..4].to_vec()), count(4));
    assert_eq!(verdict(vec![]), count(0));
    let (sixth, Share::Ed25519(signature)) = committee.share(5, &statement) else {
        panic!("not a signature")
    };
    let mut longer = good.clone();
    longer.push((sixth, signature));
    assert_eq!(verdict(longer), count(6));

    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert_eq!(verdict(swapped), Err(CertificateError::Order(ReplicaId(0))));
    let mut doubled = good.clone();
    doubled[4] = doubled[3];
    assert_eq!(verdict(doubled), Err(CertificateError::Order(ReplicaId(3))));
    let mut stranger = good.clone();
    stranger[4].0 = ReplicaId(7);
    assert_eq!(verdict(stranger), Err(CertificateError::Stranger(ReplicaId(7))));
    let mut bad = good.clone();
    bad[2].1.0[0] ^= 1;
    assert_eq!(verdict(bad), Err(CertificateError::Signature(Some(ReplicaId(2)))));
}

/// Threat 95 and 51: a committee with a double or a worthless key is refused.
#[test]
fn threat_95_double_and_small_order_identities_are_refused() {
    let identity = |seed| IdentitySecret::from_seed([seed; 32]).public();
    let refused = |identities, quorum| QuorumVerifier::ed25519(identities, quorum).unwrap_err();
    assert_eq!(refused(vec![identity(1), identity(2), identity(1)], 2), KeyError::Replica(ReplicaId(2)));
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(refused(vec![identity(1), Identity(one)], 2), KeyError::Replica(ReplicaId(1)));
    assert_eq!(refused(vec![identity(1)], 2), KeyError::Size { replicas: 1, quorum: 2 });
    assert_eq!(refused(vec![identity(1)], 0), KeyError::Size { replicas: 1, quorum: 0 });
}

#[test]
fn threat_58_signers_and_shares_print_no_secret() {
    let committee = Committee::threshold(4, 3);
    let (_, shares) = trusted_dealer([11; 32], 4, 3).unwrap();
    let text = format!("{:?} {:?}", committee.signers[0], committee.verifier);
    assert!(!hex::shows(&text, shares[0].to_bytes().as_slice()), "{text}");
    let text = format!("{:#?}", QuorumSigner::Ed25519(IdentitySecret::from_seed([0xab; 32])));
    assert!(!hex::shows(&text, &[0xab; 32]), "{text}");
    #[cfg(feature = "simulated")]
    {
        let committee = Committee::simulated(4, 3);
        let text = format!("{:?} {:?}", committee.signers[0], committee.verifier);
        assert!(!hex::shows(&text, &[12; 32]), "{text}");
    }
}

#[test]
fn sizes_of_one_and_of_many_work() {
    for (replicas, quorum) in [(1, 1), (3, 2), (4, 3), (4, 4), (31, 21)] {
        for committee in [Committee::threshold(replicas, quorum), Committee::ed25519(replicas, quorum)] {
            let statement = statement(9);
            let certificate = committee.certificate(&statement);
            assert_eq!(committee.verifier.verify(&statement, &certificate), Ok(()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Threat 55: fewer distinct signers than a quorum never make a certificate: not by combining, not with a
    /// signer twice, not by interpolating what there is, not as a list.
    #[test]
    fn threat_55_fewer_than_quorum_never_verifies(
        signers in prop::sample::subsequence(vec![0_u16, 1, 2, 3, 4, 5, 6], 0..5),
        doubled in any::<prop::sample::Index>(),
    ) {
        let good = statement(9);
        for committee in COMMITTEES.iter() {
            let verifier = &committee.verifier;
            let mut shares = committee.shares(&signers, &good);
            let too_few = CombineError::TooFew { have: signers.len(), need: 5 };
            prop_assert_eq!(verifier.combine(&good, &shares), Err(too_few));
            if signers.is_empty() {
                continue;
            }
            let twice = shares[doubled.index(shares.len())].clone();
            shares.resize(5, twice.clone());
            prop_assert_eq!(verifier.combine(&good, &shares), named(&[twice.0.0]));
            let forged = match &twice.1 {
                Share::Threshold(..) => Certificate::Threshold(bytes(&twice.1)),
                Share::None => unreachable!("nothing is signed there"),
                Share::Ed25519(_) => Certificate::Ed25519(
                    shares.iter().filter_map(|(signer, share)| match share {
                        Share::Ed25519(signature) => Some((*signer, *signature)),
                        Share::Threshold(..) | Share::None => None,
                    }).collect(),
                ),
            };
            prop_assert!(verifier.verify(&good, &forged).is_err());
        }
        // Interpolating fewer points than the degree asks for gives some point, but never the signature.
        let QuorumVerifier::Threshold(lower) = &Committee::threshold(7, 5).verifier else {
            panic!("not a threshold committee")
        };
        let shares = COMMITTEES[0].shares(&signers, &good);
        if !shares.is_empty() {
            let sum = super::threshold::interpolate(&shares).map(|sum| Certificate::Threshold(sum.encode()));
            prop_assert!(sum.is_none_or(|sum| lower.verify(&good, &sum).is_err()));
        }
    }

    /// The verdicts of a batch are those on each certificate, wherever the bad ones stand.
    #[test]
    fn batches_of_certificates_agree_with_single_ones(kinds in prop::collection::vec(0_u8..8, 0..12)) {
        for committee in COMMITTEES.iter() {
            let items: Vec<(Statement, Certificate)> = kinds
                .iter()
                .enumerate()
                .map(|(height, kind)| {
                    let statement = statement(height as u64);
                    match kind {
                        0 => (statement, committee.certificate(&Statement { view: 99, ..statement })),
                        1 => (statement, Certificate::Threshold([0x80; 48])),
                        2 => (statement, Certificate::Ed25519(vec![])),
                        _ => (statement, committee.certificate(&statement)),
                    }
                })
                .collect();
            let single: Vec<_> =
                items.iter().map(|(statement, item)| committee.verifier.verify(statement, item)).collect();
            prop_assert_eq!(committee.verifier.verify_batch(&items), single);
        }
    }

    /// What shares come to holds, verified with others, exactly if they combine: to the same, and if not, exactly the bad ones are named.
    #[test]
    fn threat_53_votes_verified_together_come_to_what_each_combines_to(kinds in prop::collection::vec(0_u8..8, 0..9)) {
        for committee in COMMITTEES.iter() {
            let votes: Vec<(Statement, Vec<(ReplicaId, Share)>)> = kinds
                .iter()
                .enumerate()
                .map(|(height, kind)| {
                    let good = statement(height as u64);
                    let mut shares = committee.shares(&[1, 2, 3, 4, 5, 6], &good);
                    match kind {
                        0 => shares[2] = committee.share(3, &statement(99)),
                        1 => shares[4].1 = Share::unsigned([0x80; 48]),
                        2 => shares.truncate(3),
                        3 => shares[1].0 = ReplicaId(1),
                        _ => {}
                    }
                    (good, shares)
                })
                .collect();
            let sums: Vec<(usize, (Statement, Certificate))> = votes
                .iter()
                .enumerate()
                .filter_map(|(at, (statement, shares))| Some((at, (*statement, committee.verifier.interpolate(shares)?))))
                .collect();
            let pairs: Vec<(Statement, Certificate)> = sums.iter().map(|(_, pair)| pair.clone()).collect();
            let verdicts = committee.verifier.verify_batch(&pairs);
            let together: BTreeMap<usize, Certificate> = sums
                .into_iter()
                .zip(verdicts)
                .filter_map(|((at, (_, certificate)), verdict)| verdict.ok().map(|()| (at, certificate)))
                .collect();
            for (at, (kind, (statement, shares))) in kinds.iter().zip(&votes).enumerate() {
                let alone = committee.verifier.combine(statement, shares);
                if matches!(committee.verifier, QuorumVerifier::Threshold(_)) {
                    prop_assert_eq!(together.get(&at), alone.as_ref().ok());
                } else {
                    prop_assert_eq!(together.get(&at), None);
                }
                match kind {
                    0 => prop_assert_eq!(alone, named(&[3])),
                    1 => prop_assert_eq!(alone, named(&[5])),
                    2 => prop_assert_eq!(alone, Err(CombineError::TooFew { have: 3, need: 5 })),
                    3 => prop_assert_eq!(alone, named(&[1])),
                    _ => {
                        let certificate = alone.expect("good shares combine");
                        prop_assert_eq!(committee.verifier.verify(statement, &certificate), Ok(()));
                    }
                }
            }
        }
    }

    /// Whichever shares are bad, exactly their signers are named.
    #[test]
    fn threat_53_exactly_the_bad_ones_are_named(bad in prop::sample::subsequence(vec![0_u16, 1, 2, 3, 4, 5, 6], 0..=7)) {
        let good = statement(9);
        for committee in COMMITTEES.iter() {
            let mut shares = committee.shares(&[0, 1, 2, 3, 4, 5, 6], &good);
            for signer in &bad {
                shares[usize::from(*signer)] = committee.share(*signer, &statement(8));
            }
            let first_bad = bad.first().is_some_and(|signer| *signer < 5);
            let result = committee.verifier.combine(&good, &shares);
            if first_bad {
                prop_assert_eq!(result, named(&bad));
            } else {
                prop_assert_eq!(result, Ok(committee.certificate(&good)));
            }
        }
    }
}

/// Who has a quorum of a statement's shares computes everybody's: f(4) = f(1) − 3·f(2) + 3·f(3) where the quorum is three. It
/// combines, and must not count as the word of the fourth, who may have vouched for something else.
#[test]
fn shares_of_a_quorum_make_another_one_s_point_and_prove_nothing_of_it() {
    let committee = Committee::threshold(4, 3);
    let (said, other) = (statement(1), statement(2));
    let points: Vec<[u8; 48]> =
        committee.shares(&[0, 1, 2], &said).iter().map(|(_, share)| bytes(share)).collect();
    let thrice = |point: &[u8; 48]| plus(&plus(point, point), point);
    let point = plus(&plus(&points[0], &minus(&thrice(&points[1]))), &thrice(&points[2]));
    let fourth = ReplicaId(3);
    let identity = |number: u16| IdentitySecret::from_seed([number as u8; 32]).public();
    let Share::Threshold(_, signature) = committee.shares(&[3], &other)[0].1.clone() else {
        panic!("a threshold share")
    };
    for forged in [Share::unsigned(point), Share::Threshold(point, signature)] {
        assert_eq!(committee.verifier.verify_share(fourth, &said, &forged), Ok(()), "it is its point");
        assert!(!committee.verifier.proves(fourth, &identity(3), &said, &forged));
    }
    for committee in [committee, Committee::ed25519(4, 3)] {
        for (signer, share) in committee.shares(&[0, 1, 2, 3], &said) {
            assert!(committee.verifier.proves(signer, &identity(signer.0), &said, &share));
            assert!(!committee.verifier.proves(signer, &identity(signer.0), &other, &share));
            let next = ReplicaId((signer.0 + 1) % 4);
            assert!(!committee.verifier.proves(next, &identity(next.0), &said, &share));
        }
    }
}
