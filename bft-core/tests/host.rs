//! The host with the smallest possible engine under it: one replica that decides alone.

use bft_core::block::{Block, Header};
use bft_core::codec::{self, DecodeError};
use bft_core::committee::{Committee, StatementDomain, Trust};
use bft_core::edge::Edge;
use bft_core::engine::{
    CheckContext, Class, Draft, Engine, EngineConfig, Input, Lead, Message, Outbox, Output, Record, Start,
    Status,
};
use bft_core::envelope::{Body, Envelope, Obligations, Promised, Rejection, Seal, SealWith, Sealed};
use bft_core::genesis::{Application, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::{
    CombineJob, Effect, Event, Host, HostConfig, LocalLimits, RecoverError, Recovered, genesis_state,
    no_clock,
};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::log::{LoadedState, LogItem, LogKind};
use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::receipt::{Answered, ProvenReceipt, ReceiptBatch, code};
use bft_core::request::{Advice, Answer, Call, ReadingOf, Reply, Request};
use bft_core::state::{State, View};
use bft_core::transaction::{Item, Kind, Payload, SystemAction, Transaction};
use bft_core::types::{Height, Now, ReplicaId, Time, Timestamp};
use bytes::Bytes;
use crypto::{
    Aggregate, ClientSecret, Digest, FaultModel, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier,
    Scheme, Share, Statement, StatementKind, TransactionVerifier, merkle,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Commits what it proposes, and has its word on each height aggregated.
#[derive(Debug)]
struct Alone {
    config: EngineConfig,
    next: Height,
    /// The last height whose word came back under an aggregate.
    aggregated: Height,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

/// Who said what, under one authenticator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Words(Vec<(ReplicaId, Statement)>, Aggregate);

impl Message for Words {
    fn kind(&self) -> &'static str {
        "words"
    }
    fn class(&self) -> Class {
        Class::Vote
    }
    fn is_promise(&self) -> bool {
        false
    }
    fn seal(&self, _: &StatementDomain) -> SealWith {
        SealWith::Nothing
    }
    fn height(&self) -> Option<Height> {
        None
    }
    fn fresh_block(&self) -> Option<&Block> {
        None
    }
    fn check(&self, _: ReplicaId, _: &Seal, _: &CheckContext) -> Result<Obligations, Rejection> {
        let Words(words, aggregate) = self.clone();
        Ok(Obligations { aggregates: vec![(words, aggregate)], ..Obligations::default() })
    }
    fn authenticators(&self) -> usize {
        self.1.authenticators()
    }
    fn contradiction(_: &Statement, _: &Statement) -> Option<&'static str> {
        None
    }
}

impl Record for Nothing {
    fn signed(&self, _: &StatementDomain) -> Vec<Statement> {
        Vec::new()
    }
    fn height(&self) -> Height {
        0
    }
    fn account_for<'a>(_: impl Iterator<Item = &'a Nothing>, _: &Statement) -> bool {
        true
    }
}

impl Alone {
    fn ask(&self, out: &mut Outbox<Alone>) {
        let (uncommitted, deadline) = (Vec::new(), Time(0));
        out.push(Output::NeedPayload { token: self.next, uncommitted, deadline, flush: false });
    }
}

impl Engine for Alone {
    type Message = Words;
    type Record = Nothing;
    type Timer = u8;

    fn recover(config: EngineConfig, start: Start<Alone>, _: Time, out: &mut Outbox<Alone>) -> Alone {
        let engine = Alone { config, next: start.tip.height + 1, aggregated: 0 };
        engine.ask(out);
        engine
    }

    fn step(&mut self, _: Time, input: Input<Alone>, out: &mut Outbox<Alone>) {
        if let Input::Aggregated { view, result } = &input {
            assert_eq!(result.as_ref().map(Aggregate::authenticators), Ok(1));
            self.aggregated = *view;
        }
        if let Input::Payload { token: _, draft: Draft { payload, time, checkpoint } } = input {
            let domain = self.config.domain;
            let block =
                Block::new(&domain.chain, domain.epoch, self.next, payload, time, checkpoint).unwrap();
            let (height, digest) = (self.next, block.digest());
            self.next += 1;
            out.push(Output::Persist { record: Some(Nothing), block: Some(block) });
            out.push(Output::Commit { height, block: digest, proof: None });
            let (word, share) = word(&domain, height);
            out.push(Output::Aggregate { view: height, words: vec![(self.config.me, word, share)] });
            self.ask(out);
        }
    }

    fn records(&self) -> Vec<Nothing> {
        Vec::new()
    }

    fn promises_of(&self, _: ReplicaId) -> Vec<Promised> {
        Vec::new()
    }

    fn led_by(&self) -> Lead {
        Lead { view: 0, leader: ReplicaId(0), next: None }
    }

    fn status(&self) -> Status {
        Status {
            epoch: 1,
            view: self.aggregated,
            leader: ReplicaId(0),
            active: true,
            committed: self.next - 1,
            waits_for: vec![],
        }
    }

    fn invariants(&self) {}
}

/// Counts under a key; refuses the body "no" after writing.
#[derive(Clone, Debug, Default)]
struct Counter {
    /// Added to every count: an application that differs between two lives.
    fault: u64,
}

impl StateMachine for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }
    fn genesis(&self, _: &str, state: &mut State) -> Result<(), String> {
        state.put(b"count", "0");
        Ok(())
    }
    fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        if body.is_empty() { Err(Refusal::new(100, "an empty body does nothing")) } else { Ok(()) }
    }
    fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal> {
        let text = state.get(b"count").map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
        let count = text.parse::<u64>().unwrap() + 1 + self.fault;
        state.put(b"count", count.to_string());
        state.put(b"by", context.organisation.clone());
        if body == b"no" { Err(Refusal::new(101, "no")) } else { Ok(count.to_string().into()) }
    }
    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        view.get(request).ok_or_else(|| Refusal::new(102, "nothing there"))
    }
}

/// A host, and everything that was durable.
struct Rig {
    host: Host<Alone, Counter>,
    edge: Edge,
    config: HostConfig,
    signer: QuorumSigner,
    now: Now,
    items: Vec<LogItem>,
    state: Option<LoadedState>,
    replies: Vec<Reply>,
    halted: Option<String>,
}

/// What the only replica says of a view.
fn word(domain: &StatementDomain, view: u64) -> (Statement, Share) {
    let statement = domain.statement(StatementKind::FIRST_OF_PROTOCOL, view, 0, Digest::ZERO);
    (statement, QuorumSigner::Ed25519(IdentitySecret::from_seed([1; 32])).sign(&statement))
}

fn secret(n: u8) -> ClientSecret {
    ClientSecret::from_seed([n; 32])
}

fn genesis(limits: Limits) -> Genesis {
    let identity = IdentitySecret::from_seed([1; 32]).public();
    let organisation = |name: &str, operator: u8, client: u8| Organisation {
        name: name.into(),
        operator: secret(operator).public(),
        clients: vec![secret(client).public()],
    };
    let mut genesis = Genesis {
        version: codec::VERSION,
        network: "one".into(),
        time: 5,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        scheme: Scheme::Ed25519,
        limits,
        application: Application { name: "counter".into(), config: String::new() },
        state_root: Digest::ZERO,
        replicas: vec![ReplicaInfo { organisation: "a".into(), identity, address: "a:1".into() }],
        organisations: vec![organisation("a", 10, 11), organisation("b", 20, 21)],
        threshold: None,
    };
    genesis.state_root = genesis_state(&Counter::default(), &genesis).unwrap().1;
    genesis
}

impl Rig {
    fn new() -> Rig {
        Rig::with(true, LocalLimits { flush_heights: 3, ..LocalLimits::default() })
    }

    fn with(may_vote: bool, local: LocalLimits) -> Rig {
        Rig::within(Limits { window: 4, checkpoint_interval: 4, ..Limits::default() }, may_vote, local)
    }

    fn within(limits: Limits, may_vote: bool, local: LocalLimits) -> Rig {
        let genesis = Arc::new(genesis(limits));
        let trust = genesis.trust().unwrap();
        let config = HostConfig { me: ReplicaId(0), genesis, trust, may_vote, local, spent: no_clock };
        Rig::start(config, Counter::default(), Vec::new(), None).unwrap()
    }

    fn start(
        config: HostConfig,
        app: Counter,
        items: Vec<LogItem>,
        state: Option<LoadedState>,
    ) -> Result<Rig, RecoverError> {
        let now = Now { time: Time(1), wall: Timestamp(1_000_000) };
        let above = state.as_ref().map_or(0, |state| state.height);
        let records =
            items.iter().filter(|item| item.kind == LogKind::Record).map(|item| item.body.clone()).collect();
        let later = items
            .iter()
            .filter(|item| item.height > above && item.kind != LogKind::Record)
            .cloned()
            .collect();
        let mut effects = Vec::new();
        let recovered = Recovered { state: state.clone(), records, items: later, ..Recovered::default() };
        let host = Host::recover(config.clone(), app, recovered, now, &mut effects)?;
        let edge = Edge::new(config.trust.clone(), config.genesis.limits, TransactionVerifier::Zip215);
        let signer = QuorumSigner::Ed25519(IdentitySecret::from_seed([1; 32]));
        let mut rig =
            Rig { host, edge, config, signer, now, items, state, replies: Vec::new(), halted: None };
        rig.carry_out(effects);
        Ok(rig)
    }

    /// Stops once everything is on disk, and starts again.
    /// Lets what may wait go to disk.
    fn settle(&mut self) {
        self.now.time.0 += 1_000_000_000;
        let mut effects = Vec::new();
        self.host.flush(self.now, &mut effects);
        self.carry_out(effects);
    }

    fn restart(mut self, app: Counter) -> Result<Rig, RecoverError> {
        self.settle();
        Rig::start(self.config, app, self.items, self.state)
    }

    /// Does what the host wants at once, until it wants nothing more.
    fn carry_out(&mut self, first: Vec<Effect>) {
        let mut queue: std::collections::VecDeque<Effect> = first.into();
        while let Some(effect) = queue.pop_front() {
            let event = match effect {
                Effect::Append(batch) => {
                    self.items.extend(batch.items);
                    Event::Durable { sequence: batch.sequence }
                }
                Effect::Seal(job) => {
                    let (SealWith::Share(statement) | SealWith::Signature(statement)) = job.with else {
                        unreachable!()
                    };
                    Event::Sealed { ticket: job.ticket, seal: Seal::Share(self.signer.sign(&statement)) }
                }
                Effect::Combine(job) => {
                    let result =
                        self.config.trust.quorum.combine(&job.statement, &job.shares).map_err(|_| Vec::new());
                    Event::Combined { statement: job.statement, result }
                }
                Effect::Aggregate(job) => {
                    let result = job.result(&self.config.trust.quorum);
                    Event::Aggregated { view: job.view, result }
                }
                Effect::Reply { client: _, frame } => {
                    self.replies.push(codec::decode(&frame, 1 << 20).unwrap());
                    continue;
                }
                Effect::Flush(batch) => {
                    let state = self.state.get_or_insert_default();
                    let mut pairs: std::collections::BTreeMap<Bytes, Bytes> = state.pairs.drain(..).collect();
                    for (key, value) in batch.writes {
                        match value {
                            Some(value) => pairs.insert(key, value),
                            None => pairs.remove(&key),
                        };
                    }
                    *state = LoadedState {
                        height: batch.height,
                        meta: batch.meta,
                        pairs: pairs.into_iter().collect(),
                        receipts: {
                            let kept = state.receipts.drain(..).chain(batch.receipts);
                            kept.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect()
                        },
                    };
                    Event::Flushed { height: batch.height }
                }
                Effect::Halt { reason } => {
                    self.halted = Some(reason);
                    continue;
                }
                Effect::Stable { height } => {
                    self.edge.set_stable(height);
                    continue;
                }
                other => panic!("one replica alone does not {other:?}"),
            };
            let mut effects = Vec::new();
            self.host.step(self.now, event, &mut effects);
            self.host.flush(self.now, &mut effects);
            self.host.invariants();
            queue.extend(effects);
        }
    }

    fn ask(&mut self, call: Call) -> Option<Answer> {
        let frame: Bytes = codec::encode(&Request { id: 7, call }).into();
        let request = self.edge.client_frames(&[frame]).pop().unwrap().unwrap();
        let mut effects = Vec::new();
        self.now.time.0 += 1;
        self.host.step(self.now, Event::Request { client: 1, request }, &mut effects);
        self.host.flush(self.now, &mut effects);
        self.carry_out(effects);
        let reply = self.replies.pop()?;
        assert_eq!((reply.id, self.replies.len()), (7, 0));
        Some(reply.answer)
    }

    /// Submits transactions of one client at once, by their ids, over one connection.
    fn submit_at_once(&mut self, client: u8, sequences: &[(u64, u64)]) -> Vec<Reply> {
        let chain = self.config.genesis.chain();
        let mut effects = Vec::new();
        for (id, sequence) in sequences {
            let body = Bytes::from_static(b"go");
            let transaction = Transaction::sign(&secret(client), &chain, Kind::Application, *sequence, body);
            let call = Call::Submit(Payload::of(vec![Item::new(&chain, transaction)]));
            let frame: Bytes = codec::encode(&Request { id: *id, call }).into();
            let request = self.edge.client_frames(&[frame]).pop().unwrap().unwrap();
            self.host.step(self.now, Event::Request { client: 1, request }, &mut effects);
        }
        self.now.time.0 += 1_000_000_000;
        self.host.flush(self.now, &mut effects);
        self.carry_out(effects);
        std::mem::take(&mut self.replies)
    }

    fn submit(&mut self, client: u8, kind: Kind, sequence: u64, body: &[u8]) -> Answer {
        let chain = self.config.genesis.chain();
        let body = Bytes::copy_from_slice(body);
        let transaction = Transaction::sign(&secret(client), &chain, kind, sequence, body);
        let payload = Payload::of(vec![Item::new(&chain, transaction)]);
        self.ask(Call::Submit(payload)).expect("an answer")
    }

    fn receipt(&mut self, client: u8, sequence: u64, body: &[u8]) -> ProvenReceipt {
        match self.submit(client, Kind::Application, sequence, body) {
            Answer::Receipt(receipt) => {
                receipt.verify(&self.config.trust).unwrap();
                *receipt
            }
            other => panic!("{other:?}"),
        }
    }

    fn count(&mut self) -> String {
        let Some(Answer::Query(answer)) =
            self.ask(Call::Read(ReadingOf::Certified(0), Bytes::from_static(b"count")))
        else {
            panic!()
        };
        answer.verify(&Counter::default(), b"count", &self.config.trust).unwrap();
        String::from_utf8(answer.result.unwrap().0.to_vec()).unwrap()
    }
}

fn refusal(answer: Answer) -> (Advice, String) {
    match answer {
        Answer::Refused { advice, sentence } => (advice, sentence),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_executes_once_and_its_receipt_is_proven() {
    let mut rig = Rig::new();
    let receipt = rig.receipt(11, 1, b"go");
    assert_eq!((receipt.receipt.code, receipt.receipt.answer.as_ref()), (code::OK, b"1".as_slice()));
    // The same again is answered with the same receipt and not executed.
    assert_eq!(rig.receipt(11, 1, b"go").receipt, receipt.receipt);
    // Another transaction under the sequence gets the first one's receipt: it shows by the digest.
    let other = rig.receipt(11, 1, b"other");
    assert_eq!(other.receipt, receipt.receipt);
    assert_eq!(rig.count(), "1");
}

#[test]
fn sequences_may_come_in_any_order_within_the_window() {
    let mut rig = Rig::new();
    for sequence in [3, 1, 2] {
        assert_eq!(rig.receipt(11, sequence, b"go").receipt.code, code::OK);
    }
    assert_eq!(rig.ask(Call::Session(secret(11).public())), Some(Answer::Session(4)));
    let far = rig.receipt(11, 5000, b"go");
    assert_eq!(far.receipt.code, code::TOO_FAR_AHEAD);
    assert_eq!(rig.count(), "3");
    assert_eq!(rig.ask(Call::Session(secret(11).public())), Some(Answer::Session(4)));
    rig.receipt(11, 6, b"go");
    assert_eq!(rig.ask(Call::Session(secret(11).public())), Some(Answer::Session(7)));
}

#[test]
fn a_transaction_that_came_too_early_executes_later() {
    let mut rig = Rig::new();
    let window = u64::from(Limits::default().session_window);
    let early = 2 * window + 1;
    let refused = rig.receipt(11, early, b"go").receipt;
    assert_eq!(refused.code, code::TOO_FAR_AHEAD);
    assert_eq!(rig.receipt(11, window + 1, b"go").receipt.code, code::OK);
    let executed = rig.receipt(11, early, b"go").receipt;
    assert_eq!((executed.transaction, executed.code), (refused.transaction, code::OK));
    assert_eq!(rig.receipt(11, early, b"go").receipt, executed);
    assert_eq!(rig.count(), "2");
}

#[test]
fn a_refused_transaction_leaves_no_writes_but_a_receipt_with_a_sentence() {
    let mut rig = Rig::new();
    let receipt = rig.receipt(11, 1, b"no");
    assert_eq!((receipt.receipt.code, receipt.receipt.answer.as_ref()), (101, b"no".as_slice()));
    assert_eq!(rig.count(), "0");
    // The sequence is used up.
    assert_eq!(rig.receipt(11, 1, b"no").receipt, receipt.receipt);
}

#[test]
fn what_cannot_execute_is_refused_before_it_is_pooled() {
    let mut rig = Rig::new();
    let (advice, sentence) = refusal(rig.submit(99, Kind::Application, 1, b"go"));
    assert!(advice == Advice::Abandon && sentence.contains("not enrolled"), "{sentence}");
    let (advice, sentence) = refusal(rig.submit(11, Kind::Application, 1, b""));
    assert!(advice == Advice::Abandon && sentence.contains("an empty body"), "{sentence}");
    let (advice, _) = refusal(rig.ask(Call::Receipt { client: secret(11).public(), sequence: 1 }).unwrap());
    assert_eq!(advice, Advice::Retry);
    assert_eq!(rig.host.report().pooled, 0);
}

#[test]
fn receipts_of_one_block_come_together_and_each_is_proven() {
    let mut rig = Rig::new();
    // Under 15 the client asks for one of them twice.
    let mut frames = rig.submit_at_once(11, &[(11, 1), (13, 3), (12, 2), (15, 3), (14, 4)]);
    let single = frames.pop().unwrap();
    assert_eq!(frames.len(), 1, "one batch, and what it has already");
    let batch = frames.pop().unwrap();
    assert!(matches!((batch.id, &batch.answer), (0, Answer::Receipts(_))));
    let mut receipts = BTreeMap::new();
    for reply in [batch, single] {
        for Reply { id, answer } in Reply::read(&codec::encode(&reply), 1 << 20).unwrap() {
            let Answer::Receipt(receipt) = answer else { panic!("{answer:?}") };
            receipt.verify(&rig.config.trust).unwrap();
            receipts.insert(id, *receipt);
        }
    }
    assert_eq!(receipts.keys().copied().collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
    // They are those that are given one by one.
    for (id, sequence) in [(11, 1), (12, 2), (13, 3), (14, 4), (15, 3)] {
        let asked = rig.ask(Call::Receipt { client: secret(11).public(), sequence });
        assert_eq!(asked, Some(Answer::Receipt(Box::new(receipts[&id].clone()))));
    }
}

#[test]
fn a_batch_that_does_not_prove_its_places_is_no_reply() {
    let mut rig = Rig::new();
    let frames = rig.submit_at_once(11, &[(11, 1), (12, 2), (13, 3)]);
    let Answer::Receipts(batch) = &frames[0].answer else { panic!("{frames:?}") };
    let read = |id: u64, change: &dyn Fn(&mut ReceiptBatch)| {
        let mut batch = batch.clone();
        change(&mut batch);
        Reply::read(&codec::encode(&Reply { id, answer: Answer::Receipts(batch) }), 1 << 20)
    };
    assert_eq!(read(0, &|_| {}).unwrap().len(), 3);
    let too_many = |batch: &mut ReceiptBatch| {
        batch.count = 1000;
        let one = batch.receipts[0].clone();
        batch.receipts =
            (0..=ReceiptBatch::RECEIPTS as u64).map(|index| Answered { index, ..one.clone() }).collect();
        let leaves: Vec<_> = (0..1000).map(|_| one.receipt.leaf()).collect();
        batch.siblings =
            merkle::Tree::new(leaves).siblings(&(0..=ReceiptBatch::RECEIPTS).collect::<Vec<_>>());
    };
    type Change<'a> = &'a dyn Fn(&mut ReceiptBatch);
    let refused: [(u64, Change<'_>); 8] = [
        (7, &|_| {}),
        (0, &|batch| batch.siblings.push(Digest::ZERO)),
        (0, &|batch| batch.count = 2),
        (0, &|batch| batch.receipts.swap(0, 1)),
        (0, &|batch| batch.entries = vec![batch.entries[0]; ReceiptBatch::ENTRIES + 1]),
        (0, &too_many),
        (0, &|batch| batch.receipts[1].receipt.code = 9),
        (0, &|batch| batch.receipts.clear()),
    ];
    for (number, (id, change)) in refused.into_iter().enumerate() {
        assert!(matches!(read(id, change), Err(DecodeError::Malformed(_))), "{number}");
    }
}

#[test]
fn an_operator_enrols_clients_and_nobody_else_does() {
    let mut rig = Rig::new();
    let enroll = codec::encode(&SystemAction::Enroll { client: secret(99).public() });
    let outcome = |answer: Answer| match answer {
        Answer::Receipt(receipt) => receipt.receipt.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome(rig.submit(11, Kind::System, 1, &enroll)), code::NOT_OPERATOR);
    assert_eq!(outcome(rig.submit(20, Kind::System, 1, b"?")), code::MALFORMED);
    assert_eq!(outcome(rig.submit(20, Kind::System, 2, &enroll)), code::OK);
    assert_eq!(outcome(rig.submit(10, Kind::System, 1, &enroll)), code::ALREADY_ENROLLED);
    assert_eq!(rig.receipt(99, 1, b"go").receipt.code, code::OK);
    let Some(Answer::Query(by)) = rig.ask(Call::Read(ReadingOf::Certified(0), Bytes::from_static(b"by")))
    else {
        panic!()
    };
    assert_eq!(by.result.unwrap().0.as_ref(), b"b");
}

#[test]
fn threat_15_an_ordered_read_sees_what_stands_before_it() {
    let mut rig = Rig::new();
    let read =
        |request: &'static [u8]| codec::encode(&SystemAction::Read { request: Bytes::from_static(request) });
    let answer = |answer: Answer| match answer {
        Answer::Receipt(proven) => (proven.receipt.code, proven.receipt.answer),
        other => panic!("{other:?}"),
    };
    let one = Bytes::from_static(b"1");
    assert_eq!(answer(rig.submit(11, Kind::System, 1, &read(b"count"))), (code::OK, "0".into()));
    assert_eq!(answer(rig.submit(11, Kind::Application, 2, b"go")), (code::OK, one.clone()));
    assert_eq!(answer(rig.submit(20, Kind::System, 1, &read(b"count"))), (code::OK, one));
    // The application's own refusal is an answer, and so is a read that the host refuses; neither changes anything.
    assert_eq!(answer(rig.submit(20, Kind::System, 2, &read(b"?"))), (102, "nothing there".into()));
    assert_eq!(rig.count(), "1");
}

#[test]
fn threat_98_a_bad_signature_and_an_oversized_body_stop_at_the_edge() {
    let rig = Rig::new();
    let chain = rig.config.genesis.chain();
    let frame = |transaction: Transaction| -> Bytes {
        let payload = Payload::of(vec![Item::new(&chain, transaction)]);
        codec::encode(&Request { id: 1, call: Call::Submit(payload) }).into()
    };
    let good = Transaction::sign(&secret(11), &chain, Kind::Application, 1, Bytes::from_static(b"go"));
    let mut forged = good.clone();
    forged.sequence = 2;
    let elsewhere =
        Transaction::sign(&secret(11), &Digest([9; 32]), Kind::Application, 1, Bytes::from_static(b"go"));
    let large = Transaction::sign(&secret(11), &chain, Kind::Application, 1, vec![0; 65 << 10].into());
    let verdicts = rig.edge.client_frames(&[frame(good), frame(forged), frame(elsewhere), frame(large)]);
    let why: Vec<String> =
        verdicts.into_iter().map(|verdict| verdict.err().map_or(String::new(), |e| e.to_string())).collect();
    assert_eq!(why[0], "");
    assert!(why[1].contains("does not verify for its client and this network"), "{}", why[1]);
    assert!(why[2].contains("does not verify for its client and this network"), "{}", why[2]);
    assert!(why[3].contains("are more than the"), "{}", why[3]);
}

/// Where clients do not sign, what names a client's key is believed, and a signature is refused; elsewhere its want is.
#[test]
fn clients_sign_where_the_genesis_says_so_and_nowhere_else() {
    let limits = Limits { window: 4, checkpoint_interval: 4, ..Limits::default() };
    for unsigned in [false, true] {
        let rig = Rig::within(Limits { unsigned, ..limits }, true, LocalLimits::default());
        let chain = rig.config.genesis.chain();
        let passes = |transaction: Transaction| {
            let payload = Payload::of(vec![Item::new(&chain, transaction)]);
            let frame = codec::encode(&Request { id: 1, call: Call::Submit(payload) }).into();
            rig.edge.client_frames(&[frame]).remove(0).is_ok()
        };
        let body = || Bytes::from_static(b"go");
        assert_eq!(
            passes(Transaction::unsigned(secret(11).public(), Kind::Application, 1, body())),
            unsigned
        );
        assert_eq!(passes(Transaction::sign(&secret(11), &chain, Kind::Application, 1, body())), !unsigned);
    }
}

#[test]
fn an_engine_gets_its_aggregate() {
    let mut rig = Rig::new();
    assert_eq!(rig.host.report().view, 0);
    rig.receipt(11, 1, b"go");
    assert_eq!(rig.host.report().view, 1);
}

/// An aggregate is verified for the words it came with, and once. Changed words, or another signature, stop at the edge.
#[test]
fn threat_20_an_aggregate_is_verified_before_use() {
    let rig = Rig::new();
    let quorum = &rig.config.trust.quorum;
    let (word, share) = word(&rig.config.trust.domain, 7);
    let aggregate = quorum.aggregate(&[(ReplicaId(0), word, share)]).unwrap();
    let frame = |words: Vec<(ReplicaId, Statement)>, aggregate: &Aggregate| {
        let sealed = Sealed { message: Words(words, aggregate.clone()), seal: Seal::None };
        let envelope = Envelope { epoch: 1, votes: Vec::new(), body: Body::Engine(sealed) };
        (ReplicaId(0), Bytes::from(codec::encode(&envelope)))
    };
    let good = frame(vec![(ReplicaId(0), word)], &aggregate);
    let other = frame(vec![(ReplicaId(0), Statement { view: 8, ..word })], &aggregate);
    let few = frame(vec![], &aggregate);
    let unsigned = frame(vec![(ReplicaId(0), word)], &Aggregate::Ed25519(vec![]));
    let verified = || rig.edge.counts().aggregates.load(Relaxed);

    let verdicts = rig.edge.replica_frames::<Words>(&[good.clone(), other, good.clone(), few, unsigned]);
    let why: Vec<String> =
        verdicts.into_iter().map(|verdict| verdict.err().map_or(String::new(), |e| e.to_string())).collect();
    assert_eq!(why[0], "");
    assert!(why[1].contains("the signature does not verify as that of r0"), "{}", why[1]);
    assert_eq!(why[2], "");
    assert!(why[3].contains("0 signatures, where a certificate has 1"), "{}", why[3]);
    assert!(why[4].contains("0 signatures, where a certificate has 1"), "{}", why[4]);
    assert_eq!(verified(), 4, "the second good one is known");
    rig.edge.replica_frames::<Words>(&[good])[0].as_ref().unwrap();
    assert_eq!(verified(), 4);
}

/// Certificates made here and certificates that came in are verified together. A bad share or certificate among them costs the others nothing.
#[test]
fn threat_53_one_bad_share_among_certificates_verified_together() {
    let rig = Rig::new();
    let (keys, secrets) = crypto::trusted_dealer([3; 32], 4, 3).unwrap();
    let signers: Vec<QuorumSigner> = secrets
        .into_iter()
        .zip(0..)
        .map(|(share, number)| QuorumSigner::Threshold(share, IdentitySecret::from_seed([number; 32])))
        .collect();
    let quorum = QuorumVerifier::threshold(keys).unwrap();
    let committee = Committee { replicas: 4, fault_model: FaultModel::Byzantine };
    let trust = Trust { committee, quorum: quorum.clone(), ..rig.config.trust.clone() };
    let edge = Edge::new(trust.clone(), rig.config.genesis.limits, TransactionVerifier::Zip215);

    let entry = |height| LedgerEntry { height, epoch: 1, ..trust.genesis_entry };
    let statement = |height| trust.domain.checkpoint(&entry(height));
    let shares = |height: Height| -> Vec<(ReplicaId, Share)> {
        let signed =
            signers.iter().zip(0..3).map(|(signer, id)| (ReplicaId(id), signer.sign(&statement(height))));
        signed.collect()
    };
    let job = |height, shares| CombineJob { statement: statement(height), shares };
    let mut spoiled = shares(2);
    spoiled[1].1 = signers[1].sign(&statement(9));
    let jobs = [job(1, shares(1)), job(2, spoiled)];
    let frame = |height, signed: Height| {
        let proof = quorum.combine(&statement(signed), &shares(signed)).unwrap();
        let certificate = CheckpointCertificate { entry: entry(height), proof: Some(proof) };
        let body = Body::<Words>::Certificate(certificate);
        (ReplicaId(0), Bytes::from(codec::encode(&Envelope { epoch: 1, votes: Vec::new(), body })))
    };
    let read = edge.read_frames::<Words>(&[frame(3, 3), frame(4, 5)]);
    for frame in read.iter().flatten() {
        assert!(frame.is_certificate() && edge.has_new_certificate(frame));
    }
    let (verdicts, made) = edge.verify_frames(read, &jobs);
    assert!(verdicts[0].is_ok() && matches!(verdicts[1], Err(Rejection::Certificate(_))));
    assert_eq!(made, [jobs[0].result(&quorum), Err(vec![ReplicaId(1)])]);
    assert_eq!(edge.counts().certificates.load(Relaxed), 2, "of those that came in");
    let again = edge.read_frames::<Words>(&[frame(3, 3)]).remove(0).unwrap();
    assert!(!edge.has_new_certificate(&again));
}

#[test]
fn a_restart_executes_again_to_the_same_entries_and_remembers_sessions_and_receipts() {
    let mut rig = Rig::new();
    let first = rig.receipt(11, 1, b"go");
    for sequence in 2..=9 {
        rig.receipt(11, sequence, b"go");
    }
    assert!(rig.state.as_ref().is_some_and(|state| state.height >= 3), "the state went to disk");
    let tip = *rig.host.entry(rig.host.executed()).unwrap();
    let mut rig = rig.restart(Counter::default()).unwrap();
    assert_eq!(rig.host.entry(tip.height), Some(&tip));
    assert_eq!(rig.count(), "9");
    // With the same few entries as before, not with all up to the last certificate on disk.
    assert_eq!(rig.receipt(11, 1, b"go"), first);
    assert_eq!(rig.receipt(11, 10, b"go").receipt.answer.as_ref(), b"10");
}

#[test]
fn threat_94_a_changed_application_is_noticed_when_it_executes_again() {
    let mut rig = Rig::with(true, LocalLimits::default());
    rig.receipt(11, 1, b"go");
    rig.receipt(11, 2, b"go");
    let error = rig.restart(Counter { fault: 1 }).err();
    assert_eq!(error, Some(RecoverError::NotDeterministic(1)));
}

#[test]
fn a_damaged_state_is_refused() {
    let mut rig = Rig::new();
    for sequence in 1..=6 {
        rig.receipt(11, sequence, b"go");
    }
    rig.settle();
    let state = rig.state.as_mut().unwrap();
    let pair = state.pairs.iter_mut().find(|(key, _)| key.ends_with(b"count")).unwrap();
    pair.1 = Bytes::from_static(b"1000");
    let error = rig.restart(Counter::default()).err();
    assert!(
        matches!(&error, Some(RecoverError::State(why)) if why.to_string().contains("its root is")),
        "{error:?}"
    );
}

#[test]
fn a_replica_that_may_not_vote_signs_nothing() {
    let mut rig = Rig::with(false, LocalLimits::default());
    let chain = rig.config.genesis.chain();
    let transaction = Transaction::sign(&secret(11), &chain, Kind::Application, 1, Bytes::from_static(b"go"));
    // It leads nobody, itself included.
    let answer = rig.ask(Call::Submit(Payload::of(vec![Item::new(&chain, transaction)])));
    assert_eq!(answer, None);
    assert_eq!((rig.host.executed(), rig.host.report().stable, rig.host.report().votes), (0, 0, false));
}

#[test]
fn another_application_or_state_root_is_refused_at_the_start() {
    let rig = Rig::new();
    let mut config = rig.config.clone();
    let mut genesis = (*config.genesis).clone();
    genesis.state_root = Digest([1; 32]);
    config.trust = genesis.trust().unwrap();
    config.genesis = Arc::new(genesis.clone());
    let error = Rig::start(config.clone(), Counter::default(), vec![], None).err().unwrap().to_string();
    assert!(error.contains("its state root is") && error.contains("another version"), "{error}");
    genesis.application.name = "chess".into();
    config.genesis = Arc::new(genesis);
    let error = Rig::start(config, Counter::default(), vec![], None).err().unwrap().to_string();
    assert!(error.contains("\"chess\"") && error.contains("\"counter\""), "{error}");
}

#[test]
fn threat_95_a_key_twice_in_the_genesis_is_refused() {
    let mut genesis = genesis(Limits::default());
    genesis.replicas.push(ReplicaInfo { address: "b:1".into(), ..genesis.replicas[0].clone() });
    assert!(genesis.validate().unwrap_err().to_string().contains("has the key of an earlier replica"));
    genesis.replicas.pop();
    genesis.organisations[1].clients.push(secret(10).public());
    assert!(genesis.validate().unwrap_err().to_string().contains("is listed twice"));
}

// Time grows by one with every block at least: neither the genesis nor a leader may bring it close to its end.
#[test]
fn a_genesis_that_would_use_up_time_is_refused() {
    let late = Genesis { time: u64::MAX, ..genesis(Limits::default()) };
    assert!(late.validate().unwrap_err().to_string().contains("before the year 10000"));
    let lax = genesis(Limits { clock_skew_ms: u64::MAX, ..Limits::default() });
    assert!(lax.validate().unwrap_err().to_string().contains("clock_skew_ms is 18446744073709551615"));
}

#[test]
fn a_log_whose_blocks_and_entries_do_not_fit_is_refused() {
    let mut rig = Rig::with(true, LocalLimits::default());
    // The second block takes the certificate over the first to the log.
    rig.receipt(11, 1, b"go");
    rig.receipt(11, 2, b"go");
    let Rig { config, items, .. } = rig;
    let refused = |change: &dyn Fn(&mut Block)| {
        let mut items = items.clone();
        let mut renamed = None;
        for item in items.iter_mut().filter(|item| item.kind == LogKind::Block && item.height == 1) {
            let mut block: Block = codec::decode(&item.body, 1 << 20).unwrap();
            change(&mut block);
            item.body = codec::encode(&block).into();
            renamed = Some(block.digest());
        }
        for item in items.iter_mut().filter(|item| item.kind == LogKind::Entry && item.height == 1) {
            let mut entry: bft_core::ledger::LedgerEntry = codec::decode(&item.body, 1 << 20).unwrap();
            entry.block = renamed.unwrap();
            item.body = codec::encode(&entry).into();
        }
        Rig::start(config.clone(), Counter::default(), items, None).err()
    };
    let what = "a block's payload is not the one in its header";
    let payload = Some(RecoverError::Inconsistent { height: 1, what });
    assert_eq!(refused(&|block| block.payload = Payload::from_bytes(Bytes::from_static(b"none"))), payload);
    assert_eq!(refused(&|block| block.payload = Payload::empty()), payload);
    let what = "the entry names a block of another height";
    let height = Some(RecoverError::Inconsistent { height: 1, what });
    assert_eq!(refused(&|block| block.header.height = 7), height);
    assert_eq!(refused(&|_| {}), None);
    for kind in [LogKind::Entry, LogKind::Certificate] {
        let mut items = items.clone();
        items.iter_mut().filter(|item| item.kind == kind).for_each(|item| item.height += 7);
        let error = Rig::start(config.clone(), Counter::default(), items, None).err();
        assert!(matches!(error, Some(RecoverError::Inconsistent { height: 8, .. })), "{error:?}");
    }
}

#[test]
fn a_state_whose_summary_no_ledger_has_is_refused() {
    type Summary = (bft_core::ledger::LedgerEntry, Option<Header>, CheckpointCertificate);
    let mut rig = Rig::new();
    for sequence in 1..=6 {
        rig.receipt(11, sequence, b"go");
    }
    let Rig { config, state, .. } = rig;
    let refused = |change: &dyn Fn(&mut LoadedState, &mut Summary)| {
        let mut state = state.clone().unwrap();
        let mut summary: Summary = codec::decode(&state.meta, 1 << 20).unwrap();
        change(&mut state, &mut summary);
        state.meta = codec::encode(&summary).into();
        let error = Rig::start(config.clone(), Counter::default(), vec![], Some(state)).err();
        assert!(error.unwrap().to_string().contains("which no ledger has"));
    };
    refused(&|_, (tip, ..)| tip.time = u64::MAX);
    refused(&|state, (tip, ..)| (state.height, tip.height) = (u64::MAX, u64::MAX));
    refused(&|_, (_, _, stable)| stable.entry.height = 1000);
}
