//! Peers of the roster that misbehave once they are connected.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use crypto::ReplicaId;
use quinn::Connection;

use super::harness::*;
use crate::close::CloseCode;
use crate::{Class, FRAME_OVERHEAD};

/// Replica 1 with a hand-made connection of replica 0.
async fn node_and_peer() -> (Node, Raw, Connection, impl Sized) {
    let mut bound = bind_all(2, |_| {});
    let node = Node::start(bound.pop().unwrap(), 1);
    let raw = Raw::new();
    let (connection, send, recv) = raw.connect_peer(node.address(), hello(0), 1).await;
    until("connected", || node.connected(0)).await;
    (node, raw, connection, (send, recv))
}

#[tokio::test]
async fn threat_71_an_oversized_frame_ends_the_connection_by_name() {
    let (node, _raw, connection, _streams) = node_and_peer().await;
    let mut stream = connection.open_uni().await.unwrap();
    let limit = node.network.shared_limits().class(Class::Vote).frame_bytes;
    stream.write_all(&[Class::Vote.byte(), 3, 0, 0, 0, 7, 7, 7]).await.unwrap();
    stream.write_all(&u32::try_from(limit + 1).unwrap().to_le_bytes()).await.unwrap();
    let (code, reason) = closed_with(&connection).await;
    assert_eq!(code, CloseCode::FrameTooLong as u64);
    assert!(reason.contains("a vote frame of 1048577 bytes is announced, the limit is 1048576"), "{reason}");
    until("shown", || node.last_error(0).contains("a vote frame of 1048577 bytes")).await;
    assert_eq!(node.recorder.count(), 1, "the frame before it arrived");
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn unknown_second_and_ended_streams_end_the_connection() {
    let cases: [(&[&[u8]], bool, &str); 3] = [
        (&[&[9]], false, "a stream begins with 9, no class"),
        (&[&[1], &[1]], false, "a second vote stream"),
        (&[&[3, 1, 0]], true, "pool: the stream ended in the middle of a frame"),
    ];
    for (streams, finish, expected) in cases {
        let (node, _raw, connection, _streams) = node_and_peer().await;
        let mut open = Vec::new();
        for first in streams {
            let mut stream = connection.open_uni().await.unwrap();
            stream.write_all(first).await.unwrap();
            if finish {
                stream.finish().unwrap();
            }
            open.push(stream);
        }
        assert_eq!(closed_with(&connection).await, (CloseCode::BadStream as u64, expected.to_owned()));
        shutdown_all(vec![node]).await;
    }
}

#[tokio::test]
async fn a_fifth_stream_is_not_granted() {
    let (node, _raw, connection, _streams) = node_and_peer().await;
    let mut open = Vec::new();
    for _ in 0..Class::COUNT {
        open.push(within("a stream per class", connection.open_uni()).await.unwrap());
    }
    let fifth = connection.open_uni();
    let second_bidirectional = connection.open_bi();
    tokio::select! {
        biased;
        _ = fifth => panic!("a fifth unidirectional stream"),
        _ = second_bidirectional => panic!("a second bidirectional stream"),
        () = tokio::task::yield_now() => {}
    }
    shutdown_all(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_66_a_peer_that_does_not_read_stalls_nobody_else() {
    // Replica 1 dials nobody here: replica 0 is a raw connection that never reads its streams, replica 2 is honest.
    let mut bound = bind_all(3, |config| {
        let pool = config.limits.class_mut(Class::Pool);
        pool.queue_frames = 1000;
        pool.queue_bytes = 2 << 20;
        config.limits.stream_window_bytes = 256 << 10;
    });
    let honest = Node::start(bound.pop().unwrap(), 2);
    let node = Node::start(bound.pop().unwrap(), 1);
    let raw = Raw::new();
    let _slow = raw.connect_peer(node.address(), hello(0), 1).await;
    node.until_connected([0, 2]).await;
    let frame = Bytes::from(vec![5; 10_000]);
    const FRAMES: usize = 2000;
    let pool = |id: u16| node.network.peer(ReplicaId(id)).unwrap().classes[Class::Pool.index()];
    for i in 0..FRAMES {
        node.network.send(ReplicaId(0), Class::Pool, frame.clone());
        // The honest peer is fed at the pace it reads.
        until("the honest peer's queue has room", || pool(2).queued_bytes < 1 << 20).await;
        node.network.send(ReplicaId(2), Class::Pool, frame.clone());
        assert!(pool(0).queued_bytes <= 2 << 20, "bounded at frame {i}");
    }
    until("the honest peer has everything", || honest.recorder.count() == FRAMES).await;
    assert_eq!(pool(2).dropped_frames, 0);
    assert!(pool(0).dropped_frames > 0, "20 MB do not fit 2 MiB of queue and the QUIC window");
    // Raw's receive window is the default 4 MiB per stream; one batch is in hand.
    let in_flight = pool(0).sent_bytes as usize;
    assert!(in_flight <= (4 << 20) + (256 << 10), "{in_flight} bytes went to a peer that reads nothing");
    // Its votes still flow: the classes are apart.
    node.network.send(ReplicaId(0), Class::Vote, number(1));
    until("the vote left", || {
        node.network.peer(ReplicaId(0)).unwrap().classes[Class::Vote.index()].sent_frames == 1
    })
    .await;
    shutdown_all(vec![node, honest]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_65_a_handler_that_keeps_frames_stops_the_reading_of_that_class() {
    const BUDGET: usize = 100_000;
    const FRAMES: u32 = 1000;
    let nodes = cluster(2, |config| {
        let pool = config.limits.class_mut(Class::Pool);
        pool.frame_bytes = 10_000;
        pool.inbound_bytes = BUDGET;
        config.limits.stream_window_bytes = 64 << 10;
    })
    .await;
    let receiver = &nodes[1].recorder;
    receiver.hold.store(true, Ordering::SeqCst);
    for i in 0..FRAMES {
        let mut content = i.to_le_bytes().to_vec();
        content.resize(1000, 0);
        nodes[0].network.send(ReplicaId(1), Class::Pool, content.into());
    }
    let fitting = BUDGET / (1000 + FRAME_OVERHEAD);
    until("the budget is spent", || receiver.count() == fitting).await;
    // The flow stops: what was sent is what is held, what the reader has, and the stream's window.
    let pool = || nodes[0].network.peer(ReplicaId(1)).unwrap().classes[Class::Pool.index()];
    until("the sender's queue stands", || pool().queued_frames > 0).await;
    assert!(
        (pool().sent_bytes as usize) < BUDGET + (64 << 10) + (64 << 10) + (64 << 10),
        "{pool:?}",
        pool = pool()
    );
    // Votes pass meanwhile, and their frames count against another budget.
    nodes[0].network.send(ReplicaId(1), Class::Vote, number(1));
    until("the vote", || receiver.of(ReplicaId(0), Class::Vote).len() == 1).await;
    assert_eq!(receiver.of(ReplicaId(0), Class::Pool).len(), fitting);
    assert!(receiver.held_bytes() <= BUDGET);
    receiver.release();
    until("the rest", || receiver.of(ReplicaId(0), Class::Pool).len() == FRAMES as usize).await;
    assert_eq!(numbers(&receiver.of(ReplicaId(0), Class::Pool)), (0..FRAMES).collect::<Vec<_>>());
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn a_handler_that_panics_ends_one_connection() {
    struct Fragile(Recorder);
    impl crate::Handler for Fragile {
        fn frame(&self, from: ReplicaId, class: Class, frame: crate::Frame) {
            assert!(frame.bytes() != &number(666), "a handler's bug");
            self.0.frame(from, class, frame);
        }
        fn connected(&self, peer: ReplicaId) {
            self.0.connected(peer);
        }
        fn disconnected(&self, peer: ReplicaId) {
            self.0.disconnected(peer);
        }
        fn client_frame(&self, client: crate::ConnectionId, frame: crate::Frame) {
            self.0.client_frame(client, frame);
        }
        fn client_closed(&self, client: crate::ConnectionId) {
            self.0.client_closed(client);
        }
    }
    let mut bound = bind_all(2, |_| {});
    let fragile = std::sync::Arc::new(Fragile(Recorder::default()));
    let network = bound.pop().unwrap().start(fragile.clone(), &tokio::runtime::Handle::current()).unwrap();
    let node = Node::start(bound.pop().unwrap(), 0);
    node.until_connected([1]).await;
    node.network.send(ReplicaId(1), Class::Vote, number(666));
    until("the end is noticed", || node.last_error(1).contains("failed to handle a frame")).await;
    node.until_connected([1]).await;
    node.network.send(ReplicaId(1), Class::Vote, number(1));
    until("the next frame is handled", || fragile.0.count() == 1).await;
    shutdown_all(vec![node]).await;
    within("shutdown", network.shutdown()).await;
}
