//! Frames between honest replicas.

use bytes::Bytes;
use crypto::ReplicaId;

use super::harness::*;
use crate::{Admission, Class};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_each_class_arrive_in_order_both_ways() {
    let nodes = cluster(2, |_| {}).await;
    const FRAMES: u32 = 500;
    for i in 0..FRAMES {
        for class in [Class::Vote, Class::Pool] {
            assert_eq!(nodes[0].network.send(ReplicaId(1), class, number(i)), Admission::Queued);
            assert_eq!(nodes[1].network.send(ReplicaId(0), class, number(i)), Admission::Queued);
        }
        if i % 5 == 0 {
            nodes[0].network.send(ReplicaId(1), Class::Proposal, number(i / 5));
            nodes[1].network.send(ReplicaId(0), Class::Sync, number(i / 5));
        }
    }
    let total = (2 * FRAMES + FRAMES / 5) as usize;
    until("all frames", || nodes.iter().all(|node| node.recorder.count() == total)).await;
    for (node, other) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        for class in Class::ALL {
            let received = numbers(&node.recorder.of(other.id, class));
            assert_eq!(received, (0..received.len() as u32).collect::<Vec<_>>(), "{class} at {}", node.id);
        }
        let status = node.network.peer(other.id).unwrap();
        let pool = status.classes[Class::Pool.index()];
        assert!(status.connected && status.rtt.is_some());
        assert_eq!((pool.received_frames, pool.received_bytes), (500, 2000));
        assert_eq!(pool.dropped_frames, 0);
        assert_eq!(*node.recorder.events.lock(), [Event::Connected(other.id)]);
    }
    until("sent is counted", || {
        nodes[0].network.peer(ReplicaId(1)).unwrap().classes[Class::Pool.index()].sent_frames == 500
    })
    .await;
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn four_replicas_reach_each_other() {
    let nodes = cluster(4, |_| {}).await;
    for node in &nodes {
        for peer in node.network.peers() {
            node.network.send(peer.id, Class::Vote, number(u32::from(node.id.0)));
        }
    }
    until("a vote from everybody to everybody", || nodes.iter().all(|node| node.recorder.count() == 3)).await;
    for node in &nodes {
        for (from, _, bytes) in node.recorder.frames.lock().iter() {
            assert_eq!(*bytes, number(u32::from(from.0)), "the sender is who the network says");
        }
    }
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn large_frames_arrive_whole_and_do_not_hold_up_votes() {
    let nodes = cluster(2, |_| {}).await;
    let limit = nodes[0].network.shared_limits().class(Class::Sync).frame_bytes;
    let large: Bytes = (0..limit).map(|i| (i % 253) as u8).collect::<Vec<u8>>().into();
    nodes[0].network.send(ReplicaId(1), Class::Sync, large.clone());
    nodes[0].network.send(ReplicaId(1), Class::Proposal, large.slice(..3 << 20));
    nodes[0].network.send(ReplicaId(1), Class::Vote, number(1));
    until("three frames", || nodes[1].recorder.count() == 3).await;
    assert_eq!(nodes[1].recorder.frames.lock()[0].1, Class::Vote, "the vote overtakes");
    assert!(nodes[1].recorder.of(ReplicaId(0), Class::Sync)[0] == large);
    assert!(nodes[1].recorder.of(ReplicaId(0), Class::Proposal)[0] == large[..3 << 20]);
    let too_long = Bytes::from(vec![0; limit + 1]);
    assert_eq!(nodes[0].network.send(ReplicaId(1), Class::Sync, too_long), Admission::TooLong);
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn votes_wait_for_the_connection_and_pool_frames_do_not() {
    let mut bound = bind_all(2, |_| {});
    let later = bound.pop().unwrap();
    let first = Node::start(bound.pop().unwrap(), 0);
    assert_eq!(first.network.send(ReplicaId(1), Class::Vote, number(1)), Admission::Queued);
    assert_eq!(first.network.send(ReplicaId(1), Class::Pool, number(2)), Admission::NotConnected);
    assert_eq!(first.network.send(ReplicaId(0), Class::Vote, number(3)), Admission::Unknown);
    assert_eq!(first.network.send(ReplicaId(9), Class::Vote, number(3)), Admission::Unknown);
    assert_eq!(first.network.stats().unroutable_frames, 2);
    let second = Node::start(later, 1);
    until("the vote", || second.recorder.count() == 1).await;
    assert_eq!(second.recorder.of(ReplicaId(0), Class::Vote), [number(1)]);
    shutdown_all(vec![first, second]).await;
}

#[tokio::test]
async fn names_are_resolved() {
    let mut bound = bind_all(2, |_| {});
    let names =
        bound.iter().map(|bound| format!("localhost:{}", bound.local_address().port())).collect::<Vec<_>>();
    let roster = roster((0..2).zip(names));
    bound.iter_mut().for_each(|bound| bound.config_mut().roster = roster.clone());
    let nodes: Vec<Node> = bound.into_iter().zip(0..).map(|(bound, id)| Node::start(bound, id)).collect();
    nodes[0].until_connected([1]).await;
    shutdown_all(nodes).await;
}
