//! The log as its one writer sees it: append, sync, release, close.

use std::sync::Arc;
use std::time::Instant;

use bft_core::log::{Height, LogBatch, LogKind};
use parking_lot::RwLock;

use super::config::LogConfig;
use super::counters::LogCounters;
use super::error::LogError;
use super::files::{NamedFile, SegmentFiles};
use super::frame::{FrameHeader, FrameKind, Life, frame_bytes};
use super::header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::index::{Index, SegmentIndex};
use super::scan::Link;

/// A group larger than this is written out in parts, all under one sync.
const WRITE_BYTES: usize = 4 << 20;

/// Where the log is written to next.
#[derive(Debug)]
pub(super) struct Position {
    pub config: LogConfig,
    pub life: Life,
    pub segment: NamedFile,
    /// Where the next frame goes in the file.
    pub offset: u64,
    /// What the next frame continues.
    pub link: Link,
    /// Whether the last frame is a closing one.
    pub closed: bool,
}

/// The log, owned by the one thread that writes it: see [`LogWriter`](super::LogWriter).
///
/// [`append`](Self::append) gathers, [`sync`](Self::sync) writes what was gathered and makes it durable. Once a write
/// or a sync has failed, every call returns that first error (threats 36, 74): what the disk holds is then unknown,
/// and only opening the log again finds out.
#[derive(Debug)]
pub struct Log {
    at: Position,
    files: SegmentFiles,
    index: Arc<RwLock<Index>>,
    counters: Arc<LogCounters>,
    /// Frames not written yet. Invariant: they belong right before `at.offset`.
    group: Vec<u8>,
    /// Places and headers of the frames in `group`.
    places: Vec<(u64, FrameHeader)>,
    /// Number of the last frame that is durable. Invariant: durable < at.link.next.
    durable: u64,
    last_sequence: Option<u64>,
    failed: Option<LogError>,
}

impl Log {
    /// A log whose frames before `at` are all durable.
    pub(super) fn new(
        at: Position,
        files: SegmentFiles,
        index: Arc<RwLock<Index>>,
        counters: Arc<LogCounters>,
    ) -> Log {
        LogCounters::set(&counters.segment_used_bytes, at.offset);
        let durable = at.link.next - 1;
        Log {
            at,
            files,
            index,
            counters,
            group: Vec::new(),
            places: Vec::new(),
            durable,
            last_sequence: None,
            failed: None,
        }
    }

    /// Adds a batch to the group that the next [`sync`](Self::sync) makes durable. Readers see it once it is
    /// written, which is then or earlier.
    ///
    /// # Errors
    /// [`LogError::Batch`] or [`LogError::BodyTooLarge`] if the batch breaks a rule: it is refused as a whole and
    /// the log goes on. Any other error stops the log.
    pub fn append(&mut self, batch: &LogBatch) -> Result<(), LogError> {
        self.check_alive()?;
        self.check_batch(batch)?;
        let result = self.append_checked(batch);
        self.note(result)
    }

    /// Makes everything appended durable with one fdatasync; none if nothing was appended since the last.
    ///
    /// # Errors
    /// The write or the sync failed: the log has stopped, and what was appended since the last sync may or may not
    /// be on disk.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.check_alive()?;
        let result = self.commit();
        self.note(result)
    }

    /// Takes whole segments out of the log, oldest first, in which every block, entry and certificate is below
    /// `below` and whose records a later segment's durable head replaces. Their files are recycled or deleted.
    /// The segment being written is never released.
    ///
    /// # Errors
    /// A rename, deletion or sync failed: the log has stopped.
    pub fn release(&mut self, below: Height) -> Result<(), LogError> {
        self.check_alive()?;
        while let Some(number) = self.releasable(below) {
            let Some(segment) = self.index.write().segments.remove(&number) else { break };
            // One at a time, each made durable before the next, so that a crash leaves no gap in the numbers.
            let result = self.files.retire(NamedFile { path: segment.path, file: segment.file });
            self.note(result)?;
            LogCounters::set(&self.counters.segments, self.index.read().segments.len() as u64);
        }
        Ok(())
    }

    /// One step of about 1 MiB towards a file for the next segment; true if there is more to do. For idle moments.
    ///
    /// # Errors
    /// The disk failed; a full disk is an error only when the file is needed.
    pub fn prepare(&mut self) -> Result<bool, LogError> {
        self.check_alive()?;
        let result = self.files.prepare();
        self.note(result)
    }

    /// Prepares the next segment as far as the current one is used, so that it is ready in time without idle moments.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn keep_pace(&mut self) -> Result<(), LogError> {
        while self.files.prepared_bytes() < self.at.offset && self.prepare()? {}
        Ok(())
    }

    /// Syncs, and writes a frame that says so: from then on every byte of the log is covered by rot detection.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn close(mut self) -> Result<(), LogError> {
        self.sync()?;
        // Without a frame since the last close there is nothing to cover; without room it is not worth a segment.
        if self.at.closed || self.at.offset + frame_bytes(0) > self.at.config.segment_bytes {
            return Ok(());
        }
        let header = FrameHeader::of_close(self.at.link.next, self.durable, self.at.link.previous);
        self.push(header, &[]);
        self.sync()
    }

    /// The counters, which may be read from any thread.
    pub fn counters(&self) -> Arc<LogCounters> {
        self.counters.clone()
    }

    pub(super) fn queue_batches(&self) -> usize {
        self.at.config.queue_batches
    }

    fn check_alive(&self) -> Result<(), LogError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn note<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// The rules of [`LogBatch`], before anything of it is taken.
    fn check_batch(&self, batch: &LogBatch) -> Result<(), LogError> {
        let refuse = |reason| Err(LogError::Batch { sequence: batch.sequence, reason });
        if self.last_sequence.is_some_and(|last| batch.sequence <= last) {
            return refuse("its sequence is not greater than that of the batch before");
        }
        let limit = self.at.config.max_body_bytes;
        if let Some(item) = batch.items.iter().find(|item| item.body.len() > limit as usize) {
            return Err(LogError::BodyTooLarge {
                path: self.at.segment.path.clone(),
                offset: self.at.offset,
                bytes: item.body.len() as u64,
                limit,
            });
        }
        let mut marks = batch.items.iter().enumerate().filter(|(_, item)| item.kind == LogKind::Mark);
        match (batch.new_segment, marks.next()) {
            (true, None) => return refuse("it begins a segment and has no mark"),
            (false, Some(_)) => return refuse("it has a mark and does not begin a segment"),
            (true, Some((at, _))) if batch.items[..at].iter().any(|item| !stands_in_head(item.kind)) => {
                return refuse("something else than records and a certificate stands before its mark");
            }
            _ => {}
        }
        if marks.next().is_some() {
            return refuse("it has two marks");
        }
        Ok(())
    }

    fn append_checked(&mut self, batch: &LogBatch) -> Result<(), LogError> {
        let bytes: u64 = batch.items.iter().map(|item| frame_bytes(item.body.len())).sum();
        // Room for a closing frame is kept, so that it does not make the file longer than a spare may be.
        let full = self.at.offset + bytes + frame_bytes(0) > self.at.config.segment_bytes;
        let empty = self.at.offset == SEGMENT_HEADER_BYTES;
        if (full || batch.new_segment) && !empty {
            self.roll()?;
        }
        let mut payload = 0;
        for item in &batch.items {
            payload += item.body.len() as u64;
            let Link { next, previous } = self.at.link;
            self.push(FrameHeader::of_item(item, next, self.durable, previous), &item.body);
            if self.group.len() >= WRITE_BYTES {
                self.write_group()?;
            }
        }
        self.last_sequence = Some(batch.sequence);
        LogCounters::add(&self.counters.batches, 1);
        LogCounters::add(&self.counters.items, batch.items.len() as u64);
        LogCounters::add(&self.counters.payload_bytes, payload);
        Ok(())
    }

    /// Adds a frame to the group.
    fn push(&mut self, header: FrameHeader, body: &[u8]) {
        self.at.closed = header.kind == FrameKind::Close;
        let before = self.group.len();
        self.places.push((self.at.offset, header.clone()));
        let checksum = header.encode(body, self.at.life, self.at.offset, &mut self.group);
        self.at.offset += (self.group.len() - before) as u64;
        self.at.link = Link { next: self.at.link.next + 1, previous: checksum };
    }

    /// Writes the group to the file, where readers may see it from then on.
    fn write_group(&mut self) -> Result<(), LogError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let start = self.at.offset - self.group.len() as u64;
        let NamedFile { path, file } = &self.at.segment;
        file.write_at(&self.group, start).map_err(|e| LogError::io("write", path, e))?;
        LogCounters::add(&self.counters.appended_bytes, self.group.len() as u64);
        LogCounters::set(&self.counters.segment_used_bytes, self.at.offset);
        let mut index = self.index.write();
        if let Some(segment) = index.segments.get_mut(&self.at.life.segment) {
            segment.end = self.at.offset;
            for (offset, header) in self.places.drain(..) {
                segment.add(offset, &header);
            }
        }
        drop(index);
        self.group.clear();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.write_group()?;
        let last = self.at.link.next - 1;
        if self.durable == last {
            return Ok(());
        }
        let NamedFile { path, file } = &self.at.segment;
        let begin = Instant::now();
        let result = file.sync();
        self.counters.synced(begin.elapsed());
        result.map_err(|e| LogError::sync(path, e))?;
        self.durable = last;
        LogCounters::add(&self.counters.groups, 1);
        Ok(())
    }

    /// Goes on in a new segment. The current one is durable to its end first: what makes any defect in it rot.
    fn roll(&mut self) -> Result<(), LogError> {
        self.commit()?;
        let life = Life { segment: self.at.life.segment + 1, generation: self.files.nonce()? };
        let Link { next, previous } = self.at.link;
        let header = SegmentHeader { life, chain: self.at.config.chain, first_frame: next, previous };
        let segment = self.files.install(&header)?;
        self.at.life = life;
        self.at.offset = SEGMENT_HEADER_BYTES;
        self.at.segment = segment.clone();
        let mut index = self.index.write();
        index.segments.insert(
            life.segment,
            SegmentIndex::new(life, segment.file, segment.path, self.at.link, self.at.offset),
        );
        LogCounters::set(&self.counters.segments, index.segments.len() as u64);
        LogCounters::set(&self.counters.segment_used_bytes, self.at.offset);
        Ok(())
    }

    /// The oldest segment, if it can go.
    fn releasable(&self, below: Height) -> Option<u64> {
        let index = self.index.read();
        let (number, oldest) = index.segments.first_key_value()?;
        let covered = oldest.highest.is_none_or(|highest| highest < below);
        // Only a head that is durable replaces the records that would go.
        let replaced =
            index.segments.range(number + 1..).any(|(_, s)| s.mark.is_some_and(|mark| mark <= self.durable));
        (covered && replaced).then_some(*number)
    }
}

/// What may stand before a mark: the records in force, and the certificate that they rely on.
fn stands_in_head(kind: LogKind) -> bool {
    matches!(kind, LogKind::Record | LogKind::Certificate)
}
