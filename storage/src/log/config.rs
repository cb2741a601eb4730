//! What a log is opened with.

use super::error::LogError;
use super::header::SEGMENT_HEADER_BYTES;

/// Settings of a [`Log`](super::Log).
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Length of a segment file in bytes, header included: a multiple of 4096, at least 8192. A batch larger than
    /// this gets a longer segment of its own.
    pub segment_bytes: u64,
    /// Longest body in bytes, at most 1 GiB. Longer ones are refused when appended and when read.
    pub max_body_bytes: u32,
    /// The network this log belongs to; a log of another network is refused.
    pub chain: [u8; 32],
    /// How many files without content are kept for coming segments; released segments beyond it are deleted.
    pub max_spares: usize,
    /// How many batches may wait for the writer thread.
    pub queue_batches: usize,
}

impl LogConfig {
    /// The defaults, for the network `chain`: segments of 64 MiB, bodies up to 32 MiB, two spare files, a queue of
    /// 1024 batches.
    pub fn new(chain: [u8; 32]) -> LogConfig {
        LogConfig {
            segment_bytes: 64 << 20,
            max_body_bytes: 32 << 20,
            chain,
            max_spares: 2,
            queue_batches: 1024,
        }
    }

    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.segment_bytes < 2 * SEGMENT_HEADER_BYTES || !self.segment_bytes.is_multiple_of(4096) {
            return Err(LogError::Config {
                reason: format!(
                    "segment_bytes is {}, and must be a multiple of 4096 and at least 8192",
                    self.segment_bytes
                ),
            });
        }
        if self.max_body_bytes > 1 << 30 {
            return Err(LogError::Config {
                reason: format!(
                    "max_body_bytes is {}, and must be at most {}",
                    self.max_body_bytes,
                    1u32 << 30
                ),
            });
        }
        Ok(())
    }
}
