//! A member takes its replica's keys and says two things. The others find out, tell each other, and can show it to anybody.

use bft_core::codec;
use bft_core::envelope::{Body, Envelope, Seal, SealWith, Sealed};
use bft_core::genesis::FIRST_EPOCH;
use bytes::Bytes;
use crypto::{Digest, ProtocolTag, ReplicaId, Scheme, SecretShare, keystore};
use engines::AnyMessage;
use net::{ConnectionId, Frame, Handler, Hello, Member, NetConfig, Roster};
use quorate::home::Home;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tests::{Network, run, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

/// The last one is dialled by all others.
const LIAR: usize = 3;

/// Hears nothing.
struct Deaf;

impl Handler for Deaf {
    fn frame(&self, _: ReplicaId, _: net::Class, _: Frame) {}
    fn connected(&self, _: ReplicaId) {}
    fn disconnected(&self, _: ReplicaId) {}
    fn client_frame(&self, _: ConnectionId, _: Frame) {}
    fn client_closed(&self, _: ConnectionId) {}
}

/// Remembers who has shown promises of whoever asked.
#[derive(Default)]
struct Reminded(Mutex<BTreeSet<ReplicaId>>);

impl Handler for Reminded {
    fn frame(&self, from: ReplicaId, _: net::Class, frame: Frame) {
        let envelope = codec::decode::<Envelope<AnyMessage>>(&frame.into_parts().0, usize::MAX);
        if envelope
            .is_ok_and(|envelope| matches!(envelope.body, Body::Promises(told) if !told.held.is_empty()))
        {
            self.0.lock().unwrap().insert(from);
        }
    }
    fn connected(&self, _: ReplicaId) {}
    fn disconnected(&self, _: ReplicaId) {}
    fn client_frame(&self, _: ConnectionId, _: Frame) {}
    fn client_closed(&self, _: ConnectionId) {}
}

/// The network's transport, under the keys of the liar.
fn speak_as_liar(network: &Network, handler: Arc<impl Handler>) -> net::Network {
    let genesis = &network.consortium.genesis;
    let domain = genesis.trust().unwrap().domain;
    let identity = keystore::read_identity(&Home::new(network.consortium.home(LIAR)).identity_key()).unwrap();
    let member = |(id, info): (ReplicaId, &bft_core::genesis::ReplicaInfo)| {
        (id, Member { identity: info.identity, address: info.address.clone() })
    };
    let roster = Roster::new(genesis.committee().members().zip(&genesis.replicas).map(member)).unwrap();
    let hello = Hello {
        version: u16::from(codec::VERSION),
        chain: domain.chain,
        epoch: domain.epoch,
        protocol: domain.protocol,
        fault_model: domain.fault_model,
        replica: ReplicaId(LIAR as u16),
    };
    let listen = genesis.replicas[LIAR].address.parse().unwrap();
    let mut bound = None;
    until("the killed replica's port is free", || {
        let config = NetConfig::new(identity.clone(), listen, roster.clone(), hello);
        bound = net::Network::bind(config).ok();
        bound.is_some()
    });
    bound.unwrap().start(handler, &tokio::runtime::Handle::current()).unwrap()
}

/// A vote that the liar sealed: in PBFT a commit, in HotStuff one that replica 0 collects.
fn vote(network: &Network, share: &SecretShare, block: u8) -> Bytes {
    let domain = network.consortium.genesis.trust().unwrap().domain;
    let (height, block) = (5, Digest([block; 32]));
    let message = match domain.protocol {
        ProtocolTag::HOTSTUFF => {
            let node = hotstuff::Node { view: 5, height, parent: Digest::ZERO, parent_view: 4, block };
            AnyMessage::HotStuff(hotstuff::Message::Vote(node))
        }
        _ => AnyMessage::Pbft(pbft::Message::Commit(pbft::Vote { view: 0, height, block })),
    };
    let SealWith::Share(statement) = bft_core::engine::Message::seal(&message, &domain) else {
        unreachable!()
    };
    let home = Home::new(network.consortium.home(share.replica().index()));
    let identity = keystore::read_identity(&home.identity_key()).unwrap();
    let seal = Seal::Share(crypto::QuorumSigner::Threshold(share.clone(), identity).sign(&statement));
    let body = Body::Engine(Sealed { message, seal });
    codec::encode(&Envelope { epoch: domain.epoch, votes: Vec::new(), body }).into()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a readable path").to_owned()
}

// threat 1, 22, 79: who says two things is found out, and cannot deny it.
async fn a_lie_told_to_one_is_known_to_all_and_proven_offline(protocol: ProtocolTag, what: &str) {
    let said_twice = format!("{what}s");
    let mut network = Network::start(PROGRAM, protocol, Scheme::Threshold).await;
    let genesis = text(&network.consortium.genesis_path());
    let ask = |more: &[&str]| run(PROGRAM, ["evidence", "--genesis", &genesis].iter().chain(more));
    assert!(ask(&[]).succeeded().contains("no evidence that any replica lied"));

    network.replicas[LIAR].kill().unwrap();
    let home = Home::new(network.consortium.home(LIAR));
    let keys = network.consortium.genesis.threshold.as_ref().unwrap();
    let share = keystore::read_threshold(&home.threshold_key(), FIRST_EPOCH, keys).unwrap();
    let liar = speak_as_liar(&network, Arc::new(Deaf));
    until("the others have dialled", || liar.peers().iter().all(|peer| peer.connected));
    // Only replica 0 gets to see it; what it hears first is said twice, which proves nothing.
    for block in [1, 1, 2] {
        let _ = liar.send(ReplicaId(0), net::Class::Vote, vote(&network, &share, block));
    }
    let mut shown = String::new();
    until("all others know", || {
        shown = ask(&[]).succeeded();
        shown.contains("r0 r1 r2")
    });
    assert!(shown.contains("r3") && shown.contains("west-bank") && shown.contains(&said_twice), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&ask(&["-o", "json"]).succeeded()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1, "{json}");
    let lie = &json[0];
    assert_eq!((&lie["accused"], &lie["what"], &lie["height"]), (&3.into(), &what.into(), &5.into()));
    let status = run(PROGRAM, ["status", "--genesis", &genesis]).succeeded();
    assert_eq!(status.matches("can prove 1 lie (`quorate evidence`)").count(), 3, "{status}");
    liar.shutdown().await;

    // It outlives the process, and can be read where it is.
    network.replicas[1].kill().unwrap();
    let kept = network.consortium.home(1);
    let stopped = run(PROGRAM, ["evidence", "--home", &text(&kept)]).succeeded();
    assert!(stopped.contains("r3") && stopped.contains(&said_twice), "{stopped}");
    network.replicas[1].restart().unwrap();
    until("it knows again", || ask(&["--replica", "1"]).out.contains(&said_twice));

    // Its own replica, on its own data, was told that its word is worth nothing: it stops, and stays stopped until it gives up its
    // vote.
    for _ in 0..2 {
        network.replicas[LIAR].restart().unwrap();
        until("the accused stops", || network.replicas[LIAR].ended().is_some());
        let said = network.replicas[LIAR].last_words();
        assert!(
            // What was shown first: the lies, or one of them alone, which its records do not have.
            said.contains("this replica has signed") && said.contains("start on an empty one"),
            "{said}"
        );
        network.replicas[LIAR].kill().unwrap();
    }
    fs::rename(home.path().join("data"), home.path().join("data-of-a-liar")).unwrap();
    network.replicas[LIAR].restart().unwrap();
    let follows = || run(PROGRAM, ["status", "--genesis", &genesis]).out.contains("follows, does not vote");
    until("it follows without a vote", follows);

    // A file convinces whoever has the genesis, and no other file does.
    let lies = network.dir.path().join("lies");
    ask(&["--save", &text(&lies)]).succeeded();
    let file = lies.join(format!("r3-{what}.json"));
    assert!(ask(&["--verify", &text(&file)]).succeeded().contains(&said_twice));
    assert_eq!(fs::read(&file).unwrap(), fs::read(kept.join(format!("evidence/r3-{what}.json"))).unwrap());
    let content = fs::read_to_string(&file).unwrap();
    let forged = network.dir.path().join("forged.json");
    fs::write(&forged, content.replace("\"accused\": 3", "\"accused\": 2")).unwrap();
    ask(&["--verify", &text(&forged)])
        .complains(1, &["forged.json proves nothing", "not that of the accused r2"]);
    fs::write(&forged, &content[..content.len() / 2]).unwrap();
    ask(&["--verify", &text(&forged)]).complains(1, &["half-written", "quorate evidence --save"]);
    ask(&["--verify", "nowhere.json"]).complains(1, &["nowhere.json", "No such file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_22_a_lie_told_to_one_is_known_to_all_and_proven_offline_pbft() {
    a_lie_told_to_one_is_known_to_all_and_proven_offline(ProtocolTag::PBFT, "commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_22_a_lie_told_to_one_is_known_to_all_and_proven_offline_hotstuff() {
    a_lie_told_to_one_is_known_to_all_and_proven_offline(ProtocolTag::HOTSTUFF, "vote").await;
}

// A replica's data are older than what was said with its key: it is told so when it starts, and does not wait until it contradicts itself.
async fn data_older_than_a_vote_are_noticed_at_the_start(protocol: ProtocolTag, hearers: usize, what: &str) {
    let mut network = Network::start(PROGRAM, protocol, Scheme::Threshold).await;
    network.replicas[LIAR].kill().unwrap();
    let home = Home::new(network.consortium.home(LIAR));
    let keys = network.consortium.genesis.threshold.as_ref().unwrap();
    let share = keystore::read_threshold(&home.threshold_key(), FIRST_EPOCH, keys).unwrap();
    let reminded = Arc::new(Reminded::default());
    let voter = speak_as_liar(&network, Arc::clone(&reminded));
    until("the others have dialled", || voter.peers().iter().all(|peer| peer.connected));
    for peer in 0..3 {
        let _ = voter.send(ReplicaId(peer), net::Class::Vote, vote(&network, &share, 1));
    }
    let question =
        Envelope::<AnyMessage> { epoch: FIRST_EPOCH, votes: Vec::new(), body: Body::FetchPromises(7) };
    let question = Bytes::from(codec::encode(&question));
    until("those who keep such a vote remember it", || {
        for peer in 0..3 {
            let _ = voter.send(ReplicaId(peer), net::Class::Sync, question.clone());
        }
        reminded.0.lock().unwrap().len() == hearers
    });
    voter.shutdown().await;
    network.replicas[LIAR].restart().unwrap();
    until("the replica stops", || network.replicas[LIAR].ended().is_some());
    let said = network.replicas[LIAR].last_words();
    assert!(said.contains(&format!("a statement that its records do not have ({what})")), "{said}");
    assert!(said.contains("move the data directory away and start on an empty one"), "{said}");
    network.replicas[LIAR].kill().unwrap();

    fs::rename(home.path().join("data"), home.path().join("old-data")).unwrap();
    network.replicas[LIAR].restart().unwrap();
    let genesis = text(&network.consortium.genesis_path());
    let follows = || run(PROGRAM, ["status", "--genesis", &genesis]).out.contains("follows, does not vote");
    until("it follows without a vote", follows);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_79_data_older_than_a_vote_are_noticed_at_the_start_pbft() {
    data_older_than_a_vote_are_noticed_at_the_start(ProtocolTag::PBFT, 3, "kind 17, view 0, height 5").await;
}

// Only the leader of a vote's view keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn threat_79_data_older_than_a_vote_are_noticed_at_the_start_hotstuff() {
    data_older_than_a_vote_are_noticed_at_the_start(ProtocolTag::HOTSTUFF, 1, "kind 16, view 5, height 5")
        .await;
}
