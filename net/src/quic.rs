//! The QUIC settings: quinn's defaults are for strangers on the web, not for a committee.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};

use crate::{Class, ClientLimits, Limits, NetError, TransportOptions};

/// The largest UDP payload that quinn accepts by default; never lowered, so that peers may differ in their upper bound.
const DEFAULT_UDP_PAYLOAD: u16 = 1472;

/// Streams a peer may open once it is known: one per class.
pub(crate) fn peer_streams() -> VarInt {
    VarInt::from_u32(Class::COUNT as u32)
}

/// A size or count as QUIC writes it. Limits are validated to be far below QUIC's 2⁶².
pub(crate) fn varint(value: usize) -> VarInt {
    VarInt::from_u64(value as u64).unwrap_or(VarInt::MAX)
}

/// What both roles share.
fn transport(options: &TransportOptions, idle_timeout: Duration) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(options.mtu_upper_bound);
    let mut config = TransportConfig::default();
    config
        .initial_rtt(options.initial_rtt)
        .mtu_discovery_config(Some(mtu))
        .enable_segmentation_offload(options.segmentation_offload)
        .max_idle_timeout(IdleTimeout::try_from(idle_timeout).ok())
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        // Datagrams would be a way around the budgets.
        .datagram_receive_buffer_size(None);
    config
}

/// The accepting end. Nobody is known yet: one stream for the hello and little memory. A peer gets more once its hello is
/// accepted ([`crate::handshake`]); a client keeps this.
pub(crate) fn server_config(
    tls: QuicServerConfig,
    options: &TransportOptions,
    limits: &Limits,
) -> ServerConfig {
    let window = limits.clients.window_bytes;
    let mut transport = transport(options, options.client_idle_timeout);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .stream_receive_window(varint(limits.stream_window_bytes))
        .receive_window(varint(window))
        .send_window(window as u64);
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(limits.handshakes.open.saturating_mul(2).max(64))
        .incoming_buffer_size(16 << 10)
        .incoming_buffer_size_total(4 << 20);
    config
}

/// The dialling end between replicas.
pub(crate) fn peer_config(
    tls: QuicClientConfig,
    options: &TransportOptions,
    limits: &Limits,
) -> ClientConfig {
    let window = limits.peer_window_bytes();
    let mut transport = transport(options, options.idle_timeout);
    transport
        .keep_alive_interval(Some(options.keep_alive))
        .max_concurrent_uni_streams(peer_streams())
        .stream_receive_window(varint(limits.stream_window_bytes))
        .receive_window(varint(window))
        .send_window(window as u64);
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    config
}

/// The dialling end of clients.
pub(crate) fn client_config(
    tls: QuicClientConfig,
    options: &TransportOptions,
    limits: &ClientLimits,
) -> ClientConfig {
    let mut transport = transport(options, options.idle_timeout);
    transport
        .keep_alive_interval(Some(options.keep_alive))
        .stream_receive_window(varint(limits.window_bytes))
        .receive_window(varint(limits.window_bytes))
        .send_window(limits.window_bytes as u64);
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    config
}

/// The endpoint on `socket`. Must be called within a tokio runtime.
pub(crate) fn endpoint(
    mut config: EndpointConfig,
    server: Option<ServerConfig>,
    socket: UdpSocket,
    options: &TransportOptions,
) -> Result<Endpoint, NetError> {
    let payload = options.mtu_upper_bound.max(DEFAULT_UDP_PAYLOAD);
    config
        .max_udp_payload_size(payload)
        .map_err(|error| NetError::config(format!("mtu_upper_bound: {error}")))?;
    let address = socket.local_addr();
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).map_err(|source| match address {
        Ok(address) => NetError::Socket { address, source },
        Err(_) => NetError::config(format!("the UDP socket is unusable: {source}")),
    })
}
