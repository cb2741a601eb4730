//! Raft, as the checkers, links and mutants see it: the five properties of the paper (figure 3), and that what is committed is on the
//! disks of a majority.

use super::{Agreement, History, Message, Promise, Record, Word};
use crate::checker::{Verdict, broken};
use bft_core::envelope::Rejection;
use bft_core::ledger::LedgerEntry;
use bft_core::mutants::Mutant;
use bft_core::types::{Digest, Height, ReplicaId, View};
use engines::{AnyMessage, AnyRecord};
use raft::{Append, Carried, Position};
use std::collections::BTreeMap;

/// What only Raft's engine does, or its records and messages say.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::AppendQuorum,
    Mutant::CountOlderViews,
    Mutant::AnyLogLeads,
    Mutant::GapsInLog,
    Mutant::CommitOwnLog,
    Mutant::AnyViewsAcknowledgement,
    Mutant::NoFirstEntry,
    Mutant::NoPreVote,
    Mutant::NoCheckQuorum,
    Mutant::ReadUnconfirmed,
    Mutant::ReadBeforeFirstEntry,
    Mutant::VoteQuorum,
    Mutant::SecondVote,
    Mutant::ViewUnlogged,
    Mutant::EntryUnlogged,
    Mutant::StartWithoutViews,
    Mutant::StartWithoutEntries,
];

/// In this view; whom it voted for is checked where all votes are known.
fn view_word(view: View) -> Word {
    ("view", view, 0, Digest::ZERO)
}

impl Message for raft::Message {
    fn promise(&self) -> Option<Promise> {
        let word = match self {
            raft::Message::Ask(ask) if !ask.pre => Some(view_word(ask.view)),
            raft::Message::Vote(vote) if vote.granted && !vote.pre => Some(view_word(vote.view)),
            // What the disk holds of the log is checked with all disks.
            raft::Message::Appended { .. } => None,
            // A leader's word binds it, although it waits for nothing.
            raft::Message::Append(_) => None,
            _ => return None,
        };
        Some(Promise { word, block: None, votes_at: None })
    }

    fn changes_views(&self) -> bool {
        !matches!(self, raft::Message::Append(_) | raft::Message::Appended { .. })
    }

    fn is_overlooked(&self, _: &Rejection) -> bool {
        false
    }

    fn history(&self) -> Box<dyn History> {
        Box::new(Said)
    }
}

impl Record for raft::Record {
    fn word(&self) -> Option<Word> {
        match self {
            raft::Record::View { view, .. } => Some(view_word(*view)),
            raft::Record::Entry { .. } | raft::Record::Base { .. } => None,
        }
    }

    fn is_unlogged(&self) -> bool {
        match self {
            raft::Record::View { .. } => Mutant::ViewUnlogged.is_on(),
            raft::Record::Entry { .. } => Mutant::EntryUnlogged.is_on(),
            raft::Record::Base { .. } => false,
        }
    }

    fn is_passed_over(&self) -> bool {
        match self {
            raft::Record::View { .. } => Mutant::StartWithoutViews.is_on(),
            raft::Record::Entry { .. } => Mutant::StartWithoutEntries.is_on(),
            raft::Record::Base { .. } => false,
        }
    }
}

/// What a replica says is judged with what all have on disk.
#[derive(Debug)]
struct Said;

impl History for Said {
    fn says(&mut self, _: ReplicaId, _: &AnyMessage) -> Verdict {
        Ok(())
    }
}

/// A log, as the records on a disk make it.
#[derive(Debug, Default)]
struct Log {
    base: Height,
    entries: BTreeMap<Height, (View, Digest)>,
}

/// The properties of figure 3, from disks and messages alone.
#[derive(Debug)]
pub(super) struct Properties {
    quorum: usize,
    logs: BTreeMap<ReplicaId, Log>,
    votes: BTreeMap<(ReplicaId, View), ReplicaId>,
    leaders: BTreeMap<View, ReplicaId>,
    /// Each entry that a leader has sent, with what it follows on.
    entries: BTreeMap<Position, (Digest, Position)>,
    /// Which block is committed at a height, and the highest view that had a leader then: those of later views have it.
    committed: BTreeMap<Height, (Digest, View)>,
}

impl Properties {
    pub fn new(quorum: usize) -> Properties {
        Properties {
            quorum,
            logs: BTreeMap::new(),
            votes: BTreeMap::new(),
            leaders: BTreeMap::new(),
            entries: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    /// *Election safety*: at most one leader a view.
    fn leads(&mut self, replica: ReplicaId, view: View) -> Verdict {
        let leader = *self.leaders.entry(view).or_insert(replica);
        if leader == replica {
            return Ok(());
        }
        broken("a view has one leader", format!("{leader} and {replica} lead view {view}"))
    }

    /// *Leader append-only* and *log matching*: an entry is one block, and follows on one entry, whoever sends it; *leader completeness*:
    /// nobody leads a later view with another block where one is committed.
    fn sends(&mut self, replica: ReplicaId, append: &Append) -> Verdict {
        self.leads(replica, append.view)?;
        let mut below = append.previous;
        for carried in &append.entries {
            let (view, block) = match carried {
                Carried::Block(block) => (block.header.view, block.digest()),
                Carried::Named(view, block) => (*view, *block),
            };
            let position = Position { view, height: below.height + 1 };
            let known = *self.entries.entry(position).or_insert((block, below));
            if known != (block, below) {
                return broken(
                    "equal entries have equal logs below them",
                    format!(
                        "{replica} sent {block} on {below:?} at {position:?}, where {known:?} was sent before"
                    ),
                );
            }
            let lacks = |(committed, view): &(Digest, View)| append.view > *view && *committed != block;
            if self.committed.get(&position.height).is_some_and(lacks) {
                return broken(
                    "a leader has all that is committed",
                    format!(
                        "{replica} leads view {} and sends {block} at height {}",
                        append.view, position.height
                    ),
                );
            }
            below = position;
        }
        Ok(())
    }

    /// An acknowledgement tells of the disk.
    fn acknowledges(&mut self, replica: ReplicaId, view: View, matched: Height) -> Verdict {
        let log = self.logs.entry(replica).or_default();
        let last = log.entries.last_key_value().map_or(log.base, |(height, _)| *height);
        if matched > last {
            return broken(
                "what is acknowledged is on disk",
                format!("{replica} acknowledged {matched} in view {view} and has {last} on disk"),
            );
        }
        Ok(())
    }
}

impl Agreement for Properties {
    fn durable(&mut self, replica: ReplicaId, record: &AnyRecord) {
        let AnyRecord::Raft(record) = record else { return };
        let log = self.logs.entry(replica).or_default();
        match record {
            // Said again at the head of a segment.
            raft::Record::Entry { position, block }
                if log.entries.get(&position.height) == Some(&(position.view, *block)) => {}
            raft::Record::Entry { position, block } => {
                log.entries.split_off(&position.height);
                log.entries.insert(position.height, (position.view, *block));
            }
            raft::Record::Base { position } => {
                let same = log.base == position.height
                    || log.entries.get(&position.height).is_some_and(|(view, _)| *view == position.view);
                log.base = position.height;
                if same || log.entries.is_empty() {
                    log.entries = log.entries.split_off(&(position.height + 1));
                } else {
                    log.entries.clear();
                }
            }
            raft::Record::View { view, voted } => {
                if let Some(voted) = voted {
                    self.votes.entry((replica, *view)).or_insert(*voted);
                }
            }
        }
    }

    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Verdict {
        let AnyMessage::Raft(message) = message else { return Ok(()) };
        match message {
            raft::Message::Append(append) => self.sends(replica, append),
            raft::Message::Appended { view, matched } => self.acknowledges(replica, *view, *matched),
            _ => Ok(()),
        }
    }

    /// Committed is on the disks of a majority; and *state machine safety* is the checker's own rule.
    fn commits(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Verdict {
        let view = self.leaders.last_key_value().map_or(0, |(view, _)| *view);
        self.committed.insert(entry.height, (entry.block, view));
        let has = |log: &&Log| {
            let there = log.entries.get(&entry.height).is_some_and(|(_, block)| *block == entry.block);
            there || log.base >= entry.height
        };
        let disks = self.logs.values().filter(has).count();
        if disks >= self.quorum {
            return Ok(());
        }
        broken(
            "what is committed is on the disks of a majority",
            format!("{replica} is the first to execute {entry:?}, which {disks} have on disk"),
        )
    }
}
