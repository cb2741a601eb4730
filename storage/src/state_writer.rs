//! The thread that owns the state store: a transaction for each batch, reported when it is durable.

use std::thread::JoinHandle;

use bft_core::log::{FetchedPart, Height, StateBatch};
use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::queue::{QueueError, WriterStopped};
use crate::state_store::{StateStore, StateStoreError};

/// How many batches and parts may wait. A batch is a checkpoint's worth of state: more than a few mean the disk cannot keep up.
const QUEUE: usize = 4;

/// What the state writer reports.
#[derive(Clone, Debug)]
pub enum StateEvent {
    /// The state of this height is on disk.
    Flushed {
        /// The height.
        height: Height,
    },
    /// The store has stopped, and this is the last event.
    Failed(StateStoreError),
}

/// What the thread is given.
#[derive(Debug)]
enum Work {
    Batch(StateBatch),
    Part(FetchedPart),
}

/// The state store's thread and the queue to it.
///
/// A batch must be handed over only once the log is durable through its `log_sequence` (the shell knows from
/// [`LogEvent::Durable`](crate::LogEvent::Durable)); the writer does not wait for that itself.
///
/// Dropping the handle lets the thread finish what is queued, without waiting for it; [`shutdown`](Self::shutdown)
/// waits.
#[derive(Debug)]
pub struct StateWriter {
    batches: Sender<Work>,
    thread: JoinHandle<Result<(), StateStoreError>>,
}

impl StateWriter {
    /// Starts the thread. It calls `notify` after each batch and, once, on the first error.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(
        store: StateStore,
        notify: impl FnMut(StateEvent) + Send + 'static,
    ) -> Result<StateWriter, StateStoreError> {
        let (batches, queue) = crossbeam_channel::bounded(QUEUE);
        let thread = std::thread::Builder::new()
            .name("quorate-state".into())
            .spawn(move || run(&store, queue, notify))
            .map_err(|error| StateStoreError::Thread {
                reason: format!("the system gives no thread: {error}"),
            })?;
        Ok(StateWriter { batches, thread })
    }

    /// Queues a batch; waits while four are queued.
    ///
    /// # Errors
    /// The writer has stopped.
    pub fn commit(&self, batch: StateBatch) -> Result<(), WriterStopped> {
        self.batches.send(Work::Batch(batch)).map_err(|_| WriterStopped)
    }

    /// Queues a batch unless four are queued.
    ///
    /// # Errors
    /// The queue is full, or the writer has stopped.
    pub fn try_commit(&self, batch: StateBatch) -> Result<(), QueueError<StateBatch>> {
        self.batches.try_send(Work::Batch(batch)).map_err(|error| match error {
            TrySendError::Full(Work::Batch(batch)) => QueueError::Full(batch),
            TrySendError::Full(Work::Part(_)) | TrySendError::Disconnected(_) => WriterStopped.into(),
        })
    }

    /// Queues a part of a state that is being fetched, unless the queue is full: then it is not kept. Reported by nothing.
    ///
    /// # Errors
    /// The writer has stopped.
    pub fn keep(&self, part: FetchedPart) -> Result<(), WriterStopped> {
        match self.batches.try_send(Work::Part(part)) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(WriterStopped),
        }
    }

    /// Finishes what is queued and waits for the thread.
    ///
    /// # Errors
    /// The error that stopped the store, now or earlier.
    pub fn shutdown(self) -> Result<(), StateStoreError> {
        drop(self.batches);
        self.thread.join().unwrap_or_else(|_| Err(StateStoreError::Thread { reason: "it panicked".into() }))
    }
}

fn run(
    store: &StateStore,
    queue: Receiver<Work>,
    mut notify: impl FnMut(StateEvent),
) -> Result<(), StateStoreError> {
    for work in &queue {
        let (result, height) = match work {
            Work::Batch(batch) => (store.commit(&batch), Some(batch.height)),
            Work::Part(part) => (store.keep_fetched(&part), None),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the state store has stopped");
            // Nobody who has heard of it can queue anything more.
            drop(queue);
            notify(StateEvent::Failed(error.clone()));
            return Err(error);
        }
        if let Some(height) = height {
            notify(StateEvent::Flushed { height });
        }
    }
    Ok(())
}
