//! What work costs on this machine.
//!
//! - **Signatures, certificates and the log** are [`operations`](crate::operations), measured one by one with a short budget. The median
//!   counts: while replicas are saturated every core of the machine is busy, and so is one beside each measurement here, since cores
//!   that share execution units slow each other down. The lower quartile would be the machine at rest.
//! - **The host and the edge** are measured in the simulation itself, among four replicas under the load in question and with one
//!   transaction at a time: production code with the real application, each piece on the CPU clock, its prices the line through all pieces of a sort.
//! - **The transport** is fitted: see the module `fit`.

use super::pace::Pace;
use super::real::cores;
use super::subject::{Subject, load};
use crate::operations::{self, Clock, Operation};
use anyhow::{Context, anyhow};
use app_examples::ledger::Ledger;
use crypto::{Digest, Domain, Scheme};
use rustix::time::{ClockId, clock_gettime};
use sim::scale::latency::Latencies;
use sim::scale::prices::{Curve, Line, LogPrices, SchemePrices};
use sim::scale::{Meter, Placement, Plan, Prices};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Wall time for each operation.
const BUDGET: Duration = Duration::from_millis(60);

/// Sizes of committees for which certificates are measured.
const SIZES: [usize; 6] = [4, 7, 16, 31, 64, 100];

/// The same for aggregates.
const FEW_SIZES: [usize; 3] = [4, 16, 64];

/// What the operations cost, in nanoseconds, by name.
#[derive(Clone, Debug)]
pub(super) struct Measurements {
    by_name: BTreeMap<String, f64>,
    append_cpu: Vec<(f64, f64)>,
    /// At this pace of the machine, at which all prices are kept.
    pub pace: f64,
}

impl Measurements {
    /// Measures all that is needed.
    pub fn take() -> Measurements {
        let is_wanted = |operation: &&Operation| {
            let wanted = ["seal/", "combine/", "verify", "aggregate/", "client-", "append-and-sync/"];
            wanted.iter().any(|prefix| operation.name.starts_with(prefix))
        };
        let all = operations::all();
        let mut append_cpu = Vec::new();
        let pace = Pace::start();
        let by_name = beside_others(|| {
            let measure = |operation: &Operation| {
                let measured = operations::measure(operation, BUDGET);
                (measured.name, measured.per_unit.as_nanos() as f64)
            };
            let mut by_name: BTreeMap<String, f64> = all.iter().filter(is_wanted).map(measure).collect();
            for mut operation in
                operations::all().into_iter().filter(|operation| operation.name.starts_with("append"))
            {
                operation.clock = Clock::Cpu;
                let bytes =
                    operation.name.rsplit('/').next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0.0);
                append_cpu.push((bytes, measure(&operation).1));
            }
            by_name.retain(|_, price| price.is_finite());
            by_name
        });
        Measurements { by_name, append_cpu, pace: pace.stop().median() }
    }

    /// One of them.
    pub fn of(&self, name: &str) -> anyhow::Result<f64> {
        self.by_name.get(name).copied().ok_or_else(|| anyhow!("there is no operation {name}"))
    }

    fn curve(&self, prefix: &str, sizes: &[usize]) -> anyhow::Result<Curve> {
        let point = |size: &usize| Ok((*size as f64, self.of(&format!("{prefix}/{size}"))?));
        Ok(Curve::through(sizes.iter().map(point).collect::<anyhow::Result<_>>()?))
    }

    /// A signature of one of so many clients.
    fn client_verify(&self, clients: usize) -> anyhow::Result<Curve> {
        let point = |together: usize| {
            let of = if together > clients { format!("-of-{clients}") } else { String::new() };
            Ok((together as f64, self.of(&format!("client-verify{of}/{together}"))?))
        };
        Ok(Curve::through([1, 16, 64, 256].into_iter().map(point).collect::<anyhow::Result<_>>()?))
    }

    /// Prices of signatures, of so many clients, and of the log. Those of the host, the edge, the transport and the clients are missing.
    pub fn prices(&self, subject: &Subject, clients: usize) -> anyhow::Result<Prices> {
        let log = LogPrices { append: through(&self.append_cpu), sync: Line::default() };
        Ok(Prices {
            sign: self.of("seal/ed25519")?,
            verify_signature: self.of("client-verify/1")?,
            client_verify: self.client_verify(clients)?,
            scheme: self.scheme(if subject.is_proven() { subject.scheme } else { Scheme::None })?,
            log,
            ..Prices::default()
        })
    }

    fn scheme(&self, scheme: Scheme) -> anyhow::Result<SchemePrices> {
        if scheme == Scheme::None {
            return Ok(SchemePrices::default());
        }
        let threshold = scheme == Scheme::Threshold;
        let (verify, together) = if threshold {
            let one = self.of("verify-together/threshold/1")?;
            let part = |count: &usize| {
                Ok((*count as f64, self.of(&format!("verify-together/threshold/{count}"))? / one))
            };
            let together = [1, 2, 4, 16].iter().map(part).collect::<anyhow::Result<_>>()?;
            (Curve::flat(one), Curve::through(together))
        } else {
            (self.curve("verify/ed25519", &SIZES)?, Curve::flat(1.0))
        };
        Ok(SchemePrices {
            seal: self.of(&format!("seal/{scheme}"))?,
            combine: self.curve(&format!("combine/{scheme}"), &SIZES)?,
            verify,
            together,
            aggregate: self.curve(&format!("aggregate/{scheme}"), &FEW_SIZES)?,
            verify_aggregate: self.curve(&format!("verify-aggregate/{scheme}"), &FEW_SIZES)?,
        })
    }
}

/// The line through two points, or what is above zero of it.
fn through(points: &[(f64, f64)]) -> Line {
    let [(x0, y0), .., (x1, y1)] = points else { return Line::default() };
    let unit = ((y1 - y0) / (x1 - x0)).max(0.0);
    Line { each: (y0 - unit * x0).max(0.0), unit }
}

/// Does `work` while all other cores are busy, as they are among replicas that are saturated.
fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 1..cores() {
            scope.spawn(|| {
                let bytes = vec![7; 4096];
                while running.load(Relaxed) {
                    std::hint::black_box(Digest::of(Domain::Test, &bytes));
                }
            });
        }
        let result = work();
        running.store(false, Relaxed);
        result
    })
}

/// CPU time of this thread.
fn cpu_clock() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What reading the clock adds to a piece of work, in nanoseconds.
fn reading_cost() -> f64 {
    let begun = cpu_clock();
    for _ in 0..10_000 {
        std::hint::black_box(cpu_clock());
    }
    (cpu_clock() - begun).as_nanos() as f64 / 10_000.0
}

/// Measures the host and the edge for a subject and puts their prices among the others, which are at that pace.
pub(super) fn meter(subject: &Subject, prices: &mut Prices, pace: f64) -> anyhow::Result<()> {
    for _ in 0..2 {
        let at = prices.clone();
        let subject = *subject;
        let here = Pace::start();
        // A thread of its own: no digests are remembered there.
        let measured =
            beside_others(|| std::thread::scope(|scope| scope.spawn(move || metered(&subject, &at)).join()));
        let work = measured.map_err(|_| anyhow!("the simulation panicked"))??.prices(reading_cost());
        let factor = pace / here.stop().mean();
        prices.work = work.into_iter().map(|(sort, line)| (sort, line.times(factor))).collect();
    }
    Ok(())
}

fn metered(subject: &Subject, prices: &Prices) -> anyhow::Result<Meter> {
    let mut meter = Meter::new(cpu_clock);
    for (clients, in_flight, milliseconds) in
        [(super::REAL_CLIENTS, super::REAL_IN_FLIGHT, 1500), (1, 1, 500)]
    {
        let plan = Plan {
            in_flight,
            first: Duration::ZERO,
            measured: Duration::from_millis(milliseconds),
            ..together(subject, 4, 1.0)
        };
        let load = load(clients);
        sim::scale::run(&plan, &Ledger, &load, prices, Some(&mut meter))
            .context("calibration by simulation")?;
    }
    Ok(meter)
}

/// All replicas and the clients on one machine like this one.
pub(super) fn together(subject: &Subject, replicas: usize, share: f64) -> Plan {
    Plan {
        placement: Placement::Together { cores: cores(), share },
        latencies: Latencies::none(),
        ..subject.plan(replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{CLIENTS, REAL_CLIENTS};
    use crate::variant::Variant;

    #[test]
    fn every_price_is_an_operation_s() {
        let by_name = operations::all().into_iter().map(|operation| (operation.name, 1.0)).collect();
        let measurements = Measurements { by_name, append_cpu: Vec::new(), pace: 1.0 };
        for (clients, scheme) in [REAL_CLIENTS, CLIENTS]
            .into_iter()
            .flat_map(|clients| [Scheme::Threshold, Scheme::Ed25519].map(|scheme| (clients, scheme)))
        {
            let subject = Subject { variant: Variant::Pbft, scheme, unsigned: false };
            let prices = measurements.prices(&subject, clients).expect("all are there");
            assert_eq!(prices.client_signatures(256), 256.0);
        }
    }
}
