//! Connections that end, and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crypto::ReplicaId;

use super::harness::*;
use crate::close::CloseCode;
use crate::tls::ALPN_PEER;
use crate::{Bound, Class, Hello, Member, NetConfig, NetError, Network, Roster};

/// Binds a port that was in use a moment ago.
async fn rebind(config: impl Fn() -> NetConfig) -> Bound {
    let bind = async {
        loop {
            match Network::bind(config()) {
                Ok(bound) => return bound,
                Err(NetError::PortTaken { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    within("the port is free again", bind).await
}

fn config_at(id: u16, addresses: &[SocketAddr]) -> NetConfig {
    let mut config = config(id, 2);
    config.listen = addresses[usize::from(id)];
    config.roster = roster((0..2).zip(addresses.iter().map(SocketAddr::to_string)));
    config
}

#[tokio::test]
async fn a_replica_that_restarts_is_connected_again_whichever_end_dials() {
    let mut nodes = cluster(2, |_| {}).await;
    let addresses: Vec<SocketAddr> = nodes.iter().map(Node::address).collect();
    for restarted in [1, 0] {
        let other = 1 - restarted;
        let node = nodes.remove(restarted);
        let id = node.id.0;
        within("shutdown", node.network.shutdown()).await;
        until("the end is noticed", || !nodes[0].connected(id)).await;
        // The end that dials has perhaps failed to connect since, and shows that.
        if id < nodes[0].id.0 {
            assert!(
                nodes[0].last_error(id).contains("the replica shuts down"),
                "{}",
                nodes[0].last_error(id)
            );
        }
        let bound = rebind(|| config_at(id, &addresses)).await;
        nodes.insert(restarted, Node::start(bound, id));
        nodes[other].until_connected([id]).await;
        nodes[restarted].until_connected([other as u16]).await;
        nodes[other].network.send(ReplicaId(id), Class::Vote, number(7));
        until("a vote after the restart", || nodes[restarted].recorder.count() == 1).await;
    }
    let events = nodes[1].recorder.events.lock().clone();
    assert_eq!(
        events,
        [Event::Connected(ReplicaId(0)), Event::Disconnected(ReplicaId(0)), Event::Connected(ReplicaId(0))]
    );
    shutdown_all(nodes).await;
}

#[test]
fn a_killed_replica_resets_its_former_connections_when_it_is_back() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (survivor, victim) = (runtime(), runtime());
    let mut bound = bind_all(2, |_| {});
    let addresses: Vec<SocketAddr> = bound.iter().map(Bound::local_address).collect();
    let killed = bound.pop().unwrap().start(Arc::new(Recorder::default()), victim.handle()).unwrap();
    let first = survivor.block_on(async {
        let first = Node::start(bound.pop().unwrap(), 0);
        first.until_connected([1]).await;
        first
    });
    // The process dies: first what could send a close, then the socket.
    victim.shutdown_timeout(Duration::from_secs(1));
    drop(killed);
    survivor.block_on(async {
        let died = Instant::now();
        let second = Node::start(rebind(|| config_at(1, &addresses)).await, 1);
        until("the reset", || first.last_error(1).contains("reset by peer")).await;
        first.until_connected([1]).await;
        assert!(died.elapsed() < Duration::from_secs(4), "sooner than the idle timeout of 5 s");
        shutdown_all(vec![first, second]).await;
    });
}

#[tokio::test]
async fn threat_70_a_one_way_partition_is_noticed_and_healed() {
    let mut bound = bind_all(2, |config| {
        config.transport.keep_alive = Duration::from_millis(50);
        config.transport.idle_timeout = Duration::from_millis(300);
        config.transport.dial_timeout = Duration::from_millis(300);
    });
    let wire = Wire::to(bound[1].local_address()).await;
    let addresses = [bound[0].local_address().to_string(), wire.address.to_string()];
    bound.iter_mut().for_each(|bound| bound.config_mut().roster = roster((0..2).zip(addresses.clone())));
    let nodes: Vec<Node> = bound.into_iter().zip(0..).map(|(bound, id)| Node::start(bound, id)).collect();
    for cut in [&wire.to_target, &wire.to_dialler] {
        nodes[0].until_connected([1]).await;
        nodes[1].until_connected([0]).await;
        cut.store(false, Ordering::SeqCst);
        until("both ends give up", || !nodes[0].connected(1) && !nodes[1].connected(0)).await;
        until("the reason is told", || nodes[0].last_error(1).contains("no answer within")).await;
        cut.store(true, Ordering::SeqCst);
    }
    nodes[0].until_connected([1]).await;
    nodes[1].until_connected([0]).await;
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn a_newer_connection_of_the_same_peer_replaces_the_older() {
    let mut bound = bind_all(2, |_| {});
    let node = Node::start(bound.pop().unwrap(), 1);
    let raw = Raw::new();
    let (first, ..) = raw.connect_peer(node.address(), hello(0), 1).await;
    until("the first connection", || node.connected(0)).await;
    let (second, ..) = raw.connect_peer(node.address(), hello(0), 1).await;
    let (code, reason) = closed_with(&first).await;
    assert_eq!((code, reason.as_str()), (CloseCode::Replaced as u64, "a newer connection took over"));
    until("three events", || node.recorder.events.lock().len() == 3).await;
    let id = ReplicaId(0);
    assert_eq!(
        *node.recorder.events.lock(),
        [Event::Connected(id), Event::Disconnected(id), Event::Connected(id)]
    );
    assert!(second.close_reason().is_none());
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn a_replica_that_leaves_the_roster_is_disconnected_and_may_return() {
    let nodes = cluster(3, |_| {}).await;
    let addresses = || nodes.iter().map(|node| (node.id.0, node.address().to_string()));
    let without_2 = roster(addresses().filter(|(id, _)| *id != 2));
    for node in &nodes[..2] {
        node.network.set_roster(&without_2, hello(node.id.0)).unwrap();
        assert!(node.network.peer(ReplicaId(2)).is_none());
    }
    until("replica 2 is alone", || !nodes[2].connected(0) && !nodes[2].connected(1)).await;
    let told = nodes[2].last_error(0);
    assert_eq!(told, "closed by peer: r2 is no longer in the roster");
    assert!(nodes[0].connected(1), "the others stay");

    let error = nodes[2].network.set_roster(&without_2, hello(2)).unwrap_err().to_string();
    assert!(error.contains("the roster has no r2"), "{error}");

    for node in &nodes[..2] {
        node.network.set_roster(&roster(addresses()), hello(node.id.0)).unwrap();
    }
    nodes[2].until_connected([0, 1]).await;
    shutdown_all(nodes).await;
}

#[tokio::test]
async fn a_replica_whose_key_changes_is_disconnected_and_comes_back_with_the_new_one() {
    let node = Node::start(bind_all(2, |_| {}).pop().unwrap(), 1);
    let raw = Raw::new();
    let (former, ..) = raw.connect_peer(node.address(), hello(0), 1).await;
    until("connected", || node.connected(0)).await;

    let member = |identity| Member { identity, address: "127.0.0.1:9".into() };
    let members = [(ReplicaId(0), member(identity(50))), (ReplicaId(1), member(identity(1)))];
    node.network.set_roster(&Roster::new(members).unwrap(), Hello { epoch: 4, ..hello(1) }).unwrap();
    let (code, reason) = closed_with(&former).await;
    assert_eq!((code, reason.as_str()), (CloseCode::Removed as u64, "r0 is no longer in the roster"));
    until("disconnected", || node.recorder.events.lock().len() == 2).await;

    let former_key = raw.connect(node.address(), &secret(0), 1, ALPN_PEER).await.unwrap();
    assert_eq!(closed_with(&former_key).await.0, CloseCode::Stranger as u64);
    let new_key = raw.connect(node.address(), &secret(50), 1, ALPN_PEER).await.unwrap();
    let _streams = greet(&new_key, Hello { epoch: 4, ..hello(0) }).await;
    until("connected again", || node.connected(0)).await;
    let id = ReplicaId(0);
    assert_eq!(
        *node.recorder.events.lock(),
        [Event::Connected(id), Event::Disconnected(id), Event::Connected(id)]
    );
    shutdown_all(vec![node]).await;
}

#[tokio::test]
async fn after_a_shutdown_nothing_is_called_and_the_port_is_free() {
    let mut nodes = cluster(2, |_| {}).await;
    let Node { network, recorder, .. } = nodes.remove(0);
    let address = network.local_address();
    within("shutdown", network.shutdown()).await;
    assert_eq!(*recorder.events.lock(), [Event::Connected(ReplicaId(1)), Event::Disconnected(ReplicaId(1))]);
    until("nothing keeps the handler", || Arc::strong_count(&recorder) == 1).await;
    let bound = rebind(|| NetConfig { listen: address, ..config(0, 2) }).await;
    assert_eq!(bound.local_address(), address);
    shutdown_all(nodes).await;
}
