//! What a client believes: receipts and answers against a genesis, and the trees below them.
//!
//! Oracles: whatever is changed in a proof, if it verifies then it says what the honest one said. Merkle paths are compared with the
//! definition of RFC 6962, word for word.

use crate::consortium::{LIAR, REAL};
use crate::edit::forge;
use crate::input::Input;
use crate::pbft;
use bft_core::codec;
use bft_core::evidence::Evidence;
use bft_core::receipt::ProvenReceipt;
use bft_core::request::ProvenAnswer;
use bft_core::state::Tree;
use bytes::Bytes;
use crypto::{Digest, ReplicaId, StatementKind, merkle};
use engines::AnyMessage;
use sha2::{Digest as _, Sha256};
use sim::app::Registers;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const LIMIT: usize = 1 << 16;

static RECEIPTS: LazyLock<Vec<ProvenReceipt>> = LazyLock::new(|| REAL.receipts());
static ANSWERS: LazyLock<Vec<(Bytes, ProvenAnswer)>> = LazyLock::new(|| REAL.answers());

/// A proven receipt as bytes, or one with changes.
pub fn receipt(bytes: &[u8]) {
    let (_, bytes) = forge(&mut Input::new(bytes), &RECEIPTS);
    let Ok(proven) = codec::decode::<ProvenReceipt>(&bytes, LIMIT) else { return };
    if proven.verify(&REAL.config.trust).is_ok() {
        let said = (&proven.receipt, proven.height());
        // `index` and `count` give the path its shape, but no root binds the count: another pair of them may fit as well.
        assert!(
            RECEIPTS.iter().any(|honest| (&honest.receipt, honest.height()) == said),
            "a receipt that nobody gave: {proven:?}"
        );
        for entry in &proven.entries {
            assert_eq!(REAL.entries.get(&entry.height), Some(entry), "an entry that nobody certified");
        }
    }
}

/// One byte for the question; then a proven answer as bytes, or one with changes.
pub fn answer(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (question, _) = input.pick(&ANSWERS);
    let answers: Vec<&ProvenAnswer> = ANSWERS.iter().map(|(_, answer)| answer).collect();
    let (_, bytes) = forge(&mut input, &answers);
    let Ok(proven) = codec::decode::<ProvenAnswer>(&bytes, LIMIT) else { return };
    if proven.verify(&Registers::default(), question, &REAL.config.trust).is_ok() {
        let honest = ANSWERS.iter().find(|(asked, _)| asked == question).map(|(_, answer)| answer);
        let honest = honest.expect("it was asked");
        assert_eq!(proven.result, honest.result, "an answer that nobody gave");
        assert_eq!(proven.certificate.entry, honest.certificate.entry, "of another state");
    }
}

/// One for each kind and replica, so that no two of them can be put together to a third.
static LIES: LazyLock<Vec<Evidence>> = LazyLock::new(|| {
    let kinds = [StatementKind::CHECKPOINT].into_iter().chain(pbft::KINDS);
    kinds.zip([0, LIAR.0, 1, 2, 0]).map(|(kind, accused)| REAL.lie(ReplicaId(accused), kind)).collect()
});

/// Said twice; of two kinds; of a kind that there is not.
static HONEST: LazyLock<Vec<Evidence>> = LazyLock::new(|| {
    let [prepares, commits] = [pbft::KINDS[0], pbft::KINDS[1]].map(|kind| REAL.lie(LIAR, kind));
    vec![
        Evidence::new(LIAR, prepares.first.clone(), prepares.first.clone()),
        Evidence::new(LIAR, prepares.first, commits.second),
        REAL.lie(LIAR, StatementKind(40)),
    ]
});

fn node(left: &Digest, right: &Digest) -> Digest {
    Digest(Sha256::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// RFC 6962, section 2.1.1, read backwards: the root that `path` gives to the leaf at `index` of `count`.
fn root_of(leaf: Digest, index: u64, count: u64, path: &[Digest]) -> Option<Digest> {
    if count == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (last, rest) = path.split_last()?;
    // The largest power of two below `count`.
    let left = 1_u64 << (u64::BITS - 1 - (count - 1).leading_zeros());
    if index < left {
        Some(node(&root_of(leaf, index, left, rest)?, last))
    } else {
        Some(node(last, &root_of(leaf, index - left, count - left, rest)?))
    }
}

/// Paths through a tree of receipts, with any claim about index and count.
pub fn merkle_path(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let count = 1 + input.below(40);
    let leaves: Vec<Digest> = (0..count).map(|leaf| merkle::leaf_hash(&[leaf as u8])).collect();
    let tree = merkle::Tree::new(leaves.clone());
    let index = input.below(count);
    let mut path = tree.proof(index);
    assert!(merkle::verify(tree.root(), leaves[index], index as u64, count as u64, &path), "an honest path");
    let claim = |input: &mut Input<'_>, honest: usize| match input.byte() % 4 {
        0 => honest as u64,
        1 => input.below(64) as u64,
        2 => u64::MAX - u64::from(input.byte()),
        _ => input.long(),
    };
    let (claimed_index, claimed_count) = (claim(&mut input, index), claim(&mut input, count));
    for _ in 0..input.below(4) {
        let at = input.below(path.len() + 1);
        match input.byte() % 4 {
            0 => path.truncate(at),
            1 => path.insert(at, Digest([input.byte(); 32])),
            2 => path.insert(at, leaves[input.below(count)]),
            _ => path.iter_mut().skip(at).take(1).for_each(|digest| digest.0[3] ^= 1),
        }
    }
    // Up to the longest path there is, and beyond.
    path.resize(path.len() + input.below(3) * 30, Digest::ZERO);
    let leaf = leaves[input.below(count)];
    let verdict = merkle::verify(tree.root(), leaf, claimed_index, claimed_count, &path);
    let by_definition = claimed_index < claimed_count
        && root_of(leaf, claimed_index, claimed_count, &path) == Some(tree.root());
    assert_eq!(verdict, by_definition, "index {claimed_index} of {claimed_count}, {} siblings", path.len());
    if verdict && claimed_count == count as u64 {
        assert_eq!(leaf, leaves[claimed_index as usize], "a leaf that stands elsewhere");
    }
}

/// Proofs under the root of a state, with changes.
pub fn state_proof(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut tree = Tree::default();
    let mut pairs: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let key = |input: &mut Input<'_>| Bytes::from(vec![1, input.byte() % 32]);
    for _ in 0..1 + input.below(3) {
        let mut writes = BTreeMap::new();
        for _ in 0..input.below(12) {
            let written = key(&mut input);
            let value = input.byte();
            writes.insert(written, (!value.is_multiple_of(4)).then(|| Bytes::from(vec![value])));
        }
        for (key, value) in writes.clone() {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        tree = tree.update(writes.into_iter());
    }
    let again = Tree::default().update(pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));
    assert_eq!(again.root(), tree.root(), "the root depends on the content only");
    let asked = key(&mut input);
    let (value, proof) = tree.prove(&asked);
    assert_eq!(value.as_ref(), pairs.get(&asked), "the tree holds what was written");
    assert!(proof.verify(&tree.root(), &asked, value.as_deref()), "an honest proof");
    let bytes = crate::edit::edited(&mut input, &proof);
    let Ok(changed) = codec::decode::<bft_core::state::Proof>(&bytes, LIMIT) else { return };
    let claimed_key = if input.byte().is_multiple_of(4) { key(&mut input) } else { asked };
    let claimed = match input.byte() % 3 {
        0 => None,
        1 => Some(Bytes::from(vec![input.byte()])),
        _ => value,
    };
    if changed.verify(&tree.root(), &claimed_key, claimed.as_deref()) {
        assert_eq!(claimed.as_ref(), pairs.get(&claimed_key), "{changed:?} proves what is not so");
    }
}

/// Whether both of these statements were signed by that replica: who wants others would need its keys.
pub fn is_true(evidence: &Evidence) -> bool {
    let words = |evidence: &Evidence| (evidence.accused, evidence.first.0, evidence.second.0);
    LIES.iter().any(|lie| words(lie) == words(evidence))
}

/// Evidence as bytes, or some with changes: what verifies is one of the lies that were told. Among the samples are pairs that an
/// honest replica may sign.
pub fn evidence(bytes: &[u8]) {
    let samples: Vec<&Evidence> = LIES.iter().chain(HONEST.iter()).collect();
    let (_, bytes) = forge(&mut Input::new(bytes), &samples);
    let Ok(evidence) = codec::decode::<Evidence>(&bytes, LIMIT) else { return };
    let verdict = bft_core::evidence::verify::<AnyMessage>(&evidence, &REAL.config.trust);
    assert!(verdict.is_err() || is_true(&evidence), "{verdict:?} of {evidence:?}");
    // The file that is passed on says the same.
    let text = serde_json::to_string(&evidence).expect("plain data");
    assert_eq!(serde_json::from_str::<Evidence>(&text).expect("what was just written"), evidence);
}

/// Seeds of [`evidence`].
pub fn evidence_seeds() -> Vec<Vec<u8>> {
    each_sample(&LIES, &[]).into_iter().chain(each_sample(&HONEST, &[]).into_iter().rev().take(2)).collect()
}

fn each_sample<T: serde::Serialize>(samples: &[T], prefix: &[u8]) -> Vec<Vec<u8>> {
    let numbers = (0..samples.len().min(6)).map(|index| [prefix, &[1 + index as u8]].concat());
    let raw = samples.iter().take(2).map(|sample| [prefix, &[0], codec::encode(sample).as_slice()].concat());
    numbers.chain(raw).collect()
}

/// Seeds of [`receipt`].
pub fn receipt_seeds() -> Vec<Vec<u8>> {
    each_sample(&RECEIPTS, &[])
}

/// Seeds of [`answer`].
pub fn answer_seeds() -> Vec<Vec<u8>> {
    let answers: Vec<&ProvenAnswer> = ANSWERS.iter().map(|(_, answer)| answer).collect();
    (0..answers.len() as u8).flat_map(|question| each_sample(&answers, &[question])).collect()
}

/// Seeds of [`merkle_path`].
pub fn merkle_seeds() -> Vec<Vec<u8>> {
    let shapes: [(u8, u8); 6] = [(0, 0), (1, 1), (4, 4), (7, 3), (12, 12), (39, 20)];
    let honest = shapes.iter().map(|(count, index)| vec![*count, *index, 0, 0, 0, 0, *index]);
    honest.chain([vec![8, 8, 2, 0, 2, 1, 1, 2, 0, 2, 8], vec![4, 4, 1, 1, 1, 2, 0, 0, 4]]).collect()
}

/// Seeds of [`state_proof`].
pub fn state_seeds() -> Vec<Vec<u8>> {
    let busy: Vec<u8> = [2, 11].into_iter().chain((0..11).flat_map(|n| [n, n + 1])).collect();
    [
        [busy.as_slice(), &[3, 1, 1, 1, 4, 2, 1, 0, 5, 0, 0, 0, 0]].concat(),
        vec![0, 3, 1, 1, 2, 2, 3, 3, 9, 0, 1, 2],
        vec![0, 0, 7, 0, 0, 0],
    ]
    .to_vec()
}
