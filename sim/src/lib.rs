//! A whole committee in one thread: virtual time, a faulty network, disks that lose what was not synced and worse, crashes,
//! restarts and Byzantine replicas, all from one seed.
//!
//! The replicas are the production host and engines over the production log; only the signature scheme is a fast stand-in of equal sizes. After
//! every event the checkers in [`checker`] look at what happened; they share no predicate with the code they check. At the end
//! the network heals and the live replicas must commit new transactions within a bound.
//!
//! One seed gives one run: the same events in the same order, shown by the audit digest that [`run`] returns.

pub mod adversary;
pub mod app;
pub mod checker;
pub mod client;
pub mod clock;
pub mod complexity;
pub mod cut;
pub mod disk;
pub mod disk_fault;
pub mod drive;
mod effects;
pub mod endurance;
pub mod fault;
mod founding;
mod frames;
pub mod linear;
pub mod mishap;
mod mutants;
pub mod network;
pub mod pace;
pub mod protocol;
pub mod random;
mod reader;
pub mod replica;
mod requests;
pub mod scale;
pub mod scenario;
pub mod steady;
mod transfer;
pub mod twins;
pub mod world;

pub use mishap::{Faults, Mishap};
pub use scenario::{Canary, Outcome, Scenario, Tally, run, run_within};
