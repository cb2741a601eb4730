//! The codec, for everything that is encoded with it: what decodes encodes to the same bytes, and to no others.

use crate::consortium::REAL;
use crate::edit::forge;
use crate::input::Input;
use crate::keys::THRESHOLD;
use bft_core::block::Block;
use bft_core::codec;
use bft_core::envelope::{Body, Envelope, Sealed};
use bft_core::genesis::Genesis;
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::log::LogKind;
use bft_core::receipt::{Answered, ProvenReceipt, Receipt, ReceiptBatch};
use bft_core::request::{Answer, ProvenAnswer, ProvenRead, Reply, Request};
use bft_core::transaction::{Kind, Payload, SystemAction};
use bytes::Bytes;
use crypto::{Certificate, ClientKey, Digest, Share, Statement, ThresholdPublic};
use engines::{AnyMessage, AnyRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::LazyLock;

const LIMIT: usize = 1 << 16;

/// One byte for the type; then an encoding, or a sample with changes.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let check = input.pick(&TYPES);
    check(&mut input);
}

/// Gives the encoding that was checked.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    input: &mut Input<'_>,
    samples: &[T],
) -> Vec<u8> {
    let (_, bytes) = forge(input, samples);
    let Ok(value) = codec::decode::<T>(&bytes, LIMIT) else { return bytes };
    assert_eq!(codec::encode(&value), bytes, "one encoding a value");
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(codec::decode::<T>(&longer, LIMIT + 1).is_err(), "nothing follows a value");
    assert!(codec::decode::<T>(&bytes[..bytes.len() - 1], LIMIT).is_err(), "no value begins another");
    assert!(codec::decode::<T>(&bytes, bytes.len() - 1).is_err(), "the limit holds");
    bytes
}

/// A batch of receipts stands for several replies.
fn reply(input: &mut Input<'_>) {
    let samples = [&REAL.replies[..], &[batch()]].concat();
    let bytes = check(input, &samples);
    let Ok(replies) = Reply::read(&bytes, LIMIT) else { return };
    assert!(replies.len() <= ReceiptBatch::RECEIPTS);
    assert!(!replies.iter().any(|reply| matches!(reply.answer, Answer::Receipts(_))), "one by one");
}

/// The first receipt, in a batch of its own.
fn batch() -> Reply {
    let ProvenReceipt { receipt, index, count, path, entries, certificate } = SAMPLES.receipts[0].clone();
    let receipts = vec![Answered { id: 7, index, receipt }];
    let batch = ReceiptBatch { receipts, count, siblings: path, entries, certificate };
    Reply { id: 0, answer: Answer::Receipts(Box::new(batch)) }
}

/// Payloads have a format of their own.
fn payload(input: &mut Input<'_>) {
    let samples: Vec<Bytes> =
        REAL.items.iter().map(|item| Payload::of(vec![item.clone(); 2]).bytes().clone()).collect();
    let mut bytes = match input.byte() {
        0 => input.rest().to_vec(),
        choice => samples[usize::from(choice) % samples.len()].to_vec(),
    };
    crate::edit::damage(input, &mut bytes);
    let payload = Payload::from_bytes(bytes.clone().into());
    let Ok(items) = payload.items(&Digest::ZERO) else {
        assert!(payload.root(&Digest::ZERO).is_err(), "no root over what is no payload");
        return;
    };
    assert_eq!(Payload::of(items.to_vec()).bytes(), &bytes, "one encoding a payload");
    assert_eq!(payload.is_empty(), items.is_empty());
    for item in items.iter() {
        assert!(matches!(item.transaction.kind, Kind::Application | Kind::System));
    }
}

struct Samples {
    envelopes: Vec<Envelope<AnyMessage>>,
    records: Vec<AnyRecord>,
    blocks: Vec<Block>,
    entries: Vec<LedgerEntry>,
    checkpoints: Vec<CheckpointCertificate>,
    receipts: Vec<ProvenReceipt>,
    answers: Vec<ProvenAnswer>,
    shares: Vec<Share>,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let of = |kind: LogKind| REAL.recovered.items.iter().filter(move |item| item.kind == kind);
    let shares = REAL.samples.iter().filter_map(|(_, envelope)| match &envelope.body {
        Body::Engine(Sealed { seal: bft_core::envelope::Seal::Share(share), .. }) => Some(share.clone()),
        _ => None,
    });
    Samples {
        envelopes: REAL.samples.iter().map(|(_, envelope)| envelope.clone()).collect(),
        records: REAL.recovered.records.iter().map(|bytes| read(bytes)).collect(),
        blocks: of(LogKind::Block).map(|item| read(&item.body)).collect(),
        entries: REAL.entries.values().copied().collect(),
        checkpoints: of(LogKind::Certificate).map(|item| read(&item.body)).collect(),
        receipts: REAL.receipts(),
        answers: REAL.answers().into_iter().map(|(_, answer)| answer).collect(),
        shares: shares.chain([Share::unsigned([7; 48])]).collect(),
    }
});

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode(bytes, 1 << 20).expect("the consortium wrote it")
}

static TYPES: [fn(&mut Input<'_>); 17] = [
    |input| drop(check::<Envelope<AnyMessage>>(input, &SAMPLES.envelopes)),
    |input| drop(check::<Request>(input, &REAL.requests)),
    reply,
    |input| drop(check::<AnyRecord>(input, &SAMPLES.records)),
    |input| drop(check::<Block>(input, &SAMPLES.blocks)),
    |input| drop(check::<LedgerEntry>(input, &SAMPLES.entries)),
    |input| drop(check::<CheckpointCertificate>(input, &SAMPLES.checkpoints)),
    |input| drop(check::<ProvenReceipt>(input, &SAMPLES.receipts)),
    |input| drop(check::<ProvenAnswer>(input, &SAMPLES.answers)),
    |input| {
        drop(check::<Genesis>(input, &[REAL.genesis.as_ref().clone(), crate::files::threshold_genesis()]))
    },
    |input| drop(check::<Receipt>(input, &[SAMPLES.receipts[0].receipt.clone()])),
    |input| drop(check::<ProvenRead>(input, &[SAMPLES.answers[0].reads[0].clone()])),
    |input| drop(check::<SystemAction>(input, &[SystemAction::Enroll { client: ClientKey([3; 32]) }])),
    |input| {
        let certificate = |checkpoint: &CheckpointCertificate| checkpoint.proof.clone();
        let lists: Vec<Certificate> = SAMPLES.checkpoints.iter().filter_map(certificate).collect();
        check::<Certificate>(input, &[&lists[..1], &[Certificate::Threshold([7; 48])]].concat());
    },
    |input| drop(check::<Share>(input, &SAMPLES.shares)),
    |input| drop(check::<ThresholdPublic>(input, std::slice::from_ref(&THRESHOLD.keys))),
    payload,
];

/// A statement has a fixed layout: its encodings differ wherever statements do.
pub fn statement(input: &mut Input<'_>, base: &Statement) -> Option<Statement> {
    let bytes = crate::edit::edited(input, base);
    let statement = codec::decode::<Statement>(&bytes, LIMIT).ok()?;
    assert_eq!(statement == *base, statement.encode() == base.encode(), "{statement:?} and {base:?}");
    Some(statement)
}

/// Seeds: the first two samples of each type, by number and as bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..TYPES.len() as u8).flat_map(|of| [vec![of, 1], vec![of, 2]]).collect();
    let raw = |of: u8, bytes: Vec<u8>| [&[of, 0], bytes.as_slice()].concat();
    let message = |index: usize| codec::encode(&SAMPLES.envelopes[index]);
    seeds.extend((0..SAMPLES.envelopes.len()).step_by(2).map(|index| raw(0, message(index))));
    seeds.push(raw(1, codec::encode(&REAL.requests[0])));
    seeds.push(raw(2, codec::encode(&REAL.replies[0])));
    seeds.push(raw(2, codec::encode(&batch())));
    seeds.push(raw(3, codec::encode(&SAMPLES.records[0])));
    seeds.push(raw(4, codec::encode(&SAMPLES.blocks[0])));
    seeds.push(raw(7, codec::encode(&SAMPLES.receipts[0])));
    seeds.push(raw(16, Payload::of(vec![REAL.items[0].clone()]).bytes().to_vec()));
    seeds
}
