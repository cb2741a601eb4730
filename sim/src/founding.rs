//! What a simulated network is made of: its genesis, and the keys of its replicas.

use crate::app::Registers;
use crate::client::SESSION_WINDOW;
use crate::random::Random;
use bft_core::genesis::{Application, Chain, Genesis, Limits, Organisation, ReplicaInfo, VoteRouting};
use bft_core::host::genesis_state;
use crypto::{
    ClientSecret, Digest, FaultModel, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier, Scheme,
};

/// Of a key.
pub(crate) fn seed(random: &mut Random) -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&random.bits().to_le_bytes());
    }
    seed
}

/// Limits are small, drawn, and then changed as wished.
pub(crate) fn genesis(
    protocol: ProtocolTag,
    identities: &[IdentitySecret],
    clients: &[ClientSecret],
    random: &mut Random,
    change: impl FnOnce(&mut Limits),
) -> Genesis {
    let window = random.between(2, 10);
    let block_bytes = random.between(600, 3000) as u32;
    let checkpoint_interval = random.between(1, window);
    let mut limits = Limits {
        transaction_bytes: 256,
        block_bytes,
        window: if protocol == ProtocolTag::HOTSTUFF { window.max(8) } else { window },
        checkpoint_interval,
        checkpoint_ms: 50,
        view_timeout_ms: 500,
        batch_ms: 5,
        session_window: SESSION_WINDOW,
        receipt_heights: 200,
        clock_skew_ms: 5000,
        tenure_views: 4 + u64::from(block_bytes / 2) % 9,
        chain: if block_bytes.is_multiple_of(2) { Chain::Two } else { Chain::Three },
        vote_routing: if block_bytes.is_multiple_of(3) {
            VoteRouting::Collector
        } else {
            VoteRouting::AllToAll
        },
        // Machines that sleep stop clocks, which no lease survives.
        lease_drift_ppm: None,
        unsigned: false,
    };
    change(&mut limits);
    let organisation = |index: usize| format!("organisation-{index}");
    let replicas = identities.iter().enumerate().map(|(index, identity)| ReplicaInfo {
        organisation: organisation(index),
        identity: identity.public(),
        address: format!("replica-{index}:1"),
    });
    let organisations = (0..identities.len()).map(|index| Organisation {
        name: organisation(index),
        operator: ClientSecret::from_seed([index as u8 + 1; 32]).public(),
        clients: clients.iter().skip(index).step_by(identities.len()).map(ClientSecret::public).collect(),
    });
    let crash = protocol == ProtocolTag::RAFT;
    let mut genesis = Genesis {
        version: bft_core::codec::VERSION,
        network: "simulated".into(),
        time: 1,
        protocol,
        fault_model: if crash { FaultModel::Crash } else { FaultModel::Byzantine },
        // Keys of the test scheme take the place of these: `trust_with` says so to the hosts.
        scheme: if crash { Scheme::None } else { Scheme::Ed25519 },
        limits,
        application: Application { name: "registers".into(), config: String::new() },
        state_root: Digest::ZERO,
        replicas: replicas.collect(),
        organisations: organisations.collect(),
        threshold: None,
    };
    let (_, root) =
        genesis_state(&Registers::default(), &genesis).expect("the registers accept any configuration");
    genesis.state_root = root;
    genesis.validate().expect("the simulation makes valid networks");
    genesis
}

/// What verifies certificates, and what each replica signs with.
pub(crate) fn keys(
    fault_model: FaultModel,
    scheme: Option<Scheme>,
    seed: [u8; 32],
    identities: &[IdentitySecret],
    quorum: usize,
) -> (QuorumVerifier, Vec<QuorumSigner>) {
    let keys = "distinct keys, and a quorum that is not more than all";
    if fault_model == FaultModel::Crash {
        let verifier = QuorumVerifier::named(identities.len(), quorum).expect(keys);
        return (verifier, vec![QuorumSigner::None; identities.len()]);
    }
    match scheme {
        None => QuorumVerifier::simulated(seed, identities.len(), quorum),
        Some(Scheme::Threshold) => {
            let (public, shares) = crypto::trusted_dealer(seed, identities.len(), quorum).expect(keys);
            let own = identities.iter().cloned();
            let signers =
                shares.into_iter().zip(own).map(|(share, own)| QuorumSigner::Threshold(share, own)).collect();
            (QuorumVerifier::threshold(public).expect(keys), signers)
        }
        Some(Scheme::Ed25519 | Scheme::None) => {
            let public = identities.iter().map(IdentitySecret::public).collect();
            let signers = identities.iter().cloned().map(QuorumSigner::Ed25519).collect();
            (QuorumVerifier::ed25519(public, quorum).expect(keys), signers)
        }
    }
}
