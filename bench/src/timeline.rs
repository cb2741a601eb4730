//! What happens to throughput, processor time and memory as time passes.

use crate::generator::pause;
use crate::process::ReplicaProcess;
use crate::reading::resident_mib;
use crate::recorder::Recorder;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Between two looks.
pub const STEP: Duration = Duration::from_millis(250);

/// How much of the rate before counts as recovered.
const RECOVERED: f64 = 0.9;

/// One step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Seconds at its beginning, from that of the measurement.
    pub seconds: f64,
    /// Acknowledged transactions a second.
    pub transactions_per_second: f64,
    /// Processors that all replicas together kept busy.
    pub cores: f64,
    /// Largest resident memory of a replica, in MiB.
    pub resident_mib: f64,
}

/// Samples for so long.
pub async fn record(recorder: &Recorder, processes: &[ReplicaProcess], span: Duration) -> Vec<Sample> {
    let begin = Instant::now();
    let mut samples = Vec::new();
    let cpu = || processes.iter().map(ReplicaProcess::cpu_time).sum::<Duration>();
    let (mut then, mut acknowledged, mut spent) = (begin, recorder.acknowledged(), cpu());
    while begin.elapsed() + STEP / 2 < span {
        pause(STEP).await;
        let now = Instant::now();
        let seconds = now.duration_since(then).as_secs_f64();
        let (more, used) = (recorder.acknowledged(), cpu());
        samples.push(Sample {
            seconds: then.duration_since(begin).as_secs_f64(),
            transactions_per_second: (more - acknowledged) as f64 / seconds,
            cores: used.saturating_sub(spent).as_secs_f64() / seconds,
            resident_mib: resident_mib(processes),
        });
        (then, acknowledged, spent) = (now, more, used);
    }
    samples
}

/// The mean rate of the samples that began before `until`.
pub fn rate_before(samples: &[Sample], until: f64) -> f64 {
    let before: Vec<f64> =
        samples.iter().filter(|s| s.seconds < until).map(|s| s.transactions_per_second).collect();
    before.iter().sum::<f64>() / before.len().max(1) as f64
}

/// Seconds from `at` until a second passes with nine tenths of the rate that there was before; none if none did.
pub fn recovery(samples: &[Sample], at: f64) -> Option<f64> {
    let healthy = rate_before(samples, at);
    let second = (1.0 / STEP.as_secs_f64()).round() as usize;
    let after: Vec<&Sample> = samples.iter().filter(|sample| sample.seconds >= at).collect();
    let fallen = after.iter().position(|sample| sample.transactions_per_second < RECOVERED * healthy);
    let Some(fallen) = fallen else { return Some(0.0) };
    let recovered = after[fallen..].windows(second).find(|window| {
        let rate = window.iter().map(|sample| sample.transactions_per_second).sum::<f64>() / second as f64;
        rate >= RECOVERED * healthy && window[0].transactions_per_second > 0.0
    });
    recovered.map(|window| window[0].seconds - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rates: &[f64]) -> Vec<Sample> {
        let sample = |(index, rate): (usize, &f64)| Sample {
            seconds: index as f64 * STEP.as_secs_f64(),
            transactions_per_second: *rate,
            cores: 0.0,
            resident_mib: 0.0,
        };
        rates.iter().enumerate().map(sample).collect()
    }

    #[test]
    fn recovery_is_when_a_second_has_nine_tenths_of_the_rate_before() {
        let mut rates = vec![100.0; 8];
        rates.extend([20.0, 0.0, 0.0, 0.0, 50.0, 95.0, 100.0, 100.0, 95.0]);
        let curve = samples(&rates);
        assert!((rate_before(&curve, 2.0) - 100.0).abs() < 1e-9);
        assert_eq!(recovery(&curve, 2.0), Some(1.25));
    }

    #[test]
    fn what_does_not_fall_has_recovered_and_what_stays_low_never_does() {
        assert_eq!(recovery(&samples(&[100.0; 20]), 2.0), Some(0.0));
        let mut rates = vec![100.0; 8];
        rates.extend([70.0; 12]);
        assert_eq!(recovery(&samples(&rates), 2.0), None);
    }
}
