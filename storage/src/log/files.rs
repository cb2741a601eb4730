//! The files of a log: making, preparing, naming and recycling them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::LogConfig;
use super::counters::LogCounters;
use super::disk::{Disk, SegmentFile};
use super::error::LogError;
use super::header::{FileName, SegmentHeader};

/// How much of a file is prepared in one step: small enough that a batch arriving meanwhile waits about 1 ms.
const STEP_BYTES: u64 = 1 << 20;

static ZEROS: [u8; STEP_BYTES as usize] = [0; STEP_BYTES as usize];

/// A file and its name.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    pub path: PathBuf,
    pub file: Arc<dyn SegmentFile>,
}

/// The directory of a log.
#[derive(Debug)]
pub(super) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    max_spares: usize,
    counters: Arc<LogCounters>,
    /// Files of full length. Invariant: at most `max_spares`, or one if that is zero.
    spares: Vec<NamedFile>,
    /// A file being written with zeros, and how far.
    preparing: Option<(NamedFile, u64)>,
    next_id: u64,
    /// The disk was full when a file was prepared: not tried again until a segment is released or needed.
    blocked: bool,
}

impl SegmentFiles {
    /// Takes over the spare files with the ids `spares`; those of another length, or too many, are deleted.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: &LogConfig,
        counters: Arc<LogCounters>,
        spares: &[u64],
    ) -> Result<SegmentFiles, LogError> {
        let mut files = SegmentFiles {
            disk,
            dir: dir.to_path_buf(),
            segment_bytes: config.segment_bytes,
            max_spares: config.max_spares,
            counters,
            spares: Vec::new(),
            preparing: None,
            next_id: 0,
            blocked: false,
        };
        for id in spares {
            let path = files.path(FileName::Spare(*id));
            let file = files.disk.open(&path).map_err(|e| LogError::io("open", &path, e))?;
            files.keep_or_remove(NamedFile { path, file })?;
        }
        files.sync_dir()?;
        Ok(files)
    }

    pub fn path(&self, name: FileName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// 64 random bits.
    pub fn nonce(&self) -> Result<u64, LogError> {
        self.disk.nonce().map_err(|e| LogError::io("draw random bits for", &self.dir, e))
    }

    /// Makes the segment that `header` describes, durable under its name before this returns.
    ///
    /// The order is what a crash anywhere within leaves valid: header synced, then renamed, then the directory
    /// synced, and only then are frames written to it.
    pub fn install(&mut self, header: &SegmentHeader) -> Result<NamedFile, LogError> {
        if self.spares.is_empty() {
            LogCounters::add(&self.counters.unprepared_rolls, 1);
            while self.spares.is_empty() {
                self.write_zeros()?;
            }
        }
        let spare = self.spares.pop().expect("one was just made");
        spare.file.write_at(&header.encode(), 0).map_err(|e| LogError::io("write", &spare.path, e))?;
        self.sync(&spare)?;
        let path = self.path(FileName::Segment(header.life.segment));
        self.rename(&spare.path, &path)?;
        self.blocked = false;
        Ok(NamedFile { path, file: spare.file })
    }

    /// Takes a segment out of the log: its file becomes a spare, or is deleted.
    pub fn retire(&mut self, segment: NamedFile) -> Result<(), LogError> {
        self.blocked = false;
        let room = self.spares.len() < self.max_spares;
        let size = segment.file.size().map_err(|e| LogError::io("measure", &segment.path, e))?;
        if !room || size != self.segment_bytes {
            self.disk.remove(&segment.path).map_err(|e| LogError::io("delete", &segment.path, e))?;
            return self.sync_dir();
        }
        let path = self.next_spare();
        self.rename(&segment.path, &path)?;
        self.spares.push(NamedFile { path, file: segment.file });
        Ok(())
    }

    /// Bytes of the next segment that are ready.
    pub fn prepared_bytes(&self) -> u64 {
        match &self.preparing {
            _ if !self.spares.is_empty() || self.blocked => self.segment_bytes,
            Some((_, done)) => *done,
            None => 0,
        }
    }

    /// One step towards a file for the next segment; true if there is more to do.
    ///
    /// A full disk is no error yet: the current segment may have room for long.
    pub fn prepare(&mut self) -> Result<bool, LogError> {
        if self.prepared_bytes() == self.segment_bytes {
            return Ok(false);
        }
        match self.write_zeros() {
            Ok(()) => Ok(self.prepared_bytes() < self.segment_bytes),
            Err(LogError::DiskFull { path, source }) => {
                tracing::warn!(
                    path = %path.display(), %source,
                    "no space for the next log segment: free some before the current one is full, or the replica stops"
                );
                self.blocked = true;
                if let Some((partial, _)) = self.preparing.take() {
                    self.disk.remove(&partial.path).map_err(|e| LogError::io("delete", &partial.path, e))?;
                    self.sync_dir()?;
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the next part of a new file; the file becomes a spare when it has its full length.
    fn write_zeros(&mut self) -> Result<(), LogError> {
        let (spare, done) = match self.preparing.take() {
            Some(partial) => partial,
            None => {
                let path = self.next_spare();
                let file = self.disk.create(&path).map_err(|e| LogError::io("create", &path, e))?;
                // Its name needs no sync: until it is a segment, losing it loses nothing.
                (NamedFile { path, file }, 0)
            }
        };
        let step = STEP_BYTES.min(self.segment_bytes - done);
        // Kept in `preparing` while it can fail, so that the caller can delete it.
        let (spare, done) = self.preparing.insert((spare, done));
        spare
            .file
            .write_at(&ZEROS[..step as usize], *done)
            .map_err(|e| LogError::io("write", &spare.path, e))?;
        LogCounters::add(&self.counters.other_fsyncs, 1);
        spare.file.sync().map_err(|e| LogError::sync(&spare.path, e))?;
        *done += step;
        if *done == self.segment_bytes
            && let Some((spare, _)) = self.preparing.take()
        {
            self.spares.push(spare);
        }
        Ok(())
    }

    fn keep_or_remove(&mut self, spare: NamedFile) -> Result<(), LogError> {
        let size = spare.file.size().map_err(|e| LogError::io("measure", &spare.path, e))?;
        if size == self.segment_bytes && self.spares.len() < self.max_spares.max(1) {
            self.spares.push(spare);
            return Ok(());
        }
        self.disk.remove(&spare.path).map_err(|e| LogError::io("delete", &spare.path, e))
    }

    fn next_spare(&mut self) -> PathBuf {
        loop {
            let path = self.path(FileName::Spare(self.next_id));
            self.next_id = self.next_id.wrapping_add(1);
            if self.spares.iter().all(|spare| spare.path != path) {
                return path;
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        self.disk.rename(from, to).map_err(|e| LogError::io("rename", from, e))?;
        self.sync_dir()
    }

    fn sync(&self, named: &NamedFile) -> Result<(), LogError> {
        LogCounters::add(&self.counters.other_fsyncs, 1);
        named.file.sync().map_err(|e| LogError::sync(&named.path, e))
    }

    fn sync_dir(&self) -> Result<(), LogError> {
        LogCounters::add(&self.counters.other_fsyncs, 1);
        self.disk.sync_dir(&self.dir).map_err(|e| LogError::sync(&self.dir, e))
    }
}
