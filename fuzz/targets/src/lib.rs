//! What is fuzzed: one function and one oracle for each thing that meets outside bytes.
//!
//! A target takes any bytes, makes a run of them and panics if something is wrong. It does not know who calls it: cargo-fuzz
//! (`fuzz/fuzz_targets`, for hours), or the test in `tests/replay.rs`, which replays the committed corpus and a few thousand seeded
//! mutations of it on a stable compiler. Most targets begin with a valid value from a small [`consortium`] and change some of its
//! fields ([`edit`]), because random bytes seldom get past the first check; each takes raw bytes too.
//!
//! A target is deterministic: no clock, no randomness but the random weights of batch verification, which change no verdict.

pub mod application;
pub mod canonical;
pub mod consortium;
pub mod edge;
pub mod edit;
pub mod files;
pub mod host;
pub mod input;
pub mod keys;
pub mod log;
pub mod memory_disk;
mod past;
mod pbft;
pub mod proofs;
pub mod recovery;
pub mod transport;

/// One thing to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus and of its cargo-fuzz target.
    pub name: &'static str,
    /// Panics if an oracle says no.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made of valid values.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many mutations a test tries: about half a second's worth in a debug build.
    pub mutations: u64,
}

macro_rules! targets {
    ($($name:ident: $run:path, $seeds:path, $mutations:literal;)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $run,
            seeds: $seeds,
            mutations: $mutations,
        }),*];
    };
}

targets! {
    edge_replica: edge::replica, edge::replica_seeds, 1000;
    edge_client: edge::client, edge::client_seeds, 2000;
    canonical: canonical::run, canonical::seeds, 2000;
    log_open: log::run, log::seeds, 2000;
    recovery: recovery::host, recovery::seeds, 500;
    state_store: recovery::state_store, recovery::store_seeds, 20;
    hello: transport::hello, transport::hello_seeds, 2000;
    frames: transport::frames, transport::frame_seeds, 2000;
    receipt: proofs::receipt, proofs::receipt_seeds, 2000;
    answer: proofs::answer, proofs::answer_seeds, 2000;
    evidence: proofs::evidence, proofs::evidence_seeds, 2000;
    merkle_path: proofs::merkle_path, proofs::merkle_seeds, 2000;
    state_proof: proofs::state_proof, proofs::state_seeds, 2000;
    keys: keys::run, keys::seeds, 300;
    host: host::run, host::seeds, 60;
    files: files::run, files::seeds, 500;
    application: application::run, application::seeds, 1000;
}

/// The target of that name.
///
/// # Panics
/// If there is none.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
}
