//! `bench scale`: throughput and latency of committees that no machine at hand can run, by simulation, with what work costs on this one.
//!
//! [`sim::scale`] says what is simulated: production hosts and engines on machines with cores, with latencies and bandwidths between them.
//! The modules here say what its prices are (`calibration`), which of them are fitted to real replicas (`fit`), and how near the simulation comes
//! to real replicas elsewhere (`validation`).

mod arguments;
mod calibration;
mod fit;
mod pace;
mod real;
mod results;
mod subject;
mod validation;

pub use arguments::{NetworkChoice, ScaleArguments};
pub use fit::Fit;
pub use real::Real;
pub use results::{Results, Row, Series, latency_series, series, throughput_series};
pub use validation::Comparison;

use crate::variant::Variant;
use anyhow::{Context, ensure};
use app_examples::ledger::Ledger;
use calibration::Measurements;
use serde::Serialize;
use sim::scale::latency::Latencies;
use sim::scale::{Placement, Plan};
use std::path::Path;
use std::time::Duration;
use subject::{BODY_BYTES, Subject};

/// Clients of the real runs, and transactions that each has in flight: so few that no transaction waits for half a view's timeout.
const REAL_CLIENTS: usize = 16;
const REAL_IN_FLIGHT: usize = 100;

/// Clients of simulated networks, at least.
const CLIENTS: usize = 64;

/// Sizes, if none are given.
const SIZES: [usize; 7] = [4, 7, 16, 31, 64, 100, 128];

/// Sizes of a quick run.
const FEW_SIZES: [usize; 3] = [4, 16, 64];

/// The largest committee of an odd number of replicas.
const LARGEST: usize = bft_core::genesis::MAX_REPLICAS - 1;

/// The timeout of a view: so long that a leader which is only slow is not replaced.
const VIEW_TIMEOUT_MS: u64 = 60_000;

/// Simulates what is asked for, or validates the simulation, and prints it.
///
/// # Errors
/// If real replicas do not serve, a simulation breaks a rule, or the validation fails.
pub fn run(arguments: &ScaleArguments, executable: &Path) -> anyhow::Result<()> {
    if arguments.validate {
        let comparisons = validation::take(executable)?;
        write(arguments, &comparisons)?;
        return validation::judge(&comparisons);
    }
    let results = simulate(arguments, executable)?;
    write(arguments, &results)
}

fn write(arguments: &ScaleArguments, what: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = &arguments.json else { return Ok(()) };
    let text = format!("{}\n", serde_json::to_string_pretty(what)?);
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Simulates what is asked for, and prints a row as soon as it is there.
///
/// # Errors
/// If real replicas do not serve, or a simulation breaks a rule.
pub fn simulate(arguments: &ScaleArguments, executable: &Path) -> anyhow::Result<Results> {
    let sizes: Vec<usize> =
        if arguments.sizes.is_empty() { default_sizes(arguments) } else { arguments.sizes.clone() };
    let possible = 4..=bft_core::genesis::MAX_REPLICAS;
    ensure!(sizes.iter().all(|size| possible.contains(size)), "--sizes: {possible:?} replicas are possible");
    ensure!(arguments.cores > 0 && arguments.bandwidth_mbit > 0, "a machine has a core, and a way out");
    println!("measuring what work costs");
    let measurements = Measurements::take();
    let fit = if arguments.quick {
        Fit::recorded(measurements.pace)
    } else {
        let reals = real::measure(&fit::CONFIGURATIONS, executable)?;
        let fit = Fit::to(std::array::from_fn(|place| &reals[place]), &measurements)?;
        fit.print();
        Fit { sync: fit::GOOD_SYNC, ..fit }
    };
    let mut results = Results {
        network: format!("{:?}", arguments.network),
        bandwidth_mbit: arguments.bandwidth_mbit,
        cores: arguments.cores,
        in_flight: in_flight(arguments),
        body_bytes: BODY_BYTES,
        rows: Vec::new(),
    };
    println!(
        "each replica with {} cores and {} Mbit/s, {:?}; {} transactions of {} bytes in flight",
        results.cores, results.bandwidth_mbit, arguments.network, results.in_flight, BODY_BYTES
    );
    Row::print_head();
    for subject in arguments.subjects() {
        let prices = fit.prices(&subject, CLIENTS, &measurements)?;
        let mut own: Vec<usize> = sizes.iter().map(|size| odd(subject.variant, *size)).collect();
        own.dedup();
        for replicas in &own {
            let (plan, clients) = plan(arguments, &subject, *replicas);
            let load = subject::load(clients);
            let outcome = sim::scale::run(&plan, &Ledger, &load, &prices, None)
                .with_context(|| format!("{} with {replicas} replicas", subject.name()))?;
            let row = Row::new(subject.name(), *replicas, &outcome);
            row.print();
            results.rows.push(row);
        }
    }
    Ok(results)
}

/// The size of a committee, one less where there is none of one more.
fn odd(variant: Variant, size: usize) -> usize {
    let own = variant.size(size);
    if own > bft_core::genesis::MAX_REPLICAS { LARGEST } else { own }
}

fn default_sizes(arguments: &ScaleArguments) -> Vec<usize> {
    if arguments.quick { FEW_SIZES.to_vec() } else { SIZES.to_vec() }
}

fn in_flight(arguments: &ScaleArguments) -> usize {
    arguments.in_flight.unwrap_or(match arguments.network {
        NetworkChoice::Lan => 6400,
        NetworkChoice::FiveRegions => 25_600,
    })
}

/// The simulation of a subject, and how many clients it has: at least one at each replica.
fn plan(arguments: &ScaleArguments, subject: &Subject, replicas: usize) -> (Plan, usize) {
    let clients = replicas.max(CLIENTS);
    let mut plan = subject.plan(replicas);
    // Raft's first leader is elected after a timeout or two.
    if subject.variant != Variant::Raft {
        plan.limits.view_timeout_ms = VIEW_TIMEOUT_MS;
    }
    let seconds = if arguments.quick { arguments.seconds.min(2.0) } else { arguments.seconds };
    plan.placement = Placement::Apart { cores: arguments.cores };
    plan.latencies = match arguments.network {
        NetworkChoice::Lan => Latencies::lan(),
        NetworkChoice::FiveRegions => Latencies::five_regions(),
    };
    plan.bandwidth_mbit = Some(arguments.bandwidth_mbit);
    plan.in_flight = in_flight(arguments).div_ceil(clients);
    plan.first = Duration::from_secs_f64(seconds);
    plan.measured = Duration::from_secs_f64(seconds);
    (plan, clients)
}
