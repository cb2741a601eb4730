//! Committees of bare engines: scenarios as text, one folder for each protocol, and crashes after every output.

mod crash_points;
mod hotstuff;
mod pbft;
mod raft;
mod transcript;
mod world;
