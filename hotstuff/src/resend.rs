//! Retransmission: asks again for what it lacks, and sends again what others lack.

use crate::engine::{HotStuff, Out, to_one};
use crate::message::{Message, Node, Proposal, Status};
use crate::record::Ballot;
use bft_core::engine::Output;
use bft_core::envelope::{Promised, Seal};
use bft_core::mutants::Mutant;
use bft_core::types::{Height, Time};
use crypto::{Digest, ReplicaId, Share};

impl HotStuff {
    /// As leader, says its proposal again to those who have not voted; else says its vote again, and to the leader how far it is.
    /// One message each way, so that it stays linear. A leader may be behind itself, and one that nothing waits for need not answer:
    /// then one of the others is told in its place, in turn.
    pub(crate) fn on_resend(&mut self, now: Time, out: &mut Out) {
        self.timing.said_again();
        if Mutant::NoRetransmission.is_on() {
            return;
        }
        let others = self.others();
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn % others.len().max(1);
        let leader = self.leader(self.view);
        let asked = if leader == self.config.me || self.waiting_since().is_none() {
            others.get(turn).copied()
        } else {
            Some(leader)
        };
        if let Some(asked) = asked {
            let (view, high, committed) = (self.view, self.high.node.view, self.committed);
            to_one(asked, Message::Status(Status { view, high, committed }), out);
        }
        // Only a leader has one. One that has just left is still on its way: blocks are large, and the timer does not begin anew with
        // each.
        let pause = self.config.limits.view_timeout() / 4;
        let is_old = |proposal: &Proposal| {
            let known = self.tree.get(&proposal.node().digest());
            known.is_none_or(|known| now.since(known.since) >= pause)
        };
        if let Some(proposal) = self.own_proposal().filter(is_old) {
            let node = proposal.node();
            let voted = |replica: &ReplicaId| self.votes.get(replica).is_some_and(|(v, _)| *v == node);
            for replica in self.others().into_iter().filter(|replica| !voted(replica)) {
                to_one(replica, Message::Proposal(Box::new(proposal.clone())), out);
            }
        }
        if let Some(node) = self.pending_vote().map(|ballot| ballot.node).filter(|_| leader != self.config.me)
        {
            for collector in self.collectors(node.view) {
                to_one(collector, Message::Vote(node), out);
            }
        }
        self.asked = false;
        // Any of the others may have what is missing.
        if let Some(other) = others.get(turn) {
            self.settle(now, *other, out);
        }
    }

    /// Its vote in this view, which is not certified yet. Who has given up the tenure says no more of it.
    pub(crate) fn pending_vote(&self) -> Option<&Ballot> {
        self.ballot.as_ref().filter(|ballot| ballot.node.view == self.view && !self.has_left())
    }

    /// As leader: its proposal in this view, as it was.
    pub(crate) fn own_proposal(&self) -> Option<Proposal> {
        let ballot = self.pending_vote().filter(|_| self.leads())?;
        let block = self.tree.get(&self.ballot_digest)?.body.clone()?;
        Some(Proposal { view: self.view, block, justify: ballot.justify.clone(), tc: ballot.tc.clone() })
    }

    /// What it holds of a replica's promises: the last votes and timeouts, where this one collects them, and proposals.
    pub(crate) fn held_of(&self, replica: ReplicaId) -> Vec<Promised> {
        let domain = self.config.domain;
        let promised = |statement, share: &Share| Promised { statement, seal: Seal::Share(share.clone()) };
        let timeout = self.timeouts.get(&replica);
        let timeout = timeout.map(|(timeout, share)| promised(timeout.statement(&domain), share));
        let vote = self.votes.get(&replica).filter(|(node, _)| node.height > self.stable);
        let vote = vote.map(|(node, share)| promised(node.statement(&domain), share));
        let proposed = self.tree.iter().filter(|(_, known)| self.leader(known.node.view) == replica);
        let last = proposed
            .filter_map(|(_, known)| Some((known.node, known.proposed.as_ref()?)))
            .max_by_key(|(node, _)| node.view)
            .map(|(node, share)| promised(node.statement(&domain), share));
        timeout.into_iter().chain(vote).chain(last).collect()
    }

    pub(crate) fn on_status(&mut self, from: ReplicaId, status: Status, out: &mut Out) {
        if status.committed < self.stable {
            out.push(Output::Advise { to: from });
        }
        self.tell(from, status.high, status.view, out);
    }

    /// Gives the part of a branch that is known here.
    pub(crate) fn on_fetch_nodes(&self, from: ReplicaId, tip: Digest, above: Height, out: &mut Out) {
        let most = usize::try_from(self.config.limits.reach()).unwrap_or(usize::MAX);
        let nodes: Vec<Node> = self.tree.branch(tip, above).take(most).map(|known| known.node).collect();
        if nodes.is_empty() {
            // What is stable is fetched by height.
            out.push(Output::Advise { to: from });
        } else {
            to_one(from, Message::Nodes(nodes), out);
        }
    }

    /// Nodes that were asked for: they hang on the certified branch by their digests, and anything else is dropped.
    pub(crate) fn on_nodes(&mut self, now: Time, from: ReplicaId, nodes: &[Node], out: &mut Out) {
        let mut wanted = self.lowest_known().parent;
        for node in nodes {
            if node.digest() != wanted || node.height <= self.committed {
                break;
            }
            self.tree.learn(now, *node);
            wanted = node.parent;
            self.asked = false;
        }
        self.prune_branches();
        self.settle(now, from, out);
    }

    /// The lowest node of the certified branch that is known without a gap.
    pub(crate) fn lowest_known(&self) -> Node {
        self.tree.branch(self.high_digest, self.committed).last().map_or(self.high.node, |known| known.node)
    }
}
