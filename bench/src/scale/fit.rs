//! Prices that nothing measures alone, from real replicas in two configurations: what the other prices do not explain of their CPU.
//!
//! - **A byte at either end of a connection.** QUIC, the operating system's sockets and the hand-over between threads cannot be called one by
//!   one. Four replicas that run Raft for clients that do not sign do little else: what is left of their CPU is divided by the bytes that
//!   they send and receive. Timers and state flushes are in it too. The same run says what a client costs that does not sign, but for what
//!   it does with its reply, which is measured.
//! - **How much more what quorums sign costs in a replica than in a loop**, where caches and predictors know nothing else. Four replicas that run
//!   PBFT with threshold certificates for clients that do not sign say so.
//!
//! All else is predicted: other protocols and schemes, clients that sign, other sizes.

use super::calibration::{Measurements, meter};
use super::real::{self, Real};
use super::subject::Subject;
use crate::variant::Variant;
use crypto::Scheme;
use serde::Serialize;
use sim::scale::Prices;
use sim::scale::prices::{Line, TransportPrices};
use std::path::Path;
use std::time::Duration;

/// The configurations: for the transport and the clients, then for what quorums sign.
pub(super) const SUBJECTS: [Subject; 2] = [
    Subject { variant: Variant::Raft, scheme: Scheme::None, unsigned: true },
    Subject { variant: Variant::Pbft, scheme: Scheme::Threshold, unsigned: true },
];

/// Replicas of them.
const REPLICAS: usize = 4;

/// How long they are watched.
const STRETCH: Duration = Duration::from_secs(8);

/// How often.
const RUNS: usize = 3;

/// A frame in a write, at either end: half of the 0.4 µs that small frames in writes of 16 KiB cost both on two shared cores, in November 2026.
const FRAME: f64 = 200.0;

/// A write to a connection, or a read off one, without its bytes: half of the 4 to 6 µs that small writes cost both ends in a stream of
/// them on the same cores, and a thread that is woken.
const WRITE: f64 = 8_000.0;

/// Rounds in which the prices come to rest: how much is done together depends on them.
const ROUNDS: usize = 4;

/// How much more signatures may cost than in a loop: beyond, something else is missing.
const SIGNATURES: (f64, f64) = (1.0, 2.5);

/// What was fitted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fit {
    /// A byte at either end of a connection, in nanoseconds.
    pub byte: f64,
    /// A client's part of a transaction that is not signed, but for reading the reply, in nanoseconds.
    pub client: f64,
    /// How many times as much what quorums sign costs in a replica as in a loop.
    pub signatures: f64,
    /// A sync of the log, in nanoseconds: measured.
    pub sync: f64,
}

/// Of several real runs the middle one, by processor time at the same pace: everything else hangs on it, and a single one may fall into a moment in
/// which the machine does nothing as it does it otherwise.
fn middle(subject: &Subject, executable: &Path) -> anyhow::Result<Real> {
    let run = |_| real::measure(subject, REPLICAS, STRETCH, executable);
    let mut runs = (0..RUNS).map(run).collect::<anyhow::Result<Vec<Real>>>()?;
    runs.sort_by(|a, b| (a.replicas_us / a.pace).total_cmp(&(b.replicas_us / b.pace)));
    Ok(runs.swap_remove(RUNS / 2))
}

impl Fit {
    /// As it was on the machine where it was measured last (November 2026, two shared cores); with a sync of the log on a good disk.
    pub fn recorded() -> Fit {
        Fit { byte: 6.7, client: 24_000.0, signatures: 1.7, sync: 300_000.0 }
    }

    /// Runs real replicas and fits.
    ///
    /// # Errors
    /// If they do not serve, or a simulation breaks a rule.
    pub(super) fn take(executable: &Path, measurements: &Measurements) -> anyhow::Result<Fit> {
        let mut fit = Fit::recorded();
        let [plain, certified] = SUBJECTS;
        let real = middle(&plain, executable)?;
        fit.sync = real.sync_ms * 1e6;
        fit.find(&plain, measurements, |fit, prices| fit.transport(&real, prices, measurements.pace))?;
        let real = middle(&certified, executable)?;
        fit.find(&certified, measurements, |fit, prices| fit.signatures(&real, prices, measurements.pace))?;
        Ok(fit)
    }

    fn find(
        &mut self,
        subject: &Subject,
        measurements: &Measurements,
        improve: impl Fn(&mut Fit, &Prices) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut prices = self.prices(subject, measurements)?;
        let scheme = prices.scheme.clone();
        for _ in 0..ROUNDS {
            improve(self, &prices)?;
            self.apply(&mut prices);
            prices.scheme = scheme.times(self.signatures / Fit::recorded().signatures);
            prices.client = measurements.client(subject, self.client)?;
        }
        Ok(())
    }

    fn transport(&mut self, real: &Real, prices: &Prices, pace: f64) -> anyhow::Result<()> {
        let outcome = real::simulate(&SUBJECTS[0], REPLICAS, real, prices, pace)?;
        let to_pace = pace / real.pace;
        let (transactions, bytes) = (outcome.transactions as f64, outcome.bytes as f64);
        let missing = real.replicas_us * 1e3 * transactions - outcome.replicas_used.as_nanos() as f64;
        self.byte = (self.byte + to_pace * missing / bytes).max(0.0);
        let of_clients = outcome.clients_used.as_nanos() as f64 / transactions;
        self.client = (self.client + to_pace * (real.clients_us * 1e3 - of_clients)).max(0.0);
        Ok(())
    }

    fn signatures(&mut self, real: &Real, prices: &Prices, pace: f64) -> anyhow::Result<()> {
        let outcome = real::simulate(&SUBJECTS[1], REPLICAS, real, prices, pace)?;
        let needed = real.replicas_us * 1e3 * outcome.transactions as f64;
        let signatures = outcome.signatures_used().as_nanos() as f64;
        let others = outcome.replicas_used.as_nanos() as f64 - signatures;
        let (least, most) = SIGNATURES;
        self.signatures = (self.signatures * (needed - others) / signatures).clamp(least, most);
        Ok(())
    }

    /// All prices of a subject.
    pub(super) fn prices(&self, subject: &Subject, measurements: &Measurements) -> anyhow::Result<Prices> {
        let mut prices = measurements.prices(subject)?;
        self.apply(&mut prices);
        prices.scheme = prices.scheme.times(self.signatures);
        prices.client = measurements.client(subject, self.client)?;
        meter(subject, &mut prices, measurements.pace)?;
        Ok(prices)
    }

    fn apply(&self, prices: &mut Prices) {
        let write = Line { each: WRITE, unit: self.byte };
        prices.transport = TransportPrices { write, frame: FRAME };
        prices.log.sync.each = self.sync;
    }

    /// In words and figures.
    pub(super) fn print(&self) {
        let Fit { byte, client, signatures, sync } = self;
        println!(
            "fitted to real replicas: {byte:.2} ns for a byte at each end, {:.0} us for a client, {signatures:.2} times as much for what \
             quorums sign as in a loop; a sync takes {:.2} ms",
            client / 1e3,
            sync / 1e6
        );
    }
}
