//! Frames of replicas and of clients, at the edge, with real signatures.
//!
//! Oracles: the verdict on a frame depends neither on what it is checked together with nor on what was checked before; what
//! passes is canonical; and of what passes, everything that counts as signed was signed in the consortium's past.

use crate::consortium::{Consortium, REAL};
use crate::edit::forge;
use crate::input::Input;
use crate::pbft;
use crate::proofs::is_true;
use bft_core::block::Block;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::envelope::{Body, Envelope, Rejection, Sealed, StatePart};
use bft_core::ledger::CheckpointCertificate;
use bft_core::request::Call;
use bft_core::state::{FIRST, LAST, Tree};
use bft_core::transaction::Payload;
use bft_core::types::ReplicaId;
use bytes::Bytes;
use crypto::Digest;
use engines::AnyMessage;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// One byte for the sender; then a frame, or a sample with changes.
pub fn replica(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let claimed = ReplicaId(u16::from(input.byte() % 4));
    let samples: Vec<_> = REAL.samples.iter().map(|(_, envelope)| envelope).collect();
    let (sample, frame) = forge(&mut input, &samples);
    // Bits 2 and up of the first byte: from whom the sample really came.
    let from = sample.filter(|_| bytes[0] >= 4).map_or(claimed, |index| REAL.samples[index].0);
    let frame = (from, Bytes::from(frame));
    let check = |edge: &Edge, frames: &[(ReplicaId, Bytes)]| edge.replica_frames::<AnyMessage>(frames);
    let companion = |index: usize| {
        let (from, envelope) = &REAL.samples[index % REAL.samples.len()];
        (*from, Bytes::from(codec::encode(envelope)))
    };
    let company = [companion(bytes.len()), frame.clone(), companion(bytes.len() / 3)];
    let verdict = agreed(&check, std::slice::from_ref(&frame), &company);
    if let Ok(envelope) = verdict {
        assert_eq!(codec::encode(&*envelope), frame.1, "what passes is canonical");
        SIGNED.check(from, &envelope).expect("only what was signed passes");
    }
}

/// A request, or a sample with changes.
pub fn client(bytes: &[u8]) {
    let (_, frame) = forge(&mut Input::new(bytes), &REAL.requests);
    let frame = Bytes::from(frame);
    let check = |edge: &Edge, frames: &[Bytes]| edge.client_frames(frames);
    let companion = |index: usize| codec::encode(&REAL.requests[index % REAL.requests.len()]).into();
    let company = [companion(bytes.len()), frame.clone(), companion(bytes.len() / 3)];
    let verdict = agreed(&check, std::slice::from_ref(&frame), &company);
    if let Ok(request) = verdict {
        assert_eq!(codec::encode(&*request), frame, "what passes is canonical");
        if let Call::Submit(payload) = &request.call {
            assert_eq!(
                SIGNED.payload(payload),
                Ok(1),
                "a submission is one transaction that its client signed"
            );
        }
    }
}

/// The verdict on the frame in the middle of `company`, alone and not, the first time and later.
fn agreed<F, T: std::fmt::Debug + PartialEq>(
    check: &impl Fn(&Edge, &[F]) -> Vec<Result<T, Rejection>>,
    alone: &[F],
    company: &[F; 3],
) -> Result<T, Rejection> {
    let edge = REAL.edge();
    let mut first = check(&edge, alone);
    assert_eq!(check(&edge, alone), first, "what was verified before changes no verdict");
    assert_eq!(check(&REAL.edge(), company)[1], first[0], "company changes no verdict");
    first.pop().expect("one verdict a frame")
}

/// Everything that was signed in the past, read off its frames.
pub(crate) struct Signed {
    items: BTreeSet<Digest>,
    pbft: pbft::Signed,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| Signed::of(&REAL));

pub(crate) type Checked<T = ()> = Result<T, String>;

/// Says what nobody signed.
pub(crate) fn holds(holds: bool, what: &str) -> Checked {
    if holds { Ok(()) } else { Err(format!("not signed by anybody: {what}")) }
}

impl Signed {
    fn of(consortium: &Consortium) -> Signed {
        let mut signed = Signed {
            items: consortium.items.iter().map(|item| item.digest).collect(),
            pbft: pbft::Signed::default(),
        };
        for sent in &consortium.frames {
            if let Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) =
                crate::consortium::message(&sent.bytes).body
            {
                signed.pbft.learn(sent.from, &message);
            }
        }
        signed
    }

    fn check(&self, from: ReplicaId, envelope: &Envelope<AnyMessage>) -> Checked {
        match &envelope.body {
            Body::Engine(Sealed { message: AnyMessage::Pbft(message), seal }) => {
                self.pbft.check(from, message, seal, self)
            }
            Body::Engine(Sealed {
                message: message @ (AnyMessage::HotStuff(_) | AnyMessage::Raft(_)),
                ..
            }) => Err(format!("{message:?} of another protocol passed")),
            Body::Votes
            | Body::FetchChain(_)
            | Body::FetchBlocks(_)
            | Body::FetchState(_)
            | Body::FetchPromises(_) => Ok(()),
            // Its promises are looked at by whoever they are about.
            Body::Promises(told) => self.checkpoint(&told.stable),
            Body::State(StatePart::Offer(None)) => Ok(()),
            Body::State(StatePart::Offer(Some(offer))) => {
                self.checkpoint(&offer.certificate)?;
                let header = offer.header.map(|header| header.digest());
                holds(header == Some(offer.certificate.entry.block), "the header of a snapshot")
            }
            Body::State(StatePart::Stretch { root, stretch, .. }) => {
                // What it says is so under its own root: put together with nothing else, a whole state has that root.
                let whole = stretch.from == FIRST && stretch.to == LAST;
                let pairs = stretch.pairs().into_iter().map(|(key, value)| (key, Some(value)));
                holds(!whole || Tree::default().update(pairs).root() == *root, "a whole state")
            }
            Body::Evidence(evidence) => holds(is_true(evidence), "a word of evidence"),
            Body::Forward(payload) => self.payload(payload).map(drop),
            Body::Certificate(checkpoint) => self.checkpoint(checkpoint),
            Body::Blocks(blocks, _) => blocks.iter().try_for_each(|block| self.block(block)),
            Body::Chain(part) => {
                part.certificate.iter().try_for_each(|checkpoint| self.checkpoint(checkpoint))?;
                for entry in &part.entries {
                    holds(REAL.entries.get(&entry.height) == Some(entry), "an entry of a chain")?;
                }
                part.blocks.iter().zip(&part.entries).try_for_each(|(block, entry)| {
                    self.block(block)?;
                    holds(block.digest() == entry.block, "a block of a chain")
                })
            }
        }
    }

    pub(crate) fn checkpoint(&self, checkpoint: &CheckpointCertificate) -> Checked {
        let entry = &checkpoint.entry;
        match checkpoint.proof {
            None => holds(*entry == REAL.genesis.entry(), "a checkpoint without proof"),
            Some(_) => holds(REAL.entries.get(&entry.height) == Some(entry), "a checkpoint"),
        }
    }

    pub(crate) fn block(&self, block: &Block) -> Checked {
        self.payload(&block.payload)?;
        let root = block.payload.root(&REAL.genesis.chain()).map_err(|error| error.to_string())?;
        holds(root == block.header.payload_root, "a payload under this header")
    }

    fn payload(&self, payload: &Payload) -> Checked<usize> {
        let items = payload.items(&REAL.genesis.chain()).map_err(|error| error.to_string())?;
        holds(items.iter().all(|item| self.items.contains(&item.digest)), "a transaction")?;
        Ok(items.len())
    }
}

/// Seeds of [`replica`].
pub fn replica_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..REAL.samples.len()).map(|index| vec![4, 1 + index as u8]).collect();
    seeds.extend(
        REAL.samples
            .iter()
            .map(|(from, envelope)| [&[from.0 as u8, 0], codec::encode(envelope).as_slice()].concat()),
    );
    seeds
}

/// Seeds of [`client`].
pub fn client_seeds() -> Vec<Vec<u8>> {
    let calls = REAL.requests.iter().rev().take(8).chain(REAL.requests.first());
    let raw = calls.map(|request| [&[0], codec::encode(request).as_slice()].concat());
    raw.chain((0..REAL.requests.len()).map(|index| vec![1 + index as u8])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_knows_what_was_signed_from_what_was_not() {
        for (from, envelope) in &REAL.samples {
            assert_eq!(SIGNED.check(*from, envelope), Ok(()), "{envelope:?}");
            let mut forged = envelope.clone();
            match &mut forged.body {
                Body::Certificate(checkpoint) => checkpoint.entry.time += 1,
                Body::Chain(part) if !part.entries.is_empty() => part.entries[0].time += 1,
                Body::Forward(payload) => *payload = Payload::of(vec![REAL.transaction(11, 77, 1)]),
                Body::Evidence(evidence) => evidence.accused.0 = 0,
                Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) => {
                    if !pbft::forge(message, &Payload::of(vec![REAL.transaction(11, 77, 1)])) {
                        continue;
                    }
                }
                _ => continue,
            }
            assert!(SIGNED.check(*from, &forged).is_err(), "{forged:?}");
        }
    }
}
