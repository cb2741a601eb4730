//! Everything a Quorate replica keeps on its own disk.
//!
//! - [`log`]: the segment log, which holds the promises of the replica and is also its block store.
//! - [`StateStore`]: the application state of the last checkpoint, one transaction each.
//! - [`DataDir`]: the directory both live in: who owns it, for which network, and whether it may vote.
//!
//! # Who writes when
//!
//! One thread owns the log ([`LogWriter`]), another the state store ([`StateWriter`]). The shell hands a
//! [`LogBatch`](bft_core::log::LogBatch) to the first, and releases what waits for it when
//! [`LogEvent::Durable`] comes back. It hands a [`StateBatch`](bft_core::log::StateBatch) to the second only
//! once the log is durable through its `log_sequence`, so that the state on disk is never ahead of the log.
//!
//! # Errors
//!
//! Whatever a disk answers is an error of its own type, which names the cause, the path and the remedy. A failed
//! write or fsync is final: the log stops, and every later call returns that first error (threat 74).

mod data_dir;
pub mod log;
mod marker;
mod queue;
mod state_store;
mod state_writer;
#[cfg(feature = "testing")]
pub mod testing;

pub use data_dir::{DataDir, DataDirError};
pub use log::{ChainPart, Log, LogConfig, LogCounters, LogError, LogEvent, LogReader, LogWriter, Recovered};
pub use marker::Origin;
pub use queue::{QueueError, WriterStopped};
pub use state_store::{StateStore, StateStoreError};
pub use state_writer::{StateEvent, StateWriter};
