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

/// Keys up to this length are put together on the stack to be looked up.
const SHORT_KEY: usize = 127;

/// As [`full_key`], for a look only.
fn with_full_key<T>(space: Space, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut buffer = [0; 1 + SHORT_KEY];
    match buffer.get_mut(..=key.len()) {
        Some(full) => {
            full[0] = space as u8;
            full[1..].copy_from_slice(key);
            look(full)
        }
        None => look(&full_key(space, key)),
    }
}

/// What the map holds under a key.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// None: deleted, and the tree or the disk is yet to hear of it.
    value: Option<Bytes>,
    /// Whether the value may differ from the tree's. Invariant: then and only then the key is listed in `unhashed`.
    unhashed: bool,
    /// Whether it was written since the last batch for the disk. Invariant: likewise for `unflushed`.
    unflushed: bool,
}

/// Keys with values, journalled so that a refused transaction leaves nothing behind.
#[derive(Clone, Debug, Default)]
pub struct State {
    live: BTreeMap<Bytes, Slot>,
    unhashed: Vec<Bytes>,
    unflushed: Vec<Bytes>,
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
        with_full_key(space, key, |full| self.live.get(full)?.value.clone())
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
            .filter_map(|(key, slot)| Some((&key[1..], slot.value.as_ref()?)))
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        let (before, hashed, flushed) = self.set(&key, value);
        if hashed {
            self.unhashed.push(key.clone());
        }
        if flushed {
            self.unflushed.push(key.clone());
        }
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

    /// Sets a key; gives what was there, and whether tree and disk were up to date with it.
    fn set(&mut self, key: &Bytes, value: Option<Bytes>) -> (Option<Bytes>, bool, bool) {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, |value| (key.len() + value.len()) as u64);
        let more = size(&value);
        let slot = match self.live.get_mut(key) {
            Some(slot) => slot,
            None => self.live.entry(key.clone()).or_default(),
        };
        let before = std::mem::replace(&mut slot.value, value);
        let hashed = !std::mem::replace(&mut slot.unhashed, true);
        let flushed = !std::mem::replace(&mut slot.unflushed, true);
        self.bytes = self.bytes + more - size(&before);
        (before, hashed, flushed)
    }

    /// Brings the tree up to date and returns its root.
    pub(crate) fn root(&mut self) -> Digest {
        self.journal.clear();
        let writes = take_listed(&mut self.live, &mut self.unhashed, |slot| slot.unhashed = false);
        self.tree = self.tree.update(writes);
        self.tree.root()
    }

    /// The tree as of the last [`State::root`]. Cheap to clone; a clone never changes.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What changed since the last call, for the disk.
    pub(crate) fn take_writes(&mut self) -> Vec<(Bytes, Option<Bytes>)> {
        take_listed(&mut self.live, &mut self.unflushed, |slot| slot.unflushed = false).collect()
    }
}

/// The listed keys, in order, with what they hold. A deleted key goes once it is on neither list.
fn take_listed(
    live: &mut BTreeMap<Bytes, Slot>,
    list: &mut Vec<Bytes>,
    mark: impl Fn(&mut Slot),
) -> impl Iterator<Item = (Bytes, Option<Bytes>)> {
    let mut keys = std::mem::take(list);
    keys.sort_unstable();
    keys.into_iter().map(move |key| {
        let slot = live.get_mut(&key).expect("a listed key is in the map");
        mark(slot);
        let value = slot.value.clone();
        if value.is_none() && !slot.unhashed && !slot.unflushed {
            live.remove(&key);
        }
        (key, value)
    })
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
            Source::Live(state) => state.live.get(&key).and_then(|slot| slot.value.clone()),
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
    fn a_deleted_key_goes_once_the_tree_and_the_disk_have_heard_of_it() {
        let mut state = State::default();
        state.put(b"a", "1");
        state.put(b"b", "2");
        let (root, both) = (state.root(), state.take_writes());
        assert_eq!(both.len(), 2);
        state.delete(b"a");
        state.delete(b"a");
        assert_eq!((state.get(b"a"), state.scan(b"").count(), state.live.len()), (None, 1, 2));
        assert_eq!(state.take_writes(), vec![(full_key(Space::Application, b"a"), None)]);
        assert_eq!(state.live.len(), 2, "the tree has not heard of it");
        assert_ne!(state.root(), root);
        assert_eq!((state.live.len(), state.take_writes()), (1, vec![]));
        state.put(b"a", "1");
        assert_eq!((state.root(), state.take_writes().len()), (root, 1));
    }

    #[test]
    fn keys_of_any_length_are_found() {
        let mut state = State::default();
        for length in [0, 1, SHORT_KEY, SHORT_KEY + 1, 1000] {
            state.put(&vec![7; length], length.to_string());
            assert_eq!(state.get(&vec![7; length]), Some(length.to_string().into()));
        }
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
