//! What a committee sends, signs and verifies for a block, for a transaction alone, for a leader that fails, and for a replica that comes
//! back: the production host's own accounting, in a world where nothing but messages takes time.
//!
//! Every link takes one unit of time and replicas take none, so that the time until a client has its receipt is the number of message
//! delays on the critical path.

use crate::checker::Violation;
use crate::fault::Fault;
use crate::mishap::Faults;
use crate::network::Weather;
use crate::pace::Pace;
use crate::random::Random;
use crate::scenario::{self, Scenario};
use crate::world::World;
use bft_core::genesis::{Chain, Limits, VoteRouting};
use bft_core::host::accounting::{Direction, Traffic};
use bft_core::types::{Height, ReplicaId};
use crypto::{ProtocolTag, Scheme, Work};
use std::collections::BTreeMap;
use std::time::Duration;

/// A message delay.
const UNIT: Duration = Duration::from_millis(1);

/// The timeout of a view: so many units that nobody loses patience unless something fails, and so few that clients do not either.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Much longer than anything takes, but for timeouts.
const REST: Duration = Duration::from_millis(200);

/// Blocks until load ends.
const BLOCKS: Height = 32;

/// Transactions alone, one after the other; and heights for which a replica is away.
const ALONE: u64 = 4;

/// Transactions that each client has without a receipt, under load.
const DEPTH: usize = 24;

/// A seed with four clients.
const SEED: u64 = 13;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The engine.
    pub protocol: ProtocolTag,
    /// HotStuff's commit rule.
    pub chain: Chain,
    /// Whom PBFT's votes go to.
    pub vote_routing: VoteRouting,
    /// How certificates are made; without meaning where nothing is signed.
    pub scheme: Scheme,
    /// Size of the committee.
    pub replicas: usize,
}

/// In which case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// Blocks one behind the other, as many as the window takes: for each block proposed.
    Block,
    /// A transaction while nothing else happens, until everybody is at rest again: for each.
    Alone,
    /// The leader is dead when a transaction comes to all others at once: until they are at rest again.
    LeaderFailure,
    /// A replica that missed some heights starts again: until it is where the others are.
    CatchUp,
}

/// What it came to, everybody's together.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Blocks, transactions, failures, returns: what the counts are to be divided by.
    pub times: u64,
    /// Heights executed.
    pub heights: Height,
    /// Heights with a checkpoint certificate among them.
    pub certified: Height,
    /// Bytes of the payloads executed, once each.
    pub payload_bytes: u64,
    /// What was sent, by kind, but for transactions on their way to the leader under load.
    pub sent: BTreeMap<&'static str, Traffic>,
    /// What was signed and verified.
    pub work: Work,
    /// Messages one after the other until the client had its receipt, its own and the answer included; the most of those measured.
    pub delays: Option<u64>,
}

impl Cost {
    fn so_far(world: &World) -> Cost {
        let mut sent: BTreeMap<&'static str, Traffic> = BTreeMap::new();
        let hosts = || world.replicas.iter().filter_map(|replica| replica.host.as_ref());
        for (sort, traffic) in hosts().flat_map(|host| host.accounting().totals()) {
            if sort.direction == Direction::Sent {
                *sent.entry(sort.kind).or_default() += *traffic;
            }
        }
        Cost {
            heights: world.checker.top,
            payload_bytes: hosts().map(|host| host.totals().payload_bytes).max().unwrap_or(0),
            sent,
            work: world.work,
            ..Cost::default()
        }
    }

    fn since(mut self, before: &Cost) -> Cost {
        self.heights -= before.heights;
        self.payload_bytes = self.payload_bytes.saturating_sub(before.payload_bytes);
        self.work = self.work - before.work;
        for (kind, traffic) in &mut self.sent {
            let before = before.sent.get(kind).copied().unwrap_or_default();
            traffic.messages -= before.messages;
            traffic.bytes -= before.bytes;
            traffic.authenticators -= before.authenticators;
        }
        self.sent.retain(|_, traffic| *traffic != Traffic::default());
        self
    }
}

/// Measures a case.
///
/// # Errors
/// A rule that was broken.
pub fn measure(subject: &Subject, case: Case) -> Result<Cost, Violation> {
    let mut world = quiet(subject)?;
    match case {
        Case::Block => blocks(&mut world),
        Case::Alone => alone(&mut world),
        Case::LeaderFailure => leader_failure(&mut world),
        Case::CatchUp => catch_up(&mut world),
    }
}

/// A committee that has certified a first block and is at rest.
fn quiet(subject: &Subject) -> Result<World, Violation> {
    crypto::remember_digests();
    let Subject { protocol, chain, vote_routing, scheme, replicas } = *subject;
    let scenario = Scenario {
        protocol,
        replicas: Some(replicas),
        liars: Some(0),
        faults: Faults::Few,
        scheme: Some(scheme),
        ..Scenario::of_seed(SEED)
    };
    let change = |limits: &mut Limits| {
        *limits = Limits {
            chain,
            vote_routing,
            window: 32,
            checkpoint_interval: 32,
            // Only multiples of the interval, and what is last, are certified.
            checkpoint_ms: 1_000_000,
            view_timeout_ms: TIMEOUT.as_millis() as u64,
            // A tenure that does not end.
            tenure_views: 100_000,
            // So small that every block is full.
            block_bytes: 512,
            batch_ms: 1,
            ..*limits
        };
    };
    let mut world = scenario::build_with(&scenario, &mut Random::new(scenario.seed), change);
    world.network.set_weather(Weather { fastest: UNIT, slowest: UNIT, loss: 0, duplication: 0 });
    (world.pace, world.pauses, world.load) = (Pace::INSTANT, (UNIT, UNIT), false);
    world.readers.clear();
    world.most_events = u64::MAX;
    for replica in &mut world.replicas {
        replica.clock = crate::clock::Clock::default();
    }
    world.start()?;
    rest(&mut world, REST)?;
    world.pauses = (UNIT * 100, UNIT * 100);
    // From here on there is a leader, and a certificate to build on.
    let all: Vec<ReplicaId> = (0..replicas as u16).map(ReplicaId).collect();
    world.submit(0, &all);
    rest(&mut world, TIMEOUT * 3)?;
    world.clients[0].longest_wait = Duration::ZERO;
    Ok(world)
}

/// Time passes in which everything ends that has begun.
fn rest(world: &mut World, span: Duration) -> Result<(), Violation> {
    world.run(world.now + span, |_| false).map(drop)
}

fn leader(world: &World) -> ReplicaId {
    let mut reports =
        world.replicas.iter().filter_map(|replica| replica.host.as_ref()).map(|host| host.report());
    reports.next().expect("a replica runs").leader
}

fn blocks(world: &mut World) -> Result<Cost, Violation> {
    let leader = leader(world);
    let (before, first) = (Cost::so_far(world), world.checker.top);
    world.pauses = (UNIT / 8, UNIT / 8);
    world.load = true;
    for client in &mut world.clients {
        client.press(leader, DEPTH);
    }
    world.run(world.now + TIMEOUT / 4, |world| world.checker.top >= first + BLOCKS)?;
    world.load = false;
    rest(world, REST)?;
    let host = world.replicas[leader.index()].host.as_ref().expect("it leads");
    let certified = (first + 1..=world.checker.top)
        .filter(|height| host.entry(*height).is_some_and(|entry| entry.state_root.is_some()));
    let certified = certified.count() as u64;
    let mut cost = Cost::so_far(world).since(&before);
    let proposals = ["pre-prepare", "proposal"].iter().filter_map(|kind| cost.sent.get(kind));
    let proposed: u64 = proposals.map(|traffic| traffic.messages / (world.replicas.len() as u64 - 1)).sum();
    // Raft has no message that is a proposal and nothing else.
    cost.times = if proposed > 0 { proposed } else { cost.heights };
    cost.certified = certified;
    Ok(cost)
}

fn alone(world: &mut World) -> Result<Cost, Violation> {
    let leader = leader(world);
    let before = Cost::so_far(world);
    for _ in 0..ALONE {
        world.submit(0, &[leader]);
        rest(world, REST)?;
    }
    let mut cost = Cost::so_far(world).since(&before);
    cost.times = ALONE;
    cost.delays = Some(delays(world));
    Ok(cost)
}

fn delays(world: &World) -> u64 {
    (world.clients[0].longest_wait.as_nanos() as f64 / UNIT.as_nanos() as f64).round() as u64
}

fn leader_failure(world: &mut World) -> Result<Cost, Violation> {
    let dead = leader(world);
    world.plan(Duration::ZERO, Fault::Crash(dead));
    rest(world, UNIT * 2)?;
    let before = Cost::so_far(world);
    let others: Vec<ReplicaId> =
        (0..world.replicas.len() as u16).map(ReplicaId).filter(|replica| *replica != dead).collect();
    world.clients[0].press(others[0], 1);
    world.submit(0, &others);
    world.run(world.now + TIMEOUT * 8, |world| world.clients[0].outstanding() == 0)?;
    rest(world, REST)?;
    let mut cost = Cost::so_far(world).since(&before);
    cost.times = 1;
    Ok(cost)
}

fn catch_up(world: &mut World) -> Result<Cost, Violation> {
    let leader = leader(world);
    let last = ReplicaId(world.replicas.len() as u16 - 1);
    let away = if last == leader { ReplicaId(last.0 - 1) } else { last };
    world.plan(Duration::ZERO, Fault::Crash(away));
    rest(world, UNIT * 2)?;
    for _ in 0..ALONE {
        world.submit(0, &[leader]);
        rest(world, REST)?;
    }
    let before = Cost::so_far(world);
    world.plan(Duration::ZERO, Fault::Restart(away));
    let (place, top) = (away.index(), world.checker.top);
    let caught_up = move |world: &World| {
        world.replicas[place].host.as_ref().is_some_and(|host| host.executed() >= top && host.is_certified())
    };
    world.run(world.now + TIMEOUT * 8, caught_up)?;
    rest(world, REST)?;
    let host = world.replicas[away.index()].host.as_ref().expect("it started");
    if host.executed() < world.checker.top {
        let what = format!("{away} is at {} of {}", host.executed(), world.checker.top);
        return Err(Violation { rule: "who comes back catches up", what });
    }
    let payload_bytes = host.totals().payload_bytes;
    let mut cost = Cost::so_far(world).since(&before);
    (cost.times, cost.heights, cost.payload_bytes) = (1, ALONE, payload_bytes);
    Ok(cost)
}
