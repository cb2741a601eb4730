//! PBFT, as the checkers, links and mutants see it.

use super::{Agreement, History, Message, Promise, Record, Word};
use crate::checker::{Verdict, broken};
use bft_core::envelope::Rejection;
use bft_core::ledger::LedgerEntry;
use bft_core::mutants::Mutant;
use bft_core::types::{Digest, Height, ReplicaId, View};
use engines::{AnyMessage, AnyRecord};
use pbft::{Relay, Vote};
use std::collections::{BTreeMap, BTreeSet};

/// What only PBFT's engine does, or its records and messages say.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::PrepareQuorum,
    Mutant::CommitQuorum,
    Mutant::ViewChangeQuorum,
    Mutant::CommitsOfAnyBlock,
    Mutant::CommitUnprepared,
    Mutant::SecondProposal,
    Mutant::SecondVote,
    Mutant::WindowIgnored,
    Mutant::BadSharesStay,
    Mutant::EvidenceAcrossViews,
    Mutant::PlanForgotten,
    Mutant::PlanOfNulls,
    Mutant::PlanStopsAtHoles,
    Mutant::LowestViewWins,
    Mutant::LowestCheckpointWins,
    Mutant::FirstCertificateStays,
    Mutant::PreparedUnsaid,
    Mutant::PreparedDropped,
    Mutant::JoinOne,
    Mutant::SecondNewView,
    Mutant::NoRetransmission,
    Mutant::PrepareUnlogged,
    Mutant::PreparedUnlogged,
    Mutant::ViewChangeUnlogged,
    Mutant::NewViewUnlogged,
    Mutant::StartWithoutPrepares,
    Mutant::StartWithoutPrepared,
    Mutant::StartWithoutViewChanges,
    Mutant::StartWithoutNewViews,
    Mutant::AnyLeader,
    Mutant::Unsigned,
    Mutant::ShortNewView,
    Mutant::PreparedUnproven,
    Mutant::CommittedUnproven,
    // The certificate at a segment's head excuses the prepared certificates that are left out. HotStuff keeps its last vote and
    // timeout, whatever is stable.
    Mutant::HeadWithoutCertificate,
];

impl Message for pbft::Message {
    fn promise(&self) -> Option<Promise> {
        Some(match self {
            pbft::Message::PrePrepare(proposal) => {
                let (block, height) = (proposal.block.digest(), proposal.block.header.height);
                let word = Some(("prepare", proposal.view, height, block));
                Promise { word, block: Some(block), votes_at: Some(height) }
            }
            pbft::Message::Prepare(vote) => {
                let word = Some(("prepare", vote.view, vote.height, vote.block));
                Promise { word, block: Some(vote.block), votes_at: Some(vote.height) }
            }
            pbft::Message::Commit(vote) => {
                let word = Some(("prepared", vote.view, vote.height, vote.block));
                Promise { word, block: None, votes_at: None }
            }
            pbft::Message::ViewChange(change) => {
                let word = Some(("view-change", change.view, 0, change.digest()));
                Promise { word, block: None, votes_at: None }
            }
            pbft::Message::NewView(_) => Promise { word: None, block: None, votes_at: None },
            pbft::Message::Status(_)
            | pbft::Message::FetchViewChanges(..)
            | pbft::Message::Relay(_)
            | pbft::Message::Prepared(_)
            | pbft::Message::Committed(_) => return None,
        })
    }

    fn changes_views(&self) -> bool {
        match self {
            pbft::Message::ViewChange(_)
            | pbft::Message::NewView(_)
            | pbft::Message::Status(_)
            | pbft::Message::FetchViewChanges(..)
            | pbft::Message::Relay(_) => true,
            pbft::Message::PrePrepare(_)
            | pbft::Message::Prepare(_)
            | pbft::Message::Commit(_)
            | pbft::Message::Prepared(_)
            | pbft::Message::Committed(_) => false,
        }
    }

    fn is_overlooked(&self, rejection: &Rejection) -> bool {
        let shows_prepared = matches!(
            self,
            pbft::Message::ViewChange(_)
                | pbft::Message::Relay(Relay::ViewChange(..))
                | pbft::Message::Prepared(_)
        );
        let shows_committed = matches!(self, pbft::Message::Committed(_));
        let mutant = match rejection {
            Rejection::Invalid("a pre-prepare not from its view's leader") => Mutant::AnyLeader,
            Rejection::Invalid("a new-view does not name exactly a quorum of distinct members") => {
                Mutant::ShortNewView
            }
            Rejection::Invalid("a collected certificate not from its view's leader") => Mutant::AnyLeader,
            Rejection::Certificate(_) if shows_prepared => Mutant::PreparedUnproven,
            Rejection::Certificate(_) if shows_committed => Mutant::CommittedUnproven,
            _ => return false,
        };
        mutant.is_on()
    }

    fn history(&self) -> Box<dyn History> {
        Box::new(Said::default())
    }
}

impl Record for pbft::Record {
    fn word(&self) -> Option<Word> {
        match self {
            pbft::Record::Prepare(vote) => Some(("prepare", vote.view, vote.height, vote.block)),
            pbft::Record::Prepared(prepared) => {
                let vote = prepared.vote;
                Some(("prepared", vote.view, vote.height, vote.block))
            }
            pbft::Record::ViewChange(change) => Some(("view-change", change.view, 0, change.digest())),
            pbft::Record::NewView(_) => None,
        }
    }

    fn is_unlogged(&self) -> bool {
        match self {
            pbft::Record::Prepare(_) => Mutant::PrepareUnlogged.is_on(),
            pbft::Record::Prepared(_) => Mutant::PreparedUnlogged.is_on(),
            pbft::Record::ViewChange(_) => Mutant::ViewChangeUnlogged.is_on(),
            pbft::Record::NewView(_) => Mutant::NewViewUnlogged.is_on(),
        }
    }

    fn is_passed_over(&self) -> bool {
        match self {
            pbft::Record::Prepare(_) => Mutant::StartWithoutPrepares.is_on(),
            pbft::Record::Prepared(_) => Mutant::StartWithoutPrepared.is_on(),
            pbft::Record::ViewChange(_) => Mutant::StartWithoutViewChanges.is_on(),
            pbft::Record::NewView(_) => Mutant::StartWithoutNewViews.is_on(),
        }
    }
}

/// What one replica has said, in any of its lives.
#[derive(Debug, Default)]
struct Said {
    /// The highest view that it asked for, and with it left all before.
    left: View,
    /// The highest view of its commits, by height.
    commits: BTreeMap<Height, View>,
}

impl History for Said {
    /// Who has left a view takes no part in it any more, and who has sent commit says so in every later view change: on this
    /// stands that a new view's plan has every block that may be decided (Castro and Liskov, section 4.4).
    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Verdict {
        let AnyMessage::Pbft(message) = message else { return Ok(()) };
        let view = match message {
            pbft::Message::PrePrepare(proposal) => proposal.view,
            pbft::Message::Prepare(vote) => vote.view,
            pbft::Message::Commit(vote) => {
                let highest = self.commits.entry(vote.height).or_default();
                *highest = vote.view.max(*highest);
                vote.view
            }
            pbft::Message::ViewChange(change) => {
                self.left = change.view.max(self.left);
                let shown: BTreeMap<Height, View> = change
                    .prepared
                    .iter()
                    .map(|prepared| (prepared.vote.height, prepared.vote.view))
                    .collect();
                let hidden =
                    |(height, view): &(&Height, &View)| shown.get(height).is_none_or(|shown| shown < view);
                let mut open = self.commits.range(change.stable.height() + 1..);
                return match open.find(hidden) {
                    None => Ok(()),
                    Some((height, view)) => broken(
                        "a view change hides nothing",
                        format!(
                            "{replica} sent commit in view {view} at height {height}, and then {change:?}"
                        ),
                    ),
                };
            }
            pbft::Message::NewView(_)
            | pbft::Message::Status(_)
            | pbft::Message::FetchViewChanges(..)
            | pbft::Message::Relay(_)
            | pbft::Message::Prepared(_)
            | pbft::Message::Committed(_) => return Ok(()),
        };
        if view < self.left {
            return broken(
                "a view that was left stays left",
                format!("{replica} asked for view {} and sent {message:?}", self.left),
            );
        }
        Ok(())
    }
}

/// The prepares and the prepared certificates of a run, from the promises on disks alone.
#[derive(Debug)]
pub(super) struct Quorums {
    /// How many disks hold a promise at least, if a quorum made it.
    honest: usize,
    prepares: BTreeMap<(View, Height, Digest), BTreeSet<ReplicaId>>,
    prepared: BTreeMap<(Height, Digest), BTreeMap<View, BTreeSet<ReplicaId>>>,
}

impl Quorums {
    pub fn new(honest: usize) -> Quorums {
        Quorums { honest, prepares: BTreeMap::new(), prepared: BTreeMap::new() }
    }
}

impl Agreement for Quorums {
    fn durable(&mut self, replica: ReplicaId, record: &AnyRecord) {
        let AnyRecord::Pbft(record) = record else { return };
        match record {
            pbft::Record::Prepare(Vote { view, height, block }) => {
                self.prepares.entry((*view, *height, *block)).or_default().insert(replica);
            }
            pbft::Record::Prepared(prepared) => {
                let Vote { view, height, block } = prepared.vote;
                let views = self.prepared.entry((height, block)).or_default();
                views.entry(view).or_default().insert(replica);
            }
            pbft::Record::ViewChange(_) | pbft::Record::NewView(_) => {}
        }
    }

    /// *prepared(m, v, n, i)* of Castro and Liskov, section 4.2.
    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Verdict {
        let AnyMessage::Pbft(pbft::Message::Commit(vote)) = message else { return Ok(()) };
        let prepares = self.prepares.get(&(vote.view, vote.height, vote.block));
        if prepares.map_or(0, BTreeSet::len) >= self.honest {
            return Ok(());
        }
        broken(
            "a commit stands on a quorum of prepares",
            format!("{replica} sent {vote:?} after prepares of {prepares:?}"),
        )
    }

    /// *committed-local(m, v, n, i)* of the same section.
    fn commits(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Verdict {
        let views = self.prepared.get(&(entry.height, entry.block));
        if views.is_some_and(|views| views.values().any(|replicas| replicas.len() >= self.honest)) {
            return Ok(());
        }
        broken(
            "what is committed was prepared by a quorum",
            format!("{replica} is the first to execute {entry:?}, prepared by {views:?}"),
        )
    }
}
