//! One idea of a liar: how it rewrites what its replica says.

use super::memory::Memory;
use super::{Behaviour, LiarConfig, Utterance, mutate};
use crate::random::Random;
use crate::replica::seal;
use bft_core::block::Block;
use bft_core::codec;
use bft_core::committee::StatementDomain;
use bft_core::engine::{Class, Message as _};
use bft_core::envelope::{Body, ChainPart, Envelope, Seal, SealWith, Sealed, StatePart};
use bft_core::evidence::Evidence;
use bft_core::state::{Stretch, Tree};
use bft_core::transaction::Payload;
use bft_core::types::{Height, ReplicaId, Timestamp, View};
use bytes::Bytes;
use crypto::{Certificate, Digest, IdentitySecret, QuorumSigner, Share};
use engines::AnyMessage;
use pbft::{Message, PrePrepare, Prepared, ViewChange, Vote};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How far ahead of its clock a second proposal may be: further than any clock.
const FAR_US: u64 = 3_600_000_000;

/// One way to rewrite a replica's traffic, with the replica's keys.
#[derive(Debug)]
pub(super) struct Idea {
    behaviour: Behaviour,
    random: Random,
    replicas: usize,
    domain: StatementDomain,
    signer: QuorumSigner,
    identity: IdentitySecret,
    patience: Duration,
    /// The second face of an equivocator, by view and height.
    other_face: BTreeMap<(View, Height), Block>,
    said: VecDeque<Bytes>,
    /// What a mutator has seen.
    memory: Memory,
    victim: [u8; 32],
    /// Whom one that forgets tells what it votes for; all, or nobody else.
    favourite: Option<ReplicaId>,
    /// Whether an equivocator also claims, in a view change, that null blocks are prepared.
    claims: bool,
    /// What a new-view would name its last view-change by, and the height of the checkpoint in it.
    own_change: Option<(Digest, Height)>,
    /// How often it lied.
    pub lies: u64,
}

impl Idea {
    /// One of a liar's ideas.
    pub fn new(config: &LiarConfig, behaviour: Behaviour, mut random: Random) -> Idea {
        let me = config.me;
        let favourite = (behaviour == Behaviour::Forget && random.per_mille(500))
            .then(|| ReplicaId(random.index(config.replicas) as u16));
        let claims = behaviour == Behaviour::Equivocate && random.per_mille(300);
        Idea {
            behaviour,
            random,
            replicas: config.replicas,
            domain: config.domain,
            signer: config.signer.clone(),
            identity: config.identity.clone(),
            patience: config.patience,
            other_face: BTreeMap::new(),
            said: VecDeque::new(),
            memory: Memory::of(me),
            victim: config.victim,
            favourite,
            claims,
            own_change: None,
            lies: 0,
        }
    }

    /// What it does.
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// Whether it lets its host hear of a frame.
    pub fn hears(&mut self, frame: &[u8]) -> bool {
        if matches!(self.behaviour, Behaviour::Mutate | Behaviour::Flood) {
            self.memory.see(frame);
        }
        if self.behaviour != Behaviour::Censor {
            return true;
        }
        let deaf = frame.windows(32).any(|window| window == self.victim) && is_forward(frame);
        self.lies += u64::from(deaf);
        !deaf
    }

    /// Rewrites one frame.
    pub fn says(&mut self, to: ReplicaId, frame: Bytes) -> Vec<Utterance> {
        let honest = |frame| vec![Utterance { to, delay: Duration::ZERO, frame }];
        match self.behaviour {
            Behaviour::Silent => {
                self.lies += 1;
                Vec::new()
            }
            Behaviour::Censor => honest(frame),
            Behaviour::Stale => self.repeat(to, frame),
            Behaviour::Garble => {
                if self.random.per_mille(300) {
                    self.lies += 1;
                    return honest(self.garble(&frame));
                }
                honest(frame)
            }
            Behaviour::Mutate => self.mutate(to, frame),
            Behaviour::Flood => self.flood(to, frame),
            Behaviour::Equivocate
            | Behaviour::BadShares
            | Behaviour::Withhold
            | Behaviour::Slow
            | Behaviour::Forget
            | Behaviour::Poison => match codec::decode::<Envelope<AnyMessage>>(&frame, usize::MAX) {
                Ok(envelope) => self.rewrite(to, envelope, frame),
                Err(_) => honest(frame),
            },
        }
    }

    fn repeat(&mut self, to: ReplicaId, frame: Bytes) -> Vec<Utterance> {
        self.said.push_back(frame.clone());
        if self.said.len() > 300 {
            self.said.pop_front();
        }
        let mut out = vec![Utterance { to, delay: Duration::ZERO, frame }];
        if self.random.per_mille(300) {
            let old = self.said[self.random.index(self.said.len())].clone();
            let to = ReplicaId(self.random.index(self.replicas) as u16);
            self.lies += 1;
            out.push(Utterance { to, delay: Duration::from_millis(1), frame: old });
        }
        out
    }

    fn garble(&mut self, frame: &[u8]) -> Bytes {
        let mut bytes = frame.to_vec();
        if self.random.per_mille(200) {
            bytes.truncate(self.random.index(bytes.len()));
        } else {
            for _ in 0..self.random.between(1, 3) {
                let at = self.random.index(bytes.len());
                bytes[at] ^= 1 << self.random.below(8);
            }
        }
        bytes.into()
    }

    fn rewrite(&mut self, to: ReplicaId, mut envelope: Envelope<AnyMessage>, frame: Bytes) -> Vec<Utterance> {
        let mut delay = Duration::ZERO;
        if self.behaviour == Behaviour::Poison && self.poison(&mut envelope.body) {
            self.lies += 1;
            return vec![Utterance { to, delay, frame: codec::encode(&envelope).into() }];
        }
        let Body::Engine(Sealed { message: AnyMessage::Pbft(message), seal }) = &mut envelope.body else {
            return vec![Utterance { to, delay, frame }];
        };
        let half = to.0.is_multiple_of(2);
        match (self.behaviour, &mut *message) {
            (Behaviour::Equivocate, Message::PrePrepare(proposal)) if half => {
                *proposal = self.other_proposal(proposal);
            }
            (Behaviour::Equivocate, Message::Prepare(vote) | Message::Commit(vote)) if half => {
                vote.block = self.other_block(vote);
            }
            (Behaviour::BadShares, Message::PrePrepare(_) | Message::Prepare(_) | Message::Commit(_)) => {
                *seal = Seal::Share(Share::Threshold([7; 48]));
                self.lies += 1;
                return vec![Utterance { to, delay, frame: codec::encode(&envelope).into() }];
            }
            (Behaviour::Withhold, Message::PrePrepare(_)) if usize::from(to.0) >= self.replicas * 2 / 3 => {
                self.lies += 1;
                return Vec::new();
            }
            (Behaviour::Slow, Message::PrePrepare(_)) => {
                delay = self.patience * 9 / 10;
                self.lies += 1;
                return vec![Utterance { to, delay, frame }];
            }
            (Behaviour::Equivocate, Message::ViewChange(change)) if self.claims => {
                claim_nulls(change, self.domain.epoch);
            }
            (Behaviour::Forget, Message::Prepare(_) | Message::Commit(_))
                if self.favourite.is_some_and(|favourite| favourite != to) =>
            {
                self.lies += 1;
                return Vec::new();
            }
            (Behaviour::Forget, Message::ViewChange(change)) => {
                change.prepared.clear();
                self.own_change = Some((change.digest(), change.stable.height()));
            }
            (Behaviour::Forget, Message::NewView(new_view)) if self.favourite.is_some() => {
                // It names its own view-change alone, which hides everything, and proposes null blocks.
                let Some((own, stable)) = self.own_change else {
                    return vec![Utterance { to, delay, frame }];
                };
                new_view.sources = vec![(self.memory.me, own)];
                let view = new_view.view;
                let null = |height| Block::null(self.domain.epoch, height);
                let proposals = (stable + 1..=stable + 4)
                    .map(|height| Message::PrePrepare(PrePrepare { view, block: null(height) }));
                self.lies += 1;
                let messages = [message.clone()].into_iter().chain(proposals);
                return messages.map(|message| Utterance { to, delay, frame: self.frame(message) }).collect();
            }
            (Behaviour::Forget, Message::NewView(new_view)) => {
                for (_, digest) in &mut new_view.sources {
                    digest.0[0] ^= 1;
                }
            }
            _ => return vec![Utterance { to, delay, frame }],
        }
        self.lies += 1;
        *seal = self.seal(message.seal(&self.domain));
        vec![Utterance { to, delay, frame: codec::encode(&envelope).into() }]
    }

    /// A frame with a message of its own, sealed.
    fn frame(&self, message: Message) -> Bytes {
        let seal = self.seal(message.seal(&self.domain));
        let body = Body::Engine(Sealed { message: AnyMessage::Pbft(message), seal });
        codec::encode(&Envelope { epoch: self.domain.epoch, votes: Vec::new(), body }).into()
    }

    fn seal(&self, with: SealWith) -> Seal {
        seal(with, &self.signer, &self.identity)
    }

    fn mutate(&mut self, to: ReplicaId, frame: Bytes) -> Vec<Utterance> {
        let honest = vec![Utterance { to, delay: Duration::ZERO, frame: frame.clone() }];
        if !self.random.per_mille(250) {
            return honest;
        }
        let Ok(mut envelope) = codec::decode::<Envelope<AnyMessage>>(&frame, usize::MAX) else {
            return honest;
        };
        let random = &mut self.random;
        if random.per_mille(30) {
            envelope.epoch = envelope.epoch.wrapping_add(random.between(0, 2)).wrapping_sub(1);
        }
        let with = match &mut envelope.body {
            Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) => {
                mutate::message(message, &self.memory, random);
                Some(mutate::statement(message.seal(&self.domain), random))
            }
            _ => {
                mutate::envelope(&mut envelope, &self.domain, &self.memory, random);
                None
            }
        };
        if let (Some(with), Body::Engine(sealed)) = (with, &mut envelope.body) {
            sealed.seal = self.seal(with);
        }
        self.lies += 1;
        let lie = Utterance { to, delay: Duration::ZERO, frame: codec::encode(&envelope).into() };
        // Both versions, in either order, or the lie alone.
        match self.random.index(3) {
            0 => vec![lie],
            1 => honest.into_iter().chain([lie]).collect(),
            _ => [lie].into_iter().chain(honest).collect(),
        }
    }

    fn flood(&mut self, to: ReplicaId, frame: Bytes) -> Vec<Utterance> {
        let mut out = vec![Utterance { to, delay: Duration::ZERO, frame }];
        if !self.random.per_mille(200) {
            return out;
        }
        if self.random.per_mille(50) {
            let (accused, first, second) =
                mutate::accusation(&self.domain, self.replicas, &self.memory, &mut self.random);
            let sealed = |statement| (statement, Seal::Share(self.signer.sign(&statement)));
            let evidence = Evidence::new(accused, sealed(first), sealed(second));
            let body: Body<AnyMessage> = Body::Evidence(Box::new(evidence));
            let envelope = Envelope { epoch: self.domain.epoch, votes: Vec::new(), body };
            self.lies += 1;
            out.push(Utterance { to, delay: Duration::ZERO, frame: codec::encode(&envelope).into() });
        }
        let mut messages: Vec<Message> = (0..self.random.between(1, 6))
            .map(|_| mutate::flood(&self.domain, self.replicas, &self.memory, &mut self.random))
            .collect();
        if self.random.per_mille(50) {
            messages.extend(mutate::forged_view(self.replicas, &self.memory, &mut self.random));
        }
        for message in messages {
            self.lies += 1;
            out.push(Utterance { to, delay: Duration::ZERO, frame: self.frame(message) });
        }
        out
    }

    /// Spoils an answer to a replica that catches up; gives whether it was one.
    fn poison(&mut self, body: &mut Body<AnyMessage>) -> bool {
        match body {
            Body::Chain(part) => {
                let last = part.entries.len().saturating_sub(1);
                let certificate = part.certificate.as_mut().filter(|_| !part.entries.is_empty());
                match (self.random.index(6), certificate) {
                    // Linked up to a certificate that nobody made.
                    (0, Some(certificate)) => {
                        part.entries[last].time += 1;
                        certificate.entry = part.entries[last];
                    }
                    (1, Some(_)) => {
                        let height = part.entries[0].height;
                        part.blocks.iter_mut().take(1).for_each(|block| {
                            *block = Block::null(self.domain.epoch, height);
                        });
                    }
                    (2 | 3, Some(_)) => part.entries[0].time += 1,
                    _ => *part = ChainPart { entries: Vec::new(), certificate: None, blocks: Vec::new() },
                }
            }
            Body::Blocks(blocks, missing) => missing.extend(blocks.drain(..).map(|block| block.digest())),
            Body::State(StatePart::Offer(Some(offer))) => match self.random.index(4) {
                0 => *body = Body::State(StatePart::Offer(None)),
                1 => offer.certificate.entry.state_root = Some(Digest([6; 32])),
                2 => offer.certificate.entry.time += 1,
                _ => (offer.bytes, offer.mean_block_bytes) = (0, u64::MAX),
            },
            Body::State(StatePart::Stretch { root, stretch, .. }) => {
                // Another state than the one that was certified, proven as well as can be.
                let pair = (Bytes::from_static(b"\x01spoiled"), Some(Bytes::from_static(b"!")));
                let spoiled = Tree::default()
                    .update(stretch.pairs().into_iter().map(|(k, v)| (k, Some(v))).chain([pair]));
                let other = Stretch::of(&spoiled, stretch.from, stretch.to, usize::MAX);
                if self.random.per_mille(500) {
                    *root = spoiled.root();
                }
                *stretch = other;
            }
            _ => return false,
        }
        true
    }

    /// The proposal that the second half gets to see.
    fn other_proposal(&mut self, proposal: &PrePrepare) -> PrePrepare {
        let header = proposal.block.header;
        let far = self.random.per_mille(200);
        let other = self.other_face.entry((proposal.view, header.height)).or_insert_with(|| {
            let time = if far { header.time.0 + FAR_US } else { header.time.0.saturating_sub(1) };
            let time = Timestamp(time);
            Block::new(&self.domain.chain, header.epoch, header.height, Payload::empty(), time, true)
                .expect("an empty payload parses")
        });
        PrePrepare { view: proposal.view, block: other.clone() }
    }

    fn other_block(&self, vote: &Vote) -> Digest {
        let mut flipped = vote.block;
        flipped.0[0] ^= 1;
        self.other_face.get(&(vote.view, vote.height)).map_or(flipped, Block::digest)
    }
}

/// Claims that null blocks are prepared above the checkpoint, of as late a view as can be.
fn claim_nulls(change: &mut ViewChange, epoch: u64) {
    let low = change.stable.height();
    let claim = |height| {
        let vote =
            Vote { view: change.view.saturating_sub(1), height, block: Block::null(epoch, height).digest() };
        Prepared { vote, certificate: Certificate::Threshold([7; 48]) }
    };
    change.prepared = (low + 1..=low + 2).map(claim).collect();
}

fn is_forward(frame: &[u8]) -> bool {
    let envelope = codec::decode::<Envelope<AnyMessage>>(frame, usize::MAX);
    envelope.is_ok_and(|envelope| envelope.body.class() == Class::Pool)
}
