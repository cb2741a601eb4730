//! Real replicas on this machine, under the load that is simulated.

use super::calibration::together;
use super::pace::Pace;
use super::subject::{Subject, load};
use super::{REAL_CLIENTS, REAL_IN_FLIGHT};
use crate::generator::{Loaded, pause};
use crate::load::{create, large_blocks, on_network};
use crate::process::cpu_time;
use crate::reading::Reading;
use anyhow::Context;
use app_examples::ledger::Ledger;
use serde::Serialize;
use sim::scale::{Outcome, Plan, Prices};
use std::path::Path;
use std::time::Duration;

/// How long replicas are watched.
const STRETCH: Duration = Duration::from_secs(8);

/// How often.
const ROUNDS: usize = 3;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Real {
    /// Transactions executed a second.
    pub per_second: f64,
    /// Transactions in a block.
    pub per_block: f64,
    /// From submission to receipt, half of them.
    pub latency_p50_ms: f64,
    /// CPU of all replicas for a transaction.
    pub replicas_us: f64,
    /// CPU of the clients for a transaction.
    pub clients_us: f64,
    /// A sync of the log.
    pub sync_ms: f64,
    /// Syncs of a replica's log in a second.
    pub syncs_per_second: f64,
    /// The part of the machine's time that others left.
    pub share: f64,
    /// The part of the machine's time that replicas and clients used.
    pub used: f64,
    /// The machine's pace meanwhile: nanoseconds of a piece of work that is always the same.
    pub pace: f64,
}

/// Cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs each of so many replicas several times, all in turns, and gives the middle run of each: everything else hangs on it, and a single one may fall
/// into a moment in which the machine does nothing as it does it otherwise.
///
/// # Errors
/// If they do not serve.
pub fn measure(subjects: &[(Subject, usize)], executable: &Path) -> anyhow::Result<Vec<Real>> {
    let mut runs = vec![Vec::new(); subjects.len()];
    for round in 1..=ROUNDS {
        println!("running real replicas, {} configurations, round {round} of {ROUNDS}", subjects.len());
        for ((subject, replicas), runs) in subjects.iter().zip(&mut runs) {
            let real = run(subject, *replicas, executable);
            runs.push(real.with_context(|| format!("{} with {replicas} real replicas", subject.name()))?);
        }
    }
    Ok(runs.into_iter().map(middle).collect())
}

/// By throughput at the same pace.
fn middle(mut runs: Vec<Real>) -> Real {
    runs.sort_by(|a, b| (a.per_second * a.pace).total_cmp(&(b.per_second * b.pace)));
    runs.swap_remove(runs.len() / 2)
}

fn run(subject: &Subject, replicas: usize, executable: &Path) -> anyhow::Result<Real> {
    let arguments = subject.real(replicas);
    let consortium = create(&arguments, executable.to_owned(), large_blocks())?;
    on_network(consortium, async |consortium, processes| {
        let loaded = Loaded::start(&arguments, consortium, processes, None, 4000).await?;
        let own = || cpu_time(std::process::id()).unwrap_or_default();
        let (first, own_first, machine_first) =
            (Reading::take(&loaded.watch, processes).await?, own(), Machine::read()?);
        let pace = Pace::start();
        pause(STRETCH).await;
        let pace = pace.stop().mean();
        let (last, own_last, machine_last) =
            (Reading::take(&loaded.watch, processes).await?, own(), Machine::read()?);
        let latency = loaded.stop().await?;
        let delta = |name: &str| last.sum(name) - first.sum(name);
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let transactions = delta("executed_transactions") / replicas as f64;
        let (of_replicas, of_clients) =
            ((last.cpu - first.cpu).as_secs_f64(), (own_last - own_first).as_secs_f64());
        let whole = seconds * cores() as f64;
        let others = (machine_last.busy - machine_first.busy - of_replicas - of_clients).max(0.0);
        let used = (of_replicas + of_clients) / whole;
        Ok(Real {
            per_second: transactions / seconds,
            per_block: transactions * replicas as f64 / delta("executed_blocks"),
            latency_p50_ms: latency.p50_ms,
            replicas_us: of_replicas * 1e6 / transactions,
            clients_us: of_clients * 1e6 / transactions,
            sync_ms: delta("log_fsync_nanos") / delta("log_fsyncs") / 1e6,
            syncs_per_second: delta("log_fsyncs") / replicas as f64 / seconds,
            share: ((whole - others) / whole).clamp(used.clamp(0.05, 1.0), 1.0),
            used,
            pace,
        })
    })
}

/// What all processes of this machine have used, interrupts aside, in seconds; time that its host took counts.
struct Machine {
    busy: f64,
}

impl Machine {
    /// From the first line of `/proc/stat` (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal, in clock ticks.
    fn read() -> anyhow::Result<Machine> {
        let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
        let busy: f64 = [0, 1, 2, 7].into_iter().filter_map(|place| ticks.get(place)).sum();
        Ok(Machine { busy: busy / rustix::param::clock_ticks_per_second() as f64 })
    }
}

/// The same, simulated: for the share of the machine that the real ones had, at its pace then, and with its disk as it was. The prices are at
/// the pace `pace`.
pub fn simulate(
    subject: &Subject,
    replicas: usize,
    real: &Real,
    prices: &Prices,
    pace: f64,
) -> anyhow::Result<Outcome> {
    let mut prices = prices.times(real.pace / pace);
    prices.log.sync.each = real.sync_ms * 1e6;
    let plan = Plan {
        in_flight: REAL_IN_FLIGHT,
        first: Duration::from_millis(1500),
        measured: Duration::from_millis(3000),
        ..together(subject, replicas, real.share)
    };
    Ok(sim::scale::run(&plan, &Ledger, &load(REAL_CLIENTS), &prices, None)?)
}
