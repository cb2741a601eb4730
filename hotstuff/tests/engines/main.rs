//! Engines that talk to each other: the protocol, what is refused, and what it costs.

mod checks;
mod linear;
mod network;
mod protocol;
