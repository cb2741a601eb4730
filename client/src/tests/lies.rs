//! Replicas that lie.

use super::network::*;
use crate::SubmitError;
use bft_core::codec;
use bft_core::receipt::{Answered, ProvenReceipt, Receipt, ReceiptBatch};
use bft_core::request::{Advice, Answer, Reply, Request};
use bft_core::transaction::Kind;
use bytes::Bytes;
use crypto::Digest;
use std::time::Duration;

fn body() -> Bytes {
    Bytes::from_static(b"body")
}

fn proven(chain: &Chain, request: &Request, change: impl FnOnce(&mut ProvenReceipt)) -> Act {
    let Answer::Receipt(mut proven) = chain.receipt_for(request, 0) else { unreachable!() };
    change(&mut proven);
    Act::Answer(Answer::Receipt(proven))
}

/// The receipt asked for, in a batch of its own.
fn batched(chain: &Chain, request: &Request) -> Box<ReceiptBatch> {
    let Answer::Receipt(proven) = chain.receipt_for(request, 0) else { unreachable!() };
    let ProvenReceipt { receipt, index, count, path, entries, certificate } = *proven;
    let receipts = vec![Answered { id: request.id, index, receipt }];
    Box::new(ReceiptBatch { receipts, count, siblings: path, entries, certificate })
}

fn batch(chain: &Chain, request: &Request, change: impl FnOnce(&mut ReceiptBatch)) -> Bytes {
    let mut batch = batched(chain, request);
    change(&mut batch);
    codec::encode(&Reply { id: 0, answer: Answer::Receipts(batch) }).into()
}

#[tokio::test]
async fn a_receipt_out_of_a_batch_is_as_good_as_another() {
    let replicas =
        Replicas::start(Setup::default(), |chain, _, _, request| Act::Raw(batch(chain, request, |_| {})));
    let client = replicas.client().await;
    let receipt = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    receipt.verify(&replicas.chain.trust).unwrap();
    assert_eq!(
        (&receipt.receipt.answer[..], replicas.asked(), client.stats().lies),
        (&b"done"[..], vec![0], 0)
    );
}

fn another(chain: &Chain) -> Answer {
    let receipt = Receipt { transaction: Digest([0xee; 32]), code: 0, answer: Bytes::new() };
    Answer::Receipt(Box::new(chain.prove(receipt)))
}

/// All the lies of this module, by number.
fn lie(chain: &Chain, request: &Request, which: usize) -> Act {
    match which {
        0 => proven(chain, request, |proven| proven.receipt.answer = Bytes::from_static(b"forged")),
        1 => proven(chain, request, |proven| proven.receipt.code = 100),
        2 => proven(chain, request, |proven| proven.certificate.proof = None),
        3 => proven(chain, request, |proven| proven.index = 0),
        4 => proven(chain, request, |proven| proven.entries.truncate(1)),
        5 => proven(chain, request, |proven| proven.entries.clear()),
        6 => Act::Answer(another(chain)),
        7 => Act::Raw(Bytes::from_static(b"garbage")),
        8 => Act::Raw(Bytes::new()),
        9 => Act::Answer(Answer::Session(9)),
        10 => Act::Raw(batch(chain, request, |batch| batch.receipts[0].receipt.code = 100)),
        11 => Act::Raw(batch(chain, request, |batch| batch.siblings.clear())),
        // Without a question's id of its own, nobody asked for a batch.
        12 => Act::Raw(
            codec::encode(&Reply { id: request.id, answer: Answer::Receipts(batched(chain, request)) })
                .into(),
        ),
        _ => unreachable!("there are {LIES} lies"),
    }
}

const LIES: usize = 13;

#[tokio::test]
async fn threat_89_f_lying_replies_are_never_accepted() {
    for which in 0..LIES {
        // n = 7, f = 2: the first two lie, in the same way.
        let replicas =
            Replicas::start(Setup { replicas: 7, ..Setup::default() }, move |chain, me, _, request| {
                if me.0 < 2 { lie(chain, request, which) } else { Act::Answer(chain.receipt_for(request, 0)) }
            });
        let client = replicas.client().await;
        let receipt = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
        receipt.verify(&replicas.chain.trust).unwrap();
        assert_eq!((receipt.receipt.code, &receipt.receipt.answer[..]), (0, &b"done"[..]), "lie {which}");
        assert_eq!(replicas.asked(), [0, 1, 2], "lie {which}");
        assert_eq!((client.stats().lies, client.stats().fail_overs), (2, 2), "lie {which}");
    }
}

#[tokio::test]
async fn threat_89_with_lies_alone_the_outcome_is_unknown() {
    for which in [0, 2, 7, 9] {
        let replicas =
            Replicas::start(Setup::default(), move |chain, _, _, request| lie(chain, request, which));
        let client = replicas.client_with(|config| config.give_up = Duration::from_millis(700)).await;
        let outcome = within("the end", client.submit(Kind::Application, body())).await;
        assert!(matches!(outcome, Err(SubmitError::Unknown { .. })), "lie {which}: {outcome:?}");
        assert!(client.stats().lies >= 2, "lie {which}");
    }
}

#[tokio::test]
async fn abandon_is_believed_from_f_plus_1_only() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        Act::Answer(if me.0 == 0 { refused(Advice::Abandon, "no") } else { chain.receipt_for(request, 0) })
    });
    let client = replicas.client().await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 1]);

    // The same replica saying it again adds nothing: the others are silent.
    let replicas = Replicas::start(Setup::default(), |_, me, _, _| {
        if me.0 == 0 { Act::Answer(refused(Advice::Abandon, "no")) } else { Act::Silence }
    });
    let client = replicas
        .client_with(|config| {
            config.answer_timeout = Duration::from_millis(300);
            config.give_up = Duration::from_secs(3);
        })
        .await;
    let outcome = within("the end", client.submit(Kind::Application, body())).await;
    assert!(matches!(outcome, Err(SubmitError::Unknown { .. })), "{outcome:?}");
    assert!(replicas.asked().iter().filter(|replica| **replica == 0).count() >= 2);

    let replicas =
        Replicas::start(Setup::default(), |_, _, _, _| Act::Answer(refused(Advice::Abandon, "not enrolled")));
    let client = replicas.client().await;
    match within("the end", client.submit(Kind::Application, body())).await {
        Err(SubmitError::Refused { advice: Advice::Abandon, sentence, .. }) => {
            assert_eq!(sentence, "not enrolled")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(replicas.asked(), [0, 1]);
}

#[tokio::test]
async fn a_sequence_that_another_transaction_used_is_left_for_the_next_one() {
    // Sequence 1 was used by an earlier life of this client.
    let replicas = Replicas::start(Setup::default(), |chain, _, _, request| {
        let used = chain.item(request).unwrap().transaction.sequence == 1;
        Act::Answer(if used { another(chain) } else { chain.receipt_for(request, 0) })
    });
    let client = replicas.client().await;
    let old = replicas.chain.sign(&secret(), 1, b"body");
    let outcome = within("the end", client.submit_transaction(old.clone())).await;
    assert_eq!(outcome, Err(SubmitError::SequenceTaken { transaction: Box::new(old) }));
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(client.sign(Kind::Application, body()).sequence, 3);
}

#[tokio::test]
async fn ask_another_is_followed_and_a_quorum_of_it_is_the_end() {
    let replicas = Replicas::start(Setup::default(), |chain, me, _, request| {
        Act::Answer(if me.0 < 2 {
            refused(Advice::AskAnother, "gone")
        } else {
            chain.receipt_for(request, 0)
        })
    });
    let client = replicas.client().await;
    within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
    assert_eq!(replicas.asked(), [0, 1, 2]);

    let replicas =
        Replicas::start(Setup::default(), |_, _, _, _| Act::Answer(refused(Advice::AskAnother, "gone")));
    let client = replicas.client().await;
    let outcome = within("the end", client.submit(Kind::Application, body())).await;
    assert!(matches!(outcome, Err(SubmitError::Forgotten { .. })), "{outcome:?}");
    assert_eq!(replicas.asked(), [0, 1, 2]);
}

#[tokio::test]
async fn the_next_sequence_lies_between_two_honest_answers() {
    for (sessions, expected) in
        [([u64::MAX, 5, 5, 5], 5), ([1, 7, 7, 7], 7), ([9, 8, 0, 0], 8), ([0, 0, 0, 0], 1)]
    {
        let setup = Setup { sessions: sessions.to_vec(), ..Setup::default() };
        let replicas = Replicas::start(setup, |_, _, _, _| Act::Silence);
        let client = replicas.client_with(|config| config.session_patience = Duration::from_secs(10)).await;
        assert_eq!(client.sign(Kind::Application, body()).sequence, expected, "{sessions:?}");
    }
}
