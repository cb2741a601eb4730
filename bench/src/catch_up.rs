//! How fast a replica that was killed gets back to where the others are, and what that costs them.
//!
//! All rates are transactions over time as the ledger of a replica that stayed up has them, so that blocks may be of any size.

use crate::generator::{Loaded, pause};
use crate::load::SOON;
use crate::process::ReplicaProcess;
use anyhow::{Context, ensure};
use bft_core::request::StatusReport;
use bft_core::types::ReplicaId;
use client::Client;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long the live rate is measured before the replica goes and after it has caught up.
const STRETCH: Duration = Duration::from_secs(5);

/// What bounds the ratio on one machine.
pub(crate) const ARITHMETIC: &str = "\
Catching up at k times the live rate takes k times the CPU of fetching and executing a transaction for each live one, \
out of what the live load leaves: nothing at saturation, where the replicas that stay up are slowed instead. \
A replica that was away for a seconds and needs s to catch up did so at (a + s) / s times the live rate.";

/// One catch-up.
#[derive(Clone, Debug, Serialize)]
pub struct CatchUp {
    /// Seconds for which its process was gone.
    pub away_seconds: f64,
    /// Seconds from the start of its process until it was where the others were.
    pub seconds: f64,
    /// Of these, seconds until it was up: reading its log and state, executing again what its last flush lacks.
    pub start_seconds: f64,
    /// Heights it came forward.
    pub heights: u64,
    /// MiB of the chain that it received.
    pub received_mib: f64,
    /// Transactions a second by which it came forward, its start included.
    pub transactions_per_second: f64,
    /// That, per live transactions a second meanwhile.
    pub ratio: f64,
    /// The same from when it was up.
    pub ratio_without_start: f64,
    /// Its CPU time from then on, in microseconds per transaction.
    pub cpu_us_per_transaction: f64,
    /// CPU time of one that stayed up, while the replica was away, in microseconds per transaction.
    pub live_cpu_us_per_transaction: f64,
    /// Live transactions a second with all replicas there.
    pub live_before: f64,
    /// The same while it was away.
    pub live_away: f64,
    /// The same while it caught up.
    pub live_during: f64,
    /// The same afterwards.
    pub live_after: f64,
}

impl CatchUp {
    /// In words and figures, under a heading.
    pub fn print(&self, heading: &str) {
        println!("catch-up at {heading}");
        let rows: [(&str, f64, &str); 9] = [
            ("away, s", self.away_seconds, ""),
            ("caught up after, s", self.seconds, ""),
            ("of that until it was up, s", self.start_seconds, ""),
            ("heights", self.heights as f64, ""),
            ("received, MiB", self.received_mib, ""),
            ("transactions per second", self.transactions_per_second, ""),
            ("per live rate, its start included", self.ratio, "≥ 5 at half the saturation rate"),
            (
                "per live rate, from when it was up",
                self.ratio_without_start,
                "≥ 5 at half the saturation rate",
            ),
            ("its CPU-µs per transaction", self.cpu_us_per_transaction, ""),
        ];
        for (name, value, bound) in rows {
            println!("  {name:<46} {value:>10.2}  {bound}");
        }
        println!("  {:<46} {:>10.2}", "CPU-µs of one that stayed up", self.live_cpu_us_per_transaction);
        let fell = 100.0 * (1.0 - self.live_during / self.live_away.max(1e-3));
        println!(
            "  live transactions per second: before {:.0}, away {:.0}, catching up {:.0} (that is {fell:.0} % below), after {:.0}",
            self.live_before, self.live_away, self.live_during, self.live_after
        );
    }
}

/// The ledger of a replica at one moment.
struct Moment {
    at: Instant,
    height: u64,
    transactions: f64,
    cpu: Duration,
}

impl Moment {
    async fn of(watch: &Client, process: &ReplicaProcess) -> anyhow::Result<Moment> {
        let report = watch.status(process.replica()).await?;
        Ok(Moment::read(&report, process))
    }

    fn read(report: &StatusReport, process: &ReplicaProcess) -> Moment {
        let transactions = crate::reading::counter(report, "executed_transactions");
        Moment { at: Instant::now(), height: report.executed, transactions, cpu: process.cpu_time() }
    }

    fn seconds_since(&self, earlier: &Moment) -> f64 {
        self.at.duration_since(earlier.at).as_secs_f64()
    }

    fn rate_since(&self, earlier: &Moment) -> f64 {
        (self.transactions - earlier.transactions) / self.seconds_since(earlier).max(1e-3)
    }
}

/// Kills a replica that does not lead, lets the others go on for `away`, brings it back, and watches it catch up.
///
/// # Errors
/// If the network stops serving, or the replica does not catch up.
pub async fn measure(
    load: &Loaded,
    processes: &mut [ReplicaProcess],
    away: Duration,
) -> anyhow::Result<CatchUp> {
    let watch = &load.watch;
    let leader = watch.status(processes[0].replica()).await?.leader;
    let last_but = |one: ReplicaId| {
        let index = processes.iter().rposition(|process| process.replica() != one);
        index.context("there is one replica only")
    };
    let victim = last_but(leader)?;
    let observer = last_but(processes[victim].replica())?;

    let begin = Moment::of(watch, &processes[observer]).await?;
    pause(STRETCH).await;
    processes[victim].kill()?;
    let killed = Moment::of(watch, &processes[observer]).await?;
    pause(away).await;
    load.progress(1).await?;
    let gone = Moment::of(watch, &processes[observer]).await?;
    let starts = processes[victim].starts();
    processes[victim].restart()?;
    let (ahead, behind) = (&processes[observer], &processes[victim]);
    let up = (started(watch, ahead, behind, starts).await?, behind.cpu_time());
    let (caught_up, received) = caught_up(watch, ahead, behind).await?;
    pause(STRETCH).await;
    let end = Moment::of(watch, &processes[observer]).await?;

    let came = caught_up.0.transactions - killed.transactions;
    let live = |since: &Moment| (caught_up.0.transactions - since.transactions).max(1.0);
    Ok(CatchUp {
        away_seconds: gone.seconds_since(&killed),
        seconds: caught_up.0.seconds_since(&gone),
        start_seconds: up.0.seconds_since(&gone),
        heights: caught_up.0.height - killed.height,
        received_mib: received / f64::from(1 << 20),
        transactions_per_second: caught_up.0.rate_since(&killed) * caught_up.0.seconds_since(&killed)
            / caught_up.0.seconds_since(&gone),
        ratio: came / live(&gone),
        ratio_without_start: came / live(&up.0),
        cpu_us_per_transaction: (caught_up.1.cpu.saturating_sub(up.1)).as_secs_f64() * 1e6 / came,
        live_cpu_us_per_transaction: (gone.cpu - killed.cpu).as_secs_f64() * 1e6
            / (gone.transactions - killed.transactions).max(1.0),
        live_before: killed.rate_since(&begin),
        live_away: gone.rate_since(&killed),
        live_during: caught_up.0.rate_since(&gone),
        live_after: end.rate_since(&caught_up.0),
    })
}

/// Where the observed replica is when one that was started is up: says so, or answers.
async fn started(
    watch: &Client,
    ahead: &ReplicaProcess,
    behind: &ReplicaProcess,
    starts: usize,
) -> anyhow::Result<Moment> {
    let deadline = Instant::now() + SOON;
    while behind.starts() == starts && watch.status(behind.replica()).await.is_err() {
        ensure!(Instant::now() < deadline, "the restarted replica does not come up");
        pause(Duration::from_millis(5)).await;
    }
    Moment::of(watch, ahead).await
}

/// The moment when a replica is where the observed one is, as the latter has it and as the former has it; and the bytes of the
/// chain that it received.
async fn caught_up(
    watch: &Client,
    ahead: &ReplicaProcess,
    behind: &ReplicaProcess,
) -> anyhow::Result<((Moment, Moment), f64)> {
    let deadline = Instant::now() + SOON;
    loop {
        ensure!(Instant::now() < deadline, "the restarted replica did not catch up");
        // The one ahead is asked first: on busy machines an answer is old when it comes.
        if let (Ok(fast), Ok(slow)) =
            (watch.status(ahead.replica()).await, watch.status(behind.replica()).await)
            && slow.executed + 2 >= fast.executed
        {
            let received = crate::reading::counter(&slow, "received_bytes/chain");
            return Ok(((Moment::read(&fast, ahead), Moment::read(&slow, behind)), received));
        }
        pause(Duration::from_millis(5)).await;
    }
}
