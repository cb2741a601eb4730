//! Frames between replicas: made, read, and checked at the edge.

use super::accounts::Accounts;
use super::members::Members;
use super::operation::{Group, Operation, Prepared};
use super::transactions::{BLOCK, signed};
use bft_core::block::Block;
use bft_core::codec;
use bft_core::engine::Message as _;
use bft_core::envelope::{Body, Envelope, Sealed};
use bft_core::genesis::{FIRST_EPOCH, Limits};
use bft_core::transaction::Payload;
use bft_core::types::{ReplicaId, Timestamp};
use bytes::Bytes;
use crypto::{Digest, ProtocolTag};
use engines::AnyMessage;

type Frame = Envelope<AnyMessage>;

/// How often what is short is done at a time.
const OFTEN: usize = 512;

/// How often what is long is done at a time.
const FEW: usize = 8;

pub fn operations() -> Vec<Operation> {
    vec![
        encode("encode/vote", vote, OFTEN),
        decode("decode/vote", vote, OFTEN),
        check("check/vote", "frame", 1, || checked(vote, OFTEN)),
        encode("encode/proposal", proposal, FEW),
        decode("decode/proposal", proposal, FEW),
        check("check/proposal", "transaction", BLOCK, || checked(proposal, FEW)),
    ]
}

fn members() -> Members {
    Members::new(ProtocolTag::PBFT, 4, Limits::default(), Accounts { count: 1 })
}

fn sealed(members: &Members, from: ReplicaId, message: AnyMessage) -> Frame {
    let seal = members.keys.seal(from, message.seal(&members.trust.domain));
    Envelope { epoch: FIRST_EPOCH, votes: Vec::new(), body: Body::Engine(Sealed { message, seal }) }
}

/// A replica's prepare.
fn vote(members: &Members) -> (ReplicaId, Frame) {
    let vote = pbft::Vote { view: 0, height: 1, block: Digest([5; 32]) };
    let from = ReplicaId(1);
    (from, sealed(members, from, AnyMessage::Pbft(pbft::Message::Prepare(vote))))
}

/// A leader's proposal of a full block.
fn proposal(members: &Members) -> (ReplicaId, Frame) {
    let chain = members.trust.domain.chain;
    let payload = Payload::of(signed(BLOCK, BLOCK, &chain));
    let block = Block::new(&chain, FIRST_EPOCH, 1, payload, Timestamp(1), true).expect("it is a payload");
    let proposal = pbft::Message::PrePrepare(pbft::PrePrepare { view: 0, block });
    let from = ReplicaId(0);
    (from, sealed(members, from, AnyMessage::Pbft(proposal)))
}

/// Makes a frame, and who sends it.
type Make = fn(&Members) -> (ReplicaId, Frame);

fn encode(name: &str, make: Make, times: usize) -> Operation {
    Operation::new(Group::Codec, name, "frame", move || {
        let (_, frame) = make(&members());
        Prepared::for_each(vec![frame; times], codec::encode)
    })
}

fn decode(name: &str, make: Make, times: usize) -> Operation {
    Operation::new(Group::Codec, name, "frame", move || {
        let members = members();
        let limit = members.genesis.limits.frame_bytes();
        let (_, frame) = make(&members);
        Prepared::for_each(vec![codec::encode(&frame); times], move |bytes| {
            codec::decode::<Frame>(bytes, limit).expect("it was encoded")
        })
    })
}

fn check(name: &str, unit: &'static str, units: usize, prepare: fn() -> Checked) -> Operation {
    Operation::new(Group::Codec, name, unit, move || {
        let Checked { frames, edge } = prepare();
        // The signatures of clients are verified once, whichever way a transaction comes first: here they are known already.
        edge.replica_frames::<AnyMessage>(&frames[..1]);
        Prepared::timed(units * frames.len(), move || {
            for frame in &frames {
                let checked = edge.replica_frames::<AnyMessage>(std::slice::from_ref(frame));
                assert!(checked.iter().all(Result::is_ok));
            }
        })
    })
}

/// Frames, and the edge that they come to.
struct Checked {
    frames: Vec<(ReplicaId, Bytes)>,
    edge: bft_core::edge::Edge,
}

fn checked(make: Make, times: usize) -> Checked {
    let members = members();
    let (from, frame) = make(&members);
    Checked { frames: vec![(from, codec::encode(&frame).into()); times], edge: members.edge() }
}
