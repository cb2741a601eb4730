//! One idea of a liar: how it rewrites what its replica says.

use super::memory::Memory;
use super::{Behaviour, LiarConfig, Lie, Lies, Utterance, lies_of, mutate};
use crate::random::Random;
use crate::replica::seal;
use bft_core::block::Block;
use bft_core::codec;
use bft_core::committee::StatementDomain;
use bft_core::engine::{Class, Message as _};
use bft_core::envelope::{Body, ChainPart, Envelope, Seal, SealWith, Sealed, StatePart};
use bft_core::evidence::Evidence;
use bft_core::state::{Stretch, Tree};
use bft_core::types::ReplicaId;
use bytes::Bytes;
use crypto::{Digest, IdentitySecret, QuorumSigner, Share};
use engines::AnyMessage;
use std::collections::VecDeque;
use std::time::Duration;

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
    /// The lies that can be told in the protocol's messages.
    protocol: Box<dyn Lies>,
    said: VecDeque<Bytes>,
    /// What a mutator has seen.
    memory: Memory,
    victim: [u8; 32],
    /// How often it lied.
    pub lies: u64,
}

impl Idea {
    /// One of a liar's ideas.
    pub fn new(config: &LiarConfig, behaviour: Behaviour, mut random: Random) -> Idea {
        let protocol = lies_of(config, behaviour, &mut random);
        Idea {
            behaviour,
            random,
            replicas: config.replicas,
            domain: config.domain,
            signer: config.signer.clone(),
            identity: config.identity.clone(),
            patience: config.patience,
            protocol,
            said: VecDeque::new(),
            memory: Memory::default(),
            victim: config.victim,
            lies: 0,
        }
    }

    /// What it does.
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// Whether it lets its host hear of a frame.
    pub fn hears(&mut self, frame: &[u8]) -> bool {
        if matches!(self.behaviour, Behaviour::Mutate | Behaviour::Flood | Behaviour::Forget) {
            self.see(frame);
        }
        if self.behaviour != Behaviour::Censor {
            return true;
        }
        let deaf = frame.windows(32).any(|window| window == self.victim) && is_forward(frame);
        self.lies += u64::from(deaf);
        !deaf
    }

    /// Remembers what a frame carries.
    fn see(&mut self, frame: &[u8]) {
        match codec::decode::<Envelope<AnyMessage>>(frame, usize::MAX).map(|envelope| envelope.body) {
            Ok(Body::Engine(sealed)) => self.protocol.see(sealed.message, &mut self.memory),
            Ok(body) => self.memory.see(body),
            Err(_) => {}
        }
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
        if self.behaviour == Behaviour::Poison && self.poison(&mut envelope.body) {
            self.lies += 1;
            return vec![Utterance { to, delay: Duration::ZERO, frame: codec::encode(&envelope).into() }];
        }
        let Body::Engine(sealed) = &mut envelope.body else {
            return vec![Utterance { to, delay: Duration::ZERO, frame }];
        };
        let lie = self.protocol.rewrite(to, &mut sealed.message, &mut self.random);
        self.lies += u64::from(!matches!(lie, Lie::None));
        let (delay, frames) = match lie {
            Lie::None => (Duration::ZERO, vec![frame]),
            Lie::Unsaid => (Duration::ZERO, Vec::new()),
            Lie::Late => (self.patience * 9 / 10, vec![frame]),
            Lie::BadShare => {
                sealed.seal = Seal::Share(Share::unsigned([7; 48]));
                (Duration::ZERO, vec![codec::encode(&envelope).into()])
            }
            Lie::Changed => {
                sealed.seal = self.seal(sealed.message.seal(&self.domain));
                (Duration::ZERO, vec![codec::encode(&envelope).into()])
            }
            Lie::Instead(messages) => {
                (Duration::ZERO, messages.into_iter().map(|message| self.frame(message)).collect())
            }
        };
        frames.into_iter().map(|frame| Utterance { to, delay, frame }).collect()
    }

    /// A frame with a message of its own, sealed.
    fn frame(&self, message: AnyMessage) -> Bytes {
        let seal = self.seal(message.seal(&self.domain));
        let body = Body::Engine(Sealed { message, seal });
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
            Body::Engine(Sealed { message, .. }) => {
                self.protocol.mutate(message, &self.memory, random);
                let kinds = self.protocol.kinds_to_sign();
                Some(mutate::statement(message.seal(&self.domain), kinds, random))
            }
            _ => {
                let kinds = self.protocol.kinds_to_sign();
                mutate::envelope(&mut envelope, &self.domain, kinds, &self.memory, random);
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
            let kinds = self.protocol.kinds_to_accuse_of();
            let (accused, first, second) =
                mutate::accusation(&self.domain, kinds, self.replicas, &self.memory, &mut self.random);
            let sealed = |statement| (statement, Seal::Share(self.signer.sign(&statement)));
            let evidence = Evidence::new(accused, sealed(first), sealed(second));
            let body: Body<AnyMessage> = Body::Evidence(Box::new(evidence));
            let envelope = Envelope { epoch: self.domain.epoch, votes: Vec::new(), body };
            self.lies += 1;
            out.push(Utterance { to, delay: Duration::ZERO, frame: codec::encode(&envelope).into() });
        }
        let mut messages: Vec<AnyMessage> = (0..self.random.between(1, 6))
            .map(|_| self.protocol.flood(&self.memory, &mut self.random))
            .collect();
        if self.random.per_mille(50) {
            messages.extend(self.protocol.forged_view(&self.memory, &mut self.random));
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
}

fn is_forward(frame: &[u8]) -> bool {
    let envelope = codec::decode::<Envelope<AnyMessage>>(frame, usize::MAX);
    envelope.is_ok_and(|envelope| envelope.body.class() == Class::Pool)
}
