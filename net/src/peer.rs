//! Another replica of the roster: its queues, budgets, counters and present connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crypto::{Identity, ReplicaId};
use parking_lot::Mutex;
use quinn::Connection;
use tokio::sync::watch;

use crate::close::{CloseCode, Closing};
use crate::frame::Budget;
use crate::outbox::Outbox;
use crate::writer::Traffic;
use crate::{Admission, Class, ClassStatus, Limits, Member, PeerStatus, UdpSent};

/// The right to carry frames of one id.
pub(crate) type Turn = tokio::sync::Mutex<()>;

/// A peer under one identity. Survives reconnects; a changed identity is another peer.
pub(crate) struct Peer {
    pub id: ReplicaId,
    pub identity: Identity,
    outboxes: [Outbox; Class::COUNT],
    budgets: [Budget; Class::COUNT],
    sent: [Traffic; Class::COUNT],
    received: [Traffic; Class::COUNT],
    state: Mutex<State>,
    /// Held by the session that carries frames. Its successor waits for it, so that events of one id alternate, even when
    /// the id passes to another identity.
    pub turn: Arc<Turn>,
    retired: watch::Sender<bool>,
}

struct State {
    address: String,
    /// The connection that was authenticated last; it may still wait for its turn.
    latest: Option<Connection>,
    connected: bool,
    since: SystemTime,
    /// Why this end closed the connection that carries frames, where it did so from outside the session.
    parting: Option<String>,
    last_error: Option<String>,
}

impl Peer {
    pub fn new(id: ReplicaId, member: &Member, limits: &Limits, turn: Arc<Turn>) -> Peer {
        let outbox = |class: Class| {
            let of = limits.class(class);
            Outbox::new(of.frame_bytes, of.queue_frames, of.queue_bytes, class.overflow())
        };
        Peer {
            id,
            identity: member.identity,
            outboxes: Class::ALL.map(outbox),
            budgets: Class::ALL.map(|class| Budget::new(limits.class(class).inbound_bytes)),
            sent: Default::default(),
            received: Default::default(),
            state: Mutex::new(State {
                address: member.address.clone(),
                latest: None,
                connected: false,
                since: SystemTime::now(),
                parting: None,
                last_error: None,
            }),
            turn,
            retired: watch::Sender::new(false),
        }
    }

    /// Queues a frame, or drops it as its class demands. Never blocks.
    pub fn send(&self, class: Class, frame: Bytes) -> Admission {
        let outbox = self.outbox(class);
        if !class.waits_for_connection() && !self.state.lock().connected {
            outbox.count_dropped();
            return Admission::NotConnected;
        }
        outbox.push(frame)
    }

    pub fn outbox(&self, class: Class) -> &Outbox {
        &self.outboxes[class.index()]
    }

    pub fn budget(&self, class: Class) -> Budget {
        self.budgets[class.index()].clone()
    }

    pub fn sent(&self, class: Class) -> &Traffic {
        &self.sent[class.index()]
    }

    pub fn received(&self, class: Class) -> &Traffic {
        &self.received[class.index()]
    }

    pub fn address(&self) -> String {
        self.state.lock().address.clone()
    }

    pub fn set_address(&self, address: &str) {
        self.state.lock().address = address.to_owned();
    }

    /// Makes `connection` the peer's own and closes the one before it. Refused when the peer has left the roster.
    pub fn supersede(&self, connection: &Connection) -> Result<(), Closing> {
        let mut state = self.state.lock();
        if *self.retired.borrow() {
            return Err(removed(self.id));
        }
        if let Some(former) = state.latest.replace(connection.clone()) {
            let closing = Closing::new(CloseCode::Replaced, "a newer connection took over");
            closing.apply(&former);
            state.parting = Some(closing.ours);
        }
        Ok(())
    }

    /// From here on frames are carried.
    pub fn mark_connected(&self) {
        let mut state = self.state.lock();
        state.connected = true;
        state.since = SystemTime::now();
        state.parting = None;
    }

    /// Frames are no longer carried by `connection`, for this reason. Returns the reason that counts.
    pub fn mark_disconnected(&self, connection: &Connection, reason: String) -> String {
        let mut state = self.state.lock();
        if state.latest.as_ref().is_some_and(|latest| latest.stable_id() == connection.stable_id()) {
            state.latest = None;
        }
        state.connected = false;
        state.since = SystemTime::now();
        let reason = state.parting.take().unwrap_or(reason);
        state.last_error = Some(reason.clone());
        drop(state);
        for class in Class::ALL.into_iter().filter(|class| !class.waits_for_connection()) {
            self.outbox(class).clear();
        }
        reason
    }

    /// Remembers why the peer could not be connected. True if that is news.
    pub fn note_error(&self, error: &str) -> bool {
        let mut state = self.state.lock();
        if state.last_error.as_deref() == Some(error) {
            return false;
        }
        state.last_error = Some(error.to_owned());
        true
    }

    /// Takes the peer out of service: closes its connection, stops its dialling, lets no new connection in.
    pub fn retire(&self, closing: &Closing) {
        let mut state = self.state.lock();
        self.retired.send_replace(true);
        if let Some(connection) = &state.latest {
            closing.apply(connection);
            state.parting = Some(closing.ours.clone());
        }
    }

    /// Completes when the peer is retired.
    pub async fn retired(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.retired.subscribe().wait_for(|retired| *retired).await;
    }

    pub fn status(&self) -> PeerStatus {
        let classes = Class::ALL.map(|class| {
            let (sent_frames, sent_bytes) = self.sent(class).read();
            let (received_frames, received_bytes) = self.received(class).read();
            let (queued_frames, queued_bytes) = self.outbox(class).waiting();
            let dropped_frames = self.outbox(class).dropped();
            ClassStatus {
                sent_frames,
                sent_bytes,
                received_frames,
                received_bytes,
                dropped_frames,
                queued_frames,
                queued_bytes,
            }
        });
        let state = self.state.lock();
        let connection = state.latest.as_ref().filter(|_| state.connected);
        let rtt: Option<Duration> = connection.map(Connection::rtt);
        let udp_sent = connection.map_or(UdpSent::default(), |connection| {
            let sent = connection.stats().udp_tx;
            UdpSent { datagrams: sent.datagrams, bytes: sent.bytes }
        });
        PeerStatus {
            id: self.id,
            identity: self.identity,
            address: state.address.clone(),
            connected: state.connected,
            since: state.since,
            rtt,
            udp_sent,
            classes,
            last_error: state.last_error.clone(),
        }
    }
}

/// The reason for peers that leave the roster.
pub(crate) fn removed(id: ReplicaId) -> Closing {
    Closing::new(CloseCode::Removed, format!("{id} is no longer in the roster"))
}
