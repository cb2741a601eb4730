//! Twins (Bano et al., *Twins: BFT systems made robust*, 2021): two copies of a replica under one key, and in each round a leader and
//! a partition. Nothing is rewritten: that two correct copies act for one replica is lie enough for equivocation, amnesia and
//! lost state.
//!
//! Which replica leads a view is the protocol's rule (in PBFT replica v mod n), so a round gets its leader by moving views. Under the round's partition
//! only what changes views is carried, until the side that has a quorum is in a view of that leader; then everything is carried
//! for a while. Where no side has both a quorum and the leader, views go as timeouts make them go.

use crate::checker::Violation;
use crate::mishap::Faults;
use crate::network::Weather;
use crate::random::Random;
use crate::scenario::{self, Outcome, RECOVERY, Scenario, Tally};
use crate::world::World;
use bft_core::types::ReplicaId;
use crypto::ProtocolTag;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a round lasts: longer than a first view timeout.
const ROUND: Duration = Duration::from_millis(700);

/// How long views may take to come to a round's leader.
const STEERING: Duration = Duration::from_secs(20);

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round {
    /// Who leads.
    pub leader: u16,
    /// The places on the first side, as bits; all others are on the second. Places from n on are the second copies.
    pub side: u32,
}

/// An attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Size of the committee.
    pub replicas: usize,
    /// Replicas that there are two of: at most f. The second copy of the first one is at place n, and so on.
    pub twins: Vec<u16>,
    /// What happens.
    pub rounds: Vec<Round>,
    /// Decides keys, load and delays.
    pub seed: u64,
}

/// Every attack of some rounds on four replicas, one of them (the first) doubled, up to symmetry: the honest replicas are alike,
/// so are the copies, and so are the sides.
pub fn enumerate(rounds: usize) -> Vec<Attack> {
    const PLACES: u32 = 5;
    let single: Vec<Round> =
        (0..4).flat_map(|leader| (0..1 << (PLACES - 1)).map(move |side| Round { leader, side })).collect();
    let mut found: BTreeSet<Vec<Round>> = BTreeSet::new();
    let total = single.len().pow(u32::try_from(rounds).expect("few rounds"));
    for number in 0..total {
        let mut rest = number;
        let attack: Vec<Round> = (0..rounds)
            .map(|_| {
                let round = single[rest % single.len()];
                rest /= single.len();
                round
            })
            .collect();
        if relabellings().all(|places| relabel(&attack, places) >= attack) {
            found.insert(attack);
        }
    }
    let attack = |rounds| Attack { replicas: 4, twins: vec![0], rounds, seed: 1 };
    found.into_iter().map(attack).collect()
}

/// Where each of the five places may go without changing what happens.
fn relabellings() -> impl Iterator<Item = [u32; 5]> {
    const HONEST: [[u32; 3]; 6] = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    let copies = [(0, 4), (4, 0)];
    HONEST.into_iter().flat_map(move |[a, b, c]| copies.map(|(first, second)| [first, a, b, c, second]))
}

fn relabel(attack: &[Round], places: [u32; 5]) -> Vec<Round> {
    let round = |round: &Round| {
        let side: u32 = (0..5).filter(|place| round.side >> place & 1 == 1).map(|p| 1 << places[p]).sum();
        let leader = if round.leader == 0 { 0 } else { places[usize::from(round.leader)] as u16 };
        Round { leader, side: side.min(!side & 0b11111) }
    };
    attack.iter().map(round).collect()
}

/// An attack that a seed chooses.
pub fn sample(replicas: usize, rounds: usize, seed: u64) -> Attack {
    let mut random = Random::new(seed ^ 0x7717);
    let f = (replicas - 1) / 3;
    let mut twins = BTreeSet::new();
    for _ in 0..random.between(1, f.max(1) as u64) {
        twins.insert(random.index(replicas) as u16);
    }
    let places = replicas + twins.len();
    let round = |_| Round { leader: random.index(replicas) as u16, side: random.below(1 << places) as u32 };
    let rounds = (0..rounds).map(round).collect();
    Attack { replicas, twins: twins.into_iter().collect(), rounds, seed }
}

/// Carries out an attack, then mends the network and asks for progress.
pub fn run(attack: &Attack, protocol: ProtocolTag, trace: bool) -> Outcome {
    crypto::remember_digests();
    let scenario = Scenario {
        protocol,
        replicas: Some(attack.replicas),
        liars: Some(0),
        faults: Faults::Few,
        ..Scenario::of_seed(attack.seed)
    };
    let mut world = scenario::build(&scenario, &mut Random::new(attack.seed));
    world.trace = trace;
    world.network.set_weather(Weather::CALM);
    for twin in &attack.twins {
        let copy = world.replicas[usize::from(*twin)].double();
        world.replicas.push(copy);
    }
    let mut steered = 0;
    let violation = play(&mut world, attack, &mut steered).err();
    let mut tally: Tally = scenario::tally(&world);
    tally.faults.insert("rounds".to_owned(), attack.rounds.len() as u64);
    tally.faults.insert("rounds whose leader led a quorum".to_owned(), steered);
    Outcome { audit: world.audit(), tally, violation, beyond: false }
}

fn play(world: &mut World, attack: &Attack, steered: &mut u64) -> Result<(), Violation> {
    world.start()?;
    world.run(world.now + Duration::from_millis(300), |_| false)?;
    for round in &attack.rounds {
        let places = (0..world.replicas.len()).map(|place| ReplicaId(place as u16));
        let (side, other): (BTreeSet<ReplicaId>, BTreeSet<ReplicaId>) =
            places.partition(|place| round.side >> place.0 & 1 == 1);
        world.network.heal();
        world.network.cut(&side, &other, false);
        world.tell_links();
        let leader = ReplicaId(round.leader);
        let quorum = world.replicas[0].config.trust.committee.quorum();
        let of = |world: &World, side: &BTreeSet<ReplicaId>| -> BTreeSet<ReplicaId> {
            side.iter().map(|place| world.replicas[place.index()].config.me).collect()
        };
        let able = [side, other].into_iter().find(|side| {
            let members = of(world, side);
            members.len() >= quorum && members.contains(&leader)
        });
        if let Some(side) = able {
            world.only_view_changes = true;
            let led = |world: &World| {
                let mut honest =
                    side.iter().map(|place| &world.replicas[place.index()]).filter(|r| r.is_honest());
                honest.all(|replica| {
                    let report = replica.host.as_ref().map(bft_core::host::Host::report);
                    report.is_some_and(|report| report.active && report.leader == leader)
                })
            };
            *steered += u64::from(world.run(world.now + STEERING, led)?);
            world.only_view_changes = false;
        }
        world.run(world.now + ROUND, |_| false)?;
    }
    world.heal()?;
    let asked: Vec<u64> = world.clients.iter().map(|client| client.done).collect();
    let served =
        |world: &World| world.clients.iter().zip(&asked).all(|(client, before)| client.done >= before + 2);
    if !world.run(world.now + RECOVERY, served)? {
        let what = format!("{attack:?}: heights {:?}", world.heights());
        return Err(Violation { rule: "after the attack, new transactions commit within a bound", what });
    }
    world.load = false;
    let quiet =
        |world: &World| world.is_settled() && world.clients.iter().all(|client| client.outstanding() == 0);
    if !world.run(world.now + RECOVERY, quiet)? {
        let what = format!("{attack:?}: heights {:?}", world.heights());
        return Err(Violation { rule: "without load, replicas come to the same certified height", what });
    }
    scenario::spread_evidence(world)?;
    world.linearizable()?;
    world.checker.finished(&world.heights())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_of_one_round_are_few_up_to_symmetry() {
        // Leader doubled or honest; how many honest on the side of the first copy, the leader there or not.
        let attacks = enumerate(1);
        assert!((10..=32).contains(&attacks.len()), "{}", attacks.len());
        for (index, attack) in attacks.iter().enumerate() {
            assert!(attacks[..index].iter().all(|other| other != attack));
        }
    }

    #[test]
    fn samples_double_at_most_f() {
        for seed in 0..50 {
            for replicas in [4, 7, 10] {
                let attack = sample(replicas, 3, seed);
                assert!(!attack.twins.is_empty() && attack.twins.len() <= (replicas - 1) / 3);
                assert!(attack.rounds.iter().all(|round| usize::from(round.leader) < replicas));
            }
        }
    }
}
