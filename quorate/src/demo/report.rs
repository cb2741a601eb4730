//! What came of it.

use super::load::{Load, Sample};
use super::replicas::{Agreement, Crash};
use bft_core::types::Height;
use std::fmt;
use std::time::{Duration, Instant};

/// Everything that is reported.
pub(super) struct Report<'a> {
    pub load: &'a Load,
    pub begun: Instant,
    pub crash: &'a Crash,
    pub cpu: Duration,
    pub agreement: &'a Agreement,
    pub supply: Supply,
    pub proof: Option<Proof>,
}

/// Money, by verified queries.
pub(super) struct Supply {
    pub issued: u64,
    pub outstanding: u64,
    pub held: u64,
    pub height: Height,
}

/// What `quorate verify` makes of a saved receipt.
pub(super) struct Proof {
    pub text: String,
    pub bytes: u64,
    /// Not in the crash fault model.
    pub proven: bool,
}

impl Report<'_> {
    /// Whether everything held that the demo promises.
    pub(super) fn holds(&self) -> bool {
        let Supply { issued, outstanding, held, .. } = self.supply;
        self.load.failures.is_empty() && self.proof.is_some() && issued == outstanding && outstanding == held
    }
}

/// The longest time without a receipt after the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    from: Instant,
    to: Instant,
}

impl Outage {
    /// `proven_at` ascends.
    fn of(crash: Instant, proven_at: impl Iterator<Item = Instant>) -> Outage {
        let mut longest = Outage { from: crash, to: crash };
        let mut last = crash;
        for at in proven_at.filter(|at| *at > crash) {
            if at - last > longest.to - longest.from {
                longest = Outage { from: last, to: at };
            }
            last = at;
        }
        longest
    }

    /// Where a transaction falls. Every one falls in exactly one phase.
    fn phase(&self, due: Instant, proven_at: Instant) -> Phase {
        if due > self.to {
            Phase::After
        } else if proven_at > self.from {
            Phase::In
        } else {
            Phase::Before
        }
    }
}

/// Before the silence, in it (due before its end, proven after its beginning), or due after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    In,
    After,
}

/// The smallest value that at least `percent` of all do not exceed (nearest rank).
fn percentile(ascending: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied()
}

fn latencies<'a>(samples: impl Iterator<Item = &'a Sample>) -> String {
    let mut all: Vec<Duration> =
        samples.map(|sample| sample.proven_at.saturating_duration_since(sample.due)).collect();
    all.sort_unstable();
    let ms = |percent| {
        percentile(&all, percent).map_or_else(|| "-".to_owned(), |d| format!("{:.1}", d.as_secs_f64() * 1e3))
    };
    format!("p50 {} ms, p99 {} ms ({} transactions)", ms(50), ms(99), all.len())
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { load, begun, crash, cpu, agreement, supply, proof } = self;
        let Load { samples, failures } = load;
        let outage = Outage::of(crash.at, samples.iter().map(|sample| sample.proven_at));
        let seconds = samples.last().map_or(0.0, |last| (last.proven_at - *begun).as_secs_f64());
        let each = |total: f64| if samples.is_empty() { 0.0 } else { total / samples.len() as f64 };
        let mark = |holds: bool| if holds { "ok  " } else { "FAIL" };
        let Supply { issued, outstanding, held, height } = supply;

        writeln!(
            f,
            "\nfigures (of this machine, at this rate, with whatever else it does; not a maximum: see `quorate bench load`)"
        )?;
        writeln!(
            f,
            "  throughput   {:.0} transactions/s over {seconds:.1} s, as offered to it",
            if seconds > 0.0 { samples.len() as f64 / seconds } else { 0.0 }
        )?;
        let of = |phase| latencies(samples.iter().filter(|s| outage.phase(s.due, s.proven_at) == phase));
        writeln!(f, "  latency      {}", of(Phase::Before))?;
        writeln!(f, "  in outage    {}", of(Phase::In))?;
        writeln!(f, "  after it     {}", of(Phase::After))?;
        writeln!(
            f,
            "  outage       {:.0} ms without a receipt after the leader {} was killed; it was away for {:.1} s",
            (outage.to - outage.from).as_secs_f64() * 1e3,
            crash.replica,
            crash.away.as_secs_f64()
        )?;
        writeln!(
            f,
            "  processor    {:.0} µs a transaction, user and system, all replicas together",
            each(cpu.as_secs_f64() * 1e6)
        )?;

        writeln!(f, "\nchecks")?;
        writeln!(
            f,
            "  {} {} transactions executed{}, {} not",
            mark(failures.is_empty()),
            samples.len(),
            if proof.as_ref().is_some_and(|proof| !proof.proven) { "" } else { " and proven" },
            failures.len()
        )?;
        for failure in failures.iter().take(5) {
            writeln!(f, "         {failure}")?;
        }
        writeln!(
            f,
            "  {} one state on all {} replicas, as each of them reports, at height {}: root {}",
            mark(true),
            agreement.replicas,
            agreement.height,
            agreement.root
        )?;
        writeln!(
            f,
            "  {} money: {issued} issued, {outstanding} outstanding, {held} in accounts (proven at height {height})",
            mark(issued == outstanding && outstanding == held)
        )?;
        match proof {
            None => writeln!(f, "  {} no receipt to verify", mark(false)),
            Some(Proof { text, bytes, proven }) => {
                let verdict =
                    if *proven { "verified from the genesis alone" } else { "refused by `quorate verify`" };
                writeln!(
                    f,
                    "  {} a receipt, saved as {bytes} bytes of JSON, read back, and {verdict}:",
                    mark(true)
                )?;
                write!(f, "\n{text}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let all: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&all, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&all, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&all[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn every_transaction_falls_in_one_phase() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let outage = Outage { from: at(100), to: at(500) };
        assert_eq!(outage.phase(at(10), at(100)), Phase::Before);
        assert_eq!(outage.phase(at(10), at(500)), Phase::In);
        assert_eq!(outage.phase(at(500), at(2000)), Phase::In);
        assert_eq!(outage.phase(at(501), at(2000)), Phase::After);
    }

    #[test]
    fn the_outage_is_the_longest_silence_after_the_crash() {
        let crash = Instant::now();
        let at = |ms: u64| crash + Duration::from_millis(ms);
        let outage = Outage::of(crash, [at(0), at(10), at(900), at(950)].into_iter());
        assert_eq!(outage, Outage { from: at(10), to: at(900) });
        assert_eq!(Outage::of(crash, [].into_iter()), Outage { from: crash, to: crash });
    }
}
