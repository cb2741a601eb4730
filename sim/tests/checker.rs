//! The checkers themselves: each planted violation is noticed, by the rule that it breaks.

use bft_core::codec;
use bft_core::committee::{Committee, StatementDomain, Trust};
use bft_core::envelope::{Body, Envelope, Seal, Sealed};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::log::{LogItem, LogKind};
use bft_core::receipt::{ProvenReceipt, Receipt};
use bft_core::types::Timestamp;
use bytes::Bytes;
use crypto::{Certificate, ClientKey, Digest, FaultModel, ProtocolTag, QuorumVerifier, ReplicaId};
use engines::{AnyMessage, AnyRecord};
use pbft::{Message, Prepared, Record, ViewChange, Vote};
use sim::checker::{Checker, Violation};
use std::collections::BTreeMap;

const A: ReplicaId = ReplicaId(0);
const B: ReplicaId = ReplicaId(1);
const CLIENT: ClientKey = ClientKey([3; 32]);
const VOTE: Vote = Vote { view: 2, height: 7, block: Digest([5; 32]) };

fn entry(height: u64, receipts_root: Digest) -> LedgerEntry {
    let zero = Digest::ZERO;
    let (epoch, state_root) = (1, Some(zero));
    LedgerEntry {
        epoch,
        height,
        block: zero,
        time: height,
        receipts_root,
        state_root,
        next_epoch: None,
        previous: zero,
    }
}

fn rule(verdict: Result<(), Violation>) -> &'static str {
    verdict.map_or_else(|violation| violation.rule, |()| "")
}

fn frame(message: Message) -> Bytes {
    let sealed = Sealed { message: AnyMessage::Pbft(message), seal: Seal::None };
    codec::encode(&Envelope { epoch: 1, votes: Vec::new(), body: Body::Engine(sealed) }).into()
}

fn item(kind: LogKind, digest: Digest, body: Vec<u8>) -> LogItem {
    LogItem { kind, height: VOTE.height, digest, body: Bytes::from(body) }
}

#[test]
fn two_entries_at_a_height_break_agreement() {
    let mut checker = Checker::default();
    assert_eq!(rule(checker.executed(A, &entry(1, Digest::ZERO))), "");
    assert_eq!(rule(checker.executed(B, &entry(1, Digest([1; 32])))), "agreement");
}

#[test]
fn a_gap_breaks_contiguity() {
    let mut checker = Checker::default();
    checker.started(A, 4);
    assert_eq!(rule(checker.executed(A, &entry(6, Digest::ZERO))), "execution is contiguous");
    assert_eq!(rule(checker.executed(A, &entry(5, Digest::ZERO))), "");
    assert_eq!(rule(checker.executed(A, &entry(5, Digest::ZERO))), "execution is contiguous");
}

#[test]
fn executing_twice_or_elsewhere_breaks_at_most_once() {
    let mut checker = Checker::default();
    checker.submitted(CLIENT, 1);
    assert_eq!(rule(checker.applied(A, 3, CLIENT, 1)), "");
    assert_eq!(rule(checker.applied(A, 3, CLIENT, 1)), "at most once");
    assert_eq!(rule(checker.applied(B, 4, CLIENT, 1)), "at most once");
    // A replica that restarts replays.
    checker.started(A, 2);
    assert_eq!(rule(checker.applied(A, 3, CLIENT, 1)), "");
}

#[test]
fn what_nobody_submitted_is_not_valid() {
    assert_eq!(rule(Checker::default().applied(A, 3, CLIENT, 1)), "validity");
}

#[test]
fn a_view_that_goes_back_is_noticed() {
    let mut checker = Checker::default();
    assert_eq!(rule(checker.view(A, 3)), "");
    assert_eq!(rule(checker.view(A, 2)), "views only grow");
}

#[test]
fn a_promise_before_its_record_is_noticed() {
    let early = "promises are durable before they leave";
    let mut checker = Checker::default();
    let record = |record| item(LogKind::Record, Digest::ZERO, codec::encode(&AnyRecord::Pbft(record)));
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), early);
    assert_eq!(rule(checker.sent(A, &frame(Message::Commit(VOTE)))), early);
    checker.synced(A, &[record(Record::Prepare(VOTE))]);
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), "a vote implies a durable block");
    checker.synced(A, &[item(LogKind::Block, VOTE.block, Vec::new())]);
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), "");
    assert_eq!(rule(checker.sent(A, &frame(Message::Commit(VOTE)))), early, "a prepare is no commit");
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(Vote { view: 3, ..VOTE })))), early);
    assert_eq!(rule(checker.sent(B, &frame(Message::Prepare(VOTE)))), early, "another's record");
    assert_eq!(rule(checker.sent(A, &Bytes::from_static(b"nonsense"))), "honest frames decode");
}

/// A replica that may say what it has written: the vote's promises, and a view-change.
fn with_records(change: &ViewChange) -> Checker {
    let mut checker = Checker::default();
    let certificate = Certificate::Threshold([0; 48]);
    let records = [
        Record::Prepare(VOTE),
        Record::Prepared(Prepared { vote: VOTE, certificate }),
        Record::ViewChange(change.clone()),
    ];
    let record = |record| item(LogKind::Record, Digest::ZERO, codec::encode(&AnyRecord::Pbft(record)));
    checker.synced(A, &records.map(record));
    checker.synced(A, &[item(LogKind::Block, VOTE.block, Vec::new())]);
    checker
}

/// A view-change for the view after the vote's.
fn change(stable: u64, prepared: Vec<Prepared>) -> ViewChange {
    let stable = CheckpointCertificate { entry: entry(stable, Digest::ZERO), proof: None };
    ViewChange { view: VOTE.view + 1, stable, prepared }
}

#[test]
fn a_vote_in_a_view_that_was_left_is_noticed() {
    let change = change(0, Vec::new());
    let mut checker = with_records(&change);
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), "");
    assert_eq!(rule(checker.sent(A, &frame(Message::ViewChange(change)))), "");
    // A crash changes nothing.
    checker.started(A, 0);
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), "a view that was left stays left");
}

#[test]
fn a_view_change_that_hides_a_commit_is_noticed() {
    let certificate = Certificate::Threshold([0; 48]);
    let shown = Prepared { vote: VOTE, certificate };
    let older = Prepared { vote: Vote { view: VOTE.view - 1, ..VOTE }, ..shown.clone() };
    let hides = "a view change hides nothing";
    let cases = [
        (change(0, vec![shown]), ""),
        (change(VOTE.height, Vec::new()), ""),
        (change(0, vec![older]), hides),
        (change(VOTE.height - 1, Vec::new()), hides),
    ];
    for (change, expected) in cases {
        let mut checker = with_records(&change);
        assert_eq!(rule(checker.sent(A, &frame(Message::Commit(VOTE)))), "");
        assert_eq!(
            rule(checker.sent(A, &frame(Message::ViewChange(change.clone())))),
            expected,
            "{change:?}"
        );
    }
}

#[test]
fn a_vote_beyond_the_window_is_noticed() {
    let mut checker = with_records(&change(0, Vec::new()));
    checker.window = Some(VOTE.height - 1);
    let far = "votes stay within the window";
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), far);
    assert_eq!(
        rule(checker.sent(A, &frame(Message::Prepare(VOTE)))),
        far,
        "what was refused is not remembered"
    );
    checker.executed(A, &entry(1, Digest::ZERO)).expect("the first height");
    assert_eq!(rule(checker.sent(A, &frame(Message::Prepare(VOTE)))), "");
}

#[test]
fn a_time_that_no_clock_has_reached_is_noticed() {
    let mut checker = Checker::default();
    checker.clock(Timestamp(3), 2);
    checker.clock(Timestamp(1), 2);
    let timed = |height, time| LedgerEntry { time, ..entry(height, Digest::ZERO) };
    assert_eq!(rule(checker.executed(A, &timed(1, 6))), "", "a height adds a microsecond");
    assert_eq!(rule(checker.executed(A, &timed(2, 8))), "time is not ahead of every clock");
}

#[test]
fn a_receipt_must_be_proven_and_of_the_agreed_ledger() {
    let (quorum, signers) = QuorumVerifier::simulated([1; 32], 4, 3);
    let domain = StatementDomain {
        chain: Digest::ZERO,
        epoch: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
    };
    let committee = Committee { replicas: 4, fault_model: FaultModel::Byzantine };
    let genesis_entry = entry(0, Digest::ZERO);
    let trust = Trust { domain, committee, identities: [].into(), quorum, genesis_entry };
    let receipt = Receipt { transaction: Digest::ZERO, code: 0, answer: Bytes::new() };
    let certified = entry(1, crypto::merkle::root(&[receipt.leaf()]));
    let statement = domain.checkpoint(&certified);
    let shares: Vec<_> =
        signers.iter().enumerate().map(|(i, s)| (ReplicaId(i as u16), s.sign(&statement))).collect();
    let proof = trust.quorum.combine(&statement, &shares).expect("good shares");
    let certificate = CheckpointCertificate { entry: certified, proof: Some(proof) };
    let proven =
        ProvenReceipt { receipt, index: 0, count: 1, path: vec![], entries: vec![certified], certificate };
    let forged = ProvenReceipt { receipt: Receipt { code: 1, ..proven.receipt.clone() }, ..proven.clone() };

    let mut checker = Checker::default();
    let lost = "acknowledged is never lost";
    assert_eq!(rule(checker.acknowledged(CLIENT, 1, &forged, &trust)), "receipts are proven");
    assert_eq!(
        rule(checker.acknowledged(CLIENT, 1, &proven, &trust)),
        lost,
        "nobody has executed that height"
    );
    checker.executed(A, &certified).expect("the first height");
    assert_eq!(rule(checker.acknowledged(CLIENT, 1, &proven, &trust)), "");
    // It is acknowledged, and no application has seen it.
    assert_eq!(rule(checker.finished(&BTreeMap::from([(A, 1)]))), lost);
    checker.submitted(CLIENT, 1);
    checker.applied(A, 1, CLIENT, 1).expect("executed once");
    assert_eq!(rule(checker.finished(&BTreeMap::from([(A, 1)]))), "");
    assert_eq!(
        rule(checker.finished(&BTreeMap::from([(A, 1), (B, 0)]))),
        lost,
        "a live replica does not have it"
    );
}
