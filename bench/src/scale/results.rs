//! What was simulated, as data and as a table.

use serde::Serialize;
use sim::scale::Outcome;

/// From this share of its time on, something is what holds the others up.
const BUSY: f64 = 0.85;

/// One protocol, scheme and size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Protocol and scheme.
    pub name: String,
    /// Replicas.
    pub replicas: usize,
    /// Transactions a second.
    pub per_second: f64,
    /// Transactions in a block.
    pub per_block: f64,
    /// From submission to receipt, half of them.
    pub latency_p50_ms: f64,
    /// The same, 99 of a hundred.
    pub latency_p99_ms: f64,
    /// CPU of all replicas for a transaction, in microseconds.
    pub cpu_us: f64,
    /// What holds it up: `leader CPU`, `leader host`, `leader signatures`, `leader egress`, or `latency`.
    pub bottleneck: &'static str,
    /// How busy the leader's cores were, between 0 and 1.
    pub leader_cores: f64,
    /// How busy the leader's host was.
    pub leader_host: f64,
    /// How busy the leader's crypto threads were.
    pub leader_crypto: f64,
    /// How busy the leader's way out was.
    pub leader_egress: f64,
    /// Views entered.
    pub views: u64,
}

impl Row {
    pub(super) fn new(name: String, replicas: usize, outcome: &Outcome) -> Row {
        let of = outcome.of_leader;
        let shares = [
            ("leader egress", of.egress),
            ("leader CPU", of.cores),
            ("leader host", of.host),
            ("leader signatures", of.crypto),
        ];
        let most = shares
            .into_iter()
            .fold(("latency", BUSY), |most, next| if next.1 > most.1 { next } else { most });
        Row {
            name,
            replicas,
            per_second: outcome.per_second(),
            per_block: outcome.transactions as f64 / outcome.heights.max(1) as f64,
            latency_p50_ms: outcome.latency_ms(50),
            latency_p99_ms: outcome.latency_ms(99),
            cpu_us: outcome.cpu_us(),
            bottleneck: most.0,
            leader_cores: of.cores,
            leader_host: of.host,
            leader_crypto: of.crypto,
            leader_egress: of.egress,
            views: outcome.views,
        }
    }

    pub(super) fn print_head() {
        println!(
            "{:<30} {:>4} {:>9} {:>7} {:>9} {:>9} {:>10}  {:<18} {:>5} {:>5} {:>5} {:>6}",
            "",
            "n",
            "tx/s",
            "block",
            "p50 ms",
            "p99 ms",
            "CPU-us/tx",
            "held up by",
            "cores",
            "host",
            "crypt",
            "egress"
        );
    }

    pub(super) fn print(&self) {
        println!(
            "{:<30} {:>4} {:>9.0} {:>7.0} {:>9.1} {:>9.1} {:>10.0}  {:<18} {:>5.2} {:>5.2} {:>5.2} {:>6.2}",
            self.name,
            self.replicas,
            self.per_second,
            self.per_block,
            self.latency_p50_ms,
            self.latency_p99_ms,
            self.cpu_us,
            self.bottleneck,
            self.leader_cores,
            self.leader_host,
            self.leader_crypto,
            self.leader_egress
        );
    }
}

/// All of them, with what they were simulated for.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Where the replicas stood.
    pub network: String,
    /// Megabits a second that each could send.
    pub bandwidth_mbit: u64,
    /// Cores of each machine.
    pub cores: usize,
    /// Transactions in flight.
    pub in_flight: usize,
    /// Bytes of a transaction's body.
    pub body_bytes: usize,
    /// Protocol by protocol, and size by size.
    pub rows: Vec<Row>,
}

/// A name, and values against sizes.
pub type Series = Vec<(String, Vec<(f64, f64)>)>;

/// Transactions a second against the size of the committee, for each protocol and scheme.
pub fn throughput_series(results: &Results) -> Series {
    series_of(results, |row| row.per_second)
}

/// Half of the latencies, in milliseconds, against the size of the committee.
pub fn latency_series(results: &Results) -> Series {
    series_of(results, |row| row.latency_p50_ms)
}

/// Both, one after the other: throughput first.
pub fn series(results: &Results) -> [Series; 2] {
    [throughput_series(results), latency_series(results)]
}

fn series_of(results: &Results, value: fn(&Row) -> f64) -> Series {
    let mut all: Series = Vec::new();
    for row in &results.rows {
        let point = (row.replicas as f64, value(row));
        match all.iter_mut().find(|(name, _)| *name == row.name) {
            Some((_, points)) => points.push(point),
            None => all.push((row.name.clone(), vec![point])),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, replicas: usize, per_second: f64) -> Row {
        Row {
            name: name.to_owned(),
            replicas,
            per_second,
            per_block: 1.0,
            latency_p50_ms: 2.0,
            latency_p99_ms: 3.0,
            cpu_us: 4.0,
            bottleneck: "latency",
            leader_cores: 0.1,
            leader_host: 0.1,
            leader_crypto: 0.1,
            leader_egress: 0.1,
            views: 0,
        }
    }

    #[test]
    fn a_series_has_a_point_for_each_size() {
        let results = Results {
            network: "lan".to_owned(),
            bandwidth_mbit: 1000,
            cores: 4,
            in_flight: 1,
            body_bytes: 512,
            rows: vec![row("pbft", 4, 9.0), row("raft", 4, 20.0), row("pbft", 7, 8.0)],
        };
        let expected = [("pbft", vec![(4.0, 9.0), (7.0, 8.0)]), ("raft", vec![(4.0, 20.0)])];
        assert_eq!(throughput_series(&results), expected.map(|(name, points)| (name.to_owned(), points)));
        assert_eq!(latency_series(&results)[0].1, [(4.0, 2.0), (7.0, 2.0)]);
    }
}
