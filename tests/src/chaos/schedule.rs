//! What goes wrong, and when: drawn from a seed.

use crate::dice::Dice;
use crate::proxy::Conditions;
use bft_core::quorum;
use crypto::{FaultModel, ProtocolTag, Scheme};
use std::fmt;
use std::time::Duration;

/// Which links of a replica, as seen from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What it sends and what it gets.
    Both,
    /// What it sends.
    Out,
    /// What it gets.
    In,
}

/// What happens to one replica.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL; started again at the end.
    Kill,
    /// SIGTERM; started again at the end.
    Stop,
    /// SIGSTOP; SIGCONT at the end.
    Pause,
    /// Its links to some others are cut, perhaps one way only.
    Cut {
        /// What of them.
        direction: Direction,
        /// The others.
        peers: Vec<usize>,
    },
    /// All its links are bad.
    Links(Conditions),
    /// No more room for its data but this many bytes, until it stops by itself, for which it has time beyond the end, when all
    /// other faults have ended. Then room is made and it is started again.
    DiskFull {
        /// Bytes left.
        left: u64,
    },
    /// Killed; its data directory is copied; started again. At the end killed, its data directory replaced by that
    /// copy, and started again: what it promised meanwhile it has forgotten. It counts among the f to the end of the run.
    Rollback,
    /// Killed and copied with key and data; both are started. At the end the copy is killed. The two may have promised
    /// different things, so it counts among the f to the end of the run.
    Twin,
    /// A second process is started on its directory, and must refuse. No fault of the replica.
    SecondProcess,
}

impl Fault {
    /// Whether the process itself is concerned: two such faults of one replica do not overlap.
    fn is_of_process(&self) -> bool {
        !matches!(self, Fault::Cut { .. } | Fault::Links(_))
    }

    /// Whether the replica may contradict itself from then on.
    pub fn is_for_ever(&self) -> bool {
        matches!(self, Fault::Rollback | Fault::Twin)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill => f.write_str("kill"),
            Fault::Stop => f.write_str("stop"),
            Fault::Pause => f.write_str("pause"),
            Fault::Cut { direction, peers } => write!(f, "cut {direction:?} {peers:?}"),
            Fault::Links(conditions) => write!(f, "links {conditions}"),
            Fault::DiskFull { left } => write!(f, "disk full but for {left} bytes"),
            Fault::Rollback => f.write_str("rollback"),
            Fault::Twin => f.write_str("twin"),
            Fault::SecondProcess => f.write_str("second process"),
        }
    }
}

/// Whom it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Replica(usize),
    /// Whoever leads when the episode begins.
    Leader,
}

/// A fault, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Strike {
    /// Whom.
    pub target: Target,
    /// What.
    pub fault: Fault,
    /// Since the episode's begin.
    pub begin: Duration,
    /// The same.
    pub end: Duration,
}

/// Some faults, after which everything is mended and checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// Of all links.
    pub weather: Conditions,
    /// Of at most f replicas, unless all are killed.
    pub strikes: Vec<Strike>,
}

impl Episode {
    /// Until the last fault has ended.
    pub fn length(&self) -> Duration {
        self.strikes.iter().map(|strike| strike.end).max().unwrap_or(Duration::ZERO)
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How many.
    pub replicas: usize,
    /// How transactions are ordered.
    pub protocol: ProtocolTag,
    /// How certificates are made.
    pub scheme: Scheme,
    /// Of the genesis.
    pub view_timeout_ms: u64,
    /// The one whose disk can be full, if there is one.
    pub small_disk: Option<usize>,
    /// In this order.
    pub episodes: Vec<Episode>,
}

const MS: Duration = Duration::from_millis(1);

impl Schedule {
    /// What `seed` says about so many replicas: episodes for about this long, the checks between them apart.
    /// The protocol decides nothing else.
    pub fn draw(
        seed: u64,
        protocol: ProtocolTag,
        replicas: usize,
        length: Duration,
        may_fill_disks: bool,
    ) -> Schedule {
        let mut dice = Dice::new(seed, 0);
        let scheme = dice.pick(&[Scheme::Ed25519, Scheme::Ed25519, Scheme::Threshold]);
        let view_timeout_ms = dice.pick(&[300, 500, 1000]);
        let small_disk = may_fill_disks.then(|| dice.among(0..=replicas as u64 - 1) as usize);
        let mut schedule =
            Schedule { replicas, protocol, scheme, view_timeout_ms, small_disk, episodes: Vec::new() };
        let mut for_ever = Vec::new();
        let mut drawn = Duration::ZERO;
        while drawn < length {
            // Late, because from then on a replica holds a place among the f, and fewer others can be struck.
            let late = drawn >= length / 2;
            let episode = schedule.episode(&mut dice, &mut for_ever, late);
            drawn += episode.length();
            schedule.episodes.push(episode);
        }
        schedule
    }

    /// How many faults are written in it.
    pub fn faults_drawn(&self) -> usize {
        self.episodes.iter().map(|episode| episode.strikes.len()).sum()
    }

    fn faults(&self) -> usize {
        quorum::faulty(self.replicas, engines::fault_model(self.protocol))
    }

    fn bears_lies(&self) -> bool {
        engines::fault_model(self.protocol) == FaultModel::Byzantine
    }

    /// `for_ever` are the replicas that may contradict themselves: they hold their places among the f. `late`: there may be
    /// more of them.
    fn episode(&self, dice: &mut Dice, for_ever: &mut Vec<usize>, late: bool) -> Episode {
        let weather = weather(dice);
        if dice.chance(0.08) {
            return Episode { weather, strikes: self.blackout(dice) };
        }
        let all = (0..self.replicas).filter(|replica| !for_ever.contains(replica)).collect();
        let mut targets: Vec<Target> = for_ever.iter().map(|replica| Target::Replica(*replica)).collect();
        let free = self.faults() - for_ever.len();
        // A leader that is one of the others as well only makes it one fault less.
        let leader = free > 0 && dice.chance(0.4);
        targets.extend(leader.then_some(Target::Leader));
        let mut others = dice.some(all, free - usize::from(leader));
        if let (Some(small), Some(other)) = (self.small_disk, others.first_mut())
            && !for_ever.contains(&small)
            && dice.chance(0.3)
        {
            *other = small;
        }
        others.sort_unstable();
        others.dedup();
        targets.extend(others.into_iter().map(Target::Replica));
        let mut strikes = Vec::new();
        for target in targets {
            let of_target = self.strikes(dice, target, late);
            if let (Target::Replica(replica), true) =
                (target, of_target.iter().any(|strike| strike.fault.is_for_ever()))
                && !for_ever.contains(&replica)
            {
                for_ever.push(replica);
            }
            strikes.extend(of_target);
        }
        if dice.chance(0.1) {
            let target = Target::Replica(dice.among(0..=self.replicas as u64 - 1) as usize);
            let busy = strikes.iter().any(|other| {
                (other.target == target || other.target == Target::Leader) && other.fault.is_of_process()
            });
            if !busy {
                strikes.push(Strike { target, fault: Fault::SecondProcess, begin: 100 * MS, end: 200 * MS });
            }
        }
        Episode { weather, strikes }
    }

    /// Everybody is killed at about the same time. More than f, but a crash forgets no promise.
    fn blackout(&self, dice: &mut Dice) -> Vec<Strike> {
        (0..self.replicas)
            .map(|replica| {
                let begin = dice.among(500..=520) as u32 * MS;
                let end = begin + dice.among(100..=1500) as u32 * MS;
                Strike { target: Target::Replica(replica), fault: Fault::Kill, begin, end }
            })
            .collect()
    }

    /// One to three faults of one replica. Those of its process come one after the other.
    fn strikes(&self, dice: &mut Dice, target: Target, late: bool) -> Vec<Strike> {
        let mut strikes = Vec::new();
        let mut process_free = Duration::ZERO;
        for _ in 0..dice.among(1..=3) {
            let fault = self.fault(dice, target, late);
            let longest = match fault {
                Fault::Pause | Fault::Cut { .. } | Fault::Links(_) => 12_000,
                _ => 4_000,
            };
            // Many short ones, some long: shorter and longer than the timeouts of views and connections.
            let length = dice.among(100..=longest).min(dice.among(100..=longest)) as u32 * MS;
            let mut begin = dice.among(0..=1500) as u32 * MS;
            if fault.is_of_process() {
                begin += process_free;
                process_free = begin + length;
            }
            let until_it_stops = matches!(fault, Fault::DiskFull { .. });
            strikes.push(Strike { target, fault, begin, end: begin + length });
            if until_it_stops {
                break;
            }
        }
        strikes
    }

    fn fault(&self, dice: &mut Dice, target: Target, late: bool) -> Fault {
        let others = |dice: &mut Dice| {
            let others: Vec<usize> =
                (0..self.replicas).filter(|replica| target != Target::Replica(*replica)).collect();
            let count = dice.among(1..=others.len() as u64) as usize;
            dice.some(others, count)
        };
        match dice.among(0..=99) {
            0..=24 => Fault::Kill,
            25..=29 => Fault::Stop,
            30..=49 => Fault::Pause,
            50..=64 => {
                let direction = dice.pick(&[Direction::Both, Direction::Out, Direction::In]);
                let mut peers = others(dice);
                peers.sort_unstable();
                Fault::Cut { direction, peers }
            }
            65..=79 => Fault::Links(storm(dice)),
            // At a known replica, whose directory can be moved or filled.
            _ => match target {
                Target::Replica(replica) if self.small_disk == Some(replica) => {
                    Fault::DiskFull { left: dice.among(0..=200_000) }
                }
                // Who forgets what it promised, or promises twice, lies.
                Target::Replica(_) if late && self.bears_lies() => {
                    if dice.chance(0.5) {
                        Fault::Rollback
                    } else {
                        Fault::Twin
                    }
                }
                Target::Replica(_) => Fault::Kill,
                Target::Leader => Fault::Pause,
            },
        }
    }
}

/// Of all links, and no fault: calm, or as bad as networks are on some days.
fn weather(dice: &mut Dice) -> Conditions {
    if dice.chance(0.4) {
        return Conditions::default();
    }
    Conditions {
        delay: dice.among(0..=20) as u32 * MS,
        jitter: dice.among(0..=8) as u32 * MS,
        loss: 0.03 * dice.part(),
        duplicates: 0.02 * dice.part(),
        reordered: 0.05 * dice.part(),
        ..Conditions::default()
    }
}

/// Of the links of a faulty replica.
fn storm(dice: &mut Dice) -> Conditions {
    Conditions {
        delay: dice.among(0..=300) as u32 * MS,
        jitter: dice.among(0..=100) as u32 * MS,
        loss: 0.3 * dice.part(),
        duplicates: 0.2 * dice.part(),
        reordered: 0.3 * dice.part(),
        bytes_per_second: dice.chance(0.3).then(|| dice.among(30_000..=500_000)),
        ..Conditions::default()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { replicas, protocol, scheme, view_timeout_ms, small_disk, episodes } = self;
        write!(
            f,
            "{replicas} replicas, {protocol}, {scheme} certificates, view timeout {view_timeout_ms} ms"
        )?;
        if let Some(replica) = small_disk {
            write!(f, ", r{replica} has a small disk")?;
        }
        for (number, episode) in episodes.iter().enumerate() {
            write!(f, "\n  episode {number}: weather {}", episode.weather)?;
            for Strike { target, fault, begin, end } in &episode.strikes {
                let whom = match target {
                    Target::Replica(replica) => format!("r{replica}"),
                    Target::Leader => "the leader".to_owned(),
                };
                write!(f, "\n    {:>6} to {:>6} ms  {whom}: {fault}", begin.as_millis(), end.as_millis())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn draw(seed: u64, replicas: usize) -> Schedule {
        Schedule::draw(seed, ProtocolTag::PBFT, replicas, Duration::from_secs(120), true)
    }

    #[test]
    fn equal_seeds_draw_alike() {
        assert_eq!(draw(1, 4), draw(1, 4));
        assert_ne!(draw(1, 4), draw(2, 4));
        assert!(draw(3, 7).to_string().contains("episode 0"));
    }

    /// Counted anew, from what was drawn.
    #[test]
    fn no_more_than_f_replicas_are_impaired_at_a_time() {
        for seed in 0..300 {
            for (replicas, f) in [(4, 1), (7, 2)] {
                let mut contradicts = BTreeSet::new();
                for episode in draw(seed, replicas).episodes {
                    let kills = episode.strikes.iter().filter(|strike| strike.fault == Fault::Kill).count();
                    if kills == replicas && episode.strikes.len() == replicas {
                        continue;
                    }
                    let mut impaired = contradicts.clone();
                    for strike in episode.strikes.iter().filter(|s| s.fault != Fault::SecondProcess) {
                        let whom = match strike.target {
                            Target::Replica(replica) => replica,
                            Target::Leader => usize::MAX,
                        };
                        impaired.insert(whom);
                        if strike.fault.is_for_ever() {
                            contradicts.insert(whom);
                        }
                    }
                    assert!(impaired.len() <= f, "seed {seed}: {episode:?}");
                }
            }
        }
    }

    #[test]
    fn faults_of_one_process_do_not_overlap_and_all_kinds_occur() {
        let mut kinds = BTreeSet::new();
        for seed in 0..300 {
            for episode in draw(seed, 4).episodes {
                let of_process: Vec<&Strike> =
                    episode.strikes.iter().filter(|strike| strike.fault.is_of_process()).collect();
                for (place, strike) in of_process.iter().enumerate() {
                    for other in of_process[..place].iter().filter(|other| other.target == strike.target) {
                        assert!(strike.begin >= other.end, "seed {seed}: {episode:?}");
                    }
                }
                kinds.extend(episode.strikes.iter().map(|strike| {
                    let words = strike.fault.to_string();
                    words.split(' ').next().unwrap_or_default().to_owned()
                }));
            }
        }
        let all = ["cut", "disk", "kill", "links", "pause", "rollback", "second", "stop", "twin"];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    }
}
