//! From a seed to a run.

use crate::adversary::{Behaviour, Liar, LiarConfig};
use crate::checker::Violation;
use crate::client::Client;
use crate::clock::Clock;
use crate::disk_fault;
use crate::fault::{Fault, MOST_SKEW_US};
use crate::founding::{genesis, keys, seed};
use crate::mishap::{self, Faults};
use crate::network::{Network, Weather};
use crate::protocol;
use crate::random::Random;
use crate::reader::Reader;
use crate::replica::Replica;
use crate::world::World;
use bft_core::committee::Trust;
use bft_core::genesis::{Limits, VoteRouting};
use bft_core::host::{HostConfig, LocalLimits, no_clock};
use bft_core::mutants::Mutant;
use bft_core::types::{Digest, ReplicaId, Time};
use crypto::{ClientSecret, FaultModel, IdentitySecret, ProtocolTag, Scheme};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long faults happen, in virtual time.
const STORM: Duration = Duration::from_secs(5);

/// How long the healed network may take to commit what is asked of it. Timeouts may have doubled six times before.
pub(crate) const RECOVERY: Duration = Duration::from_secs(90);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Decides everything that is not given here.
    pub seed: u64,
    /// The engine.
    pub protocol: ProtocolTag,
    /// Size of the committee, if not the seed's choice.
    pub replicas: Option<usize>,
    /// What the liars do, if not the seed's choice.
    pub behaviour: Option<Behaviour>,
    /// How many replicas lie, if not the seed's choice. More than f may stop or fork the network.
    pub liars: Option<usize>,
    /// What goes wrong besides.
    pub faults: Faults,
    /// Whom PBFT's replicas send their votes to, if not the seed's choice.
    pub vote_routing: Option<VoteRouting>,
    /// How certificates are made: with keyed checksums of the same size as threshold signatures, if not with a real scheme.
    pub scheme: Option<Scheme>,
    /// A rule to break, to see that the checkers notice.
    pub canary: Option<Canary>,
    /// Print what happens.
    pub trace: bool,
}

impl Scenario {
    /// Everything is the seed's choice, but for the engine: PBFT.
    pub fn of_seed(seed: u64) -> Scenario {
        Scenario {
            seed,
            protocol: ProtocolTag::PBFT,
            replicas: None,
            behaviour: None,
            liars: None,
            faults: Faults::All,
            vote_routing: None,
            scheme: None,
            canary: None,
            trace: false,
        }
    }
}

/// A deliberately broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// The checkers take liars for honest.
    LiarsCountAsHonest,
    /// Quorums of the crash model among replicas that lie: two need not share an honest replica.
    SmallQuorums,
    /// Nobody passes evidence on.
    EvidenceIsKeptBack,
    /// The checkers take disks that lie and rot for sound ones.
    SickDisksCountAsSound,
}

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The same for the same seed.
    pub audit: Digest,
    /// Counts.
    pub tally: Tally,
    /// What went wrong.
    pub violation: Option<Violation>,
    /// More replicas lied than the protocol bears: it may stop or fork.
    pub beyond: bool,
}

/// Counts of one run or many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Things that happened.
    pub events: u64,
    /// Virtual milliseconds.
    pub simulated_ms: u64,
    /// Transactions executed.
    pub transactions: u64,
    /// Heights executed.
    pub heights: u64,
    /// Highest view reached, summed over runs.
    pub views: u64,
    /// The longest that a client waited for a receipt, in virtual milliseconds.
    pub longest_wait_ms: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.simulated_ms += other.simulated_ms;
        self.transactions += other.transactions;
        self.heights += other.heights;
        self.views += other.views;
        self.longest_wait_ms = self.longest_wait_ms.max(other.longest_wait_ms);
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
    }
}

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Outcome {
    run_within(scenario, |_| ())
}

/// With limits of the genesis changed.
pub fn run_within(scenario: &Scenario, change: impl FnOnce(&mut Limits)) -> Outcome {
    crypto::remember_digests();
    let mut random = Random::new(scenario.seed);
    let mut world = build_with(scenario, &mut random, change);
    world.evidence_is_kept_back = scenario.canary == Some(Canary::EvidenceIsKeptBack);
    world.trace = scenario.trace;
    world.trusts_disks = scenario.canary == Some(Canary::SickDisksCountAsSound);
    if matches!(scenario.faults, Faults::Calm | Faults::OldCopies) {
        world.network.set_weather(Weather::CALM);
    } else {
        plan_faults(&mut world, scenario.faults == Faults::Severe, &mut random.fork());
    }
    let liars = world.replicas.iter().filter(|replica| replica.liar.is_some()).count();
    let bearable = world.replicas[0].config.genesis.committee().faulty();
    let budget = bearable.saturating_sub(liars);
    let (left, spare) = mishap::plan(&mut world, scenario.faults, budget, STORM, &mut random.fork());
    disk_fault::plan(&mut world, scenario.faults, left, spare, STORM, &mut random.fork());
    let violation = play(&mut world).err();
    world.gather_disk_counts();
    let tally = tally(&world);
    Outcome { audit: world.audit(), tally, violation, beyond: liars > bearable }
}

fn play(world: &mut World) -> Result<(), Violation> {
    world.start()?;
    world.run(Time(0) + STORM, |_| false)?;
    // Here some outcomes are unknown; at the end none is.
    world.linearizable()?;
    world.heal()?;
    let asked: Vec<u64> = world.clients.iter().map(|client| client.done).collect();
    let served = |world: &World| {
        let more = world.clients.iter().zip(&asked).all(|(client, before)| client.done >= before + 3);
        more && world.now > Time(0) + STORM + Duration::from_millis(500)
    };
    let deadline = world.now + RECOVERY;
    if !world.run(deadline, served)? {
        let done: Vec<u64> = world.clients.iter().map(|client| client.done).collect();
        let what = format!(
            "clients had {asked:?} receipts when the network healed and have {done:?} now; heights {:?}",
            world.heights()
        );
        return Err(Violation { rule: "after healing, new transactions commit within a bound", what });
    }
    world.load = false;
    let deadline = world.now + RECOVERY;
    let quiet =
        |world: &World| world.is_settled() && world.clients.iter().all(|client| client.outstanding() == 0);
    if !world.run(deadline, quiet)? {
        let open: Vec<Vec<u64>> = world.clients.iter().map(Client::open).collect();
        let what = format!("heights {:?}; sequences without a receipt, by client: {open:?}", world.heights());
        return Err(Violation { rule: "without load, replicas come to the same certified height", what });
    }
    spread_evidence(world)?;
    world.linearizable()?;
    world.checker.finished(&world.heights())
}

/// Waits for what was found last and may still be on its way.
pub(crate) fn spread_evidence(world: &mut World) -> Result<(), Violation> {
    if world.has_spread_evidence() || world.run(world.now + RECOVERY, World::has_spread_evidence)? {
        return Ok(());
    }
    let known = |replica: &Replica| {
        let host = replica.host.as_ref().filter(|_| replica.is_honest())?;
        let lies: Vec<_> =
            host.evidence().map(|evidence| (evidence.accused, evidence.first.0.kind)).collect();
        Some(format!("{} can prove {lies:?}", replica.config.me))
    };
    let what = world.replicas.iter().filter_map(known).collect::<Vec<_>>().join(", ");
    Err(Violation { rule: "evidence reaches every honest replica", what })
}

pub(crate) fn tally(world: &World) -> Tally {
    let mut faults = BTreeMap::new();
    let mut count = |kind: &str, number: u64| {
        if number > 0 {
            faults.insert(kind.to_owned(), number);
        }
    };
    count("crashes", world.crashes);
    for (kind, number) in &world.mishaps {
        count(kind, *number);
    }
    count("clocks that drift", world.replicas.iter().filter(|r| r.clock.drift_ppm != 0).count() as u64);
    count("messages lost", world.network.lost);
    count("messages doubled", world.network.doubled);
    count("operations linearized", world.history.known());
    count("reads among them", world.history.reads());
    count("frames refused", world.rejected);
    count("states transferred", world.installed);
    count("lies proven", world.accused.values().sum());
    for replica in &world.replicas {
        let Some(liar) = &replica.liar else { continue };
        for (behaviour, lies) in liar.lies() {
            *faults.entry(format!("lies: {behaviour:?}")).or_default() += lies;
        }
        *faults.entry("liars of two ideas".to_owned()).or_default() += u64::from(liar.lies().count() > 1);
    }
    let views =
        world.replicas.iter().filter_map(|replica| replica.host.as_ref()).map(|host| host.engine_view());
    Tally {
        events: world.events,
        simulated_ms: world.now.0 / 1_000_000,
        transactions: world.checker.transactions,
        heights: world.checker.top,
        views: views.max().unwrap_or(0),
        longest_wait_ms: world
            .clients
            .iter()
            .map(|client| client.longest_wait.as_millis() as u64)
            .max()
            .unwrap_or(0),
        faults,
    }
}

pub(crate) fn build(scenario: &Scenario, random: &mut Random) -> World {
    build_with(scenario, random, |_| ())
}

/// With limits of the genesis changed.
pub(crate) fn build_with(
    scenario: &Scenario,
    random: &mut Random,
    change: impl FnOnce(&mut Limits),
) -> World {
    let crash = scenario.protocol == ProtocolTag::RAFT;
    let sizes = if crash { [3, 3, 3, 3, 5, 5, 7] } else { [4, 4, 4, 4, 5, 7, 10] };
    let n = scenario.replicas.unwrap_or_else(|| sizes[random.index(7)]);
    let secrets: Vec<ClientSecret> =
        (0..random.between(1, 4)).map(|_| ClientSecret::from_seed(seed(random))).collect();
    let identities: Vec<IdentitySecret> = (0..n).map(|_| IdentitySecret::from_seed(seed(random))).collect();
    let change = |limits: &mut Limits| {
        limits.vote_routing = scenario.vote_routing.unwrap_or(limits.vote_routing);
        change(limits);
    };
    let genesis = Arc::new(genesis(scenario.protocol, &identities, &secrets, random, change));
    let mut committee = genesis.committee();
    if scenario.canary == Some(Canary::SmallQuorums) {
        committee.fault_model = FaultModel::Crash;
    }
    // A certificate of too few is no certificate: whoever makes one believes it.
    let quorum = Mutant::PrepareQuorum.lowers(committee.quorum());
    let (verifier, signers) = keys(genesis.fault_model, scenario.scheme, seed(random), &identities, quorum);
    let trust = Trust { committee, ..genesis.trust_with(verifier) };
    let local = LocalLimits {
        pool_bytes: 1 << 20,
        segment_bytes: 1 << 14,
        flush_heights: random.between(2, 12),
        retain_blocks: if random.per_mille(500) { random.below(6) } else { u64::MAX },
        sync_bytes: 1 << random.between(9, 13),
        sync_rate: 64 << 20,
        fetch_all_blocks: false,
    };
    let mut replicas: Vec<Replica> = Vec::new();
    for (index, (signer, identity)) in signers.into_iter().zip(identities).enumerate() {
        let config = HostConfig {
            me: ReplicaId(index as u16),
            genesis: Arc::clone(&genesis),
            trust: trust.clone(),
            may_vote: true,
            local: LocalLimits { fetch_all_blocks: index % 4 == 3, ..local },
            spent: no_clock,
        };
        let skew_us = random.below(2_000_000) as i64 - MOST_SKEW_US;
        replicas.push(Replica::new(config, signer, identity, Clock::with_skew(skew_us)));
    }
    let victim = secrets[0].public().0;
    for index in liars(scenario, n, genesis.committee().faulty(), random) {
        let replica = &mut replicas[index];
        let (signer, identity) = replica.keys();
        let behaviours = behaviours(scenario, random);
        replica.counts_as_honest = scenario.canary == Some(Canary::LiarsCountAsHonest);
        replica.liar = Some(Liar::new(LiarConfig {
            me: ReplicaId(index as u16),
            behaviours,
            random: random.fork(),
            replicas: n,
            domain: trust.domain,
            signer,
            identity,
            patience: genesis.limits.view_timeout(),
            tenure_views: genesis.limits.tenure_views,
            victim,
        }));
    }
    let chain = genesis.chain();
    let clients = secrets.into_iter().map(|secret| Client::new(secret, chain, random.fork(), n)).collect();
    let weather = Weather::of(random);
    let liars = replicas.iter().filter(|replica| replica.liar.is_some()).count();
    let mut world = World::new(replicas, clients, Network::new(random.fork(), weather), random.fork());
    // Of the other protocols' runs most are as they were before there were such reads.
    if crash || scenario.seed.is_multiple_of(4) {
        let mut random = Random::new(!scenario.seed);
        world.readers = world.clients.iter().map(|_| Reader::new(trust.clone(), random.fork())).collect();
    }
    world.checker.window = Some(genesis.limits.window);
    world.checker.agreement = protocol::agreement(&genesis, liars);
    world
}

/// The ideas of one liar.
fn behaviours(scenario: &Scenario, random: &mut Random) -> Vec<Behaviour> {
    if let Some(behaviour) = scenario.behaviour {
        return vec![behaviour];
    }
    let known = if scenario.faults == Faults::Few { 10 } else { Behaviour::ALL.len() };
    let first = Behaviour::ALL[random.index(known)];
    let second = Behaviour::ALL[random.index(known)];
    let two = scenario.faults != Faults::Few && random.per_mille(400);
    // Who says nothing has no second idea.
    if two && first != second && ![first, second].contains(&Behaviour::Silent) {
        vec![first, second]
    } else {
        vec![first]
    }
}

/// Who lies: up to f.
fn liars(scenario: &Scenario, n: usize, f: usize, random: &mut Random) -> BTreeSet<usize> {
    if scenario.protocol == ProtocolTag::RAFT {
        // Where it is the fault model that nobody lies, nobody does.
        return BTreeSet::new();
    }
    let wanted = match (scenario.liars, scenario.behaviour, scenario.faults) {
        (Some(liars), _, _) => liars.min(n),
        (None, Some(_), _) => f,
        (None, None, Faults::Only(_) | Faults::OldCopies) => 0,
        (None, None, Faults::All | Faults::Severe | Faults::Calm | Faults::Few) => random.index(f + 1),
    };
    let mut liars = BTreeSet::new();
    while liars.len() < wanted {
        liars.insert(random.index(n));
    }
    liars
}

/// Crashes, restarts and partitions during the storm.
fn plan_faults(world: &mut World, severe: bool, random: &mut Random) {
    let n = world.replicas.len();
    let any = |random: &mut Random| ReplicaId(random.index(n) as u16);
    let moment = |random: &mut Random| random.span(Duration::from_millis(100), STORM);
    let blackouts = if severe { random.between(1, 3) } else { 0 };
    for _ in 0..blackouts {
        let at = moment(random);
        for index in 0..n {
            let replica = ReplicaId(index as u16);
            let at = at + random.span(Duration::ZERO, Duration::from_millis(5));
            world.plan(at, Fault::Crash(replica));
            let down = random.span(Duration::from_millis(6), Duration::from_millis(300));
            world.plan(at + down, Fault::Restart(replica));
        }
    }
    let (crashes, cuts) = if severe {
        (random.between(4, 12), random.between(3, 9))
    } else {
        (random.below(5), random.below(4))
    };
    for _ in 0..crashes {
        let (replica, at) = (any(random), moment(random));
        world.plan(at, Fault::Crash(replica));
        let down = random.span(Duration::from_millis(1), Duration::from_millis(1500));
        world.plan(at + down, Fault::Restart(replica));
    }
    for _ in 0..cuts {
        let at = moment(random);
        let side: BTreeSet<ReplicaId> =
            (0..n).map(|index| ReplicaId(index as u16)).filter(|_| random.per_mille(400)).collect();
        let other = (0..n).map(|index| ReplicaId(index as u16)).filter(|id| !side.contains(id)).collect();
        world.plan(at, Fault::Cut(side, other, random.per_mille(250)));
        world.plan(at + random.span(Duration::from_millis(50), Duration::from_millis(2000)), Fault::Mend);
    }
}
