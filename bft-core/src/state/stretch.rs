//! A stretch of the state, proven against a root: what state transfer carries.
//!
//! The order is that of the keys' paths in the tree (SHA-256 of the key), so that any state divides into even parts. The proof
//! is the tree itself in pre-order, with all that lies outside of the stretch cut down to hashes.

use super::tree::{Child, DEPTH, Node, Tree, branch_hash, leaf_hash, node_of, path_of, value_hash};
use crate::codec::byte_string;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use crypto::Digest;
use serde::{Deserialize, Serialize};

/// The lowest place in the order.
pub const FIRST: Digest = Digest::ZERO;

/// The highest place in the order.
pub const LAST: Digest = Digest([0xff; 32]);

/// Every pair of a state whose path lies between two places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The first place.
    pub from: Digest,
    /// The last place, which belongs to it.
    pub to: Digest,
    /// The tree in pre-order: a tag for each node, and what the tag says. One byte string, so that reading it costs no more
    /// memory than it has bytes.
    #[serde(with = "byte_string")]
    pub nodes: Bytes,
}

/// Tags of nodes.
mod tag {
    /// Two subtries follow.
    pub const BRANCH: u8 = 0;
    /// A pair within the stretch: lengths of key and value (u32, little endian), key, value.
    pub const PAIR: u8 = 1;
    /// A leaf outside of the stretch: its path, and the hash of its value.
    pub const OTHER: u8 = 2;
    /// A subtrie outside of the stretch, by its hash.
    pub const HIDDEN: u8 = 3;
    /// Nothing.
    pub const EMPTY: u8 = 4;
}

/// Bytes that a pair takes beside key and value, with its share of branches.
const PAIR_BYTES: usize = 10;

/// The place of a subtrie: the lowest and the highest path in it.
#[derive(Clone, Copy)]
struct Place {
    low: Digest,
    high: Digest,
    depth: usize,
}

impl Place {
    const TOP: Place = Place { low: FIRST, high: LAST, depth: 0 };

    fn child(self, side: usize) -> Place {
        let Place { mut low, mut high, depth } = self;
        let (byte, mask) = (depth / 8, 0x80 >> (depth % 8));
        if side == 0 {
            high.0[byte] &= !mask;
        } else {
            low.0[byte] |= mask;
        }
        Place { low, high, depth: depth + 1 }
    }

    fn holds(self, path: &Digest) -> bool {
        self.low <= *path && *path <= self.high
    }
}

impl Stretch {
    /// The pairs from place `from` on, through `until` at most: as many as `max_bytes` allow, but at least one.
    pub fn of(tree: &Tree, from: Digest, until: Digest, max_bytes: usize) -> Stretch {
        let mut room = max_bytes;
        let mut last = None;
        let to = match fill(tree.top(), Place::TOP, (from, until), &mut room, &mut last) {
            Filled::All => until,
            Filled::Full => last.expect("it was filled by a pair"),
        };
        let mut nodes = BytesMut::new();
        cut(tree.top(), Place::TOP, (from, to), &mut nodes);
        Stretch { from, to, nodes: nodes.freeze() }
    }

    /// Whether this is all of the state with this root that lies between its places.
    pub fn verify(&self, root: &Digest) -> bool {
        let mut reader = Reader { nodes: self.nodes.clone(), bounds: (self.from, self.to) };
        reader.read(Place::TOP).is_some_and(|hash| hash == *root) && reader.nodes.is_empty()
    }

    /// The pairs of a stretch that was verified.
    pub fn pairs(&self) -> Vec<(Bytes, Bytes)> {
        let mut nodes = self.nodes.clone();
        let mut pairs = Vec::new();
        while let Some(node) = take_node(&mut nodes) {
            if let Taken::Pair(key, value) = node {
                pairs.push((key, value));
            }
        }
        pairs
    }

    /// The place after its last one; none at the end of the state.
    pub fn next(&self) -> Option<Digest> {
        let mut next = self.to;
        for byte in next.0.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                return Some(next);
            }
        }
        None
    }
}

enum Filled {
    All,
    Full,
}

/// Walks the pairs in order until there is no more room; `last` is the path of the last one that still fits.
fn fill(
    at: &Child,
    place: Place,
    bounds: (Digest, Digest),
    room: &mut usize,
    last: &mut Option<Digest>,
) -> Filled {
    if place.high < bounds.0 || place.low > bounds.1 {
        return Filled::All;
    }
    match node_of(at) {
        None => Filled::All,
        Some(Node::Leaf(leaf)) => {
            if leaf.path < bounds.0 || leaf.path > bounds.1 {
                return Filled::All;
            }
            let bytes = leaf.key.len() + leaf.value.len() + PAIR_BYTES;
            if bytes > *room && last.is_some() {
                return Filled::Full;
            }
            *room = room.saturating_sub(bytes);
            *last = Some(leaf.path);
            Filled::All
        }
        Some(Node::Branch(children)) => {
            for (side, child) in children.iter().enumerate() {
                if let Filled::Full = fill(child, place.child(side), bounds, room, last) {
                    return Filled::Full;
                }
            }
            Filled::All
        }
    }
}

fn cut(at: &Child, place: Place, bounds: (Digest, Digest), nodes: &mut BytesMut) {
    let outside = place.high < bounds.0 || place.low > bounds.1;
    let Some(link) = at else { return nodes.put_u8(tag::EMPTY) };
    match &*link.node {
        _ if outside => {
            nodes.put_u8(tag::HIDDEN);
            nodes.put_slice(&link.hash.0);
        }
        Node::Leaf(leaf) if leaf.path < bounds.0 || leaf.path > bounds.1 => {
            nodes.put_u8(tag::OTHER);
            nodes.put_slice(&leaf.path.0);
            nodes.put_slice(&value_hash(&leaf.value).0);
        }
        Node::Leaf(leaf) => {
            nodes.put_u8(tag::PAIR);
            for part in [&leaf.key, &leaf.value] {
                nodes.put_u32_le(u32::try_from(part.len()).expect("keys and values are smaller than 4 GiB"));
            }
            nodes.put_slice(&leaf.key);
            nodes.put_slice(&leaf.value);
        }
        Node::Branch(children) => {
            nodes.put_u8(tag::BRANCH);
            for (side, child) in children.iter().enumerate() {
                cut(child, place.child(side), bounds, nodes);
            }
        }
    }
}

enum Taken {
    Branch,
    Pair(Bytes, Bytes),
    Other(Digest, Digest),
    Hidden(Digest),
    Empty,
}

fn take_node(nodes: &mut Bytes) -> Option<Taken> {
    let tag = nodes.try_get_u8().ok()?;
    Some(match tag {
        tag::BRANCH => Taken::Branch,
        tag::PAIR => {
            let lengths = [nodes.try_get_u32_le().ok()? as usize, nodes.try_get_u32_le().ok()? as usize];
            let [key, value] = lengths.map(|length| (length <= nodes.len()).then(|| nodes.split_to(length)));
            Taken::Pair(key?, value?)
        }
        tag::OTHER => Taken::Other(take_digest(nodes)?, take_digest(nodes)?),
        tag::HIDDEN => Taken::Hidden(take_digest(nodes)?),
        tag::EMPTY => Taken::Empty,
        _ => return None,
    })
}

fn take_digest(nodes: &mut Bytes) -> Option<Digest> {
    let mut digest = Digest::ZERO;
    nodes.try_copy_to_slice(&mut digest.0).ok()?;
    Some(digest)
}

struct Reader {
    nodes: Bytes,
    bounds: (Digest, Digest),
}

impl Reader {
    /// The hash of the subtrie that comes next; none if it is not whole within the bounds.
    fn read(&mut self, place: Place) -> Option<Digest> {
        let (from, to) = self.bounds;
        match take_node(&mut self.nodes)? {
            Taken::Empty => Some(Digest::ZERO),
            Taken::Hidden(hash) => (place.high < from || place.low > to).then_some(hash),
            Taken::Other(path, value) => {
                let outside = path < from || path > to;
                (outside && place.holds(&path)).then(|| leaf_hash(&path, &value))
            }
            Taken::Pair(key, value) => {
                let path = path_of(&key);
                let inside = place.holds(&path) && from <= path && path <= to;
                inside.then(|| leaf_hash(&path, &value_hash(&value)))
            }
            Taken::Branch => {
                if place.depth >= DEPTH {
                    return None;
                }
                let left = self.read(place.child(0))?;
                let right = self.read(place.child(1))?;
                Some(branch_hash(&left, &right))
            }
        }
    }
}

/// The places at which a state divides into `parts` even parts.
pub fn divide(parts: u8) -> Vec<(Digest, Digest)> {
    let parts = u16::from(parts.max(1));
    let start = |part: u16| {
        let mut place = FIRST;
        // 2^16 · part / parts, which is below 2^16 for every part but the one after the last.
        let high = u32::from(part) * 0x1_0000 / u32::from(parts);
        place.0[..2].copy_from_slice(&u16::try_from(high).unwrap_or(u16::MAX).to_be_bytes());
        place
    };
    let end = |part: u16| {
        if part + 1 == parts {
            return LAST;
        }
        let mut place = LAST;
        let next = u16::from_be_bytes([start(part + 1).0[0], start(part + 1).0[1]]);
        place.0[..2].copy_from_slice(&(next - 1).to_be_bytes());
        place
    };
    (0..parts).map(|part| (start(part), end(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(pairs: u32) -> Tree {
        let pair = |n: u32| (Bytes::from(format!("key {n}")), Some(Bytes::from(format!("value {n}"))));
        Tree::default().update((0..pairs).map(pair))
    }

    fn all(tree: &Tree, max_bytes: usize, parts: u8) -> Vec<(Bytes, Bytes)> {
        let mut pairs = Vec::new();
        for (from, until) in divide(parts) {
            let mut next = Some(from);
            while let Some(from) = next.filter(|from| *from <= until) {
                let stretch = Stretch::of(tree, from, until, max_bytes);
                assert!(stretch.to >= from && stretch.to <= until);
                assert!(stretch.verify(&tree.root()), "an honest stretch verifies");
                pairs.extend(stretch.pairs());
                next = stretch.next();
            }
        }
        pairs
    }

    #[test]
    fn stretches_put_together_are_the_state() {
        for (pairs, max_bytes, parts) in
            [(0, 100, 1), (1, 100, 3), (2, 0, 2), (300, 0, 1), (300, 1000, 4), (300, 1 << 20, 16)]
        {
            let tree = tree(pairs);
            let got = all(&tree, max_bytes, parts);
            assert_eq!(got.len(), pairs as usize);
            let again = Tree::default().update(got.into_iter().map(|(key, value)| (key, Some(value))));
            assert_eq!(again.root(), tree.root());
        }
    }

    #[test]
    fn parts_leave_no_gap() {
        for parts in [1, 2, 3, 7, 16, 255] {
            let places = divide(parts);
            assert_eq!((places[0].0, places[places.len() - 1].1), (FIRST, LAST));
            for pair in places.windows(2) {
                let end = Stretch { from: FIRST, to: pair[0].1, nodes: Bytes::new() };
                assert_eq!(end.next(), Some(pair[1].0));
            }
        }
    }

    fn put_together(nodes: &[Bytes]) -> Bytes {
        nodes.concat().into()
    }

    /// The encodings of the nodes, one by one.
    fn taken_apart(mut nodes: Bytes) -> Vec<Bytes> {
        let mut apart = Vec::new();
        loop {
            let before = nodes.clone();
            if take_node(&mut nodes).is_none() {
                return apart;
            }
            apart.push(before.slice(..before.len() - nodes.len()));
        }
    }

    proptest! {
        // threat 84: a stretch that was tampered with does not verify.
        #[test]
        fn threat_84_nothing_can_be_left_out_or_changed(
            pairs in 2u32..60, at in any::<prop::sample::Index>(), how in 0..7, bit in 0..8
        ) {
            let tree = tree(pairs);
            let (from, to) = divide(3)[1];
            let honest = Stretch::of(&tree, from, to, 1 << 20);
            let mut nodes = taken_apart(honest.nodes.clone());
            prop_assert_eq!(put_together(&nodes), honest.nodes.clone());
            let index = at.index(nodes.len());
            match how {
                0 => { nodes.remove(index); }
                1 => nodes[index] = Bytes::from_static(&[tag::EMPTY]),
                2 => nodes.insert(index, Bytes::from_static(&[tag::BRANCH])),
                3 => nodes.swap(index, 0),
                4 => {
                    let mut flipped = nodes[index].to_vec();
                    let byte = at.index(flipped.len());
                    flipped[byte] ^= 1u8 << bit;
                    nodes[index] = flipped.into();
                }
                5 => nodes.truncate(index),
                // Hides what lies within by its true hash.
                _ => if let Some(Taken::Pair(key, value)) = take_node(&mut nodes[index].clone()) {
                    let mut hidden = vec![tag::HIDDEN];
                    hidden.extend(leaf_hash(&path_of(&key), &value_hash(&value)).0);
                    nodes[index] = hidden.into();
                },
            }
            let forged = Stretch { nodes: put_together(&nodes), ..honest.clone() };
            prop_assert!(forged == honest || !forged.verify(&tree.root()));
            // Nor does it pass for a wider one, unless there is no more.
            let wider = Stretch { from: FIRST, to: LAST, ..honest.clone() };
            prop_assert!(!wider.verify(&tree.root()) || honest.pairs().len() == pairs as usize);
        }
    }
}
