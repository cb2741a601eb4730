//! Where everything stands: one index a segment, so that releasing a segment forgets its part at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bft_core::log::{Height, LogKind};
use crypto::Digest;

use super::disk::SegmentFile;
use super::frame::{FrameHeader, FrameKind, Life};
use super::scan::Link;

/// Where a frame stands in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: u64,
    pub body_bytes: u32,
}

/// A frame with all that is needed to read it without the index.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub life: Life,
    pub file: Arc<dyn SegmentFile>,
    pub path: PathBuf,
    pub place: Place,
}

/// The frames of one segment.
#[derive(Clone, Debug)]
pub(super) struct SegmentIndex {
    pub life: Life,
    pub file: Arc<dyn SegmentFile>,
    pub path: PathBuf,
    /// What the first frame continues.
    pub link: Link,
    /// End of what was written to the file. Invariant: everything indexed lies before it.
    pub end: u64,
    /// Greatest height of a block, entry or certificate in it.
    pub highest: Option<Height>,
    /// Number of the frame that ends the head, if the head is complete.
    pub mark: Option<u64>,
    blocks: BTreeMap<Digest, Place>,
    entries: BTreeMap<Height, (Digest, Place)>,
    certificates: BTreeMap<Height, Place>,
}

impl SegmentIndex {
    pub fn new(life: Life, file: Arc<dyn SegmentFile>, path: PathBuf, link: Link, end: u64) -> SegmentIndex {
        SegmentIndex {
            life,
            file,
            path,
            link,
            end,
            highest: None,
            mark: None,
            blocks: BTreeMap::new(),
            entries: BTreeMap::new(),
            certificates: BTreeMap::new(),
        }
    }

    /// Adds a frame written at `offset`. Of several with one digest or height the last counts.
    pub fn add(&mut self, offset: u64, header: &FrameHeader) {
        let place = Place { offset, body_bytes: header.body_bytes };
        match header.kind {
            FrameKind::Item(LogKind::Record) | FrameKind::Close => return,
            FrameKind::Item(LogKind::Mark) => {
                self.mark = Some(header.number);
                return;
            }
            FrameKind::Item(LogKind::Block) => {
                self.blocks.insert(header.digest, place);
            }
            FrameKind::Item(LogKind::Entry) => {
                self.entries.insert(header.height, (header.digest, place));
            }
            FrameKind::Item(LogKind::Certificate) => {
                self.certificates.insert(header.height, place);
            }
        }
        self.highest = self.highest.max(Some(header.height));
    }

    fn locate(&self, place: Place) -> Located {
        Located { life: self.life, file: self.file.clone(), path: self.path.clone(), place }
    }
}

/// All segments that can be read. Shared by the log, which changes it, and its readers.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By number, without a gap; the last is the one written to.
    pub segments: BTreeMap<u64, SegmentIndex>,
}

impl Index {
    /// Whether the segment a frame was located in is still there, in the same life.
    pub fn holds(&self, located: &Located) -> bool {
        self.segments.get(&located.life.segment).is_some_and(|segment| segment.life == located.life)
    }

    pub fn block(&self, digest: &Digest) -> Option<Located> {
        self.newest_first().find_map(|s| s.blocks.get(digest).map(|place| s.locate(*place)))
    }

    /// The entry of a height and the digest of its block.
    pub fn entry(&self, height: Height) -> Option<(Digest, Located)> {
        self.newest_first()
            .find_map(|s| s.entries.get(&height).map(|(block, place)| (*block, s.locate(*place))))
    }

    pub fn certificate_at_or_above(&self, height: Height) -> Option<(Height, Located)> {
        // Newest first and `min_by_key` keeping the first of equals: the newest copy of the lowest height.
        self.newest_first()
            .filter_map(|s| s.certificates.range(height..).next().map(|(height, place)| (*height, s, *place)))
            .min_by_key(|(height, _, _)| *height)
            .map(|(height, s, place)| (height, s.locate(place)))
    }

    pub fn latest_certificate(&self) -> Option<(Height, Located)> {
        let highest = self.segments.values().filter_map(|s| s.certificates.keys().next_back()).max()?;
        self.certificate_at_or_above(*highest)
    }

    pub fn highest_entry(&self) -> Option<Height> {
        self.segments.values().filter_map(|s| s.entries.keys().next_back().copied()).max()
    }

    /// The lowest height from which there is an entry for every height through the highest.
    pub fn entries_from(&self) -> Option<Height> {
        let mut lowest = self.highest_entry()?;
        while let Some(below) = lowest.checked_sub(1)
            && self.newest_first().any(|s| s.entries.contains_key(&below))
        {
            lowest = below;
        }
        Some(lowest)
    }

    fn newest_first(&self) -> impl Iterator<Item = &SegmentIndex> {
        self.segments.values().rev()
    }
}
