//! The transport's price, from real replicas in one configuration: what the other prices do not explain of their CPU.
//!
//! QUIC, the operating system's sockets and the hand-over between threads cannot be called one by one. Four replicas that run Raft for
//! clients that do not sign do little else: what is left of their CPU is divided by the bytes that they send and receive. Whatever else was left out
//! of the prices is in it, timers and state flushes among it. The same run says what a client costs that does not sign, but for what it
//! does with its reply, which is measured.
//! All else is predicted: other protocols and schemes, clients that sign, other sizes.

use super::real::{self, Real};
use super::subject::{Subject, Variant};
use crypto::Scheme;
use serde::Serialize;
use sim::scale::Prices;
use sim::scale::prices::{Line, TransportPrices};
use std::path::Path;
use std::time::Duration;

/// The configuration.
pub(super) const SUBJECT: Subject = Subject { variant: Variant::Raft, scheme: Scheme::None, unsigned: true };

/// Replicas of it.
const REPLICAS: usize = 4;

/// A frame in a write, at either end: half of what many small frames in large writes cost both (DEPENDENCIES.md).
const FRAME: f64 = 200.0;

/// Rounds in which the prices come to rest: how much is written together depends on them.
const ROUNDS: usize = 4;

/// A write to a connection, or a read off one, without its bytes: half of the 4 to 6 µs that small writes cost both ends in a stream of
/// them (DEPENDENCIES.md), and a thread that is woken.
const WRITE: f64 = 8_000.0;

/// Measured or fitted in one configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// What real replicas did.
    pub real: Real,
    /// What follows.
    pub transport: TransportPrices,
    /// A client's part of a transaction that is not signed, but for reading the reply, in nanoseconds.
    pub client: f64,
    /// A sync of the log, in nanoseconds.
    pub sync: f64,
}

impl Fit {
    /// As it was on the machine where it was measured last (November 2026, two shared cores).
    pub fn recorded() -> (TransportPrices, f64, f64) {
        (transport(1.5), 80_000.0, 300_000.0)
    }

    /// Runs real replicas and fits.
    ///
    /// # Errors
    /// If they do not serve, or a simulation breaks a rule.
    pub fn take(executable: &Path, prices: &Prices) -> anyhow::Result<Fit> {
        let real = real::measure(&SUBJECT, REPLICAS, Duration::from_secs(8), executable)?;
        let (client, sync) = (real.clients_us * 1e3, real.sync_ms * 1e6);
        let mut fit = Fit { real, transport: Fit::recorded().0, client, sync };
        for _ in 0..ROUNDS {
            let outcome = real::simulate(&SUBJECT, REPLICAS, &fit.real, &fit.applied(prices))?;
            let bytes = outcome.bytes as f64;
            let used = outcome.replicas_used.as_nanos() as f64;
            let rest = used - fit.transport.write.unit * bytes;
            let needed = fit.real.replicas_us * 1e3 * outcome.transactions as f64;
            fit.transport = transport(((needed - rest) / bytes).max(0.0));
            let of_clients = outcome.clients_used.as_nanos() as f64 / outcome.transactions as f64;
            fit.client = (client + fit.client - of_clients).max(0.0);
        }
        Ok(fit)
    }

    /// These prices with what was fitted.
    pub fn applied(&self, prices: &Prices) -> Prices {
        let mut prices = prices.clone();
        prices.transport = self.transport;
        prices.client = self.client;
        prices.log.sync.each = self.sync;
        prices
    }
}

fn transport(byte: f64) -> TransportPrices {
    TransportPrices { write: Line { each: WRITE, unit: byte }, frame: FRAME }
}
