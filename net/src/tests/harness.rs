//! Networks that record what they receive, raw connections for misbehaviour, and a wire that can be cut.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crypto::{Digest, FaultModel, Identity, IdentitySecret, ProtocolTag, ReplicaId};
use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, RecvStream, SendStream};
use tokio::net::UdpSocket;
use tokio::runtime::Handle;

use crate::hello::HELLO_BYTES;
use crate::tls::{SERVER_NAME, Tls};
use crate::{
    Bound, Class, ConnectionId, Frame, Handler, Hello, Limits, Member, NetConfig, Network, Roster,
    TransportOptions, quic, socket,
};

/// No condition may take longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; fails with `what` at the deadline.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "{what}: not within {DEADLINE:?}");
}

/// Waits for `future`; fails with `what` at the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Connected(ReplicaId),
    Disconnected(ReplicaId),
    ClientClosed(ConnectionId),
}

/// A handler that writes everything down.
#[derive(Default)]
pub struct Recorder {
    pub events: Mutex<Vec<Event>>,
    pub frames: Mutex<Vec<(ReplicaId, Class, Bytes)>>,
    pub client_frames: Mutex<Vec<(ConnectionId, Bytes)>>,
    /// While set, frames are kept and their budget stays taken.
    pub hold: AtomicBool,
    pub held: Mutex<Vec<Frame>>,
}

impl Recorder {
    pub fn of(&self, from: ReplicaId, class: Class) -> Vec<Bytes> {
        let frames = self.frames.lock();
        frames
            .iter()
            .filter(|(id, of, _)| (*id, *of) == (from, class))
            .map(|(_, _, bytes)| bytes.clone())
            .collect()
    }

    pub fn count(&self) -> usize {
        self.frames.lock().len()
    }

    pub fn held_bytes(&self) -> usize {
        self.held.lock().iter().map(|frame| frame.bytes().len()).sum()
    }

    pub fn release(&self) {
        self.hold.store(false, Ordering::SeqCst);
        self.held.lock().clear();
    }

    fn keep(&self, frame: Frame) {
        if self.hold.load(Ordering::SeqCst) {
            self.held.lock().push(frame);
        }
    }
}

impl Handler for Recorder {
    fn frame(&self, from: ReplicaId, class: Class, frame: Frame) {
        self.frames.lock().push((from, class, frame.bytes().clone()));
        self.keep(frame);
    }

    fn connected(&self, peer: ReplicaId) {
        self.events.lock().push(Event::Connected(peer));
    }

    fn disconnected(&self, peer: ReplicaId) {
        self.events.lock().push(Event::Disconnected(peer));
    }

    fn client_frame(&self, client: ConnectionId, frame: Frame) {
        self.client_frames.lock().push((client, frame.bytes().clone()));
        self.keep(frame);
    }

    fn client_closed(&self, client: ConnectionId) {
        self.events.lock().push(Event::ClientClosed(client));
    }
}

pub fn secret(id: u16) -> IdentitySecret {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&id.to_le_bytes());
    IdentitySecret::from_seed(seed)
}

pub fn identity(id: u16) -> Identity {
    secret(id).public()
}

pub fn hello(id: u16) -> Hello {
    Hello {
        version: 1,
        chain: Digest([0xab; 32]),
        epoch: 3,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        replica: ReplicaId(id),
    }
}

pub fn roster(addresses: impl IntoIterator<Item = (u16, String)>) -> Roster {
    let member = |(id, address)| (ReplicaId(id), Member { identity: identity(id), address });
    Roster::new(addresses.into_iter().map(member)).unwrap()
}

/// A configuration of replica `id` on a free port, with a roster of `n` whose addresses are not known yet.
pub fn config(id: u16, n: u16) -> NetConfig {
    let nowhere = roster((0..n).map(|id| (id, "127.0.0.1:9".to_owned())));
    let mut config = NetConfig::new(secret(id), "127.0.0.1:0".parse().unwrap(), nowhere, hello(id));
    config.transport.socket_buffer_bytes = 1 << 20;
    config
}

/// A running replica.
pub struct Node {
    pub id: ReplicaId,
    pub network: Network,
    pub recorder: Arc<Recorder>,
}

impl Node {
    pub fn start(bound: Bound, id: u16) -> Node {
        let recorder = Arc::new(Recorder::default());
        let network = bound.start(recorder.clone(), &Handle::current()).unwrap();
        Node { id: ReplicaId(id), network, recorder }
    }

    pub fn connected(&self, peer: u16) -> bool {
        self.network.peer(ReplicaId(peer)).is_some_and(|peer| peer.connected)
    }

    pub fn last_error(&self, peer: u16) -> String {
        self.network.peer(ReplicaId(peer)).and_then(|peer| peer.last_error).unwrap_or_default()
    }

    pub async fn until_connected(&self, peers: impl IntoIterator<Item = u16> + Clone) {
        until(&format!("{} connected", self.id), || {
            peers.clone().into_iter().all(|peer| self.connected(peer))
        })
        .await;
    }

    pub fn address(&self) -> SocketAddr {
        self.network.local_address()
    }
}

/// `n` bound replicas whose rosters name each other's ports.
pub fn bind_all(n: u16, adjust: impl Fn(&mut NetConfig)) -> Vec<Bound> {
    let configs = (0..n).map(|id| {
        let mut config = config(id, n);
        adjust(&mut config);
        config
    });
    let mut bound: Vec<Bound> = configs.map(|config| Network::bind(config).unwrap()).collect();
    let addresses: Vec<String> = bound.iter().map(|bound| bound.local_address().to_string()).collect();
    let roster = roster((0..n).zip(addresses));
    for bound in &mut bound {
        bound.config_mut().roster = roster.clone();
    }
    bound
}

/// `n` running replicas; nothing is awaited.
pub fn start_all(n: u16, adjust: impl Fn(&mut NetConfig)) -> Vec<Node> {
    let bound = bind_all(n, adjust);
    bound.into_iter().zip(0..).map(|(bound, id)| Node::start(bound, id)).collect()
}

/// `n` replicas that are all connected.
pub async fn cluster(n: u16, adjust: impl Fn(&mut NetConfig)) -> Vec<Node> {
    let nodes = start_all(n, adjust);
    for node in &nodes {
        node.until_connected((0..n).filter(|peer| ReplicaId(*peer) != node.id)).await;
    }
    nodes
}

pub async fn shutdown_all(nodes: Vec<Node>) {
    for node in nodes {
        within("shutdown", node.network.shutdown()).await;
    }
}

/// The numbers 0.. as frames, and back.
pub fn number(i: u32) -> Bytes {
    Bytes::copy_from_slice(&i.to_le_bytes())
}

pub fn numbers(frames: &[Bytes]) -> Vec<u32> {
    frames.iter().map(|frame| u32::from_le_bytes(frame[..4].try_into().unwrap())).collect()
}

/// A QUIC endpoint that does as it is told.
pub struct Raw {
    pub endpoint: Endpoint,
    options: TransportOptions,
    limits: Limits,
}

impl Raw {
    pub fn new() -> Raw {
        let options = TransportOptions::default();
        let bound = socket::bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
        let endpoint = quic::endpoint(EndpointConfig::default(), None, bound.socket, &options).unwrap();
        Raw { endpoint, options, limits: Limits::default() }
    }

    /// With the given key and application protocol; the other end is replica `expected`.
    pub async fn connect(
        &self,
        target: SocketAddr,
        key: &IdentitySecret,
        expected: u16,
        alpn: &[u8],
    ) -> Result<Connection, ConnectionError> {
        let tls = Tls::new(key).unwrap().client(identity(expected), alpn).unwrap();
        let config = quic::peer_config(tls, &self.options, &self.limits);
        within("a raw connection", self.endpoint.connect_with(config, target, SERVER_NAME).unwrap()).await
    }

    /// A connection that says `hello` and agrees to whatever comes back.
    pub async fn connect_peer(
        &self,
        target: SocketAddr,
        hello: Hello,
        expected: u16,
    ) -> (Connection, SendStream, RecvStream) {
        let alpn = crate::tls::ALPN_PEER;
        let connection = self.connect(target, &secret(hello.replica.0), expected, alpn).await.unwrap();
        let (send, recv) = greet(&connection, hello).await;
        (connection, send, recv)
    }
}

/// Says `hello`, whether or not anybody answers.
pub async fn greet(connection: &Connection, hello: Hello) -> (SendStream, RecvStream) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let mut message = vec![HELLO_BYTES as u8, 0];
    message.extend(hello.encode());
    send.write_all(&message).await.unwrap();
    let mut answer = [0; 2 + HELLO_BYTES];
    if within("an answer to the hello", recv.read_exact(&mut answer)).await.is_ok() {
        send.write_all(&[1]).await.unwrap();
    }
    (send, recv)
}

/// Waits for the other end's close and returns its code and reason.
pub async fn closed_with(connection: &Connection) -> (u64, String) {
    match within("a close", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into(), String::from_utf8_lossy(&close.reason).into_owned())
        }
        other => panic!("closed differently: {other}"),
    }
}

/// A UDP relay in front of `target`; each direction can be cut. One dialler.
pub struct Wire {
    pub address: SocketAddr,
    pub to_target: Arc<AtomicBool>,
    pub to_dialler: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Wire {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(target).await.unwrap();
        let address = front.local_addr().unwrap();
        let to_target = Arc::new(AtomicBool::new(true));
        let to_dialler = Arc::new(AtomicBool::new(true));
        let (up, down) = (to_target.clone(), to_dialler.clone());
        let task = tokio::spawn(async move {
            let mut dialler = None;
            let (mut upward, mut downward) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut upward) => {
                        dialler = Some(from);
                        if up.load(Ordering::SeqCst) {
                            let _ = back.send(&upward[..length]).await;
                        }
                    }
                    Ok(length) = back.recv(&mut downward) => {
                        if let (true, Some(dialler)) = (down.load(Ordering::SeqCst), dialler) {
                            let _ = front.send_to(&downward[..length], dialler).await;
                        }
                    }
                }
            }
        });
        Wire { address, to_target, to_dialler, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}
