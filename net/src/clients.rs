//! Connections of clients: one bidirectional stream each, frames both ways.
//!
//! The client opens the stream and writes the transport version, two little-endian bytes; it is connected when the same
//! two bytes come back. Frames follow in both directions, as between replicas.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout_at;

use crate::accept::Pass;
use crate::class::Overflow;
use crate::close::{CloseCode, Closing, End};
use crate::frame::Budget;
use crate::gate::network;
use crate::hello::{Mismatch, TRANSPORT_VERSION};
use crate::limits::ClientLimits;
use crate::outbox::Outbox;
use crate::reader::{FrameReader, ReadError};
use crate::shared::Shared;
use crate::writer::{Traffic, write_frames};
use crate::{Admission, ConnectionId};

/// How many bytes a client's stream is read at once; the reader's buffer.
const READ_BYTES: usize = 8 << 10;

/// The clients that are connected.
pub(crate) struct Clients {
    limits: ClientLimits,
    next: AtomicU64,
    table: Mutex<Table>,
    pub sent: Traffic,
    pub received: Traffic,
    dropped: AtomicU64,
}

/// Invariant: `per_network` counts the entries of `open` by network; no entry is zero.
#[derive(Default)]
struct Table {
    open: HashMap<ConnectionId, Arc<Outbox>>,
    per_network: HashMap<IpAddr, usize>,
}

/// A client's place in the table; given back on drop.
struct Place {
    shared: Arc<Shared>,
    id: ConnectionId,
    network: IpAddr,
    outbox: Arc<Outbox>,
}

impl Clients {
    pub fn new(limits: ClientLimits) -> Clients {
        Clients {
            limits,
            next: AtomicU64::new(1),
            table: Mutex::default(),
            sent: Traffic::default(),
            received: Traffic::default(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Queues an answer, or drops it: the newest, when the client reads too slowly. Never blocks.
    pub fn respond(&self, client: ConnectionId, frame: Bytes) -> Admission {
        let outbox = self.table.lock().open.get(&client).cloned();
        let admission = outbox.map_or(Admission::Unknown, |outbox| outbox.push(frame));
        if admission != Admission::Queued {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        admission
    }

    pub fn connected(&self) -> usize {
        self.table.lock().open.len()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Finds a place for a client at `ip`, if there is one.
    fn enter(&self, ip: IpAddr) -> Result<(ConnectionId, IpAddr, Arc<Outbox>), Closing> {
        let limits = &self.limits;
        let network = network(ip);
        let mut table = self.table.lock();
        if table.open.len() >= limits.connections {
            let reason =
                format!("all {} client connections are taken; try another replica", limits.connections);
            return Err(Closing::new(CloseCode::TooManyClients, reason));
        }
        let here = table.per_network.entry(network).or_default();
        if *here >= limits.connections_per_ip {
            let reason =
                format!("{here} clients of {network} are connected, the limit per address; close some");
            return Err(Closing::new(CloseCode::TooManyClients, reason));
        }
        *here += 1;
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let outbox =
            Outbox::new(limits.frame_bytes, limits.queue_frames, limits.queue_bytes, Overflow::DropNewest);
        let outbox = Arc::new(outbox);
        table.open.insert(id, outbox.clone());
        Ok((id, network, outbox))
    }

    fn leave(&self, id: ConnectionId, network: IpAddr) {
        let mut table = self.table.lock();
        table.open.remove(&id);
        if let Some(here) = table.per_network.get_mut(&network) {
            *here -= 1;
            if *here == 0 {
                table.per_network.remove(&network);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.clients.leave(self.id, self.network);
    }
}

/// A client's connection, from the end of its TLS handshake to its own end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    connection: Connection,
    deadline: tokio::time::Instant,
    pass: Pass,
) {
    let address = connection.remote_address();
    let greeting = async {
        let (id, network, outbox) = shared.clients.enter(address.ip())?;
        let place = Place { shared: shared.clone(), id, network, outbox };
        greet(&connection).await.map(|streams| (place, streams))
    };
    let outcome = match timeout_at(deadline, greeting).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Closing::new(CloseCode::Timeout, "the hello took too long").into()),
    };
    drop(pass);
    let (place, (send, recv)) = match outcome {
        Ok(greeted) => greeted,
        Err(end) => return shared.counters.failed(address, &end.conclude(&connection)),
    };
    let id = place.id;
    tracing::debug!(%id, %address, "client connected");
    // A task of its own, so that a panic of the handler ends this connection and nothing else.
    let carried = tokio::spawn(carry(shared.clone(), id, place.outbox.clone(), send, recv)).await;
    drop(place);
    let end = carried.unwrap_or_else(|error| {
        tracing::error!(%error, "a client connection's task failed");
        Closing::new(CloseCode::Internal, "the replica failed to handle a frame; its log says more").into()
    });
    let reason = end.settle(&connection).await.conclude(&connection);
    tracing::debug!(%id, reason, "client gone");
    shared.handler.client_closed(id);
}

async fn greet(connection: &Connection) -> Result<(SendStream, RecvStream), End> {
    let (mut send, mut recv) = connection.accept_bi().await.map_err(|_| End::Lost)?;
    let mut version = [0; 2];
    recv.read_exact(&mut version).await.map_err(|_| End::Lost)?;
    check_version(version)?;
    send.write_all(&TRANSPORT_VERSION.to_le_bytes()).await.map_err(|_| End::Lost)?;
    Ok((send, recv))
}

/// Compares the other end's transport version with ours.
pub(crate) fn check_version(theirs: [u8; 2]) -> Result<(), Closing> {
    let theirs = u16::from_le_bytes(theirs);
    if theirs == TRANSPORT_VERSION {
        return Ok(());
    }
    let mismatch = Mismatch {
        field: "transport version",
        theirs: theirs.to_string(),
        ours: TRANSPORT_VERSION.to_string(),
        remedy: "run the same release on both",
    };
    Err(Closing {
        code: CloseCode::Mismatch,
        ours: mismatch.to_string(),
        theirs: mismatch.mirrored().to_string(),
    })
}

async fn carry(
    shared: Arc<Shared>,
    id: ConnectionId,
    outbox: Arc<Outbox>,
    send: SendStream,
    recv: RecvStream,
) -> End {
    let clients = &shared.clients;
    let limits = &clients.limits;
    let mut frames =
        FrameReader::new(recv, limits.frame_bytes, Budget::new(limits.inbound_bytes), READ_BYTES);
    let reading = async {
        loop {
            match frames.next().await {
                Ok(Some(frame)) => {
                    clients.received.count(1, frame.bytes().len() as u64);
                    shared.handler.client_frame(id, frame);
                }
                Ok(None) => return Closing::new(CloseCode::BadStream, "the stream was ended").into(),
                Err(ReadError::Stream(_)) => return End::Lost,
                Err(error @ ReadError::TooLong { .. }) => {
                    return Closing::new(CloseCode::FrameTooLong, format!("{error}; send smaller frames"))
                        .into();
                }
                Err(error @ ReadError::Truncated) => return Closing::new(CloseCode::BadStream, error).into(),
            }
        }
    };
    tokio::select! {
        end = reading => end,
        // The reading side learns why the connection ended; a stream that the client stopped is its own fault.
        error = write_frames(send, &outbox, &clients.sent) => match error {
            quinn::WriteError::Stopped(_) => Closing::new(CloseCode::BadStream, "the stream was stopped").into(),
            _ => End::Lost,
        },
    }
}
