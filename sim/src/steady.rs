//! A steady load on a local network, with all replicas or without one: what a block, a change of leaders and a missing replica cost.

use crate::checker::Violation;
use crate::fault::Fault;
use crate::mishap::Faults;
use crate::network::Weather;
use crate::pace::Pace;
use crate::random::Random;
use crate::scenario::{self, Scenario};
use crate::world::World;
use bft_core::genesis::Limits;
use bft_core::host::accounting::{Direction, Traffic};
use bft_core::types::{Height, ReplicaId, View};
use std::collections::BTreeMap;
use std::time::Duration;

/// The links: a switched network.
const LAN: Weather = Weather {
    fastest: Duration::from_micros(200),
    slowest: Duration::from_micros(500),
    loss: 0,
    duplication: 0,
};

/// A good disk.
const PACE: Pace =
    Pace { sync: (Duration::from_micros(100), Duration::from_micros(300)), ..Pace::with_disk_of(1) };

/// Pauses of the clients: so short that each has all the transactions open that it may have.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(2));

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seed and protocol.
    pub scenario: Scenario,
    /// Size of the committee, of honest replicas all.
    pub replicas: usize,
    /// One that is not there. Clients turn to those before it.
    pub dead: Option<ReplicaId>,
    /// One whose disk takes ten times as long.
    pub slow_disk: Option<ReplicaId>,
    /// What passes before the measurement, in virtual time.
    pub first: Duration,
    /// What is measured.
    pub measured: Duration,
}

/// What happened so far, or in a stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    /// Transactions committed.
    pub transactions: u64,
    /// Heights executed.
    pub heights: Height,
    /// Views reached.
    pub views: View,
    /// What all replicas sent, by kind.
    pub sent: BTreeMap<&'static str, Traffic>,
}

impl Steady {
    fn of(world: &World) -> Steady {
        let mut sent: BTreeMap<&'static str, Traffic> = BTreeMap::new();
        let totals = world.replicas.iter().filter_map(|replica| replica.host.as_ref());
        for (sort, traffic) in totals.flat_map(|host| host.accounting().totals()) {
            if sort.direction == Direction::Sent {
                *sent.entry(sort.kind).or_default() += *traffic;
            }
        }
        Steady {
            transactions: world.checker.transactions,
            heights: world.checker.top,
            views: scenario::tally(world).views,
            sent,
        }
    }

    fn since(mut self, before: &Steady) -> Steady {
        self.transactions -= before.transactions;
        self.heights -= before.heights;
        self.views -= before.views;
        for (kind, traffic) in &mut self.sent {
            let before = before.sent.get(kind).copied().unwrap_or_default();
            traffic.messages -= before.messages;
            traffic.bytes -= before.bytes;
            traffic.authenticators -= before.authenticators;
        }
        self
    }
}

/// Runs a committee under a load that never ends. Limits of the genesis are changed as wished.
///
/// # Errors
/// A rule that was broken.
pub fn run(plan: &Plan, change: impl FnOnce(&mut Limits)) -> Result<Steady, Violation> {
    crypto::remember_digests();
    let scenario =
        Scenario { replicas: Some(plan.replicas), liars: Some(0), faults: Faults::Few, ..plan.scenario };
    let mut world = scenario::build_with(&scenario, &mut Random::new(scenario.seed), change);
    world.network.set_weather(LAN);
    (world.pace, world.pauses, world.trace) = (PACE, PAUSES, scenario.trace);
    for client in &mut world.clients {
        client.keep_to_first(plan.dead.map_or(plan.replicas, ReplicaId::index));
    }
    world.start()?;
    if let Some(replica) = plan.slow_disk {
        world.replicas[replica.index()].sync_factor = 10;
    }
    if let Some(replica) = plan.dead {
        world.plan(Duration::ZERO, Fault::Crash(replica));
    }
    world.run(world.now + plan.first, |_| false)?;
    let before = Steady::of(&world);
    world.run(world.now + plan.measured, |_| false)?;
    Ok(Steady::of(&world).since(&before))
}
