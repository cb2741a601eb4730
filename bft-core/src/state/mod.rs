//! The replicated key-value state.
//!
//! Two spaces share one authenticated tree: the application's keys, and the host's own (enrolment, sessions), which
//! no application can reach. The live map serves execution; the tree serves roots, proofs and snapshots, and is
//! brought up to date at checkpoint heights only.

mod stretch;
mod tree;

pub use stretch::{FIRST, LAST, Stretch, divide};
pub use tree::{Proof, Tree};

use bytes::{BufMut, Bytes, BytesMut};
use crypto::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Whose key it is. The discriminant is the first byte of the key on disk and in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    /// The host's.
    System = 0,
    /// The application's.
    Application = 1,
}

/// A key with its space in front, as it stands in the map, the tree and on disk.
pub fn full_key(space: Space, key: &[u8]) -> Bytes {
    let mut full = BytesMut::with_capacity(1 + key.len());
    full.put_u8(space as u8);
    full.put_slice(key);
    full.freeze()
}

/// Keys with values, journalled so that a refused transaction leaves nothing behind.
#[derive(Clone, Debug, Default)]
pub struct State {
    live: BTreeMap<Bytes, Bytes>,
    /// Keys whose value may differ from the tree's.
    unhashed: BTreeSet<Bytes>,
    /// Keys written since the last batch for the disk.
    unflushed: BTreeSet<Bytes>,
    /// What the keys written since the last savepoint held before.
    journal: Vec<(Bytes, Option<Bytes>)>,
    tree: Tree,
    /// Bytes of all keys and values.
    bytes: u64,
}

impl State {
    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts back a pair that was flushed to disk.
    pub(crate) fn restore(&mut self, key: Bytes, value: Bytes) {
        self.write(key, Some(value));
        self.journal.clear();
    }

    /// The application's value under `key`.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.get_in(Space::Application, key)
    }

    /// Sets the application's value under `key`.
    pub fn put(&mut self, key: &[u8], value: impl Into<Bytes>) {
        self.put_in(Space::Application, key, value.into());
    }

    /// Removes the application's `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.write(full_key(Space::Application, key), None);
    }

    /// The application's keys that begin with `prefix`, with their values, in key order.
    pub fn scan<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = (&'a [u8], &'a Bytes)> + use<'a> {
        self.scan_in(Space::Application, prefix)
    }

    pub(crate) fn get_in(&self, space: Space, key: &[u8]) -> Option<Bytes> {
        self.live.get(&full_key(space, key)).cloned()
    }

    pub(crate) fn put_in(&mut self, space: Space, key: &[u8], value: Bytes) {
        self.write(full_key(space, key), Some(value));
    }

    pub(crate) fn scan_in<'a>(
        &'a self,
        space: Space,
        prefix: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a Bytes)> + use<'a> {
        let from = full_key(space, prefix);
        self.live
            .range(from.clone()..)
            .take_while(move |(key, _)| key.starts_with(&from))
            .map(|(key, value)| (&key[1..], value))
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        let before = self.set(&key, value);
        self.unhashed.insert(key.clone());
        self.unflushed.insert(key.clone());
        self.journal.push((key, before));
    }

    /// From here on [`State::roll_back`] undoes what is written.
    pub(crate) fn savepoint(&mut self) {
        self.journal.clear();
    }

    /// Undoes every write since the last savepoint.
    pub(crate) fn roll_back(&mut self) {
        while let Some((key, before)) = self.journal.pop() {
            self.set(&key, before);
        }
    }

    /// Sets a key; gives what was there.
    fn set(&mut self, key: &Bytes, value: Option<Bytes>) -> Option<Bytes> {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, |value| (key.len() + value.len()) as u64);
        let more = size(&value);
        let before = match value {
            Some(value) => self.live.insert(key.clone(), value),
            None => self.live.remove(key),
        };
        self.bytes = self.bytes + more - size(&before);
        before
    }

    /// Brings the tree up to date and returns its root.
    pub(crate) fn root(&mut self) -> Digest {
        self.journal.clear();
        let keys = std::mem::take(&mut self.unhashed);
        let writes = keys.into_iter().map(|key| {
            let value = self.live.get(&key).cloned();
            (key, value)
        });
        self.tree = self.tree.update(writes);
        self.tree.root()
    }

    /// The tree as of the last [`State::root`]. Cheap to clone; a clone never changes.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What changed since the last call, for the disk.
    pub(crate) fn take_writes(&mut self) -> Vec<(Bytes, Option<Bytes>)> {
        std::mem::take(&mut self.unflushed)
            .into_iter()
            .map(|key| {
                let value = self.live.get(&key).cloned();
                (key, value)
            })
            .collect()
    }
}

/// What a query reads. It remembers every key, so that the host can prove each value and a client can run the query
/// again over proven values only.
#[derive(Debug)]
pub struct View<'a> {
    source: Source<'a>,
    reads: BTreeSet<Bytes>,
}

#[derive(Debug)]
enum Source<'a> {
    Live(&'a State),
    Tree(&'a Tree),
    Proven(&'a BTreeMap<Bytes, Option<Bytes>>),
}

impl<'a> View<'a> {
    /// A view of the state as it is.
    pub(crate) fn live(state: &'a State) -> View<'a> {
        View { source: Source::Live(state), reads: BTreeSet::new() }
    }

    /// A view of a certified state.
    pub(crate) fn of(tree: &'a Tree) -> View<'a> {
        View { source: Source::Tree(tree), reads: BTreeSet::new() }
    }

    /// A view of values that a proof covers; other keys read as absent, and are noted.
    pub(crate) fn proven(values: &'a BTreeMap<Bytes, Option<Bytes>>) -> View<'a> {
        View { source: Source::Proven(values), reads: BTreeSet::new() }
    }

    /// The application's value under `key`.
    pub fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        let key = full_key(Space::Application, key);
        let value = match self.source {
            Source::Live(state) => state.live.get(&key).cloned(),
            Source::Tree(tree) => tree.get(&key),
            Source::Proven(values) => values.get(&key).cloned().flatten(),
        };
        self.reads.insert(key);
        value
    }

    /// Every key read so far, in full form.
    pub(crate) fn into_reads(self) -> BTreeSet<Bytes> {
        self.reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_transaction_leaves_no_writes() {
        let mut state = State::default();
        state.put(b"a", "1");
        state.put(b"b", "2");
        let root = state.root();
        state.savepoint();
        state.put(b"a", "3");
        state.put(b"a", "4");
        state.delete(b"b");
        state.put(b"c", "5");
        state.roll_back();
        assert_eq!(
            (state.get(b"a"), state.get(b"b"), state.get(b"c")),
            (Some("1".into()), Some("2".into()), None)
        );
        assert_eq!(state.root(), root);
    }

    #[test]
    fn the_application_cannot_reach_the_host_s_keys() {
        let mut state = State::default();
        state.put_in(Space::System, b"k", "host".into());
        assert_eq!(state.get(b"k"), None);
        state.put(b"k", "app");
        assert_eq!(state.get_in(Space::System, b"k"), Some("host".into()));
        assert_eq!(state.scan(b"").count(), 1);
    }

    #[test]
    fn restoring_what_was_flushed_gives_the_same_root() {
        let mut state = State::default();
        for n in 0..100_u32 {
            state.put(&n.to_be_bytes(), n.to_string());
        }
        state.delete(&7_u32.to_be_bytes());
        let root = state.root();
        let mut restored = State::default();
        for (key, value) in state.take_writes() {
            if let Some(value) = value {
                restored.restore(key, value);
            }
        }
        assert_eq!(restored.root(), root);
        assert_eq!(state.take_writes(), vec![]);
    }
}
