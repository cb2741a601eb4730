//! One frame of a segment: a header bound to its place, and a body. The layout stands in the [module](super).

use std::fmt;

use bft_core::log::{Height, LogItem, LogKind};
use crypto::Digest;

/// Length of a frame's header.
pub(super) const FRAME_HEADER_BYTES: usize = 80;

/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

/// Bytes that a frame with a body of `body_bytes` takes in the file.
pub(super) fn frame_bytes(body_bytes: usize) -> u64 {
    (FRAME_HEADER_BYTES + body_bytes.next_multiple_of(ALIGNMENT)) as u64
}

/// The life of a file that a frame belongs to; with an offset, the place its checksum binds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Number of the segment.
    pub segment: u64,
    /// Random bits of this life of the file.
    pub generation: u64,
}

impl Life {
    fn checksum(self, offset: u64, header: &[u8; FRAME_HEADER_BYTES]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.segment.to_le_bytes());
        hasher.update(&self.generation.to_le_bytes());
        hasher.update(&offset.to_le_bytes());
        hasher.update(&header[4..]);
        hasher.finalize()
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// An item of the host.
    Item(LogKind),
    /// Written when the log is closed: everything before it was durable.
    Close,
}

const CLOSE_BYTE: u8 = 0xc0;

impl FrameKind {
    fn byte(self) -> u8 {
        match self {
            FrameKind::Item(kind) => kind as u8,
            FrameKind::Close => CLOSE_BYTE,
        }
    }

    fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            CLOSE_BYTE => Some(FrameKind::Close),
            byte => LogKind::from_byte(byte).map(FrameKind::Item),
        }
    }
}

/// Why bytes are not the frame that belongs in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The header of the segment does not begin with the magic bytes of the format.
    Magic,
    /// The header of the segment does not match its checksum.
    SegmentChecksum,
    /// The file says it is another segment than its name does.
    SegmentNumber {
        /// What the header says.
        found: u64,
        /// What the name says.
        expected: u64,
    },
    /// The header of the frame does not match its checksum.
    HeaderChecksum,
    /// The body of the frame does not match its checksum.
    BodyChecksum,
    /// The frame reaches beyond the end of the file.
    Truncated,
    /// The next segment continues a later frame than the last one of this.
    Short {
        /// Number of the last frame found.
        found: u64,
        /// Number of the frame the next segment continues.
        expected: u64,
    },
    /// Another frame stands here.
    Number {
        /// Its number.
        found: u64,
        /// The number that belongs here.
        expected: u64,
    },
    /// The frame follows another predecessor than the one before it.
    Predecessor {
        /// Checksum of the predecessor it names.
        found: u32,
        /// Checksum of the frame before it.
        expected: u32,
    },
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Defect::Magic => write!(f, "expected the magic bytes of a log segment"),
            Defect::SegmentChecksum => write!(f, "the segment's header does not match its checksum"),
            Defect::SegmentNumber { found, expected } => {
                write!(f, "expected segment {expected}, found segment {found}")
            }
            Defect::HeaderChecksum => write!(f, "expected a frame header that matches its checksum"),
            Defect::BodyChecksum => write!(f, "expected a body that matches its checksum"),
            Defect::Truncated => write!(f, "expected a whole frame, found the end of the file within it"),
            Defect::Short { found, expected } => {
                write!(f, "expected frames through {expected}, found frames through {found}")
            }
            Defect::Number { found, expected } => write!(f, "expected frame {expected}, found frame {found}"),
            Defect::Predecessor { found, expected } => {
                write!(
                    f,
                    "expected a frame that follows checksum {expected:08x}, found one after {found:08x}"
                )
            }
        }
    }
}

/// The header of a frame, without its own checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub body_bytes: u32,
    pub body_checksum: u32,
    /// Checksum of the frame before.
    pub previous: u32,
    pub kind: FrameKind,
    /// Number of the frame; the first of a log is 1.
    pub number: u64,
    /// Frames through this one were durable when this frame was written. Invariant: synced_through < number.
    pub synced_through: u64,
    pub height: Height,
    pub digest: Digest,
}

impl FrameHeader {
    /// Appends the frame with `body` to `out`, for the place `offset` of `life`; gives its checksum.
    /// `body_checksum` is filled in here.
    pub fn encode(mut self, body: &[u8], life: Life, offset: u64, out: &mut Vec<u8>) -> u32 {
        let padding = &[0; ALIGNMENT][..body.len().next_multiple_of(ALIGNMENT) - body.len()];
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(body);
        hasher.update(padding);
        self.body_checksum = hasher.finalize();
        assert_eq!(self.body_bytes as usize, body.len(), "the header was made for another body");

        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_checksum.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.previous.to_le_bytes());
        bytes[16] = self.kind.byte();
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.synced_through.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.height.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.digest.0);
        let checksum = life.checksum(offset, &bytes);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());

        out.reserve(bytes.len() + body.len() + padding.len());
        out.extend_from_slice(&bytes);
        out.extend_from_slice(body);
        out.extend_from_slice(padding);
        checksum
    }

    /// Reads a header that stands at `offset` of `life`, and its checksum.
    pub fn decode(
        bytes: &[u8; FRAME_HEADER_BYTES],
        life: Life,
        offset: u64,
    ) -> Result<(FrameHeader, u32), Defect> {
        let checksum = u32_at(bytes, 0);
        // The cheap tests come first: behind a hole this runs at every eighth byte. A kind that is not in this
        // version of the format is no frame of it.
        let kind = FrameKind::from_byte(bytes[16]).ok_or(Defect::HeaderChecksum)?;
        if bytes[17..24] != [0; 7] || checksum != life.checksum(offset, bytes) {
            return Err(Defect::HeaderChecksum);
        }
        let mut digest = Digest::default();
        digest.0.copy_from_slice(&bytes[48..80]);
        let header = FrameHeader {
            body_bytes: u32_at(bytes, 4),
            body_checksum: u32_at(bytes, 8),
            previous: u32_at(bytes, 12),
            kind,
            number: u64_at(bytes, 24),
            synced_through: u64_at(bytes, 32),
            height: u64_at(bytes, 40),
            digest,
        };
        Ok((header, checksum))
    }

    /// Whether `padded` (the body with its padding) is what this header was written for.
    pub fn verify_body(&self, padded: &[u8]) -> Result<(), Defect> {
        if crc32fast::hash(padded) == self.body_checksum { Ok(()) } else { Err(Defect::BodyChecksum) }
    }

    /// Bytes the whole frame takes in the file.
    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(self.body_bytes as usize)
    }

    /// The header of the frame for `item`, to be completed by [`encode`](Self::encode).
    pub fn of_item(item: &LogItem, number: u64, synced_through: u64, previous: u32) -> FrameHeader {
        FrameHeader {
            body_bytes: u32::try_from(item.body.len()).expect("bodies were checked against max_body_bytes"),
            body_checksum: 0,
            previous,
            kind: FrameKind::Item(item.kind),
            number,
            synced_through,
            height: item.height,
            digest: item.digest,
        }
    }

    /// The header of a closing frame.
    pub fn of_close(number: u64, synced_through: u64, previous: u32) -> FrameHeader {
        FrameHeader {
            body_bytes: 0,
            body_checksum: 0,
            previous,
            kind: FrameKind::Close,
            number,
            synced_through,
            height: 0,
            digest: Digest::default(),
        }
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life { segment: 7, generation: 99 };

    fn frame() -> Vec<u8> {
        let item = LogItem {
            kind: LogKind::Block,
            height: 12,
            digest: Digest([3; 32]),
            body: bytes::Bytes::from_static(b"eleven byte"),
        };
        let mut out = Vec::new();
        FrameHeader::of_item(&item, 5, 4, 0xabcd).encode(&item.body, LIFE, 4096, &mut out);
        out
    }

    fn head(frame: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
        frame[..FRAME_HEADER_BYTES].try_into().expect("a whole header")
    }

    #[test]
    fn a_frame_reads_back() {
        let bytes = frame();
        assert_eq!(bytes.len() as u64, frame_bytes(11));
        let (header, checksum) = FrameHeader::decode(&head(&bytes), LIFE, 4096).expect("verifies");
        assert_eq!(checksum, u32_at(&bytes, 0));
        assert_eq!((header.number, header.synced_through, header.height), (5, 4, 12));
        assert_eq!((header.kind, header.body_bytes), (FrameKind::Item(LogKind::Block), 11));
        assert_eq!(header.verify_body(&bytes[FRAME_HEADER_BYTES..]), Ok(()));
    }

    #[test]
    fn threat_76_a_frame_is_bound_to_segment_generation_and_offset() {
        let bytes = head(&frame());
        for (life, offset) in
            [(Life { segment: 8, ..LIFE }, 4096), (Life { generation: 100, ..LIFE }, 4096), (LIFE, 4104)]
        {
            assert_eq!(FrameHeader::decode(&bytes, life, offset), Err(Defect::HeaderChecksum));
        }
    }

    #[test]
    fn every_bit_of_a_frame_counts() {
        let good = frame();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = FrameHeader::decode(&head(&bad), LIFE, 4096)
                .and_then(|(header, _)| header.verify_body(&bad[FRAME_HEADER_BYTES..]));
            assert!(verdict.is_err(), "bit {bit}");
        }
    }

    /// The format on disk, pinned: a change of it needs a new version of the segment header.
    #[test]
    fn threat_103_the_frame_format_is_pinned() {
        let hex: String = frame().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "fcbf30070b00000060599dc6cdab000002000000000000000500000000000000",
                "04000000000000000c0000000000000003030303030303030303030303030303",
                "03030303030303030303030303030303656c6576656e20627974650000000000"
            )
        );
    }
}
