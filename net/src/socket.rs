//! The UDP socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::NetError;

/// A bound socket and the buffers that the operating system granted.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    pub socket: UdpSocket,
    pub address: SocketAddr,
    /// Bytes.
    pub receive_buffer: usize,
    /// Bytes.
    pub send_buffer: usize,
}

/// Binds `address`, asking for buffers of `buffer_bytes` each. Less buffer than asked for is no error: bursts lose more
/// packets then, and QUIC sends them again.
pub(crate) fn bind(address: SocketAddr, buffer_bytes: usize) -> Result<BoundSocket, NetError> {
    open(address, buffer_bytes).map_err(|source| NetError::bind(address, source))
}

fn open(address: SocketAddr, buffer_bytes: usize) -> io::Result<BoundSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // One socket for both families; a system without IPv4 mapping still serves IPv6.
        let _ = socket.set_only_v6(false);
    }
    let _ = socket.set_recv_buffer_size(buffer_bytes);
    let _ = socket.set_send_buffer_size(buffer_bytes);
    socket.bind(&address.into())?;
    let receive_buffer = socket.recv_buffer_size()?;
    let send_buffer = socket.send_buffer_size()?;
    if receive_buffer.min(send_buffer) < buffer_bytes {
        tracing::info!(
            receive_buffer,
            send_buffer,
            wanted = buffer_bytes,
            "small UDP buffers; raise net.core.rmem_max and net.core.wmem_max for fewer lost packets under load"
        );
    }
    let socket = UdpSocket::from(socket);
    let address = socket.local_addr()?;
    Ok(BoundSocket { socket, address, receive_buffer, send_buffer })
}
