//! HotStuff, as the checkers, links and mutants see it.

use super::{History, Message, Promise, Record, Word};
use crate::checker::{Verdict, broken};
use bft_core::envelope::Rejection;
use bft_core::mutants::Mutant;
use bft_core::types::{Digest, ReplicaId, View};
use engines::AnyMessage;
use hotstuff::{Node, Timeout};
use std::collections::BTreeMap;

/// What only HotStuff's engine does, or its records and messages say.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::VoteQuorum,
    Mutant::HighUnsaid,
    Mutant::SecondVote,
    Mutant::LockIgnored,
    Mutant::NeverLocked,
    Mutant::TwoOfThree,
    Mutant::ReportsIgnored,
    Mutant::ViewsNeedNotFollow,
    Mutant::AnyCertificateIsHigh,
    Mutant::TimeoutQuorum,
    Mutant::VoteAfterTimeout,
    Mutant::JoinOne,
    Mutant::NoRetransmission,
    Mutant::VoteUnlogged,
    Mutant::TimeoutUnlogged,
    Mutant::StartWithoutVotes,
    Mutant::StartWithoutTimeouts,
    Mutant::AnyLeader,
    Mutant::JustifyUnproven,
    Mutant::HighUnproven,
];

fn vote_word(node: &Node) -> Word {
    // One a view, at whatever height.
    ("vote", node.view, 0, node.digest())
}

fn timeout_word(timeout: &Timeout) -> Word {
    let mut high = [0; 32];
    high[24..].copy_from_slice(&timeout.high.node.view.to_be_bytes());
    ("timeout", timeout.view, 0, Digest(high))
}

impl Message for hotstuff::Message {
    fn promise(&self) -> Option<Promise> {
        Some(match self {
            hotstuff::Message::Proposal(proposal) => {
                let node = proposal.node();
                // The window does not bound empty blocks, which only flush.
                let bounded = !proposal.block.payload.is_empty() || proposal.block.header.checkpoint;
                let votes_at = bounded.then_some(node.height);
                Promise { word: Some(vote_word(&node)), block: Some(node.block), votes_at }
            }
            hotstuff::Message::Vote(node) => {
                Promise { word: Some(vote_word(node)), block: Some(node.block), votes_at: None }
            }
            hotstuff::Message::Timeout(timeout) => {
                Promise { word: Some(timeout_word(timeout)), block: None, votes_at: None }
            }
            hotstuff::Message::Certificate(_)
            | hotstuff::Message::TimeoutCertificate(_)
            | hotstuff::Message::Status(_)
            | hotstuff::Message::FetchNodes(..)
            | hotstuff::Message::Nodes(_)
            | hotstuff::Message::Proposed(..) => return None,
        })
    }

    fn changes_views(&self) -> bool {
        match self {
            hotstuff::Message::Timeout(_)
            | hotstuff::Message::Certificate(_)
            | hotstuff::Message::TimeoutCertificate(_)
            | hotstuff::Message::Status(_)
            | hotstuff::Message::FetchNodes(..)
            | hotstuff::Message::Nodes(_) => true,
            hotstuff::Message::Proposal(_) | hotstuff::Message::Vote(_) | hotstuff::Message::Proposed(..) => {
                false
            }
        }
    }

    fn is_overlooked(&self, rejection: &Rejection) -> bool {
        let mutant = match (rejection, self) {
            (Rejection::Invalid("a proposal not from its view's leader"), _) => Mutant::AnyLeader,
            (Rejection::Certificate(_), hotstuff::Message::Timeout(_)) => Mutant::HighUnproven,
            (Rejection::Certificate(_), hotstuff::Message::Proposal(_)) => Mutant::JustifyUnproven,
            _ => return false,
        };
        mutant.is_on()
    }

    fn history(&self) -> Box<dyn History> {
        Box::new(Said::default())
    }
}

impl Record for hotstuff::Record {
    fn word(&self) -> Option<Word> {
        Some(match self {
            hotstuff::Record::Vote(ballot) => vote_word(&ballot.node),
            hotstuff::Record::Timeout(left) => timeout_word(&left.timeout),
        })
    }

    fn is_unlogged(&self) -> bool {
        match self {
            hotstuff::Record::Vote(_) => Mutant::VoteUnlogged.is_on(),
            hotstuff::Record::Timeout(_) => Mutant::TimeoutUnlogged.is_on(),
        }
    }

    fn is_passed_over(&self) -> bool {
        match self {
            hotstuff::Record::Vote(_) => Mutant::StartWithoutVotes.is_on(),
            hotstuff::Record::Timeout(_) => Mutant::StartWithoutTimeouts.is_on(),
        }
    }
}

/// What one replica has said, in any of its lives.
#[derive(Debug, Default)]
struct Said {
    /// What it voted for.
    votes: BTreeMap<Digest, Node>,
    /// The highest view that it voted in, and for what.
    last: Option<Node>,
    /// The highest view that it timed out in.
    left: View,
    /// The highest view of a certificate that a vote of it rested on.
    knew: View,
    /// The highest lock that its votes imply: of what it voted for, the parent's certificate certifies the grandparent a second time.
    locked: View,
}

impl Said {
    fn votes(&mut self, replica: ReplicaId, node: Node) -> Verdict {
        if self.last == Some(node) {
            return Ok(());
        }
        let last = self.last.map_or(0, |last| last.view);
        if node.view <= last.max(self.left) {
            return broken(
                "votes are cast in growing views, and none in a view that was given up",
                format!("{replica} has voted in view {last}, given up {} and votes for {node:?}", self.left),
            );
        }
        if node.parent_view < self.locked {
            return broken(
                "nothing below the lock is voted for",
                format!("{replica} is locked on view {} and votes for {node:?}", self.locked),
            );
        }
        if let Some(parent) = self.votes.get(&node.parent) {
            self.locked = self.locked.max(parent.parent_view);
        }
        self.knew = self.knew.max(node.parent_view);
        self.votes.insert(node.digest(), node);
        self.last = Some(node);
        Ok(())
    }
}

impl History for Said {
    /// One vote a view, in growing views; nothing below the lock; and a timeout hides no certificate that a vote rested on: on this
    /// stands that what is committed stays so (the paper's theorem 2; Jolteon's lemma 2).
    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Verdict {
        let AnyMessage::HotStuff(message) = message else { return Ok(()) };
        match message {
            hotstuff::Message::Proposal(proposal) => self.votes(replica, proposal.node()),
            hotstuff::Message::Vote(node) => self.votes(replica, *node),
            hotstuff::Message::Timeout(timeout) => {
                self.left = self.left.max(timeout.view);
                let later = self.last.is_some_and(|last| last.view > timeout.view);
                if timeout.high.node.view < self.knew && !later {
                    return broken(
                        "a timeout hides nothing",
                        format!(
                            "{replica} voted on a certificate of view {} and sent {timeout:?}",
                            self.knew
                        ),
                    );
                }
                Ok(())
            }
            hotstuff::Message::Certificate(_)
            | hotstuff::Message::TimeoutCertificate(_)
            | hotstuff::Message::Status(_)
            | hotstuff::Message::FetchNodes(..)
            | hotstuff::Message::Nodes(_)
            | hotstuff::Message::Proposed(..) => Ok(()),
        }
    }
}
