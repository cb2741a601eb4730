//! Who may connect, and what the others are told.

use std::sync::Arc;

use crypto::{Digest, FaultModel, ProtocolTag, ReplicaId};
use parking_lot::Mutex;
use quinn::ConnectionError;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use super::harness::*;
use crate::close::CloseCode;
use crate::tls::{ALPN_CLIENT, ALPN_PEER, SERVER_NAME, Tls};
use crate::{Hello, Limits, NetConfig, Network, TransportOptions, quic};

/// Starts two replicas, the second with another hello, and returns what each shows as the other's last error.
async fn disagree(change: impl Fn(&mut Hello)) -> (String, String) {
    let nodes = start_all(2, |config| {
        if config.me == ReplicaId(1) {
            change(&mut config.hello);
        }
    });
    let told = |text: String| text.contains("theirs");
    until("both know", || told(nodes[0].last_error(1)) && told(nodes[1].last_error(0))).await;
    assert!(nodes.iter().all(|node| node.recorder.events.lock().is_empty()), "never connected");
    let errors = (nodes[0].last_error(1), nodes[1].last_error(0));
    shutdown_all(nodes).await;
    errors
}

#[tokio::test]
async fn threat_44_a_different_hello_is_refused_and_both_ends_name_both_values() {
    type Case = (fn(&mut Hello), &'static str, &'static str, &'static str);
    let cases: [Case; 5] = [
        (|hello| hello.version = 2, "version", "2", "1"),
        (|hello| hello.chain = Digest([0xcd; 32]), "chain", "cdcdcdcd", "abababab"),
        (|hello| hello.epoch = 4, "epoch", "4", "3"),
        (|hello| hello.protocol = ProtocolTag::RAFT, "protocol", "raft", "pbft"),
        (|hello| hello.fault_model = FaultModel::Crash, "fault model", "crash", "byzantine"),
    ];
    for (change, field, of_second, of_first) in cases {
        let (at_first, at_second) = disagree(change).await;
        assert!(at_first.starts_with(&format!("refused by peer: {field}: theirs {of_second}")), "{at_first}");
        assert!(at_first.contains(&format!("ours {of_first}")), "{at_first}");
        assert!(at_second.starts_with(&format!("closed by us: {field}: theirs {of_first}")), "{at_second}");
        assert!(at_second.contains(&format!("ours {of_second}")), "{at_second}");
    }
}

#[tokio::test]
async fn a_tolerated_epoch_connects() {
    let nodes = cluster(2, |config| {
        config.epoch_tolerance = 1;
        config.hello.epoch += u64::from(config.me.0);
    })
    .await;
    shutdown_all(nodes).await;
}

async fn one_of(n: u16, id: usize) -> Node {
    let mut bound = bind_all(n, |_| {});
    Node::start(bound.swap_remove(id), id as u16)
}

#[tokio::test]
async fn a_foreign_key_is_refused() {
    let node = one_of(3, 1).await;
    let connection = Raw::new().connect(node.address(), &secret(77), 1, ALPN_PEER).await.unwrap();
    let (code, reason) = closed_with(&connection).await;
    assert_eq!(code, CloseCode::Stranger as u64);
    assert!(
        reason.contains(&identity(77).to_string()) && reason.contains("not in the roster of r1"),
        "{reason}"
    );
    until("counted", || node.network.stats().handshakes_failed == 1).await;
    assert!(node.network.stats().last_refusal.unwrap().contains(&identity(77).to_string()));
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn threat_67_a_key_cannot_speak_for_another_replica() {
    let node = one_of(3, 2).await;
    let raw = Raw::new();
    let connection = raw.connect(node.address(), &secret(0), 2, ALPN_PEER).await.unwrap();
    let _streams = greet(&connection, hello(1)).await;
    let (code, reason) = closed_with(&connection).await;
    assert_eq!(code, CloseCode::WrongReplica as u64);
    assert_eq!(reason, "the hello says r1, but the key is that of r0");
    until("shown at the key's owner", || node.last_error(0).contains(&reason)).await;
    assert_eq!(node.last_error(1), "");
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn threat_69_a_replica_does_not_connect_to_itself() {
    let node = one_of(2, 1).await;
    let connection = Raw::new().connect(node.address(), &secret(1), 1, ALPN_PEER).await.unwrap();
    let (code, reason) = closed_with(&connection).await;
    assert_eq!(code, CloseCode::Oneself as u64);
    assert!(reason.contains("is that of r1 itself"), "{reason}");
    shutdown_all(vec![node]).await;

    // A roster that leads replica 0 back to itself.
    let mut bound = bind_all(2, |_| {}).swap_remove(0);
    let own = bound.local_address().to_string();
    bound.config_mut().roster = roster([(0, own.clone()), (1, own)]);
    let node = Node::start(bound, 0);
    until("the wrong key is noticed", || node.last_error(1).contains("has the key")).await;
    assert!(node.recorder.events.lock().is_empty());
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn the_dialler_pins_the_identity_it_expects() {
    let mut bound = bind_all(3, |_| {});
    let addresses: Vec<String> = bound.iter().map(|bound| bound.local_address().to_string()).collect();
    // Where replica 0 looks for replica 1, replica 2 listens.
    bound[0].config_mut().roster =
        roster([(0, addresses[0].clone()), (1, addresses[2].clone()), (2, addresses[2].clone())]);
    let third = Node::start(bound.pop().unwrap(), 2);
    let first = Node::start(bound.swap_remove(0), 0);
    first.until_connected([2]).await;
    until("the wrong key is noticed", || first.last_error(1).contains("has the key")).await;
    let error = first.last_error(1);
    assert!(error.contains(&identity(1).to_string()) && error.contains(&identity(2).to_string()), "{error}");
    assert!(!first.connected(1));
    shutdown_all(vec![first, third]).await;
}

#[tokio::test]
async fn the_higher_id_does_not_dial() {
    let node = one_of(3, 1).await;
    let raw = Raw::new();
    let connection = raw.connect(node.address(), &secret(2), 1, ALPN_PEER).await.unwrap();
    let _streams = greet(&connection, hello(2)).await;
    let (code, reason) = closed_with(&connection).await;
    assert_eq!(code, CloseCode::WrongDirection as u64);
    assert!(reason.contains("the lower id dials"), "{reason}");
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn the_client_protocol_does_not_reach_peer_streams_nor_the_peer_protocol_clients() {
    let node = one_of(2, 1).await;
    let raw = Raw::new();

    // A peer's key on the client protocol: a peer's hello is no client's, and there is no stream for a class.
    let connection = raw.connect(node.address(), &secret(0), 1, ALPN_CLIENT).await.unwrap();
    let mut opening = Box::pin(connection.open_uni());
    let early = tokio::select! {
        biased;
        _ = &mut opening => true,
        () = tokio::task::yield_now() => false,
    };
    assert!(!early, "no unidirectional stream for clients");
    let _streams = greet(&connection, hello(0)).await;
    let (code, reason) = closed_with(&connection).await;
    assert_eq!(code, CloseCode::Mismatch as u64);
    assert!(reason.contains("transport version"), "{reason}");

    // A client's opening on the peer protocol.
    let connection = raw.connect(node.address(), &secret(0), 1, ALPN_PEER).await.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[1, 0, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(closed_with(&connection).await.0, CloseCode::BadHello as u64);

    // A stranger's protocol.
    let error = raw.connect(node.address(), &secret(0), 1, b"h3").await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");

    assert_eq!(node.recorder.count(), 0);
    assert!(node.recorder.client_frames.lock().is_empty());
    assert!(node.recorder.events.lock().is_empty());
    shutdown_all(vec![node]).await;
}

/// Remembers whether the server ever offered to resume.
#[derive(Debug, Default)]
struct Tickets(Mutex<usize>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {
        *self.0.lock() += 1;
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        *self.0.lock() += 1;
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

#[tokio::test]
async fn threat_68_no_session_is_resumed_and_no_early_data_accepted() {
    let node = one_of(2, 1).await;
    let raw = Raw::new();
    let tickets = Arc::new(Tickets::default());
    let mut config = Tls::new(&secret(0)).unwrap().client_settings(identity(1), ALPN_PEER).unwrap();
    config.resumption = Resumption::store(tickets.clone());
    config.enable_early_data = true;
    let tls = QuicClientConfig::try_from(config).unwrap();
    let config = quic::peer_config(tls, &TransportOptions::default(), &Limits::default());
    for _ in 0..2 {
        let connecting = raw.endpoint.connect_with(config.clone(), node.address(), SERVER_NAME).unwrap();
        let connection = match connecting.into_0rtt() {
            Ok(_) => panic!("early data was possible"),
            Err(connecting) => within("a connection", connecting).await.unwrap(),
        };
        // Once the hello is answered, tickets would have arrived as well.
        let _streams = greet(&connection, hello(0)).await;
    }
    assert_eq!(*tickets.0.lock(), 0);
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn a_configuration_that_contradicts_itself_is_refused_with_the_remedy() {
    let refused = |config: NetConfig| Network::bind(config).unwrap_err().to_string();
    let error = refused(NetConfig { me: ReplicaId(7), ..config(0, 2) });
    assert!(error.contains("the roster has no r7"), "{error}");
    let error = refused(NetConfig { secret: secret(1), ..config(0, 2) });
    assert!(error.contains("use the key file of r0"), "{error}");
    let error = refused(NetConfig { hello: hello(1), ..config(0, 2) });
    assert!(error.contains("its hello says r1"), "{error}");
    let mut mtu = config(0, 2);
    mtu.transport.mtu_upper_bound = 100;
    assert!(refused(mtu).contains("mtu_upper_bound must be"));
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_address_and_remedy() {
    let first = Network::bind(config(0, 2)).unwrap();
    let address = first.local_address();
    let error = Network::bind(NetConfig { listen: address, ..config(0, 2) }).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on UDP {address}: the port is taken")), "{error}");
    assert!(error.contains("configure another port"), "{error}");
    let nowhere = NetConfig { listen: "192.0.2.1:7000".parse().unwrap(), ..config(0, 2) };
    let error = Network::bind(nowhere).unwrap_err().to_string();
    assert!(error.contains("listen on 0.0.0.0:7000 or [::]:7000"), "{error}");
}
