//! From a queue of frames to a stream: many small frames in one write, large ones without a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use quinn::SendStream;

use crate::outbox::Outbox;

/// How many bytes of frames are taken from the queue for one write. Per write QUIC costs some 4 µs, per byte little.
const BATCH_BYTES: usize = 64 << 10;

/// Frames up to this length are copied behind each other; longer ones travel in their own memory.
const COPY_UP_TO: usize = 4 << 10;

/// Frames and their bytes, counted. Lengths on the wire are not included.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub frames: AtomicU64,
    pub bytes: AtomicU64,
}

impl Traffic {
    pub fn count(&self, frames: u64, bytes: u64) {
        self.frames.fetch_add(frames, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Frames and bytes so far.
    pub fn read(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// Writes what `outbox` receives until the stream fails.
///
/// Holds at most one batch: 64 KiB of frames, or one longer frame. QUIC holds what is not yet acknowledged, at most the
/// connection's send window. A batch in flight when the connection ends is lost: sends are best effort.
pub(crate) async fn write_frames(
    mut stream: SendStream,
    outbox: &Outbox,
    sent: &Traffic,
) -> quinn::WriteError {
    let mut batch = Vec::new();
    let mut scratch = BytesMut::new();
    loop {
        outbox.drain(BATCH_BYTES, &mut batch).await;
        let frames = batch.len() as u64;
        let bytes = batch.iter().map(|frame| frame.len() as u64).sum();
        let mut chunks = coalesce(&mut batch, &mut scratch);
        if let Err(error) = stream.write_all_chunks(&mut chunks).await {
            return error;
        }
        sent.count(frames, bytes);
    }
}

/// The wire form of `batch`, which is left empty: as few chunks as possible, long frames as they are.
fn coalesce(batch: &mut Vec<Bytes>, scratch: &mut BytesMut) -> Vec<Bytes> {
    let mut chunks = Vec::with_capacity(1);
    for frame in batch.drain(..) {
        let length = u32::try_from(frame.len()).expect("frame_bytes is validated to be far below 4 GiB");
        scratch.put_u32_le(length);
        if frame.len() <= COPY_UP_TO {
            scratch.extend_from_slice(&frame);
        } else {
            chunks.push(scratch.split().freeze());
            chunks.push(frame);
        }
    }
    if !scratch.is_empty() {
        chunks.push(scratch.split().freeze());
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_share_a_chunk_and_long_ones_are_not_copied() {
        let long = Bytes::from(vec![7; COPY_UP_TO + 1]);
        let mut batch = vec![Bytes::from_static(b"ab"), Bytes::new(), long.clone(), Bytes::from_static(b"c")];
        let chunks = coalesce(&mut batch, &mut BytesMut::new());
        assert!(batch.is_empty());
        assert_eq!(chunks.len(), 3);
        assert_eq!(&chunks[0][..], [2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 1, 16, 0, 0]);
        assert_eq!(chunks[1].as_ptr(), long.as_ptr());
        assert_eq!(&chunks[2][..], [1, 0, 0, 0, b'c']);
    }
}
