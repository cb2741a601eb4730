//! One replica with the threads, queues and disk that it has in this model.

use super::committee::Members;
use super::egress::Egress;
use super::journal::Journal;
use super::machine::Pool;
use super::work::Task;
use bft_core::edge::{Edge, ReadFrame};
use bft_core::engine::Class;
use bft_core::envelope::Rejection;
use bft_core::host::{CertificateQueue, Event, Host, HostConfig};
use bft_core::types::{Height, ReplicaId, Time};
use bytes::Bytes;
use crypto::{IdentitySecret, QuorumSigner, TransactionVerifier};
use engines::{AnyEngine, AnyMessage};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Workers of the product, at least and at most.
const WORKERS: (usize, usize) = (2, 4);

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    Replica(ReplicaId),
    Client(usize),
}

/// What travels.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub class: Class,
    pub bytes: Bytes,
    /// Bytes that it would have under the real scheme.
    pub weight: u64,
}

/// A replica's frame that was read, and how long it was.
#[derive(Debug)]
pub(super) struct Received {
    pub from: ReplicaId,
    pub bytes: usize,
    pub frame: Result<ReadFrame<AnyMessage>, Rejection>,
}

/// A task, and since when it is ready.
pub(super) type Ready = (Task, Time);

/// Frames that wait for one task after the other.
#[derive(Debug)]
pub(super) struct Queue<T> {
    pub waiting: VecDeque<T>,
    pub busy: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { waiting: VecDeque::new(), busy: false }
    }
}

impl<T> Queue<T> {
    /// Adds to it; true if nobody works on it yet.
    pub fn put(&mut self, more: impl IntoIterator<Item = T>) -> bool {
        self.waiting.extend(more);
        !std::mem::replace(&mut self.busy, true)
    }
}

/// See the module's text.
pub(super) struct Node<A> {
    pub host: Option<Host<AnyEngine, A>>,
    pub config: HostConfig,
    pub edge: Edge,
    pub signer: QuorumSigner,
    pub identity: IdentitySecret,
    /// Events for the host.
    pub inbox: Queue<Event<AnyEngine>>,
    /// When the host is woken if nothing happens.
    pub wake_at: Option<Time>,
    /// The host's time on a core.
    pub host_used: Duration,
    /// Frames to be sent, by connection.
    pub outgoing: BTreeMap<Peer, Queue<Frame>>,
    /// Frames that have arrived and are not yet read, by connection.
    pub incoming: BTreeMap<Peer, Queue<Frame>>,
    /// Frames to be checked: a lane for each replica, and one for all clients.
    pub lanes: BTreeMap<Option<ReplicaId>, Queue<(Peer, Frame)>>,
    pub certificates: CertificateQueue<Received>,
    pub workers: Pool<Ready>,
    pub crypto: Pool<Ready>,
    pub journal: Journal,
    pub egress: Option<Egress<(Peer, Vec<Frame>)>>,
    /// Heights that were compared with the others'.
    pub shown: Height,
}

impl<A> Node<A> {
    pub fn new(members: &Members, place: usize, cores: usize, megabits: Option<u64>) -> Node<A> {
        let config = members.host_config(ReplicaId(place as u16));
        let verifier = TransactionVerifier::Simulated;
        Node {
            host: None,
            edge: Edge::new(config.trust.clone(), config.genesis.limits, verifier),
            certificates: CertificateQueue::new(&config.trust.quorum),
            config,
            signer: members.signers[place].clone(),
            identity: members.identities[place].clone(),
            inbox: Queue::default(),
            wake_at: None,
            host_used: Duration::ZERO,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            lanes: BTreeMap::new(),
            workers: Pool::new(cores.clamp(WORKERS.0, WORKERS.1)),
            crypto: Pool::new((cores - 1).max(1)),
            journal: Journal::default(),
            egress: megabits.map(Egress::new),
            shown: 0,
        }
    }
}
