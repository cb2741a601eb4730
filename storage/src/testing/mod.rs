//! A disk in memory that does what disks do wrong, for tests and simulations.

mod content;
mod fault_disk;
mod ports;
mod state;

pub use fault_disk::{Ailment, Fault, FaultDisk};

/// A small generator, so that a failing seed replays.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Default for Dice {
    fn default() -> Dice {
        Dice(1)
    }
}

impl Dice {
    /// A number below `sides`, which is not 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// One of several, if there are any.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.roll(of.len() as u64) as usize])
    }
}
