//! Where executed transactions stand in the ledger.

use crate::transaction::ItemKey;
use crate::types::Height;
use crate::unordered::Unordered;
use crypto::ClientKey;
use std::collections::VecDeque;

/// A height, and the place in its block.
pub(super) type Place = (Height, u32);

/// The places of transactions by client and sequence. A client counts up, so that what is entered stands at the end of its list and what is
/// forgotten at the beginning, or as near as its session's window.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Invariant: in ascending order of sequences; no list is empty.
    by_client: Unordered<ClientKey, VecDeque<(u64, Place)>>,
    /// Invariant: the sum of the lists' lengths.
    count: usize,
}

/// Where a sequence stands, or would. Sequences ascend and few are missing, near the ends, so that counting from the last or the first one
/// nearly always finds it at once; a search of the list would touch memory out of reach at each step.
fn find(places: &VecDeque<(u64, Place)>, sequence: u64) -> Result<usize, usize> {
    let (Some((first, _)), Some((last, _))) = (places.front(), places.back()) else { return Err(0) };
    if sequence > *last {
        return Err(places.len());
    }
    let from_last = (places.len() as u64 - 1).checked_sub(last - sequence);
    let from_first = sequence.checked_sub(*first);
    for guess in [from_last, from_first].into_iter().flatten().filter_map(|guess| usize::try_from(guess).ok())
    {
        if places.get(guess).is_some_and(|(found, _)| *found == sequence) {
            return Ok(guess);
        }
    }
    places.binary_search_by_key(&sequence, |(sequence, _)| *sequence)
}

impl Places {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, (sequence, client): &ItemKey) -> Option<Place> {
        let places = self.by_client.get(client)?;
        let index = find(places, *sequence).ok()?;
        places.get(index).map(|(_, place)| *place)
    }

    pub fn insert(&mut self, (sequence, client): ItemKey, place: Place) {
        let places = self.by_client.or_default(client);
        match find(places, sequence) {
            Ok(index) => places[index].1 = place,
            Err(index) => {
                places.insert(index, (sequence, place));
                self.count += 1;
            }
        }
    }

    /// Forgets a transaction, if it stands at that height.
    pub fn forget(&mut self, (sequence, client): &ItemKey, height: Height) {
        let Some(places) = self.by_client.get_mut(client) else { return };
        let Ok(index) = find(places, *sequence) else { return };
        if places[index].1.0 == height {
            places.remove(index);
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
    fn a_sequence_is_found_whatever_is_missing() {
        for missing in 0..1_u32 << 7 {
            let places: VecDeque<(u64, Place)> =
                (0..7).filter(|bit| missing >> bit & 1 == 0).map(|bit| (bit + 10, (1, 0))).collect();
            for sequence in 8..20 {
                let expected = places.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
                assert_eq!(find(&places, sequence), expected, "{sequence} without {missing:b}");
            }
        }
    }

    #[test]
    fn a_place_is_forgotten_with_its_height_only() {
        let (one, other) = (ClientKey([1; 32]), ClientKey([2; 32]));
        let mut places = Places::default();
        places.insert((2, one), (5, 1));
        places.insert((1, one), (5, 0));
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
