//! The authenticated tree over the state.
//!
//! A binary trie over SHA-256 of the key: a leaf stands where its path first differs from all others, a branch has two
//! children of which one may be empty, and no branch has a single leaf below it. The shape depends on the contents only, never
//! on the order of writes. (The compact sparse Merkle tree of the Diem state, section 3 of the Jellyfish Merkle tree
//! paper, with radix 2 throughout.) Nodes are shared between versions: an old root stays readable while new
//! ones are made. A node's hash stands with its parent: who hashes a path does not touch what lies beside it.

use bytes::Bytes;
use crypto::{Digest, Domain};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bits of a path, and so the most siblings a proof can have.
pub(super) const DEPTH: usize = 256;

#[derive(Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch([Child; 2]),
}

/// A node with its hash.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub hash: Digest,
    pub node: Arc<Node>,
}

pub(super) type Child = Option<Link>;

#[derive(Debug)]
pub(super) struct Leaf {
    pub path: Digest,
    pub key: Bytes,
    pub value: Bytes,
}

impl Link {
    fn leaf(&self) -> Option<&Leaf> {
        match &*self.node {
            Node::Leaf(leaf) => Some(leaf),
            Node::Branch(_) => None,
        }
    }
}

/// A version of the state, with its root.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    top: Child,
}

/// Shows what a key holds under a root: its value, or that it is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Hashes beside the path, from the top down.
    pub siblings: Vec<Digest>,
    /// For an absent key: the path and value hash of the leaf that stands where the key's leaf would, if one does.
    pub other: Option<(Digest, Digest)>,
}

pub(super) fn path_of(key: &[u8]) -> Digest {
    Digest::of(Domain::StateKey, key)
}

pub(super) fn value_hash(value: &[u8]) -> Digest {
    Digest::of(Domain::StateValue, value)
}

pub(super) fn leaf_hash(path: &Digest, value: &Digest) -> Digest {
    Digest::of_parts(Domain::StateLeaf, &[&path.0, &value.0])
}

pub(super) fn branch_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(Domain::StateNode, &[&left.0, &right.0])
}

fn bit(path: &Digest, depth: usize) -> usize {
    usize::from(path.0[depth / 8] >> (7 - depth % 8) & 1)
}

fn hash_of(child: &Child) -> Digest {
    child.as_ref().map_or(Digest::ZERO, |link| link.hash)
}

/// What a child is.
pub(super) fn node_of(child: &Child) -> Option<&Node> {
    child.as_ref().map(|link| &*link.node)
}

/// One write, as its path and the leaf that it leaves.
type Write = (Digest, Child);

impl Tree {
    /// The root; zero for the empty state.
    pub fn root(&self) -> Digest {
        hash_of(&self.top)
    }

    pub(super) fn top(&self) -> &Child {
        &self.top
    }

    /// The version after `writes`, each key at most once.
    pub fn update(&self, writes: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> Tree {
        let mut writes: Vec<Write> = writes
            .map(|(key, value)| {
                let path = path_of(&key);
                let leaf = value.map(|value| {
                    let hash = leaf_hash(&path, &value_hash(&value));
                    Link { hash, node: Arc::new(Node::Leaf(Leaf { path, key, value })) }
                });
                (path, leaf)
            })
            .collect();
        writes.sort_unstable_by_key(|(path, _)| *path);
        Tree { top: apply(&self.top, &mut writes, 0) }
    }

    fn leaf_at(&self, path: &Digest) -> (Vec<Digest>, Option<&Leaf>) {
        let mut siblings = Vec::new();
        let mut at = &self.top;
        loop {
            match node_of(at) {
                None => return (siblings, None),
                Some(Node::Leaf(leaf)) => return (siblings, Some(leaf)),
                Some(Node::Branch(children)) => {
                    let side = bit(path, siblings.len());
                    siblings.push(hash_of(&children[1 - side]));
                    at = &children[side];
                }
            }
        }
    }

    /// The value under a full key.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        let (_, leaf) = self.leaf_at(&path_of(key));
        leaf.filter(|leaf| leaf.key == key).map(|leaf| leaf.value.clone())
    }

    /// The value under a full key, and the proof of it.
    pub fn prove(&self, key: &[u8]) -> (Option<Bytes>, Proof) {
        let path = path_of(key);
        match self.leaf_at(&path) {
            (siblings, Some(leaf)) if leaf.path == path => {
                (Some(leaf.value.clone()), Proof { siblings, other: None })
            }
            (siblings, other) => {
                let other = other.map(|leaf| (leaf.path, value_hash(&leaf.value)));
                (None, Proof { siblings, other })
            }
        }
    }
}

/// Applies sorted writes below one place of the trie.
fn apply(at: &Child, writes: &mut [Write], depth: usize) -> Child {
    if writes.is_empty() {
        return at.clone();
    }
    match node_of(at) {
        None => build(writes, None, depth),
        Some(Node::Leaf(leaf)) => {
            let replaced = writes.iter().any(|(path, _)| *path == leaf.path);
            let kept = at.as_ref().filter(|_| !replaced).map(|link| (&leaf.path, link));
            build(writes, kept, depth)
        }
        Some(Node::Branch(children)) => {
            let middle = writes.partition_point(|(path, _)| bit(path, depth) == 0);
            let (left, right) = writes.split_at_mut(middle);
            join(apply(&children[0], left, depth + 1), apply(&children[1], right, depth + 1))
        }
    }
}

/// Builds a subtrie from nothing but writes and at most one leaf that was there.
fn build(writes: &mut [Write], old: Option<(&Digest, &Link)>, depth: usize) -> Child {
    let kept = writes.iter().filter(|(_, leaf)| leaf.is_some()).count();
    match (kept, old) {
        (0, None) => None,
        (0, Some((_, link))) => Some(link.clone()),
        (1, None) => writes.iter_mut().find_map(|(_, leaf)| leaf.take()),
        _ => {
            assert!(depth < DEPTH, "two keys with the same SHA-256 digest");
            let middle = writes.partition_point(|(path, _)| bit(path, depth) == 0);
            let (left, right) = writes.split_at_mut(middle);
            let (old_left, old_right) = match old {
                Some((path, link)) if bit(path, depth) == 0 => (Some((path, link)), None),
                other => (None, other),
            };
            join(build(left, old_left, depth + 1), build(right, old_right, depth + 1))
        }
    }
}

/// A branch over two children, or less where a branch would have at most one leaf below it.
fn join(left: Child, right: Child) -> Child {
    let lone = match (&left, &right) {
        (None, None) => return None,
        (Some(link), None) | (None, Some(link)) => link.leaf().is_some(),
        (Some(_), Some(_)) => false,
    };
    if lone {
        return left.or(right);
    }
    let hash = branch_hash(&hash_of(&left), &hash_of(&right));
    Some(Link { hash, node: Arc::new(Node::Branch([left, right])) })
}

impl Proof {
    /// Whether, under `root`, the full key holds `value`.
    pub fn verify(&self, root: &Digest, key: &[u8], value: Option<&[u8]>) -> bool {
        if self.siblings.len() > DEPTH {
            return false;
        }
        let path = path_of(key);
        let bottom = match (value, self.other) {
            (Some(value), None) => leaf_hash(&path, &value_hash(value)),
            (Some(_), Some(_)) => return false,
            (None, None) => Digest::ZERO,
            (None, Some((other, value))) => {
                let shares_prefix = other != path
                    && (0..self.siblings.len()).all(|depth| bit(&other, depth) == bit(&path, depth));
                if !shares_prefix {
                    return false;
                }
                leaf_hash(&other, &value)
            }
        };
        let mut hash = bottom;
        for (depth, sibling) in self.siblings.iter().enumerate().rev() {
            hash = match bit(&path, depth) {
                0 => branch_hash(&hash, sibling),
                _ => branch_hash(sibling, &hash),
            };
        }
        hash == *root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[1, n])
    }

    fn value(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n])
    }

    proptest! {
        #[test]
        fn the_root_depends_on_the_contents_only(batches in proptest::collection::vec(
            proptest::collection::btree_map(0u8..40, proptest::option::of(any::<u8>()), 0..12), 0..12)) {
            let mut tree = Tree::default();
            let mut map = BTreeMap::new();
            for batch in &batches {
                tree = tree.update(batch.iter().map(|(k, v)| (key(*k), v.map(value))));
                for (k, v) in batch {
                    match v { Some(v) => { map.insert(*k, *v); } None => { map.remove(k); } }
                }
                let afresh = Tree::default().update(map.iter().map(|(k, v)| (key(*k), Some(value(*v)))));
                prop_assert_eq!(tree.root(), afresh.root());
            }
            for k in 0..50 {
                let (got, proof) = tree.prove(&key(k));
                prop_assert_eq!(&got, &map.get(&k).map(|v| value(*v)));
                prop_assert!(proof.verify(&tree.root(), &key(k), got.as_deref()));
                // No proof shows anything else: another value, an absent key, or under another root.
                let lie = [got.as_ref().map_or(1, |v| v[0].wrapping_add(1))];
                prop_assert!(!proof.verify(&tree.root(), &key(k), Some(&lie)));
                prop_assert!(got.is_none() || !proof.verify(&tree.root(), &key(k), None));
                prop_assert!(!proof.verify(&Digest([9; 32]), &key(k), got.as_deref()));
            }
        }
    }

    #[test]
    fn an_old_version_stays_readable() {
        let first = Tree::default().update((0..20).map(|n| (key(n), Some(value(n)))));
        let root = first.root();
        let second = first.update((0..20).map(|n| (key(n), (n % 2 == 0).then(|| value(n + 1)))));
        assert_ne!(second.root(), root);
        let (got, proof) = first.prove(&key(3));
        assert!(got == Some(value(3)) && proof.verify(&root, &key(3), got.as_deref()));
        assert_eq!(second.get(&key(3)), None);
    }

    #[test]
    fn an_absence_proof_needs_a_leaf_on_the_same_path() {
        let tree = Tree::default().update((0..8).map(|n| (key(n), Some(value(n)))));
        let (_, proof) = tree.prove(&key(3));
        let (absent, _) = tree.prove(&key(99));
        assert_eq!(absent, None);
        // Claiming that key 3's own leaf is a stranger's does not show its absence.
        let lie = Proof { other: Some((path_of(&key(3)), value_hash(&value(3)))), ..proof };
        assert!(!lie.verify(&tree.root(), &key(3), None));
    }
}
