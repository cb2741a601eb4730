//! Merkle trees as in RFC 6962 section 2.1 (and RFC 9162 section 2.1): SHA-256, with the byte 0 before leaves
//! and 1 before inner nodes, the left subtree of a node holding the largest power of two of leaves that is
//! smaller than all of them.

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// The hash of a leaf: SHA-256(0 ‖ `bytes`).
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest(Sha256::new_with_prefix([0]).chain_update(bytes).finalize().into())
}

/// The hash of an inner node: SHA-256(1 ‖ left ‖ right).
fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Digest(Sha256::digest(bytes).into())
}

/// The root over leaf hashes; without leaves, SHA-256 of nothing.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or_else(|| Digest(Sha256::digest([]).into()))
}

/// The path that proves the leaf at `index`, from its sibling upwards. For many proofs of one tree, make a
/// [`Tree`].
///
/// # Panics
/// If there is no leaf at `index`.
pub fn proof(leaves: &[Digest], index: usize) -> Vec<Digest> {
    Tree::new(leaves.to_vec()).proof(index)
}

/// Whether `path` proves that `leaf` stands at `index` among `count` leaves under `root` (RFC 9162 section
/// 2.1.3.2).
pub fn verify(root: Digest, leaf: Digest, index: u64, count: u64, path: &[Digest]) -> bool {
    if index >= count {
        return false;
    }
    // Position of the node and of the last node, both on the present level.
    let (mut node, mut last) = (index, count - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A last node without a sibling stands for itself on the levels above, up to where it is a right
            // child.
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// A tree with all its levels, from which every leaf's proof costs O(log n).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// From the leaves to the root. Invariant: each level has half the nodes of the one below, rounded up;
    /// the last has one. A tree without leaves has no level.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// Builds the tree over leaf hashes.
    pub fn new(leaves: Vec<Digest>) -> Tree {
        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let next = above(&level);
            levels.push(level);
            level = next;
        }
        if !level.is_empty() {
            levels.push(level);
        }
        Tree { levels }
    }

    /// How many leaves there are.
    pub fn count(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// The root; without leaves, SHA-256 of nothing.
    pub fn root(&self) -> Digest {
        self.levels.last().map_or_else(|| root(&[]), |top| top[0])
    }

    /// The path that proves the leaf at `index`, from its sibling upwards.
    ///
    /// # Panics
    /// If there is no leaf at `index`.
    pub fn proof(&self, index: usize) -> Vec<Digest> {
        assert!(index < self.count(), "no leaf {index} among {}", self.count());
        let siblings = self.levels.iter().enumerate().filter_map(|(height, level)| {
            // The last node of an odd level has no sibling and is itself its parent.
            level.get((index >> height) ^ 1).copied()
        });
        siblings.collect()
    }

    /// What proves the leaves at `indexes` together: the siblings, level by level and from left to right, that do not follow from these
    /// leaves. [`paths`] makes single proofs of it.
    ///
    /// # Panics
    /// If the indexes do not ascend, or there is no leaf at one of them.
    pub fn siblings(&self, indexes: &[usize]) -> Vec<Digest> {
        assert!(indexes.is_sorted_by(|a, b| a < b), "the indexes ascend");
        assert!(indexes.last().is_none_or(|last| *last < self.count()), "there are such leaves");
        let mut nodes = indexes.to_vec();
        let mut siblings = Vec::new();
        for level in &self.levels {
            for pair in nodes.chunk_by(|a, b| a / 2 == b / 2) {
                // The last node of an odd level has no sibling.
                siblings.extend(if let [node] = pair { level.get(node ^ 1).copied() } else { None });
            }
            nodes.iter_mut().for_each(|node| *node /= 2);
            nodes.dedup();
        }
        siblings
    }
}

/// The root and the paths of `leaves`, given as their indexes and hashes in ascending order, out of what [`Tree::siblings`] says of a tree of
/// `count` leaves. If it is the root that the reader knows, [`verify`] holds for each of them. None without leaves, if the indexes are none of
/// ascending leaves, or if there are not just as many siblings as such leaves need.
pub fn paths(
    count: u64,
    leaves: &[(u64, Digest)],
    siblings: &[Digest],
) -> Option<(Digest, Vec<Vec<Digest>>)> {
    let ascend = leaves.is_sorted_by(|a, b| a.0 < b.0);
    if !ascend || leaves.last().is_none_or(|(last, _)| *last >= count) {
        return None;
    }
    let mut paths = vec![Vec::new(); leaves.len()];
    let mut siblings = siblings.iter().copied();
    // What is known of a level, and which of it each leaf is under.
    let mut nodes = leaves.to_vec();
    let mut under: Vec<usize> = (0..leaves.len()).collect();
    let mut width = count;
    while width > 1 {
        // For each node its sibling, if there is one, and where its parent goes.
        let mut steps = Vec::with_capacity(nodes.len());
        let mut above: Vec<(u64, Digest)> = Vec::with_capacity(nodes.len().div_ceil(2));
        for pair in nodes.chunk_by(|a, b| a.0 / 2 == b.0 / 2) {
            let (place, parent) = (above.len(), pair[0].0 / 2);
            let hash = match *pair {
                [(_, left), (_, right)] => {
                    steps.extend([(Some(right), place), (Some(left), place)]);
                    node_hash(&left, &right)
                }
                [(index, hash)] if index ^ 1 < width => {
                    let sibling = siblings.next()?;
                    steps.push((Some(sibling), place));
                    if index % 2 == 0 { node_hash(&hash, &sibling) } else { node_hash(&sibling, &hash) }
                }
                _ => {
                    steps.push((None, place));
                    pair[0].1
                }
            };
            above.push((parent, hash));
        }
        for (path, node) in paths.iter_mut().zip(&mut under) {
            let (sibling, parent) = steps[*node];
            path.extend(sibling);
            *node = parent;
        }
        nodes = above;
        width = width.div_ceil(2);
    }
    siblings.next().is_none().then_some((nodes[0].1, paths))
}

/// The level above: pairs hashed, an odd last node carried over.
fn above(level: &[Digest]) -> Vec<Digest> {
    let parent = |pair: &[Digest]| match pair {
        [left, right] => node_hash(left, right),
        single => single[0],
    };
    level.chunks(2).map(parent).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The leaves and roots of certificate-transparency-go's reference tests (`merkle/testonly`), which the
    /// RFC's authors published with their implementation: the root over the first n leaves, n from 0.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn reference() -> Vec<Digest> {
        LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    #[test]
    fn roots_are_those_of_the_reference() {
        for (count, expected) in ROOTS.iter().enumerate() {
            let leaves = &reference()[..count];
            assert_eq!(root(leaves).to_string(), *expected, "{count} leaves");
            assert_eq!(Tree::new(leaves.to_vec()).root().to_string(), *expected, "{count} leaves");
        }
    }

    /// Inclusion proofs of the same reference tests: (leaf from 0, leaves, path).
    #[test]
    fn proofs_are_those_of_the_reference() {
        let cases: [(usize, usize, &[&str]); 4] = [
            (0, 1, &[]),
            (
                0,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                5,
                8,
                &[
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        ];
        for (index, count, expected) in cases {
            let path: Vec<String> =
                proof(&reference()[..count], index).iter().map(Digest::to_string).collect();
            assert_eq!(path, expected, "leaf {index} of {count}");
        }
    }

    /// RFC 6962's recursive definition, word for word: the cross-check of the level-by-level one.
    fn root_by_definition(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest(Sha256::digest([]).into()),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&root_by_definition(left), &root_by_definition(right))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_proof_of_every_small_tree_verifies_and_nowhere_else() {
        for count in 1..40 {
            let leaves = leaves(count);
            let tree = Tree::new(leaves.clone());
            assert_eq!(tree.root(), root_by_definition(&leaves));
            for (index, leaf) in leaves.iter().enumerate() {
                let path = tree.proof(index);
                for claimed in 0..count {
                    let verdict = verify(tree.root(), *leaf, claimed as u64, count as u64, &path);
                    assert_eq!(verdict, claimed == index, "leaf {index} of {count} as {claimed}");
                }
            }
        }
    }

    #[test]
    fn an_index_outside_is_refused() {
        let leaves = leaves(3);
        let (root, path) = (root(&leaves), proof(&leaves, 2));
        assert!(verify(root, leaves[2], 2, 3, &path));
        assert!(!verify(root, leaves[2], 3, 3, &path));
        assert!(!verify(root, leaves[2], 0, 0, &path));
        assert!(!verify(root, leaves[2], u64::MAX, u64::MAX, &path));
        assert!(!verify(root, leaves[2], 2, u64::MAX, &path));
    }

    /// A node must not pass for a leaf: the prefixes keep them apart.
    #[test]
    fn an_inner_node_is_no_leaf() {
        let leaves = leaves(4);
        let tree = Tree::new(leaves.clone());
        let mut node = leaves[0].0.to_vec();
        node.extend_from_slice(&leaves[1].0);
        let path = [tree.levels[1][1]];
        assert!(!verify(tree.root(), leaf_hash(&node), 0, 2, &path));
        // Given the node's hash as if it were a leaf's, it passes: callers hash the leaf themselves.
        assert!(verify(tree.root(), tree.levels[1][0], 0, 2, &path));
    }

    #[test]
    fn what_proves_leaves_together_gives_the_path_of_each() {
        for count in 1..12_usize {
            let leaves = leaves(count);
            let tree = Tree::new(leaves.clone());
            for chosen in 1..1_u32 << count {
                let indexes: Vec<usize> = (0..count).filter(|index| chosen >> index & 1 == 1).collect();
                let siblings = tree.siblings(&indexes);
                let known: Vec<(u64, Digest)> = indexes.iter().map(|i| (*i as u64, leaves[*i])).collect();
                let expected: Vec<Vec<Digest>> = indexes.iter().map(|index| tree.proof(*index)).collect();
                let expected = (tree.root(), expected);
                assert_eq!(paths(count as u64, &known, &siblings), Some(expected), "{indexes:?} of {count}");
                let more = [&siblings[..], &[tree.root()]].concat();
                assert_eq!(paths(count as u64, &known, &more), None, "one too many");
                if let Some((_, fewer)) = siblings.split_last() {
                    assert_eq!(paths(count as u64, &known, fewer), None, "one too few");
                }
            }
        }
        let leaf = leaf_hash(b"");
        assert_eq!(paths(2, &[], &[]), None, "nothing");
        assert_eq!(paths(2, &[(1, leaf), (0, leaf)], &[]), None, "descending");
        assert_eq!(paths(2, &[(1, leaf), (1, leaf)], &[leaf]), None, "twice");
        assert_eq!(paths(2, &[(2, leaf)], &[leaf]), None, "outside");
        assert_eq!(paths(u64::MAX, &[(u64::MAX - 1, leaf)], &[leaf; 3]), None, "a count that nobody has");
    }

    proptest! {
        #[test]
        fn roots_follow_the_definition(count in 0_usize..300) {
            let leaves = leaves(count);
            prop_assert_eq!(root(&leaves), root_by_definition(&leaves));
        }

        /// Threat 82: a proof is for one leaf, one place, one count.
        #[test]
        fn threat_82_a_proof_with_anything_changed_fails(
            count in 1_usize..200,
            at in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            bit in 0_usize..256,
        ) {
            let leaves = leaves(count);
            let tree = Tree::new(leaves.clone());
            let index = at.index(count);
            let path = tree.proof(index);
            let (root, leaf, i, n) = (tree.root(), leaves[index], index as u64, count as u64);
            prop_assert!(verify(root, leaf, i, n, &path));

            let flipped = |digest: Digest| {
                let mut digest = digest;
                digest.0[bit / 8] ^= 1 << (bit % 8);
                digest
            };
            prop_assert!(!verify(root, flipped(leaf), i, n, &path));
            prop_assert!(!verify(flipped(root), leaf, i, n, &path));
            let elsewhere = other.index(count);
            prop_assert!(elsewhere == index || !verify(root, leaf, elsewhere as u64, n, &path));
            if !path.is_empty() {
                let mut wrong = path.clone();
                let step = other.index(path.len());
                wrong[step] = flipped(wrong[step]);
                prop_assert!(!verify(root, leaf, i, n, &wrong));
                prop_assert!(!verify(root, leaf, i, n, &path[1..]));
                prop_assert!(!verify(root, leaf, i, n, &path[..path.len() - 1]));
            }
            let mut longer = path.clone();
            longer.push(root);
            prop_assert!(!verify(root, leaf, i, n, &longer));
            // A count that gives the path another length cannot verify. One that gives the same length and
            // the same turns can: the count is not under the root, so whoever signs a root signs the count
            // with it.
            prop_assert!(!verify(root, leaf, i, n * 2 + 1, &path));
        }
    }
}
