//! What chained HotStuff may commit, and what may be voted for, from the promises on disks alone: the papers' lemmas, and nothing
//! of the engine's rules.
//!
//! A certificate is a quorum's word, of which some may be liars'. So at least as many disks as a quorum has without the run's liars hold
//! the vote for whatever is certified, and as many hold a timeout for whatever view has a timeout certificate.

use super::Agreement;
use crate::checker::{Verdict, broken};
use bft_core::genesis::Chain;
use bft_core::ledger::LedgerEntry;
use bft_core::types::{Digest, Height, ReplicaId, View};
use engines::{AnyMessage, AnyRecord};
use hotstuff::{Message, Node, Record};
use std::collections::{BTreeMap, BTreeSet};

/// The votes and timeouts of a run.
#[derive(Debug)]
pub(super) struct Chained {
    chain: Chain,
    /// How many disks hold a promise at least, if a quorum made it.
    honest: usize,
    nodes: BTreeMap<Digest, (Node, BTreeSet<ReplicaId>)>,
    /// By view and replica, the view of the highest certificate that its timeout shows.
    timeouts: BTreeMap<View, BTreeMap<ReplicaId, View>>,
    /// What chains of certificates commit, by height. An equivocator's other face may be among it, since liars' votes are not seen.
    committed: BTreeSet<(Height, Digest)>,
}

impl Chained {
    pub fn new(chain: Chain, honest: usize) -> Chained {
        Chained {
            chain,
            honest,
            nodes: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            committed: BTreeSet::new(),
        }
    }

    /// A node that may be certified.
    fn certified(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.get(digest).filter(|(_, voters)| voters.len() >= self.honest).map(|(node, _)| node)
    }

    fn voted(&mut self, replica: ReplicaId, node: Node) {
        let digest = node.digest();
        let (_, voters) = self.nodes.entry(digest).or_insert_with(|| (node, BTreeSet::new()));
        if !voters.insert(replica) || voters.len() != self.honest {
            return;
        }
        // It is certified now: two, or three, in views that follow each other commit the first.
        let links = if self.chain == Chain::Two { 1 } else { 2 };
        let mut first = node;
        for _ in 0..links {
            match self.certified(&first.parent) {
                Some(parent) if parent.view + 1 == first.view => first = *parent,
                _ => return,
            }
        }
        let mut below = Some(first);
        while let Some(node) = below
            && self.committed.insert((node.height, node.block))
        {
            below = self.nodes.get(&node.parent).map(|(node, _)| *node);
        }
    }

    fn may_vote(&self, replica: ReplicaId, node: &Node) -> Verdict {
        // View 0 is the genesis, which needs no votes.
        if node.parent_view > 0 && self.certified(&node.parent).is_none() {
            return broken(
                "votes are for children of certified nodes",
                format!("{replica} votes for {node:?}"),
            );
        }
        if node.parent_view + 1 == node.view {
            return Ok(());
        }
        let timeouts = self.timeouts.get(&(node.view - 1));
        let mut shown: Vec<View> = timeouts.into_iter().flat_map(BTreeMap::values).copied().collect();
        shown.sort_unstable();
        // Whoever signed, the certificate shows this one or a higher one.
        let Some(least) = shown.get(self.honest - 1) else {
            return broken(
                "a tenure ends by a quorum of timeouts",
                format!("{replica} votes for {node:?} after {timeouts:?}"),
            );
        };
        if self.chain == Chain::Two && node.parent_view < *least {
            return broken(
                "nothing below what a timeout certificate reports is voted for",
                format!("{replica} votes for {node:?} after {timeouts:?}"),
            );
        }
        Ok(())
    }
}

impl Agreement for Chained {
    fn durable(&mut self, replica: ReplicaId, record: &AnyRecord) {
        let AnyRecord::HotStuff(record) = record else { return };
        match record {
            Record::Vote(ballot) => self.voted(replica, ballot.node),
            Record::Timeout(left) => {
                let (view, high) = (left.timeout.view, left.timeout.high.node.view);
                let shown = self.timeouts.entry(view).or_default().entry(replica).or_insert(high);
                *shown = high.min(*shown);
            }
        }
    }

    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Verdict {
        let AnyMessage::HotStuff(message) = message else { return Ok(()) };
        match message {
            Message::Proposal(proposal) => self.may_vote(replica, &proposal.node()),
            Message::Vote(node) => self.may_vote(replica, node),
            Message::Timeout(_)
            | Message::Certificate(_)
            | Message::TimeoutCertificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => Ok(()),
        }
    }

    fn commits(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Verdict {
        if self.committed.contains(&(entry.height, entry.block)) {
            return Ok(());
        }
        broken(
            "what is committed follows from certificates",
            format!("{replica} is the first to execute {entry:?}, which no chain of certificates commits"),
        )
    }
}
