//! Bytes that no client of ours sends.

use crate::harness::{BANK, Book, SHOP, SUPERVISOR, eur, freeze, key, transfer};
use crate::proofs::{certify, prove};
use app_examples::ledger::{Answer, Code, Ledger, Operation, Outcome, Query, describe};
use bft_core::machine::StateMachine;
use bft_core::receipt::ProofError;
use proptest::prelude::*;

fn busy() -> Book {
    let mut book = Book::new();
    book.issue(SHOP, 1000);
    book.freeze(BANK);
    book
}

/// Must not panic, and must agree with itself.
fn feed(book: &mut Book, bytes: &[u8]) {
    let checked = Ledger.check(bytes);
    for who in [BANK, SHOP, SUPERVISOR] {
        let before = book.pairs();
        let context = book.context(who);
        let executed = Ledger.execute(&context, bytes, &mut book.state);
        if let Err(refusal) = &checked {
            assert_eq!(executed.as_ref(), Err(refusal));
        }
        if let Err(refusal) = executed {
            assert!(Code::of(refusal.code).is_some());
            assert_eq!(book.pairs(), before);
        }
    }
    assert!(!describe(bytes).is_empty());
    let _ = (Outcome::decode(bytes), Answer::decode(bytes), Query::decode(bytes));
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::Issue { asset: eur(), to: key(SHOP), amount: 300 },
        transfer(BANK, 70),
        Operation::Transfer { asset: eur(), to: key(SUPERVISOR), amount: 1, memo: vec![0xff; 200].into() },
        Operation::Redeem { asset: eur(), amount: u64::MAX },
        freeze(SHOP),
    ]
}

fn queries() -> Vec<Query> {
    vec![
        Query::Balance { asset: eur(), account: key(SHOP) },
        Query::Account { account: key(BANK) },
        Query::Supply { asset: eur() },
        Query::Asset { asset: eur() },
        Query::Terms,
    ]
}

proptest! {
    #[test]
    fn threat_93_any_bytes_are_served_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        feed(&mut busy(), &bytes);
        // Behind the version byte, and a variant that exists, more of the decoder is reached.
        feed(&mut busy(), &[&[1][..], &bytes].concat());
        if let Some((first, rest)) = bytes.split_first() {
            feed(&mut busy(), &[&[1, first % 6][..], rest].concat());
        }
    }

    #[test]
    fn threat_93_near_misses_are_served_or_refused(
        which in 0..5_usize, at in any::<prop::sample::Index>(), flip in any::<u8>(), cut in 0..4_usize,
    ) {
        let mut bytes = operations()[which].encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        bytes.truncate(bytes.len().saturating_sub(cut));
        feed(&mut busy(), &bytes);
    }

    #[test]
    fn threat_93_any_request_is_answered_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), variant in 0..6_u8) {
        let book = busy();
        let framed = [&[1, variant][..], &bytes].concat();
        for request in [&bytes, &framed] {
            let (trust, answer) = prove(&book, request);
            prop_assert_eq!(answer.verify(&Ledger, request, &trust), Ok(()));
        }
    }
}

#[test]
fn a_truncated_or_longer_encoding_is_malformed() {
    // Each on its own way: some cut operations are queries, and nothing mistakes one for the other.
    for bytes in operations().iter().map(Operation::encode) {
        for length in 0..bytes.len() {
            assert!(Operation::decode(&bytes[..length]).is_err());
        }
        assert!(Operation::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    for bytes in queries().iter().map(Query::encode) {
        for length in 0..bytes.len() {
            assert!(Query::decode(&bytes[..length]).is_err());
        }
        assert!(Query::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

// A client runs the query over what a replica proved: a replica that withholds a value gains nothing, not even a panic.
#[test]
fn a_query_over_withheld_values_is_refused_by_the_proof() {
    let book = busy();
    for query in queries() {
        let (trust, honest) = prove(&book, &query.encode());
        assert_eq!(honest.verify(&Ledger, &query.encode(), &trust), Ok(()));
        for withheld in 0..honest.reads.len() {
            let mut answer = honest.clone();
            answer.reads.remove(withheld);
            assert_eq!(
                answer.verify(&Ledger, &query.encode(), &trust),
                Err(ProofError::Answer(0)),
                "{query:?}"
            );
        }
        let mut empty = honest.clone();
        empty.reads.clear();
        assert_eq!(empty.verify(&Ledger, &query.encode(), &certify(&book).0), Err(ProofError::Answer(0)));
    }
}
