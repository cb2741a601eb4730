//! Digests and Merkle trees.

use super::operation::{Group, Operation, Prepared};
use super::transactions::{BLOCK, signed};
use bft_core::transaction::Payload;
use crypto::merkle::{self, Tree};
use crypto::{Digest, Domain};

const CHAIN: Digest = Digest([7; 32]);

/// Bytes that are hashed at a time, and how often.
const SIZES: [(usize, usize); 2] = [(512, 1024), (64 << 10, 16)];

pub fn operations() -> Vec<Operation> {
    SIZES.map(|(bytes, count)| sha256(bytes, count)).into_iter().chain([root(), path()]).collect()
}

fn sha256(bytes: usize, count: usize) -> Operation {
    Operation::new(Group::Crypto, format!("sha256/{bytes}"), "digest", move || {
        let inputs = (0..count).map(|number| vec![number as u8; bytes]).collect();
        Prepared::for_each(inputs, |bytes| Digest::of(Domain::Test, bytes))
    })
}

/// What a block's header binds of its payload, the digests of the transactions being at hand.
fn root() -> Operation {
    Operation::new(Group::Crypto, format!("payload-root/{BLOCK}"), "transaction", || {
        let items = signed(BLOCK, BLOCK, &CHAIN);
        Prepared::in_parts(BLOCK, move |stopwatch| {
            // A payload computes its root once.
            let payload = Payload::of(items.clone());
            stopwatch.time(|| payload.root(&CHAIN).expect("it is a payload"));
        })
    })
}

fn path() -> Operation {
    Operation::new(Group::Crypto, format!("merkle-path/{BLOCK}"), "path", || {
        let leaves: Vec<Digest> = (0..BLOCK).map(|leaf| merkle::leaf_hash(&leaf.to_be_bytes())).collect();
        let tree = Tree::new(leaves.clone());
        let root = tree.root();
        let paths = leaves.into_iter().enumerate().map(|(place, leaf)| (place, leaf, tree.proof(place)));
        Prepared::for_each(paths.collect(), move |(place, leaf, path)| {
            assert!(merkle::verify(root, *leaf, *place as u64, BLOCK as u64, path));
        })
    })
}
