//! What clients of one program have in common: what they have verified, and connections where wished.

use super::network::*;
use bft_core::receipt::Receipt;
use bft_core::request::{Answer, Call};
use bft_core::transaction::Kind;
use bytes::Bytes;
use crypto::{ClientSecret, Digest};

fn body() -> Bytes {
    Bytes::from_static(b"body")
}

fn other_secret() -> ClientSecret {
    ClientSecret::from_seed([77; 32])
}

/// Replicas that show the same receipt of whatever sequence they are asked about, and prove what is submitted.
fn replicas() -> Replicas {
    Replicas::start(Setup::default(), |chain, _, _, request| {
        let receipt = Receipt { transaction: Digest([9; 32]), code: 0, answer: Bytes::new() };
        Act::Answer(match request.call {
            Call::Receipt { .. } => Answer::Receipt(Box::new(chain.prove(receipt))),
            _ => chain.receipt_for(request, 0),
        })
    })
}

#[tokio::test]
async fn a_second_key_on_the_same_connections_has_sequences_of_its_own() {
    let replicas = replicas();
    let first = replicas.client().await;
    let second = within("another key", first.with_key(other_secret())).await.unwrap();
    assert_eq!(second.key(), other_secret().public());
    for (client, secret) in [(&first, secret()), (&second, other_secret())] {
        for sequence in 1..=2 {
            let proven = within("a receipt", client.submit(Kind::Application, body())).await.unwrap();
            let transaction = replicas.chain.sign(&secret, sequence, b"body");
            let item = bft_core::transaction::Item::new(&replicas.chain.trust.domain.chain, transaction);
            assert_eq!(proven.receipt.transaction, item.digest);
        }
    }
    within("closing", first.close()).await;
    let closed = within("an end", second.submit(Kind::Application, body())).await;
    assert!(matches!(closed, Err(crate::SubmitError::Closed)), "the connections are gone: {closed:?}");
}

#[tokio::test]
async fn a_certificate_is_verified_once_for_all_that_share() {
    let replicas = replicas();
    let first = replicas.client().await;
    let key = first.key();
    within("a receipt", first.receipt(key, 1)).await.unwrap();
    assert_eq!(first.stats().certificates, 1);
    let gateway = within("another key", first.with_key(other_secret())).await.unwrap();
    let beside = within("another client", first.connect_also(replicas.config())).await.unwrap();
    for client in [&gateway, &beside] {
        within("a receipt", client.receipt(key, 1)).await.unwrap();
    }
    assert_eq!(first.stats().certificates, 1, "the others have believed what it found good");
    let alone = replicas.client().await;
    within("a receipt", alone.receipt(key, 1)).await.unwrap();
    assert_eq!(alone.stats().certificates, 1, "who shares nothing verifies it");
}
