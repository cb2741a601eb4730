//! The safety rules: pure functions to be read beside the papers. The engine asks them "may I?"; it does nothing they do not
//! allow.

use crate::message::Node;
use bft_core::genesis::Chain;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, View};
use crypto::{Digest, ReplicaId};
use std::collections::BTreeMap;

/// The highest height that may be voted on: no further than `window` beyond what is executed here, nor twice that beyond the
/// stable checkpoint.
pub fn highest(executed: Height, stable: Height, window: u64) -> Height {
    executed.saturating_add(window).min(stable.saturating_add(2 * window))
}

/// The place of a view's leader in the order of leaders: tenures take turns.
pub fn tenure(view: View, tenure_views: u64) -> u64 {
    view / tenure_views
}

/// The last view of the tenure that `view` belongs to.
pub fn last_of_tenure(view: View, tenure_views: u64) -> View {
    let first = tenure(view, tenure_views) * tenure_views;
    first.saturating_add(tenure_views - 1)
}

/// Whether a tenure has so few views left that the next leader is to be told what it may propose. Sooner, most of it would be
/// proposed by the present one.
pub fn ends_soon(view: View, tenure_views: u64) -> bool {
    const VIEWS: u64 = 8;
    last_of_tenure(view, tenure_views).saturating_sub(view) < VIEWS.min(tenure_views / 2)
}

/// What a timeout certificate allows: the views up to `view` are over, and a node that begins the next one has to extend a
/// certified one of `high` or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// The view that timed out.
    pub view: View,
    /// The highest of the QCs that its signers knew.
    pub high: View,
}

/// Whether a proposal may begin `view`: by the QC of the view before, or a TC of it (Jolteon, figure 2, "valid round").
pub fn follows(view: View, justify: View, tc: Option<Leave>) -> bool {
    justify.checked_add(1) == Some(view) || tc.is_some_and(|tc| tc.view.checked_add(1) == Some(view))
}

/// What a replica remembers for its votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safety {
    /// It has voted, or timed out, in this view, and votes in later ones only (the paper's vheight).
    pub voted: View,
    /// The view of the node that it is locked on (the paper's lockedQC).
    pub locked: View,
}

/// Whether to vote for a node of `view` whose parent is certified in view `justify`.
///
/// - Both rules: once a view, and in growing views (the paper's algorithm 5, line 17: `n.height > vheight`).
/// - Three: `safeNode` (algorithm 1, line 26): `node` extends the locked node, or its QC is of a later view than the lock.
///   A QC of the lock's own view certifies the locked node itself; so both conditions are one comparison.
/// - Two: Jolteon, figure 2, "safe to vote": the QC is of the view right before, or no lower than any that the TC reports.
pub fn may_vote(chain: Chain, safety: Safety, view: View, justify: View, tc: Option<Leave>) -> bool {
    let fresh = view > safety.voted || Mutant::SecondVote.is_on();
    let safe = match chain {
        Chain::Three => justify >= safety.locked || Mutant::LockIgnored.is_on(),
        Chain::Two => {
            justify.checked_add(1) == Some(view)
                || tc.is_some_and(|tc| justify >= tc.high || Mutant::ReportsIgnored.is_on())
        }
    };
    fresh && safe && follows(view, justify, tc)
}

/// The lock after a QC of `certified` is known: its parent is certified by that QC's node a second time (algorithm 3, line 23;
/// algorithm 5, line 8).
pub fn lock(locked: View, certified: &Node) -> View {
    if Mutant::NeverLocked.is_on() { locked } else { locked.max(certified.parent_view) }
}

/// The node that a QC of `certified` commits, if it does: `parent` is the node that it extends, where it is known.
///
/// - Three: algorithm 3, line 25, and section 5, "three-chain": views v−2, v−1, v commit v−2.
/// - Two: Jolteon, figure 2, "commit": views v−1, v commit v−1.
pub fn committed(chain: Chain, certified: &Node, parent: Option<&Node>) -> Option<Digest> {
    let consecutive = |node: &Node| {
        node.parent_view.checked_add(1) == Some(node.view) || Mutant::ViewsNeedNotFollow.is_on()
    };
    if !consecutive(certified) {
        return None;
    }
    match chain {
        Chain::Two => Some(certified.parent),
        Chain::Three if Mutant::TwoOfThree.is_on() => Some(certified.parent),
        Chain::Three => parent.filter(|parent| consecutive(parent)).map(|parent| parent.parent),
    }
}

/// The view to time out in: the highest that `believable` = f+1 others timed out in, if that is at least `least`. Among f+1 is
/// an honest one, so f liars can neither end a tenure nor force a jump.
pub fn view_to_join(others: &BTreeMap<ReplicaId, View>, least: View, believable: usize) -> Option<View> {
    let mut views: Vec<View> = others.values().copied().collect();
    views.sort_unstable_by(|a, b| b.cmp(a));
    views.get(believable.checked_sub(1)?).copied().filter(|view| *view >= least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::committee::Committee;
    use crypto::FaultModel;
    use proptest::prelude::*;

    fn node(view: View, parent_view: View, parent: u8) -> Node {
        Node { view, height: 9, parent: Digest([parent; 32]), parent_view, block: Digest::ZERO }
    }

    const NO_LOCK: Safety = Safety { voted: 0, locked: 0 };

    #[test]
    fn a_view_begins_by_the_certificate_of_the_view_before() {
        assert!(follows(5, 4, None));
        assert!(!follows(5, 3, None));
        assert!(follows(8, 3, Some(Leave { view: 7, high: 3 })));
        assert!(!follows(9, 3, Some(Leave { view: 7, high: 3 })));
        assert!(!follows(u64::MAX, 3, Some(Leave { view: u64::MAX, high: 3 })));
    }

    #[test]
    fn the_next_leader_hears_of_transactions_at_the_end_of_a_tenure() {
        let told = |views: u64| (0..2 * views).filter(|view| ends_soon(*view, views)).collect::<Vec<_>>();
        assert_eq!(told(4), [2, 3, 6, 7]);
        assert_eq!(told(64), [56..64, 120..128].into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn threat_21_one_vote_a_view_and_none_after_a_timeout_in_it() {
        for chain in [Chain::Two, Chain::Three] {
            assert!(may_vote(chain, Safety { voted: 4, locked: 0 }, 5, 4, None));
            assert!(!may_vote(chain, Safety { voted: 5, locked: 0 }, 5, 4, None));
            assert!(!may_vote(chain, Safety { voted: 7, locked: 0 }, 5, 4, None));
        }
    }

    #[test]
    fn three_chains_vote_at_or_above_the_lock() {
        let tc = Some(Leave { view: 7, high: 2 });
        let locked = |locked| Safety { voted: 6, locked };
        assert!(may_vote(Chain::Three, locked(3), 8, 3, tc));
        assert!(may_vote(Chain::Three, locked(3), 8, 4, tc));
        assert!(!may_vote(Chain::Three, locked(3), 8, 2, tc));
    }

    #[test]
    fn threat_23_two_chains_vote_for_nothing_below_what_a_timeout_certificate_reports() {
        let tc = Some(Leave { view: 7, high: 4 });
        assert!(may_vote(Chain::Two, NO_LOCK, 8, 4, tc));
        assert!(may_vote(Chain::Two, NO_LOCK, 8, 7, tc));
        assert!(!may_vote(Chain::Two, NO_LOCK, 8, 3, tc));
        assert!(!may_vote(Chain::Two, NO_LOCK, 8, 4, None));
    }

    #[test]
    fn a_lock_only_rises() {
        assert_eq!(lock(3, &node(6, 5, 1)), 5);
        assert_eq!(lock(7, &node(6, 5, 1)), 7);
    }

    #[test]
    fn threat_18_only_consecutive_views_commit() {
        let committed = |chain, view, parent_view, grandparent_view| {
            committed(chain, &node(view, parent_view, 1), Some(&node(parent_view, grandparent_view, 2)))
        };
        assert_eq!(committed(Chain::Three, 5, 4, 3), Some(Digest([2; 32])));
        assert_eq!(committed(Chain::Three, 6, 4, 3), None);
        assert_eq!(committed(Chain::Three, 5, 4, 2), None);
        assert_eq!(committed(Chain::Two, 5, 4, 2), Some(Digest([1; 32])));
        assert_eq!(committed(Chain::Two, 6, 4, 3), None);
        assert_eq!(super::committed(Chain::Three, &node(5, 4, 1), None), None);
    }

    #[test]
    fn f_replicas_neither_end_a_tenure_nor_force_a_jump() {
        let views = |list: &[View]| list.iter().enumerate().map(|(i, v)| (ReplicaId(i as u16), *v)).collect();
        assert_eq!(view_to_join(&views(&[u64::MAX]), 7, 2), None);
        assert_eq!(view_to_join(&views(&[u64::MAX, 7]), 7, 2), Some(7));
        assert_eq!(view_to_join(&views(&[15, 15, 7]), 7, 2), Some(15));
        assert_eq!(view_to_join(&views(&[6, 6, 6]), 7, 2), None);
    }

    proptest! {
        /// Whatever f replicas do, n tenures in a row hold n − f tenures of honest leaders, and each is long enough for a
        /// three-chain of its own.
        #[test]
        fn threat_27_no_choice_of_f_liars_breaks_every_run_of_honest_leaders(
            f in 1_usize..=10, tenure_views in 4_u64..=64, start in 0_u64..1 << 40,
            liars in proptest::collection::btree_set(0_u16..31, 0..=10),
        ) {
            let committee = Committee { replicas: 3 * f + 1, fault_model: FaultModel::Byzantine };
            let n = committee.replicas as u64;
            let liars: Vec<u16> = liars.into_iter().filter(|liar| u64::from(*liar) < n).take(f).collect();
            let first = (start / tenure_views) * tenure_views;
            let mut views_of = BTreeMap::new();
            let mut longest_honest_run = 0;
            let mut run = 0;
            for view in first..first + n * tenure_views {
                let leader = committee.in_turn(tenure(view, tenure_views));
                *views_of.entry(leader).or_insert(0) += 1;
                run = if liars.contains(&leader.0) { 0 } else { run + 1 };
                longest_honest_run = longest_honest_run.max(run);
                prop_assert_eq!(last_of_tenure(view, tenure_views) % tenure_views, tenure_views - 1);
            }
            prop_assert!(views_of.values().all(|views| *views == tenure_views), "tenures are spread evenly");
            prop_assert!(longest_honest_run >= 4);
        }
    }
}
