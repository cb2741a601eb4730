//! The transport's hello and its framing.
//!
//! Oracles: a hello that decodes is its own encoding; frames are what their lengths say, however the stream is cut into reads and
//! whatever the buffer holds, and a stream ends in an error exactly where a frame is too long or incomplete.

use crate::input::Input;
use bytes::Bytes;
use crypto::{Digest, FaultModel, ProtocolTag, ReplicaId};
use net::Hello;
use net::fuzzing::{decode_hello, encode_hello, read_frames};

fn ours() -> Hello {
    Hello {
        version: 1,
        chain: Digest([3; 32]),
        epoch: 1,
        protocol: ProtocolTag::PBFT,
        fault_model: FaultModel::Byzantine,
        replica: ReplicaId(1),
    }
}

/// A hello as it stands, or ours with changes.
pub fn hello(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let message = match input.byte() {
        0 => input.rest().to_vec(),
        _ => {
            let mut message = encode_hello(&ours()).to_vec();
            crate::edit::damage(&mut input, &mut message);
            message
        }
    };
    let Ok((theirs, verdict)) = decode_hello(&message, &ours(), 2) else { return };
    assert_eq!(encode_hello(&theirs).as_slice(), message, "one encoding a hello");
    let may_differ = Hello { replica: ours().replica, ..theirs } == ours();
    assert!(!may_differ || verdict.is_ok(), "only the replica differs: {verdict:?}");
    assert!(verdict.is_err() || theirs.chain == ours().chain, "another network");
    let _ = verdict.map_err(|mismatch| mismatch.to_string());
}

const LIMIT: usize = 300;

/// Three bytes for the buffer and where the stream is cut; then the stream.
pub fn frames(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let buffer = 4 + usize::from(input.byte());
    let cut = input.short();
    let stream = input.rest();
    let (head, tail) = stream.split_at(cut.min(stream.len()));
    let (frames, failed) = read_frames(&[head, tail], LIMIT, buffer);
    // By the definition: a length, then that many bytes.
    let mut expected: Vec<Bytes> = Vec::new();
    let mut rest = stream;
    let fails = loop {
        let Some((length, body)) = rest.split_first_chunk::<4>() else { break !rest.is_empty() };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LIMIT || length > body.len() {
            break true;
        }
        expected.push(Bytes::copy_from_slice(&body[..length]));
        rest = &body[length..];
    };
    assert_eq!((frames, failed), (expected, fails), "frames are what their lengths say");
}

/// Seeds of [`hello`].
pub fn hello_seeds() -> Vec<Vec<u8>> {
    vec![vec![1], [&[0], encode_hello(&ours()).as_slice()].concat(), vec![0, 1, 0], vec![0, 2, 0, 9]]
}

/// Seeds of [`frames`].
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let frame =
        |length: usize| [&(length as u32).to_le_bytes(), vec![length as u8; length].as_slice()].concat();
    let stream = [frame(0), frame(1), frame(3), frame(17), frame(300), frame(5)].concat();
    let mut seeds: Vec<Vec<u8>> = [(0, 2), (12, 9), (255, 40)]
        .iter()
        .map(|(buffer, cut)| [&[*buffer, *cut, 0], stream.as_slice()].concat())
        .collect();
    seeds.push([&[1, 1, 0], &stream[..40], &[0x2d, 1, 0, 0, 1]].concat());
    seeds.push(vec![1, 1, 0, 0xff, 0xff, 0xff, 0xff, 1]);
    seeds
}
