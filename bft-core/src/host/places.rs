//! Where executed transactions stand in the ledger.

use crate::transaction::ItemKey;
use crate::types::Height;
use crate::unordered::Unordered;
use crypto::ClientKey;
use std::collections::BTreeMap;

/// A height, and the place in its block.
pub(super) type Place = (Height, u32);

/// The places of transactions by client and sequence. A client counts up, so that what is entered, looked up and forgotten of it
/// stands side by side.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_client: Unordered<ClientKey, BTreeMap<u64, Place>>,
    /// Invariant: the sum of the maps' lengths, none of which is empty.
    count: usize,
}

impl Places {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, (sequence, client): &ItemKey) -> Option<Place> {
        self.by_client.get(client)?.get(sequence).copied()
    }

    pub fn insert(&mut self, (sequence, client): ItemKey, place: Place) {
        let replaced = self.by_client.or_default(client).insert(sequence, place);
        self.count += usize::from(replaced.is_none());
    }

    /// Forgets a transaction, if it stands at that height.
    pub fn forget(&mut self, (sequence, client): &ItemKey, height: Height) {
        let Some(places) = self.by_client.get_mut(client) else { return };
        if places.get(sequence).is_some_and(|(at, _)| *at == height) {
            places.remove(sequence);
            self.count -= 1;
            if places.is_empty() {
                self.by_client.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_forgotten_with_its_height_only() {
        let (one, other) = (ClientKey([1; 32]), ClientKey([2; 32]));
        let mut places = Places::default();
        places.insert((1, one), (5, 0));
        places.insert((2, one), (5, 1));
        places.insert((1, other), (6, 0));
        // Executed anew above what a fetched state covers.
        places.insert((2, one), (7, 3));
        assert_eq!((places.len(), places.get(&(2, one)), places.get(&(3, one))), (3, Some((7, 3)), None));
        for key in [(1, one), (2, one), (3, one)] {
            places.forget(&key, 5);
        }
        assert_eq!((places.len(), places.get(&(1, one)), places.get(&(2, one))), (2, None, Some((7, 3))));
        places.forget(&(2, one), 7);
        assert_eq!((places.len(), places.get(&(2, one)), places.get(&(1, other))), (1, None, Some((6, 0))));
    }
}
