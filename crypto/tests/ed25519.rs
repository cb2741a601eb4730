//! Ed25519 under both rules: Wycheproof's vectors, and the edge cases where the rules differ on purpose.
//!
//! Identities verify strictly, transactions under ZIP-215. On Wycheproof's vectors the verdicts are the same
//! but for one. They differ, and should, on points of small order or with a part of small order and on points
//! that are not canonically encoded: strict verification refuses most of those, ZIP-215 takes them all, so
//! that a batch can agree with its parts.

use crypto::{ClientKey, ClientSecret, Identity, IdentitySecret, Signature, Signed, TransactionVerifier};
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};

const MESSAGE: &[u8] = b"Zcash";

/// A key, a message and a signature, as bytes.
#[derive(Clone, Debug)]
struct Case {
    key: [u8; 32],
    message: Vec<u8>,
    signature: Signature,
}

impl Case {
    fn strict(&self) -> bool {
        Identity(self.key).verify(&self.message, &self.signature).is_ok()
    }

    fn zip215(&self) -> bool {
        TransactionVerifier::Zip215.verify(&self.signed())
    }

    fn signed(&self) -> Signed<'_> {
        Signed { key: ClientKey(self.key), message: &self.message, signature: self.signature }
    }
}

/// The verdicts of batch and single verification on the same items.
fn both(cases: &[Case]) -> (Vec<bool>, Vec<bool>) {
    let items: Vec<Signed<'_>> = cases.iter().map(Case::signed).collect();
    let single = items.iter().map(|item| TransactionVerifier::Zip215.verify(item)).collect();
    (TransactionVerifier::Zip215.verify_batch(&items), single)
}

#[test]
fn wycheproof_verdicts_hold_under_both_rules_and_in_batches() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut checked, mut wrong_length) = (0, 0);
    let mut differing = Vec::new();
    let mut cases = Vec::new();
    let mut expected = Vec::new();
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        for test in &group.tests {
            let valid = test.result == wycheproof::TestResult::Valid;
            // A signature of another length than 64 bytes is no `Signature` at all.
            let Ok(signature) = <[u8; 64]>::try_from(test.sig.as_slice()) else {
                assert!(!valid);
                wrong_length += 1;
                continue;
            };
            let case = Case { key, message: test.msg.to_vec(), signature: Signature(signature) };
            assert_eq!(case.strict(), valid, "strict, test {}: {}", test.tc_id, test.comment);
            if case.zip215() != valid {
                differing.push((test.tc_id, case.zip215()));
            }
            expected.push(case.zip215());
            cases.push(case);
            checked += 1;
        }
    }
    // "R encodes y = 1 with the sign bit of x set": not canonical, so RFC 8032 refuses it and ZIP-215 must
    // take it.
    assert_eq!(differing, [(151, true)]);
    assert!(checked > 120 && wrong_length > 5, "{checked} tests, {wrong_length} of another length");
    assert_eq!(both(&cases).0, expected);
}

#[test]
fn signing_is_rfc_8032() {
    // RFC 8032 section 7.1, tests 1 and 3.
    for (seed, key, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            [].as_slice(),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            [0xaf, 0x82].as_slice(),
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659\
             4a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let seed: crypto::Digest = seed.parse().unwrap();
        let signature: Signature = signature.parse().unwrap();
        let identity = IdentitySecret::from_seed(seed.0);
        let client = ClientSecret::from_seed(seed.0);
        assert_eq!(identity.public().to_string(), key);
        assert_eq!(client.public().to_string(), key);
        assert_eq!(identity.sign(message), signature);
        assert_eq!(client.sign(message), signature);
        assert_eq!(identity.public().verify(message, &signature), Ok(()));
        assert_eq!(client.public().verify(message, &signature), Ok(()));
    }
}

#[test]
fn generated_keys_differ_and_are_valid() {
    let (a, b) = (IdentitySecret::generate().unwrap(), IdentitySecret::generate().unwrap());
    assert_ne!(a.public(), b.public());
    assert_eq!(a.public().validate(), Ok(()));
    let (a, b) = (ClientSecret::generate().unwrap(), ClientSecret::generate().unwrap());
    assert_ne!(a.public(), b.public());
    assert_eq!(a.public().validate(), Ok(()));
}

/// The eight canonical encodings of points of small order, and the six that are not canonical.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut encodings: Vec<[u8; 32]> =
        EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    let signed = |mut bytes: [u8; 32]| {
        bytes[31] |= 0x80;
        bytes
    };
    let one = EIGHT_TORSION[0].compress().to_bytes();
    let minus_one = EIGHT_TORSION[4].compress().to_bytes();
    // p and p + 1, which stand for 0 and 1.
    let mut p = [0xff; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    let mut p_plus_one = p;
    p_plus_one[0] = 0xee;
    encodings.extend([signed(one), signed(minus_one), p, signed(p), p_plus_one, signed(p_plus_one)]);
    encodings
}

/// The conformance vectors of ZIP-215: every key and every commitment of small order, with the scalar zero.
/// All are valid under ZIP-215; none is under strict verification.
fn small_order_cases() -> Vec<Case> {
    let encodings = small_order_encodings();
    let mut cases = Vec::new();
    for key in &encodings {
        for commitment in &encodings {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(commitment);
            cases.push(Case { key: *key, message: MESSAGE.to_vec(), signature: Signature(signature) });
        }
    }
    cases
}

/// A signature by an honest scalar whose key and commitment have parts of small order added.
fn with_torsion(seed: u64, of_key: usize, of_commitment: usize) -> Case {
    let scalar = |label: &[u8]| {
        let hash = Sha512::new().chain_update(label).chain_update(seed.to_be_bytes()).finalize();
        Scalar::from_bytes_mod_order_wide(&hash.into())
    };
    let (secret, nonce) = (scalar(b"secret"), scalar(b"nonce"));
    let encode = |scalar: Scalar, torsion: usize| -> [u8; 32] {
        let point: EdwardsPoint = ED25519_BASEPOINT_POINT * scalar + EIGHT_TORSION[torsion];
        point.compress().to_bytes()
    };
    let (key, commitment) = (encode(secret, of_key), encode(nonce, of_commitment));
    let hash = Sha512::new().chain_update(commitment).chain_update(key).chain_update(MESSAGE).finalize();
    let response = nonce + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&commitment);
    signature[32..].copy_from_slice(&response.to_bytes());
    Case { key, message: MESSAGE.to_vec(), signature: Signature(signature) }
}

#[test]
fn threat_98_small_order_and_non_canonical_cases_one_rule_each() {
    let cases = small_order_cases();
    assert_eq!(cases.len(), 196);
    for case in &cases {
        assert!(case.zip215(), "ZIP-215 takes {case:?}");
        assert!(!case.strict(), "strict verification refuses {case:?}");
    }
    let (batch, single) = both(&cases);
    assert_eq!(batch, single);
    // One by one, in batches large enough not to be verified singly, beside good ones.
    for case in &cases {
        let (batch, single) = both(&vec![case.clone(); 6]);
        assert_eq!(batch, single);
    }
}

/// The case on which a batch without the cofactor's multiplication and single verification part ways.
#[test]
fn threat_98_parts_of_small_order_batch_equals_single() {
    let mut strict = 0;
    let mut cases = Vec::new();
    for seed in 0..4 {
        for of_key in 0..8 {
            for of_commitment in 0..8 {
                let case = with_torsion(seed, of_key, of_commitment);
                assert!(case.zip215(), "seed {seed}, torsion {of_key} and {of_commitment}");
                strict += usize::from(case.strict());
                cases.push(case);
            }
        }
    }
    // Strict verification takes those where the parts happen to cancel, the four honest ones among them.
    assert!((4..128).contains(&strict), "{strict} of {}", cases.len());
    let (batch, single) = both(&cases);
    assert_eq!(batch, single);
}

/// Adding the group's order to the scalar gives a second signature of the same message, which nobody may
/// take.
#[test]
fn threat_98_malleated_scalar_is_refused() {
    let secret = ClientSecret::from_seed([1; 32]);
    let mut signature = secret.sign(MESSAGE);
    // L, little endian.
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature.0[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + add + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let case = Case { key: secret.public().0, message: MESSAGE.to_vec(), signature };
    assert!(!case.strict() && !case.zip215());
    let (batch, _) = both(&vec![case; 6]);
    assert_eq!(batch, [false; 6]);
}

#[test]
fn threat_51_identity_key_or_signature_of_small_order_is_refused() {
    for key in small_order_encodings() {
        assert!(Identity(key).validate().is_err(), "{:?}", Identity(key));
        assert!(ClientKey(key).validate().is_err());
    }
    // With a part of small order; not canonical, of large order; not on the curve.
    for torsion in 1..8 {
        assert!(Identity(with_torsion(1, torsion, 0).key).validate().is_err());
    }
    let mut refused = 0;
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            assert!(Identity(key).validate().is_err());
            refused += 1;
        }
    }
    assert_eq!(refused, 38);
    assert_eq!(Identity(with_torsion(1, 0, 0).key).validate(), Ok(()));
}

#[test]
fn threat_58_secrets_never_printed() {
    let (identity, client) = (IdentitySecret::from_seed([0xab; 32]), ClientSecret::from_seed([0xab; 32]));
    for text in
        [format!("{identity:?}"), format!("{client:?}"), format!("{identity:#?}"), format!("{client:#?}")]
    {
        assert!(!text.contains("abab") && !text.contains("171"), "{text}");
    }
    assert!(std::mem::needs_drop::<IdentitySecret>() && std::mem::needs_drop::<ClientSecret>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Threat 98: whatever is mixed, and wherever the borders of the batches fall.
    #[test]
    fn threat_98_batch_equals_single(kinds in prop::collection::vec(0_u8..40, 0..300), bad in any::<bool>()) {
        let cases: Vec<Case> = kinds
            .iter()
            .enumerate()
            .map(|(i, kind)| {
                let secret = ClientSecret::from_seed([(i % 5) as u8; 32]);
                let message = i.to_be_bytes().to_vec();
                let mut case =
                    Case { key: secret.public().0, signature: secret.sign(&message), message };
                match kind {
                    0 if bad => case.signature.0[(i * 7) % 64] ^= 1 << (i % 8),
                    1 if bad => case.key[0] ^= 1,
                    2 if bad => case.message.push(0),
                    3 | 4 => case = with_torsion(i as u64, i % 8, (i / 8) % 8),
                    5 => case = small_order_cases()[i % 196].clone(),
                    _ => {}
                }
                case
            })
            .collect();
        let (batch, single) = both(&cases);
        prop_assert_eq!(&batch, &single);
        prop_assert!(bad || single.iter().all(|good| *good));
    }
}

#[cfg(feature = "simulated")]
#[test]
fn simulated_transactions_take_their_own_signatures_only() {
    let secret = ClientSecret::from_seed([1; 32]);
    let simulated = secret.sign_simulated(MESSAGE);
    let item = |message, signature| Signed { key: secret.public(), message, signature };
    let items = [item(MESSAGE, simulated), item(b"other", simulated), item(MESSAGE, secret.sign(MESSAGE))];
    assert_eq!(TransactionVerifier::Simulated.verify_batch(&items), [true, false, false]);
    assert!(!TransactionVerifier::Zip215.verify(&items[0]));
}
