//! What an operator sees.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crypto::{Identity, ReplicaId};

use crate::Class;

/// One other replica of the roster.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its id.
    pub id: ReplicaId,
    /// Its key.
    pub identity: Identity,
    /// Where the roster says it listens.
    pub address: String,
    /// Whether both ends have accepted each other's hello.
    pub connected: bool,
    /// Since when it has been connected, or not connected.
    pub since: SystemTime,
    /// The estimated round-trip time, while connected.
    pub rtt: Option<Duration>,
    /// What QUIC has sent on the present connection.
    pub udp_sent: UdpSent,
    /// Per class, in the order of [`Class::ALL`]; since the start or since the peer entered the roster.
    pub classes: [ClassStatus; Class::COUNT],
    /// Why the last connection ended or could not be made. Stays after the peer has come back.
    pub last_error: Option<String>,
}

/// UDP payload, QUIC's own overhead and acknowledgements included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpSent {
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The traffic of one class with one peer. Bytes are frame contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStatus {
    /// Frames handed to QUIC.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames handed to the [`crate::Handler`].
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames dropped before they were sent: the queue was full or the peer not connected.
    pub dropped_frames: u64,
    /// Frames that wait to be sent.
    pub queued_frames: usize,
    /// Their bytes.
    pub queued_bytes: usize,
}

/// The endpoint as a whole. Counters are since the start.
#[derive(Clone, Debug)]
pub struct NetStats {
    /// Where the socket is bound.
    pub local_address: SocketAddr,
    /// The UDP receive buffer that the kernel granted, in bytes.
    pub receive_buffer: usize,
    /// The UDP send buffer that the kernel granted, in bytes.
    pub send_buffer: usize,
    /// Handshakes that are open now.
    pub handshakes_open: usize,
    /// Connection attempts for which a handshake was begun.
    pub handshakes_begun: u64,
    /// Attempts answered with a retry token.
    pub handshakes_retried: u64,
    /// Attempts turned away for load.
    pub handshakes_refused: u64,
    /// Handshakes that failed, and connections refused after theirs.
    pub handshakes_failed: u64,
    /// Why the last one of those failed.
    pub last_refusal: Option<String>,
    /// Clients that are connected now.
    pub clients: usize,
    /// Frames from clients handed to the handler.
    pub client_received_frames: u64,
    /// Their bytes.
    pub client_received_bytes: u64,
    /// Frames to clients handed to QUIC.
    pub client_sent_frames: u64,
    /// Their bytes.
    pub client_sent_bytes: u64,
    /// Answers dropped: the client's queue was full, or the client gone.
    pub client_dropped_frames: u64,
    /// Frames sent to an id that is not in the roster.
    pub unroutable_frames: u64,
}
