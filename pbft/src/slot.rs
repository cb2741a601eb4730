//! What a replica knows of one height above the stable checkpoint.

use crate::message::{Committed, Prepared, Vote};
use bft_core::block::Block;
use bft_core::envelope::Seal;
use bft_core::evidence::Evidence;
use bft_core::mutants::Mutant;
use bft_core::types::{Time, View};
use crypto::{Digest, ReplicaId, Share, Statement};
use std::collections::{BTreeMap, BTreeSet};

/// A prepare or commit as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    pub view: View,
    pub block: Digest,
    pub share: Share,
}

/// A proposal of a view that is not entered yet.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    pub view: View,
    pub block: Block,
    pub share: Share,
}

/// One height.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    /// The block accepted, and in which view. Invariant: its body is in `bodies`, unless the height is committed.
    pub accepted: Option<(View, Digest)>,
    /// One per signer: of the highest view it cast one in.
    pub prepares: BTreeMap<ReplicaId, Cast>,
    /// One per signer: of the highest view it cast one in.
    pub commits: BTreeMap<ReplicaId, Cast>,
    /// Whose shares were bad in the current view.
    pub refused: BTreeSet<ReplicaId>,
    /// This replica's own last prepare. Invariant: it is on disk, or on its way there before any promise.
    pub voted: Option<Vote>,
    /// The certificate of the highest view.
    pub prepared: Option<Prepared>,
    /// Shares are being combined for this view.
    pub combining: Option<View>,
    /// What the leader that collects votes says is prepared. It counts once the block is accepted.
    pub collected: Option<Prepared>,
    /// As collector: commits are being combined for this view, or have been.
    pub collecting: Option<View>,
    /// Where the leader collects votes: the quorum's word that the height is decided.
    pub decided: Option<Committed>,
    /// Decided.
    pub committed: Option<Digest>,
    /// Known bodies. At most the accepted, the early, the prepared and the decided one.
    pub bodies: BTreeMap<Digest, Block>,
    /// Bodies that are on disk, or on their way there.
    pub stored: BTreeSet<Digest>,
    /// A proposal of a later view.
    pub early: Option<Early>,
    /// Since when something waits to be decided here.
    pub since: Option<Time>,
}

impl Cast {
    /// Evidence against `from`, who cast both votes, if they are of one view and for different blocks. `said`: what it signed.
    pub fn against(
        &self,
        other: &Cast,
        from: ReplicaId,
        said: impl Fn(View, Digest) -> Statement,
    ) -> Option<Evidence> {
        let sealed = |cast: &Cast| (said(cast.view, cast.block), Seal::Share(cast.share.clone()));
        let comparable = self.view == other.view || Mutant::EvidenceAcrossViews.is_on();
        (comparable && self.block != other.block).then(|| Evidence::new(from, sealed(self), sealed(other)))
    }
}

impl Early {
    /// The leader's prepare in it.
    pub fn cast(&self) -> Cast {
        Cast { view: self.view, block: self.block.digest(), share: self.share.clone() }
    }
}

impl Slot {
    /// The block accepted in `view`.
    pub fn accepted_in(&self, view: View) -> Option<Digest> {
        self.accepted.filter(|(accepted, _)| *accepted == view).map(|(_, block)| block)
    }

    /// Shares of prepares cast for `block` in `view` by replicas whose shares are not known to be bad.
    pub fn shares(&self, view: View, block: &Digest) -> Vec<(ReplicaId, Share)> {
        self.good(&self.prepares, view, block)
    }

    /// The same of commits.
    pub fn commit_shares(&self, view: View, block: &Digest) -> Vec<(ReplicaId, Share)> {
        self.good(&self.commits, view, block)
    }

    fn good(&self, votes: &BTreeMap<ReplicaId, Cast>, view: View, block: &Digest) -> Vec<(ReplicaId, Share)> {
        let matching = votes
            .iter()
            .filter(|(from, cast)| cast.view == view && cast.block == *block && !self.refused.contains(from));
        matching.map(|(from, cast)| (*from, cast.share.clone())).collect()
    }

    /// Who cast a prepare in `view`, by block.
    pub fn prepared_by(&self, view: View) -> BTreeMap<Digest, Vec<ReplicaId>> {
        let mut by_block: BTreeMap<Digest, Vec<ReplicaId>> = BTreeMap::new();
        for (from, cast) in self.prepares.iter().filter(|(_, cast)| cast.view == view) {
            by_block.entry(cast.block).or_default().push(*from);
        }
        by_block
    }

    /// Who sent commit, by view and block.
    pub fn committed_by(&self) -> BTreeMap<(View, Digest), Vec<ReplicaId>> {
        let mut by_vote: BTreeMap<(View, Digest), Vec<ReplicaId>> = BTreeMap::new();
        for (from, vote) in &self.commits {
            by_vote.entry((vote.view, vote.block)).or_default().push(*from);
        }
        by_vote
    }

    /// Forgets bodies that nothing refers to any more, given what the plan says of this height.
    pub fn drop_bodies(&mut self, planned: Option<Digest>) {
        let accepted = self.accepted.map(|(_, block)| block);
        let prepared = self.prepared.as_ref().map(|prepared| prepared.vote.block);
        let voted = self.voted.map(|vote| vote.block);
        let keep = [accepted, prepared, voted, self.committed, planned];
        self.bodies.retain(|digest, _| keep.contains(&Some(*digest)));
    }
}
