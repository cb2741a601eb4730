//! Latency at one offered rate after the other, until the network does not keep up: an open loop.

use crate::generator::{Loaded, pause};
use crate::load::LoadArguments;
use crate::recorder::Latency;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a rate is offered before it is measured, and then measured.
const SETTLING: Duration = Duration::from_secs(2);

/// Shares of the rate at saturation that are offered.
const SHARES: [f64; 8] = [0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1];

/// What of the offered rate has to be acknowledged for the network to keep up.
const KEPT_UP: f64 = 0.98;

/// How long a receipt may take for it to keep up.
const LONGEST_MS: f64 = 1000.0;

/// One rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// Requests a second whose turn came.
    pub offered: f64,
    /// Requests a second that were answered.
    pub acknowledged: f64,
    /// From a request's turn to its verified answer.
    pub latency: Latency,
}

impl Step {
    /// Whether the network keeps up with it.
    pub fn keeps_up(&self) -> bool {
        self.acknowledged >= KEPT_UP * self.offered && self.latency.p99_ms <= LONGEST_MS
    }
}

/// All rates, up to the first one that was too high.
#[derive(Clone, Debug, Serialize)]
pub struct Ramp {
    /// One for each rate.
    pub steps: Vec<Step>,
    /// The highest rate that the network keeps up with.
    pub saturation_point: Option<f64>,
}

impl Ramp {
    /// In words and figures.
    pub fn print(&self) {
        println!("requests at a rate of their own (open loop; latency from a request's turn)");
        println!(
            "  {:>10} {:>12} {:>9} {:>9} {:>9} {:>9}",
            "offered/s", "answered/s", "p50 ms", "p90 ms", "p99 ms", "max ms"
        );
        for Step { offered, acknowledged, latency } in &self.steps {
            println!(
                "  {offered:>10.0} {acknowledged:>12.0} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
                latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms
            );
        }
        match self.saturation_point {
            Some(rate) => println!(
                "  it keeps up with {rate:.0} a second ({:.0} % answered, p99 within {LONGEST_MS:.0} ms)",
                100.0 * KEPT_UP
            ),
            None => println!("  it keeps up with none of these"),
        }
    }
}

/// Offers one rate after the other to the network that `start` loads, as long as it keeps up: the arguments' own, or shares of `most`.
///
/// # Errors
/// If the network cannot be loaded.
pub async fn measure(
    arguments: &LoadArguments,
    most: f64,
    mut start: impl AsyncFnMut(f64) -> anyhow::Result<Loaded>,
) -> anyhow::Result<Ramp> {
    let shares = || SHARES.into_iter().map(|share| share * most).collect();
    let rates: Vec<f64> = if arguments.rates.is_empty() { shares() } else { arguments.rates.clone() };
    let mut steps = Vec::new();
    for rate in rates {
        // Who does not keep up may leave requests without an answer: that is what was to be found out.
        let (step, ended) = watch(start(rate).await?, arguments).await;
        steps.push(step);
        if !step.keeps_up() || ended.is_err() {
            break;
        }
    }
    Ok(done(steps))
}

fn done(steps: Vec<Step>) -> Ramp {
    let kept_up = steps.iter().filter(|step| step.keeps_up());
    Ramp { saturation_point: kept_up.map(|step| step.acknowledged).reduce(f64::max), steps }
}

/// What is offered and acknowledged for some seconds, and how the load ended. Latencies are those of all that was open or came in that time,
/// however long it took: what is answered last counts too.
pub(crate) async fn watch(loaded: Loaded, arguments: &LoadArguments) -> (Step, anyhow::Result<()>) {
    pause(SETTLING).await;
    let recorder = Arc::clone(&loaded.recorder);
    recorder.take();
    let (begun, offered, acknowledged) = (Instant::now(), recorder.offered(), recorder.acknowledged());
    pause(Duration::from_secs(if arguments.quick { 4 } else { 10 })).await;
    let seconds = begun.elapsed().as_secs_f64();
    let (offered, acknowledged) = (recorder.offered() - offered, recorder.acknowledged() - acknowledged);
    let ended = loaded.stop().await;
    let step = Step {
        offered: offered as f64 / seconds,
        acknowledged: acknowledged as f64 / seconds,
        latency: *ended.as_ref().unwrap_or(&recorder.take()),
    };
    (step, ended.map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(offered: f64, acknowledged: f64, p99_ms: f64) -> Step {
        Step { offered, acknowledged, latency: Latency { p99_ms, ..Latency::default() } }
    }

    #[test]
    fn the_saturation_point_is_the_highest_rate_with_which_it_keeps_up() {
        let ramp = done(vec![
            step(1000.0, 1000.0, 20.0),
            step(2000.0, 1990.0, 90.0),
            step(3000.0, 2990.0, 1500.0),
            step(4000.0, 2500.0, 800.0),
        ]);
        assert_eq!(ramp.saturation_point, Some(1990.0));
        assert_eq!(done(vec![step(1000.0, 10.0, 5.0)]).saturation_point, None);
    }
}
