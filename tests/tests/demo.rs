//! The demo, as a newcomer would run it.

use rustix::process::{Pid, Signal};
use std::process::Command;
use tests::{run, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

fn the_demo_survives_its_crash(protocol: &[&str], described: [&str; 4]) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("demo");
    let home = path.to_str().unwrap();
    let arguments = ["demo", "--transactions", "200", "--clients", "4", "--seed", "7", "--home", home];
    let ended = run(PROGRAM, arguments.iter().chain(protocol));
    let out = ended.succeeded();
    for line in described.iter().chain(&["KILLED the leader"]) {
        assert!(out.contains(line), "{line:?} is missing in:\n{out}");
    }
    assert!(!out.contains("FAIL"), "{out}");
    assert!(!path.exists(), "the directory is gone");
}

/// Four replicas, and proofs.
fn proven(protocol: &str) -> [&str; 4] {
    let executed = "200 transactions executed and proven, 0 not";
    [protocol, executed, "one state on all 4 replicas", "verified from the genesis alone"]
}

#[test]
fn the_demo_survives_its_crash_and_proves_it_pbft() {
    the_demo_survives_its_crash(&[], proven("protocol pbft, fault model byzantine\n"));
}

#[test]
fn the_demo_survives_its_crash_and_proves_it_hotstuff() {
    the_demo_survives_its_crash(
        &["--protocol", "hotstuff", "--chain", "two"],
        proven("protocol hotstuff (two chain"),
    );
}

#[test]
fn the_demo_survives_its_crash_and_calls_nothing_proven_raft() {
    let described = [
        "1 may fail, 2 decide; protocol raft, fault model crash\n",
        "200 transactions executed, 0 not",
        "one state on all 3 replicas",
        "refused by `quorate verify`:\n\n  it is the word of r",
    ];
    the_demo_survives_its_crash(&["--protocol", "raft", "--replicas", "3"], described);
}

/// Processes whose command line has `word`.
fn processes_of(word: &str) -> Vec<String> {
    let command_line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let all = std::fs::read_dir("/proc").unwrap().map(Result::unwrap).filter_map(command_line);
    all.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).filter(|line| line.contains(word)).collect()
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("demo");
    let word = home.to_str().unwrap();
    let output = std::fs::File::create(dir.path().join("output")).unwrap();
    let mut demo = Command::new(PROGRAM)
        .args(["demo", "--home", word])
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(dir.path().join("output")).unwrap();
    until("the replicas run", || {
        assert_eq!(demo.try_wait().unwrap(), None, "{}", said());
        said().contains("replicas run")
    });
    assert_eq!(processes_of(word).len(), 5, "the demo and its replicas");
    let pid = Pid::from_raw(demo.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    until("the demo ends", || demo.try_wait().unwrap().is_some());
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert!(said().contains("interrupted; the replicas are stopped"), "{}", said());
    assert_eq!(processes_of(word), Vec::<String>::new());
    assert!(!home.exists());
}

#[test]
fn a_directory_that_is_in_use_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("precious"), "").unwrap();
    let ended = run(PROGRAM, ["demo", "--home", home.path().to_str().unwrap()]);
    ended.complains(1, &["is not empty; choose another --home"]);
    assert!(home.path().join("precious").exists());
}
