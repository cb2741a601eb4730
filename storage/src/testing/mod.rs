//! A disk in memory that does what disks do wrong, for tests and simulations.

mod content;
mod fault_disk;
mod ports;
mod state;

use bft_core::random::SplitMix64;

pub use fault_disk::{Ailment, Fault, FaultDisk};

/// A small generator, so that a failing seed replays.
#[derive(Clone, Debug)]
pub struct Dice(SplitMix64);

impl Default for Dice {
    fn default() -> Dice {
        Dice::new(1)
    }
}

impl Dice {
    /// The rolls of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(SplitMix64(seed))
    }

    /// A number below `sides`, which is not 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0.draw() % sides
    }

    /// One of several, if there are any.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.roll(of.len() as u64) as usize])
    }
}
