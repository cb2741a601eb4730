//! Signatures of clients.

use super::operation::{Group, Operation, Prepared};
use super::transactions::{body, client, signed};
use bft_core::transaction::{Item, Kind, Transaction};
use crypto::{Digest, TransactionVerifier};

/// Signatures that are verified together, and whose: keys that occur more than once in an equation cost it little.
const TOGETHER: [(usize, usize); 7] =
    [(1, 1), (16, 16), (64, 64), (256, 256), (16, 64), (16, 256), (64, 256)];

const CHAIN: Digest = Digest([7; 32]);

pub fn operations() -> Vec<Operation> {
    [sign()].into_iter().chain(TOGETHER.map(verify)).collect()
}

/// The digest that a client signs is part of it.
fn sign() -> Operation {
    Operation::new(Group::Crypto, "client-sign", "signature", || {
        let secret = client(1);
        Prepared::for_each((0..64).map(body).collect(), move |body| {
            Transaction::sign(&secret, &CHAIN, Kind::Application, 1, body.clone())
        })
    })
}

/// As the edge does it, over digests that are at hand.
fn verify((clients, together): (usize, usize)) -> Operation {
    let of = if clients == together { String::new() } else { format!("-of-{clients}") };
    Operation::new(Group::Crypto, format!("client-verify{of}/{together}"), "signature", move || {
        let items = signed(together, clients, &CHAIN);
        Prepared::timed(together, move || {
            let signed: Vec<_> = items.iter().map(Item::signed).collect();
            let verdicts = TransactionVerifier::Zip215.verify_batch(&signed);
            assert!(verdicts.into_iter().all(|good| good));
        })
    })
}
