//! What a mutator has seen and may put where it does not belong, whatever the protocol. Bounded.

use bft_core::block::Block;
use bft_core::envelope::Body;
use bft_core::ledger::CheckpointCertificate;
use bft_core::types::{Height, View};
use crypto::Certificate;
use engines::AnyMessage;
use std::collections::VecDeque;

/// How many things of a kind are kept.
const MOST: usize = 32;

/// How far ahead of what was seen a view or height is believed.
const NEAR: u64 = 1000;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub view: View,
    pub height: Height,
    pub blocks: VecDeque<Block>,
    pub certificates: VecDeque<Certificate>,
    pub stable: VecDeque<CheckpointCertificate>,
}

impl Memory {
    /// Remembers what the host's own part of a frame carries.
    pub fn see(&mut self, body: Body<AnyMessage>) {
        match body {
            Body::Certificate(certificate) => self.see_stable(certificate),
            Body::Blocks(blocks, _) => blocks.into_iter().for_each(|block| keep(&mut self.blocks, block)),
            Body::Engine(_)
            | Body::Votes
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

    /// Remembers a certificate.
    pub fn see_stable(&mut self, stable: CheckpointCertificate) {
        if let Some(proof) = &stable.proof {
            keep(&mut self.certificates, proof.clone());
        }
        keep(&mut self.stable, stable);
    }

    /// A view and height that somebody is at.
    pub fn at(&mut self, view: View, height: Height) {
        // Another liar's far ones would lead nowhere.
        if view <= self.view + NEAR && height <= self.height + NEAR {
            (self.view, self.height) = (self.view.max(view), self.height.max(height));
        }
    }
}

/// Adds to a list that stays short.
pub(super) fn keep<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == MOST {
        list.pop_front();
    }
    list.push_back(item);
}
