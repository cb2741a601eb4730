//! What a mutator has seen and may put where it does not belong. Bounded.

use bft_core::block::Block;
use bft_core::codec;
use bft_core::envelope::{Body, Envelope, Sealed};
use bft_core::ledger::CheckpointCertificate;
use bft_core::types::{Height, ReplicaId, View};
use crypto::{Certificate, Digest};
use engines::AnyMessage;
use pbft::{Message, Prepared, Relay, ViewChange};
use std::collections::VecDeque;

/// How many things of a kind are kept.
const MOST: usize = 32;

/// How far ahead of what was seen a view or height is believed.
const NEAR: u64 = 1000;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Memory {
    pub me: ReplicaId,
    pub view: View,
    pub height: Height,
    pub messages: VecDeque<Message>,
    pub blocks: VecDeque<Block>,
    pub prepared: VecDeque<Prepared>,
    pub certificates: VecDeque<Certificate>,
    pub stable: VecDeque<CheckpointCertificate>,
    pub sources: VecDeque<(ReplicaId, Digest)>,
}

impl Memory {
    /// Nothing seen yet.
    pub fn of(me: ReplicaId) -> Memory {
        Memory {
            me,
            view: 0,
            height: 0,
            messages: VecDeque::new(),
            blocks: VecDeque::new(),
            prepared: VecDeque::new(),
            certificates: VecDeque::new(),
            stable: VecDeque::new(),
            sources: VecDeque::new(),
        }
    }

    /// Remembers what a frame carries.
    pub fn see(&mut self, frame: &[u8]) {
        let Ok(envelope) = codec::decode::<Envelope<AnyMessage>>(frame, usize::MAX) else { return };
        match envelope.body {
            Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) => {
                match &message {
                    Message::PrePrepare(proposal) => {
                        self.at(proposal.view, proposal.block.header.height);
                        keep(&mut self.blocks, proposal.block.clone());
                    }
                    Message::Prepare(vote) | Message::Commit(vote) => self.at(vote.view, vote.height),
                    Message::ViewChange(change) => self.see_change(change),
                    Message::Relay(Relay::ViewChange(_, change, _)) => self.see_change(change),
                    Message::NewView(new_view) => {
                        new_view.sources.iter().for_each(|source| keep(&mut self.sources, *source));
                    }
                    Message::Status(_) | Message::FetchViewChanges(..) | Message::Relay(_) => {}
                }
                keep(&mut self.messages, message);
            }
            Body::Certificate(certificate) => self.see_stable(certificate),
            Body::Blocks(blocks, _) => blocks.into_iter().for_each(|block| keep(&mut self.blocks, block)),
            Body::Votes
            | Body::Forward(_)
            | Body::FetchBlocks(_)
            | Body::FetchChain(_)
            | Body::Chain(_)
            | Body::FetchState(_)
            | Body::State(_)
            | Body::Evidence(_)
            | Body::FetchPromises(_)
            | Body::Promises(_) => {}
        }
    }

    fn see_change(&mut self, change: &ViewChange) {
        self.at(change.view, 0);
        self.see_stable(change.stable.clone());
        for prepared in &change.prepared {
            keep(&mut self.certificates, prepared.certificate.clone());
            keep(&mut self.prepared, prepared.clone());
        }
    }

    fn see_stable(&mut self, stable: CheckpointCertificate) {
        if let Some(proof) = &stable.proof {
            keep(&mut self.certificates, proof.clone());
        }
        keep(&mut self.stable, stable);
    }

    fn at(&mut self, view: View, height: Height) {
        // Another liar's far ones would lead nowhere.
        if view <= self.view + NEAR && height <= self.height + NEAR {
            (self.view, self.height) = (self.view.max(view), self.height.max(height));
        }
    }
}

fn keep<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == MOST {
        list.pop_front();
    }
    list.push_back(item);
}
