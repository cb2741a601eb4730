//! A steady load on a local network, with all replicas or without the last one: what a missing replica costs.

use crate::checker::Violation;
use crate::fault::Fault;
use crate::mishap::Faults;
use crate::network::Weather;
use crate::random::Random;
use crate::scenario::{self, Scenario};
use crate::world::World;
use bft_core::genesis::Limits;
use bft_core::types::ReplicaId;
use std::time::Duration;

/// Size of the committee.
const REPLICAS: usize = 4;

/// Before the measurement.
const FIRST: Duration = Duration::from_millis(500);

/// How long is measured, in virtual time.
const MEASURED: Duration = Duration::from_secs(4);

/// The links: a switched network.
const LAN: Weather = Weather {
    fastest: Duration::from_micros(200),
    slowest: Duration::from_micros(500),
    loss: 0,
    duplication: 0,
};

/// How long a sync takes.
const SYNC: (Duration, Duration) = (Duration::from_micros(100), Duration::from_micros(300));

/// Pauses of the clients: so short that each has all the transactions open that it may have.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(2));

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    /// Transactions committed in the measured time.
    pub transactions: u64,
    /// Views that passed meanwhile.
    pub views: u64,
}

impl Steady {
    /// How long a view took on average.
    pub fn view(&self) -> Duration {
        MEASURED / u32::try_from(self.views.max(1)).unwrap_or(u32::MAX)
    }
}

/// Runs a committee whose replicas are honest, and of which the last one is there or not, under a load that never ends. Limits of the genesis
/// are changed as wished. Clients turn to the other replicas only.
///
/// # Errors
/// A rule that was broken.
pub fn run(scenario: &Scenario, all: bool, change: impl FnOnce(&mut Limits)) -> Result<Steady, Violation> {
    crypto::remember_digests();
    let scenario = Scenario { replicas: Some(REPLICAS), liars: Some(0), faults: Faults::Few, ..*scenario };
    let mut world = scenario::build_with(&scenario, &mut Random::new(scenario.seed), change);
    world.network.set_weather(LAN);
    (world.sync_time, world.pauses, world.trace) = (SYNC, PAUSES, scenario.trace);
    for client in &mut world.clients {
        client.keep_to_first(REPLICAS - 1);
    }
    world.start()?;
    if !all {
        world.plan(Duration::ZERO, Fault::Crash(ReplicaId(REPLICAS as u16 - 1)));
    }
    world.run(world.now + FIRST, |_| false)?;
    let sample = |world: &World| (world.checker.transactions, scenario::tally(world).views);
    let before = sample(&world);
    world.run(world.now + MEASURED, |_| false)?;
    let after = sample(&world);
    Ok(Steady { transactions: after.0 - before.0, views: after.1 - before.1 })
}
