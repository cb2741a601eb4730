//! What a replica that starts finds in its log.

use bft_core::log::{Height, LogItem, LogKind};
use bytes::Bytes;

use super::error::LogError;
use super::frame::FrameKind;
use super::reader::LogReader;
use super::scan::{Scanner, Step};

/// What a host recovers from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The records in force, in the order they were appended: those of the last segment with a complete head, and of
    /// the segments after it. Without such a segment, all.
    pub records: Vec<Bytes>,
    /// Blocks, entries and certificates above the height asked for, in the order they were appended; and from the segments whose
    /// records are in force, certificates of any height, because the records rely on them.
    pub items: Vec<LogItem>,
    /// The lowest height from which the log holds an entry for every height through the highest.
    pub entries_from: Option<Height>,
}

impl LogReader {
    /// Reads the records in force, and everything else above height `above`.
    ///
    /// Called once, between opening the log and the first append or release, which it holds up.
    ///
    /// # Errors
    /// The disk refused, or something no longer verifies.
    pub fn recover(&self, above: Height) -> Result<Recovered, LogError> {
        let index = self.index.read();
        let head = index.segments.iter().rev().find(|(_, s)| s.mark.is_some()).map(|(number, _)| *number);
        let mut recovered = Recovered { entries_from: index.entries_from(), ..Recovered::default() };
        for (number, segment) in &index.segments {
            let in_force = head.is_none_or(|head| *number >= head);
            if !in_force && segment.highest.is_none_or(|highest| highest <= above) {
                continue;
            }
            let mut scanner = Scanner::new(
                segment.file.as_ref(),
                &segment.path,
                segment.life,
                self.max_body_bytes,
                segment.end,
                segment.link,
            );
            loop {
                let defect = match scanner.step()? {
                    Step::Frame { header, body, .. } => {
                        match header.kind {
                            FrameKind::Item(LogKind::Record) if in_force => {
                                recovered.records.push(Bytes::copy_from_slice(body));
                            }
                            FrameKind::Item(
                                kind @ (LogKind::Block | LogKind::Entry | LogKind::Certificate),
                            ) if header.height > above || (in_force && kind == LogKind::Certificate) => {
                                recovered.items.push(LogItem {
                                    kind,
                                    height: header.height,
                                    digest: header.digest,
                                    body: Bytes::copy_from_slice(body),
                                })
                            }
                            FrameKind::Item(_) | FrameKind::Close => {}
                        }
                        continue;
                    }
                    Step::End => break,
                    Step::Bad(defect) => defect,
                };
                // Opening verified all of it: it has changed since.
                return Err(scanner.rot(defect));
            }
        }
        Ok(recovered)
    }
}
