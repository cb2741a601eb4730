//! From the transport to the host.

use super::Message;
use super::crypto_pool::{CryptoPool, Source};
use bft_core::host::Event;
use bft_core::types::ReplicaId;
use engines::AnyEngine;
use net::{Class, ConnectionId, Frame, Handler};
use tokio::sync::mpsc::UnboundedSender;

/// What the transport calls.
pub(crate) struct Inbound {
    pool: CryptoPool,
    inbox: UnboundedSender<Message>,
}

impl Inbound {
    pub(crate) fn new(pool: CryptoPool, inbox: UnboundedSender<Message>) -> Inbound {
        Inbound { pool, inbox }
    }

    fn tell(&self, event: Event<AnyEngine>) {
        // Nobody listens any more once the replica has stopped.
        let _ = self.inbox.send(Message::Event(Box::new(event), None));
    }
}

impl Handler for Inbound {
    fn frame(&self, from: ReplicaId, _class: Class, frame: Frame) {
        self.pool.check(Source::Replica(from), frame);
    }

    fn connected(&self, peer: ReplicaId) {
        self.tell(Event::Connected { peer });
    }

    fn disconnected(&self, peer: ReplicaId) {
        self.tell(Event::Disconnected { peer });
    }

    fn client_frame(&self, client: ConnectionId, frame: Frame) {
        self.pool.check(Source::Client(client), frame);
    }

    fn client_closed(&self, _client: ConnectionId) {
        // Its answers go nowhere; what it submitted stays.
    }
}
