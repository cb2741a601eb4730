//! The protocols that are compared, each with the rule that is chosen for it.

use bft_core::genesis::{Chain, Limits, VoteRouting};
use crypto::{FaultModel, ProtocolTag, Scheme};
use serde::Serialize;
use std::fmt;

/// A protocol and its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// PBFT as published: votes go to everybody.
    Pbft,
    /// PBFT whose leader collects votes.
    PbftCollector,
    /// Chained HotStuff with the three-chain rule.
    HotstuffThree,
    /// Chained HotStuff with the two-chain rule.
    HotstuffTwo,
    /// Raft: replicas crash and do not lie.
    Raft,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Variant {
    /// All of them.
    pub const ALL: [Variant; 5] =
        [Variant::Pbft, Variant::PbftCollector, Variant::HotstuffThree, Variant::HotstuffTwo, Variant::Raft];

    /// What it is called, on the command line too.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Pbft => "pbft",
            Variant::PbftCollector => "pbft-collector",
            Variant::HotstuffThree => "hotstuff-three",
            Variant::HotstuffTwo => "hotstuff-two",
            Variant::Raft => "raft",
        }
    }

    /// The engine.
    pub fn protocol(self) -> ProtocolTag {
        match self {
            Variant::Pbft | Variant::PbftCollector => ProtocolTag::PBFT,
            Variant::HotstuffThree | Variant::HotstuffTwo => ProtocolTag::HOTSTUFF,
            Variant::Raft => ProtocolTag::RAFT,
        }
    }

    /// HotStuff's rule; for the others it has no meaning.
    pub fn chain(self) -> Chain {
        if self == Variant::HotstuffTwo { Chain::Two } else { Chain::Three }
    }

    /// PBFT's; for the others it has no meaning.
    pub fn vote_routing(self) -> VoteRouting {
        if self == Variant::PbftCollector { VoteRouting::Collector } else { VoteRouting::AllToAll }
    }

    /// Limits with its rule.
    pub fn limits(self, base: Limits) -> Limits {
        Limits { chain: self.chain(), vote_routing: self.vote_routing(), ..base }
    }

    /// The schemes that certificates of it can be made by, of those wanted. Where nobody lies nothing is signed.
    pub fn schemes(self, wanted: &[Scheme]) -> Vec<Scheme> {
        match engines::fault_model(self.protocol()) {
            FaultModel::Crash => vec![Scheme::None],
            FaultModel::Byzantine => wanted.to_vec(),
        }
    }

    /// The size of its committee nearest to `replicas`: an even number of replicas that crash bears no more than the odd one below it.
    pub fn size(self, replicas: usize) -> usize {
        match engines::fault_model(self.protocol()) {
            FaultModel::Crash => replicas + usize::from(replicas.is_multiple_of(2)),
            FaultModel::Byzantine => replicas,
        }
    }
}
