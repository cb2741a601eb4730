//! A long run in which nothing goes wrong: what replicas have on disk must not grow with what they have done.

use crate::checker::Violation;
use crate::cut::{rest, with_short_segments};
use std::time::Duration;

/// Between two looks at the disks, in virtual time.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a run has to show.
#[derive(Clone, Debug)]
pub struct Endurance {
    /// Bytes of the largest log at each look, spare segments included.
    pub log_bytes: Vec<usize>,
    /// Heights executed by then.
    pub heights: Vec<u64>,
}

/// Has four replicas serve clients until so many looks were taken; their logs keep so many blocks below the stable height.
///
/// # Errors
/// A rule that was broken.
pub fn run(seed: u64, looks: usize, retain_blocks: u64) -> Result<Endurance, Violation> {
    let mut world = with_short_segments(seed, retain_blocks);
    world.start()?;
    let mut endurance = Endurance { log_bytes: Vec::new(), heights: Vec::new() };
    for _ in 0..looks {
        world.run(world.now + LOOK_EVERY, |_| false)?;
        let used = world.replicas.iter().map(|replica| replica.drive.sectors.used());
        endurance.log_bytes.push(used.max().unwrap_or(0));
        endurance.heights.push(world.checker.top);
    }
    rest(&mut world)?;
    world.checker.finished(&world.heights())?;
    Ok(endurance)
}
