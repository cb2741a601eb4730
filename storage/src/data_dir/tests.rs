use super::*;

const CHAIN: [u8; 32] = [0xab; 32];

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn marker(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("data/marker.toml")
}

#[test]
fn an_initialised_directory_is_new_and_stays_so() {
    let home = home();
    DataDir::init(home.path(), CHAIN, 3).expect("initialises");
    for _ in 0..2 {
        let mut data = DataDir::open(home.path(), CHAIN, 3).expect("opens");
        assert_eq!(data.origin(), Origin::New);
        assert_eq!(data.log_dir(), home.path().join("data/log"));
        assert_eq!(data.state_path(), home.path().join("data/state.redb"));
        let small = LogConfig { segment_bytes: 8192, ..LogConfig::new([0; 32]) };
        data.open_log(small).expect("opens the log, for the network of the directory");
    }
}

#[test]
fn threat_80_a_directory_made_on_the_way_is_rejoining() {
    let home = home();
    for _ in 0..2 {
        let data = DataDir::open(home.path(), CHAIN, 3).expect("opens");
        assert_eq!(data.origin(), Origin::Rejoining);
    }
    let error = DataDir::init(home.path(), CHAIN, 3).expect_err("cannot be made new any more");
    assert!(matches!(&error, DataDirError::Exists { path } if *path == marker(&home)), "{error}");
}

#[test]
fn threat_79_a_directory_is_initialised_once() {
    let home = home();
    DataDir::init(home.path(), CHAIN, 3).expect("initialises");
    let error = DataDir::init(home.path(), CHAIN, 3).expect_err("exists");
    assert!(error.to_string().contains("vote twice"), "{error}");
    // Without its marker it is still not new.
    fs::create_dir(home.path().join("data/log")).expect("creates");
    fs::write(home.path().join("data/log/segment-0000000000000001.log"), b"x").expect("writes");
    fs::remove_file(marker(&home)).expect("removes");
    assert!(matches!(DataDir::init(home.path(), CHAIN, 3), Err(DataDirError::Exists { .. })));
}

#[test]
fn threat_79_a_second_process_is_refused() {
    let home = home();
    let data = DataDir::open(home.path(), CHAIN, 3).expect("opens");
    for error in [
        DataDir::open(home.path(), CHAIN, 3).map(drop).expect_err("locked"),
        DataDir::init(home.path(), CHAIN, 3).expect_err("locked"),
    ] {
        assert!(matches!(&error, DataDirError::Locked { holder, .. } if *holder == Some(std::process::id())));
        let text = error.to_string();
        assert!(text.contains("data/LOCK") && text.contains("stop the other one"), "{text}");
    }
    drop(data);
    DataDir::open(home.path(), CHAIN, 3).expect("the lock ended with its holder");
}

#[test]
fn threat_79_a_directory_of_another_network_or_replica_is_refused() {
    let home = home();
    DataDir::init(home.path(), CHAIN, 3).expect("initialises");
    let text = DataDir::open(home.path(), [0xcd; 32], 3).expect_err("foreign").to_string();
    assert!(text.contains(&"ab".repeat(32)) && text.contains(&"cd".repeat(32)), "{text}");
    let text = DataDir::open(home.path(), CHAIN, 4).expect_err("foreign").to_string();
    assert!(text.contains("replica 3") && text.contains("replica 4") && text.contains("key file"), "{text}");
}

#[test]
fn threat_79_data_without_a_marker_are_refused() {
    for file in ["log/segment-0000000000000001.log", "log/spare-0000000000000001.log", "state.redb"] {
        let home = home();
        fs::create_dir_all(home.path().join("data/log")).expect("creates");
        fs::write(home.path().join("data").join(file), b"x").expect("writes");
        let error = DataDir::open(home.path(), CHAIN, 3).expect_err("no marker");
        assert!(matches!(error, DataDirError::MarkerMissing { .. }), "{error}");
        assert!(!marker(&home).exists(), "nothing was made");
    }
}

#[test]
fn a_marker_that_cannot_be_read_is_refused() {
    let home = home();
    DataDir::init(home.path(), CHAIN, 3).expect("initialises");
    let good = fs::read_to_string(marker(&home)).expect("reads");
    // Half written, edited, not text, empty.
    for bad in [
        good.as_bytes()[..good.len() - 12].to_vec(),
        good.replace("new", "novel").into_bytes(),
        format!("{good}more = 1\n").into_bytes(),
        vec![0xff; 40],
        vec![],
    ] {
        fs::write(marker(&home), bad).expect("writes");
        let error = DataDir::open(home.path(), CHAIN, 3).expect_err("unreadable");
        assert!(matches!(error, DataDirError::MarkerUnreadable { .. }), "{error}");
    }
    fs::write(marker(&home), good.replace("version = 1", "version = 2\nnovelty = true")).expect("writes");
    let error = DataDir::open(home.path(), CHAIN, 3).expect_err("newer");
    assert!(matches!(error, DataDirError::MarkerVersion { found: 2, supported: 1, .. }), "{error}");
}

#[test]
fn threat_75_the_marker_is_written_aside_and_renamed() {
    let home = home();
    // What a crash in the middle of writing it leaves is no marker, and in nobody's way.
    fs::create_dir_all(home.path().join("data")).expect("creates");
    fs::write(home.path().join("data/marker.toml.new"), b"vers").expect("writes");
    DataDir::init(home.path(), CHAIN, 3).expect("initialises");
    assert!(!home.path().join("data/marker.toml.new").exists());
    assert_eq!(DataDir::open(home.path(), CHAIN, 3).expect("opens").origin(), Origin::New);
}
