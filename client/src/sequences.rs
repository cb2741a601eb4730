//! Which sequences are in use, and when the next one may be taken.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The client's own sequences.
///
/// Replicas let sequences run out of order within a window and pass over what falls behind it. Counting transactions in
/// flight would not be enough: with the lowest one delayed, the others could run ahead without bound.
#[derive(Debug)]
pub(crate) struct Sequences {
    span: u64,
    state: Mutex<State>,
    /// Told whenever a sequence is given back.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Sequences in flight, and how many submissions each has. Invariant: no count is 0.
    open: BTreeMap<u64, usize>,
}

/// A sequence in flight; given back on drop.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub sequence: u64,
    all: &'a Sequences,
}

impl Sequences {
    pub fn new(next: u64, span: u64) -> Sequences {
        // Half of the range is for ever; a lie beyond it must not overflow.
        let state = State { next: next.clamp(1, u64::MAX / 2), open: BTreeMap::new() };
        Sequences { span, state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next sequence, at once and without a place among those in flight.
    pub fn sign(&self) -> u64 {
        let mut state = self.state();
        let sequence = state.next;
        state.next += 1;
        sequence
    }

    /// The next sequence, as soon as it is less than the span above the lowest in flight.
    pub async fn take(&self) -> Held<'_> {
        self.wait(|state| {
            let sequence = state.next;
            state.enter(sequence, self.span).then(|| state.next += 1).map(|()| sequence)
        })
        .await
    }

    /// A place for a sequence that was taken before, under the same condition.
    pub async fn enter(&self, sequence: u64) -> Held<'_> {
        self.wait(|state| state.enter(sequence, self.span).then_some(sequence)).await
    }

    async fn wait(&self, mut attempt: impl FnMut(&mut State) -> Option<u64>) -> Held<'_> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no sequence that is given back is missed.
            changed.as_mut().enable();
            if let Some(sequence) = attempt(&mut self.state()) {
                return Held { sequence, all: self };
            }
            changed.await;
        }
    }
}

impl State {
    fn enter(&mut self, sequence: u64, span: u64) -> bool {
        let near = self.open.keys().next().is_none_or(|lowest| sequence < lowest.saturating_add(span));
        if near {
            *self.open.entry(sequence).or_default() += 1;
        }
        near
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.all.state();
        if let Some(count) = state.open.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.sequence);
            }
        }
        drop(state);
        self.all.changed.notify_waiters();
    }
}
