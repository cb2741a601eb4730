//! The ledger as a client and a replica see it: through bodies, receipts, requests and the state.

mod configuration;
mod conservation;
mod format;
mod harness;
mod hostile;
mod proofs;
mod refusals;
