//! A map without an order to see, for what is looked up by key and nothing else.
//!
//! Hash maps are banned here because their order differs from run to run, and what is done in that order with it. This one
//! gives its entries one by one and to functions that see one at a time, never as a sequence, so that nobody can tell in which order it holds
//! them. Where there are many entries a look takes a fraction of an ordered map's. Keys that liars choose do it no harm: hashes
//! are seeded at random.
#![allow(clippy::disallowed_types)]

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// See the module's text.
pub(crate) struct Unordered<K, V>(HashMap<K, V>);

impl<K, V> fmt::Debug for Unordered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.0.len())
    }
}

impl<K, V> Default for Unordered<K, V> {
    fn default() -> Unordered<K, V> {
        Unordered(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Unordered<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Gives the value that the new one replaces.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// The value under the key, to be changed; a default one if there was none.
    pub(crate) fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.0.entry(key).or_default()
    }

    /// Those entries that `choose` says, in order of their keys.
    pub(crate) fn chosen(&self, choose: impl Fn(&K, &V) -> bool) -> Vec<&V>
    where
        K: Ord,
    {
        let mut chosen: Vec<(&K, &V)> = self.0.iter().filter(|(key, value)| choose(key, value)).collect();
        chosen.sort_unstable_by_key(|(key, _)| *key);
        chosen.into_iter().map(|(_, value)| value).collect()
    }

    /// Does the same to each value.
    pub(crate) fn each(&mut self, change: impl Fn(&mut V)) {
        self.0.values_mut().for_each(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_gives_of_many_is_in_order_of_the_keys() {
        let mut map = Unordered::default();
        for key in [5_u64, 3, 9, 1, 7] {
            assert_eq!(map.insert(key, 10 * key), None);
        }
        assert_eq!(map.insert(9, 91), Some(90));
        assert_eq!(map.remove(&5), Some(50));
        map.each(|value| *value += 1);
        *map.or_default(2) += 4;
        assert_eq!(map.chosen(|key, _| *key != 3), [&11, &4, &71, &92]);
        assert_eq!((map.len(), map.remove(&3), map.get(&5)), (5, Some(31), None));
    }
}
