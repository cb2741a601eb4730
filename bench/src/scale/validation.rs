//! Simulated beside real: the same replicas, clients and load, on the share of this machine that the real ones had.

use super::calibration::Measurements;
use super::fit::{self, Fit};
use super::real::{self, Real};
use super::subject::Subject;
use crate::variant::Variant;
use anyhow::bail;
use crypto::Scheme;
use serde::Serialize;
use std::path::Path;

/// Sizes of committees that this machine can run.
const SIZES: [usize; 2] = [4, 7];

/// How far a simulation may be from what is real, as a ratio.
const TOLERANCE: f64 = 0.25;

/// One configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What it is.
    pub name: String,
    /// Replicas.
    pub replicas: usize,
    /// Whether the transport's prices were fitted to it.
    pub fitted: bool,
    /// What real replicas did.
    pub real: Real,
    /// Transactions a second, simulated.
    pub per_second: f64,
    /// Half of the latencies, simulated.
    pub latency_p50_ms: f64,
    /// CPU of all replicas for a transaction, simulated.
    pub replicas_us: f64,
    /// Transactions in a block, simulated.
    pub per_block: f64,
    /// The part of what was left of the machine's time that replicas and clients used, simulated.
    pub used: f64,
}

impl Comparison {
    /// Simulated over real: throughput, then latency.
    pub fn ratios(&self) -> (f64, f64) {
        (self.per_second / self.real.per_second, self.latency_p50_ms / self.real.latency_p50_ms)
    }

    fn is_near(&self) -> bool {
        let near = |ratio: f64| (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio);
        let (throughput, latency) = self.ratios();
        near(throughput) && near(latency)
    }

    /// A line of the table.
    fn print(&self) {
        let (throughput, latency) = self.ratios();
        println!(
            "{:<34} {:>2} {:>9.0} {:>9.0} {throughput:>5.2}  {:>8.0} {:>8.0} {latency:>5.2}  {:>7.0} {:>7.0}  {:>5.0} {:>5.0}  {:>4.2} {:>4.2} {:>5.2} {:>5.1} {:>5.0}  {}",
            self.name,
            self.replicas,
            self.real.per_second,
            self.per_second,
            self.real.latency_p50_ms,
            self.latency_p50_ms,
            self.real.replicas_us,
            self.replicas_us,
            self.real.per_block,
            self.per_block,
            self.real.share,
            self.real.used,
            self.used,
            self.real.sync_ms,
            self.real.pace / 1e3,
            if self.fitted {
                "fitted"
            } else if self.is_near() {
                ""
            } else {
                "OFF"
            },
        );
    }
}

/// What is compared: the protocols with signed and unsigned clients, and the other scheme once.
fn subjects() -> Vec<Subject> {
    let variants = [Variant::Pbft, Variant::HotstuffThree, Variant::HotstuffTwo, Variant::Raft];
    let threshold = Scheme::Threshold;
    let each = variants
        .into_iter()
        .flat_map(|variant| [false, true].map(|unsigned| Subject { variant, scheme: threshold, unsigned }));
    each.chain([Subject { variant: Variant::Pbft, scheme: Scheme::Ed25519, unsigned: false }]).collect()
}

/// Compares, prints, and gives all comparisons.
///
/// # Errors
/// If replicas do not serve, or a simulation breaks a rule.
pub fn take(executable: &Path) -> anyhow::Result<Vec<Comparison>> {
    let configurations: Vec<(Subject, usize)> = SIZES
        .into_iter()
        .flat_map(|replicas| subjects().into_iter().map(move |subject| (subject, replicas)))
        .collect();
    let reals = real::measure(&configurations, executable)?;
    println!("measuring what work costs");
    let measurements = Measurements::take();
    let place = |fitted: &(Subject, usize)| {
        let is_it = |(subject, replicas): &(Subject, usize)| {
            (subject.name(), *replicas) == (fitted.0.name(), fitted.1)
        };
        configurations.iter().position(is_it).expect("what is fitted to is compared")
    };
    let fitted = fit::CONFIGURATIONS.map(|configuration| place(&configuration));
    let fit = Fit::to(fitted.map(|place| &reals[place]), &measurements)?;
    fit.print();
    println!(
        "{:<34} {:>2} {:>9} {:>9} {:>5}  {:>8} {:>8} {:>5}  {:>7} {:>7}  {:>5} {:>5}  {:>4} {:>4} {:>5} {:>5} {:>5}",
        "",
        "n",
        "real tx/s",
        "simulated",
        "ratio",
        "real p50",
        "simulated",
        "ratio",
        "real us",
        "sim. us",
        "block",
        "sim.",
        "left",
        "used",
        "sim.",
        "sync",
        "pace"
    );
    let mut comparisons = Vec::new();
    for (place, ((subject, replicas), real)) in configurations.into_iter().zip(reals).enumerate() {
        let prices = fit.prices(&subject, super::REAL_CLIENTS, &measurements)?;
        let outcome = real::simulate(&subject, replicas, &real, &prices, measurements.pace)?;
        let comparison = Comparison {
            name: subject.name(),
            replicas,
            fitted: fitted.contains(&place),
            per_second: outcome.per_second(),
            latency_p50_ms: outcome.latency_ms(50),
            replicas_us: outcome.cpu_us(),
            per_block: outcome.transactions as f64 / outcome.heights as f64,
            used: outcome.of_leader.cores,
            real,
        };
        comparison.print();
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

/// Whether all are near.
///
/// # Errors
/// Which are not.
pub fn judge(comparisons: &[Comparison]) -> anyhow::Result<()> {
    let far = comparisons.iter().filter(|comparison| !comparison.is_near());
    let off: Vec<String> = far
        .map(|comparison| {
            let (throughput, latency) = comparison.ratios();
            let Comparison { name, replicas, .. } = comparison;
            format!("{name} with {replicas} replicas: throughput {throughput:.2}, latency {latency:.2} of what is real")
        })
        .collect();
    if !off.is_empty() {
        bail!(
            "the simulation is not within {:.0} % of real replicas:\n{}",
            TOLERANCE * 100.0,
            off.join("\n")
        );
    }
    Ok(())
}
