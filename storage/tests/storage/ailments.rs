//! What a disk does wrong without saying so: the log notices, or what it forgets is the end of what was written.

use std::path::Path;

use bft_core::log::LogKind;
use storage::testing::{Ailment, Dice, FaultDisk};
use storage::{Log, LogError};

use crate::crash::{DIR, open};
use crate::model::{Model, batch, head, item, record};

/// What a start makes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Starts {
    refused: u32,
    shortened: u32,
    whole: u32,
}

fn write(log: &mut Log, model: &mut Model, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        let records = vec![record(sequence, 300)];
        let block = vec![item(LogKind::Block, sequence, sequence, 700)];
        let batch = match sequence % 6 {
            1 => head(sequence, records, block),
            _ => batch(sequence, [records, block].concat()),
        };
        model.append(&batch);
        log.append(&batch).expect("appends");
        log.sync().expect("the disk says that all is well");
        model.synced();
    }
}

/// Writes, lets something go wrong, writes on, loses power, starts again; many times.
fn starts(spoil: impl Fn(&FaultDisk, u64)) -> Starts {
    let mut starts = Starts::default();
    for seed in 0..120 {
        let disk = FaultDisk::new();
        let mut model = Model::default();
        let (mut log, _) = open(&disk).expect("opens");
        let mut dice = Dice::new(seed);
        let (before, after) = (1 + dice.roll(8), dice.roll(8));
        write(&mut log, &mut model, 1..=before);
        spoil(&disk, seed);
        write(&mut log, &mut model, before + 1..=before + after);
        drop(log);
        // What is still to go wrong may do so while the log is opened, after its frames were verified.
        let found = open(&disk.crash(&mut dice)).and_then(|(_, reader)| reader.recover(0));
        match found {
            Ok(recovered) if model.check(&recovered).is_ok() => starts.whole += 1,
            Ok(recovered) => {
                model.check_shortened(&recovered).expect("nothing is invented, nor lost in the middle");
                starts.shortened += 1;
            }
            Err(error @ (LogError::Rot { .. } | LogError::MissingSegment { .. })) => {
                let text = error.to_string();
                assert!(text.contains(DIR) && text.contains("does not vote"), "{text}");
                starts.refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    starts
}

#[test]
fn threat_76_a_lost_write_is_refused_or_the_last() {
    let starts = starts(|disk, seed| disk.arm(Ailment::LostWrite, seed));
    assert!(starts.refused > 20 && starts.shortened > 0 && starts.whole > 0, "{starts:?}");
}

#[test]
fn threat_76_a_write_to_another_sector_is_refused_or_shows_as_a_torn_end() {
    let starts = starts(|disk, seed| disk.arm(Ailment::MisdirectedWrite, seed));
    assert!(starts.refused > 20 && starts.whole > 0, "{starts:?}");
}

#[test]
fn threat_76_a_sector_that_reads_as_of_old_is_refused_or_shows_as_a_torn_end() {
    let starts = starts(|disk, seed| disk.arm(Ailment::StaleRead, seed));
    assert!(starts.refused > 20 && starts.whole > 0, "{starts:?}");
}

#[test]
fn threat_73_a_sector_that_rots_is_refused_or_shows_as_a_torn_end() {
    let starts = starts(|disk, seed| assert!(disk.rot(seed), "there is something to rot"));
    assert!(starts.refused > 20, "{starts:?}");
}

#[test]
fn a_disk_that_lies_about_syncs_is_refused_or_forgets_the_end() {
    let starts = starts(|disk, _| disk.lie(true));
    assert!(starts.refused > 0 && starts.shortened > 0 && starts.whole > 0, "{starts:?}");
}

/// threat 74: what was claimed is written once syncs are honest again.
#[test]
fn a_disk_that_has_stopped_lying_has_everything() {
    let starts = starts(|disk, _| {
        disk.lie(true);
        disk.lie(false);
    });
    assert_eq!((starts.refused, starts.shortened), (0, 0), "{starts:?}");
    let disk = FaultDisk::new();
    let mut model = Model::default();
    let (mut log, _) = open(&disk).expect("opens");
    disk.lie(true);
    write(&mut log, &mut model, 1..=9);
    disk.lie(false);
    let (_, reader) =
        Log::open_on(disk.crash(&mut Dice::new(3)).arc(), Path::new(DIR), crate::crash::config())
            .expect("all of it is there");
    model.check(&reader.recover(0).expect("recovers")).expect("all of it is there");
}

#[test]
fn what_fails_once_is_counted_once() {
    let disk = FaultDisk::new();
    let (mut log, _) = open(&disk).expect("opens");
    disk.arm(Ailment::WriteError, 1);
    log.append(&batch(1, vec![record(1, 10)])).expect("appends");
    assert!(matches!(log.sync(), Err(LogError::Io { operation: "write", .. })));
    drop(log);
    disk.arm(Ailment::ReadError, 1);
    assert!(matches!(open(&disk).map(drop), Err(LogError::Io { operation: "read", .. })));
    disk.arm(Ailment::SyncError, 1);
    assert!(matches!(open(&disk).map(drop), Err(LogError::SyncFailed { .. })));
    open(&disk).expect("mended");
    let struck: Vec<u64> = disk.take_struck().into_values().collect();
    assert_eq!((struck, disk.take_struck().len()), (vec![1, 1, 1], 0));
}
