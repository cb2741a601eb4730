//! Queries, receipts of others, sessions and status.

use super::network::*;
use crate::{ClientError, SubmitError};
use bft_core::ledger::LedgerEntry;
use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::receipt::{ProvenReceipt, Receipt};
use bft_core::request::{
    Advice, Answer, AnswerBytes, Call, ProvenAnswer, ProvenRead, ReadingOf, Request, StatusReport,
};
use bft_core::state::{Space, State, Tree, View, full_key};
use bft_core::transaction::Kind;
use bytes::Bytes;
use crypto::{Digest, ReplicaId, merkle};
use std::time::Duration;

/// Reads the key that it is asked about.
struct Reader;

impl StateMachine for Reader {
    fn name(&self) -> &'static str {
        "reader"
    }
    fn genesis(&self, _: &str, _: &mut State) -> Result<(), String> {
        Ok(())
    }
    fn check(&self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
    fn execute(&self, _: &Context, _: &[u8], _: &mut State) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }
    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        view.get(request).ok_or_else(|| Refusal::new(101, "no such key"))
    }
}

/// What a replica with this value under "k" answers, from a certified state of `height`.
fn answer(chain: &Chain, request: &Request, height: u64, value: &'static str) -> ProvenAnswer {
    let Call::Read(ReadingOf::Certified(_), asked) = &request.call else {
        panic!("not a query: {request:?}")
    };
    let tree =
        Tree::default().update([(full_key(Space::Application, b"k"), Some(Bytes::from(value)))].into_iter());
    let key = full_key(Space::Application, asked);
    let (found, proof) = tree.prove(&key);
    let entry = LedgerEntry { state_root: Some(tree.root()), ..chain.entry(height, merkle::root(&[])) };
    ProvenAnswer {
        result: found.clone().map(AnswerBytes).ok_or((101, "no such key".to_owned())),
        reads: vec![ProvenRead { key, value: found.map(AnswerBytes), proof }],
        certificate: chain.certify(entry),
    }
}

#[tokio::test]
async fn a_query_is_answered_with_proof_or_elsewhere() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        let mut answer = answer(chain, request, 20, "value");
        if me.0 == 0 {
            answer.result = Ok(AnswerBytes(Bytes::from_static(b"lie")));
        }
        Act::Answer(Answer::Query(Box::new(answer)))
    });
    let client = replicas.client().await;
    let found = within("an answer", client.query(&Reader, b"k")).await.unwrap();
    assert_eq!(found, (Ok(Bytes::from_static(b"value")), 20));
    assert_eq!((replicas.asked(), client.stats().lies), (vec![0, 1], 1));
    let absent = within("an answer", client.query(&Reader, b"other")).await.unwrap();
    assert_eq!(absent, (Err((101, "no such key".to_owned())), 20));
}

#[tokio::test]
async fn a_query_never_goes_back_behind_what_was_seen() {
    let mut replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        let (height, value) = if me.0 == 0 { (20, "new") } else { (19, "old") };
        Act::Answer(Answer::Query(Box::new(answer(chain, request, height, value))))
    });
    let client = replicas
        .client_with(|config| {
            config.answer_timeout = Duration::from_millis(500);
            config.give_up = Duration::from_secs(2);
        })
        .await;
    assert_eq!(within("an answer", client.query(&Reader, b"k")).await.unwrap().1, 20);
    replicas.stop(0).await;
    until("the end is noticed", || client.replica() == ReplicaId(1)).await;
    let error = within("the end", client.query(&Reader, b"k")).await.unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");
    assert!(error.to_string().contains("behind 20"), "{error}");
}

#[tokio::test]
async fn a_query_is_refused_by_f_plus_1_only() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        Act::Answer(match me.0 {
            0 => refused(Advice::Abandon, "no"),
            1 => refused(Advice::Retry, "not yet"),
            _ => Answer::Query(Box::new(answer(chain, request, 20, "value"))),
        })
    });
    let client = replicas.client().await;
    let found = within("an answer", client.query(&Reader, b"k")).await.unwrap();
    assert_eq!(found, (Ok(Bytes::from_static(b"value")), 20));

    let replicas =
        Replicas::start(Setup::default(), |_, _, _, _| Act::Answer(refused(Advice::Abandon, "no")));
    let client = replicas.client().await;
    let error = within("the end", client.query(&Reader, b"k")).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn the_receipt_of_a_sequence_is_what_f_plus_1_show() {
    let receipt = |n| Receipt { transaction: Digest([n; 32]), code: 0, answer: Bytes::new() };
    let replicas = Replicas::start(Setup::default(), move |chain, me, _, _| {
        // Replica 0 shows the receipt of another transaction, with a good proof.
        let shown = receipt(if me.0 == 0 { 1 } else { 2 });
        Act::Answer(Answer::Receipt(Box::new(chain.prove(shown))))
    });
    let client = replicas.client().await;
    let proven = within("a receipt", client.receipt(secret().public(), 5)).await.unwrap();
    assert_eq!((proven.receipt, replicas.asked()), (receipt(2), vec![0, 1, 2]));

    let replicas =
        Replicas::start(Setup::default(), |_, _, _, _| Act::Answer(refused(Advice::Retry, "not executed")));
    let client = replicas.client().await;
    let outcome = within("the end", client.receipt(secret().public(), 5)).await;
    assert!(matches!(outcome, Err(SubmitError::Refused { advice: Advice::Retry, .. })), "{outcome:?}");
    assert_eq!(replicas.asked(), [0, 1, 2]);
}

fn report(chain: &Chain, replica: ReplicaId) -> StatusReport {
    StatusReport {
        replica,
        chain: chain.trust.domain.chain,
        epoch: 1,
        protocol: "pbft".to_owned(),
        view: 0,
        leader: ReplicaId(0),
        active: true,
        votes: true,
        committed: 1,
        executed: 1,
        stable: 1,
        owes: 1,
        state_root: None,
        pooled: 0,
        evidence: 0,
        waits_for: vec![],
        peers: vec![],
        counters: vec![],
    }
}

#[tokio::test]
async fn status_is_of_exactly_the_replica_asked() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| match request.call {
        Call::Status if me.0 == 3 => Act::Answer(Answer::Status(Box::new(report(chain, ReplicaId(1))))),
        Call::Status => Act::Answer(Answer::Status(Box::new(report(chain, me)))),
        _ => Act::Answer(chain.receipt_for(request, 0)),
    });
    let client = replicas.client().await;
    for id in 0..3 {
        let report = within("status", client.status(ReplicaId(id))).await.unwrap();
        assert_eq!(report.replica, ReplicaId(id));
    }
    assert!(within("status", client.status(ReplicaId(3))).await.is_err());
    assert_eq!(client.status(ReplicaId(4)).await, Err(ClientError::NoSuchReplica(ReplicaId(4))));
    // Asking around has not moved the submissions.
    within("a receipt", client.submit(Kind::Application, Bytes::new())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 1, 2, 3, 0]);
    assert_eq!(within("session", client.session(secret().public())).await, Ok(1));
}

#[tokio::test]
async fn who_keeps_a_receipt_is_asked_of_one_replica_and_proven() {
    let kept = |receipt| Receipt { transaction: Digest([receipt; 32]), code: 0, answer: Bytes::new() };
    let replicas = Replicas::start(Setup::default(), move |chain, me, _, _| {
        let proven = chain.prove(kept(1));
        let forged = ProvenReceipt { receipt: kept(2), ..proven.clone() };
        Act::Answer(match me.0 {
            0 => Answer::Receipt(Box::new(proven)),
            1 => Answer::Receipt(Box::new(forged)),
            _ => refused(Advice::Retry, "not executed"),
        })
    });
    let client = replicas.client().await;
    let ask = async |replica| {
        within("an answer", client.receipt_kept_by(ReplicaId(replica), secret().public(), 5)).await
    };
    assert_eq!(ask(0).await.map(|proven| proven.receipt), Ok(kept(1)));
    assert!(matches!(ask(1).await, Err(ClientError::NoAnswer { .. })));
    let refusal = ClientError::Refused { sentence: "not executed".into(), replica: ReplicaId(2) };
    assert_eq!(ask(2).await, Err(refusal));
    assert_eq!(replicas.asked(), [0, 1, 2]);
}
