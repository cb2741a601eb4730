//! The writer thread: one sync for all that is queued, one failure, an orderly end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::unbounded;
use storage::testing::{Dice, Fault, FaultDisk};
use storage::{Log, LogEvent, LogWriter, QueueError, WriterStopped};

use crate::crash::{DIR, config, open};
use crate::gated_disk::{DEADLINE, Gate, GatedDisk};
use crate::model::{Model, batch, head, record};

/// A disk with a log that needs no preparing, so that the only syncs are those of groups.
fn prepared() -> FaultDisk {
    let disk = FaultDisk::new();
    let (mut log, _) = open(&disk).expect("opens");
    while log.prepare().expect("prepares") {}
    disk
}

#[test]
fn what_is_queued_during_a_sync_becomes_durable_with_the_next_one() {
    let disk = prepared();
    let (gate, entries, open_gate) = Gate::new();
    let gated = GatedDisk::new(&disk);
    let (log, _) = Log::open_on(Arc::new(gated.clone()), Path::new(DIR), config()).expect("opens");
    gated.sync.lock().replace(gate);

    let (events, seen) = unbounded();
    let writer = LogWriter::spawn(log, move |event| events.send(event).expect("heard")).expect("spawns");
    writer.append(batch(1, vec![record(1, 100)])).expect("queues");
    entries.recv_timeout(DEADLINE).expect("the first sync is under way");
    for sequence in 2..=9 {
        writer.append(batch(sequence, vec![record(sequence, 100), record(sequence, 7)])).expect("queues");
    }
    assert!(seen.is_empty(), "nothing is durable before the sync returns");
    open_gate.send(()).expect("lets the first sync go");
    assert!(matches!(seen.recv_timeout(DEADLINE), Ok(LogEvent::Durable { sequence: 1 })));
    entries.recv_timeout(DEADLINE).expect("the second sync is under way");
    open_gate.send(()).expect("lets the second sync go");
    assert!(matches!(seen.recv_timeout(DEADLINE), Ok(LogEvent::Durable { sequence: 9 })));

    let counters = writer.counters().clone();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((count(&counters.groups), count(&counters.fsyncs)), (2, 2));
    assert_eq!((count(&counters.batches), count(&counters.items)), (9, 17));
    assert_eq!(count(&counters.payload_bytes), 9 * 100 + 8 * 7);
    assert_eq!(count(&counters.appended_bytes), 9 * (80 + 104) + 8 * (80 + 8));
    drop(open_gate);
    writer.shutdown().expect("closes");
    // Closing added its frame; no event tells of it.
    assert_eq!(count(&counters.groups), 3);
    assert!(seen.is_empty());
}

#[test]
fn threat_74_a_failure_is_reported_once_and_ends_the_thread() {
    let disk = prepared();
    let (log, _) = open(&disk).expect("opens");
    // The write of the group is the next operation, its sync the one after.
    disk.fail_at(disk.operations() + 1, Fault::Eio);
    let (events, seen) = unbounded();
    let writer = LogWriter::spawn(log, move |event| events.send(event).expect("heard")).expect("spawns");
    writer.append(batch(1, vec![record(1, 100)])).expect("queues");
    let event = seen.recv_timeout(DEADLINE).expect("the failure");
    assert!(matches!(&event, LogEvent::Failed(error) if error.to_string().contains("fsync")), "{event:?}");
    // The thread drops its end of both channels: no second event, and nobody takes batches.
    assert!(seen.recv_timeout(DEADLINE).is_err());
    assert_eq!(writer.append(batch(2, vec![])), Err(WriterStopped));
    assert_eq!(writer.release(1), Err(WriterStopped));
    assert_eq!(writer.try_append(batch(2, vec![])), Err(QueueError::Stopped(WriterStopped)));
    assert!(writer.shutdown().is_err());
}

#[test]
fn a_full_queue_gives_the_batch_back() {
    let disk = prepared();
    let (gate, entries, open_gate) = Gate::new();
    let gated = GatedDisk::new(&disk);
    let small = storage::LogConfig { queue_batches: 1, ..config() };
    let (log, _) = Log::open_on(Arc::new(gated.clone()), Path::new(DIR), small).expect("opens");
    gated.sync.lock().replace(gate);
    let writer = LogWriter::spawn(log, |_| {}).expect("spawns");
    writer.append(batch(1, vec![record(1, 1)])).expect("queues");
    entries.recv_timeout(DEADLINE).expect("the writer is busy");
    writer.try_append(batch(2, vec![])).expect("one fits");
    assert_eq!(writer.try_append(batch(3, vec![])), Err(QueueError::Full(batch(3, vec![]))));
    drop(open_gate);
    writer.shutdown().expect("closes");
}

#[test]
fn shutdown_finishes_what_is_queued() {
    let disk = prepared();
    let (log, _) = open(&disk).expect("opens");
    let (events, seen) = unbounded();
    let writer = LogWriter::spawn(log, move |event| events.send(event).expect("heard")).expect("spawns");
    let mut model = Model::default();
    for sequence in 1..=40 {
        let batch = if sequence % 10 == 1 {
            head(sequence, vec![record(sequence, 10)], vec![])
        } else {
            batch(sequence, vec![record(sequence, 300)])
        };
        model.append(&batch);
        writer.append(batch).expect("queues");
    }
    writer.release(1).expect("queues");
    writer.shutdown().expect("closes");
    model.synced();
    let durable: Vec<u64> = seen
        .try_iter()
        .map(|event| match event {
            LogEvent::Durable { sequence } => sequence,
            LogEvent::Failed(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(durable.last(), Some(&40));
    assert!(durable.is_sorted());
    let (_, reader) = open(&disk.crash(&mut Dice::new(3))).expect("opens");
    model.check(&reader.recover(0).expect("recovers")).expect("all of it is there");
}
