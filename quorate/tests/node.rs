//! Four replicas in one process, over real sockets and disks.

use app_examples::ledger::{Ledger, Operation};
use bft_core::codec;
use bft_core::genesis::{Application, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::genesis_state;
use bft_core::request::{Answer, Call, Reply, Request};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use crypto::{ClientSecret, Digest, FaultModel, IdentitySecret, KeyFile, ProtocolTag, Scheme, keystore};
use net::{ClientConnection, ClientOptions};
use quorate::home::{Home, ReplicaConfig, write_genesis};
use quorate::node::{Node, start};
use std::net::UdpSocket;

fn consortium(dir: &std::path::Path, client: &ClientSecret) -> (Genesis, Vec<Home>) {
    let identities: Vec<IdentitySecret> = (0..4).map(|i| IdentitySecret::from_seed([i + 1; 32])).collect();
    let sockets: Vec<UdpSocket> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut genesis = Genesis {
        version: codec::VERSION,
        network: "test".into(),
        time: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        scheme: Scheme::Ed25519,
        limits: Limits::default(),
        application: Application {
            name: "ledger".into(),
            config: "[[asset]]\ncode = \"EUR\"\nissuer = \"bank-0\"\n".into(),
        },
        state_root: Digest::ZERO,
        replicas: (0..4)
            .map(|i| ReplicaInfo {
                organisation: format!("bank-{i}"),
                identity: identities[i].public(),
                address: sockets[i].local_addr().unwrap().to_string(),
            })
            .collect(),
        organisations: (0..4_u8)
            .map(|i| Organisation {
                name: format!("bank-{i}"),
                operator: ClientSecret::from_seed([100 + i; 32]).public(),
                clients: if i == 0 { vec![client.public()] } else { vec![] },
            })
            .collect(),
        threshold: None,
    };
    genesis.state_root = genesis_state(&Ledger, &genesis).unwrap().1;
    let mut homes = Vec::new();
    for (index, identity) in identities.into_iter().enumerate() {
        let home = Home::new(dir.join(format!("replica-{index}")));
        std::fs::create_dir_all(home.path()).unwrap();
        keystore::write_new(&home.identity_key(), &KeyFile::Identity(identity)).unwrap();
        write_genesis(&home.genesis(), &genesis).unwrap();
        let mut config = ReplicaConfig::new(index as u16);
        config.segment_bytes = 8 << 20;
        config.write(&home.config()).unwrap();
        storage::DataDir::init(home.path(), genesis.chain().0, index as u32).unwrap();
        homes.push(home);
    }
    (genesis, homes)
}

async fn submit(
    connection: &ClientConnection,
    genesis: &Genesis,
    client: &ClientSecret,
    sequence: u64,
) -> Answer {
    let operation = Operation::Issue { asset: "EUR".parse().unwrap(), to: client.public(), amount: sequence };
    let transaction =
        Transaction::sign(client, &genesis.chain(), Kind::Application, sequence, operation.encode());
    let payload = Payload::of(vec![Item::new(&genesis.chain(), transaction)]);
    let request = Request { id: sequence, call: Call::Submit(payload) };
    connection.send(codec::encode(&request).into()).await.unwrap();
    let reply: Reply = codec::decode(&connection.recv().await.unwrap(), 1 << 20).unwrap();
    assert_eq!(reply.id, sequence);
    reply.answer
}

#[test]
fn a_transaction_comes_back_as_a_receipt_that_the_genesis_proves_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let client = ClientSecret::from_seed([77; 32]);
    let (genesis, homes) = consortium(dir.path(), &client);
    let trust = genesis.trust().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for life in 0..2_u64 {
        let nodes: Vec<Node> = homes.iter().map(|home| start(Ledger, home).unwrap()).collect();
        runtime.block_on(async {
            let info = &genesis.replicas[1];
            let connection =
                ClientConnection::connect(&info.address, info.identity, ClientOptions::default())
                    .await
                    .unwrap();
            for sequence in 1 + 3 * life..=3 + 3 * life {
                let Answer::Receipt(receipt) = submit(&connection, &genesis, &client, sequence).await else {
                    panic!("no receipt for {sequence}")
                };
                receipt.verify(&trust).unwrap();
                assert_eq!(receipt.receipt.code, 0);
            }
            // What executed in an earlier life is answered from what was kept, and not executed again.
            let Answer::Receipt(again) = submit(&connection, &genesis, &client, 1).await else {
                panic!("no receipt for the first transaction")
            };
            again.verify(&trust).unwrap();
            connection.close().await;
        });
        for node in nodes {
            node.stop().unwrap();
        }
    }
}
