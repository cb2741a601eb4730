//! The life of one connection between replicas, once both ends have accepted each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quinn::{Connection, RecvStream};
use tokio::task::{JoinError, JoinSet};

use crate::close::{CloseCode, Closing, End};
use crate::handshake::Link;
use crate::peer::Peer;
use crate::reader::{FrameReader, ReadError};
use crate::writer::write_frames;
use crate::{Class, Handler, Limits};

/// How many bytes a peer's stream is read at once; the reader's buffer, per class.
const READ_BYTES: usize = 64 << 10;

/// Which classes have their inbound stream.
type Claimed = Arc<[AtomicBool; Class::COUNT]>;

/// Carries frames both ways until the connection ends, and closes it. Waits first for the peer's former connection to be
/// done with, which this one closes.
pub(crate) async fn run(peer: Arc<Peer>, handler: Arc<dyn Handler>, limits: Limits, link: Link) {
    let connection = &link.connection;
    if let Err(closing) = peer.supersede(connection) {
        closing.apply(connection);
        return;
    }
    let _turn = peer.turn.lock().await;
    if connection.close_reason().is_some() {
        return;
    }
    peer.mark_connected();
    handler.connected(peer.id);
    tracing::info!(peer = %peer.id, address = %connection.remote_address(), "connected");

    let mut tasks = JoinSet::new();
    let end = carry(&peer, &handler, &limits, connection, &mut tasks).await.settle(connection).await;
    // Closed before the streams are dropped, so that the peer learns the reason and not only that streams end.
    let reason = end.conclude(connection);
    // No frame may be handed over after `disconnected`.
    tasks.shutdown().await;
    let reason = peer.mark_disconnected(connection, reason);
    tracing::info!(peer = %peer.id, reason, "disconnected");
    handler.disconnected(peer.id);
}

async fn carry(
    peer: &Arc<Peer>,
    handler: &Arc<dyn Handler>,
    limits: &Limits,
    connection: &Connection,
    tasks: &mut JoinSet<End>,
) -> End {
    for class in Class::ALL {
        tasks.spawn(write_class(peer.clone(), class, connection.clone()));
    }
    let claimed = Claimed::default();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => match stream {
                // At most one per class at a time: QUIC refuses the peer more.
                Ok(stream) => {
                    tasks.spawn(read_class(peer.clone(), handler.clone(), *limits, claimed.clone(), stream));
                }
                Err(_) => return End::Lost,
            },
            Some(ended) = tasks.join_next() => return ended.unwrap_or_else(|error| failed(&error)),
        }
    }
}

fn failed(error: &JoinError) -> End {
    tracing::error!(%error, "a connection's task failed");
    Closing::new(CloseCode::Internal, "the replica failed to handle a frame; its log says more").into()
}

/// Opens the class's stream and writes what the queue receives.
async fn write_class(peer: Arc<Peer>, class: Class, connection: Connection) -> End {
    let Ok(mut stream) = connection.open_uni().await else { return End::Lost };
    if stream.set_priority(class.priority()).is_err() || stream.write_all(&[class.byte()]).await.is_err() {
        return End::Lost;
    }
    match write_frames(stream, peer.outbox(class), peer.sent(class)).await {
        quinn::WriteError::Stopped(code) => {
            Closing::new(CloseCode::BadStream, format!("the {class} stream was stopped with code {code}"))
                .into()
        }
        _ => End::Lost,
    }
}

/// Reads one inbound stream to its end, which is the connection's.
async fn read_class(
    peer: Arc<Peer>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    claimed: Claimed,
    mut stream: RecvStream,
) -> End {
    let mut first = [0];
    if stream.read_exact(&mut first).await.is_err() {
        return End::Lost;
    }
    let Some(class) = Class::from_byte(first[0]) else {
        return Closing::new(CloseCode::BadStream, format!("a stream begins with {}, no class", first[0]))
            .into();
    };
    if claimed[class.index()].swap(true, Ordering::Relaxed) {
        return Closing::new(CloseCode::BadStream, format!("a second {class} stream")).into();
    }
    let limit = limits.class(class).frame_bytes;
    let mut frames = FrameReader::new(stream, limit, peer.budget(class), READ_BYTES);
    loop {
        match frames.next().await {
            Ok(Some(frame)) => {
                peer.received(class).count(1, frame.bytes().len() as u64);
                handler.frame(peer.id, class, frame);
            }
            Ok(None) => {
                return Closing::new(CloseCode::BadStream, format!("the {class} stream was ended")).into();
            }
            Err(ReadError::Stream(_)) => return End::Lost,
            Err(ReadError::TooLong { length, limit }) => {
                let reason = format!(
                    "a {class} frame of {length} bytes is announced, the limit is {limit}; set equal frame_bytes on both"
                );
                return Closing::new(CloseCode::FrameTooLong, reason).into();
            }
            Err(error @ ReadError::Truncated) => {
                return Closing::new(CloseCode::BadStream, format!("{class}: {error}")).into();
            }
        }
    }
}
