//! What replicas say to each other. Nothing is signed: the channel says who speaks.

use crate::log::Position;
use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::engine::{CheckContext, Class};
use bft_core::envelope::{Obligations, Rejection, Seal, SealWith};
use bft_core::types::{Height, View};
use crypto::{Digest, ReplicaId, Statement};
use serde::{Deserialize, Serialize};

/// Entries in an append, at most.
pub(crate) const MOST_ENTRIES: usize = 64;

/// A request for a vote (RequestVote).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The view it would lead.
    pub view: View,
    /// The end of its log.
    pub last: Position,
    /// Whether it only asks if it would get the vote.
    pub pre: bool,
    /// Whether the leader has asked it to take over.
    pub transfer: bool,
}

/// An entry on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carried {
    /// With its block.
    Block(Block),
    /// The view it was made in, and the digest of its block.
    Named(View, Digest),
}

/// Entries to add (AppendEntries).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The leader's view.
    pub view: View,
    /// The entry that these follow on.
    pub previous: Position,
    /// Of consecutive heights.
    pub entries: Vec<Carried>,
    /// The leader has committed through here.
    pub committed: Height,
}

/// The leader is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its view.
    pub view: View,
    /// The leader has committed through here.
    pub committed: Height,
    /// Counts heartbeats; comes back with the answer.
    pub round: u64,
}

/// Answers [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The view that the sender is in; of a pre-vote that is given, the one asked for.
    pub view: View,
    /// Whether it answers a pre-vote.
    pub pre: bool,
    /// Whether the vote is given.
    pub granted: bool,
}

/// An append did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The leader's view.
    pub view: View,
    /// What it followed on.
    pub previous: Position,
    /// Where the logs may agree at best.
    pub hint: Position,
}

/// Answers [`Heartbeat`]; or tells a replica that its view is over, or the leader that more can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The view the sender is in.
    pub view: View,
    /// The heartbeat's; 0 if it answers none.
    pub round: u64,
    /// Up to here the sender has the leader's log, on disk or not.
    pub received: Height,
    /// Whether the sender votes, and is no learner.
    pub votes: bool,
}

/// Everything a Raft replica says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// See [`Ask`].
    Ask(Ask),
    /// See [`Vote`].
    Vote(Vote),
    /// See [`Append`].
    Append(Append),
    /// The leader's log is on the sender's disk up to here.
    Appended {
        /// The leader's view.
        view: View,
        /// Up to here.
        matched: Height,
    },
    /// See [`Refusal`].
    Refused(Refusal),
    /// See [`Heartbeat`].
    Heartbeat(Heartbeat),
    /// See [`Alive`].
    Alive(Alive),
    /// "Ask for votes at once" (TimeoutNow).
    Lead {
        /// The leader's view.
        view: View,
    },
    /// Wanted: the committed height (ReadIndex).
    AskRead {
        /// Comes back with the answer.
        token: u64,
    },
    /// Answers [`Message::AskRead`] and those of the same replica before it.
    Read {
        /// The token.
        token: u64,
        /// Everything that anybody was told before the question is at or below.
        at: Height,
    },
}

impl Carried {
    pub(crate) fn view(&self) -> View {
        match self {
            Carried::Block(block) => block.header.view,
            Carried::Named(view, _) => *view,
        }
    }
}

impl bft_core::engine::Message for Message {
    fn kind(&self) -> &'static str {
        match self {
            Message::Ask(Ask { pre: true, .. }) => "pre-vote-request",
            Message::Ask(_) => "vote-request",
            Message::Vote(Vote { pre: true, .. }) => "pre-vote",
            Message::Vote(_) => "vote",
            Message::Append(_) => "append",
            Message::Appended { .. } => "appended",
            Message::Refused(_) => "append-refused",
            Message::Heartbeat(_) => "heartbeat",
            Message::Alive(_) => "alive",
            Message::Lead { .. } => "lead",
            Message::AskRead { .. } => "read-request",
            Message::Read { .. } => "read",
        }
    }

    fn class(&self) -> Class {
        match self {
            Message::Append(_) => Class::Proposal,
            _ => Class::Vote,
        }
    }

    /// What tells of the disk waits for it: votes, acknowledgements, and a candidate's word on its own log.
    fn is_promise(&self) -> bool {
        match self {
            Message::Ask(ask) => !ask.pre,
            Message::Vote(vote) => vote.granted && !vote.pre,
            Message::Appended { .. } => true,
            Message::Append(_)
            | Message::Refused(_)
            | Message::Heartbeat(_)
            | Message::Alive(_)
            | Message::Lead { .. }
            | Message::AskRead { .. }
            | Message::Read { .. } => false,
        }
    }

    fn seal(&self, _: &StatementDomain) -> SealWith {
        SealWith::Nothing
    }

    fn height(&self) -> Option<Height> {
        None
    }

    /// The followers take the leader's clock as it is.
    fn fresh_block(&self) -> Option<&Block> {
        None
    }

    fn check(&self, _: ReplicaId, seal: &Seal, _: &CheckContext) -> Result<Obligations, Rejection> {
        if *seal != Seal::None {
            return Err(Rejection::Invalid("a sealed message of a protocol that signs nothing"));
        }
        let mut obligations = Obligations::default();
        if let Message::Append(append) = self {
            append.check()?;
            let blocks = append.entries.iter().filter_map(|entry| match entry {
                Carried::Block(block) => Some(block.clone()),
                Carried::Named(..) => None,
            });
            obligations.blocks = blocks.collect();
        }
        Ok(obligations)
    }

    fn authenticators(&self) -> usize {
        0
    }

    fn contradiction(_: &Statement, _: &Statement) -> Option<&'static str> {
        None
    }
}

impl Append {
    fn check(&self) -> Result<(), Rejection> {
        let found = self.entries.len();
        if found > MOST_ENTRIES {
            return Err(Rejection::TooMuch { what: "entries of an append", found, limit: MOST_ENTRIES });
        }
        if self.previous.height >= u64::MAX - MOST_ENTRIES as u64 || self.previous.view > self.view {
            return Err(Rejection::Invalid(
                "an append beyond all heights, or on an entry of a later view than the leader's",
            ));
        }
        let mut below = self.previous;
        for entry in &self.entries {
            let position = Position { view: entry.view(), height: below.height + 1 };
            if position.view < below.view || position.view > self.view {
                return Err(Rejection::Invalid("entries whose views fall, or exceed the leader's"));
            }
            if let Carried::Block(block) = entry
                && block.header.height != position.height
            {
                return Err(Rejection::Invalid("entries whose heights do not follow each other"));
            }
            below = position;
        }
        Ok(())
    }
}
