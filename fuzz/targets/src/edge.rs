//! Frames of replicas and of clients, at the edge, with real signatures.
//!
//! Oracles: the verdict on a frame depends neither on what it is checked together with nor on what was checked before; what
//! passes is canonical; and of what passes, everything that counts as signed was signed in the consortium's past.

use crate::consortium::{Consortium, REAL};
use crate::edit::forge;
use crate::input::Input;
use crate::proofs::is_true;
use bft_core::block::Block;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::envelope::{Body, Envelope, Rejection, Seal, Sealed, StatePart};
use bft_core::ledger::CheckpointCertificate;
use bft_core::request::Call;
use bft_core::state::{FIRST, LAST, Tree};
use bft_core::transaction::Payload;
use bft_core::types::{Height, ReplicaId, View};
use bytes::Bytes;
use crypto::Digest;
use engines::AnyMessage;
use pbft::{Message, NewView, Prepared, Relay, ViewChange};
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
struct Signed {
    items: BTreeSet<Digest>,
    prepared: BTreeSet<(View, Height, Digest)>,
    changes: BTreeSet<(ReplicaId, Digest)>,
    new_views: BTreeSet<(ReplicaId, Vec<u8>)>,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| Signed::of(&REAL));

type Checked<T = ()> = Result<T, String>;

fn holds(holds: bool, what: &str) -> Checked {
    if holds { Ok(()) } else { Err(format!("not signed by anybody: {what}")) }
}

impl Signed {
    fn of(consortium: &Consortium) -> Signed {
        let mut signed = Signed {
            items: consortium.items.iter().map(|item| item.digest).collect(),
            prepared: BTreeSet::new(),
            changes: BTreeSet::new(),
            new_views: BTreeSet::new(),
        };
        for sent in &consortium.frames {
            let Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) =
                crate::consortium::message(&sent.bytes).body
            else {
                continue;
            };
            match message {
                Message::ViewChange(change) => {
                    signed.changes.insert((sent.from, change.digest()));
                    let votes = change.prepared.iter().map(|Prepared { vote, .. }| vote);
                    signed.prepared.extend(votes.map(|vote| (vote.view, vote.height, vote.block)));
                }
                Message::NewView(new_view) => {
                    signed.new_views.insert((sent.from, codec::encode(&new_view)));
                }
                _ => {}
            }
        }
        signed
    }

    fn check(&self, from: ReplicaId, envelope: &Envelope<AnyMessage>) -> Checked {
        match &envelope.body {
            Body::Engine(Sealed { message: AnyMessage::Pbft(message), seal }) => {
                self.message(from, message, seal)
            }
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

    fn message(&self, from: ReplicaId, message: &Message, seal: &Seal) -> Checked {
        match message {
            Message::PrePrepare(proposal) => self.block(&proposal.block),
            // Shares are checked when they are combined.
            Message::Prepare(_) | Message::Commit(_) => Ok(()),
            Message::Status(_) | Message::FetchViewChanges(..) => Ok(()),
            Message::ViewChange(change) => {
                holds(matches!(seal, Seal::Signature(_)), "a view-change without signature")?;
                self.change(from, change)
            }
            Message::NewView(new_view) => {
                holds(matches!(seal, Seal::Signature(_)), "a new-view without signature")?;
                self.new_view(new_view)
            }
            Message::Relay(Relay::ViewChange(author, change, _)) => self.change(*author, change),
            Message::Relay(Relay::NewView(new_view, _)) => self.new_view(new_view),
            // Its share is checked as evidence.
            Message::Relay(Relay::Proposed(..)) => Ok(()),
        }
    }

    fn change(&self, author: ReplicaId, change: &ViewChange) -> Checked {
        holds(self.changes.contains(&(author, change.digest())), "a view-change")?;
        self.checkpoint(&change.stable)?;
        change.prepared.iter().try_for_each(|Prepared { vote, .. }| {
            holds(self.prepared.contains(&(vote.view, vote.height, vote.block)), "a prepared certificate")
        })
    }

    fn new_view(&self, new_view: &NewView) -> Checked {
        let leader = ReplicaId((new_view.view % 4) as u16);
        holds(self.new_views.contains(&(leader, codec::encode(new_view))), "a new-view")
    }

    fn checkpoint(&self, checkpoint: &CheckpointCertificate) -> Checked {
        let entry = &checkpoint.entry;
        match checkpoint.proof {
            None => holds(*entry == REAL.genesis.entry(), "a checkpoint without proof"),
            Some(_) => holds(REAL.entries.get(&entry.height) == Some(entry), "a checkpoint"),
        }
    }

    fn block(&self, block: &Block) -> Checked {
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
    use bft_core::types::Timestamp;

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
                Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) => match message {
                    Message::PrePrepare(proposal) => {
                        proposal.block.payload = Payload::of(vec![REAL.transaction(11, 77, 1)]);
                        proposal.block.header.time = Timestamp(1);
                    }
                    Message::ViewChange(change) => change.view += 1,
                    Message::NewView(new_view) => new_view.view += 4,
                    _ => continue,
                },
                _ => continue,
            }
            assert!(SIGNED.check(*from, &forged).is_err(), "{forged:?}");
        }
    }
}
