//! Clients: served, bounded, refused.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::harness::*;
use crate::{Admission, ClientConnection, ClientOptions, NetConfig, NetError};

async fn serving(adjust: impl Fn(&mut NetConfig)) -> Node {
    Node::start(bind_all(2, adjust).pop().unwrap(), 1)
}

async fn connect(node: &Node) -> Result<ClientConnection, NetError> {
    let address = node.address().to_string();
    within("connecting", ClientConnection::connect(&address, identity(1), ClientOptions::default())).await
}

#[tokio::test]
async fn a_client_asks_and_is_answered_in_order() {
    let node = serving(|_| {}).await;
    let client = connect(&node).await.unwrap();
    assert_eq!(node.network.stats().clients, 1);
    for i in 0..100 {
        client.send(number(i)).await.unwrap();
    }
    until("all questions", || node.recorder.client_frames.lock().len() == 100).await;
    let questions = node.recorder.client_frames.lock().clone();
    for (id, question) in &questions {
        let answer = [&question[..], b" answered"].concat();
        assert_eq!(node.network.respond(*id, answer.into()), Admission::Queued);
    }
    for i in 0..100u32 {
        let answer = within("an answer", client.recv()).await.unwrap();
        assert_eq!(answer, [&i.to_le_bytes()[..], b" answered"].concat());
    }
    let large = Bytes::from(vec![3; 512 << 10]);
    client.send(large.clone()).await.unwrap();
    until("the large question", || node.recorder.client_frames.lock().len() == 101).await;
    assert!(node.recorder.client_frames.lock()[100].1 == large);

    let id = questions[0].0;
    within("closing", client.close()).await;
    until("gone", || node.recorder.events.lock().contains(&Event::ClientClosed(id))).await;
    assert_eq!(node.network.respond(id, number(0)), Admission::Unknown);
    assert_eq!(node.network.stats().clients, 0);
    assert_eq!(node.network.stats().client_dropped_frames, 1);
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn a_client_pins_the_replica_and_learns_of_its_end() {
    let node = serving(|_| {}).await;
    let address = node.address().to_string();
    let wrong = ClientConnection::connect(&address, identity(0), ClientOptions::default());
    let error = within("connecting", wrong).await.err().unwrap().to_string();
    assert!(error.contains("has the key") && error.contains(&address), "{error}");

    let client = connect(&node).await.unwrap();
    within("shutdown", node.network.shutdown()).await;
    let error = within("the end", client.recv()).await.unwrap_err().to_string();
    assert!(error.contains("the replica shuts down"), "{error}");
    assert!(client.send(number(1)).await.is_err());
}

#[tokio::test]
async fn one_client_too_many_is_refused_and_told_why() {
    let node = serving(|config| config.limits.clients.connections = 2).await;
    let first = connect(&node).await.unwrap();
    let _second = connect(&node).await.unwrap();
    let error = connect(&node).await.err().unwrap().to_string();
    assert!(error.contains("refused by peer: all 2 client connections are taken"), "{error}");
    within("closing", first.close()).await;
    until("a place is free", || node.network.stats().clients == 1).await;
    connect(&node).await.unwrap();
    shutdown_all(vec![node]).await;

    let node = serving(|config| config.limits.clients.connections_per_ip = 1).await;
    let _first = connect(&node).await.unwrap();
    let error = connect(&node).await.err().unwrap().to_string();
    assert!(error.contains("refused by peer: 1 clients of 127.0.0.1 are connected"), "{error}");
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn threat_65_a_client_that_floods_is_read_no_further_than_its_budget() {
    let node = serving(|config| {
        config.limits.clients.frame_bytes = 10_000;
        config.limits.clients.inbound_bytes = 50_000;
        config.limits.clients.window_bytes = 64 << 10;
    })
    .await;
    node.recorder.hold.store(true, Ordering::SeqCst);
    let flooder = connect(&node).await.unwrap();
    let frame = Bytes::from(vec![1; 10_000]);
    let mut accepted = 0;
    // 50 kB held, 64 KiB in the window, and the client's own queue of 2 MiB; then its sending waits.
    while tokio::time::timeout(std::time::Duration::from_millis(300), flooder.send(frame.clone()))
        .await
        .is_ok()
    {
        accepted += 1;
        assert!(accepted < 400, "the flood is not stopped");
    }
    assert_eq!(node.recorder.client_frames.lock().len(), 50_000 / 10_064);
    // Another client is served meanwhile.
    let polite = connect(&node).await.unwrap();
    polite.send(number(1)).await.unwrap();
    until("the polite client", || {
        node.recorder.client_frames.lock().iter().any(|(_, bytes)| *bytes == number(1))
    })
    .await;
    node.recorder.release();
    until("the flood drains", || node.recorder.client_frames.lock().len() > accepted).await;
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn threat_71_an_oversized_client_frame_ends_the_connection() {
    let node = serving(|config| config.limits.clients.frame_bytes = 1000).await;
    let client = connect(&node).await.unwrap();
    let limit = ClientOptions::default().limits.frame_bytes;
    let refused = client.send(Bytes::from(vec![0; limit + 1])).await.unwrap_err();
    assert!(matches!(refused, NetError::FrameTooLong { .. }), "{refused}");
    client.send(Bytes::from(vec![0; 1001])).await.unwrap();
    let error = within("the end", client.recv()).await.unwrap_err().to_string();
    assert!(
        error.contains("a frame of 1001 bytes is announced, the limit is 1000; send smaller frames"),
        "{error}"
    );
    assert!(node.recorder.client_frames.lock().is_empty());
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn threat_66_answers_to_a_client_that_does_not_read_are_dropped() {
    let node = serving(|config| {
        config.limits.clients.queue_frames = 10;
        config.limits.clients.window_bytes = 64 << 10;
    })
    .await;
    let mut options = ClientOptions::default();
    options.limits.window_bytes = 64 << 10;
    let address = node.address().to_string();
    let client = ClientConnection::connect(&address, identity(1), options).await.unwrap();
    client.send(number(0)).await.unwrap();
    until("the question", || node.recorder.client_frames.lock().len() == 1).await;
    let id = node.recorder.client_frames.lock()[0].0;
    let answer = Bytes::from(vec![0; 50_000]);
    until("the queue is full", || node.network.respond(id, answer.clone()) == Admission::QueueFull).await;
    let stats = node.network.stats();
    assert!(stats.client_dropped_frames > 0);
    assert!(stats.client_sent_bytes < 1 << 20, "no more than the windows");
    // What was queued arrives once the client reads.
    assert_eq!(within("an answer", client.recv()).await.unwrap().len(), 50_000);
    shutdown_all(vec![node]).await;
}
