//! The commands, in the order of a network's life: keys, genesis, homes, transactions, proofs.

use app_examples::ledger::MEMO_BYTES;
use crypto::{ProtocolTag, Scheme};
use std::fs;
use std::path::Path;
use tests::{Network, run, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().expect("a readable path").to_owned()
}

fn member(dir: &Path, name: &str, port: u16) -> String {
    let (home, address) = (path(dir, name), format!("127.0.0.1:{port}"));
    run(PROGRAM, ["keygen", "member", "--organisation", name, "--address", &address, "--home", &home])
        .succeeded();
    path(dir, &format!("{name}/member.json"))
}

fn genesis_command<'a>(
    members: &'a [String],
    config: &'a str,
    out: &'a str,
    more: &[&'a str],
) -> Vec<&'a str> {
    let mut arguments = vec!["genesis", "--network", "pilot", "--app-config", config, "--out", out];
    arguments.extend(members.iter().flat_map(|member| ["--member", member]));
    arguments.extend(more);
    arguments
}

#[test]
fn members_make_a_genesis_and_homes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let members: Vec<String> = ["north", "south", "east", "west"]
        .iter()
        .zip(7001..)
        .map(|(name, port)| member(dir, name, port))
        .collect();
    let config = path(dir, "ledger.toml");
    fs::write(&config, "[[asset]]\ncode = \"EUR\"\nissuer = \"nord\"\n").unwrap();
    let out = path(dir, "genesis.json");
    // The misspelt issuer, then the threshold scheme without a dealer, then a limit that is none.
    run(PROGRAM, genesis_command(&members, &config, &out, &[]))
        .complains(1, &["\"nord\"", "north, south, east, west"]);
    fs::write(&config, "[[asset]]\ncode = \"EUR\"\nissuer = \"north\"\n").unwrap();
    run(PROGRAM, genesis_command(&members, &config, &out, &["--scheme", "threshold"]))
        .complains(1, &["--trusted-dealer-for-tests-and-demo", "--scheme ed25519"]);
    run(PROGRAM, genesis_command(&members, &config, &out, &["--limit", "windows=3"]))
        .complains(1, &["\"windows\"", "window"]);
    run(PROGRAM, genesis_command(&members, &config, &out, &["--protocol", "paxos"]))
        .complains(2, &["no protocol \"paxos\"", "use pbft, hotstuff, raft"]);
    run(PROGRAM, genesis_command(&members, &config, &out, &["--chain", "two"]))
        .complains(1, &["--chain is the commit rule of hotstuff", "use --protocol hotstuff"]);
    run(PROGRAM, genesis_command(&members, &config, &out, &["--protocol", "hotstuff", "--chain", "four"]))
        .complains(2, &["no chain rule \"four\"", "use two or three"]);
    let signed = ["--protocol", "raft", "--scheme", "ed25519"];
    run(PROGRAM, genesis_command(&members, &config, &out, &signed))
        .complains(1, &["fault_model is crash and scheme is ed25519", "scheme none"]);
    let unsigned = ["--scheme", "none"];
    run(PROGRAM, genesis_command(&members, &config, &out, &unsigned))
        .complains(1, &["fault_model is byzantine and scheme is none"]);
    let crash = path(dir, "crash.json");
    let said = run(PROGRAM, genesis_command(&members, &config, &crash, &["--protocol", "raft"])).succeeded();
    assert!(
        said.contains("protocol raft; fault model crash") && said.contains("Receipts rest on trust"),
        "{said}"
    );
    let short = ["--protocol", "hotstuff", "--limit", "tenure_views=3"];
    run(PROGRAM, genesis_command(&members, &config, &out, &short))
        .complains(1, &["tenure_views is 3", "between 4"]);
    run(PROGRAM, genesis_command(&members[..1], &config, &path(dir, "no/genesis.json"), &[]))
        .complains(1, &["no/genesis.json", "check that"]);
    assert!(!Path::new(&out).exists());

    let shares = path(dir, "shares");
    let dealer =
        ["--scheme", "threshold", "--trusted-dealer-for-tests-and-demo", &shares, "--limit", "window=64"];
    let said = run(PROGRAM, genesis_command(&members, &config, &out, &dealer)).succeeded();
    assert!(
        said.contains("4 replicas, of which 1 may fail and 3 decide") && said.contains("WARNING"),
        "{said}"
    );
    let other = path(dir, "other.json");
    let chosen = ["--protocol", "hotstuff", "--chain", "two", "--limit", "tenure_views=64"];
    let said = run(PROGRAM, genesis_command(&members, &config, &other, &chosen)).succeeded();
    assert!(said.contains("protocol hotstuff (two chain, tenures of 64 views)"), "{said}");
    run(PROGRAM, genesis_command(&members, &config, &out, &[]))
        .complains(1, &["exists already", "another --out"]);

    let home = path(dir, "south");
    let init =
        |replica: &str| run(PROGRAM, ["init", "--home", &home, "--genesis", &out, "--replica", replica]);
    init("1").complains(1, &["threshold.key", "No such file"]);
    fs::copy(path(dir, "shares/threshold-2.key"), path(dir, "south/threshold.key")).unwrap();
    init("1").complains(1, &["the share of replica 2", "replica 1"]);
    fs::copy(path(dir, "shares/threshold-1.key"), path(dir, "south/threshold.key")).unwrap();
    init("0").complains(1, &["identity.key", "it is the key of replica 1", "give --replica 1"]);
    init("9").complains(1, &["no replica 9", "0 to 3"]);
    assert!(init("1").succeeded().contains("replica 1 of pilot (south)"));
    init("1").complains(1, &["initialised before"]);
    run(PROGRAM, ["keygen", "member", "--organisation", "south", "--address", "a:1", "--home", &home])
        .complains(1, &["exists already"]);
}

async fn a_transaction_is_proven_saved_and_verified_offline(protocol: ProtocolTag) {
    let network = Network::start(PROGRAM, protocol, Scheme::Threshold).await;
    let (dir, consortium) = (network.dir.path(), &network.consortium);
    let genesis = path(dir, "genesis.json");
    let key = |client: usize| consortium.client_key_path(client).to_str().unwrap().to_owned();
    let to = consortium.clients[1].public().to_string();
    let receipt = path(dir, "receipt.json");
    let tx = |key: &str, more: &[&str]| {
        let mut arguments = vec!["tx", "--genesis", &genesis, "--key", key];
        arguments.extend(more);
        run(PROGRAM, arguments)
    };
    let said = tx(&key(0), &["--save", &receipt, "issue", "100", "EUR", "--to", &to]).succeeded();
    assert!(said.contains("executed: issue 100 EUR") && said.contains("proof verified"), "{said}");
    let refused =
        tx(&key(1), &["transfer", "101", "EUR", "--to", &consortium.clients[0].public().to_string()]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.out.contains("107 (insufficient balance)") && refused.out.contains("1 less than 101"),
        "{refused:?}"
    );
    tx(&key(1), &["transfer", "0", "EUR", "--to", &to]).complains(1, &["the amount is 0", "at least 1"]);
    tx(&key(1), &["transfer", "1", "EUR", "--to", &to, "--memo", &"x".repeat(MEMO_BYTES + 1)])
        .complains(1, &["the memo has", &format!("at most {MEMO_BYTES}")]);

    // The replica that is asked may not have the last certificate yet.
    until("a certified balance", || {
        let said = run(PROGRAM, ["query", "--genesis", &genesis, "balance", "EUR", &to]).succeeded();
        said.starts_with("100 EUR\n(proven at height ")
    });
    let linearizable = ["query", "--genesis", &genesis, "--read", "linearizable"];
    let said =
        run(PROGRAM, linearizable.into_iter().chain(["--key", &key(1), "balance", "EUR", &to])).succeeded();
    assert!(said.starts_with("100 EUR\n(proven at height "), "{said}");
    let said = run(PROGRAM, ["status", "--genesis", &genesis]).succeeded();
    assert!(
        ["r0", "r1", "r2", "r3"].iter().all(|replica| said.contains(replica)) && said.contains("3/3"),
        "{said}"
    );
    let said = run(PROGRAM, ["status", "--genesis", &genesis, "-o", "json"]).succeeded();
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json[3]["report"]["replica"], 3, "{said}");

    // A stranger transacts only after an operator has enrolled it.
    let stranger = path(dir, "stranger.key");
    let public = run(PROGRAM, ["keygen", "--kind", "client", "--out", &stranger]).succeeded();
    tx(&stranger, &["redeem", "1", "EUR"]).complains(3, &["not enrolled", "operator can enrol it"]);
    let operator = consortium.operator_key_path(2).to_str().unwrap().to_owned();
    tx(&operator, &["enroll", public.trim()]).succeeded();
    assert!(tx(&stranger, &["redeem", "1", "EUR"]).out.contains("107 (insufficient balance)"));

    // From here on there is no network.
    let saved = fs::read_to_string(&receipt).unwrap();
    drop(network.replicas);
    let verify = |genesis: &str| run(PROGRAM, ["verify", &receipt, "--genesis", genesis]);
    let said = verify(&genesis).succeeded();
    assert!(
        said.contains("issue 100 EUR")
            && said.contains("threshold signature")
            && said.contains("0 (executed)"),
        "{said}"
    );

    let other_dir = tempfile::tempdir().unwrap();
    let other = tests::consortium(PROGRAM, other_dir.path(), ProtocolTag::PBFT, Scheme::Ed25519);
    verify(other.genesis_path().to_str().unwrap())
        .complains(1, &["of the network", "give the genesis of its network"]);

    let mut lies = Vec::new();
    let json: serde_json::Value = serde_json::from_str(&saved).unwrap();
    for (pointer, value, why) in [
        ("/receipt/receipt/code", serde_json::json!(107), "not under the receipts root"),
        ("/receipt/index", serde_json::json!(1), "not under the receipts root"),
        ("/receipt/entries/0/height", serde_json::json!(1_000_000), "another entry"),
        ("/receipt/entries", serde_json::json!([]), "empty"),
        ("/transaction/sequence", serde_json::json!(77), "the transaction in the file is"),
    ] {
        let mut lie = json.clone();
        *lie.pointer_mut(pointer).expect(pointer) = value;
        lies.push((lie.to_string(), why));
    }
    lies.push((saved[..saved.len() / 2].to_owned(), "half-written"));
    lies.push((String::new(), "half-written"));
    lies.push(("\u{0}\u{1}".to_owned(), "is not a saved receipt"));
    lies.push((saved.replacen("\"version\": 1", "\"version\": 9", 1), "version 9"));
    for (lie, why) in lies {
        fs::write(&receipt, lie).unwrap();
        verify(&genesis).complains(1, &["receipt.json", why]);
    }
    fs::remove_file(&receipt).unwrap();
    verify(&genesis).complains(1, &["receipt.json", "tx --save"]);
    run(PROGRAM, ["status", "--genesis", &genesis])
        .complains(1, &["no replica could be reached", "check that they run"]);
}

// threat 92: no answer is not a failure, and trying again is safe.
async fn an_unknown_outcome_is_said_and_a_retry_executes_once(protocol: ProtocolTag) {
    let mut network = Network::start(PROGRAM, protocol, Scheme::Ed25519).await;
    let dir = network.dir.path().to_owned();
    let genesis = path(&dir, "genesis.json");
    let pending = path(&dir, "pending");
    fs::create_dir(&pending).unwrap();
    let key = network.consortium.client_key_path(0).to_str().unwrap().to_owned();
    let to = network.consortium.clients[1].public().to_string();
    // Two of four are no quorum: the transaction is taken in, and nothing comes of it.
    network.replicas[2].kill().unwrap();
    network.replicas[3].kill().unwrap();
    let issue = ["tx", "--genesis", &genesis, "--key", &key, "--pending", &pending, "--patience", "3"];
    let ended = run(PROGRAM, issue.into_iter().chain(["issue", "100", "EUR", "--to", &to]));
    ended.complains(
        4,
        &["outcome unknown", "may still be executed", "Do not sign it anew", "retry", &pending],
    );
    let saved: Vec<_> = fs::read_dir(&pending).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [saved] = saved.as_slice() else { panic!("{saved:?}") };
    let copy = path(&dir, "copy.json");
    fs::copy(saved, &copy).unwrap();
    let text = fs::read_to_string(saved).unwrap();

    network.replicas[2].restart().unwrap();
    network.replicas[3].restart().unwrap();
    let retry = |file: &str| run(PROGRAM, ["tx", "--genesis", &genesis, "retry", file]);
    let first = retry(saved.to_str().unwrap()).succeeded();
    assert!(first.contains("executed: issue 100 EUR"), "{first}");
    assert!(!saved.exists(), "its work is done");
    let line = |said: &str, name: &str| said.lines().find(|line| line.contains(name)).map(str::to_owned);
    let second = retry(&copy).succeeded();
    for name in ["transaction", "height", "answer"] {
        assert_eq!(line(&first, name), line(&second, name));
    }
    // Whichever replica is asked may have just begun to catch up: what it has certified may be of before.
    let supply = ["query", "--genesis", &genesis, "--read", "linearizable", "--key", &key, "supply", "EUR"];
    let said = run(PROGRAM, supply).succeeded();
    assert!(said.contains("issued 100,"), "{said}");

    let mut foreign: serde_json::Value = serde_json::from_str(&text).unwrap();
    foreign["chain"] = serde_json::json!("ab".repeat(32));
    fs::write(&copy, foreign.to_string()).unwrap();
    retry(&copy).complains(1, &["signed for the network abab", "give the genesis of its network"]);
    fs::write(&copy, "{\"version\": 1, \"chain\"").unwrap();
    retry(&copy).complains(1, &["copy.json", "half-written"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_proven_saved_and_verified_offline_pbft() {
    a_transaction_is_proven_saved_and_verified_offline(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_proven_saved_and_verified_offline_hotstuff() {
    a_transaction_is_proven_saved_and_verified_offline(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_said_and_a_retry_executes_once_pbft() {
    an_unknown_outcome_is_said_and_a_retry_executes_once(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_said_and_a_retry_executes_once_hotstuff() {
    an_unknown_outcome_is_said_and_a_retry_executes_once(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_said_and_a_retry_executes_once_raft() {
    an_unknown_outcome_is_said_and_a_retry_executes_once(ProtocolTag::RAFT).await;
}
