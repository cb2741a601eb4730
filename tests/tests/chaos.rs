//! A slice of chaos: one schedule, written down instead of drawn, with a fault of each kind that needs no privilege.

use crypto::{FaultModel, ProtocolTag, Scheme};
use std::time::Duration;
use tests::chaos::schedule::{Direction, Episode, Fault, Schedule, Strike, Target};
use tests::chaos::{Figures, Plan, SmallDisk, run};
use tests::proxy::{Conditions, Counts};

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

const MS: Duration = Duration::from_millis(1);

fn strike(replica: usize, fault: Fault, begin_ms: u32, end_ms: u32) -> Strike {
    Strike { target: Target::Replica(replica), fault, begin: begin_ms * MS, end: end_ms * MS }
}

// threat 60: datagrams out of order, doubled and lost; memory stays bounded.
// threat 66: a replica that does not read for seconds stalls nobody.
// threat 70: links cut one way only, for longer than a connection lives.
// threat 79: a second process on a directory; an old copy of a directory put back.
// threat 95: two processes with one key.
async fn what_was_promised_holds_through_faults_of_every_kind(protocol: ProtocolTag) {
    let rough = Conditions {
        delay: 5 * MS,
        jitter: 5 * MS,
        loss: 0.02,
        duplicates: 0.02,
        reordered: 0.05,
        ..Conditions::default()
    };
    let peers = vec![0, 2, 3];
    let one_way = Fault::Cut { direction: Direction::Out, peers };
    let mut episodes = vec![
        Episode {
            weather: rough,
            strikes: vec![strike(0, Fault::Kill, 200, 1500), strike(3, Fault::SecondProcess, 300, 400)],
        },
        Episode { weather: Conditions::default(), strikes: vec![strike(1, one_way, 100, 6000)] },
        Episode { weather: rough, strikes: vec![strike(2, Fault::Pause, 0, 7000)] },
        Episode {
            weather: Conditions::default(),
            strikes: vec![strike(3, Fault::Rollback, 100, 2000), strike(3, Fault::Twin, 3000, 5000)],
        },
    ];
    // Who puts an old copy back, or runs twice, lies.
    let lies = engines::fault_model(protocol) == FaultModel::Byzantine;
    episodes.truncate(if lies { 4 } else { 3 });
    let rounds = episodes.len();
    let figures = holds_through(protocol, None, episodes).await;
    let done: Vec<(&str, u64)> = figures.deeds.into_iter().collect();
    // Old data take two more kills, and a twin one, besides its own end.
    let twin_was_killed = done.contains(&("SIGKILL", 5));
    let kills = if twin_was_killed { 5 } else { 4 };
    let all = [
        ("SIGKILL", if lies { kills } else { 1 }),
        ("SIGSTOP", 1),
        ("cut links", 1),
        ("old data restored", 1),
        ("second process", 1),
        ("twin", 1),
    ];
    let of_liars = ["old data restored", "twin"];
    let expected: Vec<_> = all.into_iter().filter(|(name, _)| lies || !of_liars.contains(name)).collect();
    assert_eq!(done, expected);
    let Counts { lost, reordered, doubled, delayed, .. } = figures.datagrams;
    assert!([lost, reordered, doubled, delayed].iter().all(|count| *count > 0), "{:?}", figures.datagrams);
    assert!(figures.reads > 100, "{} linearizable reads", figures.reads);
    // After each episode, and before the next of those that are left, at the end, and after all were stopped and started.
    assert_eq!(figures.same_roots, 3 + rounds as u64);
    assert_eq!(figures.found + figures.not_kept, 4 * figures.acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_holds_through_faults_of_every_kind_pbft() {
    what_was_promised_holds_through_faults_of_every_kind(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_holds_through_faults_of_every_kind_hotstuff() {
    what_was_promised_holds_through_faults_of_every_kind(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_39_what_was_promised_holds_through_faults_of_every_kind_raft() {
    what_was_promised_holds_through_faults_of_every_kind(ProtocolTag::RAFT).await;
}

/// Needs a file system that can be filled, and so the right to mount one.
async fn a_replica_without_room_stops_in_order_and_goes_on_with_room(protocol: ProtocolTag) {
    if !SmallDisk::is_possible(&tempfile::tempdir().unwrap().path().join("probe")) {
        eprintln!("not run: no file system can be mounted here");
        return;
    }
    let weather = Conditions::default();
    let strikes = vec![strike(3, Fault::DiskFull { left: 100_000 }, 500, 1000)];
    let figures = holds_through(protocol, Some(3), vec![Episode { weather, strikes }]).await;
    assert_eq!(figures.deeds.get("full disk"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_77_a_replica_without_room_stops_in_order_and_goes_on_with_room_pbft() {
    a_replica_without_room_stops_in_order_and_goes_on_with_room(ProtocolTag::PBFT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_77_a_replica_without_room_stops_in_order_and_goes_on_with_room_hotstuff() {
    a_replica_without_room_stops_in_order_and_goes_on_with_room(ProtocolTag::HOTSTUFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_77_a_replica_without_room_stops_in_order_and_goes_on_with_room_raft() {
    a_replica_without_room_stops_in_order_and_goes_on_with_room(ProtocolTag::RAFT).await;
}

async fn holds_through(protocol: ProtocolTag, small_disk: Option<usize>, episodes: Vec<Episode>) -> Figures {
    let schedule = Schedule {
        replicas: 4,
        protocol,
        scheme: Scheme::Ed25519,
        view_timeout_ms: 500,
        small_disk,
        episodes,
    };
    let dir = tempfile::tempdir().unwrap();
    let plan =
        Plan { seed: 1, schedule, program: PROGRAM.into(), dir: dir.path().join("run"), verbose: true };
    match run(&plan).await {
        Ok(figures) => figures,
        Err(error) => panic!("{error:#}\n{}\nkept: {}", plan.schedule, dir.keep().display()),
    }
}
