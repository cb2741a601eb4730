//! The demo, as a newcomer would run it.

use tests::run;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replica");

#[test]
fn the_demo_survives_its_crash_and_proves_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("demo");
    let home = path.to_str().unwrap();
    let ended =
        run(PROGRAM, ["demo", "--transactions", "200", "--clients", "4", "--seed", "7", "--home", home]);
    let out = ended.succeeded();
    for line in [
        "KILLED the leader",
        "200 transactions executed and proven, 0 not",
        "one state on all 4 replicas",
        "verified from the genesis alone",
    ] {
        assert!(out.contains(line), "{line:?} is missing in:\n{out}");
    }
    assert!(!out.contains("FAIL"), "{out}");
    assert!(!path.exists(), "the directory is gone");
}

#[test]
fn a_directory_that_is_in_use_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("precious"), "").unwrap();
    let ended = run(PROGRAM, ["demo", "--home", home.path().to_str().unwrap()]);
    ended.complains(1, &["is not empty; choose another --home"]);
    assert!(home.path().join("precious").exists());
}
