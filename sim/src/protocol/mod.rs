//! What the simulator has to know of a protocol, and of nothing else in it: one file here for what checkers, links and mutants
//! read off messages and records, one in `adversary` for the lies that can be told.
//!
//! A new protocol adds both files, and an arm to each `match` of this file and to [`crate::adversary`]'s choice of lies.

mod chained;
mod hotstuff;
mod pbft;
mod raft;

use crate::checker::Violation;
use bft_core::envelope::Rejection;
use bft_core::genesis::Genesis;
use bft_core::ledger::LedgerEntry;
use bft_core::mutants::Mutant;
use bft_core::types::{Digest, Height, ReplicaId, View};
use crypto::{FaultModel, ProtocolTag};
use engines::{AnyMessage, AnyRecord};
use std::fmt::Debug;

/// What a promise says, in the checkers' own terms: what, in which view, at which height, about what.
pub type Word = (&'static str, View, Height, Digest);

/// A message that binds its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// What has to be on disk before it leaves, if anything.
    pub word: Option<Word>,
    /// The block that has to be there too.
    pub block: Option<Digest>,
    /// The height that it votes for, if it is a first vote: bounded by the window.
    pub votes_at: Option<Height>,
}

/// A message, as the simulator sees it.
pub trait Message: Debug {
    /// What it binds its sender to.
    fn promise(&self) -> Option<Promise>;
    /// Whether it is about which view to be in.
    fn changes_views(&self) -> bool;
    /// Whether a mutant is on that lets it pass although the edge refused it, for what is this protocol's own in it.
    fn is_overlooked(&self, rejection: &Rejection) -> bool;
    /// The protocol's own rules about what a replica says after what, with nothing said yet.
    fn history(&self) -> Box<dyn History>;
}

/// What one replica has said, in any of its lives, as far as the protocol has rules about it.
pub trait History: Debug {
    /// An honest replica says something.
    ///
    /// # Errors
    /// If it may not, after what it has said before.
    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Result<(), Violation>;
}

/// What all replicas have promised together, as far as the protocol has rules about what follows from it.
pub trait Agreement: Debug {
    /// A record is on a replica's disk, whether it is honest or not.
    fn durable(&mut self, replica: ReplicaId, record: &AnyRecord);
    /// An honest replica says something.
    ///
    /// # Errors
    /// If it may not, after what is on the disks.
    fn says(&mut self, replica: ReplicaId, message: &AnyMessage) -> Result<(), Violation>;
    /// An honest replica is the first to execute a height.
    ///
    /// # Errors
    /// If nothing on the disks commits it.
    fn commits(&mut self, replica: ReplicaId, entry: &LedgerEntry) -> Result<(), Violation>;
}

/// The rules of the network's protocol about that. Of a quorum's promises, only those that liars make up need not be on a disk.
pub fn agreement(genesis: &Genesis, liars: usize) -> Option<Box<dyn Agreement>> {
    let honest = genesis.committee().quorum().saturating_sub(liars).max(1);
    match genesis.protocol {
        ProtocolTag::PBFT => Some(Box::new(pbft::Quorums::new(honest))),
        ProtocolTag::HOTSTUFF => Some(Box::new(chained::Chained::new(genesis.limits.chain, honest))),
        ProtocolTag::RAFT => Some(Box::new(raft::Properties::new(honest))),
        _ => None,
    }
}

/// A record, as the simulator sees it.
pub trait Record {
    /// What it is a promise of.
    fn word(&self) -> Option<Word>;
    /// Whether a mutant is on that keeps it from the disk.
    fn is_unlogged(&self) -> bool;
    /// Whether a mutant is on that lets a start pass over it.
    fn is_passed_over(&self) -> bool;
}

/// The message of whichever protocol it is.
pub fn message(message: &AnyMessage) -> &dyn Message {
    match message {
        AnyMessage::Pbft(message) => message,
        AnyMessage::HotStuff(message) => message,
        AnyMessage::Raft(message) => message,
    }
}

/// The record of whichever protocol it is.
pub fn record(record: &AnyRecord) -> &dyn Record {
    match record {
        AnyRecord::Pbft(record) => record,
        AnyRecord::HotStuff(record) => record,
        AnyRecord::Raft(record) => record,
    }
}

/// The rules that only engines of this protocol have, and mutants break.
fn own_mutants(protocol: ProtocolTag) -> &'static [Mutant] {
    match protocol {
        ProtocolTag::PBFT => pbft::MUTANTS,
        ProtocolTag::HOTSTUFF => hotstuff::MUTANTS,
        ProtocolTag::RAFT => raft::MUTANTS,
        _ => &[],
    }
}

/// Rules that only liars are found out by.
const AGAINST_LIARS: &[Mutant] = &[
    Mutant::OneCollector,
    Mutant::FutureTime,
    Mutant::EvidenceAcrossViews,
    Mutant::ReceiptPath,
    Mutant::ForgottenStays,
    Mutant::ClientUnsigned,
    Mutant::PayloadOfOtherRoot,
    Mutant::Unsigned,
    Mutant::CheckpointUnproven,
    Mutant::CheckpointUnsigned,
    Mutant::ChainUnproven,
    Mutant::ChainUnlinked,
    Mutant::BlockOfOtherEntry,
    Mutant::PromiseUnproven,
    Mutant::OfferUnproven,
    Mutant::StretchUnproven,
    Mutant::StateOfAnyRoot,
    Mutant::BadSharesStay,
];

/// Whether a mutant breaks a rule that runs of `protocol` keep: one of its own, or one that no protocol has for itself.
pub fn concerns(mutant: Mutant, protocol: ProtocolTag) -> bool {
    if engines::fault_model(protocol) == FaultModel::Crash && AGAINST_LIARS.contains(&mutant) {
        return false;
    }
    let mut others = engines::PROTOCOLS.into_iter().filter(|other| *other != protocol);
    own_mutants(protocol).contains(&mutant) || others.all(|other| !own_mutants(other).contains(&mutant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_of_the_host_concerns_every_protocol() {
        for tag in engines::PROTOCOLS {
            assert!(concerns(Mutant::SessionBitmap, tag));
            let lies = engines::fault_model(tag) == FaultModel::Byzantine;
            assert_eq!(concerns(Mutant::ChainUnproven, tag), lies);
        }
        assert!(concerns(Mutant::PlanOfNulls, ProtocolTag::PBFT));
        assert!(!concerns(Mutant::PlanOfNulls, ProtocolTag::HOTSTUFF));
    }
}
