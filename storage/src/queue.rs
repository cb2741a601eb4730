//! What a bounded queue to a writer thread answers.

/// The writer has stopped, and has reported why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the writer thread has stopped; its last event says why. Restart the replica")]
pub struct WriterStopped;

/// Why something was not queued, where the caller does not wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError<T> {
    /// The queue is full: the disk is slower than what comes in. What was given comes back.
    #[error("the writer thread's queue is full; try again when it has reported progress")]
    Full(T),
    /// As [`WriterStopped`].
    #[error(transparent)]
    Stopped(#[from] WriterStopped),
}
