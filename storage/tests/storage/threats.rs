//! Rows 72 to 78 of the threat catalogue, one by one.

use std::path::{Path, PathBuf};

use bft_core::log::LogKind;
use proptest::prelude::*;
use storage::log::Defect;
use storage::testing::{Dice, Fault, FaultDisk};
use storage::{Log, LogConfig, LogError};

use crate::crash::{DIR, config, open};
use crate::model::{Model, batch, head, item, record};

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("segment-{number:016x}.log"))
}

/// Bytes of a segment in use: the files begin as zeros.
fn used(disk: &FaultDisk, number: u64) -> usize {
    disk.content(&segment(number)).iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Two segments, a sync after each batch: records 1, 2 and 3 in the first, 4 and 5 in the second.
fn two_segments() -> (FaultDisk, Model) {
    let disk = FaultDisk::new();
    let mut model = Model::default();
    let (mut log, _) = open(&disk).expect("opens");
    for sequence in 1..=5 {
        let records = vec![record(sequence, 90)];
        let block = vec![item(LogKind::Block, sequence, sequence, 150)];
        let batch = match sequence {
            1 | 4 => head(sequence, records, block),
            _ => batch(sequence, [records, block].concat()),
        };
        model.append(&batch);
        log.append(&batch).expect("appends");
        log.sync().expect("syncs");
        model.synced();
    }
    (disk, model)
}

fn recovered(disk: &FaultDisk, model: &mut Model) -> Result<(), String> {
    let (_, reader) = open(disk).map_err(|e| e.to_string())?;
    model.check(&reader.recover(model.above()).map_err(|e| e.to_string())?)
}

#[test]
fn threat_72_a_torn_group_with_a_hole_is_dropped_and_only_it() {
    let (disk, mut model) = two_segments();
    let before = used(&disk, 2);
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&batch(1, vec![record(70, 700), record(71, 700), record(72, 700)])).expect("appends");
    log.sync().expect("syncs");
    drop(log);
    // One sync wrote all three, and the power failed before it returned: the first did not make it.
    disk.tamper(&segment(2), |bytes| bytes[before..before + 600].fill(0));
    let mut again = model.clone();
    assert_eq!(recovered(&disk, &mut model), Ok(()));
    // What was dropped is gone for good: the second and third frame must not come back behind new ones.
    assert_eq!(used(&disk, 2), before);
    assert_eq!(recovered(&disk, &mut again), Ok(()));
}

#[test]
fn threat_73_no_byte_of_the_durable_middle_can_rot_unnoticed() {
    let (disk, _) = two_segments();
    // The last group is two frames, of 80 + 96 and 80 + 152 bytes; all before it are proven durable.
    let last_group = used(&disk, 2) - (80 + 90 + 6 + 80 + 150);
    for (number, end) in [(1, used(&disk, 1)), (2, last_group)] {
        for at in 0..end {
            let rotten = disk.copy();
            rotten.tamper(&segment(number), |bytes| bytes[at] ^= 0x10);
            let before = rotten.content(&segment(number));
            match open(&rotten) {
                Err(LogError::Rot { path, .. }) => assert_eq!(path, segment(number)),
                other => panic!("segment {number}, byte {at}: {:?}", other.map(|_| "opened")),
            }
            assert!(rotten.content(&segment(number)) == before, "a refused log must stay as it was");
        }
    }
}

#[test]
fn threat_73_after_an_orderly_stop_the_last_group_is_covered_too() {
    let (disk, _) = two_segments();
    let end = used(&disk, 2);
    let (log, _) = open(&disk).expect("opens");
    log.close().expect("closes");
    assert!(used(&disk, 2) > end, "a closing frame was written");
    for at in 0..end {
        let rotten = disk.copy();
        rotten.tamper(&segment(2), |bytes| bytes[at] ^= 0x80);
        assert!(matches!(open(&rotten), Err(LogError::Rot { .. })), "byte {at}");
    }
    // Closing a log nothing was written to adds nothing.
    let closed = used(&disk, 2);
    let (log, _) = open(&disk).expect("opens");
    log.close().expect("closes");
    assert_eq!(used(&disk, 2), closed);
}

#[test]
fn threat_73_rot_under_a_running_replica_is_an_error_of_the_read() {
    let (disk, _) = two_segments();
    let (_log, reader) = open(&disk).expect("opens");
    let block = item(LogKind::Block, 2, 2, 150);
    assert_eq!(reader.block(&block.digest).expect("reads"), Some(block.body.clone()));
    let at = disk.content(&segment(1)).windows(150).position(|w| w == block.body).expect("stands there");
    disk.tamper(&segment(1), |bytes| bytes[at + 3] ^= 1);
    let error = reader.block(&block.digest).expect_err("rotten");
    let LogError::Rot { path, offset, defect, .. } = &error else { panic!("{error}") };
    assert_eq!((path, *offset, defect), (&segment(1), at as u64 - 80, &Defect::BodyChecksum));
    assert!(error.to_string().contains("Do not truncate"), "{error}");
}

#[test]
fn threat_73_a_missing_segment_is_refused() {
    let (disk, _) = two_segments();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&head(1, vec![record(1, 1)], vec![])).expect("appends");
    log.sync().expect("syncs");
    drop(log);
    disk.delete(&segment(2));
    assert!(matches!(open(&disk), Err(LogError::MissingSegment { expected: 2, .. })));
}

#[test]
fn threat_74_a_failed_sync_stops_the_log_for_good() {
    let (disk, _) = two_segments();
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&batch(1, vec![record(9, 100)])).expect("appends");
    disk.fail_at(disk.operations() + 1, Fault::Eio); // The write is this one, the sync the next.
    let first = log.sync().expect_err("the sync fails");
    assert!(matches!(first, LogError::SyncFailed { .. }), "{first}");
    // The disk would call the next sync a success. Nobody asks it.
    let operations = disk.operations();
    for again in [log.sync(), log.append(&batch(2, vec![])), log.release(9), log.prepare().map(drop)] {
        assert_eq!(again.expect_err("still stopped").to_string(), first.to_string());
    }
    assert_eq!(disk.operations(), operations);
}

#[test]
fn threat_74_what_only_the_page_cache_holds_is_written_again_before_it_counts() {
    let (disk, mut model) = two_segments();
    let (mut log, _) = open(&disk).expect("opens");
    let lost = batch(1, vec![record(9, 100)]);
    model.append(&lost);
    log.append(&lost).expect("appends");
    disk.fail_at(disk.operations() + 1, Fault::Eio);
    log.sync().expect_err("the sync fails, and the disk forgets what it should have written");
    drop(log);
    // The process is started again on the running machine. It reads the frame from the cache and builds on it...
    let (log, reader) = open(&disk).expect("opens");
    model.synced();
    model.check(&reader.recover(0).expect("recovers")).expect("the frame is there");
    drop(log);
    // ...so the frame must survive the power failure that comes now.
    assert_eq!(recovered(&disk.crash(&mut Dice::new(1)), &mut model), Ok(()));
}

#[test]
fn threat_75_a_new_segment_has_its_name_before_it_has_frames() {
    let (disk, mut model) = two_segments();
    let (mut log, _) = open(&disk).expect("opens");
    let batch = head(1, vec![record(8, 10)], vec![]);
    model.append(&batch);
    log.append(&batch).expect("appends");
    log.sync().expect("syncs");
    model.synced();
    for seed in 0..20 {
        let after = disk.crash(&mut Dice::new(seed));
        assert!(after.list_all().contains(&segment(3)));
        assert_eq!(recovered(&after, &mut model.clone()), Ok(()));
    }
}

#[test]
fn threat_76_a_misdirected_write_is_refused() {
    let (disk, _) = two_segments();
    // Frames 4 and 7 have the same length and kind; frame 4 lands where frame 7 should be, and the other way round.
    let bytes = disk.content(&segment(1));
    let place = |about| {
        let body = record(about, 90).body;
        bytes.windows(90).position(|w| w == body).expect("stands there") - 80
    };
    let (from, to) = (place(2), place(3));
    let frame = bytes[from..from + 80 + 96].to_vec();
    disk.tamper(&segment(1), |bytes| bytes[to..to + frame.len()].copy_from_slice(&frame));
    let error = open(&disk).map(drop).expect_err("misdirected");
    assert!(matches!(&error, LogError::Rot { offset, .. } if *offset == to as u64), "{error}");
}

#[test]
fn threat_76_a_lost_write_shows_the_earlier_life_of_the_file_and_is_refused() {
    let (disk, _) = two_segments();
    let old = disk.content(&segment(1));
    let (mut log, _) = open(&disk).expect("opens");
    log.release(4).expect("releases segment 1, whose file becomes a spare");
    // Segment 3 is made of that file, and filled just as segment 1 was.
    for sequence in 1..=3 {
        let records = vec![record(sequence, 90)];
        let block = vec![item(LogKind::Block, sequence, sequence, 150)];
        let batch = match sequence {
            1 => head(sequence, records, block),
            _ => batch(sequence, [records, block].concat()),
        };
        log.append(&batch).expect("appends");
        log.sync().expect("syncs");
    }
    drop(log);
    open(&disk).expect("all is well so far");
    // The write of its second batch never arrived: the disk shows what the file held before.
    let second = 4096 + (80 + 96) + 80 + (80 + 152);
    disk.tamper(&segment(3), |bytes| bytes[second..second + 400].copy_from_slice(&old[second..second + 400]));
    let error = open(&disk).map(drop).expect_err("stale");
    assert!(matches!(&error, LogError::Rot { offset, .. } if *offset == second as u64), "{error}");
}

#[test]
fn threat_77_a_full_disk_stops_the_log_and_a_restart_with_space_goes_on() {
    let (disk, mut model) = two_segments();
    let (mut log, _) = open(&disk).expect("opens");
    // No room for another segment, nor for preparing one: the second is no error yet.
    disk.limit(Some(disk.used() + 1000));
    assert!(!log.prepare().expect("a full disk is no error while the segment has room"));
    assert_eq!(disk.list_all().len(), 2, "the half-made file is gone");
    let small = batch(1, vec![record(8, 10)]);
    model.append(&small);
    log.append(&small).expect("the current segment has room");
    log.sync().expect("syncs");
    model.synced();
    let large = batch(2, vec![record(9, 5000)]);
    model.append(&large);
    let error = log.append(&large).expect_err("full");
    assert!(matches!(error, LogError::DiskFull { .. }));
    let text = error.to_string();
    assert!(text.contains("no space left") && text.contains("free space") && text.contains(DIR), "{text}");
    assert!(matches!(log.sync(), Err(LogError::DiskFull { .. })), "stopped");
    drop(log);
    // Still full: it starts, and serves what it has.
    assert_eq!(recovered(&disk, &mut model.clone()), Ok(()));
    disk.limit(None);
    assert_eq!(recovered(&disk, &mut model), Ok(()));
    let (mut log, _) = open(&disk).expect("opens");
    log.append(&large).expect("appends");
    log.sync().expect("syncs");
}

#[test]
fn threat_78_a_corrupt_length_is_refused_before_anything_is_allocated() {
    let (disk, _) = two_segments();
    for length in [u32::MAX, 1 << 30, 91, 89, 0] {
        let rotten = disk.copy();
        rotten.tamper(&segment(1), |bytes| bytes[4096 + 4..4096 + 8].copy_from_slice(&length.to_le_bytes()));
        let error = open(&rotten).map(drop).expect_err("corrupt");
        assert!(matches!(error, LogError::Rot { offset: 4096, frame: 1, .. }), "{error}");
    }
}

#[test]
fn threat_78_a_body_beyond_the_limit_is_refused_both_ways() {
    let disk = FaultDisk::new();
    let (mut log, _) = open(&disk).expect("opens");
    let large = batch(1, vec![record(1, 5), record(2, (16 << 10) + 1)]);
    let error = log.append(&large).expect_err("too large");
    assert!(error.to_string().contains("max_body_bytes"), "{error}");
    // Nothing of it was taken, and the log goes on.
    log.append(&batch(1, vec![record(3, 16 << 10)])).expect("appends");
    log.sync().expect("syncs");
    drop(log);
    let lower = LogConfig { max_body_bytes: 1000, ..config() };
    let error = Log::open_on(disk.arc(), Path::new(DIR), lower).map(drop).expect_err("too large");
    assert!(matches!(error, LogError::BodyTooLarge { limit: 1000, bytes: 16_384, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the files, opening answers.
    #[test]
    fn threat_78_garbage_is_answered(
        garbage in prop::collection::vec(any::<u8>(), 0..2000),
        number in 1u64..3,
        at in 0usize..8192,
        cut in any::<bool>(),
    ) {
        let (disk, _) = two_segments();
        disk.tamper(&segment(number), |bytes| {
            let end = bytes.len().min(at + garbage.len());
            bytes[at..end].copy_from_slice(&garbage[..end - at]);
            if cut {
                bytes.truncate(end);
            }
        });
        let _ = open(&disk).map(|(_, reader)| reader.recover(0));
    }
}
