//! Replicas that do as a script says, and receipts with real proofs.

use crate::{Client, ClientConfig};
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::genesis::{Application, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::receipt::{ProvenReceipt, Receipt};
use bft_core::request::{Advice, Answer, Call, Reply, Request};
use bft_core::transaction::{Item, Kind, Transaction};
use bytes::Bytes;
use crypto::{
    ClientKey, ClientSecret, Digest, FaultModel, IdentitySecret, ProtocolTag, ReplicaId, Scheme, Share,
    merkle,
};
use net::{Bound, Class, ConnectionId, Frame, Handler, Hello, Member, NetConfig, Network, Roster};
use std::future::Future;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// No condition may take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `future`; fails with `what` at the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Waits until `condition` holds; fails with `what` at the deadline.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(what, waiting).await;
}

/// What a network is, without its sockets: enough to prove anything.
pub struct Chain {
    pub genesis: Genesis,
    pub trust: Trust,
    secrets: Vec<IdentitySecret>,
}

impl Chain {
    /// The only transaction of a submission.
    pub fn item(&self, request: &Request) -> Option<Item> {
        match &request.call {
            Call::Submit(payload) => payload.items(&self.trust.domain.chain).ok()?.first().cloned(),
            Call::Receipt { .. }
            | Call::Read(..)
            | Call::Signed
            | Call::Session(_)
            | Call::Status
            | Call::Evidence => None,
        }
    }

    /// The genesis's quorum's word on an entry.
    pub fn certify(&self, entry: LedgerEntry) -> CheckpointCertificate {
        let statement = self.trust.domain.checkpoint(&entry);
        let shares: Vec<_> = self
            .trust
            .committee
            .members()
            .zip(&self.secrets)
            .take(self.trust.committee.quorum())
            .map(|(id, secret)| (id, Share::Ed25519(secret.sign(&statement.encode()))))
            .collect();
        let proof = self.trust.quorum.combine(&statement, &shares).unwrap();
        CheckpointCertificate { entry, proof: Some(proof) }
    }

    /// An entry that follows nothing in particular.
    pub fn entry(&self, height: u64, receipts_root: Digest) -> LedgerEntry {
        LedgerEntry {
            height,
            receipts_root,
            state_root: None,
            previous: Digest([9; 32]),
            ..self.trust.genesis_entry
        }
    }

    /// The receipts of one block, each with its proof under a certificate two heights above.
    pub fn prove_all(&self, height: u64, receipts: &[Receipt]) -> Vec<ProvenReceipt> {
        let tree = merkle::Tree::new(receipts.iter().map(Receipt::leaf).collect());
        let mut entries = vec![self.entry(height, tree.root())];
        for next in height + 1..height + 3 {
            let previous = entries.last().unwrap().digest();
            entries.push(LedgerEntry { previous, ..self.entry(next, merkle::root(&[])) });
        }
        let certificate = self.certify(*entries.last().unwrap());
        let prove = |(index, receipt): (usize, &Receipt)| ProvenReceipt {
            receipt: receipt.clone(),
            index: index as u64,
            count: receipts.len() as u64,
            path: tree.proof(index),
            entries: entries.clone(),
            certificate: certificate.clone(),
        };
        receipts.iter().enumerate().map(prove).collect()
    }

    /// A receipt in a block with two others.
    pub fn prove(&self, receipt: Receipt) -> ProvenReceipt {
        let other = |n| Receipt { transaction: Digest([n; 32]), code: 0, answer: Bytes::new() };
        self.prove_all(7, &[other(1), receipt, other(2)]).remove(1)
    }

    /// The proven receipt of the transaction submitted.
    pub fn receipt_for(&self, request: &Request, code: u32) -> Answer {
        let transaction = self.item(request).expect("a submission").digest;
        Answer::Receipt(Box::new(self.prove(Receipt {
            transaction,
            code,
            answer: Bytes::from_static(b"done"),
        })))
    }

    pub fn sign(&self, secret: &ClientSecret, sequence: u64, body: &'static [u8]) -> Transaction {
        Transaction::sign(
            secret,
            &self.trust.domain.chain,
            Kind::Application,
            sequence,
            Bytes::from_static(body),
        )
    }
}

pub fn refused(advice: Advice, sentence: &str) -> Answer {
    Answer::Refused { advice, sentence: sentence.to_owned() }
}

pub fn secret() -> ClientSecret {
    ClientSecret::from_seed([5; 32])
}

fn identity(seed: u8) -> IdentitySecret {
    IdentitySecret::from_seed([seed; 32])
}

/// What a replica does with one request.
pub enum Act {
    Answer(Answer),
    /// Whatever bytes.
    Raw(Bytes),
    /// An answer that comes when somebody says so.
    When(Arc<Notify>, Answer),
    Silence,
}

/// `(replica, how many submissions and other scripted requests this replica had before, request)`.
pub type Script = dyn Fn(&Chain, ReplicaId, usize, &Request) -> Act + Send + Sync;

/// A replica's ear. It answers the session itself, everything else by the script.
struct Scripted {
    me: ReplicaId,
    chain: Arc<Chain>,
    script: Arc<Script>,
    session: u64,
    network: Mutex<Weak<Network>>,
    seen: Arc<Mutex<Vec<(ReplicaId, Bytes)>>>,
}

impl Handler for Scripted {
    fn frame(&self, _: ReplicaId, _: Class, _: Frame) {}
    fn connected(&self, _: ReplicaId) {}
    fn disconnected(&self, _: ReplicaId) {}
    fn client_closed(&self, _: ConnectionId) {}

    fn client_frame(&self, client: ConnectionId, frame: Frame) {
        let request: Request = codec::decode(&frame, 1 << 20).unwrap();
        let act = match request.call {
            Call::Session(_) => Act::Answer(Answer::Session(self.session)),
            _ => {
                let before = {
                    let mut seen = self.seen.lock().unwrap();
                    let before = seen.iter().filter(|(replica, _)| *replica == self.me).count();
                    seen.push((self.me, frame.bytes().clone()));
                    before
                };
                (self.script)(&self.chain, self.me, before, &request)
            }
        };
        let network = self.network.lock().unwrap().clone();
        let respond = move |bytes| network.upgrade().map(|network| network.respond(client, bytes));
        let reply = |answer| Bytes::from(codec::encode(&Reply { id: request.id, answer }));
        match act {
            Act::Answer(answer) => drop(respond(reply(answer))),
            Act::Raw(bytes) => drop(respond(bytes)),
            Act::When(said, answer) => {
                let bytes = reply(answer);
                tokio::spawn(async move {
                    said.notified().await;
                    respond(bytes);
                });
            }
            Act::Silence => {}
        }
    }
}

/// Replicas that run a script.
pub struct Replicas {
    pub chain: Arc<Chain>,
    seen: Arc<Mutex<Vec<(ReplicaId, Bytes)>>>,
    networks: Vec<Option<Arc<Network>>>,
}

/// How the replicas are set up.
pub struct Setup {
    pub replicas: u8,
    pub limits: Limits,
    /// Replicas that do not run; their ports are taken by sockets that never answer.
    pub dead: Vec<u8>,
    /// Replicas whose key in the genesis is another than the one they have.
    pub impostors: Vec<u8>,
    /// What each says of every client's session.
    pub sessions: Vec<u64>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            replicas: 4,
            limits: Limits::default(),
            dead: vec![],
            impostors: vec![],
            sessions: vec![1; 7],
        }
    }
}

fn bind(id: u8) -> Bound {
    let hello = Hello {
        version: 1,
        chain: Digest::ZERO,
        epoch: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        replica: ReplicaId(id.into()),
    };
    let secret = identity(id + 1);
    // Alone in its roster: scripted replicas do not talk to each other.
    let member = Member { identity: secret.public(), address: "127.0.0.1:9".to_owned() };
    let roster = Roster::new([(ReplicaId(id.into()), member)]).unwrap();
    let mut config = NetConfig::new(secret, "127.0.0.1:0".parse().unwrap(), roster, hello);
    config.transport.socket_buffer_bytes = 1 << 20;
    Network::bind(config).unwrap()
}

impl Replicas {
    pub fn start(
        setup: Setup,
        script: impl Fn(&Chain, ReplicaId, usize, &Request) -> Act + Send + Sync + 'static,
    ) -> Replicas {
        let bound: Vec<Bound> = (0..setup.replicas).map(bind).collect();
        let secrets: Vec<IdentitySecret> = (0..setup.replicas)
            .map(|id| identity(if setup.impostors.contains(&id) { id + 101 } else { id + 1 }))
            .collect();
        let replicas = bound.iter().zip(&secrets).map(|(bound, secret)| ReplicaInfo {
            organisation: "org".to_owned(),
            identity: secret.public(),
            address: bound.local_address().to_string(),
        });
        let genesis = Genesis {
            version: codec::VERSION,
            network: "test".to_owned(),
            time: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
            scheme: Scheme::Ed25519,
            limits: setup.limits,
            application: Application { name: "test".to_owned(), config: String::new() },
            state_root: Digest::ZERO,
            replicas: replicas.collect(),
            organisations: vec![Organisation {
                name: "org".to_owned(),
                operator: ClientKey([3; 32]),
                clients: vec![secret().public()],
            }],
            threshold: None,
        };
        let trust = genesis.trust().unwrap();
        let chain = Arc::new(Chain { genesis, trust, secrets });
        let script: Arc<Script> = Arc::new(script);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let networks = bound.into_iter().zip(0..).map(|(bound, id)| {
            if setup.dead.contains(&id) {
                // Dropping it frees the port: nobody listens.
                return None;
            }
            let handler = Arc::new(Scripted {
                me: ReplicaId(id.into()),
                chain: chain.clone(),
                script: script.clone(),
                session: setup.sessions[usize::from(id)],
                network: Mutex::default(),
                seen: seen.clone(),
            });
            let network = Arc::new(bound.start(handler.clone(), &Handle::current()).unwrap());
            *handler.network.lock().unwrap() = Arc::downgrade(&network);
            Some(network)
        });
        let networks = networks.collect();
        Replicas { chain, seen, networks }
    }

    /// Times that a busy machine keeps, beginning at replica 0.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.chain.genesis.clone(), secret());
        config.first_replica = Some(ReplicaId(0));
        config.answer_timeout = Duration::from_secs(2);
        config.session_patience = Duration::from_secs(1);
        config
    }

    pub async fn client(&self) -> Client {
        self.client_with(|_| {}).await
    }

    pub async fn client_with(&self, adjust: impl FnOnce(&mut ClientConfig)) -> Client {
        let mut config = self.config();
        adjust(&mut config);
        let connecting = async {
            loop {
                // With short times, a busy machine may need another try.
                if let Ok(client) = Client::connect(config.clone()).await {
                    return client;
                }
            }
        };
        within("connecting", connecting).await
    }

    /// Frames that the script was asked about: who got them, and their bytes.
    pub fn seen(&self) -> Vec<(ReplicaId, Bytes)> {
        self.seen.lock().unwrap().clone()
    }

    /// Who was asked, in order.
    pub fn asked(&self) -> Vec<u16> {
        self.seen().iter().map(|(replica, _)| replica.0).collect()
    }

    /// Stops a replica, telling its clients.
    pub async fn stop(&mut self, id: usize) {
        let mut network = self.networks[id].take().unwrap();
        let network = loop {
            // A handler may hold it for a moment.
            match Arc::try_unwrap(network) {
                Ok(network) => break network,
                Err(shared) => network = shared,
            }
            tokio::task::yield_now().await;
        };
        within("stopping", network.shutdown()).await;
    }
}
