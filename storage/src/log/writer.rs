//! The thread that owns the log: everything queued is appended, synced once, and reported.

use std::sync::Arc;
use std::thread::JoinHandle;

use bft_core::log::{Height, LogBatch};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};

use super::append::Log;
use super::counters::LogCounters;
use super::error::LogError;
use crate::queue::{QueueError, WriterStopped};

/// A group is closed when its bodies exceed this, so that the first batch does not wait for ever more to come.
const GROUP_BYTES: usize = 16 << 20;

/// What the writer reports.
#[derive(Clone, Debug)]
pub enum LogEvent {
    /// Every batch through this sequence is on disk. Grows; not every sequence is reported.
    Durable {
        /// Sequence of the last batch of the group.
        sequence: u64,
    },
    /// The log has stopped, and this is the last event. Nothing that waits for the disk may be released any more.
    Failed(LogError),
}

enum Command {
    Append(LogBatch),
    Release(Height),
    Shutdown,
}

/// The log's thread and the queue to it.
///
/// Dropping the handle lets the thread finish what is queued, without waiting for it;
/// [`shutdown`](Self::shutdown) waits.
#[derive(Debug)]
pub struct LogWriter {
    commands: Sender<Command>,
    thread: JoinHandle<Result<(), LogError>>,
    counters: Arc<LogCounters>,
}

impl LogWriter {
    /// Starts the thread. It calls `notify` after each group and, once, on the first error; a `notify` that blocks
    /// delays the next group, and one that never returns stops the log.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(log: Log, notify: impl FnMut(LogEvent) + Send + 'static) -> Result<LogWriter, LogError> {
        let (commands, queue) = crossbeam_channel::bounded(log.queue_batches().max(1));
        let counters = log.counters();
        let thread = std::thread::Builder::new()
            .name("quorate-log".into())
            .spawn(move || run(log, queue, notify))
            .map_err(|error| LogError::Thread { reason: format!("the system gives no thread: {error}") })?;
        Ok(LogWriter { commands, thread, counters })
    }

    /// Queues a batch; waits while the queue is full.
    ///
    /// # Errors
    /// The writer has stopped.
    pub fn append(&self, batch: LogBatch) -> Result<(), WriterStopped> {
        self.commands.send(Command::Append(batch)).map_err(|_| WriterStopped)
    }

    /// Queues a batch unless the queue is full. For a thread that must not wait for the disk.
    ///
    /// # Errors
    /// The queue is full, or the writer has stopped.
    pub fn try_append(&self, batch: LogBatch) -> Result<(), QueueError<LogBatch>> {
        match self.commands.try_send(Command::Append(batch)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Command::Append(batch))) => Err(QueueError::Full(batch)),
            Err(_) => Err(WriterStopped.into()),
        }
    }

    /// Queues [`Log::release`]; waits while the queue is full.
    ///
    /// # Errors
    /// The writer has stopped.
    pub fn release(&self, below: Height) -> Result<(), WriterStopped> {
        self.commands.send(Command::Release(below)).map_err(|_| WriterStopped)
    }

    /// The log's counters.
    pub fn counters(&self) -> &Arc<LogCounters> {
        &self.counters
    }

    /// Finishes what is queued, closes the log ([`Log::close`]) and waits for the thread.
    ///
    /// # Errors
    /// The error that stopped the log, now or earlier.
    pub fn shutdown(self) -> Result<(), LogError> {
        // A writer that has stopped no longer listens; joining it gives its error.
        let _ = self.commands.send(Command::Shutdown);
        self.thread.join().unwrap_or_else(|_| Err(LogError::Thread { reason: "it panicked".into() }))
    }
}

fn run(mut log: Log, queue: Receiver<Command>, mut notify: impl FnMut(LogEvent)) -> Result<(), LogError> {
    let result = serve(&mut log, &queue, &mut notify).and_then(|()| log.close());
    // Nobody who has heard of the failure can queue anything more.
    drop(queue);
    if let Err(error) = &result {
        tracing::error!(%error, "the log has stopped");
        notify(LogEvent::Failed(error.clone()));
    }
    result
}

/// One group after the other, until told to stop or nobody is left to send.
fn serve(
    log: &mut Log,
    queue: &Receiver<Command>,
    notify: &mut impl FnMut(LogEvent),
) -> Result<(), LogError> {
    while let Some(first) = next_command(log, queue)? {
        let mut group = Group::default();
        group.take(log, first)?;
        while !group.last && group.bytes < GROUP_BYTES {
            let Ok(command) = queue.try_recv() else { break };
            group.take(log, command)?;
        }
        log.sync()?;
        if let Some(sequence) = group.sequence {
            notify(LogEvent::Durable { sequence });
        }
        if let Some(below) = group.release {
            log.release(below)?;
        }
        if group.last {
            return Ok(());
        }
        log.keep_pace()?;
    }
    Ok(())
}

/// Waits for a command, and prepares the next segment while there is none.
fn next_command(log: &mut Log, queue: &Receiver<Command>) -> Result<Option<Command>, LogError> {
    loop {
        match queue.try_recv() {
            Ok(command) => return Ok(Some(command)),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) if log.prepare()? => {}
            Err(TryRecvError::Empty) => return Ok(queue.recv().ok()),
        }
    }
}

/// What became durable together, and what to do then.
#[derive(Default)]
struct Group {
    sequence: Option<u64>,
    bytes: usize,
    release: Option<Height>,
    last: bool,
}

impl Group {
    fn take(&mut self, log: &mut Log, command: Command) -> Result<(), LogError> {
        match command {
            Command::Append(batch) => {
                log.append(&batch)?;
                self.sequence = Some(batch.sequence);
                self.bytes += batch.items.iter().map(|item| item.body.len()).sum::<usize>();
            }
            Command::Release(below) => self.release = self.release.max(Some(below)),
            Command::Shutdown => self.last = true,
        }
        Ok(())
    }
}
