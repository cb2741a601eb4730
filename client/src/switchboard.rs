//! Which reply belongs to which request.

use crate::stats::{Counters, count};
use bft_core::codec;
use bft_core::request::{Answer, Reply};
use crypto::ReplicaId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Events of one request that wait to be looked at. Full: the newest is dropped, and the request goes on as if it had been lost
/// on the way.
const EVENTS: usize = 16;

/// What happens to a request.
#[derive(Debug)]
pub(crate) enum Event {
    /// A replica answered.
    Reply(ReplicaId, Answer),
    /// The connection to a replica ended, with the reason.
    Lost(ReplicaId, String),
    /// The client was closed.
    Closed,
}

/// All requests that wait for an answer. An id belongs to one request, on whatever connections it was sent.
#[derive(Debug)]
pub(crate) struct Switchboard {
    answer_bytes: usize,
    counters: Arc<Counters>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// 0 is never used: replicas answer with it what does not decode.
    next: u64,
    requests: BTreeMap<u64, mpsc::Sender<Event>>,
    closed: bool,
}

/// The place of one request; given up on drop.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    pub id: u64,
    pub events: mpsc::Receiver<Event>,
    board: &'a Switchboard,
}

impl Switchboard {
    pub fn new(answer_bytes: usize, counters: Arc<Counters>) -> Switchboard {
        let waiting = Waiting { next: 1, requests: BTreeMap::new(), closed: false };
        Switchboard { answer_bytes, counters, waiting: Mutex::new(waiting) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new request; none once the client is closed.
    pub fn open(&self) -> Option<Ticket<'_>> {
        let (sender, events) = mpsc::channel(EVENTS);
        let mut waiting = self.waiting();
        if waiting.closed {
            return None;
        }
        let id = waiting.next;
        waiting.next += 1;
        waiting.requests.insert(id, sender);
        Some(Ticket { id, events, board: self })
    }

    /// Hands on a frame of `from`.
    ///
    /// # Errors
    /// Why it is no reply.
    pub fn frame(&self, from: ReplicaId, frame: &[u8]) -> Result<(), String> {
        let Reply { id, answer } = codec::decode(frame, self.answer_bytes).map_err(|error| {
            count(&self.counters.lies);
            format!("it sent something that is no reply: {error}")
        })?;
        // No request: it was answered by another replica meanwhile, or given up.
        if let Some(request) = self.waiting().requests.get(&id) {
            let _ = request.try_send(Event::Reply(from, answer));
        }
        Ok(())
    }

    /// Tells all requests that a connection has ended.
    pub fn lost(&self, replica: ReplicaId, why: &str) {
        for request in self.waiting().requests.values() {
            let _ = request.try_send(Event::Lost(replica, why.to_owned()));
        }
    }

    /// Ends all requests; there will be no more.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        for request in std::mem::take(&mut waiting.requests).into_values() {
            let _ = request.try_send(Event::Closed);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.board.waiting().requests.remove(&self.id);
    }
}
