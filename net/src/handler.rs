//! The port through which frames and events reach the replica.

use std::fmt;

use crypto::ReplicaId;

use crate::{Class, Frame};

/// One connection of a client. Never used twice while the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// What the network tells the replica. Called from tokio tasks: must not block, hands the work on.
///
/// Per peer, `connected` and `disconnected` alternate, and frames come between them. A panic in here ends the connection
/// that it happened on.
pub trait Handler: Send + Sync + 'static {
    /// A frame of a peer. Frames of one class come in the order they were sent, some possibly missing between two
    /// connections. Keep the [`Frame`], or its permit, until the bytes are done with.
    fn frame(&self, from: ReplicaId, class: Class, frame: Frame);

    /// Both ends have accepted each other.
    fn connected(&self, peer: ReplicaId);

    /// The connection has ended; what was under way may be lost.
    fn disconnected(&self, peer: ReplicaId);

    /// A frame of a client.
    fn client_frame(&self, client: ConnectionId, frame: Frame);

    /// A client has gone; nothing more comes from it, nor reaches it.
    fn client_closed(&self, client: ConnectionId);
}
