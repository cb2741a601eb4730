//! Which reply belongs to which request.

use crate::stats::{Counters, count};
use bft_core::request::{Answer, Reply};
use crypto::ReplicaId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Events of one request that wait to be looked at. Full: the newest is dropped, and the request goes on as if it had been lost
/// on the way.
const EVENTS: usize = 16;

/// What a replica said.
#[derive(Debug)]
pub(crate) struct Said {
    pub answer: Answer,
    /// If it is a receipt: whether it is known to stand at its place, having come in a batch.
    pub placed: bool,
}

/// What happens to a request.
#[derive(Debug)]
pub(crate) enum Event {
    /// A replica answered.
    Reply(ReplicaId, Said),
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
    requests: BTreeMap<u64, Arc<Place>>,
    closed: bool,
}

/// Where the events of one request wait. (A channel would be made for many.)
#[derive(Debug, Default)]
struct Place {
    events: Mutex<VecDeque<Event>>,
    changed: Notify,
}

impl Place {
    fn events(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, event: Event) {
        let mut events = self.events();
        if events.len() < EVENTS || matches!(event, Event::Closed) {
            events.push_back(event);
        }
        drop(events);
        self.changed.notify_one();
    }
}

/// The place of one request; given up on drop.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    pub id: u64,
    place: Arc<Place>,
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
        let place = Arc::<Place>::default();
        let mut waiting = self.waiting();
        if waiting.closed {
            return None;
        }
        let id = waiting.next;
        waiting.next += 1;
        waiting.requests.insert(id, place.clone());
        Some(Ticket { id, place, board: self })
    }

    /// Hands on a frame of `from`.
    ///
    /// # Errors
    /// Why it is no reply.
    pub fn frame(&self, from: ReplicaId, frame: &[u8]) -> Result<(), String> {
        let replies = Reply::read(frame, self.answer_bytes).map_err(|error| {
            count(&self.counters.lies);
            format!("it sent something that is no reply: {error}")
        })?;
        // More than one are out of a batch.
        let placed = replies.len() > 1;
        let waiting = self.waiting();
        for Reply { id, answer } in replies {
            // No request: it was answered by another replica meanwhile, or given up.
            if let Some(request) = waiting.requests.get(&id) {
                request.add(Event::Reply(from, Said { answer, placed }));
            }
        }
        Ok(())
    }

    /// Tells all requests that a connection has ended.
    pub fn lost(&self, replica: ReplicaId, why: &str) {
        for request in self.waiting().requests.values() {
            request.add(Event::Lost(replica, why.to_owned()));
        }
    }

    /// Ends all requests; there will be no more.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        for request in std::mem::take(&mut waiting.requests).into_values() {
            request.add(Event::Closed);
        }
    }
}

impl Ticket<'_> {
    /// The next event. Cancel-safe.
    pub async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.place.events().pop_front() {
                return event;
            }
            self.place.changed.notified().await;
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.board.waiting().requests.remove(&self.id);
    }
}
