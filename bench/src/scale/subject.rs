//! What is simulated and, for the validation, run.

use crate::choice::Choice;
use crate::generator::transfer;
use crate::load::{LoadArguments, large_blocks};
use crate::variant::Variant;
use app_examples::ledger::{AssetConfig, Config, Operation};
use bft_core::genesis::{Chain, Limits, VoteRouting};
use crypto::{ClientKey, ClientSecret, ProtocolTag, Scheme};
use sim::scale::{Load, Plan};

/// Bytes of a transaction's body.
pub(super) const BODY_BYTES: usize = 512;

/// A protocol, the scheme of its certificates, and whether clients sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub variant: Variant,
    pub scheme: Scheme,
    pub unsigned: bool,
}

impl Subject {
    pub fn protocol(&self) -> ProtocolTag {
        self.variant.protocol()
    }

    /// Whether receipts carry proofs.
    pub fn is_proven(&self) -> bool {
        self.variant != Variant::Raft
    }

    /// In words, with the scheme where there is one.
    pub fn name(&self) -> String {
        let unsigned = if self.unsigned { " unsigned" } else { "" };
        match self.variant {
            Variant::Raft => format!("raft{unsigned}"),
            variant => format!("{} {}{unsigned}", variant.name(), self.scheme),
        }
    }

    /// As it would be asked for on the command line.
    pub fn choice(&self) -> Choice {
        let chain = match self.variant {
            Variant::HotstuffThree => Some(Chain::Three),
            Variant::HotstuffTwo => Some(Chain::Two),
            Variant::Pbft | Variant::PbftCollector | Variant::Raft => None,
        };
        let vote_routing = (self.variant == Variant::PbftCollector).then_some(VoteRouting::Collector);
        Choice { protocol: self.protocol(), chain, vote_routing, unsigned: self.unsigned, limits: Vec::new() }
    }

    /// The limits of its genesis.
    pub fn limits(&self) -> Limits {
        self.choice().limits(large_blocks()).expect("the rule is the protocol's")
    }

    /// A real run of it.
    pub fn real(&self, replicas: usize) -> LoadArguments {
        LoadArguments {
            replicas,
            clients: super::REAL_CLIENTS,
            connections: super::REAL_CLIENTS,
            in_flight: super::REAL_IN_FLIGHT,
            bytes: BODY_BYTES,
            scheme: self.scheme,
            choice: self.choice(),
            ..LoadArguments::default()
        }
    }

    /// A simulation of it.
    pub fn plan(&self, replicas: usize) -> Plan {
        Plan {
            protocol: self.protocol(),
            scheme: self.scheme,
            replicas,
            limits: self.limits(),
            placement: sim::scale::Placement::Apart { cores: 1 },
            latencies: sim::scale::latency::Latencies::none(),
            bandwidth_mbit: None,
            in_flight: 1,
            first: std::time::Duration::ZERO,
            measured: std::time::Duration::ZERO,
        }
    }
}

/// Transfers of one unit from each client to the next, as the load generator makes them.
pub(super) fn load(clients: usize) -> Load {
    let asset = crate::consortium::ASSET.parse().expect("the code is valid");
    let issuer = sim::scale::organisation(0);
    let config = Config {
        freeze_authority: vec![issuer.clone()],
        freeze_keys: Vec::new(),
        assets: vec![AssetConfig { code: asset, issuer, issuer_keys: Vec::new() }],
    };
    let accounts: Vec<ClientKey> = sim::scale::clients(clients).iter().map(ClientSecret::public).collect();
    let issue = |to: &ClientKey| Operation::Issue { asset, to: *to, amount: 1 << 40 }.encode();
    let next = |place: usize| accounts[(place + 1) % clients];
    Load {
        config: config.to_toml(),
        first: accounts.iter().map(issue).collect(),
        bodies: (0..clients).map(|place| transfer(asset, next(place), BODY_BYTES)).collect(),
    }
}
