use super::*;
use crate::state_writer::{StateEvent, StateWriter};

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn batch(height: Height, writes: &[(&'static str, Option<&'static str>)]) -> StateBatch {
    StateBatch {
        replace: false,
        height,
        log_sequence: height * 10,
        writes: writes.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect(),
        receipts: vec![(height - 1, bytes("receipts")), (height, bytes("receipts too"))],
        receipts_from: height.saturating_sub(3),
        meta: Bytes::from(format!("tip {height}")),
    }
}

fn pairs(pairs: &[(&'static str, &'static str)]) -> Vec<(Bytes, Bytes)> {
    pairs.iter().map(|(key, value)| (bytes(key), bytes(value))).collect()
}

#[test]
fn a_new_store_is_empty_and_stays_so_when_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    for _ in 0..2 {
        let store = StateStore::open(&path).expect("opens");
        assert_eq!(store.load().expect("loads"), None);
    }
}

#[test]
fn batches_apply_in_order_and_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let store = StateStore::open(&path).expect("opens");
    store.commit(&batch(2, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))])).expect("commits");
    store.commit(&batch(4, &[("a", Some("9")), ("b", None), ("d", Some(""))])).expect("commits");
    drop(store);
    let loaded = StateStore::open(&path).expect("opens").load().expect("loads").expect("has state");
    assert_eq!((loaded.height, loaded.meta), (4, bytes("tip 4")));
    assert_eq!(loaded.pairs, pairs(&[("a", "9"), ("c", "3"), ("d", "")]));
    let heights: Vec<Height> = loaded.receipts.iter().map(|(height, _)| *height).collect();
    assert_eq!(heights, [1, 2, 3, 4], "receipts below 1 are forgotten");
}

#[test]
fn receipts_below_the_bound_are_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = StateStore::open(&dir.path().join("state.redb")).expect("opens");
    for height in [2, 4, 6, 8] {
        store.commit(&batch(height, &[])).expect("commits");
    }
    let loaded = store.load().expect("loads").expect("has state");
    let heights: Vec<Height> = loaded.receipts.iter().map(|(height, _)| *height).collect();
    assert_eq!(heights, [5, 6, 7, 8]);
}

/// A copy of the file while it is open is what a killed process leaves behind.
#[test]
fn a_kill_leaves_the_last_commit_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let left = dir.path().join("left.redb");
    let store = StateStore::open(&path).expect("opens");
    for height in 1..=5 {
        store.commit(&batch(height, &[("a", Some("x")), ("b", Some("y"))])).expect("commits");
        // Another transaction begins, and does not come to its end.
        let write = store.database.begin_write().expect("begins");
        write.open_table(STATE).expect("opens").insert(b"a".as_slice(), b"lost".as_slice()).expect("inserts");
        std::fs::copy(&path, &left).expect("copies");
        write.abort().expect("aborts");
        let loaded = StateStore::open(&left).expect("opens").load().expect("loads").expect("has state");
        assert_eq!(loaded.height, height);
        assert_eq!(loaded.pairs, pairs(&[("a", "x"), ("b", "y")]));
    }
}

#[test]
fn a_height_that_goes_back_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = StateStore::open(&dir.path().join("state.redb")).expect("opens");
    store.commit(&batch(5, &[("a", Some("1"))])).expect("commits");
    let error = store.commit(&batch(4, &[("a", Some("2"))])).expect_err("goes back");
    assert!(matches!(error, StateStoreError::HeightGoesBack { stored: 5, given: 4, .. }), "{error}");
    store.commit(&batch(5, &[("b", Some("2"))])).expect("the same height may be completed");
    let loaded = store.load().expect("loads").expect("has state");
    assert_eq!(loaded.pairs, pairs(&[("a", "1"), ("b", "2")]));
}

#[test]
fn threat_79_a_store_opens_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let _store = StateStore::open(&path).expect("opens");
    let error = StateStore::open(&path).expect_err("open already");
    assert!(matches!(error, StateStoreError::AlreadyOpen { .. }), "{error}");
}

#[test]
fn threat_73_rot_is_refused_or_does_not_matter() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let store = StateStore::open(&path).expect("opens");
    store.commit(&batch(1, &[("key", Some("a value that can be found in the file"))])).expect("commits");
    let expected = store.load().expect("loads");
    drop(store);
    let good = std::fs::read(&path).expect("reads");
    let value = b"a value that can be found";
    let value_at = good.windows(value.len()).position(|w| w == value).expect("stands there");
    let rotten = dir.path().join("rotten.redb");
    // A sample: each takes an open, with its syncs.
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    for at in used.iter().copied().step_by(used.len() / 60 + 1).chain([value_at]) {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        std::fs::write(&rotten, &bad).expect("writes");
        let opened = StateStore::open(&rotten).and_then(|store| store.load());
        if at == value_at {
            assert!(matches!(opened, Err(StateStoreError::Damaged { .. })), "{opened:?}");
        } else if let Ok(loaded) = opened {
            assert!(loaded == expected || loaded.is_none(), "byte {at}: {loaded:?}");
        }
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    std::fs::write(&path, vec![0x55; 20_000]).expect("writes");
    let error = StateStore::open(&path).expect_err("not a store");
    assert!(error.to_string().contains("state.redb"), "{error}");
}

#[test]
fn a_newer_version_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let store = StateStore::open(&path).expect("opens");
    let write = store.database.begin_write().expect("begins");
    write.open_table(META).expect("opens").insert("version", 2u32.to_le_bytes().as_slice()).expect("inserts");
    write.commit().expect("commits");
    drop(store);
    let error = StateStore::open(&path).expect_err("newer");
    assert!(matches!(error, StateStoreError::Version { found: 2, supported: 1, .. }), "{error}");
}

#[test]
fn the_writer_reports_each_height_and_finishes_its_queue() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let (events, seen) = crossbeam_channel::unbounded();
    let store = StateStore::open(&path).expect("opens");
    let writer = StateWriter::spawn(store, move |event| events.send(event).expect("heard")).expect("spawns");
    for height in 1..=6 {
        writer.commit(batch(height, &[("a", Some("1"))])).expect("queues");
    }
    writer.shutdown().expect("finishes");
    let heights: Vec<Height> = seen
        .try_iter()
        .map(|event| match event {
            StateEvent::Flushed { height } => height,
            StateEvent::Failed(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(heights, [1, 2, 3, 4, 5, 6]);
    assert_eq!(StateStore::open(&path).expect("opens").load().expect("loads").expect("has state").height, 6);
}

#[test]
fn the_writer_stops_at_its_first_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let (events, seen) = crossbeam_channel::unbounded();
    let store = StateStore::open(&dir.path().join("state.redb")).expect("opens");
    let writer = StateWriter::spawn(store, move |event| events.send(event).expect("heard")).expect("spawns");
    writer.commit(batch(5, &[])).expect("queues");
    writer.commit(batch(4, &[])).expect("queues");
    assert!(matches!(seen.recv(), Ok(StateEvent::Flushed { height: 5 })));
    assert!(matches!(seen.recv(), Ok(StateEvent::Failed(StateStoreError::HeightGoesBack { .. }))));
    assert!(seen.recv().is_err(), "the thread has ended");
    assert!(writer.commit(batch(6, &[])).is_err());
    assert!(writer.shutdown().is_err());
}

#[test]
fn a_replacing_batch_leaves_nothing_of_what_was_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let store = StateStore::open(&path).expect("opens");
    store.commit(&batch(7, &[("a", Some("1")), ("b", Some("2"))])).expect("commits");
    store.commit(&StateBatch { replace: true, ..batch(9, &[("c", Some("3"))]) }).expect("commits");
    drop(store);
    let loaded = StateStore::open(&path).expect("opens").load().expect("loads").expect("has state");
    let heights: Vec<Height> = loaded.receipts.iter().map(|(height, _)| *height).collect();
    assert_eq!((loaded.height, loaded.pairs, heights), (9, pairs(&[("c", "3")]), vec![8, 9]));
}

fn part(height: Height, place: u8, stretch: &'static str) -> FetchedPart {
    let offer = Bytes::from(format!("offer {height}"));
    FetchedPart { height, offer, place: crypto::Digest([place; 32]), stretch: bytes(stretch) }
}

#[test]
fn parts_of_a_state_are_kept_until_that_state_or_a_later_one_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let store = StateStore::open(&path).expect("opens");
    assert_eq!(store.fetched().expect("reads"), None);
    for part in [part(7, 2, "second"), part(7, 1, "first"), part(7, 2, "second")] {
        store.keep_fetched(&part).expect("keeps");
    }
    store.commit(&batch(4, &[("a", Some("1"))])).expect("a lower state ends nothing");
    drop(store);
    let store = StateStore::open(&path).expect("opens");
    let kept =
        FetchedState { height: 7, offer: bytes("offer 7"), stretches: vec![bytes("first"), bytes("second")] };
    assert_eq!(store.fetched().expect("reads"), Some(kept));
    store.keep_fetched(&part(9, 3, "of another")).expect("keeps");
    let kept = FetchedState { height: 9, offer: bytes("offer 9"), stretches: vec![bytes("of another")] };
    assert_eq!(store.fetched().expect("reads"), Some(kept));
    store.commit(&StateBatch { replace: true, ..batch(9, &[("b", Some("2"))]) }).expect("commits");
    assert_eq!(store.fetched().expect("reads"), None);
    store.keep_fetched(&part(12, 1, "again")).expect("keeps");
    assert_eq!(store.load().expect("loads").expect("has state").pairs, pairs(&[("b", "2")]));
}
