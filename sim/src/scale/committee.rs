//! The members of a simulated network, their clients, and what those submit.

use super::Plan;
use bft_core::committee::Trust;
use bft_core::genesis::{Application, Genesis, Organisation, ReplicaInfo};
use bft_core::host::{HostConfig, LocalLimits, genesis_state, no_clock};
use bft_core::machine::StateMachine;
use bft_core::types::ReplicaId;
use bytes::Bytes;
use crypto::{ClientSecret, Digest, FaultModel, IdentitySecret, QuorumSigner, QuorumVerifier, Scheme};
use std::sync::Arc;

/// Blocks below the stable height that a replica keeps: nobody is away for long.
const RETAINED: u64 = 64;

/// What the clients submit.
#[derive(Clone, Debug)]
pub struct Load {
    /// For the application's genesis.
    pub config: String,
    /// What the first client submits before all else.
    pub first: Vec<Bytes>,
    /// What each client submits over and over.
    pub bodies: Vec<Bytes>,
}

/// The organisations' name for the member at a place: the first one's clients are the first, then they take turns.
pub fn organisation(place: usize) -> String {
    format!("member-{place}")
}

/// The clients of a network of so many.
pub fn clients(count: usize) -> Vec<ClientSecret> {
    (0..count as u64)
        .map(|number| {
            let mut seed = [0xc1; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            ClientSecret::from_seed(seed)
        })
        .collect()
}

fn identity(number: usize) -> IdentitySecret {
    let mut seed = [0x1d; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    IdentitySecret::from_seed(seed)
}

/// See the module's text.
#[derive(Debug)]
pub struct Members {
    pub(super) genesis: Arc<Genesis>,
    pub(super) trust: Trust,
    pub(super) signers: Vec<QuorumSigner>,
    pub(super) identities: Vec<IdentitySecret>,
    pub(super) clients: Vec<ClientSecret>,
}

impl Members {
    pub(super) fn new<A: StateMachine>(plan: &Plan, application: &A, load: &Load) -> Members {
        let identities: Vec<IdentitySecret> = (0..plan.replicas).map(identity).collect();
        let clients = clients(load.bodies.len());
        let fault_model = engines::fault_model(plan.protocol);
        let crash = fault_model == FaultModel::Crash;
        let replicas = identities.iter().enumerate().map(|(place, identity)| ReplicaInfo {
            organisation: organisation(place),
            identity: identity.public(),
            address: format!("replica-{place}:1"),
        });
        let organisations = (0..plan.replicas).map(|place| Organisation {
            name: organisation(place),
            operator: ClientSecret::from_seed([place as u8 + 1; 32]).public(),
            clients: clients.iter().skip(place).step_by(plan.replicas).map(ClientSecret::public).collect(),
        });
        let mut genesis = Genesis {
            version: bft_core::codec::VERSION,
            network: "scale".into(),
            time: 1,
            protocol: plan.protocol,
            fault_model,
            // Keys of the test scheme take the place of these.
            scheme: if crash { Scheme::None } else { Scheme::Ed25519 },
            limits: plan.limits,
            application: Application { name: application.name().into(), config: load.config.clone() },
            state_root: Digest::ZERO,
            replicas: replicas.collect(),
            organisations: organisations.collect(),
            threshold: None,
        };
        let (_, root) = genesis_state(application, &genesis).expect("the load's configuration is a good one");
        genesis.state_root = root;
        genesis.validate().expect("the plan makes a valid network");
        let quorum = genesis.committee().quorum();
        let (verifier, signers) = if crash {
            let verifier = QuorumVerifier::named(plan.replicas, quorum).expect("a quorum of the committee");
            (verifier, vec![QuorumSigner::None; plan.replicas])
        } else {
            QuorumVerifier::simulated([7; 32], plan.replicas, quorum)
        };
        let trust = genesis.trust_with(verifier);
        Members { genesis: Arc::new(genesis), trust, signers, identities, clients }
    }

    pub(super) fn host_config(&self, me: ReplicaId) -> HostConfig {
        HostConfig {
            me,
            genesis: Arc::clone(&self.genesis),
            trust: self.trust.clone(),
            may_vote: true,
            local: LocalLimits { retain_blocks: RETAINED, ..LocalLimits::default() },
            spent: no_clock,
        }
    }
}
