//! The check of receipts refuses what `ProvenReceipt::verify` refuses, cached or not.

use super::network::*;
use crate::proof::Verifier;
use crate::stats::Counters;
use bft_core::receipt::{ProvenReceipt, Receipt};
use bytes::Bytes;
use crypto::{Certificate, Digest};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

type Change = Box<dyn Fn(&mut ProvenReceipt)>;

/// Everything of a proof, changed one by one.
fn changes() -> Vec<Change> {
    let mut all: Vec<Change> = vec![
        Box::new(|proven| proven.receipt.transaction.0[0] ^= 1),
        Box::new(|proven| proven.receipt.code ^= 1),
        Box::new(|proven| proven.receipt.answer = Bytes::from_static(b"x")),
        Box::new(|proven| proven.index += 1),
        Box::new(|proven| proven.index = u64::MAX),
        Box::new(|proven| proven.count = 0),
        Box::new(|proven| proven.count = 1),
        Box::new(|proven| proven.path.clear()),
        Box::new(|proven| proven.path[0].0[31] ^= 1),
        Box::new(|proven| proven.path.push(Digest::ZERO)),
        Box::new(|proven| proven.entries.clear()),
        Box::new(|proven| proven.entries.truncate(2)),
        Box::new(|proven| {
            proven.entries.remove(0);
        }),
        Box::new(|proven| {
            proven.entries.remove(1);
        }),
        Box::new(|proven| proven.entries.reverse()),
        Box::new(|proven| proven.certificate.entry = proven.entries[0]),
        Box::new(|proven| proven.certificate.entry.height += 1),
        Box::new(|proven| proven.certificate.entry.epoch += 1),
        Box::new(|proven| proven.certificate.entry.height = 0),
        Box::new(|proven| proven.certificate.proof = None),
        Box::new(|proven| proven.certificate.proof = Some(Certificate::Threshold([7; 48]))),
        Box::new(|proven| proven.certificate.proof = Some(Certificate::Ed25519(vec![]))),
        Box::new(|proven| {
            let Some(Certificate::Ed25519(list)) = &mut proven.certificate.proof else { unreachable!() };
            list[1].1.0[0] ^= 1;
        }),
        Box::new(|proven| {
            let Some(Certificate::Ed25519(list)) = &mut proven.certificate.proof else { unreachable!() };
            list.pop();
        }),
    ];
    for at in 0..3 {
        all.push(Box::new(move |proven| proven.entries[at].time += 1));
        all.push(Box::new(move |proven| proven.entries[at].receipts_root.0[0] ^= 1));
        all.push(Box::new(move |proven| proven.entries[at].previous.0[0] ^= 1));
        // The certified entry changed along with the last one of the chain.
        all.push(Box::new(move |proven| {
            proven.entries[at].block.0[0] ^= 1;
            proven.certificate.entry = proven.entries[2];
        }));
    }
    all
}

#[tokio::test]
async fn threat_89_the_cached_check_refuses_whatever_the_full_check_refuses() {
    let replicas = Replicas::start(Setup::default(), |_, _, _, _| Act::Silence);
    let chain = &replicas.chain;
    let verifier = Verifier::new(chain.trust.clone(), Arc::default());
    let good = chain.prove(Receipt { transaction: Digest([4; 32]), code: 0, answer: Bytes::new() });
    // First with an empty cache, then with the good certificate in it.
    for round in 0..2 {
        for (index, change) in changes().iter().enumerate() {
            let mut changed = good.clone();
            change(&mut changed);
            let full = changed.verify(&chain.trust);
            assert!(full.is_err(), "change {index} is not one");
            assert_eq!(verifier.receipt(&changed, false), full, "change {index} in round {round}");
            // A refusal must not be remembered as good either.
            assert_eq!(verifier.receipt(&changed, false), full, "change {index} in round {round}, again");
        }
        assert_eq!(good.verify(&chain.trust), Ok(()));
        assert_eq!(verifier.receipt(&good, false), Ok(()));
    }
}

#[tokio::test]
async fn receipts_under_one_certificate_cost_one_verification() {
    let replicas = Replicas::start(Setup::default(), |_, _, _, _| Act::Silence);
    let counters = Arc::new(Counters::default());
    let verifier = Verifier::new(replicas.chain.trust.clone(), counters.clone());
    let receipt = |n| Receipt { transaction: Digest([n; 32]), code: 0, answer: Bytes::new() };
    let receipts: Vec<Receipt> = (0..50).map(receipt).collect();
    for proven in replicas.chain.prove_all(3, &receipts) {
        verifier.receipt(&proven, false).unwrap();
    }
    assert_eq!(counters.certificates.load(SeqCst), 1);
    verifier.receipt(&replicas.chain.prove_all(4, &receipts)[0], false).unwrap();
    assert_eq!(counters.certificates.load(SeqCst), 2);
}
