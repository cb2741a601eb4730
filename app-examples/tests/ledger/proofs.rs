//! Queries as a client checks them: over proven values only.

use crate::harness::{BANK, Book, CLERK, SHOP, asset, bond, config, eur, key, transfer};
use app_examples::ledger::{Account, Answer, Asset, Code, Ledger, Query, Source, Supply, Terms, answer};
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::genesis::{Application, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::genesis_state;
use bft_core::ledger::CheckpointCertificate;
use bft_core::machine::{Refusal, StateMachine};
use bft_core::request::{AnswerBytes, ProvenAnswer, ProvenRead};
use bft_core::state::{Space, State, Tree, full_key};
use bytes::Bytes;
use crypto::{Digest, FaultModel, Identity, ProtocolTag, QuorumVerifier, Scheme};
use std::collections::BTreeSet;

fn genesis(state_root: Digest) -> Genesis {
    Genesis {
        version: codec::VERSION,
        network: "test".into(),
        time: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        scheme: Scheme::Ed25519,
        limits: Limits::default(),
        application: Application { name: Ledger.name().into(), config: config() },
        state_root,
        replicas: vec![ReplicaInfo {
            organisation: "north-bank".into(),
            identity: Identity(key(CLERK).0),
            address: "a:1".into(),
        }],
        organisations: vec![Organisation {
            name: "north-bank".into(),
            operator: key(BANK),
            clients: vec![key(SHOP)],
        }],
        threshold: None,
    }
}

/// What a client would trust if the book's state were the genesis's: a certificate over it that needs no signatures.
pub fn certify(book: &Book) -> (Trust, Tree) {
    let pairs =
        book.pairs().into_iter().map(|(key, value)| (full_key(Space::Application, &key), Some(value)));
    let tree = Tree::default().update(pairs);
    let genesis = genesis(tree.root());
    let verifier = QuorumVerifier::ed25519(vec![genesis.replicas[0].identity], 1).unwrap();
    (genesis.trust_with(verifier), tree)
}

/// Notes which keys are read.
struct Recorder {
    state: State,
    reads: BTreeSet<Bytes>,
}

impl Source for Recorder {
    fn value(&mut self, key: &[u8]) -> Option<Bytes> {
        self.reads.insert(full_key(Space::Application, key));
        self.state.get(key)
    }
}

/// The proven answer that an honest replica gives, made without the ledger's own `query`.
pub fn prove(book: &Book, request: &[u8]) -> (Trust, ProvenAnswer) {
    let (trust, tree) = certify(book);
    let mut recorder = Recorder { state: book.state.clone(), reads: BTreeSet::new() };
    let result = Query::decode(request)
        .and_then(|query| answer(&query, &mut recorder))
        .map(|answer| AnswerBytes(answer.encode()))
        .map_err(|refused| {
            let refusal = Refusal::from(refused);
            (refusal.code, refusal.sentence)
        });
    let prove = |key: Bytes| {
        let (value, proof) = tree.prove(&key);
        ProvenRead { key, value: value.map(AnswerBytes), proof }
    };
    let reads = recorder.reads.into_iter().map(prove).collect();
    let certificate = CheckpointCertificate { entry: trust.genesis_entry, proof: None };
    (trust, ProvenAnswer { result, reads, certificate })
}

/// The answer after its proof was checked.
fn proven(book: &Book, query: Query) -> Result<Answer, u32> {
    let (trust, proven) = prove(book, &query.encode());
    assert_eq!(proven.verify(&Ledger, &query.encode(), &trust), Ok(()));
    proven.result.map(|bytes| Answer::decode(&bytes.0).unwrap()).map_err(|(code, _)| code)
}

#[test]
fn proven_answers_are_what_execution_left() {
    let mut book = Book::new();
    book.issue(SHOP, 100);
    book.run(SHOP, &transfer(CLERK, 30)).unwrap();
    book.freeze(SHOP);

    let balance = |asset, who| Query::Balance { asset, account: key(who) };
    assert_eq!(proven(&book, balance(eur(), SHOP)), Ok(Answer::Balance(70)));
    assert_eq!(proven(&book, balance(eur(), CLERK)), Ok(Answer::Balance(30)));
    assert_eq!(proven(&book, balance(bond(), CLERK)), Ok(Answer::Balance(0)));
    assert_eq!(proven(&book, balance(asset("XAU"), CLERK)), Err(Code::UnknownAsset.number()));
    assert_eq!(
        proven(&book, Query::Supply { asset: eur() }),
        Ok(Answer::Supply(Supply { issued: 100, redeemed: 0 }))
    );
    assert_eq!(
        proven(&book, Query::Asset { asset: eur() }),
        Ok(Answer::Asset(Asset { issuer: "north-bank".into(), issuer_keys: vec![] }))
    );
    let Ok(Answer::Account(shop)) = proven(&book, Query::Account { account: key(SHOP) }) else { panic!() };
    assert_eq!((shop.activity.operations, shop.activity.height), (1, 2));
    assert_eq!(shop.freeze.map(|freeze| freeze.reason), Some("court order 12".into()));
    assert_eq!(
        proven(&book, Query::Account { account: key(CLERK) }),
        Ok(Answer::Account(Account::default()))
    );
    let Ok(Answer::Terms(Terms { assets, freeze_authority, freeze_keys })) = proven(&book, Query::Terms)
    else {
        panic!()
    };
    assert_eq!(
        (assets, freeze_authority, freeze_keys.len()),
        (vec![bond(), eur()], vec!["supervisor".into()], 1)
    );
}

#[test]
fn the_host_runs_the_genesis() {
    let good = genesis(Digest::ZERO);
    let (state, root) = genesis_state(&Ledger, &good).unwrap();
    assert_eq!(state.scan(b"").count(), 3);
    assert_eq!(genesis_state(&Ledger, &good).unwrap().1, root);

    let mut bad = good;
    bad.application.config = "[[asset]]\ncode = 'eur'\nissuer = 'x'".into();
    let error = genesis_state(&Ledger, &bad).unwrap_err();
    assert!(error.to_string().contains("line 2, asset.code: \"eur\" is not an asset code"), "{error}");
}
