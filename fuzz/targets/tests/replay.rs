//! Every target on its committed corpus, on its seeds, and on seeded mutations of both: the same inputs on every machine.
//!
//! ```text
//! UPDATE_CORPUS=1 cargo test -p fuzz-targets --test replay     # writes the seeds to fuzz/corpus
//! FUZZ_MUTATIONS=100000 cargo test -p fuzz-targets --test replay host
//! FUZZ_INPUT=FILE cargo test -p fuzz-targets --test replay host
//! ```
//!
//! An input that fails is written to `fuzz/artifacts`, and the message names it.

use fuzz_targets::{TARGETS, Target, target};
use sim::random::Random;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Longest input that a mutation makes.
const LONGEST: usize = 4096;

/// Bytes of all committed inputs of a target.
const CORPUS_BYTES: u64 = 64 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let dir = fuzz().join("corpus").join(target.name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a listed file").path()).collect();
    paths.sort();
    let size: u64 = paths.iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum();
    assert!(size <= CORPUS_BYTES, "{} has {size} bytes; keep what adds coverage", dir.display());
    paths.iter().map(|path| fs::read(path).expect("a listed file")).collect()
}

fn write_seeds(target: &Target) {
    let dir = fuzz().join("corpus").join(target.name);
    fs::create_dir_all(&dir).expect("the corpus can be written");
    for (index, seed) in (target.seeds)().iter().enumerate() {
        fs::write(dir.join(format!("seed-{index:02}")), seed).expect("the corpus can be written");
    }
}

/// What libFuzzer does to inputs, in short.
fn mutated(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = inputs[random.index(inputs.len())].clone();
    for _ in 0..random.between(1, 6) {
        let at = random.index(bytes.len() + 1);
        let count = random.index(16).min(bytes.len() - at);
        let byte = [0, 1, 0x7f, 0x80, 0xff, random.bits() as u8][random.index(6)];
        match random.index(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.index(8),
            1 if at < bytes.len() => bytes[at] = byte,
            2 => bytes.insert(at, byte),
            3 => drop(bytes.drain(at..at + count)),
            4 => {
                let copy = bytes[at..at + count].to_vec();
                let to = random.index(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => {
                let other = &inputs[random.index(inputs.len())];
                let from = random.index(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.extend((0..count).map(|_| byte)),
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

fn run(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let dir = fuzz().join("artifacts").join(target.name);
        let path = dir.join("replay-failure");
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(&path, input))
            .expect("the failed input can be kept");
        panic!(
            "target {} failed; to try again: FUZZ_INPUT={} cargo test -p fuzz-targets --test replay {}",
            target.name,
            path.display(),
            target.name
        );
    }
}

fn replay(name: &str) {
    let target = target(name);
    if let Some(path) = std::env::var_os("FUZZ_INPUT") {
        return (target.run)(&fs::read(path).expect("FUZZ_INPUT names a file"));
    }
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        write_seeds(target);
    }
    let inputs = [(target.seeds)(), corpus(target)].concat();
    for input in &inputs {
        run(target, input);
    }
    let wanted = std::env::var("FUZZ_MUTATIONS").ok();
    let mutations =
        wanted.map_or(target.mutations, |count| count.parse().expect("FUZZ_MUTATIONS is a number"));
    let mut random = Random::new(1);
    for _ in 0..mutations {
        run(target, &mutated(&inputs, &mut random));
    }
}

// threat 71, 87, 93: a frame is bounded before anything is allocated or unpacked (no format here is compressed), and transactions in it are
// checked.
#[test]
fn edge_replica() {
    replay("edge_replica");
}

// threat 71, 93: so is a client's request.
#[test]
fn edge_client() {
    replay("edge_client");
}

// threat 71, 83: lists in what is decoded are no longer than the bytes that carry them.
#[test]
fn canonical() {
    replay("canonical");
}

// threat 72, 73, 76, 78: what a crash left is dropped, damage is refused with its place, and no length is believed unchecked.
#[test]
fn log_open() {
    replay("log_open");
}

#[test]
fn recovery() {
    replay("recovery");
}

// threat 73: a damaged store is refused.
#[test]
fn state_store() {
    replay("state_store");
}

// threat 59: what quinn and rustls let through still has to be a hello.
#[test]
fn hello() {
    replay("hello");
}

// threat 59, 71: a length is checked before it is believed.
#[test]
fn frames() {
    replay("frames");
}

// threat 89: nothing is believed but what a quorum certified.
#[test]
fn receipt() {
    replay("receipt");
}

// threat 89: nothing is believed but what a quorum certified.
#[test]
fn answer() {
    replay("answer");
}

// threat 22: nobody is accused of what it did not sign.
#[test]
fn evidence() {
    replay("evidence");
}

#[test]
fn merkle_path() {
    replay("merkle_path");
}

#[test]
fn state_proof() {
    replay("state_proof");
}

// threat 45, 50, 51, 53: points outside the subgroup, the identity, keys that do not belong together, bad shares.
#[test]
fn keys() {
    replay("keys");
}

// threat 1, 5, 8, 11, 71, 83: one liar does no harm, whatever it says.
#[test]
fn host() {
    replay("host");
}

#[test]
fn files() {
    replay("files");
}

// threat 93: what an application executes passed its check.
#[test]
fn application() {
    replay("application");
}

#[test]
fn every_target_is_replayed() {
    for target in TARGETS {
        let call = format!("replay(\"{}\");", target.name);
        assert!(include_str!("replay.rs").contains(&call), "{} has no test here", target.name);
        let bin = fuzz().join("fuzz_targets").join(format!("{}.rs", target.name));
        assert!(bin.exists(), "{} does not exist", bin.display());
    }
}
