//! Submitting with honest replicas, and bounds.

use super::network::*;
use crate::SubmitError;
use bft_core::genesis::Limits;
use bft_core::receipt::code;
use bft_core::request::Advice;
use bft_core::transaction::Kind;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

fn body() -> Bytes {
    Bytes::from_static(b"body")
}

#[tokio::test]
async fn a_submission_ends_in_its_proven_receipt() {
    let replicas =
        Replicas::start(Setup::default(), |chain, _, _, request| Act::Answer(chain.receipt_for(request, 0)));
    let client = replicas.client().await;
    for sequence in 1..=3 {
        let proven = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
        proven.verify(&replicas.chain.trust).unwrap();
        assert_eq!(proven.receipt.transaction, {
            let transaction = replicas.chain.sign(&secret(), sequence, b"body");
            bft_core::transaction::Item::new(&replicas.chain.trust.domain.chain, transaction).digest
        });
    }
    assert_eq!(replicas.asked(), [0, 0, 0]);
    let stats = client.stats();
    assert_eq!((stats.lies, stats.fail_overs, stats.retries, stats.unknown), (0, 0, 0, 0));
    within("closing", client.close()).await;
}

#[tokio::test]
async fn a_proven_refusal_is_an_outcome() {
    let replicas = Replicas::start(Setup::default(), |chain, _, _, request| {
        Act::Answer(chain.receipt_for(request, 123))
    });
    let client = replicas.client().await;
    let proven = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(proven.receipt.code, 123);
}

#[tokio::test]
async fn a_receipt_that_settles_nothing_needs_a_second_replica() {
    // The same transaction stands twice in the ledger: replica 0 shows the place where it was not executed.
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        Act::Answer(chain.receipt_for(request, if me.0 == 0 { code::STALE } else { code::OK }))
    });
    let client = replicas.client().await;
    let proven = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(proven.receipt.code, code::OK);

    let replicas = Replicas::start(Setup::default(), |chain, _, _, request| {
        Act::Answer(chain.receipt_for(request, code::STALE))
    });
    let client = replicas.client().await;
    let proven = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!((proven.receipt.code, replicas.asked()), (code::STALE, vec![0, 1]));
}

#[tokio::test]
async fn a_busy_replica_is_asked_again_with_the_same_bytes() {
    let replicas = Replicas::start(Setup::default(), |chain, _, before, request| {
        Act::Answer(if before < 2 { refused(Advice::Retry, "busy") } else { chain.receipt_for(request, 0) })
    });
    let client = replicas.client().await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 0, 0]);
    assert_eq!(replicas.seen().iter().map(|(_, bytes)| bytes).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(client.stats().retries, 2);
}

#[tokio::test]
async fn a_replica_that_stays_busy_is_left() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        Act::Answer(if me.0 == 0 { refused(Advice::Retry, "busy") } else { chain.receipt_for(request, 0) })
    });
    let client = replicas.client().await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 0, 0, 1]);
    assert_eq!(client.replica().0, 1);
}

#[tokio::test]
async fn no_more_are_in_flight_than_half_the_session_window() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let held: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
    let sequences = held.clone();
    let replicas = Replicas::start(
        Setup { limits: Limits { session_window: 16, ..Limits::default() }, ..Setup::default() },
        move |chain, _, _, request| {
            sequences.lock().unwrap().insert(chain.item(request).unwrap().transaction.sequence);
            if gate.load(SeqCst) { Act::Answer(chain.receipt_for(request, 0)) } else { Act::Silence }
        },
    );
    let client = replicas.client_with(|config| config.answer_timeout = Duration::from_millis(300)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let client = client.clone();
        tasks.spawn(async move { client.submit(Kind::Application, body()).await });
    }
    // Every replica in turn, while nobody answers: and never a ninth sequence.
    until("all replicas asked", || replicas.asked().into_iter().collect::<BTreeSet<_>>().len() == 4).await;
    assert_eq!(*held.lock().unwrap(), (1..=8).collect());
    open.store(true, SeqCst);
    while let Some(outcome) = within("all receipts", tasks.join_next()).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(*held.lock().unwrap(), (1..=40).collect());
}

#[tokio::test]
async fn sequences_do_not_run_ahead_of_the_lowest_in_flight() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let replicas = Replicas::start(
        Setup { limits: Limits { session_window: 16, ..Limits::default() }, ..Setup::default() },
        move |chain, _, _, request| {
            let first = chain.item(request).unwrap().transaction.sequence == 1;
            if first && !gate.load(SeqCst) {
                Act::Silence
            } else {
                Act::Answer(chain.receipt_for(request, 0))
            }
        },
    );
    let client = replicas.client_with(|config| config.answer_timeout = Duration::from_millis(300)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        tasks.spawn(async move { client.submit(Kind::Application, body()).await });
    }
    for _ in 2..=8 {
        within("a receipt", tasks.join_next()).await.unwrap().unwrap().unwrap();
    }
    // The first waits, and with it the ninth, however long.
    until("the first fails over", || client.stats().fail_overs >= 2).await;
    assert!(tasks.try_join_next().is_none());
    open.store(true, SeqCst);
    while let Some(outcome) = within("all receipts", tasks.join_next()).await {
        outcome.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_body_that_no_replica_takes_is_not_sent() {
    let replicas = Replicas::start(Setup::default(), |_, _, _, _| Act::Silence);
    let client = replicas.client().await;
    let limit = replicas.chain.genesis.limits.transaction_bytes as usize;
    let outcome = client.submit(Kind::Application, Bytes::from(vec![0; limit + 1])).await;
    assert_eq!(outcome, Err(SubmitError::TooLong { length: limit + 1, limit }));
    assert_eq!(replicas.asked(), []);
}

#[tokio::test]
async fn a_closed_client_ends_what_waits() {
    let replicas = Replicas::start(Setup::default(), |_, _, _, _| Act::Silence);
    let client = replicas.client_with(|config| config.answer_timeout = Duration::from_secs(10)).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.submit(Kind::Application, body()).await }
    });
    until("it was sent", || replicas.asked() == [0]).await;
    let other = client.clone();
    within("closing", client.close()).await;
    let outcome = within("the end", waiting).await.unwrap();
    assert!(matches!(outcome, Err(SubmitError::Unknown { .. })), "{outcome:?}");
    assert_eq!(other.submit(Kind::Application, body()).await, Err(SubmitError::Closed));
}
