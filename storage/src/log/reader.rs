//! The log as everybody but its writer sees it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bft_core::log::Height;
use bytes::Bytes;
use crypto::Digest;
use parking_lot::RwLock;

use super::error::LogError;
use super::frame::{ALIGNMENT, Defect, FRAME_HEADER_BYTES, FrameHeader};
use super::index::{Index, Located};

/// Reads a log while it is written to. Clones share one index; reading takes no lock while it waits for the disk.
///
/// Every frame is verified as it is read. What was appended is found from the moment it is written, which may be before
/// it is durable; what was released is no longer found.
#[derive(Clone, Debug)]
pub struct LogReader {
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) max_body_bytes: u32,
}

/// A stretch of the ledger, as block sync wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainPart {
    /// The entries from the height asked for through a certified one, in order. Without a certificate, those through the
    /// highest known. Empty if one of them is not in the log, or if there are too many.
    pub entries: Vec<Bytes>,
    /// The certificate over the last of the entries.
    pub certificate: Option<Bytes>,
    /// Blocks of the first entries, in order: as many as the log holds without a gap and as fit.
    pub blocks: Vec<Bytes>,
}

impl LogReader {
    pub(super) fn new(index: Arc<RwLock<Index>>, max_body_bytes: u32) -> LogReader {
        LogReader { index, max_body_bytes }
    }

    /// The block with this digest.
    ///
    /// # Errors
    /// Here and in all that follow: the disk refused ([`LogError::Io`]), or what stands there no longer verifies
    /// ([`LogError::Rot`]).
    pub fn block(&self, digest: &Digest) -> Result<Option<Bytes>, LogError> {
        let located = self.index.read().block(digest);
        self.read_some(located)
    }

    /// The ledger entry of this height.
    pub fn entry(&self, height: Height) -> Result<Option<Bytes>, LogError> {
        let located = self.index.read().entry(height).map(|(_, located)| located);
        self.read_some(located)
    }

    /// The checkpoint certificate of the lowest certified height that is not below `height`.
    pub fn certificate_at_or_above(&self, height: Height) -> Result<Option<(Height, Bytes)>, LogError> {
        let found = self.index.read().certificate_at_or_above(height);
        self.read_certificate(found)
    }

    /// The checkpoint certificate of the highest certified height.
    pub fn latest_certificate(&self) -> Result<Option<(Height, Bytes)>, LogError> {
        let found = self.index.read().latest_certificate();
        self.read_certificate(found)
    }

    /// The lowest height from which the log holds an entry for every height through the highest: what can be served.
    pub fn entries_from(&self) -> Option<Height> {
        self.index.read().entries_from()
    }

    /// The ledger from height `from` through a certified height: all entries, at most `max_entries`; the certificate;
    /// and blocks up to `max_bytes` of bodies, but at least one. The certificate is the last one through which all
    /// blocks fit, or the next one if they do not fit.
    pub fn chain(&self, from: Height, max_bytes: usize, max_entries: usize) -> Result<ChainPart, LogError> {
        let Some(plan) = self.plan(from, max_bytes, max_entries) else { return Ok(ChainPart::default()) };
        let mut part = ChainPart::default();
        for located in &plan.entries {
            // Released since the plan was made: then so is, or soon will be, all that was asked for.
            let Some(entry) = self.read(located)? else { return Ok(ChainPart::default()) };
            part.entries.push(entry);
        }
        if let Some(located) = &plan.certificate {
            let Some(certificate) = self.read(located)? else { return Ok(ChainPart::default()) };
            part.certificate = Some(certificate);
        }
        let mut room = max_bytes;
        for located in &plan.blocks {
            let bytes = located.place.body_bytes as usize;
            if bytes > room && !part.blocks.is_empty() {
                break;
            }
            let Some(block) = self.read(located)? else { break };
            room = room.saturating_sub(bytes);
            part.blocks.push(block);
        }
        Ok(part)
    }

    /// Where the parts of a chain stand, from one view of the index.
    fn plan(&self, from: Height, max_bytes: usize, max_entries: usize) -> Option<Plan> {
        let index = self.index.read();
        let certificate = certified_end(&index, from, max_bytes, max_entries as u64);
        let to = certificate.as_ref().map(|(height, _)| *height).or_else(|| index.highest_entry())?;
        if to < from || to - from >= max_entries as u64 {
            return None;
        }
        let mut plan = Plan {
            entries: Vec::new(),
            certificate: certificate.map(|(_, located)| located),
            blocks: Vec::new(),
        };
        let mut whole = true;
        for height in from..=to {
            let (digest, entry) = index.entry(height)?;
            plan.entries.push(entry);
            match index.block(&digest) {
                Some(block) if whole => plan.blocks.push(block),
                _ => whole = false,
            }
        }
        Some(plan)
    }

    fn read_certificate(
        &self,
        found: Option<(Height, Located)>,
    ) -> Result<Option<(Height, Bytes)>, LogError> {
        let Some((height, located)) = found else { return Ok(None) };
        Ok(self.read(&located)?.map(|body| (height, body)))
    }

    fn read_some(&self, located: Option<Located>) -> Result<Option<Bytes>, LogError> {
        located.map_or(Ok(None), |located| self.read(&located))
    }

    /// The body of a frame; none if its segment was released meanwhile.
    fn read(&self, located: &Located) -> Result<Option<Bytes>, LogError> {
        match read_frame(located) {
            // The file may have become another segment under our hands. That is no damage: the frame is gone.
            Err(_) if !self.index.read().holds(located) => Ok(None),
            result => result.map(Some),
        }
    }
}

struct Plan {
    entries: Vec<Located>,
    certificate: Option<Located>,
    blocks: Vec<Located>,
}

/// The last certified height through which all blocks from `from` fit, or else the next certified height.
fn certified_end(
    index: &Index,
    from: Height,
    max_bytes: usize,
    max_entries: u64,
) -> Option<(Height, Located)> {
    let bytes = |heights: RangeInclusive<Height>| {
        let block = |height| index.entry(height).and_then(|(digest, _)| index.block(&digest));
        heights
            .map(|height| block(height).map(|block| block.place.body_bytes as usize))
            .sum::<Option<usize>>()
    };
    let mut end = index.certificate_at_or_above(from)?;
    let mut room = max_bytes.checked_sub(bytes(from..=end.0).unwrap_or(usize::MAX));
    while let Some(next) = end.0.checked_add(1).and_then(|above| index.certificate_at_or_above(above))
        && next.0 - from < max_entries
    {
        room = room.and_then(|room| room.checked_sub(bytes(end.0 + 1..=next.0)?));
        if room.is_none() {
            break;
        }
        end = next;
    }
    Some(end)
}

fn read_frame(located: &Located) -> Result<Bytes, LogError> {
    let Located { life, file, path, place } = located;
    let body_bytes = place.body_bytes as usize;
    let mut bytes = vec![0; FRAME_HEADER_BYTES + body_bytes.next_multiple_of(ALIGNMENT)];
    let read = file.read_at(&mut bytes, place.offset).map_err(|e| LogError::io("read", path, e))?;
    let rot = |frame, defect| LogError::Rot { path: path.clone(), offset: place.offset, frame, defect };
    if read < bytes.len() {
        return Err(rot(0, Defect::Truncated));
    }
    let head = bytes.first_chunk().ok_or_else(|| rot(0, Defect::Truncated))?;
    let (header, _) = FrameHeader::decode(head, *life, place.offset).map_err(|defect| rot(0, defect))?;
    if header.body_bytes != place.body_bytes {
        return Err(rot(header.number, Defect::HeaderChecksum));
    }
    header.verify_body(&bytes[FRAME_HEADER_BYTES..]).map_err(|defect| rot(header.number, defect))?;
    Ok(Bytes::from(bytes).slice(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + body_bytes))
}
