//! The client against scripted replicas on real sockets.

mod faults;
mod flow;
mod lies;
mod network;
mod proofs;
mod questions;
mod sharing;
