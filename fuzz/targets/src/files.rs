//! The files that the command line reads: genesis, configurations, keys, members, saved transactions and receipts.
//!
//! Oracles: a file that is taken is written and read back as the same; a genesis that is taken starts a network whose first
//! replica executes a block; a receipt that proves something proves what the honest one did.

use crate::consortium::{REAL, client};
use crate::edit::damage;
use crate::input::Input;
use crate::keys::THRESHOLD;
use app_examples::ledger::{Config, Ledger};
use bft_core::block::Block;
use bft_core::genesis::Genesis;
use bft_core::host::genesis_state;
use bft_core::machine::StateMachine;
use bft_core::state::State;
use bft_core::transaction::Payload;
use crypto::{Digest, IdentitySecret, KeyFile, Scheme, ThresholdKey, keystore};
use quorate::cli::fuzzing::{read_any, samples};
use quorate::home::{ReplicaConfig, read_genesis, write_genesis};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

thread_local! {
    static DIR: TempDir = TempDir::new().expect("there is room for small files");
}

/// A path in this thread's own directory.
fn path(name: &str) -> PathBuf {
    DIR.with(|dir| dir.path().join(name))
}

/// The consortium's genesis for the ledger, under the threshold scheme.
pub fn threshold_genesis() -> Genesis {
    Genesis {
        scheme: Scheme::Threshold,
        threshold: Some(THRESHOLD.keys.clone()),
        ..REAL.genesis.as_ref().clone()
    }
}

/// One byte for the kind of file; then its text, or a sample with changes.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 5 {
        0 => genesis(&mut input),
        1 => replica_config(&mut input),
        2 => key(&mut input),
        3 => passed_on(&mut input),
        _ => ledger_config(&mut input),
    }
}

/// A text of the input's own, or a sample with a few values or bytes changed.
fn text(input: &mut Input<'_>, samples: &[Value]) -> Vec<u8> {
    let choice = input.byte();
    if choice == 0 {
        return input.rest().to_vec();
    }
    let mut value = samples[usize::from(choice - 1) % samples.len()].clone();
    for _ in 0..input.below(4) {
        change(input, &mut value);
    }
    let mut text = value.to_string().into_bytes();
    damage(input, &mut text);
    text
}

/// Changes one value, anywhere in the tree.
fn change(input: &mut Input<'_>, value: &mut Value) {
    let below = !matches!(input.byte() % 4, 0);
    match value {
        Value::Object(fields) if below && !fields.is_empty() => {
            let at = input.below(fields.len());
            let field = fields.values_mut().nth(at).expect("there are as many");
            change(input, field);
        }
        Value::Array(list) if below && !list.is_empty() => {
            let at = input.below(list.len());
            change(input, &mut list[at]);
        }
        Value::Object(fields) if !fields.is_empty() && input.byte().is_multiple_of(2) => {
            let name = fields.keys().nth(input.below(fields.len())).expect("there are as many").clone();
            fields.remove(&name);
        }
        Value::Array(list) if !list.is_empty() => {
            let element = list[input.below(list.len())].clone();
            match input.byte() % 3 {
                0 => list.clear(),
                1 => drop(list.pop()),
                _ => list.push(element),
            }
        }
        value => {
            let word = "x".repeat(input.below(80));
            let number = input.long();
            let others = [
                json!(number),
                json!(0),
                json!(u64::MAX),
                json!(-1),
                json!(1e300),
                json!(word),
                json!(null),
                json!([]),
                json!({}),
                json!(true),
            ];
            let neighbour = value.as_u64().map_or(json!(1), |number| json!(number.wrapping_add(1)));
            *value = input.pick(&[&others[..], &[neighbour]].concat()).clone();
        }
    }
}

static GENESES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [REAL.genesis.as_ref().clone(), threshold_genesis()]
        .iter()
        .map(|genesis| serde_json::to_value(genesis).expect("plain data"))
        .collect()
});

fn genesis(input: &mut Input<'_>) {
    let (path, again) = (path("genesis.json"), path("again.json"));
    fs::write(&path, text(input, &GENESES)).expect("a small file");
    let Ok(genesis) = read_genesis(&path) else { return };
    write_genesis(&again, &genesis).expect("what was read can be written");
    let second = read_genesis(&again).expect("what was written can be read");
    assert_eq!((second.chain(), &second), (genesis.chain(), &genesis), "one chain id a genesis");
    begin(genesis);
}

/// A network of this genesis takes its first steps: with the state its application makes, as `quorate genesis` would write it.
fn begin(mut genesis: Genesis) {
    let Ok((_, root)) = genesis_state(&sim::app::Registers::default(), &genesis) else { return };
    genesis.state_root = root;
    genesis.application.name = "registers".into();
    let trust = genesis.trust().expect("a genesis that was taken");
    let mut recovered = bft_core::host::Recovered::default();
    let entry = bft_core::ledger::LedgerEntry { height: 1, ..genesis.entry() };
    // A block on disk with an entry that cannot be its own: it is executed, and found to differ.
    let block = Block::new(&genesis.chain(), 1, 1, Payload::empty(), crate::consortium::WALL, true)
        .expect("a payload");
    let entry = bft_core::ledger::LedgerEntry { block: block.digest(), previous: Digest::ZERO, ..entry };
    for (kind, body) in [
        (bft_core::log::LogKind::Block, bft_core::codec::encode(&block)),
        (bft_core::log::LogKind::Entry, bft_core::codec::encode(&entry)),
    ] {
        let digest = block.digest();
        recovered.items.push(bft_core::log::LogItem { kind, height: 1, digest, body: body.into() });
    }
    let config = bft_core::host::HostConfig {
        me: crypto::ReplicaId(0),
        trust,
        genesis: genesis.into(),
        may_vote: true,
        local: REAL.config.local,
        spent: bft_core::host::no_clock,
    };
    let now = crate::consortium::clock(std::time::Duration::from_secs(1));
    let app = sim::app::Registers::default();
    let mut effects = Vec::new();
    let fails =
        crate::consortium::AnyHost::recover(config.clone(), app.clone(), recovered, now, &mut effects);
    assert!(fails.is_err(), "the entry is of another ledger");
    let fresh = bft_core::host::Recovered::default();
    if engines::is_known(config.genesis.protocol) {
        let mut host = crate::consortium::AnyHost::recover(config, app, fresh, now, &mut effects)
            .expect("an empty disk");
        host.flush(crate::consortium::clock(std::time::Duration::from_secs(4000)), &mut effects);
        host.invariants();
    }
}

fn replica_config(input: &mut Input<'_>) {
    let (path, again) = (path("replica.toml"), path("again.toml"));
    let sample = "replica = 3\nlisten = \"127.0.0.1:7000\"\npool_bytes = 1000000\nsegment_bytes = 8192\nflush_heights = 5\nretain_blocks = 7\n";
    fs::write(&path, damaged(input, sample.as_bytes())).expect("a small file");
    let Ok(config) = ReplicaConfig::read(&path) else { return };
    // TOML has no numbers above i64::MAX.
    if config.write(&again).is_ok() {
        assert_eq!(ReplicaConfig::read(&again).expect("what was written can be read"), config);
    }
}

fn damaged(input: &mut Input<'_>, sample: &[u8]) -> Vec<u8> {
    if input.byte().is_multiple_of(2) {
        return input.rest().to_vec();
    }
    let mut text = sample.to_vec();
    let at = input.short() % text.len();
    let end = (at + input.below(40)).min(text.len());
    let inserted = input.byte();
    text.splice(at..end, input.take(usize::from(inserted % 40)).iter().copied());
    damage(input, &mut text);
    text
}

static KEYS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let threshold =
        ThresholdKey { share: THRESHOLD.shares[1].clone(), epoch: 1, group: THRESHOLD.keys.digest() };
    let keys = [
        KeyFile::Identity(IdentitySecret::from_seed([1; 32])),
        KeyFile::Client(client(1)),
        KeyFile::Threshold(threshold),
    ];
    keys.iter().map(|key| written(key, &path("sample.key"))).collect()
});

/// The text of a key file.
fn written(key: &KeyFile, path: &Path) -> Vec<u8> {
    let _ = fs::remove_file(path);
    keystore::write_new(path, key).expect("a new file");
    fs::read(path).expect("just written")
}

fn key(input: &mut Input<'_>) {
    let path = path("the.key");
    let sample = input.pick(&KEYS);
    let text = damaged(input, sample);
    fs::write(&path, &text).expect("a small file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its own file");
    let Ok(key) = keystore::read(&path) else { return };
    assert_eq!(written(&key, &path.with_extension("again")), text, "one spelling a key");
    let _ = keystore::read_threshold(&path, 1, &THRESHOLD.keys);
}

static PASSED_ON: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let receipts = REAL.receipts();
    let of = |receipt: &bft_core::receipt::ProvenReceipt| {
        let item = REAL.items.iter().find(|item| item.digest == receipt.receipt.transaction);
        samples(item.expect("it was submitted"), receipt, &REAL.genesis)
    };
    receipts.iter().take(3).flat_map(of).collect()
});

fn passed_on(input: &mut Input<'_>) {
    let (path, again) = (path("passed-on.json"), path("again.json"));
    fs::write(&path, text(input, &PASSED_ON)).expect("a small file");
    let Some((kind, proves)) = read_any(&path, &REAL.genesis, &again) else { return };
    let second = read_any(&again, &REAL.genesis, &path).expect("what was written can be read");
    assert_eq!((kind, &proves), (second.0, &second.1));
    if let (Ok(said), "receipt") = (&proves, kind) {
        let file: Value =
            serde_json::from_slice(&fs::read(&again).expect("it is there")).expect("it was read");
        let honest = REAL.receipts().iter().any(|receipt| {
            let mine = serde_json::to_value(&receipt.receipt).expect("plain data");
            mine == file["receipt"]["receipt"]
        });
        assert!(honest, "a receipt that nobody gave proves {said}");
    }
}

fn ledger_config(input: &mut Input<'_>) {
    let sample = format!(
        "freeze_authority = [\"north\"]\nfreeze_keys = [\"{0}\"]\n\n[[asset]]\ncode = \"EUR\"\nissuer = \"north\"\n\n[[asset]]\ncode = \"BOND\"\nissuer = \"south\"\nissuer_keys = [\"{0}\"]\n",
        client(11).public()
    );
    let text = damaged(input, sample.as_bytes());
    let Ok(text) = std::str::from_utf8(&text) else { return };
    let mut state = State::default();
    let taken = Ledger.genesis(text, &mut state).is_ok();
    match Config::parse(text) {
        Ok(config) => {
            assert!(taken, "what parses is taken");
            assert_eq!(Config::parse(&config.to_toml()).expect("what was written can be read"), config);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Seeds: a sample of each kind, as it is and with changes.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for sample in 1..=2 {
        seeds.push(vec![0, sample, 0]);
        seeds.push(vec![0, sample, 2, 1, 6, 1, 3, 0, 0, 2, 1, 9, 1, 0, 0, 0, 4]);
    }
    for sample in 1..=6 {
        seeds.push(vec![3, sample, 0]);
        seeds.push(vec![3, sample, 1, 1, 2, 1, 0, 0, 0, 0, 1]);
    }
    for key in 0..3 {
        seeds.push(vec![2, key, 1, 0, 0, 0, 0, 0]);
        seeds.push([&[2, key, 0], KEYS[usize::from(key)].as_slice()].concat());
    }
    seeds.push(vec![1, 1, 0, 0, 0, 0, 0]);
    seeds.push([&[1, 0], b"replica = 1\n".as_slice()].concat());
    seeds.push(vec![4, 1, 0, 0, 0, 0, 0]);
    seeds.push([&[4, 0], b"[[asset]]\ncode = \"A\"\nissuer = \"b\"\n".as_slice()].concat());
    seeds
}
