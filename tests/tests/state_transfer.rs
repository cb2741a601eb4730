//! A replica whose blocks are gone everywhere fetches a certified state, and goes on from there.

use app_examples::ledger::Operation;
use bft_core::genesis::Limits;
use bft_core::transaction::Kind;
use bft_core::types::Height;
use client::Client;
use crypto::{ProtocolTag, Scheme};
use quorate::home::ReplicaConfig;
use std::time::{Duration, Instant};
use tests::Network;
use tokio::task::JoinSet;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

/// Submits transfers until `done` says so of the stable height.
async fn submit_until(network: &Network, client: &Client, what: &str, done: impl Fn(Height) -> bool) {
    let (asset, to) = (network.consortium.asset(), network.consortium.clients[1].public());
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let mut running = JoinSet::new();
        for _ in 0..300 {
            let memo = vec![b'.'; 500].into();
            let operation = Operation::Transfer { asset, to, amount: 1, memo };
            let client = client.clone();
            running.spawn(async move {
                let receipt = client.submit(Kind::Application, operation.encode()).await.expect("a receipt");
                assert_eq!(receipt.receipt.code, 0, "{:?}", receipt.receipt);
            });
        }
        running.join_all().await;
        let reports = network.reports(client).await;
        if done(reports.iter().map(|report| report.stable).max().expect("somebody answers")) {
            return;
        }
        assert!(Instant::now() < until, "{what}\n{}", network.last_words());
    }
}

fn log_bytes(network: &Network, replica: usize) -> u64 {
    let log = network.consortium.home(replica).join("data").join("log");
    let files = std::fs::read_dir(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    files.map(|file| file.expect("an entry").metadata().expect("its size").len()).sum()
}

// threats 42, 80, 86: compacted logs, and a lost disk.
async fn a_replica_comes_back_after_its_blocks_are_gone(protocol: ProtocolTag) {
    let limits = Limits {
        transaction_bytes: 2 << 10,
        block_bytes: 16 << 10,
        checkpoint_interval: 4,
        ..Limits::default()
    };
    let frugal =
        |config| ReplicaConfig { segment_bytes: 256 << 10, flush_heights: 1, retain_blocks: 0, ..config };
    let mut network = Network::start_with(PROGRAM, protocol, Scheme::Ed25519, limits, frugal).await;
    let client = network.client(0).await;
    let (asset, me) = (network.consortium.asset(), client.key());
    let issue = Operation::Issue { asset, to: me, amount: 1 << 40 };
    client.submit(Kind::Application, issue.encode()).await.expect("a receipt");
    let leader = network.leader(&client).await;
    let [late, lost] = [1, 2].map(|step| (leader.index() + step) % 4);

    // One replica is away for so long that the others have cut its heights from their logs.
    network.replicas[late].kill().unwrap();
    submit_until(&network, &client, "no progress without one of four", |stable| stable >= 60).await;
    let kept = log_bytes(&network, leader.index());
    assert!(kept < 2 << 20, "the log is {kept} bytes and should have been cut");
    network.replicas[late].restart().unwrap();
    let agreed = network.agree(&client).await;
    assert!(agreed.stable >= 60);
    let said = std::fs::read_to_string(network.replicas[late].output_path()).unwrap();
    assert!(said.contains("the state was fetched"), "{said}");

    // Another loses its disk: it comes back, follows, and does not vote.
    network.replicas[lost].kill().unwrap();
    std::fs::remove_dir_all(network.consortium.home(lost).join("data")).unwrap();
    network.replicas[lost].restart().unwrap();
    submit_until(&network, &client, "no progress with a learner", |stable| stable >= agreed.stable + 20)
        .await;
    network.agree(&client).await;
    let reports = network.reports(&client).await;
    let voters: Vec<bool> = reports.iter().map(|report| report.votes).collect();
    assert_eq!(voters.iter().filter(|votes| !**votes).count(), 1);
    assert!(!voters[lost]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_42_80_86_a_replica_comes_back_after_its_blocks_are_gone_pbft() {
    a_replica_comes_back_after_its_blocks_are_gone(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_42_80_86_a_replica_comes_back_after_its_blocks_are_gone_hotstuff() {
    a_replica_comes_back_after_its_blocks_are_gone(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_42_80_86_a_replica_comes_back_after_its_blocks_are_gone_raft() {
    a_replica_comes_back_after_its_blocks_are_gone(ProtocolTag::RAFT).await;
}
