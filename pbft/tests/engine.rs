//! The engine, step by step: an input, and everything that follows from it.

use bft_core::block::Block;
use bft_core::committee::{Committee, StatementDomain};
use bft_core::engine::{
    CheckContext, Draft, Engine, EngineConfig, Input, Lead, Message as _, Outbox, Output, Recipients, Start,
};
use bft_core::envelope::{Rejection, Seal, SealWith, Sealed};
use bft_core::evidence::Evidence;
use bft_core::genesis::{Limits, VoteRouting};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bft_core::types::{Height, Time, Timestamp, View};
use bft_core::verified::Verified;
use crypto::{
    Certificate, ClientSecret, Digest, FaultModel, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier,
    ReplicaId, Share, Signature, Statement, StatementKind,
};
use pbft::{
    COMMIT, Committed, Message, NEW_VIEW, NewView, NewViewProof, PREPARE, Pbft, PrePrepare, Prepared, Record,
    Relay, SignedViewChange, Status, Timer, VIEW_CHANGE, ViewChange, Vote,
};
use std::time::Duration;

const DOMAIN: StatementDomain = StatementDomain {
    chain: Digest([7; 32]),
    epoch: 1,
    protocol: ProtocolTag::PBFT,
    fault_model: FaultModel::Byzantine,
};
const COMMITTEE: Committee = Committee { replicas: 4, fault_model: FaultModel::Byzantine };
const WINDOW: u64 = 2;

fn limits() -> Limits {
    Limits { window: WINDOW, view_timeout_ms: 1000, batch_ms: 10, ..Limits::default() }
}

fn entry(height: Height, block: Digest) -> LedgerEntry {
    let zero = Digest::ZERO;
    let (epoch, state_root) = (1, Some(zero));
    LedgerEntry {
        epoch,
        height,
        block,
        time: height,
        receipts_root: zero,
        state_root,
        next_epoch: None,
        previous: zero,
    }
}

fn quorum_keys() -> (QuorumVerifier, Vec<QuorumSigner>) {
    QuorumVerifier::simulated([1; 32], 4, COMMITTEE.quorum())
}

fn share(from: u16, statement: &Statement) -> Share {
    quorum_keys().1[usize::from(from)].sign(statement)
}

fn certificate(statement: &Statement) -> Certificate {
    let shares: Vec<_> = (0..3).map(|from| (ReplicaId(from), share(from, statement))).collect();
    quorum_keys().0.combine(statement, &shares).expect("a quorum of good shares")
}

fn identity(of: u16) -> IdentitySecret {
    IdentitySecret::from_seed([of as u8; 32])
}

fn checkpoint(height: Height) -> CheckpointCertificate {
    let entry = entry(height, Digest([height as u8; 32]));
    let proof = (height > 0).then(|| certificate(&DOMAIN.checkpoint(&entry)));
    CheckpointCertificate { entry, proof }
}

/// A block of one transaction.
fn block(height: Height, text: &str) -> Block {
    Block::new(&DOMAIN.chain, 1, height, payload(text), Timestamp(5), true).expect("it parses")
}

fn payload(text: &str) -> Payload {
    let secret = ClientSecret::from_seed([1; 32]);
    let body = text.to_owned().into_bytes().into();
    let transaction = Transaction::sign_simulated(&secret, &DOMAIN.chain, Kind::Application, 1, body);
    Payload::of(vec![Item::new(&DOMAIN.chain, transaction)])
}

fn vote(view: View, block: &Block) -> Vote {
    Vote { view, height: block.header.height, block: block.digest() }
}

fn prepared(view: View, block: &Block) -> Prepared {
    let vote = vote(view, block);
    Prepared { vote, certificate: certificate(&vote.statement(PREPARE, &DOMAIN)) }
}

fn change(view: View, stable: Height, prepared: &[Prepared]) -> ViewChange {
    ViewChange { view, stable: checkpoint(stable), prepared: prepared.to_vec() }
}

fn signed(author: u16, change: &ViewChange) -> SignedViewChange {
    let signature = identity(author).sign(&change.statement(&DOMAIN).encode());
    SignedViewChange { author: ReplicaId(author), change: change.clone(), signature }
}

fn new_view(changes: &[SignedViewChange]) -> NewView {
    let sources = changes.iter().map(|s| (s.author, s.change.digest())).collect();
    NewView { view: changes[0].change.view, sources }
}

fn seal(from: u16, message: &Message) -> Seal {
    match message.seal(&DOMAIN) {
        SealWith::Nothing => Seal::None,
        SealWith::Share(statement) => Seal::Share(share(from, &statement)),
        SealWith::Signature(statement) => Seal::Signature(identity(from).sign(&statement.encode())),
    }
}

fn start() -> Start<Pbft> {
    Start {
        tip: entry(0, Digest::ZERO),
        tip_header: None,
        stable: checkpoint(0),
        records: vec![],
        blocks: vec![],
    }
}

/// PBFT's outputs, comparable: `Output` can be compared where its engine can, and there is none of this one to compare.
#[derive(Debug, PartialEq)]
enum Plain {}

impl Engine for Plain {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(_: EngineConfig, _: Start<Plain>, _: Time, _: &mut Outbox<Plain>) -> Plain {
        unreachable!("nobody runs it")
    }
    fn step(&mut self, _: Time, _: Input<Plain>, _: &mut Outbox<Plain>) {
        match *self {}
    }
    fn records(&self) -> Vec<Record> {
        match *self {}
    }
    fn promises_of(&self, _: ReplicaId) -> Vec<bft_core::envelope::Promised> {
        match *self {}
    }
    fn led_by(&self) -> Lead {
        match *self {}
    }
    fn status(&self) -> bft_core::engine::Status {
        match *self {}
    }
    fn invariants(&self) {}
}

type Said = Output<Plain>;

/// One replica, and its outputs that matter: not its timers, nor its wishes for payloads.
struct Replica {
    engine: Pbft,
    out: Outbox<Pbft>,
    now: Time,
}

impl Replica {
    fn new(me: u16) -> Replica {
        Replica::recover(me, start()).0
    }

    /// Where the leader collects votes.
    fn collected(me: u16) -> Replica {
        let collector = Limits { vote_routing: VoteRouting::Collector, ..limits() };
        Replica::recover_within(collector, me, start()).0
    }

    fn recover(me: u16, start: Start<Pbft>) -> (Replica, Vec<Said>) {
        Replica::recover_within(limits(), me, start)
    }

    fn recover_within(limits: Limits, me: u16, start: Start<Pbft>) -> (Replica, Vec<Said>) {
        let config = EngineConfig {
            votes: true,
            seed: 0,
            me: ReplicaId(me),
            committee: COMMITTEE,
            domain: DOMAIN,
            limits,
            genesis_entry: entry(0, Digest::ZERO),
        };
        let mut out = Outbox::default();
        let engine = Pbft::recover(config, start, Time(0), &mut out);
        engine.invariants();
        let mut replica = Replica { engine, out, now: Time(0) };
        let said = replica.take();
        (replica, said)
    }

    fn take(&mut self) -> Vec<Said> {
        let quiet = |output: &Output<Pbft>| {
            !matches!(output, Output::SetTimer { .. } | Output::CancelTimer(_) | Output::NeedPayload { .. })
        };
        plain(self.out.take().into_iter().filter(quiet))
    }

    fn step(&mut self, input: Input<Pbft>) -> Vec<Said> {
        self.engine.step(self.now, input, &mut self.out);
        self.engine.invariants();
        self.take()
    }

    fn hear(&mut self, from: u16, message: Message) -> Vec<Said> {
        let seal = seal(from, &message);
        let message = Verified::for_tests(Sealed { message, seal });
        self.step(Input::Message { from: ReplicaId(from), message })
    }

    fn propose(&mut self, from: u16, view: View, block: &Block) -> Vec<Said> {
        self.hear(from, Message::PrePrepare(PrePrepare { view, block: block.clone() }))
    }

    fn combined(&mut self, statement: Statement) -> Vec<Said> {
        self.step(Input::Combined { statement, result: Ok(certificate(&statement)) })
    }

    fn executed(&mut self, block: &Block) -> Vec<Said> {
        let entry = entry(block.header.height, block.digest());
        self.step(Input::Executed { entry, epoch_ends_at: None })
    }

    /// Work waits, and time goes by until the progress timer fires.
    fn time_out(&mut self) -> Vec<Said> {
        self.step(Input::Work { oldest: Some(self.now) });
        self.now = self.now + Duration::from_secs(100);
        self.step(Input::Timeout(Timer::Progress))
    }

    /// Enters a view with these view-changes of others, its leader's among them.
    fn enter(&mut self, changes: &[SignedViewChange]) -> Vec<Said> {
        for signed in changes {
            self.hear(signed.author.0, Message::ViewChange(signed.change.clone()));
        }
        let new_view = new_view(changes);
        let leader = COMMITTEE.in_turn(new_view.view).0;
        self.hear(leader, Message::NewView(new_view))
    }

    /// Commits a block by everybody's votes in view 0.
    fn commit(&mut self, block: &Block) {
        self.propose(0, 0, block);
        for from in [0, 2, 3] {
            self.hear(from, Message::Commit(vote(0, block)));
        }
        self.executed(block);
    }
}

fn plain(outputs: impl IntoIterator<Item = Output<Pbft>>) -> Vec<Said> {
    outputs
        .into_iter()
        .map(|output| output.widen(|message| message, |record| record, |timer| timer))
        .collect()
}

fn persist(record: Record) -> Said {
    Output::Persist { record: Some(record), block: None }
}

fn persist_with(record: Record, block: &Block) -> Said {
    Output::Persist { record: Some(record), block: Some(block.clone()) }
}

fn to_all(message: Message) -> Said {
    Output::Send { to: Recipients::All, message }
}

fn to_one(to: u16, message: Message) -> Said {
    Output::Send { to: Recipients::One(ReplicaId(to)), message }
}

fn commits(block: &Block) -> Said {
    Output::Commit { height: block.header.height, block: block.digest(), proof: None }
}

fn fetches(from: &[u16], block: &Block) -> Said {
    let from = from.iter().map(|id| ReplicaId(*id)).collect();
    Output::FetchBlocks { from, blocks: vec![block.digest()], patience: Duration::ZERO }
}

/// The votes may have overtaken the proposal.
fn fetches_patiently(from: &[u16], block: &Block) -> Said {
    let from = from.iter().map(|id| ReplicaId(*id)).collect();
    Output::FetchBlocks { from, blocks: vec![block.digest()], patience: limits().view_timeout() / 16 }
}

fn combines(kind: StatementKind, vote: Vote, from: &[u16]) -> Said {
    let statement = vote.statement(kind, &DOMAIN);
    let shares = from.iter().map(|id| (ReplicaId(*id), share(*id, &statement))).collect();
    Output::Combine { statement, shares }
}

// --- The normal case.

#[test]
fn a_leader_proposes_what_it_is_given_and_writes_it_down_first() {
    let mut leader = Replica::new(0);
    let a = block(1, "a");
    let draft = Draft { payload: payload("a"), time: Timestamp(5), checkpoint: true };
    assert_eq!(
        leader.step(Input::Payload { token: 1, draft: draft.clone() }),
        [
            persist_with(Record::Prepare(vote(0, &a)), &a),
            to_all(Message::PrePrepare(PrePrepare { view: 0, block: a.clone() })),
        ]
    );
    // The wish is fulfilled; another answer to it says nothing.
    assert_eq!(leader.step(Input::Payload { token: 1, draft }), []);
    // Its own proposal comes back from the disk, and is not voted on twice.
    assert_eq!(leader.propose(0, 0, &a), []);
}

#[test]
fn a_replica_prepares_combines_and_commits() {
    let (mut replica, a) = (Replica::new(1), block(1, "a"));
    let word = vote(0, &a);
    assert_eq!(
        replica.propose(0, 0, &a),
        [persist_with(Record::Prepare(word), &a), to_all(Message::Prepare(word))]
    );
    assert_eq!(replica.hear(1, Message::Prepare(word)), []);
    assert_eq!(replica.hear(2, Message::Prepare(word)), [combines(PREPARE, word, &[0, 1, 2])]);
    assert_eq!(replica.hear(3, Message::Prepare(word)), [], "it combines once");
    assert_eq!(
        replica.combined(word.statement(PREPARE, &DOMAIN)),
        [persist(Record::Prepared(prepared(0, &a))), to_all(Message::Commit(word))]
    );
    assert_eq!(replica.hear(1, Message::Commit(word)), []);
    assert_eq!(replica.hear(2, Message::Commit(word)), []);
    assert_eq!(replica.hear(2, Message::Commit(word)), [], "one vote a replica");
    assert_eq!(replica.hear(3, Message::Commit(word)), [commits(&a)]);
    assert_eq!(replica.hear(0, Message::Commit(word)), []);
}

// threat 9
#[test]
fn threat_9_heights_commit_in_order() {
    let (mut replica, a, b) = (Replica::new(1), block(1, "a"), block(2, "b"));
    replica.propose(0, 0, &b);
    for from in [0, 2, 3] {
        assert_eq!(replica.hear(from, Message::Commit(vote(0, &b))), []);
    }
    replica.propose(0, 0, &a);
    replica.hear(0, Message::Commit(vote(0, &a)));
    replica.hear(2, Message::Commit(vote(0, &a)));
    assert_eq!(replica.hear(3, Message::Commit(vote(0, &a))), [commits(&a), commits(&b)]);
}

// threat 1
#[test]
fn threat_1_a_second_proposal_is_evidence_and_nothing_else() {
    let (mut replica, a, b) = (Replica::new(1), block(1, "a"), block(1, "b"));
    replica.propose(0, 0, &a);
    let (first, second) = (vote(0, &a).statement(PREPARE, &DOMAIN), vote(0, &b).statement(PREPARE, &DOMAIN));
    let sealed = |statement: Statement| (statement, Seal::Share(share(0, &statement)));
    let evidence = Evidence::new(ReplicaId(0), sealed(first), sealed(second));
    assert_eq!(replica.propose(0, 0, &b), [Output::Report(evidence)]);
}

/// Who is accused, in a statement of which kind.
fn accusations(said: &[Said]) -> Vec<(u16, StatementKind)> {
    let accusation = |output: &Said| match output {
        Output::Report(evidence) => Some((evidence.accused.0, evidence.first.0.kind)),
        _ => None,
    };
    said.iter().filter_map(accusation).collect()
}

// threat 1, 22: wherever both statements of one replica come by.
#[test]
fn two_words_of_one_replica_in_one_view_are_evidence() {
    let (a, b) = (block(1, "a"), block(1, "b"));
    let mut replica = Replica::new(1);
    for vote in [Message::Prepare, Message::Commit] {
        let kind = if matches!(vote(self::vote(0, &a)), Message::Prepare(_)) { PREPARE } else { COMMIT };
        assert_eq!(accusations(&replica.hear(3, vote(self::vote(0, &a)))), []);
        assert_eq!(accusations(&replica.hear(3, vote(self::vote(0, &a)))), [], "said again");
        assert_eq!(accusations(&replica.hear(2, vote(self::vote(0, &b)))), [], "another one's");
        assert_eq!(accusations(&replica.hear(3, vote(self::vote(1, &b)))), [], "in another view");
        assert_eq!(accusations(&replica.hear(3, vote(self::vote(1, &a)))), [(3, kind)]);
    }
    // A pre-prepare is its leader's prepare; two that wait for their view.
    let mut replica = Replica::new(1);
    replica.hear(0, Message::Prepare(vote(0, &a)));
    assert_eq!(accusations(&replica.propose(0, 0, &b)), [(0, PREPARE)]);
    assert_eq!(accusations(&replica.propose(2, 2, &a)), []);
    assert_eq!(accusations(&replica.propose(2, 2, &b)), [(2, PREPARE)]);
}

// threat 1: a leader that tells each one something else is found out by those who compare.
#[test]
fn threat_1_two_replicas_show_each_other_what_the_leader_told_them() {
    let (a, b) = (block(1, "a"), block(1, "b"));
    let told = |block: &Block| {
        let vote = vote(0, block);
        Message::Relay(Relay::Proposed(vote, share(0, &vote.statement(PREPARE, &DOMAIN))))
    };
    let mut replica = Replica::new(1);
    replica.propose(0, 0, &a);
    // Replica 2 was told something else, or says so.
    assert_eq!(replica.hear(2, Message::Prepare(vote(0, &b))), [to_one(2, told(&a))]);
    assert_eq!(replica.hear(2, Message::Prepare(vote(0, &b))), [], "once");
    assert_eq!(replica.hear(3, Message::Prepare(vote(1, &b))), [], "another view has another leader");
    assert_eq!(accusations(&replica.hear(2, told(&a))), []);
    assert_eq!(accusations(&replica.hear(2, told(&b))), [(0, PREPARE)]);
    // The vote was faster than the proposal, and nothing is shown to those who agree.
    let mut replica = Replica::new(1);
    replica.hear(2, Message::Prepare(vote(0, &b)));
    replica.hear(3, Message::Prepare(vote(0, &a)));
    let said = replica.propose(0, 0, &a);
    assert_eq!(said.first(), Some(&to_one(2, told(&a))));
    assert_eq!(
        said.iter().filter(|output| matches!(output, Output::Send { to: Recipients::One(_), .. })).count(),
        1
    );
}

#[test]
fn two_view_changes_or_new_views_for_one_view_are_evidence() {
    let (one, other) = (change(1, 0, &[]), change(1, 0, &[prepared(0, &block(1, "a"))]));
    let mut replica = Replica::new(2);
    assert_eq!(accusations(&replica.hear(3, Message::ViewChange(one.clone()))), []);
    assert_eq!(accusations(&replica.hear(3, Message::ViewChange(change(2, 0, &[])))), []);
    assert_eq!(accusations(&replica.hear(3, Message::ViewChange(change(2, 1, &[])))), [(3, VIEW_CHANGE)]);
    // Passed on by somebody else, it is still its author's.
    let mut replica = Replica::new(2);
    replica.hear(3, Message::ViewChange(one.clone()));
    let SignedViewChange { author, change, signature } = signed(3, &other);
    let relay = Message::Relay(Relay::ViewChange(author, Box::new(change), signature));
    assert_eq!(accusations(&replica.hear(0, relay)), [(3, VIEW_CHANGE)]);
    // The leader of view 1 begins it twice, before and after this replica has entered it.
    let first = [0, 1, 3].map(|author| signed(author, &one));
    let second = [0, 1, 2].map(|author| signed(author, &one));
    let mut replica = Replica::new(2);
    assert_eq!(accusations(&replica.hear(1, Message::NewView(new_view(&first)))), []);
    assert_eq!(accusations(&replica.hear(1, Message::NewView(new_view(&second)))), [(1, NEW_VIEW)]);
    let mut replica = Replica::new(2);
    replica.enter(&first);
    assert_eq!(accusations(&replica.hear(1, Message::NewView(new_view(&first)))), []);
    assert_eq!(accusations(&replica.hear(1, Message::NewView(new_view(&second)))), [(1, NEW_VIEW)]);
}

#[test]
fn an_older_view_s_proposal_is_nothing() {
    let (mut replica, a) = (Replica::new(2), block(1, "a"));
    let empty = change(1, 0, &[]);
    replica.enter(&[0, 1, 3].map(|author| signed(author, &empty)));
    assert_eq!(replica.propose(0, 0, &a), []);
}

// threat 8
#[test]
fn threat_8_a_later_view_s_proposal_waits_and_the_nearest_view_s_is_kept() {
    let (mut replica, a, b) = (Replica::new(2), block(1, "a"), block(1, "b"));
    let empty = change(1, 0, &[]);
    let changes = [0, 1, 3].map(|author| signed(author, &empty));
    assert_eq!(replica.propose(3, u64::MAX - (u64::MAX % 4) - 1, &b), [], "far away");
    assert_eq!(replica.propose(1, 1, &a), [], "near");
    assert_eq!(replica.propose(1, 5, &b), [], "further again");
    let said = replica.enter(&changes);
    assert_eq!(
        said[1..],
        [persist_with(Record::Prepare(vote(1, &a)), &a), to_all(Message::Prepare(vote(1, &a)))]
    );
}

// threat 11
#[test]
fn threat_11_nothing_is_voted_on_or_committed_to_above_the_window() {
    let mut replica = Replica::new(1);
    let (a, c) = (block(1, "a"), block(3, "c"));
    let word = vote(0, &c);
    // Accepted, not voted on, and no certificate made although a quorum has voted.
    assert_eq!(replica.propose(0, 0, &c), []);
    assert_eq!(replica.hear(2, Message::Prepare(word)), []);
    assert_eq!(replica.hear(3, Message::Prepare(word)), []);
    // A height far outside is not even remembered.
    for height in [8, u64::MAX] {
        assert_eq!(replica.propose(0, 0, &block(height, "z")), []);
        assert_eq!(replica.hear(3, Message::Commit(Vote { height, ..word })), []);
    }
    replica.propose(0, 0, &a);
    for from in [0, 2, 3] {
        replica.hear(from, Message::Commit(vote(0, &a)));
    }
    assert_eq!(
        replica.executed(&a),
        [
            persist_with(Record::Prepare(word), &c),
            to_all(Message::Prepare(word)),
            combines(PREPARE, word, &[0, 2, 3])
        ]
    );
}

// threat 1: a lying leader gave this replica another block than the others decided while its window was closed.
#[test]
fn nothing_is_voted_on_that_others_decided_against() {
    let mut replica = Replica::new(1);
    let (a, mine, decided) = (block(1, "a"), block(3, "mine"), block(3, "decided"));
    assert_eq!(replica.propose(0, 0, &mine), []);
    for from in [0, 2, 3] {
        replica.hear(from, Message::Commit(vote(0, &decided)));
    }
    replica.propose(0, 0, &a);
    for from in [0, 2, 3] {
        replica.hear(from, Message::Commit(vote(0, &a)));
    }
    assert_eq!(replica.executed(&a), []);
}

// threat 53
#[test]
fn threat_53_whoever_sent_a_bad_share_is_left_out() {
    let (mut replica, a) = (Replica::new(1), block(1, "a"));
    let word = vote(0, &a);
    replica.propose(0, 0, &a);
    replica.hear(1, Message::Prepare(word));
    replica.hear(2, Message::Prepare(word));
    let statement = word.statement(PREPARE, &DOMAIN);
    let culprits = Input::Combined { statement, result: Err(vec![ReplicaId(2)]) };
    assert_eq!(replica.step(culprits), [], "two good ones are too few");
    assert_eq!(replica.hear(2, Message::Prepare(word)), []);
    assert_eq!(replica.hear(3, Message::Prepare(word)), [combines(PREPARE, word, &[0, 1, 3])]);
}

// threat 2
#[test]
fn threat_2_a_block_is_fetched_on_the_word_of_f_plus_1_and_on_a_quorum_of_commits() {
    let (mut replica, a) = (Replica::new(1), block(1, "a"));
    let word = vote(0, &a);
    assert_eq!(replica.hear(2, Message::Prepare(word)), []);
    assert_eq!(replica.hear(3, Message::Prepare(word)), [fetches_patiently(&[2, 3], &a)]);
    assert_eq!(
        replica.step(Input::Blocks { blocks: Verified::for_tests(vec![a.clone()]) }),
        [persist_with(Record::Prepare(word), &a), to_all(Message::Prepare(word))]
    );
    let mut late = Replica::new(1);
    for from in [0, 2] {
        assert_eq!(late.hear(from, Message::Commit(word)), []);
    }
    assert_eq!(late.hear(3, Message::Commit(word)), [fetches_patiently(&[0, 2, 3], &a)]);
    assert_eq!(
        late.step(Input::Blocks { blocks: Verified::for_tests(vec![a.clone()]) }),
        [Output::Persist { record: None, block: Some(a.clone()) }, commits(&a)]
    );
}

#[test]
fn a_block_that_nobody_asked_for_is_forgotten() {
    let mut replica = Replica::new(1);
    for text in ["a", "b", "c", "d", "e", "f", "g"] {
        assert_eq!(replica.step(Input::Blocks { blocks: Verified::for_tests(vec![block(1, text)]) }), []);
    }
}

// --- View changes.

// threat 3
#[test]
fn losing_patience_says_what_is_prepared() {
    let (mut replica, a) = (Replica::new(2), block(1, "a"));
    let word = vote(0, &a);
    replica.propose(0, 0, &a);
    replica.hear(1, Message::Prepare(word));
    replica.hear(3, Message::Prepare(word));
    replica.combined(word.statement(PREPARE, &DOMAIN));
    let change = change(1, 0, &[prepared(0, &a)]);
    assert_eq!(
        replica.time_out(),
        [persist(Record::ViewChange(change.clone())), to_all(Message::ViewChange(change))]
    );
    // It takes no part in the view it left.
    assert_eq!(replica.propose(0, 0, &block(2, "b")), []);
}

// threat 16
#[test]
fn threat_16_a_replica_joins_f_plus_1_others_and_no_single_one() {
    let mut replica = Replica::new(2);
    assert_eq!(replica.hear(1, Message::ViewChange(change(7, 0, &[]))), []);
    let joined = change(3, 0, &[]);
    assert_eq!(
        replica.hear(3, Message::ViewChange(joined.clone())),
        [persist(Record::ViewChange(joined.clone())), to_all(Message::ViewChange(joined))]
    );
    // The one that is far ahead stays alone there.
    assert_eq!(replica.hear(1, Message::ViewChange(change(u64::MAX, 0, &[]))), []);
}

#[test]
fn a_new_leader_begins_with_a_quorum_and_enters_when_its_word_is_durable() {
    let mut leader = Replica::new(1);
    let a = block(1, "a");
    let (with, without) = (change(1, 0, &[prepared(0, &a)]), change(1, 0, &[]));
    leader.hear(2, Message::ViewChange(with.clone()));
    leader.hear(3, Message::ViewChange(without.clone()));
    let changes = vec![signed(1, &without), signed(2, &with), signed(3, &without)];
    let word = new_view(&changes);
    let begun = NewViewProof { new_view: word.clone(), signature: None, changes: changes.clone() };
    assert_eq!(
        leader.hear(1, Message::ViewChange(without)),
        [persist(Record::NewView(begun)), to_all(Message::NewView(word.clone()))]
    );
    // Meanwhile one of them goes on to the next view: what the leader began with, it still has.
    assert_eq!(leader.hear(3, Message::ViewChange(change(2, 0, &[]))), []);
    let signature = identity(1).sign(&word.statement(&DOMAIN).encode());
    let entered = NewViewProof { new_view: word.clone(), signature: Some(signature), changes };
    assert_eq!(
        leader.hear(1, Message::NewView(word)),
        [persist(Record::NewView(entered)), fetches(&[0, 2, 3], &a)]
    );
    // A planned block comes by fetching, never from the leader's pool, and is voted on again.
    assert_eq!(
        leader.step(Input::Blocks { blocks: Verified::for_tests(vec![a.clone()]) }),
        [persist_with(Record::Prepare(vote(1, &a)), &a), to_all(Message::Prepare(vote(1, &a)))]
    );
}

// threat 7
#[test]
fn threat_7_a_hole_is_filled_with_a_null_block_that_is_persisted() {
    let (mut replica, b) = (Replica::new(3), block(2, "b"));
    let (with, without) = (change(1, 0, &[prepared(0, &b)]), change(1, 0, &[]));
    let said = replica.enter(&[signed(0, &without), signed(1, &with), signed(2, &without)]);
    let null = Block::null(1, 1);
    assert_eq!(
        said[1..],
        [
            persist_with(Record::Prepare(vote(1, &null)), &null),
            to_all(Message::Prepare(vote(1, &null))),
            fetches(&[0, 1, 2], &b)
        ]
    );
}

// threat 5, 6
#[test]
fn threat_5_a_leader_cannot_propose_against_the_plan_nor_below_its_checkpoint() {
    let mut replica = Replica::new(3);
    let a = block(4, "a");
    let with = change(1, 3, &[prepared(0, &a)]);
    let without = change(1, 0, &[]);
    let said = replica.enter(&[signed(0, &without), signed(1, &with), signed(2, &without)]);
    assert_eq!(said[1], Output::Lagging { checkpoint: checkpoint(3) });
    // Another block at a planned height, and any block at a height that the plan's checkpoint covers.
    assert_eq!(replica.propose(1, 1, &block(4, "other")), []);
    assert_eq!(replica.propose(1, 1, &block(2, "rewritten")), []);
}

// threat 5
#[test]
fn threat_5_a_new_view_of_view_changes_for_another_view_is_nothing() {
    let mut replica = Replica::new(3);
    let (old, new) = (change(1, 0, &[]), change(5, 0, &[]));
    let mut word = new_view(&[signed(0, &new), signed(1, &new), signed(2, &old)]);
    word.view = 5;
    for (author, change) in [(0, &new), (1, &new), (2, &old)] {
        replica.hear(author, Message::ViewChange(change.clone()));
    }
    assert_eq!(replica.hear(1, Message::NewView(word)), []);
    assert!(!replica.engine.status().active);
}

#[test]
fn missing_view_changes_are_asked_of_whoever_sent_the_new_view() {
    let mut replica = Replica::new(3);
    let empty = change(1, 0, &[]);
    let changes = [0, 1, 2].map(|author| signed(author, &empty));
    let word = new_view(&changes);
    let signature = identity(1).sign(&word.statement(&DOMAIN).encode());
    replica.hear(1, Message::ViewChange(empty.clone()));
    replica.hear(2, Message::ViewChange(empty.clone()));
    let missing = Message::FetchViewChanges(1, vec![(ReplicaId(0), empty.digest())]);
    // A liar passes the new-view on first, and never answers; the leader's own is not ignored for it.
    let relay = Message::Relay(Relay::NewView(word.clone(), signature));
    assert_eq!(replica.hear(2, relay.clone()), [to_one(2, missing.clone())]);
    assert_eq!(replica.hear(2, relay), [], "asked once, until the resend timer");
    assert_eq!(replica.hear(1, Message::NewView(word.clone())), [to_one(1, missing)]);
    let SignedViewChange { author, change, signature: of_change } = signed(0, &empty);
    let proof = NewViewProof { new_view: word, signature: Some(signature), changes: changes.to_vec() };
    assert_eq!(
        replica.hear(1, Message::Relay(Relay::ViewChange(author, Box::new(change), of_change))),
        [persist(Record::NewView(proof))]
    );
}

#[test]
fn who_has_entered_gives_the_view_changes_it_entered_with() {
    let mut replica = Replica::new(3);
    let empty = change(1, 0, &[]);
    replica.enter(&[0, 1, 2].map(|author| signed(author, &empty)));
    // Replica 0 has gone on since.
    replica.hear(0, Message::ViewChange(change(2, 0, &[])));
    let wanted = vec![(ReplicaId(0), empty.digest()), (ReplicaId(2), Digest::ZERO)];
    let SignedViewChange { author, change, signature } = signed(0, &empty);
    assert_eq!(
        replica.hear(2, Message::FetchViewChanges(1, wanted)),
        [to_one(2, Message::Relay(Relay::ViewChange(author, Box::new(change), signature)))]
    );
}

// A replica two views behind learns by commits what view 2 decided, and gets the new-view of view 1 afterwards, from a slow link or
// a liar: its plan names another block there. This is no contradiction, and no reason to stop or to vote.
#[test]
fn a_late_new_view_may_plan_what_a_later_view_decided_otherwise() {
    let (mut replica, a, b) = (Replica::new(3), block(1, "a"), block(1, "b"));
    for from in [0, 1, 2] {
        replica.hear(from, Message::Commit(vote(2, &b)));
    }
    replica.step(Input::Blocks { blocks: Verified::for_tests(vec![b.clone()]) });
    let (with, without) = (change(1, 0, &[prepared(0, &a)]), change(1, 0, &[]));
    let said = replica.enter(&[signed(0, &without), signed(1, &with), signed(2, &without)]);
    assert_eq!(said.len(), 1, "it enters, and says nothing: {said:?}");
    assert_eq!(replica.engine.led_by(), Lead { view: 1, leader: ReplicaId(1), next: None });
}

#[test]
fn who_has_to_catch_up_suspects_nobody_until_it_has() {
    let mut replica = Replica::new(1);
    replica.propose(0, 0, &block(1, "a"));
    replica.step(Input::Behind { behind: true });
    assert_eq!(replica.time_out(), []);
    // It still goes where f + 1 others go.
    let others = [signed(2, &change(1, 0, &[])), signed(3, &change(1, 0, &[]))];
    replica.step(Input::Behind { behind: false });
    assert!(matches!(replica.time_out()[..], [Said::Persist { .. }, Said::Send { .. }]));
    let mut joining = Replica::new(1);
    joining.step(Input::Behind { behind: true });
    for signed in others {
        joining.hear(signed.author.0, Message::ViewChange(signed.change.clone()));
    }
    assert_eq!((joining.engine.led_by().view, joining.engine.status().active), (1, false));
}

// threat 10
#[test]
fn threat_10_timeouts_double_and_are_capped() {
    let mut replica = Replica::new(2);
    let mut waits = Vec::new();
    for view in 1..12 {
        replica.engine.step(replica.now, Input::Work { oldest: Some(Time(0)) }, &mut replica.out);
        if view == 1 {
            replica.time_out();
        }
        for from in [0, 1, 2, 3] {
            let message = Message::ViewChange(change(view, 0, &[]));
            let message = Verified::for_tests(Sealed { seal: seal(from, &message), message });
            let input = Input::Message { from: ReplicaId(from), message };
            replica.engine.step(replica.now, input, &mut replica.out);
        }
        let set = replica.out.take().into_iter().rev().find_map(|output| match output {
            Output::SetTimer { timer: Timer::NewView, at } => Some(at),
            _ => None,
        });
        let at = set.expect("with a quorum gone, the new-view is waited for");
        waits.push(at.since(replica.now).as_secs());
        replica.now = at;
        replica.step(Input::Timeout(Timer::NewView));
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 64, 64, 64, 64, 64]);
}

#[test]
fn an_idle_replica_sets_no_timer() {
    let mut replica = Replica::new(2);
    replica.engine.step(Time(0), Input::Work { oldest: Some(Time(0)) }, &mut replica.out);
    let second = Time(0) + Duration::from_secs(1);
    assert!(plain(replica.out.take()).contains(&Output::SetTimer { timer: Timer::Progress, at: second }));
    replica.engine.step(Time(0), Input::Work { oldest: None }, &mut replica.out);
    let quiet = [Output::CancelTimer(Timer::Progress), Output::CancelTimer(Timer::Resend)];
    assert_eq!(plain(replica.out.take()), quiet);
}

// --- Saying it again.

#[test]
fn a_status_is_answered_with_what_its_sender_lacks() {
    let (mut leader, a) = (Replica::new(0), block(1, "a"));
    let draft = Draft { payload: payload("a"), time: Timestamp(5), checkpoint: true };
    leader.step(Input::Payload { token: 1, draft });
    leader.propose(0, 0, &a);
    let status = Status { view: 0, active: true, committed: 0, proposed: 0 };
    let proposal = Message::PrePrepare(PrePrepare { view: 0, block: a.clone() });
    // While the proposal may still be on its way, only the vote in it is said again.
    assert_eq!(leader.hear(2, Message::Status(status)), [to_one(2, Message::Prepare(vote(0, &a)))]);
    leader.now = leader.now + Duration::from_millis(500);
    assert_eq!(leader.hear(2, Message::Status(status)), [to_one(2, proposal)]);
    let has_it = Status { proposed: 1, ..status };
    assert_eq!(leader.hear(2, Message::Status(has_it)), [to_one(2, Message::Prepare(vote(0, &a)))]);
    let absurd = Status { view: 0, active: true, committed: u64::MAX, proposed: u64::MAX };
    assert_eq!(leader.hear(2, Message::Status(absurd)), []);
    leader.commit(&a);
    leader.step(Input::Stable { checkpoint: checkpoint(1), header: None });
    assert_eq!(leader.hear(2, Message::Status(status)), [Output::Advise { to: ReplicaId(2) }]);
}

#[test]
fn whoever_is_in_an_older_view_is_told_why() {
    let mut replica = Replica::new(2);
    let empty = change(1, 0, &[]);
    let changes = [0, 1, 3].map(|author| signed(author, &empty));
    replica.enter(&changes);
    let word = new_view(&changes);
    let signature = identity(1).sign(&word.statement(&DOMAIN).encode());
    let behind = Status { view: 0, active: true, committed: 0, proposed: 0 };
    assert_eq!(
        replica.hear(0, Message::Status(behind)),
        [to_one(0, Message::Relay(Relay::NewView(word, signature)))]
    );
    let mut waiting = Replica::new(2);
    waiting.time_out();
    assert_eq!(waiting.hear(0, Message::Status(behind)), [to_one(0, Message::ViewChange(empty))]);
}

#[test]
fn the_resend_timer_says_how_far_it_is_and_asks_for_what_is_missing() {
    let (mut replica, a) = (Replica::new(3), block(1, "a"));
    let with = change(1, 0, &[prepared(0, &a)]);
    replica.enter(&[0, 1, 2].map(|author| signed(author, &with)));
    let status = Status { view: 1, active: true, committed: 0, proposed: 0 };
    assert_eq!(
        replica.step(Input::Timeout(Timer::Resend)),
        [to_all(Message::Status(status)), fetches(&[0, 1, 2], &a)]
    );
}

// --- What comes in from the edge.

// threat 4, 8, 68
#[test]
fn threat_4_malformed_messages_do_not_pass_the_edge() {
    let context = CheckContext {
        domain: DOMAIN,
        committee: COMMITTEE,
        limits: limits(),
        genesis_entry: checkpoint(0).entry,
    };
    let check = |from: u16, message: Message, seal: Seal| message.check(ReplicaId(from), &seal, &context);
    let refused = |from: u16, message: Message| {
        let seal = seal(from, &message);
        assert!(matches!(check(from, message.clone(), seal), Err(Rejection::Invalid(_))), "{message:?}");
    };
    let (a, b) = (block(1, "a"), block(2, "b"));
    let share = Seal::Share(Share::unsigned([0; 48]));
    refused(1, Message::PrePrepare(PrePrepare { view: 0, block: a.clone() }));
    assert!(check(1, Message::Prepare(vote(0, &a)), Seal::None).is_err());
    assert!(check(1, Message::ViewChange(change(1, 0, &[])), share.clone()).is_err());
    assert!(check(1, Message::NewView(NewView { view: 1, sources: vec![] }), share).is_err());
    refused(1, Message::ViewChange(change(1, 0, &[prepared(0, &b), prepared(0, &a)])));
    refused(1, Message::ViewChange(change(1, 0, &[prepared(0, &a), prepared(0, &a)])));
    refused(1, Message::ViewChange(change(1, 0, &[prepared(1, &a)])));
    refused(1, Message::ViewChange(change(1, 1, &[prepared(0, &a)])));
    refused(1, Message::ViewChange(change(1, 0, &[prepared(0, &block(2 * WINDOW + 1, "z"))])));
    let unproven = CheckpointCertificate { proof: None, ..checkpoint(9) };
    refused(1, Message::ViewChange(ViewChange { view: 1, stable: unproven, prepared: vec![] }));
    let source = |id: u16| (ReplicaId(id), Digest::ZERO);
    for sources in [
        vec![source(0), source(1)],
        vec![source(0), source(0), source(1)],
        vec![source(0), source(1), source(9)],
    ] {
        refused(1, Message::NewView(NewView { view: 1, sources }));
    }
    let sources = vec![source(0), source(1), source(2)];
    refused(0, Message::NewView(NewView { view: 0, sources: sources.clone() }));
    refused(2, Message::NewView(NewView { view: 1, sources: sources.clone() }));
    refused(1, Message::FetchViewChanges(1, vec![source(0); 5]));
    // A relayed message is bound to its author, whoever passes it on.
    let relay = Message::Relay(Relay::NewView(NewView { view: 1, sources }, Signature([0; 64])));
    let due = check(3, relay, Seal::None).expect("well formed");
    assert_eq!(due.signatures[0].0, ReplicaId(1));
    let stolen = signed(2, &change(1, 0, &[prepared(0, &a)]));
    let relay = Message::Relay(Relay::ViewChange(ReplicaId(3), Box::new(stolen.change), stolen.signature));
    let due = check(1, relay, Seal::None).expect("well formed");
    assert_eq!((due.signatures[0].0, due.certificates.len()), (ReplicaId(3), 1));
}

// --- From records.

#[test]
fn a_vote_is_said_again_and_no_other() {
    let (a, b) = (block(1, "a"), block(1, "b"));
    let word = vote(0, &a);
    let records = vec![Record::Prepare(word)];
    let (mut replica, said) =
        Replica::recover(1, Start { records: records.clone(), blocks: vec![a.clone()], ..start() });
    assert_eq!(said, [to_all(Message::Prepare(word))]);
    assert_eq!(replica.engine.records(), records);
    // threat 21: the leader says something else now.
    assert_eq!(replica.propose(0, 0, &b), []);
    assert_eq!(replica.hear(0, Message::Prepare(word)).len(), 1, "and is caught");
}

#[test]
fn a_leader_comes_back_with_its_proposal_and_goes_on_above_it() {
    let a = block(1, "a");
    let records = vec![Record::Prepare(vote(0, &a))];
    let (mut leader, said) = Replica::recover(0, Start { records, blocks: vec![a.clone()], ..start() });
    assert_eq!(said, [to_all(Message::PrePrepare(PrePrepare { view: 0, block: a }))]);
    let draft = Draft { payload: payload("b"), time: Timestamp(5), checkpoint: true };
    let said = leader.step(Input::Payload { token: 1, draft });
    assert_eq!(said[1], to_all(Message::PrePrepare(PrePrepare { view: 0, block: block(2, "b") })));
}

#[test]
fn a_certificate_is_kept_and_its_commit_said_again() {
    let a = block(1, "a");
    let word = vote(0, &a);
    let records = vec![Record::Prepare(word), Record::Prepared(prepared(0, &a))];
    let (mut replica, said) = Replica::recover(1, Start { records, blocks: vec![a.clone()], ..start() });
    assert_eq!(said, [to_all(Message::Prepare(word)), to_all(Message::Commit(word))]);
    let change = change(1, 0, &[prepared(0, &a)]);
    assert_eq!(replica.time_out()[0], persist(Record::ViewChange(change)));
}

#[test]
fn a_view_that_was_left_stays_left() {
    let left = change(3, 0, &[]);
    let records = vec![Record::Prepare(vote(0, &block(1, "a"))), Record::ViewChange(left.clone())];
    let (mut replica, said) = Replica::recover(1, Start { records, blocks: vec![block(1, "a")], ..start() });
    assert_eq!(said, [to_all(Message::ViewChange(left))]);
    assert_eq!(replica.engine.led_by().view, 3);
    assert!(!replica.engine.status().active);
    assert_eq!(replica.propose(2, 2, &block(2, "b")), []);
}

#[test]
fn a_view_that_was_entered_is_entered_again_with_its_plan() {
    let (a, other) = (block(1, "a"), block(1, "other"));
    let with = change(1, 0, &[prepared(0, &a)]);
    let changes: Vec<_> = [0, 1, 2].map(|author| signed(author, &with)).into();
    let proof = NewViewProof { new_view: new_view(&changes), signature: Some(Signature([0; 64])), changes };
    let records = vec![Record::ViewChange(with), Record::NewView(proof)];
    let (mut replica, said) = Replica::recover(3, Start { records, ..start() });
    assert_eq!(said, [fetches(&[0, 1, 2], &a)]);
    assert!(replica.engine.status().active);
    assert_eq!(replica.propose(1, 1, &other), []);
}

#[test]
fn a_leader_that_stopped_between_beginning_and_entering_says_the_same_again() {
    let empty = change(1, 0, &[]);
    let changes: Vec<_> = [1, 2, 3].map(|author| signed(author, &empty)).into();
    let word = new_view(&changes);
    let begun = NewViewProof { new_view: word.clone(), signature: None, changes: changes.clone() };
    let records = vec![Record::ViewChange(empty.clone()), Record::NewView(begun)];
    let (mut leader, said) = Replica::recover(1, Start { records: records.clone(), ..start() });
    assert_eq!(said, [to_all(Message::ViewChange(empty)), to_all(Message::NewView(word.clone()))]);
    assert_eq!(leader.engine.records(), records);
    let signature = identity(1).sign(&word.statement(&DOMAIN).encode());
    let entered = NewViewProof { new_view: word.clone(), signature: Some(signature), changes };
    assert_eq!(leader.hear(1, Message::NewView(word)), [persist(Record::NewView(entered.clone()))]);
    assert_eq!(leader.engine.records(), [Record::NewView(entered)]);
}

#[test]
fn a_checkpoint_prunes_records_and_slots() {
    let (mut replica, a) = (Replica::new(1), block(1, "a"));
    replica.commit(&a);
    assert_eq!(replica.engine.records(), [Record::Prepare(vote(0, &a))]);
    replica.step(Input::Stable { checkpoint: checkpoint(1), header: None });
    assert_eq!(replica.engine.records(), []);
    // What comes late about it is nothing.
    assert_eq!(replica.hear(2, Message::Prepare(vote(0, &a))), []);
    assert_eq!(replica.hear(2, Message::Commit(vote(0, &a))), []);
    let _ = COMMIT;
}

// --- Votes that the leader collects.

fn committed(block: &Block) -> Committed {
    let vote = vote(0, block);
    Committed { vote, certificate: certificate(&vote.statement(COMMIT, &DOMAIN)) }
}

#[test]
fn votes_go_to_the_collector_and_its_certificates_count_as_quorums() {
    let (mut replica, a) = (Replica::collected(1), block(1, "a"));
    let word = vote(0, &a);
    assert_eq!(
        replica.propose(0, 0, &a),
        [persist_with(Record::Prepare(word), &a), to_one(0, Message::Prepare(word))]
    );
    assert_eq!(
        replica.hear(0, Message::Prepared(prepared(0, &a))),
        [persist(Record::Prepared(prepared(0, &a))), to_one(0, Message::Commit(word))]
    );
    assert_eq!(replica.hear(0, Message::Prepared(prepared(0, &a))), [], "once");
    assert_eq!(replica.hear(0, Message::Committed(committed(&a))), [commits(&a)]);
    assert_eq!(replica.hear(0, Message::Committed(committed(&a))), []);
}

#[test]
fn a_collector_leaves_bad_shares_of_commits_out_and_tells_everybody() {
    let (mut leader, a) = (Replica::collected(0), block(1, "a"));
    let word = vote(0, &a);
    leader.propose(0, 0, &a);
    for from in [1, 2] {
        leader.hear(from, Message::Prepare(word));
    }
    assert_eq!(
        leader.combined(word.statement(PREPARE, &DOMAIN)),
        [
            to_all(Message::Prepared(prepared(0, &a))),
            persist(Record::Prepared(prepared(0, &a))),
            to_one(0, Message::Commit(word))
        ]
    );
    leader.hear(0, Message::Commit(word));
    leader.hear(1, Message::Commit(word));
    // It decides by the channels' word, and combines for the others.
    let shares = combines(COMMIT, word, &[0, 1, 2]);
    assert_eq!(leader.hear(2, Message::Commit(word)), [commits(&a), shares]);
    let statement = word.statement(COMMIT, &DOMAIN);
    assert_eq!(leader.step(Input::Combined { statement, result: Err(vec![ReplicaId(1)]) }), []);
    assert_eq!(leader.hear(3, Message::Commit(word)), [combines(COMMIT, word, &[0, 2, 3])]);
    assert_eq!(leader.combined(statement), [to_all(Message::Committed(committed(&a)))]);
}

// threat 2
#[test]
fn threat_2_a_block_that_its_collector_keeps_back_is_fetched_from_all_and_waited_for() {
    let (mut replica, a) = (Replica::collected(1), block(1, "a"));
    // Nothing waited before: the certificate alone makes it ask.
    let said = {
        let message = Message::Prepared(prepared(0, &a));
        let sealed = Verified::for_tests(Sealed { message, seal: Seal::None });
        let input = Input::Message { from: ReplicaId(0), message: sealed };
        replica.engine.step(replica.now, input, &mut replica.out);
        replica.out.take()
    };
    let waits = |output: &Output<Pbft>| matches!(output, Output::SetTimer { timer: Timer::Resend, .. });
    assert!(said.iter().any(waits), "{said:?}");
    assert!(plain(said).contains(&fetches_patiently(&[0, 2, 3], &a)));
    let word = vote(0, &a);
    assert_eq!(
        replica.step(Input::Blocks { blocks: Verified::for_tests(vec![a.clone()]) }),
        [
            persist_with(Record::Prepare(word), &a),
            to_one(0, Message::Prepare(word)),
            persist(Record::Prepared(prepared(0, &a))),
            to_one(0, Message::Commit(word))
        ]
    );
}

#[test]
fn who_was_told_what_is_decided_passes_it_on_in_whichever_view() {
    let (mut replica, a) = (Replica::collected(1), block(1, "a"));
    replica.propose(0, 0, &a);
    replica.hear(0, Message::Committed(committed(&a)));
    let behind = |view| Message::Status(Status { view, active: true, committed: 0, proposed: 1 });
    for view in [0, 7] {
        assert_eq!(replica.hear(2, behind(view)), [to_one(2, Message::Committed(committed(&a)))]);
    }
}

#[test]
fn a_decided_height_is_waited_for_in_the_next_view_too() {
    let (mut replica, a) = (Replica::collected(1), block(1, "a"));
    replica.hear(0, Message::Committed(committed(&a)));
    // A view begins whose plan has nothing at that height: what is decided there still has to come.
    let changes = [0, 2, 3].map(|author| signed(author, &change(2, 0, &[])));
    replica.enter(&changes);
    replica.now = replica.now + Duration::from_secs(1);
    let mut out = Outbox::default();
    replica.engine.step(replica.now, Input::Timeout(Timer::Resend), &mut out);
    let again = |output: &Output<Pbft>| matches!(output, Output::SetTimer { timer: Timer::Resend, .. });
    assert!(out.take().iter().any(again), "it goes on asking");
}

#[test]
fn a_view_change_is_not_said_again_at_once() {
    let mut replica = Replica::new(1);
    replica.step(Input::Work { oldest: Some(Time(0)) });
    // The resend timer has run three times; its fourth turn would come with the view's own timeout.
    for turn in 1..=3 {
        replica.now = Time(0) + turn * limits().view_timeout() / 4;
        replica.step(Input::Timeout(Timer::Resend));
    }
    replica.now = Time(0) + limits().view_timeout();
    let mut out = Outbox::default();
    replica.engine.step(replica.now, Input::Timeout(Timer::Progress), &mut out);
    let set = out.take().into_iter().find_map(|output| match output {
        Output::SetTimer { timer: Timer::Resend, at } => Some(at),
        _ => None,
    });
    assert_eq!(set, Some(replica.now + limits().view_timeout() / 4));
}

#[test]
fn a_collected_certificate_is_its_leaders_and_has_to_verify() {
    let collected = Limits { vote_routing: VoteRouting::Collector, ..limits() };
    let context = |limits| CheckContext {
        domain: DOMAIN,
        committee: COMMITTEE,
        limits,
        genesis_entry: checkpoint(0).entry,
    };
    let a = block(1, "a");
    let vote = vote(0, &a);
    let messages = [
        (PREPARE, Message::Prepared(prepared(0, &a))),
        (
            COMMIT,
            Message::Committed(Committed {
                vote,
                certificate: certificate(&vote.statement(COMMIT, &DOMAIN)),
            }),
        ),
    ];
    for (kind, message) in messages {
        let checked = |from: u16, limits| message.check(ReplicaId(from), &Seal::None, &context(limits));
        // Prepares prove nothing of commits: each kind has to verify as what it says it is.
        let obligations = checked(0, collected).expect("its leader says so");
        let [(statement, proof)] = obligations.certificates.as_slice() else { panic!("one certificate") };
        assert_eq!((statement.kind, quorum_keys().0.verify(statement, proof)), (kind, Ok(())));
        // What is decided anybody may say.
        assert_eq!(checked(1, collected).is_err(), kind == PREPARE, "another than the leader");
        assert!(matches!(checked(0, limits()), Err(Rejection::Invalid(_))), "votes go to everybody");
    }
}
