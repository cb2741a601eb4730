//! Verifying client of a Quorate network.
//!
//! A [`Client`] talks to one replica at a time and believes none. A receipt counts when its proof holds from the genesis
//! and it names the very transaction that was submitted; an answer to a query, when it follows from certified state.
//! What nobody can prove (that a replica will not take a transaction, that it no longer has a receipt) counts when f + 1
//! replicas say the same, so that one honest replica is among them.
//!
//! # What an outcome means
//! - `Ok(receipt)`: the transaction is in the ledger. A code other than 0 is a refusal, and proven like a success.
//! - [`SubmitError::Unknown`]: it may or may not execute. Submit **the same** transaction again, with
//!   [`Client::submit_transaction`]; a sequence executes at most once, so this is safe however often it is done. Signing
//!   the same intent anew is not: both could execute.
//! - [`SubmitError::Refused`]: f + 1 replicas will not take it, and nobody showed that it executed.
//!
//! # Failing over
//! All requests share one replica. It is left when it cannot be reached, ends the connection, stays silent for
//! [`ClientConfig::answer_timeout`], or says something that does not verify; every request that waits there then sends the same
//! bytes to the next one. An answer that comes late from a replica left behind is taken all the same: it is the proof that
//! counts, not who brings it.
//!
//! # Bounds, and what happens when they are reached
//! | what | bound | when full |
//! |---|---|---|
//! | transactions in flight | half of the genesis's `session_window` | [`Client::submit`] waits |
//! | span of own sequences in flight | the same | [`Client::submit`] waits, so that the lowest is never passed over |
//! | connections | one per replica | a connection is used again |
//! | an answer | what a replica can send: see [`ClientConfig::answer_bytes`] | the connection is closed |
//! | answers to one request that wait to be looked at | 16 | the newest is dropped |
//! | certificates known to be good | 1024 | the lowest height is verified again when it returns |

mod client;
mod config;
mod error;
mod exchange;
mod links;
mod proof;
mod route;
mod sequences;
mod stats;
mod switchboard;
mod tally;

#[cfg(test)]
mod tests;

pub use client::{Client, Read, ReadError, Told};
pub use config::ClientConfig;
pub use error::{Attempts, ClientError, SubmitError};
pub use stats::ClientStats;
