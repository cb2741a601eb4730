//! The tree of nodes above the stable height.

use crate::message::Node;
use crate::record::Ballot;
use bft_core::block::Block;
use bft_core::types::{Height, Time, View};
use crypto::{Digest, Share};
use std::collections::{BTreeMap, BTreeSet};

/// What a replica knows of one node.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub node: Node,
    /// Its block, until it is committed.
    pub body: Option<Block>,
    /// Whether nothing waits for this node to be committed: its block was here, is empty, and asks for no checkpoint.
    pub idle: bool,
    /// Whether the block is on disk, or on its way there.
    pub stored: bool,
    /// The leader's share, where the proposal was here.
    pub proposed: Option<Share>,
    /// This replica's own vote for it. Invariant: it is on disk, or on its way there before any promise.
    pub voted: Option<Ballot>,
    /// Since when it is here.
    pub since: Time,
}

/// Whether a block only flushes what is below it.
pub(crate) fn is_idle(block: &Block) -> bool {
    block.payload.is_empty() && !block.header.checkpoint
}

impl Known {
    /// Its block is here.
    pub fn keep(&mut self, block: Block) {
        self.idle = is_idle(&block);
        self.body = Some(block);
    }
}

/// Nodes by digest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeMap<Digest, Known>);

impl Tree {
    pub fn get(&self, digest: &Digest) -> Option<&Known> {
        self.0.get(digest)
    }

    pub fn node(&self, digest: &Digest) -> Option<&Node> {
        self.0.get(digest).map(|known| &known.node)
    }

    pub fn get_mut(&mut self, digest: &Digest) -> Option<&mut Known> {
        self.0.get_mut(digest)
    }

    /// Enters a node without its block.
    pub fn learn(&mut self, now: Time, node: Node) -> &mut Known {
        let (body, proposed, voted) = (None, None, None);
        let fresh = Known { node, body, idle: false, stored: false, proposed, voted, since: now };
        self.0.entry(node.digest()).or_insert(fresh)
    }

    /// The node that the leader of `view` proposed here.
    pub fn proposed_in(&self, view: View) -> Option<&Known> {
        self.0.values().find(|known| known.node.view == view && known.proposed.is_some())
    }

    /// Nodes whose block is `block`.
    pub fn with_block(&mut self, block: Digest) -> impl Iterator<Item = &mut Known> {
        self.0.values_mut().filter(move |known| known.node.block == block)
    }

    /// The node `tip` and those it extends, as far down as they are known, above `low`.
    pub fn branch(&self, tip: Digest, low: Height) -> impl Iterator<Item = &Known> {
        std::iter::successors(self.0.get(&tip), |known| self.0.get(&known.node.parent))
            .take_while(move |known| known.node.height > low)
    }

    /// The digests of the same.
    pub fn digests(&self, tip: Digest, low: Height) -> impl Iterator<Item = Digest> {
        let first = self.0.get(&tip).map(|known| (tip, known));
        std::iter::successors(first, |(_, known)| Some((known.node.parent, self.0.get(&known.node.parent)?)))
            .take_while(move |(_, known)| known.node.height > low)
            .map(|(name, _)| name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &Known)> {
        self.0.iter()
    }

    /// Forgets the nodes from height `lowest` on that are not among `keep`.
    pub fn retain(&mut self, lowest: Height, keep: &BTreeSet<Digest>) {
        self.0.retain(|digest, known| known.node.height < lowest || keep.contains(digest));
    }

    /// Forgets what is not above `stable`.
    pub fn prune(&mut self, stable: Height) {
        self.0.retain(|_, known| known.node.height > stable);
    }

    /// Forgets the blocks of nodes that are not above `committed`: the host has the one that was committed, and nobody needs
    /// the others.
    pub fn drop_bodies(&mut self, committed: Height) {
        for known in self.0.values_mut().filter(|known| known.node.height <= committed) {
            known.body = None;
        }
    }
}
