//! Whatever is wrong, the program says what and what to do, and does not panic.

use bft_core::codec;
use bft_core::request::{Answer, Call, Reply, Request};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bytes::Bytes;
use client::SubmitError;
use crypto::{ClientSecret, ProtocolTag, Scheme};
use net::{ClientConnection, ClientOptions};
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tests::{DEADLINE, Ended, Network, consortium, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

fn start(home: &Path) -> Ended {
    run(PROGRAM, ["start".as_ref(), "--home".as_ref(), home.as_os_str()])
}

fn cut(path: &Path) {
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
}

/// With the files' modes.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One thing that is wrong with a home, and what `start` says about it.
type Case = (&'static str, fn(&Path), &'static [&'static str]);

#[test]
fn a_home_with_something_wrong_does_not_start() {
    let cases: &[Case] = &[
        (
            "no genesis",
            |home| fs::remove_file(home.join("genesis.json")).unwrap(),
            &["genesis.json", "No such file", "quorate init"],
        ),
        ("half a genesis", |home| cut(&home.join("genesis.json")), &["genesis.json", "half-written"]),
        (
            "a genesis that is a directory",
            |home| {
                fs::remove_file(home.join("genesis.json")).unwrap();
                fs::create_dir(home.join("genesis.json")).unwrap();
            },
            &["genesis.json", "directory"],
        ),
        (
            "no configuration",
            |home| fs::remove_file(home.join("replica.toml")).unwrap(),
            &["replica.toml", "No such file"],
        ),
        (
            "half a configuration",
            |home| fs::write(home.join("replica.toml"), "repl").unwrap(),
            &["replica.toml", "half-written"],
        ),
        (
            "an unknown field",
            |home| fs::write(home.join("replica.toml"), "replica = 0\ncolour = 1\n").unwrap(),
            &["replica.toml", "colour"],
        ),
        ("half a key", |home| cut(&home.join("identity.key")), &["identity.key", "cut off", "restore it"]),
        // threat 97
        (
            "a key that others can read",
            |home| {
                fs::set_permissions(home.join("identity.key"), fs::Permissions::from_mode(0o644)).unwrap();
            },
            &["identity.key", "open to other users", "chmod 600"],
        ),
        (
            "a foreign key",
            |home| {
                fs::remove_file(home.join("identity.key")).unwrap();
                run(
                    PROGRAM,
                    [
                        "keygen".as_ref(),
                        "--kind".as_ref(),
                        "identity".as_ref(),
                        "--out".as_ref(),
                        home.join("identity.key").as_os_str(),
                    ],
                )
                .succeeded();
            },
            &["identity.key"],
        ),
        // threat 95
        (
            "the key of another replica",
            |home| {
                fs::remove_file(home.join("identity.key")).unwrap();
                fs::copy(home.with_file_name("replica-1").join("identity.key"), home.join("identity.key"))
                    .unwrap();
            },
            &["identity.key", "1"],
        ),
        (
            "a share that is a client's key",
            |home| {
                fs::copy(home.with_file_name("client-0.key"), home.join("threshold.key")).unwrap();
            },
            &["threshold.key", "holds a client key", "threshold key is needed"],
        ),
        // threat 56
        (
            "another replica's share",
            |home| {
                fs::copy(home.with_file_name("replica-1").join("threshold.key"), home.join("threshold.key"))
                    .unwrap();
            },
            &["threshold.key", "1"],
        ),
        (
            "data of another network",
            |home| {
                let marker = home.join("data/marker.toml");
                let text = fs::read_to_string(&marker).unwrap();
                let other = consortium(PROGRAM, &home.join("other"), ProtocolTag::PBFT, Scheme::Ed25519);
                let theirs = fs::read_to_string(other.home(0).join("data/marker.toml")).unwrap();
                assert_ne!(text, theirs);
                fs::write(marker, theirs).unwrap();
            },
            &["marker.toml", "belongs to the network", "genesis file"],
        ),
        (
            "data of another replica",
            |home| {
                fs::copy(
                    home.with_file_name("replica-1").join("data/marker.toml"),
                    home.join("data/marker.toml"),
                )
                .unwrap();
            },
            &["marker.toml", "belongs to replica 1, but replica 0 was started"],
        ),
        (
            "half a marker",
            |home| cut(&home.join("data/marker.toml")),
            &["marker.toml", "cannot be read", "Put the marker back"],
        ),
        (
            "another replica's number",
            |home| {
                let config = fs::read_to_string(home.join("replica.toml")).unwrap();
                fs::write(home.join("replica.toml"), config.replace("replica = 0", "replica = 17")).unwrap();
            },
            &["replica 17", "0 to 3"],
        ),
        (
            "the address of a replica that is none",
            |home| {
                let path = home.join("replica.toml");
                let config = fs::read_to_string(&path).unwrap();
                fs::write(path, config + "[peers]\n4 = \"127.0.0.1:7000\"\n").unwrap();
            },
            &["replica.toml", "replica 4 under [peers]", "0 to 3"],
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    consortium(PROGRAM, &dir.path().join("good"), ProtocolTag::PBFT, Scheme::Threshold);
    for (what, spoil, says) in cases {
        let copy = dir.path().join("bad");
        copy_tree(&dir.path().join("good"), &copy);
        let home = copy.join("replica-0");
        spoil(&home);
        let ended = start(&home);
        fs::remove_dir_all(&copy).unwrap();
        println!("{what}: {}", ended.err.trim());
        ended.complains(1, says);
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut consortium = consortium(PROGRAM, dir.path(), ProtocolTag::PBFT, Scheme::Ed25519);
    let address = consortium.genesis.replicas[0].address.clone();
    // The consortium holds the ports until it starts its replicas.
    start(&consortium.home(0))
        .complains(1, &[&address, "the port is taken", "stop the process that holds it"]);
    let replicas = consortium.start().unwrap();
    drop(replicas);
    let held = UdpSocket::bind(&address).unwrap();
    start(&consortium.home(0))
        .complains(1, &[&address, "the port is taken", "stop the process that holds it"]);
    drop(held);
}

// threat 79
#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_directory_is_refused() {
    let network = Network::start(PROGRAM, ProtocolTag::PBFT, Scheme::Ed25519).await;
    let pid = network.replicas[0].pid().unwrap().to_string();
    start(&network.consortium.home(0))
        .complains(1, &["locked by another process", &pid, "stop the other one"]);
}

#[test]
fn what_a_command_cannot_use_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let consortium = consortium(PROGRAM, dir.path(), ProtocolTag::PBFT, Scheme::Ed25519);
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let genesis = text(consortium.genesis_path());
    let key = text(consortium.client_key_path(0));
    let identity = text(consortium.home(0).join("identity.key"));
    let to = consortium.clients[1].public().to_string();
    let zeros = "0".repeat(64);
    let absent = text(dir.path().join("absent"));
    let cases: &[(i32, &[&str], &[&str])] = &[
        (2, &["frobnicate"], &["frobnicate", "--help"]),
        (2, &["init"], &["--home", "--genesis", "--replica"]),
        (2, &["keygen", "--kind", "client"], &["--out"]),
        (2, &["tx", "transfer", "5", "eur", "--to", &to], &["eur", "A-Z and 0-9"]),
        (2, &["tx", "transfer", "-5", "EUR", "--to", &to], &["-5"]),
        (2, &["tx", "transfer", "5", "EUR", "--to", "abc"], &["abc"]),
        (2, &["demo", "--replicas", "2"], &["2", "3"]),
        (1, &["demo", "--replicas", "3"], &["bear no failure", "--replicas 4, or --protocol raft"]),
        (1, &["tx", "redeem", "5", "EUR"], &["--genesis", "QUORATE_GENESIS"]),
        (1, &["tx", "--genesis", &genesis, "redeem", "5", "EUR"], &["--key", "QUORATE_KEY"]),
        (
            1,
            &["tx", "--genesis", &genesis, "--key", &identity, "redeem", "5", "EUR"],
            &["holds a identity key", "client key is needed"],
        ),
        (
            1,
            &["tx", "--genesis", &genesis, "--key", &absent, "redeem", "5", "EUR"],
            &["absent", "No such file"],
        ),
        (
            1,
            &["tx", "--genesis", &genesis, "--key", &key, "transfer", "5", "EUR", "--to", &zeros],
            &["not a client's public key", "64 digits"],
        ),
        (1, &["tx", "--genesis", &genesis, "retry", &absent], &["absent", "quorate tx"]),
        (
            1,
            &["tx", "--genesis", &genesis, "retry", &genesis],
            &["genesis.json", "is not a saved transaction"],
        ),
        (1, &["query", "--genesis", &key, "terms"], &["client-0.key", "cannot be read"]),
        (1, &["status", "--genesis", &genesis, "--replica", "9"], &["no replica 9", "0 to 3"]),
        (1, &["keygen", "--kind", "client", "--out", &key], &["exists already", "choose another name"]),
        (
            1,
            &["keygen", "member", "--organisation", "x", "--address", "nowhere", "--home", &absent],
            &["nowhere", "HOST:PORT"],
        ),
        (
            1,
            &["genesis", "--network", "n", "--member", &key, "--app-config", &key, "--out", &absent],
            &["client-0.key", "member.json"],
        ),
    ];
    for (code, arguments, says) in cases {
        let ended = run(PROGRAM, arguments.iter());
        println!("{arguments:?}: {}", ended.err.trim());
        ended.complains(*code, says);
    }
}

/// Sends one request as raw bytes and gives the answer.
async fn ask(connection: &ClientConnection, payload: Bytes) -> Answer {
    let frame = codec::encode(&Request { id: 7, call: Call::Submit(Payload::from_bytes(payload)) });
    ask_raw(connection, frame.into()).await
}

async fn ask_raw(connection: &ClientConnection, frame: Bytes) -> Answer {
    connection.send(frame).await.unwrap();
    let reply = tokio::time::timeout(DEADLINE, connection.recv()).await.expect("an answer in time").unwrap();
    codec::decode::<Reply>(&reply, 1 << 20).unwrap().answer
}

// threats 71, 88, 93: what a client sends is refused with a reason, and the replica goes on serving.
async fn bad_transactions_are_refused_with_a_reason_and_harm_nobody(protocol: ProtocolTag) {
    let network = Network::start(PROGRAM, protocol, Scheme::Ed25519).await;
    let genesis = &network.consortium.genesis;
    let chain = genesis.chain();
    let secret = &network.consortium.clients[0];
    let info = &genesis.replicas[0];
    let connection =
        ClientConnection::connect(&info.address, info.identity, ClientOptions::default()).await.unwrap();
    let body =
        app_examples::ledger::Operation::Redeem { asset: network.consortium.asset(), amount: 1 }.encode();
    let payload =
        |transaction: Transaction| Payload::of(vec![Item::new(&chain, transaction)]).bytes().clone();
    let sign = |secret: &ClientSecret, sequence, body: &Bytes| {
        Transaction::sign(secret, &chain, Kind::Application, sequence, body.clone())
    };
    let good = sign(secret, 1, &body);
    let mut forged = good.clone();
    forged.signature.0[5] ^= 1;
    let other_chain = Transaction::sign(secret, &crypto::Digest::ZERO, Kind::Application, 1, body.clone());
    let mut unknown_kind = payload(good.clone()).to_vec();
    unknown_kind[1] = 9;
    let mut two = payload(good.clone()).to_vec();
    two.extend_from_slice(&payload(sign(secret, 2, &body))[1..]);
    let whole = payload(good.clone());
    let oversized = Bytes::from(vec![1; genesis.limits.transaction_bytes as usize + 1]);
    let cases: Vec<(&str, Bytes, &str)> = vec![
        ("no payload", Bytes::from_static(b"\xff\xff\xff"), "payload format"),
        ("nothing", Bytes::new(), "payload format"),
        ("cut short", whole.slice(..whole.len() - 1), "cut short"),
        ("unknown kind", unknown_kind.into(), "unknown kind 9"),
        ("two transactions", two.into(), "one transaction"),
        ("bad signature", payload(forged), "signature"),
        ("signed for another network", payload(other_chain), "signature"),
        ("oversized", payload(sign(secret, 1, &oversized)), "65537"),
        (
            "not an operation",
            payload(sign(secret, 1, &Bytes::from_static(b"hello"))),
            "not an operation of the ledger",
        ),
        ("a stranger", payload(sign(&ClientSecret::from_seed([9; 32]), 1, &body)), "not enrolled"),
    ];
    for (what, bytes, says) in cases {
        match ask(&connection, bytes).await {
            Answer::Refused { sentence, .. } => {
                println!("{what}: {sentence}");
                assert!(sentence.contains(says), "{what}: {says:?} is missing in {sentence:?}");
            }
            answer => panic!("{what}: {answer:?}"),
        }
    }

    // A sequence executes once: a second transaction under it never does, and its client learns that.
    let client = network.client(0).await;
    client.submit_transaction(good).await.expect("the good one is executed");
    let stale = sign(
        secret,
        1,
        &app_examples::ledger::Operation::Redeem { asset: network.consortium.asset(), amount: 2 }.encode(),
    );
    let error = client.submit_transaction(stale).await.expect_err("the sequence is taken");
    assert!(matches!(error, SubmitError::SequenceTaken { .. }), "{error}");
    let far = sign(secret, 1 << 40, &body);
    let receipt = client.submit_transaction(far).await.expect("a proven refusal");
    assert_eq!(receipt.receipt.code, bft_core::receipt::code::TOO_FAR_AHEAD);

    // Bytes that are no request at all end this client's connection or are answered; the replicas go on.
    let nonsense = Bytes::from_static(b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    if connection.send(nonsense).await.is_ok() {
        let _ =
            tokio::time::timeout(DEADLINE, connection.recv()).await.expect("an answer or the end, in time");
    }
    network.agree(&client).await;
    assert_eq!(network.reports(&client).await.len(), 4);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_transactions_are_refused_with_a_reason_and_harm_nobody_pbft() {
    bad_transactions_are_refused_with_a_reason_and_harm_nobody(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_transactions_are_refused_with_a_reason_and_harm_nobody_hotstuff() {
    bad_transactions_are_refused_with_a_reason_and_harm_nobody(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_transactions_are_refused_with_a_reason_and_harm_nobody_raft() {
    bad_transactions_are_refused_with_a_reason_and_harm_nobody(ProtocolTag::RAFT).await;
}
