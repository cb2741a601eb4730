//! Crash at every operation, lose what was not synced, come back: everything durable is there, nothing is invented,
//! the order is kept, and the log goes on.

use std::path::Path;

use bft_core::log::{LogBatch, LogKind};
use proptest::prelude::*;
use storage::testing::{Dice, Fault, FaultDisk};
use storage::{Log, LogConfig, LogError, LogReader};

use crate::model::{Model, batch, head, item, record};

pub const DIR: &str = "/log";

pub fn config() -> LogConfig {
    LogConfig { segment_bytes: 8192, max_body_bytes: 16 << 10, max_spares: 1, ..LogConfig::new([7; 32]) }
}

pub fn open(disk: &FaultDisk) -> Result<(Log, LogReader), LogError> {
    Log::open_on(disk.arc(), Path::new(DIR), config())
}

/// What a writer does to its log.
#[derive(Clone, Debug)]
enum Act {
    Append(LogBatch),
    Sync,
    Prepare,
    Release(u64),
    Close,
}

/// Acts with heights and contents that follow from their place.
fn script(shapes: &[(u8, u16)]) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut height = 0;
    for (sequence, (shape, size)) in shapes.iter().enumerate() {
        let sequence = sequence as u64 + 1;
        let size = usize::from(*size);
        match shape % 8 {
            0 => {
                // Every record so far stays in force: those of the model are its own affair.
                let records = vec![record(sequence, size), record(sequence + 1000, 9)];
                acts.push(Act::Append(head(sequence, records, vec![])));
            }
            1..=4 => {
                height += 1;
                let items = vec![
                    item(LogKind::Block, height, sequence, size),
                    record(sequence, 48),
                    item(LogKind::Entry, height, sequence, 100),
                    item(LogKind::Certificate, height, sequence, size / 4),
                ];
                acts.push(Act::Append(batch(sequence, items)));
            }
            5 => acts.push(Act::Append(batch(sequence, vec![record(sequence, size)]))),
            6 => acts.push(Act::Prepare),
            _ => acts.push(Act::Release(height.saturating_sub(1))),
        }
        if shape >= &128 {
            acts.push(Act::Sync);
        }
    }
    acts.push(Act::Sync);
    acts.push(Act::Close);
    acts
}

/// Runs the acts until one fails, keeping the model in step.
fn run(disk: &FaultDisk, acts: &[Act], model: &mut Model) -> Result<(), LogError> {
    let (mut log, _) = open(disk)?;
    for act in acts {
        match act {
            Act::Append(batch) => {
                model.append(batch);
                log.append(batch)?;
            }
            Act::Sync => {
                log.sync()?;
                model.synced();
            }
            Act::Prepare => {
                log.prepare()?;
            }
            Act::Release(below) => {
                model.released = model.released.max(*below);
                log.release(*below)?;
            }
            Act::Close => {
                log.close()?;
                model.synced();
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Opens after a crash, checks, goes on writing, crashes again, checks again.
fn come_back(disk: &FaultDisk, model: &mut Model, dice: &mut Dice) -> Result<(), String> {
    let (mut log, reader) = open(disk).map_err(|e| format!("refused: {e}"))?;
    model.check(&reader.recover(model.above()).map_err(|e| e.to_string())?)?;
    for sequence in 1..=3 {
        let batch = batch(sequence, vec![record(5000 + sequence, 300), record(6000 + sequence, 40)]);
        model.append(&batch);
        log.append(&batch).map_err(|e| e.to_string())?;
        if sequence < 3 {
            log.sync().map_err(|e| e.to_string())?;
            model.synced();
        }
    }
    drop(log);
    let disk = disk.crash(dice);
    let (_, reader) = open(&disk).map_err(|e| format!("refused the second time: {e}"))?;
    model.check(&reader.recover(model.above()).map_err(|e| e.to_string())?)
}

/// Lets the script crash at one operation.
fn crash_once(acts: &[Act], at: u64, seed: u64) -> Result<(), String> {
    let disk = FaultDisk::new();
    disk.fail_at(at, Fault::Crash);
    let mut model = Model::default();
    let _ = run(&disk, acts, &mut model);
    let mut dice = Dice::new(seed);
    come_back(&disk.crash(&mut dice), &mut model, &mut dice)
}

/// Lets one operation fail, restarts the process on the running machine, goes on, and then has the power fail.
fn fail_once(acts: &[Act], at: u64, seed: u64) -> Result<(), String> {
    let disk = FaultDisk::new();
    disk.fail_at(at, Fault::Eio);
    let mut model = Model::default();
    let _ = run(&disk, acts, &mut model);
    come_back(&disk, &mut model, &mut Dice::new(seed))
}

/// Batches of all kinds, some larger than a segment, some synced and some not.
const SHAPES: [(u8, u16); 22] = [
    (0x80, 60),
    (0x81, 700),
    (0x02, 900),
    (0x85, 30),
    (0x06, 0),
    (0x03, 1500),
    (0x84, 600),
    (0x00, 80),
    (0x81, 2000),
    (0x07, 0),
    (0x02, 333),
    (0x83, 9000),
    (0x06, 0),
    (0x80, 10),
    (0x01, 1),
    (0x05, 1200),
    (0x82, 1023),
    (0x87, 0),
    (0x00, 700),
    (0x01, 777),
    (0x87, 0),
    (0x83, 64),
];

#[test]
fn threat_72_and_75_every_crash_point_keeps_what_was_durable() {
    let acts = script(&SHAPES);
    let disk = FaultDisk::new();
    let mut model = Model::default();
    run(&disk, &acts, &mut model).expect("without faults the script runs through");
    let operations = disk.operations();
    assert!(operations > 60, "the script does too little: {operations}");
    for at in 0..operations {
        for seed in 0..12 {
            if let Err(error) = crash_once(&acts, at, seed) {
                panic!("crash at operation {at}, seed {seed}: {error}");
            }
        }
    }
}

#[test]
fn threat_74_and_75_every_failed_operation_is_survived_even_if_the_power_fails_next() {
    let acts = script(&SHAPES);
    let disk = FaultDisk::new();
    run(&disk, &acts, &mut Model::default()).expect("without faults the script runs through");
    for at in 0..disk.operations() {
        for seed in 0..12 {
            if let Err(error) = fail_once(&acts, at, seed) {
                panic!("operation {at} fails, seed {seed}: {error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_script_survives_any_crash(
        shapes in prop::collection::vec((any::<u8>(), 0u16..3000), 1..30),
        at in 0u64..200,
        seed in any::<u64>(),
    ) {
        let result = crash_once(&script(&shapes), at, seed);
        prop_assert!(result.is_ok(), "{result:?}");
    }
}
