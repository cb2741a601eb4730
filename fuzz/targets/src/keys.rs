//! Keys, shares and certificates of both schemes.
//!
//! Oracles: a key that decodes is its own encoding and is not the identity; what verifies is what was signed; verdicts in a batch
//! are the verdicts alone; and of bad shares exactly the signers are named.

use crate::canonical::statement;
use crate::consortium::client;
use crate::edit::damage;
use crate::input::Input;
use crypto::{
    Aggregate, Certificate, ClientKey, CombineError, Digest, FaultModel, GroupPublicKey, Identity,
    IdentitySecret, ProofOfPossession, ProtocolTag, QuorumSigner, QuorumVerifier, ReplicaId, SecretShare,
    Share, SharePublicKey, Signature, Signed, Statement, StatementKind, ThresholdPublic, TransactionVerifier,
    trusted_dealer,
};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A group of four of which three sign.
pub struct Threshold {
    /// Its public keys.
    pub keys: ThresholdPublic,
    /// Its secrets.
    pub shares: Vec<SecretShare>,
}

/// The group of all targets.
pub static THRESHOLD: LazyLock<Threshold> = LazyLock::new(|| {
    let (keys, shares) = trusted_dealer([5; 32], 4, 3).expect("a possible size");
    Threshold { keys, shares }
});

/// A committee of one scheme, with what three of it signed.
struct Committee {
    verifier: QuorumVerifier,
    shares: Vec<(ReplicaId, Share)>,
    certificate: Certificate,
    /// What each of four said of its own, with its share.
    words: Vec<(ReplicaId, Statement, Share)>,
}

static COMMITTEES: LazyLock<[Committee; 2]> = LazyLock::new(|| {
    let secrets: Vec<_> = (0..4).map(|number| IdentitySecret::from_seed([number; 32])).collect();
    let shares = THRESHOLD.shares.iter().cloned().zip(secrets.clone());
    let threshold = shares.map(|(share, own)| QuorumSigner::Threshold(share, own)).collect();
    let identities = secrets.iter().map(IdentitySecret::public).collect();
    let list = secrets.into_iter().map(QuorumSigner::Ed25519).collect();
    [
        (QuorumVerifier::threshold(THRESHOLD.keys.clone()), threshold),
        (QuorumVerifier::ed25519(identities, 3), list),
    ]
    .map(|(verifier, signers): (_, Vec<QuorumSigner>)| {
        let verifier = verifier.expect("good keys");
        let ids = (0..).map(ReplicaId);
        let shares: Vec<_> = ids.zip(signers.iter().map(|signer| signer.sign(&base()))).collect();
        let certificate = verifier.combine(&base(), &shares).expect("good shares");
        let words = (0..).zip(&signers).map(|(id, signer)| {
            let statement = Statement { height: u64::from(id) / 2, ..base() };
            (ReplicaId(id), statement, signer.sign(&statement))
        });
        Committee { verifier, shares, certificate, words: words.collect() }
    })
});

fn base() -> Statement {
    Statement {
        kind: StatementKind::CHECKPOINT,
        chain: Digest([1; 32]),
        epoch: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        view: 0,
        height: 7,
        digest: Digest([2; 32]),
    }
}

/// One byte for the part; the rest is its own.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 6 {
        0 => points(&mut input),
        1 => verdicts(&mut input),
        2 => combination(&mut input),
        3 => signatures(&mut input),
        4 => secrets(&mut input),
        _ => aggregation(&mut input),
    }
}

/// Bytes of a valid value or of the input, with changes.
fn near<const N: usize>(input: &mut Input<'_>, valid: &[u8; N]) -> [u8; N] {
    let mut bytes = if input.byte() % 2 == 1 { valid.to_vec() } else { input.take(N).to_vec() };
    damage(input, &mut bytes);
    bytes.resize(N, 0);
    bytes.try_into().expect("just resized")
}

/// threat 50, 51: a point is refused or is the one encoding of a point that is not the identity.
fn points(input: &mut Input<'_>) {
    let valid = THRESHOLD.keys.shares()[0].to_bytes();
    let bytes = near(input, &valid);
    let share = SharePublicKey::from_bytes(&bytes);
    let group = GroupPublicKey::from_bytes(&bytes);
    assert_eq!(share.is_ok(), group.is_ok(), "both kinds of key have the same checks");
    if let Ok(key) = share {
        assert_eq!(key.to_bytes(), bytes, "one encoding a point");
        assert_eq!(bytes[0] & 0xc0, 0x80, "compressed, and not the identity");
        assert_eq!(SharePublicKey::from_hex(&key.to_string()), Ok(key));
        let proof = THRESHOLD.shares[0].prove_possession();
        let holds = key.verify_possession(&proof).is_ok();
        assert_eq!(holds, bytes == valid, "a proof of possession is for one key");
    }
    let proof = THRESHOLD.shares[0].prove_possession();
    let changed = ProofOfPossession(near(input, &proof.0));
    let holds = THRESHOLD.keys.shares()[0].verify_possession(&changed).is_ok();
    assert_eq!(holds, changed == proof, "one proof of possession a key");
}

/// A certificate with changes, over a statement with changes, in both schemes.
fn verdicts(input: &mut Input<'_>) {
    let committee = input.pick(&*COMMITTEES);
    let mut items = vec![(base(), committee.certificate.clone())];
    for _ in 0..=input.below(3) {
        let bytes = crate::edit::edited(input, &committee.certificate);
        let Ok(certificate) = bft_core::codec::decode::<Certificate>(&bytes, 1 << 12) else { continue };
        let Some(statement) = statement(input, &base()) else { continue };
        items.push((statement, certificate));
    }
    let alone: Vec<_> = items.iter().map(|(s, c)| committee.verifier.verify(s, c)).collect();
    for ((statement, certificate), verdict) in items.iter().zip(&alone) {
        // Any quorum of a list is good; there are no other signatures to make one of than those three.
        let same = *statement == base() && *certificate == committee.certificate;
        assert_eq!(verdict.is_ok(), same, "{certificate:?} for {statement:?}: {verdict:?}");
    }
    assert_eq!(committee.verifier.verify_batch(&items), alone, "a batch changes no verdict");
}

fn changed(input: &mut Input<'_>, share: &Share) -> Share {
    match share {
        Share::Threshold(bytes, own) => Share::Threshold(near(input, bytes), *own),
        Share::Ed25519(Signature(bytes)) => Share::Ed25519(Signature(near(input, bytes))),
        Share::None => Share::None,
    }
}

/// threat 53: shares with changes, out of order, doubled, of strangers.
fn combination(input: &mut Input<'_>) {
    let committee = input.pick(&*COMMITTEES);
    let mut shares: Vec<(ReplicaId, Share)> = Vec::new();
    for _ in 0..input.below(7) {
        let (signer, share) = &committee.shares[input.below(4)];
        let how = input.byte();
        let share = if how & 1 == 1 { changed(input, share) } else { share.clone() };
        shares.push((if how & 2 == 2 { ReplicaId(input.short() as u16) } else { *signer }, share));
    }
    let good: BTreeSet<ReplicaId> = shares
        .iter()
        .filter(|(signer, share)| committee.verifier.verify_share(*signer, &base(), share).is_ok())
        .map(|(signer, _)| *signer)
        .collect();
    let once = |signer: &ReplicaId| shares.iter().filter(|(other, _)| other == signer).count() == 1;
    let bad: BTreeSet<ReplicaId> =
        shares.iter().map(|(s, _)| *s).filter(|s| !good.contains(s) || !once(s)).collect();
    match committee.verifier.combine(&base(), &shares) {
        Ok(certificate) => {
            assert!(good.len() >= 3, "a quorum of good shares");
            assert_eq!(committee.verifier.verify(&base(), &certificate), Ok(()));
        }
        Err(CombineError::TooFew { have, need }) => assert!(have < need && bad.iter().all(once)),
        Err(error @ CombineError::Order(_)) => panic!("{error}, and shares to combine may come in any order"),
        Err(CombineError::Culprits(named)) => {
            assert_eq!(named, bad.into_iter().collect::<Vec<_>>(), "all culprits, and nobody else");
        }
    }
}

/// Words with changes, some left out, out of order or doubled; and an aggregate with changes.
fn aggregation(input: &mut Input<'_>) {
    let committee = input.pick(&*COMMITTEES);
    let mut words: Vec<(ReplicaId, Statement, Share)> = Vec::new();
    for word in &committee.words {
        for _ in 0..input.below(3) {
            let (signer, mut said, mut share) = word.clone();
            let how = input.byte();
            if how & 1 == 1 {
                share = changed(input, &share);
            }
            if how & 2 == 2 {
                said.height ^= 1;
            }
            words.push((if how & 4 == 4 { ReplicaId(input.short() as u16) } else { signer }, said, share));
        }
    }
    let bad = |(signer, said, share): &&(ReplicaId, Statement, Share)| {
        committee.verifier.verify_share(*signer, said, share).is_err()
    };
    let bad: Vec<ReplicaId> = words.iter().filter(bad).map(|(signer, _, _)| *signer).collect();
    let said: Vec<_> = words.iter().map(|(signer, said, _)| (*signer, *said)).collect();
    let ascending = said.is_sorted_by(|(a, _), (b, _)| a < b);
    match committee.verifier.aggregate(&words) {
        Ok(aggregate) => {
            assert!(words.len() >= 3 && ascending && bad.is_empty(), "a quorum of good words in order");
            assert_eq!(committee.verifier.verify_aggregate(&said, &aggregate), Ok(()));
            let bytes = crate::edit::edited(input, &aggregate);
            if let Ok(edited) = bft_core::codec::decode::<Aggregate>(&bytes, 1 << 12) {
                let verifies = committee.verifier.verify_aggregate(&said, &edited).is_ok();
                assert_eq!(verifies, edited == aggregate, "one aggregate for these words");
            }
        }
        Err(CombineError::TooFew { have, need }) => assert!(have == words.len() && have < need),
        Err(CombineError::Order(_)) => assert!(!ascending),
        Err(CombineError::Culprits(named)) => assert_eq!(named, bad, "all culprits, and nobody else"),
    }
}

/// Ed25519: what verifies is what was signed, alone and in a batch.
fn signatures(input: &mut Input<'_>) {
    let (secret, identity) = (client(1), IdentitySecret::from_seed([1; 32]));
    let message = near(input, &[7; 32]);
    let key = ClientKey(near(input, &secret.public().0));
    let signature = Signature(near(input, &secret.sign(&[7; 32]).0));
    let as_signed = message == [7; 32] && signature == secret.sign(&[7; 32]);
    let unchanged = as_signed && key == secret.public();
    let verifies = key.verify(&message, &signature).is_ok();
    // Under a key of small order anybody can sign; ZIP-215 lets such keys be, enrolment does not.
    assert!(verifies == unchanged || key.validate().is_err(), "{key} signed {message:?} with {signature}");
    let strict = Identity(key.0).verify(&message, &signature).is_ok();
    assert_eq!(strict, unchanged, "one rule for replicas");
    assert_eq!(identity.public().verify(&message, &signature).is_ok(), as_signed, "the same key");
    let signed = Signed { key, message: &message, signature };
    let good = Signed { key: secret.public(), message: &[7; 32], signature: secret.sign(&[7; 32]) };
    let batch = [good, good, signed, good, good, signed];
    let alone = batch.map(|item| TransactionVerifier::Zip215.verify(&item));
    assert_eq!(TransactionVerifier::Zip215.verify_batch(&batch), alone, "a batch changes no verdict");
}

/// A secret is refused or reads back.
fn secrets(input: &mut Input<'_>) {
    let bytes = near(input, &THRESHOLD.shares[0].to_bytes());
    if let Ok(secret) = SecretShare::from_bytes(ReplicaId(0), &bytes) {
        assert_eq!(*secret.to_bytes(), bytes);
        let public = secret.public();
        assert_eq!(SharePublicKey::from_bytes(&public.to_bytes()), Ok(public));
    }
}

/// Seeds: every part, with valid values and with the edges of the encodings.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut identity = [0; 96];
    identity[0] = 0xc0;
    let raw = |point: &[u8; 96]| [&[0, 0], point.as_slice(), &[0; 4]].concat();
    let mut seeds = vec![raw(&identity), raw(&[0xff; 96]), raw(&THRESHOLD.keys.group().to_bytes())];
    for part in 0..5 {
        seeds.push(vec![part, 1, 0, 1, 0]);
        seeds.push(vec![part, 0, 4, 0, 0, 1, 0, 2, 0, 3, 0]);
        seeds.push(vec![part, 1, 4, 0, 0, 1, 0, 2, 0, 3, 0]);
        seeds.push(vec![part, 0, 3, 0, 0, 1, 1, 1, 1, 9, 2, 2, 0]);
        seeds.push(vec![part, 1, 3, 0, 0, 1, 1, 1, 1, 9, 2, 2, 0]);
    }
    seeds.push(vec![3, 1, 0, 1, 0, 1, 0]);
    for committee in 0..2 {
        // Four good words and an edited aggregate; another statement; a damaged share; a signer twice; a stranger.
        seeds.push(vec![5, committee, 1, 0, 1, 0, 1, 0, 1, 0, 1, 3, 0, 7, 1]);
        seeds.push(vec![5, committee, 1, 0, 1, 2, 1, 0, 1, 0]);
        seeds.push(vec![5, committee, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 4, 1, 1, 1]);
        seeds.push(vec![5, committee, 2, 0, 0, 1, 0, 1, 0]);
        seeds.push(vec![5, committee, 1, 0, 1, 0, 1, 0, 1, 4, 9, 0]);
    }
    seeds
}
