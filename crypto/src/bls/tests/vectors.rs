//! Known answers, from implementations that share nothing with blst.

use super::super::ffi::{Scalar, hash_to_signature_group};
use super::super::point::{concatenated, lagrange_at_zero};
use super::super::*;
use crate::ReplicaId;
use crate::hex;

fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    hex::read(digits.as_bytes()).unwrap()
}

/// RFC 9380 appendix J.9.1, BLS12381G1_XMD:SHA-256_SSWU_RO_; x and then y. Taken from the crate bls12_381
/// 0.9.0 (`tests/hash_to_curve_g1.rs`), and found equal in the Python package py_ecc 8.0.0
/// (`tests/bls/test_hash_to_curve.py`).
#[test]
fn hash_to_curve_is_that_of_rfc_9380() {
    const TAG: &[u8] = b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    let long = |start: &str, letter: &str, count| format!("{start}{}", letter.repeat(count));
    let cases = [
        (
            String::new(),
            "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
            "08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265",
        ),
        (
            "abc".to_owned(),
            "03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
            "0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d",
        ),
        (
            "abcdef0123456789".to_owned(),
            "11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
            "03a87ae2caf14e8ee52e51fa2ed8eefe80f02457004ba4d486d6aa1f517c0889501dc7413753f9599b099ebcbbd2d709",
        ),
        (
            long("q128_", "q", 128),
            "15f68eaa693b95ccb85215dc65fa81038d69629f70aeee0d0f677cf22285e7bf58d7cb86eefe8f2e9bc3f8cb84fac488",
            "1807a1d50c29f430b8cafc4f8638dfeeadf51211e1602a5f184443076715f91bb90a48ba1e370edce6ae1062f5e6dd38",
        ),
        (
            long("a512_", "a", 512),
            "082aabae8b7dedb0e78aeb619ad3bfd9277a2f77ba7fad20ef6aabdc6c31d19ba5a6d12283553294c1825c4b3ca2dcfe",
            "05b84ae5a942248eea39e1d91030458c40153f3b654ab7872d779ad1e942856a20c438e8d99bc8abfbf74729ce1f7ac8",
        ),
    ];
    for (message, x, y) in cases {
        let point = hash_to_signature_group(message.as_bytes(), TAG).serialize();
        assert_eq!(point[..48], bytes::<48>(x), "x of {message:?}");
        assert_eq!(point[48..], bytes::<48>(y), "y of {message:?}");
    }
}

/// A threshold signature made by others: round 123 of drand's quicknet (signatures in G1, keys in G2, RFC
/// 9380), whose members hold shares of the key. From the crate drand-verify 0.6.2 (`src/verify.rs`). Its
/// suite is the one without proofs of possession; the message is SHA-256 of the round, big endian.
#[test]
fn a_signature_of_drand_quicknet_verifies() {
    use sha2::{Digest as _, Sha256};
    const SUITE: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    let key = GroupPublicKey::from_hex(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451\
         0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
    )
    .unwrap();
    let signature = SignaturePoint::decode(&bytes(
        "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92",
    ))
    .unwrap();
    let message = |round: u64| Sha256::digest(round.to_be_bytes());
    assert!(signature.verify(&message(123), SUITE, key.point()));
    assert!(signature.signs(&SignaturePoint::hash(&message(123), SUITE), &PreparedKey::new(key.point())));
    assert!(!signature.verify(&message(124), SUITE, key.point()));
    assert!(!signature.signs(&SignaturePoint::hash(&message(124), SUITE), &PreparedKey::new(key.point())));
    assert!(!signature.verify(&message(123), SIGNATURE_SUITE, key.point()));
}

/// A dealing with quorum 3 of 4, computed by `testdata/bls_vectors.py` with the Python package py_ecc 8.0.0:
/// secret, key, signature and proof of possession of each replica.
const DEALING: [[&str; 4]; 4] = [
    [
        "13e2d39ec39a112b206d8cd5b801048371fa99b05f197883ec78f4f008907856",
        "b0bfbdd8b93f8aca9ee2b34d4596ac197041cefe5f82aa1536e31268f794a91d50d62b97d22f631482f78504f7be20ee\
         0a0487a57a9d553060cd64ff4e6d9d2c6927bd36925b23bb8f347f6c8223cb2978e73bf6ca7cb2df1979aad49d148088",
        "aff5d5b30a3bcdae4bd801abd86bf908040e0bfc727e7e58b10e2d40f198ce9df9a707ba1222a7796bd9b478b29f1883",
        "8001746b926d7cbd44119bf1c7cd29ef7207e39c24fe49df3edae57c61aeb2c613cd0159aad1909cf45b3e4357ce50cc",
    ],
    [
        "322895f234071cc340092e21734176e1542b2e1769cc04573153b7e85befea7c",
        "9487e22dafb7a89bd6b99fcbe2ada20f88366f4ed7a7dbd892e4ab82627393e4165fc7ae991663cf499a69ed67274bf9\
         02c431f1eade921f49145913eecedf459d228bc379fd9e6042b03dd30de15b5e550c51582c0f16a2b5e18c923426c90c",
        "b8e95294d225c5267296683c2d8a7a511a6b66bd3f4682cd3bd1e1ddd16ffe1aa69c3cb3ba73acb0b0c4f4ed26f741d5",
        "b1d4aee4c66a6f5388ec9b5f46377fb02daaa8ecb85f5676b1e0bbb17c1dfafd4368535a71053fee791d4d637450401b",
    ],
    [
        "34f5358629b78b1e38feaf156a99702c914efe17f99a2a84c745a3c9ed0472af",
        "ad9c94a6f74567e0cd060c08bf0a737295009b2a23b0c7948aaa480ecfd1b34c474127b26d154cbc441d18a029d161bf\
         0fea7fe1562b479dca8bb739ea168ea307674b01445ca445f9f88b9a69853b7cfebfbaf83cd6ff1a244f8400343a039b",
        "b8cbef5dab69d5122defbe891cae3da7852ed1a04c45d5d347629d215cb8e1654f8deedcd959bf04d0596211d3267442",
        "a5d5a7f67e804f0ed46b8cabd39b74a9f057adeebabf0a8e90c295193957becc0a53a772d9ea39ace0c9fbf6a0328f90",
    ],
    [
        "1c48b25aa4ab5c3c0b4e0fb19e08f065296609b20e83eb0cae4eb894bbce10ef",
        "a9e2172999ecba3d358acc67dee961d03d079e73a67ec0cc7c8ecf12dad38c957061ad3411117438f8b1b605d837a307\
         0f6f1778bfc2a64f262c067d25e8335ce4561de029e0f4029d2a8b1434a60d1b2223321e954767e0f66a8dc1e90817d0",
        "aeb525ea6589cf2964cea503da7124f7f9c7a5270d6e03d66f0d06305e20eb5de63c05b2a51a8f2f2617ea1e957fc0b2",
        "b039c0463b86233db91b19c72bf7db2f3bb4c35d371d21d07257a9818413ee5b4cbae4b7fd8e67e4cb420f4269366f09",
    ],
];
const GROUP_KEY: &str = "95824b1d14762a291ac09adcae1d623d9c511877f3f30dd3500a568aef5f1db7d2c6a83fecad68b9c53d93793f156c2f\
                         0ab7cf8e6c6f146f46a483ff5b24fad2fd6d0d2bea300b6c47b4d722e722e3e5cd4ad899b42ef87cd2d5f342c29282db";
const GROUP_SIGNATURE: &str =
    "a17050290a716e5e5455140bc41024f134972845cd7a4cf8589eed6b15582781030b0dd4f4b81965f272aca21b234b5e";

#[test]
fn keys_signatures_and_proofs_are_those_of_py_ecc() {
    for (i, [secret, key, signature, possession]) in DEALING.iter().enumerate() {
        let share = SecretShare::from_bytes(ReplicaId(i as u16), &bytes(secret)).unwrap();
        assert_eq!(share.public().to_string(), *key);
        assert_eq!(share.sign_under(b"a message", SIGNATURE_SUITE), bytes::<48>(signature));
        assert_eq!(share.prove_possession().0, bytes::<48>(possession));
        assert_eq!(share.public().verify_possession(&ProofOfPossession(bytes(possession))), Ok(()));
    }
}

#[test]
fn interpolation_is_that_of_py_ecc() {
    let coefficients: Vec<[u8; 32]> =
        lagrange_at_zero(&[1, 3, 4]).iter().map(Scalar::to_little_endian).collect();
    let expected = [
        "0200000000000000000000000000000000000000000000000000000000000000",
        "fffffffffefffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73",
        "0100000000000000000000000000000000000000000000000000000000000000",
    ];
    assert_eq!(coefficients, expected.map(bytes::<32>));

    let keys: Vec<SharePublicKey> =
        DEALING.iter().map(|[_, key, ..]| SharePublicKey::from_hex(key).unwrap()).collect();
    let public = ThresholdPublic::new(GroupPublicKey::from_hex(GROUP_KEY).unwrap(), keys, 3).unwrap();
    for signers in [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3], [3, 0, 2]] {
        let points: Vec<UncheckedPoint> =
            signers.iter().map(|i| UncheckedPoint::decompress(&bytes(DEALING[*i][2])).unwrap()).collect();
        let indexes = signers.map(|i| i as u64 + 1);
        let sum = UncheckedPoint::weighted_sum(&points, &concatenated(&lagrange_at_zero(&indexes)), 255);
        let signature = sum.check().unwrap();
        assert_eq!(signature.encode(), bytes::<48>(GROUP_SIGNATURE), "{signers:?}");
        assert!(signature.verify(b"a message", SIGNATURE_SUITE, public.group().point()));
    }
    // The consistency check of the keys, once more against a wrong quorum.
    let keys = public.shares().to_vec();
    assert_eq!(ThresholdPublic::new(*public.group(), keys, 2), Err(KeyError::Inconsistent));
}
