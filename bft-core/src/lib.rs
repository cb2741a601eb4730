//! Vocabulary and contracts of Quorate.
//!
//! This crate is pure: no I/O, clock, randomness, thread or async. It holds what every protocol shares:
//!
//! - the words: [`types`], [`committee`], [`block`], [`ledger`], [`receipt`], [`genesis`];
//! - the contracts: [`engine::Engine`] (a replication protocol), [`machine::StateMachine`] (an application);
//! - [`host::Host`], everything around an engine that is the same for all protocols;
//! - [`edge::Edge`], the stateless checks that turn bytes of a peer or a client into [`verified::Verified`] values.
//!
//! A program that runs a replica feeds a `Host` with [`host::Event`]s and carries out its [`host::Effect`]s. The
//! simulator and the product differ only in how they do that.

pub mod block;
pub mod codec;
pub mod committee;
pub mod edge;
pub mod engine;
pub mod envelope;
pub mod evidence;
pub mod genesis;
pub mod host;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod mutants;
pub mod quorum;
pub mod random;
pub mod receipt;
pub mod request;
pub mod state;
pub mod transaction;
pub mod types;
mod unordered;
pub mod verified;
