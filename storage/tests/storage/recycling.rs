//! Rolling, releasing, recycling, and reading meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bft_core::log::{LogBatch, LogKind};
use storage::testing::FaultDisk;
use storage::{ChainPart, Log, LogConfig, LogError};

use crate::crash::{DIR, config, open};
use crate::gated_disk::{DEADLINE, Gate, GatedDisk};
use crate::model::{batch, digest, head, item, mark, record};

fn put(log: &mut Log, batch: LogBatch) {
    log.append(&batch).expect("appends");
    log.sync().expect("syncs");
}

fn names(disk: &FaultDisk) -> Vec<String> {
    disk.list_all().iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

#[test]
fn a_segment_goes_when_its_heights_are_covered_and_its_records_replaced() {
    let disk = FaultDisk::new();
    let (mut log, reader) = open(&disk).expect("opens");
    put(&mut log, head(1, vec![record(1, 10)], vec![item(LogKind::Block, 1, 1, 50)]));
    put(&mut log, head(2, vec![record(2, 10)], vec![item(LogKind::Block, 2, 2, 50)]));
    log.release(1).expect("releases nothing: height 1 is not below 1");
    assert!(reader.block(&digest(1)).expect("reads").is_some());
    log.release(100).expect("releases the first; the second is being written");
    assert_eq!(reader.block(&digest(1)).expect("reads"), None);
    assert!(reader.block(&digest(2)).expect("reads").is_some());
    assert_eq!(names(&disk).len(), 2, "one segment, one spare: {:?}", names(&disk));
    let counters = log.counters();
    assert_eq!(counters.segments.load(Ordering::Relaxed), 1);
}

#[test]
fn the_highest_id_of_a_spare_leaves_room_for_more() {
    let disk = FaultDisk::new();
    let spare = Path::new(DIR).join("spare-ffffffffffffffff.log");
    let file = disk.arc().create(&spare).expect("creates");
    file.write_at(&vec![0; config().segment_bytes as usize], 0).expect("writes");
    let (mut log, _) = open(&disk).expect("opens");
    for sequence in 1..=4 {
        put(&mut log, head(sequence, vec![record(sequence, 10)], vec![]));
        while log.prepare().expect("prepares") {}
    }
    log.release(100).expect("releases");
    let (mut log, _) = open(&disk).expect("opens again");
    put(&mut log, head(1, vec![record(9, 10)], vec![]));
}

#[test]
fn records_keep_their_segment_until_a_durable_head_replaces_them() {
    let disk = FaultDisk::new();
    let (mut log, reader) = open(&disk).expect("opens");
    put(&mut log, head(1, vec![record(1, 10)], vec![item(LogKind::Block, 1, 1, 3500)]));
    // Too large for the segment, so it rolls, but nobody wrote the records again.
    put(&mut log, batch(2, vec![item(LogKind::Block, 2, 2, 3500)]));
    log.release(100).expect("releases nothing");
    // A head is written, but not yet durable.
    log.append(&head(3, vec![record(1, 10)], vec![])).expect("appends");
    log.release(100).expect("releases nothing");
    assert!(reader.block(&digest(1)).expect("reads").is_some());
    log.sync().expect("syncs");
    log.release(100).expect("releases two");
    assert_eq!(reader.block(&digest(1)).expect("reads"), None);
    assert_eq!(reader.recover(0).expect("recovers").records, [record(1, 10).body]);
}

#[test]
fn a_head_that_is_written_but_not_durable_replaces_nothing() {
    let disk = FaultDisk::new();
    let large = LogConfig { max_body_bytes: 8 << 20, ..config() };
    let (mut log, reader) = Log::open_on(disk.arc(), Path::new(DIR), large).expect("opens");
    put(&mut log, head(1, vec![record(1, 10)], vec![item(LogKind::Block, 1, 1, 50)]));
    // So much that it is written before the sync.
    let rest = vec![item(LogKind::Block, 2, 2, 5 << 20)];
    log.append(&head(2, vec![record(1, 10)], rest)).expect("appends");
    assert!(reader.block(&digest(2)).expect("reads").is_some(), "written");
    log.release(100).expect("releases nothing");
    assert!(reader.block(&digest(1)).expect("reads").is_some());
    log.sync().expect("syncs");
    log.release(100).expect("releases the first");
    assert_eq!(reader.block(&digest(1)).expect("reads"), None);
}

#[test]
fn a_file_recycled_under_a_reader_is_no_rot() {
    let disk = FaultDisk::new();
    let (gate, entries, go) = Gate::new();
    let gated = GatedDisk::new(&disk);
    let (mut log, reader) = Log::open_on(Arc::new(gated.clone()), Path::new(DIR), config()).expect("opens");
    put(&mut log, head(1, vec![], vec![item(LogKind::Block, 1, 1, 50)]));
    put(&mut log, head(2, vec![], vec![]));
    gated.read.lock().replace(gate);
    let reading = std::thread::spawn(move || reader.block(&digest(1)));
    entries.recv_timeout(DEADLINE).expect("the reader knows where the block is, and is about to read it");
    log.release(2).expect("releases the first");
    put(&mut log, head(3, vec![], vec![item(LogKind::Block, 3, 3, 50)]));
    drop(go);
    assert_eq!(reading.join().expect("no panic").expect("no error"), None);
}

#[test]
fn spares_are_bounded_and_reused() {
    let disk = FaultDisk::new();
    let (mut log, _) = open(&disk).expect("opens");
    for sequence in 1..=6 {
        put(&mut log, head(sequence, vec![], vec![item(LogKind::Block, sequence, sequence, 50)]));
    }
    assert_eq!(log.counters().unprepared_rolls.load(Ordering::Relaxed), 6, "none was prepared");
    log.release(6).expect("releases five");
    assert_eq!(names(&disk).len(), 2, "one segment and max_spares = 1: {:?}", names(&disk));
    put(&mut log, head(7, vec![], vec![]));
    assert_eq!(log.counters().unprepared_rolls.load(Ordering::Relaxed), 6);
    assert_eq!(names(&disk).len(), 2);
    drop(log);
    let (_, reader) = open(&disk).expect("opens");
    assert_eq!(reader.recover(0).expect("recovers").items.len(), 1);
}

#[test]
fn a_segment_is_prepared_ahead_so_that_a_roll_does_not_write_one() {
    let disk = FaultDisk::new();
    let (mut log, _) = open(&disk).expect("opens");
    put(&mut log, batch(1, vec![record(1, 1000)]));
    log.keep_pace().expect("prepares");
    put(&mut log, head(2, vec![], vec![]));
    assert_eq!(log.counters().unprepared_rolls.load(Ordering::Relaxed), 1, "only the very first");
}

#[test]
fn a_batch_larger_than_a_segment_gets_a_longer_one() {
    let disk = FaultDisk::new();
    let (mut log, reader) = open(&disk).expect("opens");
    let items: Vec<_> = (1..=4).map(|n| item(LogKind::Block, n, n, 4000)).collect();
    put(&mut log, batch(1, vec![record(1, 5)]));
    put(&mut log, batch(2, items));
    put(&mut log, head(3, vec![], vec![]));
    assert!((1..=4).all(|n| reader.block(&digest(n)).expect("reads").is_some()));
    drop(log);
    let (mut log, reader) = open(&disk).expect("opens");
    assert_eq!(reader.recover(0).expect("recovers").items.len(), 4);
    log.release(5).expect("releases");
    // The long file is of no use as a spare.
    assert_eq!(names(&disk).len(), 2, "{:?}", names(&disk));
}

#[test]
fn the_rules_of_a_batch_are_checked() {
    let disk = FaultDisk::new();
    let (mut log, _) = open(&disk).expect("opens");
    put(&mut log, batch(5, vec![]));
    let early = LogBatch { sequence: 6, new_segment: true, items: vec![record(1, 1)] };
    let late = LogBatch { sequence: 6, new_segment: false, items: vec![mark()] };
    let mixed =
        LogBatch { sequence: 6, new_segment: true, items: vec![item(LogKind::Block, 1, 1, 1), mark()] };
    let twice = LogBatch { sequence: 6, new_segment: true, items: vec![mark(), mark()] };
    for bad in [batch(5, vec![]), batch(4, vec![]), early, late, mixed, twice] {
        assert!(matches!(log.append(&bad), Err(LogError::Batch { .. })), "{bad:?}");
    }
    put(&mut log, batch(6, vec![record(1, 1)]));
}

#[test]
fn another_network_is_refused_by_name() {
    let disk = FaultDisk::new();
    drop(open(&disk).expect("opens"));
    let other = LogConfig { chain: [8; 32], ..config() };
    let error = Log::open_on(disk.arc(), Path::new(DIR), other).map(drop).expect_err("foreign");
    let text = error.to_string();
    assert!(text.contains("0707") && text.contains("0808") && text.contains("genesis"), "{text}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for segment_bytes in [0, 4096, 10_000] {
        let bad = LogConfig { segment_bytes, ..config() };
        let error = Log::open_on(FaultDisk::new().arc(), Path::new(DIR), bad).map(drop).expect_err("bad");
        assert!(matches!(error, LogError::Config { .. }), "{error}");
    }
}

/// Heights 1 to 6, certified at 3 and 5.
fn ledger() -> (FaultDisk, Log, storage::LogReader) {
    let disk = FaultDisk::new();
    let (mut log, reader) = open(&disk).expect("opens");
    for height in 1..=6 {
        let mut items =
            vec![item(LogKind::Block, height, height, 200), item(LogKind::Entry, height, height, 20)];
        if height == 3 || height == 5 {
            items.push(item(LogKind::Certificate, height, 0, 30));
        }
        put(&mut log, batch(height, items));
    }
    (disk, log, reader)
}

#[test]
fn a_chain_ends_at_the_last_certificate_that_fits() {
    let (disk, log, reader) = ledger();
    let bodies = |kind, heights: std::ops::RangeInclusive<u64>, bytes| -> Vec<bytes::Bytes> {
        heights.map(|height| item(kind, height, height, bytes).body).collect()
    };
    let certificate = |height| Some(item(LogKind::Certificate, height, 0, 30).body);
    let check = |reader: &storage::LogReader| {
        let chain = |from, max_bytes| reader.chain(from, max_bytes, 100).expect("reads");
        let part = chain(2, 799);
        assert_eq!(part.entries, bodies(LogKind::Entry, 2..=3, 20));
        assert_eq!(part.certificate, certificate(3));
        assert_eq!(part.blocks, bodies(LogKind::Block, 2..=3, 200));
        let further = chain(2, 800);
        assert_eq!(
            (further.entries.len(), further.certificate, further.blocks.len()),
            (4, certificate(5), 4)
        );
        let few = reader.chain(2, 800, 3).expect("reads");
        assert_eq!((few.entries.len(), few.certificate), (2, certificate(3)));
        assert_eq!(reader.chain(2, 800, 1).expect("reads"), ChainPart::default());
        // Bounded, but never none.
        assert_eq!(chain(1, 401).blocks, bodies(LogKind::Block, 1..=2, 200));
        assert_eq!(chain(1, 0).blocks, bodies(LogKind::Block, 1..=1, 200));
        assert_eq!(chain(5, 0).certificate, certificate(5));
        // Behind the last certificate there are entries, but nothing proves them.
        let open_end = chain(6, 10_000);
        assert_eq!((open_end.entries.len(), open_end.certificate), (1, None));
        for beyond in [0, 7, u64::MAX] {
            assert_eq!(chain(beyond, 10_000), ChainPart::default(), "{beyond}");
        }
        let (height, body) = reader.latest_certificate().expect("reads").expect("there is one");
        assert_eq!((height, Some(body)), (5, certificate(5)));
        assert_eq!(reader.certificate_at_or_above(4).expect("reads").expect("there is one").0, 5);
        assert_eq!(reader.certificate_at_or_above(6).expect("reads"), None);
        assert_eq!(reader.entry(4).expect("reads"), Some(item(LogKind::Entry, 4, 4, 20).body));
        assert_eq!(reader.entries_from(), Some(1));
    };
    check(&reader);
    drop(log);
    let (_, reader) = open(&disk).expect("opens");
    check(&reader);
}

#[test]
fn recovery_gives_what_is_above_and_where_the_ledger_begins() {
    let (disk, mut log, _) = ledger();
    // State transfer carried the replica from 6 to 20.
    put(&mut log, batch(7, vec![item(LogKind::Entry, 20, 20, 20), item(LogKind::Entry, 21, 21, 20)]));
    drop(log);
    let (_, reader) = open(&disk).expect("opens");
    let recovered = reader.recover(4).expect("recovers");
    let found: Vec<_> = recovered.items.iter().map(|item| (item.kind, item.height)).collect();
    let (block, entry, certificate) = (LogKind::Block, LogKind::Entry, LogKind::Certificate);
    assert_eq!(
        found,
        [
            // Records in force may rely on it.
            (certificate, 3),
            (block, 5),
            (entry, 5),
            (certificate, 5),
            (block, 6),
            (entry, 6),
            (entry, 20),
            (entry, 21)
        ]
    );
    assert_eq!(recovered.entries_from, Some(20));
    assert_eq!(reader.chain(1, 1 << 20, 100).expect("reads").entries.len(), 5);
}

#[test]
fn of_two_blocks_with_one_digest_the_later_survives_the_release_of_the_earlier() {
    let disk = FaultDisk::new();
    let (mut log, reader) = open(&disk).expect("opens");
    let block = item(LogKind::Block, 1, 1, 50);
    put(&mut log, head(1, vec![], vec![block.clone()]));
    put(&mut log, head(2, vec![], vec![block.clone()]));
    log.release(2).expect("releases the first");
    assert_eq!(reader.block(&block.digest).expect("reads"), Some(block.body));
}
