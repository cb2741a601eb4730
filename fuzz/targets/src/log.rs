//! Opening a log whose files hold what they should not.
//!
//! The input says what is appended, synced and rolled, and then what happens to the files. Oracles: a log that opens gives a prefix
//! of what was appended, everything but the last group at least; damage of up to four bytes (which CRC-32 never misses) in front of the
//! last group is refused with a place at or before it, and the files stay as they were; bytes behind the end are dropped; and
//! opening twice gives the same. Whatever else the files are made of, nothing panics.

use crate::input::Input;
use crate::memory_disk::MemoryDisk;
use bft_core::log::{LogBatch, LogItem, LogKind};
use bytes::Bytes;
use crypto::Digest;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Log, LogConfig, LogError, LogReader, Recovered};

const DIR: &str = "/log";
const SEGMENT_BYTES: u64 = 8192;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        max_body_bytes: 4096,
        max_spares: 1,
        queue_batches: 4,
        ..LogConfig::new([7; 32])
    }
}

fn open(disk: &MemoryDisk) -> Result<(Log, LogReader), LogError> {
    Log::open_on(Arc::new(disk.clone()), Path::new(DIR), config())
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("segment-{number:016x}.log"))
}

/// A log with a past.
#[derive(Default)]
struct Written {
    disk: MemoryDisk,
    items: Vec<LogItem>,
    /// For each mark: its place in `items`, and where its batch begins.
    marks: Vec<(usize, usize)>,
    /// For each item but marks: its segment, the bytes in front of it there, and where it ends.
    ends: Vec<(u64, u64)>,
    /// Items that a later group, or the close, says are durable.
    proven: usize,
}

/// One byte for the kind of run.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 8 {
        0 => arbitrary(&mut input),
        kind => {
            let written = write(&mut input);
            match kind {
                1 => whole(&written),
                2 => garbage_behind(&written, &mut input),
                3 | 4 => burst(&written, &mut input),
                _ => anything(&written, &mut input),
            }
        }
    }
}

/// Files of whatever content, some with a good header.
fn arbitrary(input: &mut Input<'_>) {
    let disk = MemoryDisk::default();
    for _ in 0..=input.below(3) {
        let names = [
            "segment-0000000000000001.log",
            "segment-0000000000000002.log",
            "spare-ffffffffffffffff.log",
            "segment-ffffffffffffffff.log",
            "x",
        ];
        let path = Path::new(DIR).join(input.pick(&names));
        let good = input.byte() % 2 == 1;
        let mut content = Vec::new();
        if good {
            let fresh = MemoryDisk::default();
            drop(open(&fresh).expect("an empty disk opens"));
            content = fresh.contents()[&segment(1)][..4096].to_vec();
        }
        let count = input.short();
        content.extend_from_slice(input.take(count));
        content.resize(content.len().next_multiple_of(1 << (input.byte() % 14)), 0);
        disk.put(&path, content);
    }
    if let Ok((log, reader)) = open(&disk) {
        let first = reader.recover(0).map_err(|error| error.to_string());
        drop(log);
        let (mut log, reader) = open(&disk).expect("what opened opens again");
        assert_eq!(
            reader.recover(0).map_err(|error| error.to_string()),
            first,
            "opening twice gives the same"
        );
        let record = LogItem {
            kind: LogKind::Record,
            height: 0,
            digest: Digest::ZERO,
            body: Bytes::from_static(b"r"),
        };
        // The numbers in a file that somebody made may leave no room; a refusal is fine.
        let _ = log
            .append(&LogBatch { sequence: 1, new_segment: true, items: vec![record] })
            .and_then(|()| log.sync());
    }
}

/// Appends what the input says.
fn write(input: &mut Input<'_>) -> Written {
    let mut written = Written::default();
    let (mut log, reader) = open(&written.disk).expect("an empty disk opens");
    let (mut segment, mut offset) = (1, 4096);
    let mut height = 0;
    for sequence in 1..=1 + input.below(6) as u64 {
        let shape = input.byte();
        let group_begins = written.items.len();
        let mut items = Vec::new();
        for _ in 0..=shape % 4 {
            let kinds = [LogKind::Record, LogKind::Block, LogKind::Entry, LogKind::Certificate];
            // Nothing but records stands in front of a mark.
            let kind = if shape & 0x80 != 0 { LogKind::Record } else { *input.pick(&kinds) };
            let length = input.below(300);
            height += u64::from(kind != LogKind::Record);
            let at = if kind == LogKind::Record { 0 } else { height };
            let fill = height as u8 ^ length as u8;
            items.push(LogItem {
                kind,
                height: at,
                digest: Digest([fill; 32]),
                body: vec![fill; length].into(),
            });
        }
        let new_segment = shape & 0x80 != 0;
        if new_segment {
            written.marks.push((group_begins + items.len(), group_begins));
            items.push(LogItem { kind: LogKind::Mark, height: 0, digest: Digest::ZERO, body: Bytes::new() });
        }
        let bytes: u64 = items.iter().map(|item| 80 + item.body.len().next_multiple_of(8) as u64).sum();
        // Room for a closing frame is kept.
        if (new_segment || offset + bytes + 80 > SEGMENT_BYTES) && offset > 4096 {
            (segment, offset) = (segment + 1, 4096);
        }
        log.append(&LogBatch { sequence, new_segment, items: items.clone() }).expect("appends");
        for item in items {
            offset += 80 + item.body.len().next_multiple_of(8) as u64;
            written.ends.push((segment, offset));
            written.items.push(item);
        }
        log.sync().expect("syncs");
        // What this group was written behind is durable, and the group says so.
        written.proven = group_begins;
    }
    drop(reader);
    if input.byte().is_multiple_of(4) {
        log.close().expect("closes");
        written.proven = written.items.len();
    }
    assert_eq!(
        written.disk.contents().keys().filter(|path| path.to_string_lossy().contains("segment")).count()
            as u64,
        segment
    );
    written
}

impl Written {
    fn recovered(&self, disk: &MemoryDisk) -> Result<Recovered, LogError> {
        open(disk)?.1.recover(0)
    }

    /// How many items survived: what was recovered must be a prefix.
    fn survived(&self, recovered: &Recovered) -> usize {
        let survives = |kept: usize| {
            let head = self.marks.iter().rev().find(|(mark, _)| *mark < kept).map_or(0, |(_, start)| *start);
            let records = self.items[head..kept].iter().filter(|item| item.kind == LogKind::Record);
            let others = self.items[..kept]
                .iter()
                .filter(|item| !matches!(item.kind, LogKind::Record | LogKind::Mark));
            recovered.records.iter().eq(records.map(|item| &item.body)) && recovered.items.iter().eq(others)
        };
        (0..=self.items.len()).rev().find(|kept| survives(*kept)).expect("what is recovered is a prefix")
    }

    /// Where what is proven durable ends, by segment.
    fn proven_end(&self, segment: u64) -> u64 {
        let proven = self.ends[..self.proven].iter().filter(|(number, _)| *number == segment);
        proven.map(|(_, end)| *end).max().unwrap_or(0)
    }

    fn last(&self) -> (u64, u64) {
        *self.ends.last().expect("something was appended")
    }
}

fn whole(written: &Written) {
    let recovered = written.recovered(&written.disk).expect("a log that was left alone opens");
    assert_eq!(written.survived(&recovered), written.items.len(), "all of it is there");
}

// threat 72: what a crash left behind the end is dropped, and nothing else.
fn garbage_behind(written: &Written, input: &mut Input<'_>) {
    let disk = written.disk.copy();
    let (number, end) = written.last();
    let mut content = disk.contents()[&segment(number)].to_vec();
    // Behind a closing frame, if there is one.
    let end = end as usize + if written.proven == written.items.len() { 80 } else { 0 };
    let garbage = input.rest();
    for (byte, garbage) in content[end.min(SEGMENT_BYTES as usize)..].iter_mut().zip(garbage) {
        *byte = *garbage;
    }
    disk.put(&segment(number), content);
    let recovered = written.recovered(&disk).expect("a tail that a crash left is no damage");
    assert_eq!(written.survived(&recovered), written.items.len(), "all of it is there");
    assert_eq!(written.recovered(&disk).expect("opens again"), recovered);
}

// threat 73, 78: damage is noticed wherever it is, and where it is.
fn burst(written: &Written, input: &mut Input<'_>) {
    let disk = written.disk.copy();
    let number = 1 + input.below(written.last().0 as usize) as u64;
    let mut content = disk.contents()[&segment(number)].to_vec();
    let used = written.ends.iter().filter(|(of, _)| *of == number).map(|(_, end)| *end).max().unwrap_or(4096);
    let at = input.short() % used as usize;
    let flips = [input.byte() | 1, input.byte(), input.byte(), input.byte()];
    // Either in what is proven durable or behind it: the one frame behind it may be all that proves it.
    let proven_end = written.proven_end(number).max(4096) as usize;
    let end = if at < proven_end { proven_end } else { content.len() };
    for (byte, flip) in content[at..end].iter_mut().zip(flips) {
        *byte ^= flip;
    }
    disk.put(&segment(number), content);
    let before = disk.contents();
    let is_durable = number < written.last().0 || at < proven_end;
    match written.recovered(&disk) {
        Ok(recovered) => {
            assert!(!is_durable, "damage at byte {at} of segment {number} goes unnoticed");
            assert!(written.survived(&recovered) >= written.proven, "only the last group may go");
        }
        Err(LogError::Rot { path, offset, .. }) => {
            assert_eq!(path, segment(number), "the damaged file is named");
            assert!(offset <= at as u64, "damage at byte {at} is reported at {offset}");
            assert_eq!(disk.contents(), before, "a refused log stays as it is");
        }
        // A header is believed only with its checksum.
        Err(other) => panic!("damage of segment {number} at byte {at}: {other}"),
    }
}

/// Several changes, a file cut or lost.
fn anything(written: &Written, input: &mut Input<'_>) {
    let disk = written.disk.copy();
    for _ in 0..=input.below(4) {
        let number = 1 + input.below(written.last().0 as usize) as u64;
        let path = segment(number);
        let Some(content) = disk.contents().get(&path).map(|content| content.to_vec()) else { continue };
        let mut content = content;
        let at = input.short() % content.len().max(1);
        let count = input.below(600).min(content.len() - at.min(content.len()));
        match input.byte() % 6 {
            0 => content.truncate(at),
            1 => content[at..at + count].fill(0),
            2 => content.extend_from_slice(input.take(count)),
            3 => content.copy_within(..count, at),
            4 => content[at..at + count].fill(input.byte()),
            _ => {
                for byte in &mut content[at..at + count.min(4)] {
                    *byte ^= input.byte();
                }
            }
        }
        disk.put(&path, content);
    }
    let before = disk.contents();
    match written.recovered(&disk) {
        Ok(recovered) => {
            // Where all behind a place is gone, nothing is left to tell that it was durable; but all earlier segments are whole.
            let last = written.last().0;
            let before_last = written.ends.iter().filter(|(number, _)| *number < last).count();
            assert!(written.survived(&recovered) >= before_last, "a segment in the middle lost something");
            assert_eq!(written.recovered(&disk).expect("opens again"), recovered);
        }
        Err(_) => assert_eq!(disk.contents(), before, "a refused log stays as it is"),
    }
}

/// Seeds: each kind of run over logs of one and of several segments.
pub fn seeds() -> Vec<Vec<u8>> {
    let short: &[u8] = &[2, 1, 0, 9, 0, 1, 200, 0, 2, 3, 10, 0, 1, 1, 1, 2, 50, 0, 3, 20, 0, 1];
    let long: &[u8] =
        &[5, 0x83, 0, 250, 0, 1, 250, 0, 2, 250, 0, 3, 250, 0, 3, 0, 9, 0, 1, 255, 0, 2, 255, 0, 0, 7, 0];
    let mut seeds = Vec::new();
    for kind in 0..8 {
        for past in [short, long] {
            for tail in [&[0_u8; 12], &[1, 0x30, 0x10, 5, 1, 2, 3, 4, 5, 6, 7, 8]] {
                seeds.push([&[kind], past, tail].concat());
            }
        }
    }
    seeds.push(vec![0, 2, 0, 1, 100, 0, 1, 2, 3, 2, 1, 0, 0]);
    seeds.push(vec![0, 1, 2, 0, 0, 0, 13, 0, 1, 0, 0, 13]);
    seeds
}
