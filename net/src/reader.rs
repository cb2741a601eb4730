//! Frames out of a byte stream: a length of four little-endian bytes, then that many bytes.
//!
//! Every frame gets an allocation of its own. Slices of the read buffer would save a copy, but one small frame kept by the
//! receiver would then keep the whole buffer alive, and the budget would not see it.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::frame::{Budget, Frame, Permit};

/// The bytes of a frame's length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Memory for a frame grows with the bytes that arrive, from this size on: an announced length alone costs its sender's
/// budget, but not our memory.
const FIRST_ALLOCATION: usize = 64 << 10;

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("a frame of {length} bytes is announced, the limit is {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("the stream ended in the middle of a frame")]
    Truncated,
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// Reads frames from `source`, each at most `limit` bytes, each paid for from `budget` before it is read.
///
/// The reader holds at most its buffer and one frame. While the budget is spent it reads nothing.
pub(crate) struct FrameReader<R> {
    source: R,
    limit: usize,
    budget: Budget,
    buffer: Box<[u8]>,
    /// Unread bytes are `buffer[start..end]`. Invariant: start ≤ end ≤ buffer.len().
    start: usize,
    end: usize,
    partial: Option<Partial>,
}

/// A frame of which a part has arrived. Invariant: filled ≤ bytes.len() ≤ length.
struct Partial {
    permit: Permit,
    bytes: Vec<u8>,
    filled: usize,
    length: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// `buffer_bytes` is what is read at once, at least four.
    pub fn new(source: R, limit: usize, budget: Budget, buffer_bytes: usize) -> FrameReader<R> {
        assert!(buffer_bytes >= LENGTH_BYTES, "a length must fit the buffer");
        let buffer = vec![0; buffer_bytes].into_boxed_slice();
        FrameReader { source, limit, budget, buffer, start: 0, end: 0, partial: None }
    }

    /// The next frame, or None at the stream's end. Cancel-safe: a dropped future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        if self.partial.is_none() {
            let Some(length) = self.length().await? else { return Ok(None) };
            if length > self.limit {
                return Err(ReadError::TooLong { length, limit: self.limit });
            }
            // Nothing is consumed before the budget agrees.
            let permit = self.budget.take(length).await;
            self.start += LENGTH_BYTES;
            if let Some(whole) = self.buffer[self.start..self.end].get(..length) {
                let bytes = Bytes::copy_from_slice(whole);
                self.start += length;
                return Ok(Some(Frame::new(bytes, permit)));
            }
            let mut bytes = Vec::with_capacity(length.min(FIRST_ALLOCATION));
            bytes.extend_from_slice(&self.buffer[self.start..self.end]);
            self.start = self.end;
            self.partial = Some(Partial { permit, filled: bytes.len(), bytes, length });
        }
        self.fill().await.map(Some)
    }

    /// The length of the next frame, still in the buffer; None at a clean end.
    async fn length(&mut self) -> Result<Option<usize>, ReadError> {
        loop {
            if let Some(header) = self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>() {
                return Ok(Some(u32::from_le_bytes(*header) as usize));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            match self.source.read(&mut self.buffer[self.end..]).await? {
                0 if self.end == 0 => return Ok(None),
                0 => return Err(ReadError::Truncated),
                read => self.end += read,
            }
        }
    }

    /// Reads the rest of the partial frame straight into its own memory.
    async fn fill(&mut self) -> Result<Frame, ReadError> {
        loop {
            let partial = self.partial.as_mut().expect("called only with a partial frame");
            if partial.filled == partial.length {
                break;
            }
            if partial.filled == partial.bytes.len() {
                let size = (2 * partial.filled).clamp(FIRST_ALLOCATION, partial.length.max(FIRST_ALLOCATION));
                let size = size.min(partial.length);
                partial.bytes.reserve_exact(size - partial.filled);
                partial.bytes.resize(size, 0);
            }
            match self.source.read(&mut partial.bytes[partial.filled..]).await? {
                0 => return Err(ReadError::Truncated),
                read => partial.filled += read,
            }
        }
        let partial = self.partial.take().expect("still there");
        Ok(Frame::new(Bytes::from(partial.bytes), partial.permit))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn framed(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32).to_le_bytes(), content].concat()
    }

    #[tokio::test]
    async fn frames_of_every_size_survive_every_fragmentation() {
        let sizes = [0, 1, 3, 4, 5, 15, 16, 17, 100, 1000, 70_000, 300_000];
        let contents: Vec<Vec<u8>> =
            sizes.iter().map(|&size| (0..size).map(|i| (i % 251) as u8).collect()).collect();
        let stream: Vec<u8> = contents.iter().flat_map(|content| framed(content)).collect();
        for (piece, buffer) in [(1, 4), (3, 16), (17, 16), (4096, 64), (100_000, 65_536)] {
            let (mut near, far) = tokio::io::duplex(piece);
            let bytes = stream.clone();
            let writing = tokio::spawn(async move { near.write_all(&bytes).await.unwrap() });
            let mut reader = FrameReader::new(far, 300_000, Budget::new(400_000), buffer);
            for content in &contents {
                let frame = reader.next().await.unwrap().expect("one more frame");
                assert_eq!(&frame[..], &content[..]);
            }
            writing.await.unwrap();
            assert!(reader.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn threat_71_an_announced_length_is_checked_before_anything_is_taken() {
        let bytes = u32::MAX.to_le_bytes();
        let budget = Budget::new(1 << 20);
        let mut reader = FrameReader::new(&bytes[..], 1000, budget.clone(), 64);
        let error = reader.next().await.unwrap_err();
        assert_eq!(error.to_string(), "a frame of 4294967295 bytes is announced, the limit is 1000");
        assert_eq!(budget.free(), 1 << 20);
    }

    #[tokio::test]
    async fn threat_71_an_allowed_length_without_bytes_allocates_little() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(&(200u32 << 20).to_le_bytes()).await.unwrap();
        near.write_all(&[1; 10]).await.unwrap();
        let mut reader = FrameReader::new(far, 256 << 20, Budget::new(u32::MAX as usize), 64);
        tokio::select! {
            biased;
            _ = reader.next() => panic!("the frame is not complete"),
            () = tokio::task::yield_now() => {}
        }
        assert!(reader.partial.unwrap().bytes.capacity() <= FIRST_ALLOCATION);
    }

    #[tokio::test]
    async fn a_truncated_stream_is_an_error_and_an_ended_one_is_not() {
        for cut in 1..8 {
            let bytes = framed(b"abcd");
            let mut reader = FrameReader::new(&bytes[..cut], 1000, Budget::new(2000), 4);
            assert!(matches!(reader.next().await, Err(ReadError::Truncated)), "cut at {cut}");
        }
        let mut reader = FrameReader::new(&[][..], 1000, Budget::new(2000), 4);
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn threat_65_nothing_is_read_while_the_budget_is_spent() {
        let stream = [framed(&[1; 100]), framed(&[2; 100])].concat();
        let budget = Budget::new(200);
        let mut reader = FrameReader::new(&stream[..], 100, budget.clone(), 128);
        let first = reader.next().await.unwrap().unwrap();
        assert_eq!(budget.free(), 200 - 100 - crate::FRAME_OVERHEAD);
        tokio::select! {
            biased;
            _ = reader.next() => panic!("the budget is spent"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        assert_eq!(&reader.next().await.unwrap().unwrap()[..], &[2; 100]);
        assert_eq!(budget.free(), 200);
    }
}
