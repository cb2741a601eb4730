//! Keys, points and sums, honest and hostile.

mod vectors;

use blst::min_sig::{AggregatePublicKey, AggregateSignature, SecretKey, Signature};
use proptest::prelude::*;

use super::ffi::Scalar;
use super::point::{concatenated, lagrange_at_zero, small_lagrange_at_zero};
use super::*;
use crate::ReplicaId;
use crate::hex;

/// The order of the groups, big endian.
const ORDER: &str = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";

/// A point of the curve under G1 outside the subgroup, of an order that divides the cofactor: r times any
/// such point.
fn torsion() -> Signature {
    let outside = (1..).find_map(|x: u8| {
        let mut bytes = [0; 48];
        bytes[0] = 0x80;
        bytes[47] = x;
        Signature::uncompress(&bytes).ok().filter(|point| !point.subgroup_check())
    });
    let mut order: [u8; 32] = hex::read(ORDER.as_bytes()).unwrap();
    order.reverse();
    let point = UncheckedPoint::decompress(&outside.unwrap().compress()).unwrap();
    let torsion = UncheckedPoint::weighted_sum(&[point], &order, 255);
    assert!(torsion.check().is_none());
    Signature::uncompress(&torsion.encode()).unwrap()
}

fn plus(a: &[u8; 48], b: &Signature) -> [u8; 48] {
    let a = Signature::uncompress(a).unwrap();
    AggregateSignature::aggregate(&[&a, b], false).unwrap().to_signature().compress()
}

fn identity_g1() -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
}

fn identity_g2() -> [u8; 96] {
    let mut bytes = [0; 96];
    bytes[0] = 0xc0;
    bytes
}

/// Threat 49: without a proof of possession, whoever picks its key last can sign for everybody.
#[test]
fn threat_49_a_rogue_key_has_no_proof_of_possession() {
    let share = |replica, seed: &[u8; 32]| SecretShare::from_bytes(ReplicaId(replica), seed).unwrap();
    let honest = share(0, &[1; 32]);
    let own = share(1, &[5; 32]);

    // The rogue key is the attacker's own minus the honest one. The sum of both is the attacker's own key
    // alone, so a multi-signature "of both" verifies: the attack is real.
    let mut rogue = AggregatePublicKey::from_public_key(own.public().point());
    rogue.sub_aggregate(&AggregatePublicKey::from_public_key(honest.public().point()));
    let rogue = SharePublicKey::from_bytes(&rogue.to_public_key().compress()).unwrap();
    let both = AggregatePublicKey::aggregate(&[honest.public().point(), rogue.point()], true).unwrap();
    let forged = SignaturePoint::decode(&own.sign_under(b"pay the attacker", SIGNATURE_SUITE)).unwrap();
    assert!(forged.verify(b"pay the attacker", SIGNATURE_SUITE, &both.to_public_key()));

    // Nothing the attacker has proves possession of the rogue key.
    assert_eq!(honest.public().verify_possession(&honest.prove_possession()), Ok(()));
    let signed_as_a_message = ProofOfPossession(own.sign_under(&rogue.to_bytes(), SIGNATURE_SUITE));
    let signed_with_own_key = ProofOfPossession(own.sign_under(&rogue.to_bytes(), POSSESSION_SUITE));
    let identity = ProofOfPossession(identity_g1());
    let garbage = ProofOfPossession([0xff; 48]);
    for proof in [
        own.prove_possession(),
        honest.prove_possession(),
        signed_as_a_message,
        signed_with_own_key,
        identity,
        garbage,
    ] {
        assert_eq!(rogue.verify_possession(&proof), Err(KeyError::Possession));
    }
    // A signature of the key's bytes as a message is no proof either: the tags differ.
    let as_message = ProofOfPossession(own.sign_under(&own.public().to_bytes(), SIGNATURE_SUITE));
    assert_eq!(own.public().verify_possession(&as_message), Err(KeyError::Possession));
}

/// Threat 50: a signature plus a point of small order fulfils the pairing equation, since the pairing does
/// not see that part. Only the check of the subgroup stops the second encoding of one signature.
#[test]
fn threat_50_point_outside_the_subgroup_is_refused_at_decoding() {
    let share = SecretShare::from_bytes(ReplicaId(0), &[3; 32]).unwrap();
    let good = share.sign_under(b"message", SIGNATURE_SUITE);
    let malleated = plus(&good, &torsion());
    assert_ne!(good, malleated);

    let unchecked = Signature::uncompress(&malleated).unwrap();
    let verdict = unchecked.verify(false, b"message", SIGNATURE_SUITE, &[], share.public().point(), false);
    assert_eq!(verdict, blst::BLST_ERROR::BLST_SUCCESS, "the attack works where the check is missing");

    assert!(SignaturePoint::decode(&good).is_some());
    assert!(SignaturePoint::decode(&malleated).is_none());
    assert!(SignaturePoint::decode(&torsion().compress()).is_none());
}

#[test]
fn threat_50_public_key_outside_the_subgroup_is_refused_at_decoding() {
    let mut refused = 0;
    for x in 0..=u8::MAX {
        let mut bytes = [0; 96];
        bytes[0] = 0x80;
        bytes[95] = x;
        let on_the_curve = blst::min_sig::PublicKey::uncompress(&bytes).is_ok();
        assert_eq!(GroupPublicKey::from_bytes(&bytes), Err(KeyError::Point));
        assert_eq!(SharePublicKey::from_bytes(&bytes), Err(KeyError::Point));
        refused += usize::from(on_the_curve);
    }
    assert!(refused > 50, "only {refused} of the candidates were on the curve");
}

#[test]
fn threat_51_identity_key_or_signature_is_refused() {
    assert_eq!(GroupPublicKey::from_bytes(&identity_g2()), Err(KeyError::Point));
    assert_eq!(SharePublicKey::from_bytes(&identity_g2()), Err(KeyError::Point));
    assert!(SignaturePoint::decode(&identity_g1()).is_none());
    assert!(UncheckedPoint::decompress(&identity_g1()).unwrap().check().is_none());
    // As postcard would bring it.
    assert!(postcard::from_bytes::<GroupPublicKey>(&identity_g2()).is_err());
    // A secret of zero would have the identity as its key.
    assert!(matches!(SecretShare::from_bytes(ReplicaId(0), &[0; 32]), Err(KeyError::Secret)));
}

#[test]
fn a_point_has_one_encoding() {
    let share = SecretShare::from_bytes(ReplicaId(0), &[3; 32]).unwrap();
    let good = share.sign_under(b"message", SIGNATURE_SUITE);
    assert_eq!(SignaturePoint::decode(&good).unwrap().encode(), good);
    // Without the flag of compression, with the flag of the identity, with a coordinate not below the field's
    // order.
    let mut uncompressed = good;
    uncompressed[0] &= 0x7f;
    let mut infinite = good;
    infinite[0] |= 0x40;
    let mut large = [0xff; 48];
    large[0] = 0x9f;
    let mut dirty_identity = identity_g1();
    dirty_identity[47] = 1;
    for bytes in [uncompressed, infinite, large, dirty_identity] {
        assert!(UncheckedPoint::decompress(&bytes).is_none());
    }
    let order: [u8; 32] = hex::read(ORDER.as_bytes()).unwrap();
    assert!(matches!(SecretShare::from_bytes(ReplicaId(0), &order), Err(KeyError::Secret)));
}

#[test]
#[should_panic(expected = "is zero or occurs twice")]
fn threat_52_index_zero_has_no_coefficient() {
    lagrange_at_zero(&[1, 0, 2]);
}

#[test]
#[should_panic(expected = "is zero or occurs twice")]
fn threat_52_index_zero_has_no_small_coefficient() {
    small_lagrange_at_zero(&[1, 0, 2]);
}

#[test]
#[should_panic(expected = "is zero or occurs twice")]
fn threat_52_a_duplicate_index_has_no_coefficient() {
    lagrange_at_zero(&[1, 2, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Threat 52, the positive side: whatever the distinct indexes, the coefficients interpolate every
    /// polynomial of lower degree at zero.
    #[test]
    fn threat_52_coefficients_interpolate_at_zero(
        indexes in prop::collection::btree_set(1_u64..=65535, 1..20),
        seed in any::<u64>(),
    ) {
        let indexes: Vec<u64> = indexes.into_iter().collect();
        let polynomial: Vec<Scalar> =
            (0..indexes.len() as u64).map(|i| Scalar::from_u64(seed.rotate_left(i as u32) ^ i)).collect();
        let coefficients = lagrange_at_zero(&indexes);
        let sum = indexes.iter().zip(&coefficients).fold(Scalar::zero(), |sum, (x, coefficient)| {
            sum.add(&coefficient.mul(&threshold::evaluate(&polynomial, &Scalar::from_u64(*x))))
        });
        prop_assert_eq!(sum.to_little_endian(), polynomial[0].to_little_endian());
        // The same as whole numbers over one denominator, where those fit.
        if let Some((wholes, denominator)) = small_lagrange_at_zero(&indexes) {
            for (coefficient, whole) in coefficients.iter().zip(wholes) {
                let size = Scalar::from_u64(whole.unsigned_abs());
                let signed = if whole < 0 { Scalar::zero().sub(&size) } else { size };
                let multiple = coefficient.mul(&Scalar::from_u64(denominator));
                prop_assert_eq!(multiple.to_little_endian(), signed.to_little_endian());
            }
        }
    }
}

#[test]
fn coefficients_of_small_committees_are_small() {
    assert_eq!(small_lagrange_at_zero(&[1, 2, 3]), Some((vec![3, -3, 1], 1)));
    assert_eq!(small_lagrange_at_zero(&[1, 2, 4]), Some((vec![8, -6, 1], 3)));
    for (replicas, quorum) in [(7, 5), (16, 11), (31, 21)] {
        for quorum in [(1..=quorum).collect::<Vec<u64>>(), (replicas - quorum + 1..=replicas).collect()] {
            assert!(small_lagrange_at_zero(&quorum).is_some(), "{quorum:?}");
        }
    }
    // So many points are summed in another way.
    assert!(small_lagrange_at_zero(&(1..=33).collect::<Vec<u64>>()).is_some());
    // Those of large ones do not fit, and are computed in the field.
    assert_eq!(small_lagrange_at_zero(&(1..=67).collect::<Vec<u64>>()), None);
}

/// Threat 57: in a sum without weights, errors that cancel go unnoticed.
#[test]
fn threat_57_batch_without_weights_would_take_two_bad_certificates() {
    let (keys, shares) = trusted_dealer([4; 32], 1, 1).unwrap();
    let statements = [b"one".as_slice(), b"two"];
    let error = Signature::uncompress(&shares[0].sign_under(b"error", SIGNATURE_SUITE)).unwrap();
    let mut minus = error.compress();
    minus[0] ^= 0x20;
    let minus = Signature::uncompress(&minus).unwrap();

    let points: Vec<SignaturePoint> = [
        plus(&shares[0].sign_under(statements[0], SIGNATURE_SUITE), &error),
        plus(&shares[0].sign_under(statements[1], SIGNATURE_SUITE), &minus),
    ]
    .iter()
    .map(|bytes| SignaturePoint::decode(bytes).unwrap())
    .collect();
    let hashes: Vec<SignaturePoint> =
        statements.iter().map(|statement| SignaturePoint::hash(statement, SIGNATURE_SUITE)).collect();
    let key = &PreparedKey::new(keys.group().point());

    let ones = concatenated(&[Scalar::from_u64(1), Scalar::from_u64(1)]);
    let sum = |points: &[SignaturePoint], weights: &[u8]| SignaturePoint::weighted_sum(points, weights, 256);
    assert!(sum(&points, &ones).signs(&sum(&hashes, &ones), key), "the attack works without weights");
    assert!(!points[0].signs(&hashes[0], key) && !points[1].signs(&hashes[1], key));
    let weights = concatenated(&[Scalar::from_u64(3), Scalar::from_u64(5)]);
    assert!(!sum(&points, &weights).signs(&sum(&hashes, &weights), key));
    // That the batches of this crate are weighted is tested where they are: `quorum/tests`.
}

#[test]
fn a_dealing_is_consistent_and_repeatable() {
    let (keys, shares) = trusted_dealer([5; 32], 7, 5).unwrap();
    assert_eq!((keys.quorum(), keys.shares().len()), (5, 7));
    for (i, share) in shares.iter().enumerate() {
        assert_eq!(share.replica(), ReplicaId(i as u16));
        assert_eq!(share.public(), keys.shares()[i]);
    }
    let (again, _) = trusted_dealer([5; 32], 7, 5).unwrap();
    assert_eq!(again, keys);
    let (other, _) = trusted_dealer([6; 32], 7, 5).unwrap();
    assert_ne!(other.digest(), keys.digest());
    for (replicas, quorum) in [(4, 0), (4, 5), (0, 0), (65536, 3)] {
        assert_eq!(
            trusted_dealer([5; 32], replicas, quorum).unwrap_err(),
            KeyError::Size { replicas, quorum }
        );
    }
}

/// Threat 45: keys of a polynomial of another degree, or of no polynomial at all, are refused.
#[test]
fn threat_45_keys_that_do_not_lie_on_one_polynomial_of_the_degree_are_refused() {
    let (keys, _) = trusted_dealer([5; 32], 7, 5).unwrap();
    let (others, _) = trusted_dealer([6; 32], 7, 5).unwrap();
    let (group, shares) = (*keys.group(), keys.shares().to_vec());
    assert_eq!(ThresholdPublic::new(group, shares.clone(), 5), Ok(keys.clone()));
    assert_eq!(ThresholdPublic::new(group, shares.clone(), 4), Err(KeyError::Inconsistent));
    assert_eq!(ThresholdPublic::new(*others.group(), shares.clone(), 5), Err(KeyError::Inconsistent));
    for i in 0..shares.len() {
        let mut foreign = shares.clone();
        foreign[i] = others.shares()[i];
        assert_eq!(ThresholdPublic::new(group, foreign, 5), Err(KeyError::Inconsistent));
    }
    let mut swapped = shares.clone();
    swapped.swap(0, 6);
    assert_eq!(ThresholdPublic::new(group, swapped, 5), Err(KeyError::Inconsistent));
    let mut doubled = shares.clone();
    doubled[4] = doubled[2];
    assert_eq!(ThresholdPublic::new(group, doubled, 5), Err(KeyError::Replica(ReplicaId(4))));
    // Of a lower degree than the quorum says: five would be able to sign where six are promised.
    assert_eq!(ThresholdPublic::new(group, shares, 6), Err(KeyError::Inconsistent));
}

#[test]
fn public_keys_go_over_the_wire_and_are_checked_there() {
    let (keys, _) = trusted_dealer([5; 32], 4, 3).unwrap();
    let bytes = postcard::to_allocvec(&keys).unwrap();
    assert_eq!(bytes.len(), 96 + 1 + 4 * 96 + 1);
    assert_eq!(postcard::from_bytes::<ThresholdPublic>(&bytes), Ok(keys.clone()));
    let mut wrong_quorum = bytes.clone();
    *wrong_quorum.last_mut().unwrap() = 2;
    assert!(postcard::from_bytes::<ThresholdPublic>(&wrong_quorum).is_err());
    let mut off_the_curve = bytes;
    off_the_curve[50] ^= 1;
    assert!(postcard::from_bytes::<ThresholdPublic>(&off_the_curve).is_err());

    let json = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<ThresholdPublic>(&json).unwrap(), keys);
    assert_eq!(GroupPublicKey::from_hex(&keys.group().to_string()), Ok(*keys.group()));
    assert!(matches!(GroupPublicKey::from_hex("00"), Err(KeyError::Hex(_))));
}

#[test]
fn threat_58_secrets_never_printed() {
    let (_, shares) = trusted_dealer([5; 32], 4, 3).unwrap();
    for share in &shares {
        for text in [format!("{share:?}"), format!("{share:#?}")] {
            assert!(!hex::shows(&text, share.to_bytes().as_slice()), "{text}");
        }
    }
    // What blst itself would print, which is why `Debug` is written by hand.
    let naked = SecretKey::from_bytes(shares[0].to_bytes().as_slice()).unwrap();
    assert!(hex::shows(&format!("{naked:#?}"), &naked.to_bytes()));
    assert!(std::mem::needs_drop::<SecretShare>());
}
