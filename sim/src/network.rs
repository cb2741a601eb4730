//! Links: delay, loss, duplication, reordering, partitions.

use crate::random::Random;
use bft_core::types::ReplicaId;
use std::collections::BTreeSet;
use std::time::Duration;

/// How bad the links are. Reordering follows from the spread of the delays.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest delay.
    pub fastest: Duration,
    /// Longest delay.
    pub slowest: Duration,
    /// Messages lost, in a thousand.
    pub loss: u64,
    /// Messages doubled, in a thousand.
    pub duplication: u64,
}

impl Weather {
    /// A local network on a good day.
    pub const CALM: Weather = Weather {
        fastest: Duration::from_micros(200),
        slowest: Duration::from_millis(2),
        loss: 0,
        duplication: 0,
    };

    /// What a seed makes of it.
    pub fn of(random: &mut Random) -> Weather {
        let slowest = [2, 10, 40, 150][random.index(4)];
        Weather {
            fastest: Duration::from_micros(200),
            slowest: Duration::from_millis(slowest),
            loss: [0, 0, 10, 50][random.index(4)],
            duplication: [0, 10, 50][random.index(3)],
        }
    }
}

/// All links between replicas.
#[derive(Debug)]
pub struct Network {
    random: Random,
    weather: Weather,
    /// Directed links that carry nothing.
    cut: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Messages lost, doubled, and stopped by a cut.
    pub lost: u64,
    /// Messages delivered twice.
    pub doubled: u64,
}

impl Network {
    /// Links of this weather.
    pub fn new(random: Random, weather: Weather) -> Network {
        Network { random, weather, cut: BTreeSet::new(), lost: 0, doubled: 0 }
    }

    /// Delays after which copies of a message arrive.
    pub fn send(&mut self, from: ReplicaId, to: ReplicaId) -> Vec<Duration> {
        if self.cut.contains(&(from, to)) || self.random.per_mille(self.weather.loss) {
            self.lost += 1;
            return Vec::new();
        }
        let twice = self.random.per_mille(self.weather.duplication);
        self.doubled += u64::from(twice);
        (0..1 + u64::from(twice)).map(|_| self.delay()).collect()
    }

    /// How long a message takes now.
    pub fn delay(&mut self) -> Duration {
        self.random.span(self.weather.fastest, self.weather.slowest)
    }

    /// Cuts every link between the two sides; or, one-way, only those from the first to the second.
    pub fn cut(&mut self, side: &BTreeSet<ReplicaId>, other: &BTreeSet<ReplicaId>, one_way: bool) {
        for a in side {
            for b in other {
                self.cut.insert((*a, *b));
                if !one_way {
                    self.cut.insert((*b, *a));
                }
            }
        }
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Whether a link carries messages.
    pub fn is_up(&self, from: ReplicaId, to: ReplicaId) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Changes the weather.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }
}
