//! What the targets know of PBFT: which of its messages decide, which go together, and what in them was signed.

use crate::edge::{Checked, Signed as Host, holds};
use bft_core::block::Block;
use bft_core::codec;
use bft_core::envelope::Seal;
use bft_core::types::{Height, ReplicaId, View};
use crypto::{Digest, StatementKind};
use pbft::{COMMIT, Message, NEW_VIEW, NewView, PREPARE, Prepared, Relay, VIEW_CHANGE, ViewChange};
use std::collections::BTreeSet;

/// What its replicas sign. That of votes comes first.
pub(crate) const KINDS: [StatementKind; 4] = [PREPARE, COMMIT, VIEW_CHANGE, NEW_VIEW];

/// Whether a statement is signed with the replica's own key, and of no height; else with a share.
pub(crate) fn is_of_a_view(kind: StatementKind) -> bool {
    [VIEW_CHANGE, NEW_VIEW].contains(&kind)
}

/// Whether blocks are decided by such messages: without them they get prepared and no further.
pub(crate) fn decides(message: &Message) -> bool {
    matches!(message, Message::Commit(_) | Message::Committed(_))
}

/// The block that is proposed.
pub(crate) fn proposed(message: &Message) -> Option<&Block> {
    match message {
        Message::PrePrepare(proposal) => Some(&proposal.block),
        _ => None,
    }
}

/// Other messages that go with one, made of its parts.
pub(crate) fn relatives(from: ReplicaId, message: &Message, seal: &Seal) -> Vec<Message> {
    match (message, seal) {
        (Message::ViewChange(change), Seal::Signature(signature)) => {
            vec![Message::Relay(Relay::ViewChange(from, Box::new(change.clone()), *signature))]
        }
        (Message::NewView(new_view), Seal::Signature(signature)) => {
            let relay = Message::Relay(Relay::NewView(new_view.clone(), *signature));
            vec![relay, Message::FetchViewChanges(new_view.view, new_view.sources.clone())]
        }
        _ => Vec::new(),
    }
}

/// Everything that its replicas signed in the past, read off the frames.
#[derive(Debug, Default)]
pub(crate) struct Signed {
    prepared: BTreeSet<(View, Height, Digest)>,
    changes: BTreeSet<(ReplicaId, Digest)>,
    new_views: BTreeSet<(ReplicaId, Vec<u8>)>,
}

impl Signed {
    /// A message of the past.
    pub(crate) fn learn(&mut self, from: ReplicaId, message: &Message) {
        match message {
            Message::ViewChange(change) => {
                self.changes.insert((from, change.digest()));
                let votes = change.prepared.iter().map(|Prepared { vote, .. }| vote);
                self.prepared.extend(votes.map(|vote| (vote.view, vote.height, vote.block)));
            }
            Message::NewView(new_view) => {
                self.new_views.insert((from, codec::encode(new_view)));
            }
            _ => {}
        }
    }

    /// Whether everything in a message that counts as signed was signed.
    pub(crate) fn check(&self, from: ReplicaId, message: &Message, seal: &Seal, host: &Host) -> Checked {
        match message {
            Message::PrePrepare(proposal) => host.block(&proposal.block),
            // Shares are checked when they are combined.
            Message::Prepare(_) | Message::Commit(_) => Ok(()),
            Message::Status(_) | Message::FetchViewChanges(..) => Ok(()),
            Message::ViewChange(change) => {
                holds(matches!(seal, Seal::Signature(_)), "a view-change without signature")?;
                self.change(from, change, host)
            }
            Message::NewView(new_view) => {
                holds(matches!(seal, Seal::Signature(_)), "a new-view without signature")?;
                self.new_view(new_view)
            }
            Message::Relay(Relay::ViewChange(author, change, _)) => self.change(*author, change, host),
            Message::Relay(Relay::NewView(new_view, _)) => self.new_view(new_view),
            // Its share is checked as evidence.
            Message::Relay(Relay::Proposed(..)) => Ok(()),
            // In the network of the past everybody sends votes to everybody.
            Message::Prepared(_) | Message::Committed(_) => {
                holds(false, "a certificate of a collector where there is none")
            }
        }
    }

    fn change(&self, author: ReplicaId, change: &ViewChange, host: &Host) -> Checked {
        holds(self.changes.contains(&(author, change.digest())), "a view-change")?;
        host.checkpoint(&change.stable)?;
        change.prepared.iter().try_for_each(|Prepared { vote, .. }| {
            holds(self.prepared.contains(&(vote.view, vote.height, vote.block)), "a prepared certificate")
        })
    }

    fn new_view(&self, new_view: &NewView) -> Checked {
        let leader = ReplicaId((new_view.view % 4) as u16);
        holds(self.new_views.contains(&(leader, codec::encode(new_view))), "a new-view")
    }
}

/// Makes something of a message that nobody signed, with transactions that nobody submitted; false if nothing in it is signed.
#[cfg(test)]
pub(crate) fn forge(message: &mut Message, payload: &bft_core::transaction::Payload) -> bool {
    match message {
        Message::PrePrepare(proposal) => {
            proposal.block.payload = payload.clone();
            proposal.block.header.time = bft_core::types::Timestamp(1);
        }
        Message::ViewChange(change) => change.view += 1,
        Message::NewView(new_view) => new_view.view += 4,
        _ => return false,
    }
    true
}

/// Whether a message shows that blocks are prepared.
#[cfg(test)]
pub(crate) fn shows_prepared(message: &Message) -> bool {
    matches!(message, Message::ViewChange(change) if !change.prepared.is_empty())
}
