//! The safety rules: pure functions to be read beside the paper. The engine asks them "may I?"; it does nothing they do not
//! allow.

use crate::message::{Prepared, ViewChange, Vote};
use crate::mutants;
use bft_core::ledger::CheckpointCertificate;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, View};
use crypto::{Digest, ReplicaId};
use std::collections::BTreeMap;

/// The highest height that may be voted on (4.2, "between a low water mark and a high water mark"): no further than `window`
/// beyond what is executed here, nor twice that beyond the stable checkpoint.
pub fn high_water_mark(executed: Height, stable: Height, window: u64) -> Height {
    let executed = if Mutant::WindowIgnored.is_on() { Height::MAX } else { executed };
    executed.saturating_add(window).min(stable.saturating_add(2 * window))
}

/// Whether to prepare `block` in `view` (4.2): not after a prepare of a later view, and in the same view only the same block.
pub fn may_prepare(voted: Option<&Vote>, view: View, block: &Digest) -> bool {
    Mutant::SecondVote.is_on()
        || voted.is_none_or(|voted| voted.view < view || (voted.view == view && voted.block == *block))
}

/// Whether to accept `block` at `height` in a view whose plan fixed every height up to `top` (4.4): those that the plan leaves
/// out are under its checkpoint, and nothing is agreed on there again.
pub fn is_as_planned(planned: Option<&Digest>, top: Height, height: Height, block: &Digest) -> bool {
    match planned {
        Some(planned) => planned == block,
        None => height > top,
    }
}

/// Whether a certificate takes the place of the one held for its height: of several, the one of the highest view counts (4.4).
pub fn supersedes(new: &Prepared, held: Option<&Prepared>) -> bool {
    held.is_none_or(|held| new.vote.view > held.vote.view && !Mutant::FirstCertificateStays.is_on())
}

/// The view to join (4.5.2): the highest that `believable` = f+1 others have reached, if that is beyond `mine`. Among f+1 is
/// an honest one, so f liars can neither force a view change nor a jump.
pub fn view_to_join(others: &BTreeMap<ReplicaId, View>, mine: View, believable: usize) -> Option<View> {
    let mut views: Vec<View> = others.values().copied().collect();
    views.sort_unstable_by(|a, b| b.cmp(a));
    views.get(believable.checked_sub(1)?).copied().filter(|view| *view > mine)
}

/// What a new view begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The highest stable checkpoint among the view-changes (the paper's min-s).
    pub stable: CheckpointCertificate,
    /// For each height from there to the highest prepared one (max-s), the block prepared in the highest view, or none:
    /// a null block.
    pub blocks: BTreeMap<Height, Option<Digest>>,
}

impl Plan {
    /// The highest height planned, or that of the checkpoint.
    pub fn top(&self) -> Height {
        self.blocks.last_key_value().map_or(self.stable.height(), |(height, _)| *height)
    }
}

/// What follows from a quorum of verified view-changes (4.4, the computation of O). None if there are none.
pub fn plan<'a>(changes: impl Iterator<Item = &'a ViewChange> + Clone) -> Option<Plan> {
    let rank = |height: Height| Mutant::LowestCheckpointWins.flips(height);
    let stable = &changes.clone().max_by_key(|change| rank(change.stable.height()))?.stable;
    let mut highest: BTreeMap<Height, &Vote> = BTreeMap::new();
    for Prepared { vote, .. } in changes.flat_map(|change| &change.prepared) {
        let rank = |view: View| Mutant::LowestViewWins.flips(view);
        let beats = |held: &&Vote| rank(held.view) < rank(vote.view);
        if vote.height > stable.height() && highest.get(&vote.height).is_none_or(beats) {
            highest.insert(vote.height, vote);
        }
    }
    let top = highest.last_key_value().map_or(stable.height(), |(height, _)| *height);
    let blocks = (stable.height() + 1..=top)
        .map(|height| (height, highest.get(&height).map(|vote| vote.block)))
        .collect();
    Some(mutants::mutate(Plan { stable: stable.clone(), blocks }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::ledger::LedgerEntry;
    use crypto::Certificate;

    fn vote(view: View, height: Height, block: u8) -> Vote {
        Vote { view, height, block: Digest([block; 32]) }
    }

    fn checkpoint(height: Height) -> CheckpointCertificate {
        let zero = Digest::ZERO;
        let entry = LedgerEntry {
            epoch: 1,
            height,
            block: zero,
            time: 0,
            receipts_root: zero,
            state_root: Some(zero),
            next_epoch: None,
            previous: zero,
        };
        CheckpointCertificate { entry, proof: None }
    }

    fn change(stable: Height, prepared: &[(View, Height, u8)]) -> ViewChange {
        let certificate = Certificate::Threshold([0; 48]);
        let prepared = prepared
            .iter()
            .map(|(v, h, b)| Prepared { vote: vote(*v, *h, *b), certificate: certificate.clone() })
            .collect();
        ViewChange { view: 9, stable: checkpoint(stable), prepared }
    }

    fn planned(changes: &[ViewChange]) -> (Height, Vec<(Height, Option<u8>)>) {
        let plan = plan(changes.iter()).expect("there are view-changes");
        let blocks =
            plan.blocks.iter().map(|(height, block)| (*height, block.map(|block| block.0[0]))).collect();
        (plan.stable.height(), blocks)
    }

    #[test]
    fn threat_11_the_window_is_bounded_by_execution_and_by_the_checkpoint() {
        assert_eq!(high_water_mark(10, 8, 4), 14);
        assert_eq!(high_water_mark(20, 8, 4), 16);
        assert_eq!(high_water_mark(u64::MAX, u64::MAX, 4), u64::MAX);
    }

    #[test]
    fn threat_1_one_block_per_view_and_height() {
        let a = Digest([1; 32]);
        let b = Digest([2; 32]);
        assert!(may_prepare(None, 0, &a));
        assert!(may_prepare(Some(&vote(3, 1, 1)), 3, &a));
        assert!(!may_prepare(Some(&vote(3, 1, 1)), 3, &b));
        assert!(may_prepare(Some(&vote(3, 1, 1)), 4, &b));
        assert!(!may_prepare(Some(&vote(3, 1, 1)), 2, &a));
    }

    #[test]
    fn threat_16_f_replicas_neither_force_a_view_change_nor_a_jump() {
        let views = |list: &[View]| list.iter().enumerate().map(|(i, v)| (ReplicaId(i as u16), *v)).collect();
        assert_eq!(view_to_join(&views(&[u64::MAX]), 3, 2), None);
        assert_eq!(view_to_join(&views(&[u64::MAX, 5]), 3, 2), Some(5));
        assert_eq!(view_to_join(&views(&[u64::MAX, 5, 7]), 3, 2), Some(7));
        assert_eq!(view_to_join(&views(&[4, 3, 3]), 3, 2), None);
        assert_eq!(view_to_join(&views(&[]), 0, 1), None);
    }

    #[test]
    fn the_highest_view_s_certificate_and_the_highest_checkpoint_count() {
        let changes = [change(4, &[(1, 5, 1), (1, 6, 1)]), change(4, &[(2, 5, 2)]), change(3, &[(0, 4, 9)])];
        assert_eq!(planned(&changes), (4, vec![(5, Some(2)), (6, Some(1))]));
        // The order of the view-changes does not matter.
        let reversed: Vec<ViewChange> = changes.iter().rev().cloned().collect();
        assert_eq!(planned(&reversed), planned(&changes));
    }

    #[test]
    fn threat_6_a_checkpoint_above_some_prepared_heights_covers_them() {
        assert_eq!(planned(&[change(0, &[(0, 1, 1), (0, 2, 1)]), change(2, &[])]), (2, vec![]));
    }

    #[test]
    fn threat_7_holes_become_null_blocks() {
        assert_eq!(planned(&[change(0, &[(0, 3, 7)])]), (0, vec![(1, None), (2, None), (3, Some(7))]));
        assert_eq!(plan([].into_iter()), None);
    }
}
