//! The leader dies; the service goes on; nothing acknowledged is lost.

use app_examples::ledger::{Answer, Ledger, Operation, Query};
use bft_core::committee::Trust;
use bft_core::receipt::{ProofError, ProvenReceipt, code};
use bft_core::transaction::{Item, Kind, Transaction};
use client::Client;
use crypto::{FaultModel, ProtocolTag, Scheme};
use tests::Network;
use tokio::task::JoinSet;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

async fn submit(client: Client, operation: Operation) -> (Transaction, ProvenReceipt) {
    let transaction = client.sign(Kind::Application, operation.encode());
    let proven = client.submit_transaction(transaction.clone()).await.expect("a receipt");
    assert_eq!(proven.receipt.code, code::OK, "{:?}", proven.receipt);
    (transaction, proven)
}

/// Several transfers at once.
async fn transfers(network: &Network, client: &Client, count: u64) -> Vec<(Transaction, ProvenReceipt)> {
    let (asset, to) = (network.consortium.asset(), network.consortium.clients[1].public());
    let mut running = JoinSet::new();
    for amount in 1..=count {
        let operation = Operation::Transfer { asset, to, amount, memo: Default::default() };
        running.spawn(submit(client.clone(), operation));
    }
    running.join_all().await
}

/// Proven, or in the crash fault model the word of a replica, which is never called proven.
fn is_worth_what_the_fault_model_says(receipt: &ProvenReceipt, trust: &Trust) {
    match (receipt.verify(trust), trust.domain.fault_model) {
        (Ok(()), FaultModel::Byzantine) | (Err(ProofError::Trusted(_)), FaultModel::Crash) => {}
        (verdict, model) => panic!("a receipt of the {model} fault model is {verdict:?}"),
    }
}

// threats 21, 88, 92: a promise, an execution and an acknowledgement outlive the process that made them.
async fn the_service_outlives_its_leader(protocol: ProtocolTag, scheme: Scheme) {
    let mut network = Network::start(PROGRAM, protocol, scheme).await;
    let client = network.client(0).await;
    let (asset, me) = (network.consortium.asset(), client.key());
    let mut acknowledged =
        vec![submit(client.clone(), Operation::Issue { asset, to: me, amount: 10_000 }).await];
    acknowledged.extend(transfers(&network, &client, 20).await);

    let leader = network.leader(&client).await;
    network.replicas[leader.index()].kill().unwrap();
    acknowledged.extend(transfers(&network, &client, 20).await);

    network.replicas[leader.index()].restart().unwrap();
    acknowledged.extend(transfers(&network, &client, 5).await);
    let agreed = network.agree(&client).await;
    assert!(agreed.stable >= acknowledged.iter().map(|(_, proven)| proven.height()).max().unwrap());

    let chain = network.consortium.genesis.chain();
    let trust = network.consortium.genesis.trust().unwrap();
    for (transaction, first) in acknowledged {
        is_worth_what_the_fault_model_says(&first, &trust);
        // The very same transaction again: executed once, and proven as it was.
        let again = client.submit_transaction(transaction.clone()).await.expect("still provable");
        is_worth_what_the_fault_model_says(&again, &trust);
        assert_eq!(again.receipt, first.receipt);
        assert_eq!((again.height(), again.index), (first.height(), first.index));
        assert_eq!(again.receipt.transaction, Item::new(&chain, transaction).digest);
    }
    let request = Query::Balance { asset, account: network.consortium.clients[1].public() }.encode();
    let (answer, _) = client.query(&Ledger, &request).await.unwrap();
    let moved = 2 * (1..=20).sum::<u64>() + (1..=5).sum::<u64>();
    assert_eq!(Answer::decode(&answer.unwrap()), Ok(Answer::Balance(moved)));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_outlives_its_leader_with_a_group_key_pbft() {
    the_service_outlives_its_leader(ProtocolTag::PBFT, Scheme::Threshold).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_outlives_its_leader_with_a_group_key_hotstuff() {
    the_service_outlives_its_leader(ProtocolTag::HOTSTUFF, Scheme::Threshold).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_outlives_its_leader_with_lists_of_signatures_pbft() {
    the_service_outlives_its_leader(ProtocolTag::PBFT, Scheme::Ed25519).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_outlives_its_leader_with_lists_of_signatures_hotstuff() {
    the_service_outlives_its_leader(ProtocolTag::HOTSTUFF, Scheme::Ed25519).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_outlives_its_leader_raft() {
    the_service_outlives_its_leader(ProtocolTag::RAFT, Scheme::None).await;
}

/// A crash of everybody at once loses nothing that was acknowledged.
async fn everything_acknowledged_is_on_disk(protocol: ProtocolTag) {
    let mut network = Network::start(PROGRAM, protocol, Scheme::Ed25519).await;
    let client = network.client(0).await;
    let (asset, me) = (network.consortium.asset(), client.key());
    let (transaction, first) =
        submit(client.clone(), Operation::Issue { asset, to: me, amount: 10_000 }).await;
    for replica in &mut network.replicas {
        replica.kill().unwrap();
    }
    client.close().await;
    for replica in &mut network.replicas {
        replica.restart().unwrap();
    }
    let client = network.client(0).await;
    let again = client.submit_transaction(transaction).await.expect("still provable");
    assert_eq!((&again.receipt, again.height()), (&first.receipt, first.height()));
    network.agree(&client).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_35_everything_acknowledged_is_on_disk_pbft() {
    everything_acknowledged_is_on_disk(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_35_everything_acknowledged_is_on_disk_hotstuff() {
    everything_acknowledged_is_on_disk(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_35_everything_acknowledged_is_on_disk_raft() {
    everything_acknowledged_is_on_disk(ProtocolTag::RAFT).await;
}
