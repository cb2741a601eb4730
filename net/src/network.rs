//! Starting, using and stopping the transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::ReplicaId;
use parking_lot::{Mutex, RwLock};
use quinn::{Endpoint, VarInt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clients::Clients;
use crate::close::{CloseCode, Closing};
use crate::config::check_membership;
use crate::directory::Directory;
use crate::gate::Gate;
use crate::shared::{Counters, Shared, Tasks};
use crate::socket::{self, BoundSocket};
use crate::tls::Tls;
use crate::{
    Admission, Class, ConnectionId, Handler, Hello, NetConfig, NetError, NetStats, PeerStatus, Roster,
    accept, dial, quic, reset,
};

/// How long a shutdown waits for peers to acknowledge the close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// A checked configuration with its UDP socket bound: [`Bound::local_address`] is known, nothing runs yet.
#[derive(Debug)]
pub struct Bound {
    config: NetConfig,
    socket: BoundSocket,
    tls: Tls,
}

/// The running transport of one replica. Dropping it stops it without waiting; [`Network::shutdown`] waits.
pub struct Network {
    shared: Arc<Shared>,
    local_address: SocketAddr,
    receive_buffer: usize,
    send_buffer: usize,
    /// Ends when every task is done.
    done: mpsc::Receiver<()>,
}

impl Bound {
    /// Where the socket is bound; tells the port when 0 was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.socket.address
    }

    /// The configuration, to complete it with addresses that are known only now. It is checked again at the start.
    pub fn config_mut(&mut self) -> &mut NetConfig {
        &mut self.config
    }

    /// Begins to accept and to dial, on `runtime`.
    pub fn start(self, handler: Arc<dyn Handler>, runtime: &Handle) -> Result<Network, NetError> {
        let Bound { config, socket, tls } = self;
        config.validate()?;
        let _entered = runtime.enter();
        let server = quic::server_config(tls.server()?, &config.transport, &config.limits);
        let endpoint = quic::endpoint(
            reset::endpoint_config(&config.secret)?,
            Some(server),
            socket.socket,
            &config.transport,
        )?;
        let (tasks, done) = Tasks::new(runtime.clone());
        let shared = Arc::new(Shared {
            me: config.me,
            identity: config.secret.public(),
            tls,
            limits: config.limits,
            transport: config.transport,
            epoch_tolerance: config.epoch_tolerance,
            endpoint,
            handler,
            directory: RwLock::new(Directory::new(config.hello)),
            gate: Mutex::new(Gate::new(config.limits.handshakes, Instant::now())),
            clients: Clients::new(config.limits.clients),
            counters: Counters::default(),
            tasks,
        });
        let network = Network {
            shared,
            local_address: socket.address,
            receive_buffer: socket.receive_buffer,
            send_buffer: socket.send_buffer,
            done,
        };
        network.set_roster(&config.roster, config.hello)?;
        network.shared.tasks.spawn(accept::listen(network.shared.clone()));
        Ok(network)
    }
}

impl Network {
    /// Checks the configuration and binds the UDP socket.
    pub fn bind(config: NetConfig) -> Result<Bound, NetError> {
        config.validate()?;
        let tls = Tls::new(&config.secret)?;
        let socket = socket::bind(config.listen, config.transport.socket_buffer_bytes)?;
        Ok(Bound { config, socket, tls })
    }

    /// Where the socket is bound.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Queues a frame for a peer. Never blocks, may be called from any thread.
    ///
    /// Delivery is best effort. A full queue drops its oldest frames for a vote or a proposal, and the new frame for pool
    /// and sync. While the peer is not connected, votes wait within the queue's bounds and all else is dropped. All drops are
    /// counted in [`PeerStatus`].
    pub fn send(&self, to: ReplicaId, class: Class, frame: Bytes) -> Admission {
        match self.shared.directory.read().peer(to) {
            Some(peer) => peer.send(class, frame),
            None => {
                self.shared.counters.unroutable.fetch_add(1, Ordering::Relaxed);
                Admission::Unknown
            }
        }
    }

    /// Queues an answer for a client. Never blocks; drops the answer, and counts it, when the client's queue is full.
    pub fn respond(&self, client: ConnectionId, frame: Bytes) -> Admission {
        self.shared.clients.respond(client, frame)
    }

    /// The other replicas of the roster, by rising id.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.shared.directory.read().peers().map(|peer| peer.status()).collect()
    }

    /// One other replica of the roster.
    pub fn peer(&self, id: ReplicaId) -> Option<PeerStatus> {
        self.shared.directory.read().peer(id).map(|peer| peer.status())
    }

    /// The endpoint as a whole.
    pub fn stats(&self) -> NetStats {
        let shared = &self.shared;
        let counters = &shared.counters;
        let (handshakes_failed, last_refusal) = counters.failures();
        let (client_received_frames, client_received_bytes) = shared.clients.received.read();
        let (client_sent_frames, client_sent_bytes) = shared.clients.sent.read();
        NetStats {
            local_address: self.local_address,
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            handshakes_open: shared.gate.lock().open(),
            handshakes_begun: counters.begun.load(Ordering::Relaxed),
            handshakes_retried: counters.retried.load(Ordering::Relaxed),
            handshakes_refused: counters.refused.load(Ordering::Relaxed),
            handshakes_failed,
            last_refusal,
            clients: shared.clients.connected(),
            client_received_frames,
            client_received_bytes,
            client_sent_frames,
            client_sent_bytes,
            client_dropped_frames: shared.clients.dropped(),
            unroutable_frames: counters.unroutable.load(Ordering::Relaxed),
        }
    }

    /// Takes over a new roster and hello, at a change of epoch. Connections of replicas that left, or whose key changed,
    /// are closed; new ones are dialled; the others stay as they are, whatever the hello says now.
    pub fn set_roster(&self, roster: &Roster, hello: Hello) -> Result<(), NetError> {
        let shared = &self.shared;
        check_membership(shared.me, shared.identity, roster, &hello)?;
        let new = shared.directory.write().update(shared.me, roster, hello, &shared.limits);
        // The lower id dials.
        for peer in new.into_iter().filter(|peer| shared.me < peer.id) {
            shared.tasks.spawn(dial::keep_connected(shared.clone(), peer));
        }
        Ok(())
    }

    /// Closes all connections, telling the other ends, and waits until no task of the network runs: the handler is not
    /// called any more. The port is free a moment later.
    pub async fn shutdown(mut self) {
        self.stop();
        // Nothing is ever sent; the channel ends with the last task.
        let _ = self.done.recv().await;
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.shared.endpoint.wait_idle()).await;
    }

    /// The limits in force.
    #[cfg(test)]
    pub(crate) fn shared_limits(&self) -> &crate::Limits {
        &self.shared.limits
    }

    fn stop(&self) {
        let closing = Closing::new(CloseCode::Shutdown, "the replica shuts down");
        self.shared.tasks.stop();
        self.shared.directory.write().retire_all(&closing);
        close(&self.shared.endpoint, &closing);
    }
}

fn close(endpoint: &Endpoint, closing: &Closing) {
    endpoint.close(VarInt::from_u32(closing.code as u32), closing.theirs.as_bytes());
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop();
    }
}
