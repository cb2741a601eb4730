//! Tests over real sockets on 127.0.0.1. Names begin with the row of docs/threats.md that they cover.

mod clients;
mod exchange;
mod flood;
mod harness;
mod hostile;
mod identity;
mod reconnect;
