//! A small network with a short past, from which the targets take their valid values.
//!
//! Four replicas run in one thread on the production host and edge. Replica 2 hears and says nothing; the other three serve
//! clients, lose the first leader with blocks prepared, change the view, and go on. Everything sent is kept, what was meant for
//! replica 2 too. So to replica 2 this past may still happen: frames of replicas 0 and 1 in any order, late or never, are what an
//! honest network does, and replica 3 may be the one that lies.

use crypto::{
    Digest, FaultModel, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier, Scheme, StatementKind,
    TransactionVerifier,
};

use crate::past::Past;
use crate::pbft;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::envelope::{Envelope, Seal, SealWith};
use bft_core::evidence::Evidence;
use bft_core::genesis::{Application, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::{
    Effect, Event, Host, HostConfig, LocalLimits, Recovered, SealJob, genesis_state, no_clock,
};
use bft_core::ledger::LedgerEntry;
use bft_core::receipt::ProvenReceipt;
use bft_core::request::{Answer, Call, ProvenAnswer, ReadingOf, Reply, Request};
use bft_core::transaction::{Item, Kind, Transaction};
use bft_core::types::{Height, Now, ReplicaId, Time, Timestamp};
use bytes::Bytes;
use crypto::ClientSecret;
use engines::{AnyEngine, AnyMessage};
use sim::app::Registers;
use sim::disk::Disk;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The host that all targets run.
pub type AnyHost = Host<AnyEngine, Registers>;

/// The replica that was cut off.
pub const SILENT: ReplicaId = ReplicaId(2);
/// The replica that may lie to it.
pub const LIAR: ReplicaId = ReplicaId(3);

/// Wall time of the past, in microseconds since the Unix epoch.
pub const WALL: Timestamp = Timestamp(1_700_000_000_000_000);

/// A frame that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// By whom.
    pub from: ReplicaId,
    /// To whom.
    pub to: ReplicaId,
    /// As it travelled.
    pub bytes: Bytes,
}

/// See the module's text.
#[derive(Debug)]
pub struct Consortium {
    /// What its members agreed on.
    pub genesis: Arc<Genesis>,
    /// What a replica is made of, but for its number.
    pub config: HostConfig,
    /// How transactions are verified.
    pub transactions: TransactionVerifier,
    identities: Vec<IdentitySecret>,
    signers: Vec<QuorumSigner>,
    /// Every frame, in the order of sending.
    pub frames: Vec<Sent>,
    /// One or two of each kind, with their sender.
    pub samples: Vec<(ReplicaId, Envelope<AnyMessage>)>,
    /// What clients asked.
    pub requests: Vec<Request>,
    /// What they were told.
    pub replies: Vec<Reply>,
    /// Everything that was submitted.
    pub items: Vec<Item>,
    /// The ledger, by height.
    pub entries: BTreeMap<Height, LedgerEntry>,
    /// What replica 0 has on disk.
    pub recovered: Recovered,
}

/// Lists of Ed25519 signatures: the real thing.
pub static REAL: LazyLock<Consortium> = LazyLock::new(|| Consortium::new(true));
/// Keyed hashes in place of all but the replicas' own signatures: fast, and the liar can sign whatever it likes.
pub static SIMULATED: LazyLock<Consortium> = LazyLock::new(|| Consortium::new(false));

/// A client's key.
pub fn client(number: u8) -> ClientSecret {
    ClientSecret::from_seed([number; 32])
}

/// The genesis of four replicas and two organisations.
pub fn genesis() -> Genesis {
    let identity = |number: u8| IdentitySecret::from_seed([number; 32]).public();
    let organisation = |name: &str, operator: u8, clients: &[u8]| Organisation {
        name: name.into(),
        operator: client(operator).public(),
        clients: clients.iter().map(|number| client(*number).public()).collect(),
    };
    let replica = |number: u8| ReplicaInfo {
        organisation: if number < 2 { "north" } else { "south" }.into(),
        identity: identity(number),
        address: format!("replica-{number}:7000"),
    };
    let mut genesis = Genesis {
        version: codec::VERSION,
        network: "fuzzed".into(),
        time: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        scheme: Scheme::Ed25519,
        limits: Limits {
            transaction_bytes: 128,
            block_bytes: 1024,
            window: 4,
            checkpoint_interval: 3,
            view_timeout_ms: 500,
            batch_ms: 5,
            session_window: 64,
            receipt_heights: 32,
            ..Limits::default()
        },
        application: Application { name: "registers".into(), config: String::new() },
        state_root: Digest::ZERO,
        replicas: (0..4).map(replica).collect(),
        organisations: vec![organisation("north", 10, &[11, 12]), organisation("south", 20, &[21])],
        threshold: None,
    };
    let root = genesis_state(&Registers::default(), &genesis).expect("registers take any configuration").1;
    genesis.state_root = root;
    genesis
}

impl Consortium {
    fn new(real: bool) -> Consortium {
        let genesis = Arc::new(genesis());
        let identities: Vec<_> = (0..4).map(|number| IdentitySecret::from_seed([number; 32])).collect();
        let (verifier, signers, transactions) = if real {
            let verifier = genesis.verifier().expect("the genesis is valid");
            let signers = identities.iter().cloned().map(QuorumSigner::Ed25519).collect();
            (verifier, signers, TransactionVerifier::Zip215)
        } else {
            let (verifier, signers) = QuorumVerifier::simulated([9; 32], 4, 3);
            (verifier, signers, TransactionVerifier::Simulated)
        };
        let config = HostConfig {
            me: SILENT,
            trust: genesis.trust_with(verifier),
            genesis: Arc::clone(&genesis),
            may_vote: true,
            local: LocalLimits {
                pool_bytes: 1 << 16,
                segment_bytes: 1 << 13,
                flush_heights: 4,
                retain_blocks: u64::MAX,
                fetch_all_blocks: false,
                sync_bytes: 1 << 12,
                sync_rate: 64 << 20,
            },
            spent: no_clock,
        };
        let consortium = Consortium {
            genesis,
            config,
            transactions,
            identities,
            signers,
            frames: Vec::new(),
            samples: Vec::new(),
            requests: Vec::new(),
            replies: Vec::new(),
            items: Vec::new(),
            entries: BTreeMap::new(),
            recovered: Recovered::default(),
        };
        Past::of(consortium)
    }

    /// A fresh edge.
    pub fn edge(&self) -> Edge {
        Edge::new(self.config.trust.clone(), self.genesis.limits, self.transactions)
    }

    /// A transaction of an enrolled client. Its body is what the application takes: register, sequence, value.
    pub fn transaction(&self, who: u8, sequence: u64, register: u8) -> Item {
        let body = [&[register], sequence.to_be_bytes().as_slice(), b"value"].concat();
        self.sign(who, sequence, Kind::Application, body)
    }

    pub(crate) fn sign(&self, who: u8, sequence: u64, kind: Kind, body: Vec<u8>) -> Item {
        let (secret, chain) = (client(who), self.genesis.chain());
        let sign = match self.transactions {
            TransactionVerifier::Zip215 => Transaction::sign,
            TransactionVerifier::Simulated => Transaction::sign_simulated,
        };
        Item::new(&chain, sign(&secret, &chain, kind, sequence, body.into()))
    }

    /// What `replica` signs.
    pub fn seal(&self, replica: ReplicaId, with: SealWith) -> Seal {
        match with {
            SealWith::Nothing => Seal::None,
            SealWith::Share(statement) => Seal::Share(self.signers[replica.index()].sign(&statement)),
            SealWith::Signature(statement) => {
                let (identity, statement) = (&self.identities[replica.index()], statement.encode());
                Seal::Signature(match self.config.trust.quorum {
                    QuorumVerifier::Simulated(_) => identity.sign_simulated(&statement),
                    QuorumVerifier::Threshold(_) | QuorumVerifier::Ed25519(_) | QuorumVerifier::Named(_) => {
                        identity.sign(&statement)
                    }
                })
            }
        }
    }

    /// Two statements of `accused` that contradict each other, in a view that this past does not reach.
    pub fn lie(&self, accused: ReplicaId, kind: StatementKind) -> Evidence {
        let height = if pbft::is_of_a_view(kind) { 0 } else { 3 };
        let sealed = |digest| {
            let statement = self.config.trust.domain.statement(kind, 9, height, Digest([digest; 32]));
            let with = if height == 0 { SealWith::Signature(statement) } else { SealWith::Share(statement) };
            (statement, self.seal(accused, with))
        };
        Evidence::new(accused, sealed(1), sealed(2))
    }

    /// The receipts among the replies.
    pub fn receipts(&self) -> Vec<ProvenReceipt> {
        let receipt = |reply: &Reply| match &reply.answer {
            Answer::Receipt(receipt) => Some(receipt.as_ref().clone()),
            _ => None,
        };
        self.replies.iter().filter_map(receipt).collect()
    }

    /// The proven answers among the replies, with their questions.
    pub fn answers(&self) -> Vec<(Bytes, ProvenAnswer)> {
        let question = |id: u64| match &self.requests.iter().find(|request| request.id == id)?.call {
            Call::Read(ReadingOf::Certified(_), question) => Some(question.clone()),
            _ => None,
        };
        let answer = |reply: &Reply| match &reply.answer {
            Answer::Query(answer) => Some((question(reply.id)?, answer.as_ref().clone())),
            _ => None,
        };
        self.replies.iter().filter_map(answer).collect()
    }
}

/// The time after `elapsed`.
pub fn clock(elapsed: Duration) -> Now {
    let micros = u64::try_from(elapsed.as_micros()).expect("a short past");
    Now { time: Time(0) + elapsed, wall: Timestamp(WALL.0 + micros) }
}

/// What a host wants of its surroundings, done at once: the disk is instant, and so are signatures.
pub fn carry_out(
    consortium: &Consortium,
    me: ReplicaId,
    disk: &mut Disk,
    effect: Effect,
) -> Result<Event<AnyEngine>, Effect> {
    Ok(match effect {
        Effect::Append(batch) => {
            let sequence = batch.sequence;
            disk.append(batch);
            disk.sync(sequence);
            Event::Durable { sequence }
        }
        Effect::Seal(SealJob { ticket, with }) => Event::Sealed { ticket, seal: consortium.seal(me, with) },
        Effect::Combine(job) => {
            let result = job.result(&consortium.config.trust.quorum);
            Event::Combined { statement: job.statement, result }
        }
        Effect::Aggregate(job) => {
            let result = job.result(&consortium.config.trust.quorum);
            Event::Aggregated { view: job.view, result }
        }
        Effect::ReadChain { to, from, max_bytes, max_entries } => {
            Event::ChainRead { to, chain: disk.chain(from, max_bytes, max_entries) }
        }
        Effect::ReadBlocks { to, blocks } => {
            let blocks = blocks.into_iter().map(|digest| (digest, disk.block(&digest))).collect();
            Event::BlocksRead { to, blocks }
        }
        Effect::Examine(suspicion) => match consortium.edge().evidence::<AnyMessage>((*suspicion).clone()) {
            Ok(evidence) => Event::Proven { evidence: Box::new(evidence) },
            // Nothing follows from it.
            Err(_) => return Err(Effect::Examine(suspicion)),
        },
        Effect::Recognize { shown_by, promised } => {
            let own = consortium.edge().recognizes(me, &promised);
            Event::Recognized { shown_by, promised, own }
        }
        Effect::Flush(batch) => {
            let height = batch.height;
            disk.flush(batch);
            Event::Flushed { height }
        }
        other => return Err(other),
    })
}

/// Reads a frame of the past.
pub fn message(bytes: &[u8]) -> Envelope<AnyMessage> {
    codec::decode(bytes, 1 << 20).expect("a replica's own frame")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::envelope::{Body, Sealed};
    use std::collections::BTreeSet;

    #[test]
    fn the_past_has_everything_that_replicas_and_clients_say() {
        let kinds: BTreeSet<&str> = REAL.samples.iter().map(|(_, envelope)| envelope.body.kind()).collect();
        let expected = [
            "blocks",
            "chain",
            "checkpoint-certificate",
            "checkpoint-votes",
            "commit",
            "evidence",
            "fetch-blocks",
            "fetch-chain",
            "fetch-promises",
            "fetch-view-changes",
            "forward",
            "new-view",
            "pre-prepare",
            "prepare",
            "promises",
            "relay",
            "status",
            "view-change",
        ];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
        assert!(REAL.entries.len() >= 8, "{} heights", REAL.entries.len());
        assert!(REAL.receipts().len() > 12 && REAL.answers().len() == 3);
        assert!(REAL.recovered.state.is_some(), "the state was flushed");
        let with_plan = REAL.samples.iter().any(|(_, envelope)| {
            matches!(&envelope.body, Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. })
                if pbft::shows_prepared(message))
        });
        assert!(with_plan, "a view-change carries prepared blocks");
    }
}
