//! Replicas that are silent, dead, gone or somebody else; and outcomes that stay unknown.

use super::network::*;
use crate::{Client, ClientError, SubmitError};
use bft_core::codec;
use bft_core::request::Request;
use bft_core::transaction::Kind;
use bytes::Bytes;
use crypto::ReplicaId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

fn body() -> Bytes {
    Bytes::from_static(b"body")
}

#[tokio::test]
async fn a_silent_replica_is_left_with_the_same_bytes() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        if me.0 == 0 { Act::Silence } else { Act::Answer(chain.receipt_for(request, 0)) }
    });
    let client = replicas.client().await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 1]);
    let seen = replicas.seen();
    assert_eq!(seen[0].1, seen[1].1);
    assert_eq!(client.stats().fail_overs, 1);
    // The next one does not go there at all.
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 1, 1]);
}

#[tokio::test]
async fn threat_92_a_timeout_is_unknown_not_failed_and_retry_is_safe() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let replicas = Replicas::start(Setup::default(), move |chain, _, _, request| {
        if gate.load(SeqCst) { Act::Answer(chain.receipt_for(request, 0)) } else { Act::Silence }
    });
    let client = replicas
        .client_with(|config| {
            config.answer_timeout = Duration::from_millis(500);
            config.give_up = Duration::from_millis(1500);
        })
        .await;
    let error = within("the end", client.submit(Kind::Application, body())).await.unwrap_err();
    let SubmitError::Unknown { transaction, .. } = error else { panic!("{error}") };
    assert_eq!(client.stats().unknown, 1);
    let first = replicas.seen();
    assert!(first.len() > 1);

    // The same transaction, from another client even, whose key is not the one that signed it.
    open.store(true, SeqCst);
    let other = replicas.client_with(|config| config.secret = crypto::ClientSecret::from_seed([6; 32])).await;
    for client in [client, other] {
        let proven = within("a receipt", client.submit_transaction(*transaction.clone())).await.unwrap();
        proven.verify(&replicas.chain.trust).unwrap();
    }
    // However often it was sent: it was one transaction.
    let digests: BTreeSet<_> = replicas
        .seen()
        .iter()
        .map(|(_, bytes)| codec::decode::<Request>(bytes, 1 << 20).unwrap())
        .map(|request| replicas.chain.item(&request).unwrap().digest)
        .collect();
    assert_eq!(digests.len(), 1);
}

#[tokio::test]
async fn after_an_unknown_outcome_the_next_transaction_has_a_sequence_of_its_own() {
    let replicas = Replicas::start(Setup::default(), |_, _, _, _| Act::Silence);
    let client = replicas
        .client_with(|config| {
            config.answer_timeout = Duration::from_millis(500);
            config.give_up = Duration::from_millis(600);
        })
        .await;
    let mut sequences = Vec::new();
    for _ in 0..2 {
        match within("the end", client.submit(Kind::Application, body())).await {
            Err(SubmitError::Unknown { transaction, .. }) => sequences.push(transaction.sequence),
            other => panic!("{other:?}"),
        }
    }
    sequences.push(client.sign(Kind::Application, body()).sequence);
    assert_eq!(sequences, [1, 2, 3]);
}

#[tokio::test]
async fn a_replica_that_stops_is_left_by_all_that_wait_there() {
    let mut replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        if me.0 == 0 { Act::Silence } else { Act::Answer(chain.receipt_for(request, 0)) }
    });
    let client = replicas.client_with(|config| config.answer_timeout = Duration::from_secs(15)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        tasks.spawn(async move { client.submit(Kind::Application, body()).await });
    }
    until("all wait at replica 0", || replicas.asked() == [0; 10]).await;
    replicas.stop(0).await;
    while let Some(outcome) = within("all receipts", tasks.join_next()).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(replicas.asked()[10..], [1; 10]);
    let sent = |at: u16| -> BTreeSet<Bytes> {
        replicas.seen().into_iter().filter(|(replica, _)| replica.0 == at).map(|(_, bytes)| bytes).collect()
    };
    assert_eq!(sent(0), sent(1));
    assert_eq!(client.stats().fail_overs, 1);
}

#[tokio::test]
async fn a_late_answer_of_a_replica_left_behind_is_taken() {
    let said = Arc::new(Notify::new());
    let replicas = Replicas::start(Setup::default(), move |chain, me, _, request| {
        if me.0 == 0 {
            return Act::When(said.clone(), chain.receipt_for(request, 0));
        }
        // Replica 0 answers once another one is waited for.
        said.notify_one();
        Act::Silence
    });
    let client = replicas.client_with(|config| config.answer_timeout = Duration::from_millis(500)).await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(client.stats().lies, 0);
    assert_eq!(replicas.asked().iter().filter(|replica| **replica == 0).count(), 1);
}

#[tokio::test]
async fn a_dead_address_is_passed_over() {
    let setup = Setup { dead: vec![0], ..Setup::default() };
    let replicas = Replicas::start(setup, |chain, _, _, request| Act::Answer(chain.receipt_for(request, 0)));
    let client = replicas.client_with(|config| config.answer_timeout = Duration::from_secs(1)).await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [1]);
    let error = within("status", client.status(ReplicaId(0))).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn somebody_else_at_a_replica_s_address_is_not_talked_to() {
    let setup = Setup { impostors: vec![0], ..Setup::default() };
    let replicas = Replicas::start(setup, |chain, _, _, request| Act::Answer(chain.receipt_for(request, 0)));
    let client = replicas.client().await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [1]);
    let error = within("status", client.status(ReplicaId(0))).await.unwrap_err();
    assert!(error.to_string().contains("has the key"), "{error}");
}

#[tokio::test]
async fn without_any_replica_there_is_no_client_and_the_reasons_are_named() {
    let setup = Setup { dead: vec![0, 1, 2, 3], ..Setup::default() };
    let replicas = Replicas::start(setup, |_, _, _, _| Act::Silence);
    let mut config = replicas.config();
    config.answer_timeout = Duration::from_millis(100);
    let error = within("connecting", Client::connect(config)).await.unwrap_err();
    let ClientError::Unreachable(last) = &error else { panic!("{error}") };
    assert_eq!(last.0.keys().map(|replica| replica.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn what_was_never_sent_is_not_unknown() {
    let mut replicas = Replicas::start(Setup { replicas: 1, ..Setup::default() }, |_, _, _, _| Act::Silence);
    let client = replicas
        .client_with(|config| {
            config.answer_timeout = Duration::from_millis(500);
            config.give_up = Duration::from_millis(1000);
        })
        .await;
    replicas.stop(0).await;
    until("the end is noticed", || client.stats().fail_overs == 1).await;
    let outcome = within("the end", client.submit(Kind::Application, body())).await;
    assert!(matches!(outcome, Err(SubmitError::Unreachable(_))), "{outcome:?}");
}
