//! Prices that nothing measures alone, from real replicas in three configurations: what the other prices do not explain of their CPU.
//!
//! - **A byte at either end of a connection.** QUIC, the operating system's sockets and the hand-over between threads cannot be called one by
//!   one. Four replicas that run Raft for clients that do not sign do little else: what is left of their CPU is divided by the bytes that
//!   they send and receive. Timers and state flushes are in it too. The same run says what a client costs that does not sign, but for what
//!   it does with its reply, which is measured.
//! - **A frame handed to the threads that verify**, and what comes of it handed back. Four replicas that run Raft for clients that sign do so
//!   with each transaction once, which otherwise is checked where it is read. The same run says what signing costs a client more than in a loop.
//! - **How much more what quorums sign costs in a replica than in a loop**, where caches and predictors know nothing else. Four replicas that run
//!   PBFT with threshold certificates for clients that do not sign say so.
//!
//! All else is predicted: other protocols and schemes, clients that sign and have proven receipts, other sizes.

use super::calibration::{Measurements, meter};
use super::real::{self, Real};
use super::subject::Subject;
use crate::variant::Variant;
use crypto::Scheme;
use serde::Serialize;
use sim::scale::prices::{Line, TransportPrices};
use sim::scale::{Outcome, Prices};
use std::time::Duration;

/// The configurations and their replicas: for the transport and the clients, then for what is handed over, then for what quorums sign.
pub(super) const CONFIGURATIONS: [(Subject, usize); 3] = [
    (Subject { variant: Variant::Raft, scheme: Scheme::None, unsigned: true }, 4),
    (Subject { variant: Variant::Raft, scheme: Scheme::None, unsigned: false }, 4),
    (Subject { variant: Variant::Pbft, scheme: Scheme::Threshold, unsigned: true }, 4),
];

/// A frame in a write, at either end: half of the 0.4 µs that small frames in writes of 16 KiB cost both on two shared cores, in November 2026.
const FRAME: f64 = 200.0;

/// A write to a connection, or a read off one, without its bytes: half of the 4 to 6 µs that small writes cost both ends in a stream of
/// them on the same cores, and a thread that is woken.
const WRITE: f64 = 8_000.0;

/// Rounds in which the prices come to rest: how much is done together depends on them.
const ROUNDS: usize = 4;

/// A sync of the log on a good disk.
pub(super) const GOOD_SYNC: f64 = 300_000.0;

/// The pace at which the recorded prices were fitted.
const RECORDED_PACE: f64 = 49_200.0;

/// How much more signatures may cost than in a loop: beyond, something else is missing.
const SIGNATURES: (f64, f64) = (1.0, 2.5);

/// What was fitted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fit {
    /// A byte at either end of a connection, in nanoseconds.
    pub byte: f64,
    /// A client's part of a transaction that is not signed, but for reading the reply, in nanoseconds.
    pub client: f64,
    /// A frame handed to the threads that verify, in nanoseconds.
    pub hand_over: f64,
    /// What a client that signs takes more, but for the signature in a loop, in nanoseconds.
    pub signing: f64,
    /// How many times as much what quorums sign costs in a replica as in a loop.
    pub signatures: f64,
    /// A sync of the log, in nanoseconds: measured.
    pub sync: f64,
}

/// What a simulation lacks of the CPU of real replicas and of real clients, in nanoseconds, at the pace of the prices.
fn missing(real: &Real, pace: f64, outcome: &Outcome) -> (f64, f64) {
    let lacks = |real_us: f64, simulated: Duration| {
        pace / real.pace * (real_us * 1e3 * outcome.transactions as f64 - simulated.as_nanos() as f64)
    };
    (lacks(real.replicas_us, outcome.replicas_used), lacks(real.clients_us, outcome.clients_used))
}

impl Fit {
    /// As it was on the machine where it was measured last (November 2026, two shared cores), brought to this one's pace; with a sync of the log on
    /// a good disk.
    pub(super) fn recorded(pace: f64) -> Fit {
        let at = |price: f64| price * pace / RECORDED_PACE;
        Fit {
            byte: at(3.0),
            client: at(9_500.0),
            hand_over: at(5_900.0),
            signing: at(2_500.0),
            signatures: 1.2,
            sync: GOOD_SYNC,
        }
    }

    /// Fits to what real replicas did in the configurations above.
    ///
    /// # Errors
    /// If a simulation breaks a rule.
    pub(super) fn to(
        reals: [&Real; CONFIGURATIONS.len()],
        measurements: &Measurements,
    ) -> anyhow::Result<Fit> {
        let mut fit = Fit::recorded(measurements.pace);
        let [plain, signed, certified] = reals;
        fit.sync = plain.sync_ms * 1e6;
        let pace = measurements.pace;
        fit.find(0, plain, measurements, |fit, outcome| fit.transport(plain, pace, outcome))?;
        fit.find(1, signed, measurements, |fit, outcome| fit.hand_over(signed, pace, outcome))?;
        fit.find(2, certified, measurements, |fit, outcome| fit.signatures(certified, outcome))?;
        Ok(fit)
    }

    fn find(
        &mut self,
        place: usize,
        real: &Real,
        measurements: &Measurements,
        improve: impl Fn(&mut Fit, &Outcome),
    ) -> anyhow::Result<()> {
        let (subject, replicas) = &CONFIGURATIONS[place];
        let mut prices = self.prices(subject, super::REAL_CLIENTS, measurements)?;
        let (scheme, signatures) = (prices.scheme.clone(), self.signatures);
        for _ in 0..ROUNDS {
            improve(self, &real::simulate(subject, *replicas, real, &prices, measurements.pace)?);
            self.apply(&mut prices);
            prices.scheme = scheme.times(self.signatures / signatures);
            prices.client = self.of_client(subject, measurements)?;
        }
        Ok(())
    }

    fn transport(&mut self, real: &Real, pace: f64, outcome: &Outcome) {
        let (of_replicas, of_clients) = missing(real, pace, outcome);
        self.byte = (self.byte + of_replicas / outcome.bytes as f64).max(0.0);
        self.client = (self.client + of_clients / outcome.transactions as f64).max(0.0);
    }

    fn hand_over(&mut self, real: &Real, pace: f64, outcome: &Outcome) {
        let (of_replicas, of_clients) = missing(real, pace, outcome);
        self.hand_over = (self.hand_over + of_replicas / outcome.handed_over as f64).max(0.0);
        self.signing = (self.signing + of_clients / outcome.transactions as f64).max(0.0);
    }

    fn signatures(&mut self, real: &Real, outcome: &Outcome) {
        let needed = real.replicas_us * 1e3 * outcome.transactions as f64;
        let signatures = outcome.signatures_used().as_nanos() as f64;
        let others = outcome.replicas_used.as_nanos() as f64 - signatures;
        let (least, most) = SIGNATURES;
        self.signatures = (self.signatures * (needed - others) / signatures).clamp(least, most);
    }

    /// All prices of a subject with so many clients.
    pub(super) fn prices(
        &self,
        subject: &Subject,
        clients: usize,
        measurements: &Measurements,
    ) -> anyhow::Result<Prices> {
        let mut prices = measurements.prices(subject, clients)?;
        self.apply(&mut prices);
        prices.scheme = prices.scheme.times(self.signatures);
        prices.client = self.of_client(subject, measurements)?;
        meter(subject, &mut prices, measurements.pace)?;
        Ok(prices)
    }

    fn of_client(&self, subject: &Subject, measurements: &Measurements) -> anyhow::Result<f64> {
        let sign = if subject.unsigned { 0.0 } else { self.signing + measurements.of("client-sign")? };
        Ok(self.client + sign)
    }

    fn apply(&self, prices: &mut Prices) {
        let write = Line { each: WRITE, unit: self.byte };
        prices.transport = TransportPrices { write, frame: FRAME };
        prices.log.sync.each = self.sync;
        prices.hand_over = self.hand_over;
    }

    /// In words and figures.
    pub(super) fn print(&self) {
        let Fit { byte, client, hand_over, signing, signatures, sync } = self;
        println!(
            "fitted to real replicas: {byte:.2} ns for a byte at each end, {:.1} us for a frame handed to the threads that verify, {:.1} us for a \
             client and {:.1} more if it signs, beside the signature, {signatures:.2} times as much for what quorums sign as in a loop; a sync takes {:.2} ms",
            hand_over / 1e3,
            client / 1e3,
            signing / 1e3,
            sync / 1e6
        );
    }
}
