//! Connections that others open: judged before, during and after their TLS handshake.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use quinn::{Connection, Incoming};
use tokio::time::timeout_at;

use crate::close::{CloseCode, Closing, End, describe};
use crate::gate::{Attempt, Verdict};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::{clients, handshake, session, tls};

/// A place among the open handshakes; given back on drop.
pub(crate) struct Pass {
    shared: Arc<Shared>,
    attempt: Attempt,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.shared.gate.lock().leave(self.attempt);
    }
}

/// Takes connection attempts until the endpoint is closed. An attempt that is retried or refused leaves no state.
pub(crate) async fn listen(shared: Arc<Shared>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        let ip = incoming.remote_address().ip();
        let of_roster = shared.directory.read().names(ip);
        let attempt = Attempt { ip, validated: incoming.remote_address_validated(), of_roster };
        let verdict = shared.gate.lock().enter(attempt, Instant::now());
        match verdict {
            Verdict::Accept => {
                shared.counters.begun.fetch_add(1, Ordering::Relaxed);
                let pass = Pass { shared: shared.clone(), attempt };
                shared.tasks.spawn(receive(shared.clone(), incoming, pass));
            }
            Verdict::Retry => {
                shared.counters.retried.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = incoming.retry() {
                    error.into_incoming().refuse();
                }
            }
            Verdict::Refuse => {
                shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                incoming.refuse();
            }
        }
    }
}

/// One accepted attempt, to the end of the connection it becomes.
async fn receive(shared: Arc<Shared>, incoming: Incoming, pass: Pass) {
    let address = incoming.remote_address();
    let deadline = tokio::time::Instant::now() + shared.limits.handshakes.timeout;
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => return shared.counters.failed(address, &describe(&error)),
    };
    let connection = match timeout_at(deadline, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return shared.counters.failed(address, &describe(&error)),
        Err(_) => return shared.counters.failed(address, "the TLS handshake took too long"),
    };
    match tls::negotiated(&connection).as_deref() {
        Some(tls::ALPN_PEER) => receive_peer(shared, connection, deadline, pass).await,
        Some(tls::ALPN_CLIENT) => clients::serve(shared, connection, deadline, pass).await,
        // rustls refuses other protocols.
        _ => Closing::new(CloseCode::Internal, "no application protocol").apply(&connection),
    }
}

async fn receive_peer(
    shared: Arc<Shared>,
    connection: Connection,
    deadline: tokio::time::Instant,
    pass: Pass,
) {
    let address = connection.remote_address();
    let peer = match recognize(&shared, &connection) {
        Ok(peer) => peer,
        Err(closing) => {
            let reason = End::from(closing).conclude(&connection);
            return shared.counters.failed(address, &reason);
        }
    };
    let greeting = handshake::accept(connection.clone(), shared.terms(), peer.id, &shared.limits);
    let outcome = match timeout_at(deadline, greeting).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Closing::new(CloseCode::Timeout, "the hello took too long").into()),
    };
    drop(pass);
    match outcome {
        Ok(link) => session::run(peer, shared.handler.clone(), shared.limits, link).await,
        Err(end) => {
            let reason = end.conclude(&connection);
            shared.counters.failed(peer.id, &reason);
            if peer.note_error(&reason) {
                tracing::warn!(peer = %peer.id, %address, reason, "connection refused");
            }
        }
    }
}

/// The roster's peer that owns the connection's key.
fn recognize(shared: &Shared, connection: &Connection) -> Result<Arc<Peer>, Closing> {
    let Some(identity) = tls::peer_key(connection) else {
        return Err(Closing::new(CloseCode::Stranger, "no key was presented"));
    };
    if identity == shared.identity {
        // Threat 69: our own key, on a second process or reflected.
        let reason =
            format!("the key {identity} is that of {} itself; give every replica its own key", shared.me);
        return Err(Closing::new(CloseCode::Oneself, reason));
    }
    shared.directory.read().owner(&identity).cloned().ok_or_else(|| {
        let reason = format!("the key {identity} is not in the roster of {}; compare the rosters", shared.me);
        Closing::new(CloseCode::Stranger, reason)
    })
}
