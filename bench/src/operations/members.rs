//! A committee with all its keys.

use super::accounts::Accounts;
use super::transactions::{CLIENTS, client};
use bft_core::codec;
use bft_core::committee::{Committee, Trust};
use bft_core::edge::Edge;
use bft_core::envelope::{Seal, SealWith};
use bft_core::genesis::{Application, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::{HostConfig, LocalLimits, genesis_state, no_clock};
use bft_core::types::ReplicaId;
use crypto::{
    ClientSecret, Digest, FaultModel, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier, Scheme,
    TransactionVerifier,
};
use std::sync::Arc;

/// The keys that make and check certificates.
pub struct Keys {
    /// Makes certificates of shares.
    pub quorum: QuorumVerifier,
    /// Each replica's.
    pub signers: Vec<QuorumSigner>,
    /// Each replica's own.
    pub identities: Vec<IdentitySecret>,
    threshold: Option<crypto::ThresholdPublic>,
}

impl Keys {
    /// Deals the keys of a committee of `replicas`.
    pub fn deal(replicas: usize, fault_model: FaultModel, scheme: Scheme) -> Keys {
        let quorum = Committee { replicas, fault_model }.quorum();
        let identities: Vec<IdentitySecret> = (0..replicas as u64).map(identity).collect();
        let sized = "a committee of a size that there is";
        let (quorum, signers, threshold) = match scheme {
            Scheme::Threshold => {
                let (public, shares) = crypto::trusted_dealer([9; 32], replicas, quorum).expect(sized);
                let pairs = shares.into_iter().zip(identities.iter().cloned());
                let signers = pairs.map(|(share, identity)| QuorumSigner::Threshold(share, identity));
                (QuorumVerifier::threshold(public.clone()), signers.collect(), Some(public))
            }
            Scheme::Ed25519 => {
                let public = identities.iter().map(IdentitySecret::public).collect();
                let signers = identities.iter().cloned().map(QuorumSigner::Ed25519);
                (QuorumVerifier::ed25519(public, quorum), signers.collect(), None)
            }
            Scheme::None => {
                (QuorumVerifier::named(replicas, quorum), vec![QuorumSigner::None; replicas], None)
            }
        };
        Keys { quorum: quorum.expect(sized), signers, identities, threshold }
    }

    /// Seals what a replica promises.
    pub fn seal(&self, replica: ReplicaId, with: SealWith) -> Seal {
        match with {
            SealWith::Nothing => Seal::None,
            SealWith::Share(statement) => Seal::Share(self.signers[replica.index()].sign(&statement)),
            SealWith::Signature(statement) => {
                Seal::Signature(self.identities[replica.index()].sign(&statement.encode()))
            }
        }
    }
}

fn identity(number: u64) -> IdentitySecret {
    let mut seed = [0x1d; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    IdentitySecret::from_seed(seed)
}

/// See the module's text.
pub struct Members {
    /// What they agreed on.
    pub genesis: Arc<Genesis>,
    /// What follows from it.
    pub trust: Trust,
    /// Their keys.
    pub keys: Keys,
    /// What they run.
    pub app: Accounts,
}

impl Members {
    /// The committee of a network, with the scheme that belongs to its protocol.
    pub fn new(protocol: ProtocolTag, replicas: usize, limits: Limits, app: Accounts) -> Members {
        let fault_model = engines::fault_model(protocol);
        let scheme = if fault_model == FaultModel::Crash { Scheme::None } else { Scheme::Threshold };
        let keys = Keys::deal(replicas, fault_model, scheme);
        let organisation = "members".to_owned();
        let info = |(place, identity): (usize, &IdentitySecret)| ReplicaInfo {
            organisation: organisation.clone(),
            identity: identity.public(),
            address: format!("replica-{place}:1"),
        };
        let mut genesis = Genesis {
            version: codec::VERSION,
            network: "operations".into(),
            time: 1,
            protocol,
            fault_model,
            scheme,
            limits,
            application: Application { name: "accounts".into(), config: String::new() },
            state_root: Digest::ZERO,
            replicas: keys.identities.iter().enumerate().map(info).collect(),
            organisations: vec![Organisation {
                name: organisation.clone(),
                operator: client(CLIENTS).public(),
                clients: (0..CLIENTS).map(client).map(|secret: ClientSecret| secret.public()).collect(),
            }],
            threshold: keys.threshold.clone(),
        };
        genesis.state_root =
            genesis_state(&app, &genesis).expect("the application takes any configuration").1;
        let trust = genesis.trust().expect("a genesis that is valid");
        Members { genesis: Arc::new(genesis), trust, keys, app }
    }

    /// A replica's edge.
    pub fn edge(&self) -> Edge {
        Edge::new(self.trust.clone(), self.genesis.limits, TransactionVerifier::Zip215)
    }

    /// What a replica's host is made of.
    pub fn host_config(&self, me: ReplicaId) -> HostConfig {
        HostConfig {
            me,
            genesis: self.genesis.clone(),
            trust: self.trust.clone(),
            may_vote: true,
            local: LocalLimits::default(),
            spent: no_clock,
        }
    }
}
