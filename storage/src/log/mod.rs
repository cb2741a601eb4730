//! The segment log: promises in order, blocks by digest, entries and certificates by height.
//!
//! # On disk
//!
//! A directory of files `segment-<number, 16 hex digits>.log`, numbered without a gap, each written with zeros
//! through its whole length before it is used, because an fdatasync into blocks the file system has already
//! allocated and written costs half of one that must change metadata. `spare-<id>.log` are files of full length
//! waiting to become the next segment. All integers are little endian.
//!
//! | segment header, 4096 bytes | |
//! |---|---|
//! | 0..8 | `QRLOGSEG` |
//! | 8..12 | CRC-32 of all other bytes of the header |
//! | 12..16 | format version, 1 |
//! | 16..24, 24..32 | number of the segment; its generation, 64 random bits drawn for each life of a file |
//! | 32..64 | chain id |
//! | 64..72, 72..76 | number of the first frame; checksum of the frame before it (0 for the very first) |
//!
//! | frame, aligned to 8 | |
//! |---|---|
//! | 0..4 | the frame's checksum: CRC-32 of segment number, generation, offset in the file, and bytes 4..80 |
//! | 4..8, 8..12 | length of the body; CRC-32 of the body and its padding |
//! | 12..16 | checksum of the frame before |
//! | 16, 17..24 | kind; zero |
//! | 24..32, 32..40 | number of the frame, from 1; number through which the log was durable when this was written |
//! | 40..48, 48..80 | height; digest |
//! | 80.. | body, then zeros to a multiple of 8 |
//!
//! The checksum binds a frame to its place and to its predecessor, so that a write that went astray, one that
//! never arrived, or a frame of an earlier life of a recycled file does not pass (threat 76). The header has a
//! checksum of its own so that a length is believed before a body is allocated (threat 78), and so that looking
//! for frames behind a hole reads each byte once. The generation is random because bodies are chosen by clients:
//! nobody can lay a frame into a block that passes for one of ours.
//!
//! # Torn tail or rot
//!
//! Several frames reach the disk with one sync, and until that sync returns the disk may hold any subset of their
//! sectors. So after a crash the last segment may end in a frame that does not verify *followed by frames that
//! do*, and this must be dropped; but a frame in the middle that rotted looks the same, and dropping it and what
//! follows would take back promises that were kept. The two are told apart so:
//!
//! 1. A segment is synced to its end before the next one gets its header, so every frame of a segment but the
//!    last was durable: one that does not verify is rot.
//! 2. In the last segment every frame says through which number the log was durable when it was written. Let b be
//!    the first frame that does not verify. If any frame header found behind it (they verify by themselves) says
//!    "durable through s" with s ≥ b, then b was on disk before that frame was written: rot.
//! 3. Otherwise all frames found behind b were written before b was known to be durable. No sync that covered b was
//!    ever followed by another group, so b and what follows belong to the last group: a torn tail, and dropped.
//!
//! Rot is refused with [`LogError::Rot`]; nothing is ever cut off silently (threats 72, 73). What remains
//! undetected is rot within the last group itself when the log was not closed: no later frame tells that the
//! group was durable. [`Log::close`] writes a frame that does, so that after an orderly stop everything is covered.
//!
//! Before a dropped tail is written over, it is overwritten with zeros to the end of the file and synced, so that
//! no left-over frame can follow a new one. And because after a failed fsync the page cache may show data that
//! the disk never got, the frames not proven durable are written again and synced before they count (threat 74).
//!
//! # Bounds
//!
//! A body holds at most `max_body_bytes`. A group is written out when it exceeds 4 MiB of memory. The writer's
//! queue holds `queue_batches`; a full queue blocks [`LogWriter::append`] and refuses [`LogWriter::try_append`].
//! The index takes about 100 bytes for each block, entry and certificate of the segments kept, and one open file
//! a segment.

mod append;
mod config;
mod counters;
mod disk;
mod error;
mod files;
mod frame;
mod header;
mod index;
mod open;
mod reader;
mod recover;
mod scan;
mod tail;
mod writer;

pub use append::Log;
pub use config::LogConfig;
pub use counters::LogCounters;
pub use disk::{Disk, RealDisk, SegmentFile};
pub use error::LogError;
pub use frame::Defect;
pub use reader::{ChainPart, LogReader};
pub use recover::Recovered;
pub use writer::{LogEvent, LogWriter};
