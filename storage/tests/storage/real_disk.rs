//! The same on the file system of this machine.

use bft_core::log::LogKind;
use crossbeam_channel::unbounded;
use storage::{DataDir, Log, LogConfig, LogError, LogEvent, LogWriter};

use crate::model::{Model, batch, digest, head, item, record};

fn config() -> LogConfig {
    LogConfig { segment_bytes: 64 << 10, ..LogConfig::new([7; 32]) }
}

#[test]
fn a_log_lives_through_rolls_releases_and_restarts() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path().join("a/b/log");
    let mut model = Model::default();
    let mut height = 0;
    for life in 0..3 {
        let (log, reader) = Log::open(&dir, config()).expect("opens");
        model.check(&reader.recover(model.above()).expect("recovers")).expect("all of it is there");
        let (events, seen) = unbounded();
        let writer = LogWriter::spawn(log, move |event| events.send(event).expect("heard")).expect("spawns");
        for sequence in 1..=60 {
            height += 1;
            let block = item(LogKind::Block, height, height, 4000);
            let batch = if sequence % 10 == 0 {
                head(sequence, vec![record(height, 100)], vec![block])
            } else {
                batch(sequence, vec![block, record(height, 100)])
            };
            model.append(&batch);
            writer.append(batch).expect("queues");
        }
        model.released = height - 20;
        writer.release(model.released).expect("queues");
        if life == 1 {
            // No orderly stop: wait until all is durable, then leave the thread to itself.
            while !matches!(seen.recv().expect("an event"), LogEvent::Durable { sequence: 60 }) {}
            drop(writer);
            while seen.recv().is_ok() {}
        } else {
            writer.shutdown().expect("closes");
        }
        model.synced();
        assert!(reader.block(&digest(height)).expect("reads").is_some());
        assert_eq!(reader.block(&digest(1)).expect("reads"), None, "released");
    }
    let files = std::fs::read_dir(&dir).expect("lists").count();
    assert!(files < 14, "released segments pile up: {files} files");
}

#[test]
fn readers_read_while_segments_come_and_go() {
    let home = tempfile::tempdir().expect("a directory");
    let (mut log, reader) = Log::open(home.path(), config()).expect("opens");
    let (stop, stopped) = unbounded::<()>();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, stopped) = (reader.clone(), stopped.clone());
            std::thread::spawn(move || {
                let mut found = 0u64;
                while stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
                    for height in 1..=400 {
                        // Either it is there and right, or it is gone: never an error, never another's bytes.
                        if let Some(body) = reader.block(&digest(height)).expect("reads") {
                            assert_eq!(body, item(LogKind::Block, height, height, 3000).body);
                            found += 1;
                        }
                    }
                }
                found
            })
        })
        .collect();
    for height in 1..=400 {
        let block = item(LogKind::Block, height, height, 3000);
        let next = if height % 15 == 0 {
            head(height, vec![record(1, 1)], vec![block])
        } else {
            batch(height, vec![block])
        };
        log.append(&next).expect("appends");
        log.sync().expect("syncs");
        log.release(height.saturating_sub(30)).expect("releases");
    }
    drop(stop);
    for reader in readers {
        assert!(reader.join().expect("no panic") > 0);
    }
}

#[test]
fn threat_80_a_data_directory_that_lost_its_log_does_not_pass_for_new() {
    let home = tempfile::tempdir().expect("a directory");
    DataDir::init(home.path(), [7; 32], 2).expect("initialises");
    let mut data = DataDir::open(home.path(), [7; 32], 2).expect("opens");
    drop(data.open_log(config()).expect("opens the log"));
    let log_dir = data.log_dir();
    drop(data);
    std::fs::remove_dir_all(&log_dir).expect("the operator cleans up");
    let error = DataDir::open(home.path(), [7; 32], 2).expect_err("amnesia");
    assert!(error.to_string().contains("lost its log"), "{error}");
    // A log for another network in a directory of this one.
    let foreign = LogConfig { chain: [8; 32], ..config() };
    drop(Log::open(&log_dir, foreign).expect("opens"));
    let mut data = DataDir::open(home.path(), [7; 32], 2).expect("opens");
    let error = data.open_log(config()).expect_err("foreign");
    assert!(matches!(error, storage::DataDirError::Log(LogError::ForeignChain { .. })), "{error}");
}
