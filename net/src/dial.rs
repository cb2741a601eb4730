//! Reaching peers with a higher id, again and again.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::backoff::Backoff;
use crate::close::{CloseCode, Closing, End, describe};
use crate::handshake::{self, Link};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::tls::{ALPN_PEER, SERVER_NAME};
use crate::{NetError, quic, session};

/// Keeps a connection to `peer` until it is retired.
pub(crate) async fn keep_connected(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut backoff = Backoff::new(shared.transport.redial_first, shared.transport.redial_cap);
    for attempt in 0.. {
        let outcome = tokio::select! {
            outcome = dial(&shared, &peer, attempt) => outcome,
            () = peer.retired() => return,
        };
        match outcome {
            Ok(link) => {
                let begun = Instant::now();
                // Ends by itself when the peer is retired, because its connection is closed then.
                session::run(peer.clone(), shared.handler.clone(), shared.limits, link).await;
                if begun.elapsed() > shared.transport.redial_cap {
                    // It worked. Connections that end at once keep the pause growing.
                    backoff.reset();
                }
            }
            Err(reason) => {
                if peer.note_error(&reason) {
                    tracing::warn!(peer = %peer.id, address = peer.address(), reason, "cannot connect");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause(shared.tls.random())) => {}
            () = peer.retired() => return,
        }
    }
}

/// One attempt, within the dial timeout. The error says why it failed.
async fn dial(shared: &Shared, peer: &Peer, attempt: usize) -> Result<Link, String> {
    let deadline = Instant::now() + shared.transport.dial_timeout;
    let target = target(shared, peer, attempt).await.map_err(|error| error.to_string())?;
    let tls = shared.tls.client(peer.identity, ALPN_PEER).map_err(|error| error.to_string())?;
    let config = quic::peer_config(tls, &shared.transport, &shared.limits);
    let connecting = shared
        .endpoint
        .connect_with(config, target, SERVER_NAME)
        .map_err(|error| format!("{target}: {error}"))?;
    let connection = match timeout_at(deadline, connecting).await {
        Ok(connected) => connected.map_err(|error| describe(&error))?,
        Err(_) => {
            let limit = shared.transport.dial_timeout.as_millis();
            return Err(format!("no answer within {limit} ms; is the peer running, and may UDP pass?"));
        }
    };
    match timeout_at(deadline, handshake::dial(connection.clone(), shared.terms(), peer.id)).await {
        Ok(outcome) => outcome.map_err(|end| end.conclude(&connection)),
        Err(_) => {
            let closing = Closing::new(CloseCode::Timeout, "the hello took too long");
            Err(End::from(closing).conclude(&connection))
        }
    }
}

/// Where to dial: the addresses of the peer's name in turn.
async fn target(shared: &Shared, peer: &Peer, attempt: usize) -> Result<SocketAddr, NetError> {
    let address = peer.address();
    let ipv6_socket = shared.endpoint.local_addr().is_ok_and(|local| local.is_ipv6());
    let candidates = resolve(&address, ipv6_socket).await?;
    Ok(candidates[attempt % candidates.len()])
}

/// The addresses of `host:port` that the socket can reach; not empty. IPv4 first: a name of this machine often has an IPv6
/// address on which nobody listens, and UDP does not tell.
pub(crate) async fn resolve(address: &str, ipv6_socket: bool) -> Result<Vec<SocketAddr>, NetError> {
    let failed = |reason: String| NetError::Resolve { address: address.to_owned(), reason };
    let found = tokio::net::lookup_host(address).await.map_err(|error| failed(error.to_string()))?;
    let mut usable: Vec<SocketAddr> = found.filter(|found| ipv6_socket || found.is_ipv4()).collect();
    usable.sort_by_key(SocketAddr::is_ipv6);
    if usable.is_empty() { Err(failed("no address of a usable family".into())) } else { Ok(usable) }
}
