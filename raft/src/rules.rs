//! The rules that safety stands on, as functions of what they decide on, with the sections of the dissertation.

use crate::log::Position;
use bft_core::types::{Height, View};
use crypto::ReplicaId;

/// Whether a log that ends with `candidate` is at least as up to date as one that ends with `own` (3.6.1): the later view wins,
/// and the longer log where the views are the same.
pub fn is_up_to_date(candidate: Position, own: Position) -> bool {
    // Positions compare by view first.
    candidate >= own
}

/// Whether a replica that is in the view of the request, and has given its vote to `voted` there, votes for `candidate` (3.4, 3.6.1).
pub fn may_vote(
    voted: Option<ReplicaId>,
    candidate: ReplicaId,
    candidates_last: Position,
    own_last: Position,
) -> bool {
    voted.is_none_or(|voted| voted == candidate) && is_up_to_date(candidates_last, own_last)
}

/// The highest height that a leader of `view` may commit: that of an entry of its own view which `quorum` replicas have on disk, given
/// the height up to which each has the leader's log (3.6.2, figure 3.7 for why an entry of an earlier view does not do).
pub fn committable(
    matched: impl Iterator<Item = Height>,
    quorum: usize,
    view: View,
    view_at: impl Fn(Height) -> Option<View>,
) -> Option<Height> {
    let mut matched: Vec<Height> = matched.collect();
    matched.sort_unstable_by(|a, b| b.cmp(a));
    let height = *matched.get(quorum.checked_sub(1)?)?;
    (view_at(height) == Some(view)).then_some(height)
}

/// What a follower commits on the word of its leader (3.5): no more than what it knows to be in the leader's log.
pub fn follows_commit(told: Height, agreed: Height) -> Height {
    told.min(agreed)
}

/// Heights that may be in agreement: a window above what is executed here, and two above what is certified.
pub fn highest(executed: Height, stable: Height, window: u64) -> Height {
    (executed + window).min(stable + 2 * window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(view: View, height: Height) -> Position {
        Position { view, height }
    }

    #[test]
    fn the_later_view_wins_and_then_the_longer_log() {
        assert!(is_up_to_date(at(3, 1), at(2, 9)));
        assert!(is_up_to_date(at(2, 9), at(2, 9)));
        assert!(!is_up_to_date(at(2, 8), at(2, 9)));
        assert!(!is_up_to_date(at(2, 99), at(3, 1)));
    }

    #[test]
    fn threat_34_one_vote_a_view() {
        let [one, two] = [ReplicaId(1), ReplicaId(2)];
        assert!(may_vote(None, one, at(1, 1), at(1, 1)));
        assert!(may_vote(Some(one), one, at(1, 1), at(1, 1)), "an answer that was lost is given again");
        assert!(!may_vote(Some(one), two, at(9, 9), at(1, 1)));
    }

    #[test]
    fn threat_33_an_older_views_entry_is_not_committed_by_counting() {
        // Figure 3.7 (c): in view 4, the entry of view 2 at height 2 is on a majority of five.
        let views =
            |height: Height| [Some(0), Some(1), Some(2), Some(4)].get(height as usize).copied().flatten();
        assert_eq!(committable([3, 2, 2, 1, 1].into_iter(), 3, 4, views), None);
        // (e): an entry of view 4 above it is, and both are committed.
        assert_eq!(committable([3, 3, 3, 1, 1].into_iter(), 3, 4, views), Some(3));
    }

    #[test]
    fn too_few_replicas_commit_nothing() {
        assert_eq!(committable([5].into_iter(), 2, 1, |_| Some(1)), None);
        assert_eq!(committable(std::iter::empty(), 0, 1, |_| Some(1)), None);
    }

    proptest! {
        /// A majority has it, and no majority has more.
        #[test]
        fn what_is_committed_is_on_a_majority(matched in proptest::collection::vec(0_u64..20, 1..9)) {
            let quorum = matched.len() / 2 + 1;
            let height = committable(matched.iter().copied(), quorum, 1, |_| Some(1)).expect("all are of this view");
            prop_assert!(matched.iter().filter(|other| **other >= height).count() >= quorum);
            prop_assert!(matched.iter().filter(|other| **other > height).count() < quorum);
        }
    }
}
