//! The header of a segment, and the names of files. The layout stands in the [module](super).

use std::path::Path;

use super::error::LogError;
use super::frame::{Defect, Life, u32_at, u64_at};
use super::scan::Link;

/// Length of a segment's header. A page, so that writing the first frames never touches the header's sectors.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 4096;

const MAGIC: &[u8; 8] = b"QRLOGSEG";
const VERSION: u32 = 1;

/// What a segment says of itself before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub life: Life,
    pub chain: [u8; 32],
    /// Number of the first frame.
    pub first_frame: u64,
    /// Checksum of the frame before the first, 0 if there is none.
    pub previous: u32,
}

impl SegmentHeader {
    /// The header of the first segment of a new log.
    pub fn first(chain: [u8; 32], generation: u64) -> SegmentHeader {
        SegmentHeader { life: Life { segment: 1, generation }, chain, first_frame: 1, previous: 0 }
    }

    /// What the first frame continues.
    pub fn link(&self) -> Link {
        Link { next: self.first_frame, previous: self.previous }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.life.segment.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.life.generation.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.chain);
        bytes[64..72].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.previous.to_le_bytes());
        let checksum = checksum(&bytes);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of the file at `path`, which by its name is segment `number` and should be of `chain`.
    /// `bytes` are its first 4096, or fewer where the file is shorter.
    pub fn decode(
        bytes: &[u8],
        path: &Path,
        number: u64,
        chain: &[u8; 32],
    ) -> Result<SegmentHeader, LogError> {
        let rot = |defect| LogError::Rot { path: path.to_path_buf(), offset: 0, frame: 0, defect };
        if bytes.len() < SEGMENT_HEADER_BYTES as usize {
            return Err(rot(Defect::Truncated));
        }
        if &bytes[..8] != MAGIC {
            return Err(rot(Defect::Magic));
        }
        if u32_at(bytes, 8) != checksum(bytes) {
            return Err(rot(Defect::SegmentChecksum));
        }
        let version = u32_at(bytes, 12);
        if version != VERSION {
            return Err(LogError::Version { path: path.to_path_buf(), found: version, supported: VERSION });
        }
        let mut found = [0; 32];
        found.copy_from_slice(&bytes[32..64]);
        if found != *chain {
            return Err(LogError::ForeignChain { path: path.to_path_buf(), found, expected: *chain });
        }
        let header = SegmentHeader {
            life: Life { segment: u64_at(bytes, 16), generation: u64_at(bytes, 24) },
            chain: found,
            first_frame: u64_at(bytes, 64),
            previous: u32_at(bytes, 72),
        };
        if header.life.segment != number {
            return Err(rot(Defect::SegmentNumber { found: header.life.segment, expected: number }));
        }
        Ok(header)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..8]);
    hasher.update(&bytes[12..SEGMENT_HEADER_BYTES as usize]);
    hasher.finalize()
}

/// What a file in the log's directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileName {
    /// A segment, with its number.
    Segment(u64),
    /// A file waiting to become one, with an id that means nothing else.
    Spare(u64),
}

impl FileName {
    pub fn parse(name: &str) -> Option<FileName> {
        let stem = name.strip_suffix(".log")?;
        let (kind, digits) = stem.split_once('-')?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        let parsed = match kind {
            "segment" => FileName::Segment(number),
            "spare" => FileName::Spare(number),
            _ => return None,
        };
        // Only the one spelling that we write: `segment-1.log` would be a second file for the same number.
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileName::Segment(number) => write!(f, "segment-{number:016x}.log"),
            FileName::Spare(id) => write!(f, "spare-{id:016x}.log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let life = Life { segment: 3, generation: 0x1122_3344 };
        SegmentHeader { life, chain: [9; 32], first_frame: 77, previous: 0xfeed }
    }

    #[test]
    fn a_header_reads_back_and_every_byte_counts() {
        let good = header().encode();
        let decode = |bytes: &[u8]| SegmentHeader::decode(bytes, Path::new("s"), 3, &[9; 32]);
        assert_eq!(decode(&good).expect("verifies"), header());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(matches!(decode(&bad), Err(LogError::Rot { .. })), "byte {at}");
        }
        assert!(matches!(decode(&good[..4095]), Err(LogError::Rot { defect: Defect::Truncated, .. })));
    }

    #[test]
    fn another_number_chain_or_version_is_told_apart() {
        let good = header().encode();
        let number = SegmentHeader::decode(&good, Path::new("s"), 4, &[9; 32]);
        assert!(matches!(
            number,
            Err(LogError::Rot { defect: Defect::SegmentNumber { found: 3, expected: 4 }, .. })
        ));
        let chain = SegmentHeader::decode(&good, Path::new("s"), 3, &[8; 32]);
        assert!(matches!(chain, Err(LogError::ForeignChain { .. })));
        let mut newer = good;
        newer[12] = 2;
        let sum = checksum(&newer);
        newer[8..12].copy_from_slice(&sum.to_le_bytes());
        let version = SegmentHeader::decode(&newer, Path::new("s"), 3, &[9; 32]);
        assert!(matches!(version, Err(LogError::Version { found: 2, supported: 1, .. })));
    }

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(FileName::parse("segment-000000000000001f.log"), Some(FileName::Segment(31)));
        assert_eq!(FileName::parse("spare-0000000000000001.log"), Some(FileName::Spare(1)));
        for odd in ["segment-1f.log", "segment-000000000000001F.log", "other-0000000000000001.log", "LOCK"] {
            assert_eq!(FileName::parse(odd), None, "{odd}");
        }
    }
}
