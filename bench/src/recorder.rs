//! How long transactions took, as they are acknowledged.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The longest latency that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(120);

/// Places to record at, so that tasks do not wait for each other.
const SHARDS: usize = 16;

/// Latencies and counts. What was not acknowledged yet is in neither.
#[derive(Debug)]
pub struct Recorder {
    shards: Vec<Mutex<Histogram<u64>>>,
    acknowledged: AtomicU64,
    offered: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// Percentiles of what was acknowledged, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1000.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

fn empty() -> Histogram<u64> {
    let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, longest, 3).expect("the bounds are valid")
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            shards: (0..SHARDS).map(|_| Mutex::new(empty())).collect(),
            acknowledged: AtomicU64::new(0),
            offered: AtomicU64::new(0),
            failure: Mutex::new(None),
        }
    }
}

impl Recorder {
    /// A transaction was submitted, or should have been.
    pub fn offer(&self) {
        self.offered.fetch_add(1, Relaxed);
    }

    /// A transaction is acknowledged.
    pub fn acknowledge(&self, shard: usize, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut histogram = self.shards[shard % SHARDS].lock().expect("nobody panics with it");
        histogram.saturating_record(microseconds.max(1));
        drop(histogram);
        self.acknowledged.fetch_add(1, Relaxed);
    }

    /// One could not be.
    pub fn fail(&self, why: String) {
        self.failure.lock().expect("nobody panics with it").get_or_insert(why);
    }

    /// The first failure, if there was one.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().expect("nobody panics with it").clone()
    }

    /// How many were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// How many were submitted, or should have been, so far.
    pub fn offered(&self) -> u64 {
        self.offered.load(Relaxed)
    }

    /// The latencies since the last call.
    pub fn take(&self) -> Latency {
        let mut all = empty();
        for shard in &self.shards {
            let mut shard = shard.lock().expect("nobody panics with it");
            all.add(&*shard).expect("the bounds are the same");
            shard.reset();
        }
        let at = |quantile: f64| all.value_at_quantile(quantile) as f64 / 1000.0;
        if all.is_empty() {
            return Latency::default();
        }
        Latency {
            count: all.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: all.max() as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_shards_since_the_last_look() {
        let recorder = Recorder::default();
        assert_eq!(recorder.take().count, 0);
        for ms in 1..=1000 {
            recorder.acknowledge(ms as usize, Duration::from_millis(ms));
        }
        let latency = recorder.take();
        assert_eq!((latency.count, recorder.acknowledged()), (1000, 1000));
        for (seen, expected) in [(latency.p50_ms, 500.0), (latency.p99_ms, 990.0), (latency.max_ms, 1000.0)] {
            assert!((seen - expected).abs() / expected < 0.002, "{seen} for {expected}");
        }
        assert_eq!(recorder.take().count, 0, "each latency is told once");
        assert_eq!(recorder.acknowledged(), 1000);
    }

    #[test]
    fn what_takes_longer_than_can_be_told_apart_counts_as_the_longest() {
        let recorder = Recorder::default();
        recorder.acknowledge(0, 10 * LONGEST);
        let seen = recorder.take().max_ms;
        assert!((seen - LONGEST.as_secs_f64() * 1e3).abs() < 0.01 * seen, "{seen}");
    }
}
