//! How long a message is on its way between regions.

use bft_core::types::ReplicaId;
use std::time::Duration;

/// One-way latencies between regions; replicas stand in the regions in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    regions: Vec<&'static str>,
    /// By the regions' places. Invariant: symmetric, with zeros on the diagonal.
    between: Vec<Vec<Duration>>,
    /// Between replicas in the same region.
    within: Duration,
}

/// A switched network, one way.
const LAN: Duration = Duration::from_micros(100);

/// Regions of IBM Cloud.
const FIVE_REGIONS: [&str; 5] = ["Dallas", "Washington DC", "London", "Tokyo", "Sao Paulo"];

/// Round trips in milliseconds, as IBM publishes them: average inter-region latency from 29 June to 28 July 2024, in
/// `_include-segments/network-latency.md` of <https://github.com/ibm-cloud-docs/vpc>. Each pair stands once, measured from the first; the
/// other direction there differs by four at most.
const ROUND_TRIPS_MS: [(usize, usize, u64); 10] = [
    (0, 1, 31),
    (0, 2, 113),
    (0, 3, 145),
    (0, 4, 144),
    (1, 2, 75),
    (1, 3, 168),
    (1, 4, 119),
    (2, 3, 247),
    (2, 4, 185),
    (3, 4, 286),
];

impl Latencies {
    /// Replicas on one machine.
    pub fn none() -> Latencies {
        Latencies {
            regions: vec!["one machine"],
            between: vec![vec![Duration::ZERO]],
            within: Duration::ZERO,
        }
    }

    /// Replicas in one place.
    pub fn lan() -> Latencies {
        Latencies { regions: vec!["one place"], between: vec![vec![Duration::ZERO]], within: LAN }
    }

    /// Replicas in five regions of the world.
    pub fn five_regions() -> Latencies {
        let mut between = vec![vec![Duration::ZERO; FIVE_REGIONS.len()]; FIVE_REGIONS.len()];
        for (a, b, round_trip) in ROUND_TRIPS_MS {
            let one_way = Duration::from_millis(round_trip) / 2;
            (between[a][b], between[b][a]) = (one_way, one_way);
        }
        Latencies { regions: FIVE_REGIONS.to_vec(), between, within: LAN }
    }

    /// The name of a replica's region.
    pub fn region(&self, replica: ReplicaId) -> &'static str {
        self.regions[replica.index() % self.regions.len()]
    }

    /// One way from a replica to another.
    pub fn between(&self, from: ReplicaId, to: ReplicaId) -> Duration {
        let place = |replica: ReplicaId| replica.index() % self.regions.len();
        self.between[place(from)][place(to)].max(self.within)
    }

    /// One way between a client and its replica, which is near.
    pub fn to_client(&self) -> Duration {
        self.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_symmetric_with_a_zero_diagonal_and_no_gap() {
        for latencies in [Latencies::none(), Latencies::lan(), Latencies::five_regions()] {
            for (a, row) in latencies.between.iter().enumerate() {
                assert_eq!(row.len(), latencies.regions.len());
                for (b, latency) in row.iter().enumerate() {
                    assert_eq!(*latency, latencies.between[b][a]);
                    assert_eq!(latency.is_zero(), a == b);
                }
            }
        }
    }

    #[test]
    fn replicas_stand_in_the_regions_in_turn() {
        let latencies = Latencies::five_regions();
        let between = |a, b| latencies.between(ReplicaId(a), ReplicaId(b));
        assert_eq!(latencies.region(ReplicaId(6)), "Washington DC");
        assert_eq!(between(0, 3), Duration::from_micros(72_500));
        assert_eq!(between(5, 8), between(0, 3));
        assert_eq!(between(0, 5), LAN, "the same region");
    }
}
