//! Opening a log: every frame is verified, the tail settled, the index built.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use super::append::{Log, Position};
use super::config::LogConfig;
use super::counters::LogCounters;
use super::disk::{Disk, RealDisk};
use super::error::LogError;
use super::files::{NamedFile, SegmentFiles};
use super::frame::{Defect, FrameKind};
use super::header::{FileName, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::index::{Index, SegmentIndex};
use super::reader::LogReader;
use super::scan::{Link, Scanner, Step};
use super::tail::Tail;

impl Log {
    /// Opens the log in `dir`, or begins one there. See [`open_on`](Self::open_on).
    pub fn open(dir: &Path, config: LogConfig) -> Result<(Log, LogReader), LogError> {
        Log::open_on(Arc::new(RealDisk), dir, config)
    }

    /// Opens the log in `dir` of `disk`, or begins one there: reads and verifies all of it (about a second per
    /// gigabyte), drops an unfinished tail, and makes durable what it found. A log that does not exist yet gets its
    /// first segment, written with zeros, before this returns.
    ///
    /// Only one [`Log`] may be open for a directory at a time: [`DataDir`](crate::DataDir) sees to it.
    ///
    /// # Errors
    /// [`LogError::Rot`] and [`LogError::MissingSegment`] if something durable is damaged,
    /// [`LogError::ForeignChain`] and [`LogError::Version`] if the log is not for this program, or whatever the
    /// disk says. Nothing is lost by an error: the files are as they were.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, config: LogConfig) -> Result<(Log, LogReader), LogError> {
        config.check()?;
        let io = |operation, error| LogError::io(operation, dir, error);
        disk.create_dir(dir).map_err(|e| io("create", e))?;
        let mut segments = Vec::new();
        let mut spares = Vec::new();
        for name in disk.list(dir).map_err(|e| io("list", e))? {
            match FileName::parse(&name) {
                Some(FileName::Segment(number)) => segments.push(number),
                Some(FileName::Spare(id)) => spares.push(id),
                None => tracing::warn!(file = name, "not a file of the log: ignored"),
            }
        }
        segments.sort_unstable();
        spares.sort_unstable();
        let counters = Arc::new(LogCounters::default());
        // Opening the spares syncs the directory, so that names we build on now cannot vanish in the next crash.
        let files = SegmentFiles::open(disk.clone(), dir, &config, counters.clone(), &spares)?;
        let opening = Opening { disk, files, config };
        let (files, index, position) = opening.run(&segments)?;
        LogCounters::set(&counters.segments, index.segments.len() as u64);
        let index = Arc::new(RwLock::new(index));
        let reader = LogReader::new(index.clone(), position.config.max_body_bytes);
        Ok((Log::new(position, files, index, counters), reader))
    }
}

struct Opening {
    disk: Arc<dyn Disk>,
    files: SegmentFiles,
    config: LogConfig,
}

impl Opening {
    fn run(mut self, numbers: &[u64]) -> Result<(SegmentFiles, Index, Position), LogError> {
        let mut opened: Vec<(SegmentHeader, NamedFile)> = Vec::new();
        for number in numbers {
            if let Some((last, _)) = opened.last()
                && last.life.segment + 1 != *number
            {
                let expected = last.life.segment + 1;
                let path = self.files.path(FileName::Segment(expected));
                return Err(LogError::MissingSegment { expected, path });
            }
            opened.push(self.read_header(*number)?);
        }
        if opened.is_empty() {
            opened.push(self.begin()?);
        }
        let mut index = Index::default();
        let mut position = None;
        for at in 0..opened.len() {
            let (header, segment) = &opened[at];
            let successor = opened.get(at + 1).map(|(next, _)| next);
            let scanned = self.read_segment(header, segment, successor)?;
            position = Some(Position {
                config: self.config.clone(),
                life: header.life,
                segment: segment.clone(),
                offset: scanned.index.end,
                link: scanned.link,
                closed: scanned.closed,
            });
            index.segments.insert(header.life.segment, scanned.index);
        }
        Ok((self.files, index, position.expect("there is at least one segment")))
    }

    fn read_header(&self, number: u64) -> Result<(SegmentHeader, NamedFile), LogError> {
        let path = self.files.path(FileName::Segment(number));
        let file = self.disk.open(&path).map_err(|e| LogError::io("open", &path, e))?;
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = file.read_at(&mut bytes, 0).map_err(|e| LogError::io("read", &path, e))?;
        let header = SegmentHeader::decode(&bytes[..read], &path, number, &self.config.chain)?;
        Ok((header, NamedFile { path, file }))
    }

    fn begin(&mut self) -> Result<(SegmentHeader, NamedFile), LogError> {
        let header = SegmentHeader::first(self.config.chain, self.files.nonce()?);
        let segment = self.files.install(&header)?;
        Ok((header, segment))
    }

    /// Reads one segment: to the frame its successor continues, or, if it is the last, to its end.
    fn read_segment(
        &self,
        header: &SegmentHeader,
        segment: &NamedFile,
        successor: Option<&SegmentHeader>,
    ) -> Result<Scanned, LogError> {
        let size = segment.file.size().map_err(|e| LogError::io("measure", &segment.path, e))?;
        let link = Link { next: header.first_frame, previous: header.previous };
        let mut scanner = Scanner::new(
            segment.file.as_ref(),
            &segment.path,
            header.life,
            self.config.max_body_bytes,
            size,
            link,
        );
        let mut index = SegmentIndex::new(
            header.life,
            segment.file.clone(),
            segment.path.clone(),
            link,
            scanner.offset(),
        );
        let mut tail = Tail::new(scanner.offset(), link.next);
        let mut closed = false;
        let defect = loop {
            if successor.is_some_and(|next| scanner.link().next >= next.first_frame) {
                break None;
            }
            match scanner.step()? {
                Step::Frame { offset, header, .. } => {
                    index.add(offset, &header);
                    tail.see(offset, &header);
                    closed = header.kind == FrameKind::Close;
                }
                Step::End => break None,
                Step::Bad(defect) => break Some(defect),
            }
        };
        match successor {
            Some(next) => {
                let (found, expected) = (scanner.link(), next.link());
                if let Some(defect) = defect {
                    return Err(scanner.rot(defect));
                }
                if found.next != expected.next {
                    let (found, expected) = (found.next - 1, expected.next.saturating_sub(1));
                    return Err(scanner.rot(Defect::Short { found, expected }));
                }
                if found.previous != expected.previous {
                    let (found, expected) = (found.previous, expected.previous);
                    return Err(scanner.rot(Defect::Predecessor { found, expected }));
                }
            }
            None => tail.settle(&mut scanner, segment, defect)?,
        }
        index.end = scanner.offset();
        Ok(Scanned { index, link: scanner.link(), closed })
    }
}

struct Scanned {
    index: SegmentIndex,
    /// What the next frame continues.
    link: Link,
    /// Whether the last frame is a closing one.
    closed: bool,
}
