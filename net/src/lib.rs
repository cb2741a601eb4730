//! QUIC transport between replicas, and from clients.
//!
//! It carries frames: byte strings with a [`Class`] between replicas, plain ones between a client and a replica. What they
//! say is not its business. Both kinds of connection share one UDP port and are told apart by their application protocol.
//!
//! # Between replicas
//! - Mutually authenticated TLS 1.3 with raw Ed25519 keys (RFC 7250), checked against the [`Roster`]. The dialler pins the
//!   key it expects; the other end looks the key up. No session is resumed, no early data is accepted, no connection
//!   migrates.
//! - **The replica with the lower id dials**, and dials again, with a jittered pause from 50 ms up to 2 s. A new
//!   connection replaces the one before.
//! - Connected means: each end knows that the other has accepted its [`Hello`] (module `handshake`). A difference closes
//!   the connection with a reason that names both values; both ends log it and show it as the peer's last error.
//! - One unidirectional stream per class and direction, urgent classes first. Sends are best effort: a reconnect loses
//!   frames. What arrives of one class arrives in order.
//!
//! # Bounds, and what happens when they are reached
//! All are in [`Limits`].
//!
//! | what | bound | when full |
//! |---|---|---|
//! | frames to send, per peer and class | `queue_frames`, `queue_bytes` | vote, proposal: the oldest is dropped; pool, sync: the newest. Counted |
//! | bytes in flight to a peer | the QUIC send window, [`Limits::stream_window_bytes`] per class | the class's queue fills |
//! | received bytes held by the handler, per peer and class | `inbound_bytes` | the class is not read; QUIC flow control stops the peer's class, no other |
//! | received bytes not yet read, per peer and class | [`Limits::stream_window_bytes`] | QUIC flow control stops the peer's class |
//! | one frame | `frame_bytes` | the connection is closed before anything is allocated |
//! | handshakes open, per second, per address | [`HandshakeLimits`] | a retry token is demanded; then refused |
//! | clients, all and per address | [`ClientLimits`] | refused with that reason |
//! | answers to one client | `queue_frames`, `queue_bytes` | the newest is dropped. Counted |
//! | frames of one client held by the handler | `inbound_bytes` | the client is not read |
//!
//! # Wire format
//! - Peers, application protocol `quorate-peer/1`: the dialler's bidirectional stream carries the hellos (48 bytes each, with
//!   a two-byte length). Then unidirectional streams: one byte for the class (1 vote, 2 proposal, 3 pool, 4 sync), then frames.
//! - Clients, `quorate-client/1`: the client's bidirectional stream carries the transport version (two bytes) both ways, then
//!   frames.
//! - A frame is its length, four bytes, and its content. Integers are little-endian.

mod accept;
mod backoff;
mod class;
mod client_connection;
mod clients;
mod close;
mod config;
mod dial;
mod directory;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod handler;
mod handshake;
mod hello;
mod limits;
mod network;
mod outbox;
mod peer;
mod quic;
mod reader;
mod reset;
mod roster;
mod session;
mod shared;
mod socket;
mod status;
mod tls;
mod writer;

#[cfg(test)]
mod tests;

pub use class::Class;
pub use client_connection::{ClientConnection, ClientOptions};
pub use config::{NetConfig, TransportOptions};
pub use error::NetError;
pub use frame::{Frame, Permit};
pub use handler::{ConnectionId, Handler};
pub use hello::{Hello, Mismatch, TRANSPORT_VERSION};
pub use limits::{ClassLimits, ClientLimits, FRAME_OVERHEAD, HandshakeLimits, Limits, MAX_FRAME_BYTES};
pub use network::{Bound, Network};
pub use outbox::Admission;
pub use roster::{Member, Roster, RosterError};
pub use status::{ClassStatus, NetStats, PeerStatus, UdpSent};
