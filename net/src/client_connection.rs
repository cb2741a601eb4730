//! The other end of a client's connection, for client programs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crypto::{Identity, IdentitySecret};
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, VarInt};
use tokio::task::JoinHandle;

use crate::class::Overflow;
use crate::clients::check_version;
use crate::close::{CloseCode, Closing, End, describe};
use crate::frame::Budget;
use crate::hello::TRANSPORT_VERSION;
use crate::limits::{ClientLimits, FRAME_OVERHEAD, Limits};
use crate::outbox::Outbox;
use crate::reader::{FrameReader, ReadError};
use crate::tls::{ALPN_CLIENT, SERVER_NAME, Tls};
use crate::writer::{Traffic, write_frames};
use crate::{NetError, TransportOptions, dial, quic, socket};

const READ_BYTES: usize = 64 << 10;

/// How long [`ClientConnection::close`] waits for the replica to notice.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How a client connects.
#[derive(Debug)]
pub struct ClientOptions {
    /// The Ed25519 key of the TLS handshake. None: a new one for this connection. Replicas do not look at it.
    pub secret: Option<IdentitySecret>,
    /// The longest frame in either direction, the queue of frames to send, the QUIC window. Counts of connections and
    /// `inbound_bytes` mean nothing here: answers are read when [`ClientConnection::recv`] asks for them.
    pub limits: ClientLimits,
    /// How long connecting may take, per address.
    pub connect_timeout: Duration,
    /// How QUIC behaves. `idle_timeout` is after how long without a packet the replica is given up.
    pub transport: TransportOptions,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        let transport = TransportOptions {
            keep_alive: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(10),
            ..TransportOptions::default()
        };
        let mut limits = Limits::default().clients;
        // One connection here, not a thousand; and an answer may be a long proof.
        limits.window_bytes = 4 << 20;
        ClientOptions { secret: None, limits, connect_timeout: Duration::from_secs(5), transport }
    }
}

/// A connection to one replica. Frames arrive in the order they were sent, or the connection has ended.
pub struct ClientConnection {
    connection: Connection,
    endpoint: Endpoint,
    frame_bytes: usize,
    outbox: Arc<Outbox>,
    frames: tokio::sync::Mutex<FrameReader<RecvStream>>,
    writer: JoinHandle<()>,
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConnection").field("remote", &self.remote_address()).finish_non_exhaustive()
    }
}

impl ClientConnection {
    /// Connects to `address` (`host:port`), which must be the replica that owns the key `expected`. Done when the replica
    /// has said that it serves this connection. Must be called within a tokio runtime.
    pub async fn connect(
        address: &str,
        expected: Identity,
        options: ClientOptions,
    ) -> Result<ClientConnection, NetError> {
        let failed = |reason: String| NetError::Connect { address: address.to_owned(), reason };
        let secret = match options.secret {
            Some(secret) => secret,
            None => IdentitySecret::generate().map_err(|error| failed(error.to_string()))?,
        };
        let tls = Tls::new(&secret)?.client(expected, ALPN_CLIENT)?;
        let config = quic::client_config(tls, &options.transport, &options.limits);
        let mut last = None;
        for target in dial::resolve(address, true).await? {
            let endpoint = endpoint_for(target, &options.transport)?;
            let connecting = endpoint
                .connect_with(config.clone(), target, SERVER_NAME)
                .map_err(|error| failed(format!("{target}: {error}")))?;
            let attempt = async {
                let connection = connecting.await.map_err(|error| describe(&error))?;
                let streams = greet(&connection).await.map_err(|end| end.conclude(&connection))?;
                Ok((connection, streams))
            };
            match tokio::time::timeout(options.connect_timeout, attempt).await {
                Ok(Ok((connection, streams))) => {
                    return Ok(start(connection, endpoint, streams, &options.limits));
                }
                Ok(Err(reason)) => last = Some(reason),
                Err(_) => last = Some(format!("no answer within {} ms", options.connect_timeout.as_millis())),
            }
        }
        Err(failed(last.unwrap_or_default()))
    }

    /// Sends a frame; waits while the queue is full. Sent does not mean received: only an answer says that.
    pub async fn send(&self, frame: Bytes) -> Result<(), NetError> {
        if frame.len() > self.frame_bytes {
            return Err(NetError::FrameTooLong { length: frame.len(), limit: self.frame_bytes });
        }
        if let Some(reason) = self.connection.close_reason() {
            return Err(NetError::Closed { reason: describe(&reason) });
        }
        tokio::select! {
            () = self.outbox.push_when_room(frame) => Ok(()),
            reason = self.connection.closed() => Err(NetError::Closed { reason: describe(&reason) }),
        }
    }

    /// The next frame from the replica. Cancel-safe; several callers take turns.
    pub async fn recv(&self) -> Result<Bytes, NetError> {
        let end: End = match self.frames.lock().await.next().await {
            Ok(Some(frame)) => return Ok(frame.into_parts().0),
            Ok(None) | Err(ReadError::Stream(_)) => End::Lost,
            Err(ReadError::TooLong { length, limit }) => {
                let reason = format!("an answer of {length} bytes, limit {limit}");
                Closing::new(CloseCode::FrameTooLong, reason).apply(&self.connection);
                return Err(NetError::FrameTooLong { length, limit });
            }
            Err(error @ ReadError::Truncated) => Closing::new(CloseCode::BadStream, error).into(),
        };
        Err(NetError::Closed { reason: end.settle(&self.connection).await.conclude(&self.connection) })
    }

    /// Where the replica was reached.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// The estimated round-trip time to the replica.
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Why the connection has ended, or None while it is up.
    pub fn closed(&self) -> Option<String> {
        self.connection.close_reason().map(|reason| describe(&reason))
    }

    /// Closes the connection, giving the replica a moment to notice. Frames that were not acknowledged may be lost.
    pub async fn close(self) {
        self.connection.close(VarInt::from_u32(CloseCode::Shutdown as u32), b"the client is done");
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.endpoint.wait_idle()).await;
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(CloseCode::Shutdown as u32), b"the client is done");
        self.writer.abort();
    }
}

/// An endpoint of its own on a free port, of the target's family.
fn endpoint_for(target: SocketAddr, options: &TransportOptions) -> Result<Endpoint, NetError> {
    let any = match target {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let bound = socket::bind(any, options.socket_buffer_bytes)?;
    quic::endpoint(EndpointConfig::default(), None, bound.socket, options)
}

async fn greet(connection: &Connection) -> Result<(SendStream, RecvStream), End> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(|_| End::Lost)?;
    send.write_all(&TRANSPORT_VERSION.to_le_bytes()).await.map_err(|_| End::Lost)?;
    let mut version = [0; 2];
    recv.read_exact(&mut version).await.map_err(|_| End::Lost)?;
    check_version(version)?;
    Ok((send, recv))
}

fn start(
    connection: Connection,
    endpoint: Endpoint,
    (send, recv): (SendStream, RecvStream),
    limits: &ClientLimits,
) -> ClientConnection {
    let frame_bytes = limits.frame_bytes;
    let outbox =
        Arc::new(Outbox::new(frame_bytes, limits.queue_frames, limits.queue_bytes, Overflow::DropNewest));
    let queue = outbox.clone();
    let writer = tokio::spawn(async move {
        // When it fails, the connection knows why.
        write_frames(send, &queue, &Traffic::default()).await;
    });
    let budget = Budget::new(frame_bytes + FRAME_OVERHEAD);
    let frames = tokio::sync::Mutex::new(FrameReader::new(recv, frame_bytes, budget, READ_BYTES));
    ClientConnection { connection, endpoint, frame_bytes, outbox, frames, writer }
}
