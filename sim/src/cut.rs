//! A power failure at one operation of one disk, in a run without other faults: each write, sync, rename and removal in turn.

use crate::checker::Violation;
use crate::drive::Drive;
use crate::mishap::Faults;
use crate::network::Weather;
use crate::random::Random;
use crate::scenario::{self, Outcome, RECOVERY, Scenario};
use crate::world::World;
use bft_core::types::Time;
use std::time::Duration;
use storage::testing::Fault;

/// How long the first part of the run is.
const FIRST: Duration = Duration::from_millis(450);

/// Bytes of a segment as the host counts them: so few that segments are begun, released and used again within the run.
const SEGMENT_BYTES: usize = 3 << 10;

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Decides keys, load, delays, and what of the operation reaches the disk.
    pub seed: u64,
    /// Whose disk.
    pub replica: usize,
    /// At which of its operations, counted from 0; beyond the last one nothing happens.
    pub operation: u64,
}

/// Runs four replicas until they have served clients after the power failure too, and rest. Also gives how many operations that
/// disk has had.
pub fn run(cut: &Cut) -> (Outcome, u64) {
    let mut world = with_short_segments(cut.seed, 0);
    world.replicas[cut.replica].drive.sectors.fail_at(cut.operation, Fault::Crash);
    let violation = play(&mut world).err();
    world.gather_disk_counts();
    let operations = world.replicas[cut.replica].drive.sectors.operations();
    let tally = scenario::tally(&world);
    (Outcome { audit: world.audit(), tally, violation, beyond: false }, operations)
}

/// Four honest replicas on a calm network, whose logs have short segments and keep so many blocks.
pub(crate) fn with_short_segments(seed: u64, retain_blocks: u64) -> World {
    crypto::remember_digests();
    let scenario =
        Scenario { replicas: Some(4), liars: Some(0), faults: Faults::Few, ..Scenario::of_seed(seed) };
    let mut world = scenario::build(&scenario, &mut Random::new(seed));
    world.network.set_weather(Weather::CALM);
    for replica in &mut world.replicas {
        let local = &mut replica.config.local;
        (local.segment_bytes, local.flush_heights, local.retain_blocks) = (SEGMENT_BYTES, 2, retain_blocks);
        replica.drive = Drive::new(&replica.config);
    }
    world
}

fn play(world: &mut World) -> Result<(), Violation> {
    world.start()?;
    world.run(Time(0) + FIRST, |_| false)?;
    let asked: Vec<u64> = world.clients.iter().map(|client| client.done).collect();
    let served = move |world: &World| {
        let more = world.clients.iter().zip(&asked).all(|(client, before)| client.done > *before);
        more && world.replicas.iter().all(|replica| replica.host.is_some())
    };
    if !world.run(world.now + RECOVERY, served)? {
        let what = format!("heights {:?}", world.heights());
        return Err(Violation { rule: "after a power failure the network goes on", what });
    }
    rest(world)?;
    world.linearizable()?;
    world.checker.finished(&world.heights())
}

/// Ends the load, and waits until all replicas have come to rest.
pub(crate) fn rest(world: &mut World) -> Result<(), Violation> {
    world.load = false;
    let quiet = |world: &World| {
        world.is_settled()
            && world.replicas.iter().all(|replica| replica.host.is_some())
            && world.clients.iter().all(|client| client.outstanding() == 0)
    };
    if !world.run(world.now + RECOVERY, quiet)? {
        let what = format!("heights {:?}", world.heights());
        return Err(Violation { rule: "without load, replicas come to the same certified height", what });
    }
    Ok(())
}
