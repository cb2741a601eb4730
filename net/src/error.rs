//! The errors that the crate's functions return.

use std::io;
use std::net::SocketAddr;

use crate::RosterError;

/// Why the transport could not be started, or a client could not connect, send or receive.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Another socket has the address.
    #[error(
        "cannot listen on UDP {address}: the port is taken; stop the process that holds it (`ss -lunp` shows it) or \
         configure another port"
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
    },
    /// The machine does not have the address.
    #[error("cannot listen on UDP {address}: this machine has no such address; listen on 0.0.0.0:{} or [::]:{0}", .address.port())]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
    },
    /// The socket could not be opened for another reason.
    #[error("cannot listen on UDP {address}: {source}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The roster is contradictory.
    #[error("the roster is refused: {0}")]
    Roster(#[from] RosterError),
    /// The configuration is contradictory. The text says what to change.
    #[error("the network configuration is refused: {reason}")]
    Config {
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// The TLS library refused our key or settings.
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A host name has no usable address.
    #[error(
        "cannot resolve {address}: {reason}; check the name, and that it has an address of the socket's family"
    )]
    Resolve {
        /// `host:port` as given.
        address: String,
        /// What the resolver says.
        reason: String,
    },
    /// A connection could not be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// `host:port` as given.
        address: String,
        /// Why; "refused by peer: …" gives the peer's reason.
        reason: String,
    },
    /// The connection ended.
    #[error("the connection has ended: {reason}")]
    Closed {
        /// Why.
        reason: String,
    },
    /// A frame to be sent, or announced by the other end, is longer than allowed.
    #[error(
        "a frame of {length} bytes exceeds the limit of {limit} bytes; split it, or raise frame_bytes on both ends"
    )]
    FrameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl NetError {
    pub(crate) fn config(reason: String) -> NetError {
        NetError::Config { reason }
    }

    /// The error of a bind, told apart by its cause.
    pub(crate) fn bind(address: SocketAddr, source: io::Error) -> NetError {
        match source.kind() {
            io::ErrorKind::AddrInUse => NetError::PortTaken { address },
            io::ErrorKind::AddrNotAvailable => NetError::NoSuchAddress { address },
            _ => NetError::Socket { address, source },
        }
    }
}
