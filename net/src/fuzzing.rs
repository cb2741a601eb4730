//! What the fuzz targets need of the decoders, which are nobody else's business.

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use crate::frame::Budget;
use crate::hello::{Hello, HelloError, Mismatch};
use crate::reader::FrameReader;

/// The wire form of a hello.
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    hello.encode().to_vec()
}

/// A hello as it is read, and whether it suits `ours`.
#[allow(clippy::missing_errors_doc)]
pub fn decode_hello(
    bytes: &[u8],
    ours: &Hello,
    epoch_tolerance: u64,
) -> Result<(Hello, Result<(), Mismatch>), String> {
    let theirs = Hello::decode(bytes, ours).map_err(|error: HelloError| error.to_string())?;
    Ok((theirs, ours.compare(&theirs, epoch_tolerance)))
}

/// The frames of a stream that arrives in two parts, and whether it ended in an error.
#[allow(clippy::missing_panics_doc)]
pub fn read_frames(parts: &[&[u8]; 2], limit: usize, buffer_bytes: usize) -> (Vec<Bytes>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let budget = Budget::new(limit + crate::FRAME_OVERHEAD);
    let mut reader = FrameReader::new(parts[0].chain(parts[1]), limit, budget, buffer_bytes);
    let mut frames = Vec::new();
    let failed = loop {
        match runtime.block_on(reader.next()) {
            Ok(Some(frame)) => frames.push(frame.bytes().clone()),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    (frames, failed)
}
