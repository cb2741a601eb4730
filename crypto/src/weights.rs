//! Random weights for batch verification.
//!
//! A batch is one equation over a weighted sum. Whoever knows the weights beforehand can craft items whose
//! errors cancel (threat 57), so the weights must be unpredictable when the items are made. They are SHA-256
//! in counter mode over a secret drawn once per process from the operating system, a number that no two
//! batches share, and what the caller binds. The secret alone suffices; the number keeps the weights of two
//! batches independent.
//!
//! A verdict depends on the weights with probability 2⁻¹²⁸ only, so this is no source of divergence between
//! replicas, nor between two runs of a simulation. Without entropy there are no weights, and callers verify
//! items singly.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_core::{TryCryptoRng, TryRng};

use crate::{Digest, Domain};

static SECRET: OnceLock<Option<[u8; 32]>> = OnceLock::new();
static BATCHES: AtomicU64 = AtomicU64::new(0);

/// A stream of weights for one batch.
pub(crate) struct Weights {
    seed: Digest,
    block: Digest,
    blocks: u64,
    /// Invariant: `used <= 32`; the bytes of `block` before it are spent.
    used: usize,
}

impl Weights {
    /// Weights of a new batch, or `None` where the operating system gives no entropy.
    pub(crate) fn new(bound: &[&[u8]]) -> Option<Weights> {
        let secret = SECRET.get_or_init(|| {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).ok().map(|()| secret)
        });
        let batch = BATCHES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![secret.as_ref()?, &batch];
        parts.extend(bound);
        Some(Weights {
            seed: Digest::of_parts(Domain::Weights, &parts),
            block: Digest::ZERO,
            blocks: 0,
            used: 32,
        })
    }

    /// One weight of 128 bits that is not zero.
    pub(crate) fn weight(&mut self) -> [u8; 16] {
        loop {
            let mut weight = [0; 16];
            self.fill(&mut weight);
            if weight != [0; 16] {
                return weight;
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == 32 {
                self.block = Digest::of_parts(Domain::Weights, &[&self.seed.0, &self.blocks.to_be_bytes()]);
                self.blocks += 1;
                self.used = 0;
            }
            *byte = self.block.0[self.used];
            self.used += 1;
        }
    }
}

impl TryRng for Weights {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Weights {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_batches_have_different_weights() {
        let weights = |_| {
            let mut weights = Weights::new(&[b"same"]).unwrap();
            [weights.weight(), weights.weight(), weights.weight()]
        };
        let mut all: Vec<[u8; 16]> = (0..8).flat_map(weights).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 24);
    }
}
