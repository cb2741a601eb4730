//! The measurements, as somebody would run them who wants to compare protocols.

use serde_json::Value;
use std::fs;
use tests::run;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it was written")).expect("it is JSON")
}

#[test]
fn complexity_is_counted_beside_formulas_and_the_same_over_quic() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (counts, lines, page, plots) = (path("c.json"), path("c.csv"), path("c.html"), path("plots"));
    let arguments = ["bench", "complexity", "--quick", "--protocols", "pbft-collector", "--sizes", "4,5,7"];
    let files =
        ["--schemes", "threshold", "--json", &counts, "--csv", &lines, "--html", &page, "--svg", &plots];
    let out = run(PROGRAM, arguments.iter().chain(&files)).succeeded();
    for said in ["a(n−1)", "within 5 % of its formula", "over QUIC"] {
        assert!(out.contains(said), "{said:?} is missing in:\n{out}");
    }
    let counts = json(&counts);
    let rows = counts["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3 * 4, "sizes, cases");
    let row = |case: &str| rows.iter().find(|row| row["case"] == case && row["replicas"] == 7).unwrap();
    // Seven replicas, one transaction: 5 · 6 messages and 2 · 6 for its checkpoint; 3 · 7 certificates of two pairings each.
    let alone = row("alone");
    assert_eq!((alone["messages"].as_f64(), alone["pairings"]["seen"].as_f64()), (Some(42.0), Some(42.0)));
    assert_eq!(alone["delays"]["seen"].as_f64(), Some(9.0));
    let quic = counts["quic"].as_array().unwrap();
    assert_eq!(quic.len(), 1);
    assert!(quic.iter().all(|network| network["equal"].as_u64() >= Some(6)), "{quic:?}");
    assert!(quic.iter().all(|network| network["messages"] == network["simulated"]), "{quic:?}");
    assert!(quic.iter().all(|network| network["udp_bytes"].as_f64() > network["bytes"].as_f64()), "{quic:?}");
    let text = fs::read_to_string(lines).unwrap();
    assert!(text.starts_with("protocol,scheme,replicas,case,kind,messages,"), "{text}");
    assert!(fs::read_to_string(page).unwrap().contains("<svg"));
    assert!(fs::read_dir(plots).unwrap().count() >= 3);
}

#[test]
fn measurements_say_what_they_do_not_measure() {
    run(PROGRAM, ["bench", "complexity", "--sizes", "3"]).complains(1, &["--sizes names 3", "from 4 to"]);
    run(PROGRAM, ["bench", "complexity", "--protocols", "paxos"]).complains(2, &["paxos", "hotstuff-two"]);
    run(PROGRAM, ["bench", "load", "--app", "noop", "--reads", "10"]).complains(1, &["the ledger has"]);
    run(PROGRAM, ["bench", "load", "--connections", "65"])
        .complains(1, &["--connections is 65", "clients, 64"]);
    run(PROGRAM, ["bench", "load", "--protocol", "raft", "--vote-routing", "collector"])
        .complains(1, &["--vote-routing is a choice of pbft"]);
    run(PROGRAM, ["bench", "load", "--genesis", "nowhere.json", "--key", "k"])
        .complains(1, &["cannot read nowhere.json"]);
}

#[test]
fn load_is_measured_in_open_and_closed_loops() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("load.json");
    let arguments = [
        "bench",
        "load",
        "--quick",
        "--only",
        "ramp",
        "--rates",
        "50,100",
        "--clients",
        "8",
        "--connections",
        "4",
    ];
    let more = ["--reads", "25", "--scheme", "ed25519", "--json", file.to_str().unwrap()];
    let out = run(PROGRAM, arguments.iter().chain(&more)).succeeded();
    assert!(out.contains("open loop"), "{out}");
    let figures = json(file.to_str().unwrap());
    let steps = figures["ramp"]["steps"].as_array().unwrap();
    assert!(!steps.is_empty(), "{figures}");
    let (offered, latency) = (steps[0]["offered"].as_f64().unwrap(), &steps[0]["latency"]);
    assert!((offered - 50.0).abs() < 10.0, "turns come at the rate that was asked for: {figures}");
    let at = |name: &str| latency[name].as_f64().unwrap();
    assert!(at("p50_ms") > 0.0 && at("p50_ms") <= at("p99_ms") && at("p99_ms") <= at("max_ms"), "{figures}");
}

#[test]
fn one_transaction_at_a_time_is_measured_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("load.json");
    let arguments = ["bench", "load", "--quick", "--only", "idle", "--json", file.to_str().unwrap()];
    let out = run(PROGRAM, arguments).succeeded();
    assert!(out.contains("one client with one transaction in flight"), "{out}");
    let figures = json(file.to_str().unwrap());
    let idle = &figures["idle"];
    assert!(idle["transactions"].as_u64() > Some(0), "{figures}");
    assert!(idle["latency_p50_ms"].as_f64() <= idle["latency_p99_ms"].as_f64(), "{figures}");
}

/// A network that somebody else runs: what its genesis and some keys open up.
#[tokio::test]
async fn a_network_that_runs_already_is_loaded_by_its_genesis() {
    use crypto::{ProtocolTag, Scheme};
    let network = tests::Network::start(PROGRAM, ProtocolTag::HOTSTUFF, Scheme::Ed25519).await;
    let genesis = network.consortium.genesis_path();
    let keys: Vec<_> = (0..2).map(|client| network.consortium.client_key_path(client)).collect();
    for keys in [&keys[..], &keys[..1]] {
        let mut arguments =
            vec!["bench", "load", "--quick", "--only", "saturation", "--in-flight", "10", "--genesis"];
        arguments.push(genesis.to_str().unwrap());
        for key in keys {
            arguments.extend(["--key", key.to_str().unwrap()]);
        }
        let out = run(PROGRAM, arguments).succeeded();
        assert!(out.contains(&format!("as many requests as {} key", keys.len())), "{out}");
    }
}
