//! Floods from outside: garbage, half-open handshakes, spoofed sources.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::harness::*;
use crate::tls::{ALPN_CLIENT, SERVER_NAME, Tls};
use crate::{ClientConnection, ClientOptions, quic};

/// A small generator for test data (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// The first datagram of a genuine handshake.
async fn genuine_initial() -> Vec<u8> {
    let trap = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let raw = Raw::new();
    let tls = Tls::new(&secret(5)).unwrap().client(identity(1), ALPN_CLIENT).unwrap();
    let config = quic::client_config(tls, &Default::default(), &crate::Limits::default().clients);
    let _connecting = raw.endpoint.connect_with(config, trap.local_addr().unwrap(), SERVER_NAME).unwrap();
    let mut datagram = vec![0; 65_536];
    let (length, _) = within("an initial packet", trap.recv_from(&mut datagram)).await.unwrap();
    datagram.truncate(length);
    datagram
}

#[tokio::test]
async fn threat_59_garbage_does_not_hurt() {
    let nodes = start_all(2, |_| {});
    let target = nodes[1].address();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let initial = genuine_initial().await;
    for round in 0..3000 {
        let mut datagram = if round % 2 == 0 {
            let length = random.next() as usize % 1500;
            random.bytes(length)
        } else {
            // A genuine first packet with a few bytes changed, or cut short.
            let mut mutated = initial.clone();
            for _ in 0..1 + random.next() % 4 {
                let at = random.next() as usize % mutated.len();
                mutated[at] = random.next() as u8;
            }
            if random.next().is_multiple_of(4) {
                mutated.truncate(1 + random.next() as usize % mutated.len());
            }
            mutated
        };
        if round % 6 == 0 && datagram.len() > 5 {
            // A long header of QUIC version 1.
            datagram[0] |= 0xc0;
            datagram[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        // A full socket buffer is no reason to stop.
        let _ = socket.send_to(&datagram, target).await;
    }
    nodes[0].until_connected([1]).await;
    nodes[1].until_connected([0]).await;
    let address = target.to_string();
    let client = ClientConnection::connect(&address, identity(1), ClientOptions::default());
    within("a client", client).await.unwrap();
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn threat_64_half_open_handshakes_are_bounded_and_do_not_keep_peers_out() {
    let nodes = cluster(2, |config| {
        config.limits.handshakes.retry_above = 4;
        config.limits.handshakes.timeout = Duration::from_secs(2);
    })
    .await;
    // Many sources that send first packets and receive nothing, as spoofed ones do.
    let wire = Wire::to(nodes[1].address()).await;
    wire.to_dialler.store(false, Ordering::SeqCst);
    let raw = Raw::new();
    let tls = Tls::new(&secret(5)).unwrap().client(identity(1), ALPN_CLIENT).unwrap();
    let config = quic::client_config(tls, &Default::default(), &crate::Limits::default().clients);
    let flood: Vec<_> = (0..200)
        .map(|_| raw.endpoint.connect_with(config.clone(), wire.address, SERVER_NAME).unwrap())
        .collect();
    until("retry tokens are demanded", || nodes[1].network.stats().handshakes_retried >= 190).await;
    let stats = nodes[1].network.stats();
    assert_eq!(stats.handshakes_open, 4, "no more than may be open without a token: {stats:?}");
    assert!(nodes[0].connected(1) && nodes[1].connected(0), "who is connected stays");

    // Who can receive still gets in, by way of a token.
    let address = nodes[1].address().to_string();
    let client = ClientConnection::connect(&address, identity(1), ClientOptions::default());
    within("a client under load", client).await.unwrap();

    // The half-open ones end by themselves.
    drop(flood);
    drop(wire);
    until("all are given up", || nodes[1].network.stats().handshakes_open == 0).await;
    assert!(nodes[1].network.stats().handshakes_failed >= 4);
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn threat_64_every_connection_works_by_way_of_a_token() {
    let nodes = cluster(2, |config| config.limits.handshakes.retry_above = 0).await;
    let address = nodes[1].address().to_string();
    let client = ClientConnection::connect(&address, identity(1), ClientOptions::default());
    let client = within("a client", client).await.unwrap();
    let stats = nodes[1].network.stats();
    assert!(stats.handshakes_retried >= 2, "{stats:?}");
    assert_eq!(stats.handshakes_refused, 0, "{stats:?}");
    within("closing", client.close()).await;
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn threat_64_a_silent_connection_is_closed() {
    let nodes = cluster(2, |config| config.limits.handshakes.timeout = Duration::from_millis(200)).await;
    // The TLS handshake is complete, but no hello comes.
    let raw = Raw::new();
    let connection = raw.connect(nodes[1].address(), &secret(5), 1, ALPN_CLIENT).await.unwrap();
    let (_, reason) = closed_with(&connection).await;
    assert_eq!(reason, "the hello took too long");
    until("its place is free", || nodes[1].network.stats().handshakes_open == 0).await;
    assert_eq!(nodes[1].network.stats().clients, 0);
    shutdown_all(nodes).await;
}
