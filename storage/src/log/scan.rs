//! Reading the frames of a segment from its beginning, each verified.

use std::path::Path;

use super::disk::SegmentFile;
use super::error::LogError;
use super::frame::{ALIGNMENT, Defect, FRAME_HEADER_BYTES, FrameHeader, Life};
use super::header::SEGMENT_HEADER_BYTES;

/// How much is read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// The link a frame must continue: numbers without a gap, each frame naming the checksum of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Number of the frame that comes next.
    pub next: u64,
    /// Checksum of the frame before it.
    pub previous: u32,
}

/// A cursor over the frames of one segment.
pub(super) struct Scanner<'a> {
    file: &'a dyn SegmentFile,
    path: &'a Path,
    life: Life,
    max_body_bytes: u32,
    /// End of what may be read: the file's length, or the end of what was written.
    limit: u64,
    /// Where the next frame begins.
    offset: u64,
    link: Link,
    window: Window,
}

/// Part of the file in memory.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

/// What stands at the cursor.
pub(super) enum Step<'w> {
    /// The frame that belongs there; the cursor has moved behind it.
    Frame { offset: u64, header: FrameHeader, body: &'w [u8] },
    /// The end of what may be read.
    End,
    /// Something else; the cursor has not moved.
    Bad(Defect),
}

impl<'a> Scanner<'a> {
    /// A cursor before the first frame, which must continue `link`.
    pub fn new(
        file: &'a dyn SegmentFile,
        path: &'a Path,
        life: Life,
        max_body_bytes: u32,
        limit: u64,
        link: Link,
    ) -> Scanner<'a> {
        Scanner {
            file,
            path,
            life,
            max_body_bytes,
            limit,
            offset: SEGMENT_HEADER_BYTES,
            link,
            window: Window::default(),
        }
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What the next frame must continue.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The error for damage at the cursor.
    pub fn rot(&self, defect: Defect) -> LogError {
        LogError::Rot { path: self.path.to_path_buf(), offset: self.offset, frame: self.link.next, defect }
    }

    /// Verifies what stands at the cursor.
    ///
    /// # Errors
    /// The file cannot be read, or a frame that verifies exceeds `max_body_bytes`.
    pub fn step(&mut self) -> Result<Step<'_>, LogError> {
        let offset = self.offset;
        if offset == self.limit {
            return Ok(Step::End);
        }
        let Some(head) = self.window.head(self.file, self.path, self.limit, offset)? else {
            return Ok(Step::Bad(Defect::Truncated));
        };
        let (header, checksum) = match FrameHeader::decode(head, self.life, offset) {
            Ok(decoded) => decoded,
            Err(defect) => return Ok(Step::Bad(defect)),
        };
        if header.number != self.link.next {
            return Ok(Step::Bad(Defect::Number { found: header.number, expected: self.link.next }));
        }
        if header.previous != self.link.previous {
            let (found, expected) = (header.previous, self.link.previous);
            return Ok(Step::Bad(Defect::Predecessor { found, expected }));
        }
        if header.body_bytes > self.max_body_bytes {
            return Err(LogError::BodyTooLarge {
                path: self.path.to_path_buf(),
                offset,
                bytes: u64::from(header.body_bytes),
                limit: self.max_body_bytes,
            });
        }
        let body_at = offset + FRAME_HEADER_BYTES as u64;
        let padded = (header.body_bytes as usize).next_multiple_of(ALIGNMENT);
        let Some(bytes) = self.window.get(self.file, self.path, self.limit, body_at, padded)? else {
            return Ok(Step::Bad(Defect::Truncated));
        };
        if let Err(defect) = header.verify_body(bytes) {
            return Ok(Step::Bad(defect));
        }
        self.offset = offset + header.frame_bytes();
        self.link = Link { next: header.number + 1, previous: checksum };
        let body = &bytes[..header.body_bytes as usize];
        Ok(Step::Frame { offset, header, body })
    }

    /// Looks at every place behind the cursor where a frame of this life could begin, and tells what was found.
    /// One pass over the rest of the file, whatever lengths it claims to hold.
    pub fn survey(&mut self) -> Result<Survey, LogError> {
        let mut survey = Survey::default();
        let mut offset = self.offset;
        while let Some(head) = self.window.head(self.file, self.path, self.limit, offset)? {
            if let Ok((header, _)) = FrameHeader::decode(head, self.life, offset) {
                survey.leftovers = true;
                survey.synced_through = survey.synced_through.max(header.synced_through);
            }
            offset += ALIGNMENT as u64;
        }
        Ok(survey)
    }
}

/// What stands behind the last frame that verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// At least one frame header of this life.
    pub leftovers: bool,
    /// The highest `synced_through` among them.
    pub synced_through: u64,
}

impl Window {
    /// The bytes of a frame's header at `offset`, like [`get`](Self::get).
    fn head(
        &mut self,
        file: &dyn SegmentFile,
        path: &Path,
        limit: u64,
        offset: u64,
    ) -> Result<Option<&[u8; FRAME_HEADER_BYTES]>, LogError> {
        Ok(self.get(file, path, limit, offset, FRAME_HEADER_BYTES)?.and_then(|bytes| bytes.first_chunk()))
    }

    /// `len` bytes at `offset`, or none if they reach beyond `limit` or the end of the file.
    fn get(
        &mut self,
        file: &dyn SegmentFile,
        path: &Path,
        limit: u64,
        offset: u64,
        len: usize,
    ) -> Result<Option<&[u8]>, LogError> {
        if limit.saturating_sub(offset) < len as u64 {
            return Ok(None);
        }
        let held = offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            let want = (len.max(WINDOW_BYTES) as u64).min(limit - offset);
            self.bytes.resize(want as usize, 0);
            self.start = offset;
            let read = file.read_at(&mut self.bytes, offset).map_err(|e| LogError::io("read", path, e))?;
            self.bytes.truncate(read);
            if read < len {
                return Ok(None);
            }
        }
        let from = (offset - self.start) as usize;
        Ok(Some(&self.bytes[from..from + len]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::FrameHeader;
    use super::*;

    const LIFE: Life = Life { segment: 3, generation: 4 };

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl SegmentFile for Bytes {
        fn write_at(&self, _: &[u8], _: u64) -> std::io::Result<()> {
            Err(std::io::ErrorKind::Unsupported.into())
        }
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
            let rest = &self.0[(offset as usize).min(self.0.len())..];
            let len = rest.len().min(bytes.len());
            bytes[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }
        fn sync(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn size(&self) -> std::io::Result<u64> {
            Ok(self.0.len() as u64)
        }
    }

    /// Frames with the numbers given, all with checksums that hold; each names the one before it unless `unlinked`.
    fn file(numbers: &[u64], unlinked: bool) -> Bytes {
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let mut previous = 0;
        for number in numbers {
            let header = FrameHeader::of_close(*number, number - 1, if unlinked { 99 } else { previous });
            let offset = bytes.len() as u64;
            previous = header.encode(&[], LIFE, offset, &mut bytes);
        }
        Bytes(bytes)
    }

    /// The defect at which scanning ends, and the survey of what stands there and behind.
    fn scan(file: &Bytes) -> (Option<Defect>, Survey) {
        let link = Link { next: 1, previous: 0 };
        let mut scanner = Scanner::new(file, Path::new("s"), LIFE, 100, file.0.len() as u64, link);
        let defect = loop {
            match scanner.step().expect("reads") {
                Step::Frame { .. } => {}
                Step::End => break None,
                Step::Bad(defect) => break Some(defect),
            }
        };
        (defect, scanner.survey().expect("reads"))
    }

    #[test]
    fn a_chain_without_gaps_is_read_to_its_end() {
        assert_eq!(scan(&file(&[1, 2, 3], false)), (None, Survey::default()));
    }

    #[test]
    fn threat_76_a_frame_that_verifies_but_does_not_come_next_is_a_defect() {
        let (defect, survey) = scan(&file(&[1, 3], false));
        assert_eq!(defect, Some(Defect::Number { found: 3, expected: 2 }));
        assert_eq!(survey, Survey { leftovers: true, synced_through: 2 });
        let (defect, _) = scan(&file(&[1], true));
        assert_eq!(defect, Some(Defect::Predecessor { found: 99, expected: 0 }));
    }

    #[test]
    fn threat_78_a_frame_that_reaches_beyond_the_file_is_a_defect() {
        let mut cut = file(&[1, 2], false);
        cut.0.truncate(cut.0.len() - 8);
        assert_eq!(scan(&cut), (Some(Defect::Truncated), Survey::default()));
    }
}
