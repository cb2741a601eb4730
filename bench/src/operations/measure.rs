//! What an operation costs.

use super::operation::{Group, Operation, Prepared};
use super::stopwatch::{Clock, Stopwatch};
use serde::{Serialize, Serializer};
use std::time::{Duration, Instant};

/// Batches that a budget is divided into.
const BATCHES: u32 = 15;

/// Batches that are done whatever the budget: of fewer, the median says little.
const FEWEST: usize = 5;

/// What was measured. Times are nanoseconds where it is serialised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The operation's group.
    pub group: Group,
    /// The operation's name.
    pub name: String,
    /// What the times are for.
    pub unit: &'static str,
    /// What the times were read from.
    pub clock: Clock,
    /// The median of the batches.
    #[serde(rename = "per_unit_ns", serialize_with = "nanoseconds")]
    pub per_unit: Duration,
    /// No batch took less: on a machine that is busy, what comes closest to a quiet one.
    #[serde(rename = "fastest_ns", serialize_with = "nanoseconds")]
    pub fastest: Duration,
    /// A quarter of the batches took less.
    #[serde(rename = "lower_quartile_ns", serialize_with = "nanoseconds")]
    pub lower_quartile: Duration,
    /// A quarter of the batches took more.
    #[serde(rename = "upper_quartile_ns", serialize_with = "nanoseconds")]
    pub upper_quartile: Duration,
    /// How many batches there were.
    pub batches: usize,
    /// How many units were done in them.
    pub units: u64,
}

fn nanoseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Prepares `operation` and performs it for about `budget` on the wall's clock, preparation not included. The machine may do other
/// things at times: what counts is the median of many batches.
pub fn measure(operation: &Operation, budget: Duration) -> Measured {
    let mut prepared = operation.prepare();
    // Once for the caches, the allocator and the branch predictors.
    prepared.perform(&mut Stopwatch::new(operation.clock));
    let begin = Instant::now();
    let mut units = 0;
    let mut batches = Vec::new();
    while batches.len() < FEWEST || begin.elapsed() < budget {
        let (per_unit, done) = batch(&mut prepared, operation.clock, budget / BATCHES);
        batches.push(per_unit);
        units += done;
    }
    batches.sort_unstable();
    let at = |quarters: usize| batches[(batches.len() - 1) * quarters / 4];
    Measured {
        group: operation.group,
        name: operation.name.clone(),
        unit: operation.unit,
        clock: operation.clock,
        per_unit: at(2),
        fastest: at(0),
        lower_quartile: at(1),
        upper_quartile: at(3),
        batches: batches.len(),
        units,
    }
}

/// Performs the operation until `share` has passed, once at least: the time a unit took, and how many there were.
fn batch(prepared: &mut Prepared, clock: Clock, share: Duration) -> (Duration, u64) {
    let begin = Instant::now();
    let mut stopwatch = Stopwatch::new(clock);
    let mut units = 0;
    while units == 0 || begin.elapsed() < share {
        prepared.perform(&mut stopwatch);
        units += prepared.units();
    }
    let per_unit = stopwatch.elapsed().as_nanos() / u128::from(units);
    (Duration::from_nanos(u64::try_from(per_unit).unwrap_or(u64::MAX)), units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_quartiles_are_of_all_batches() {
        let operation = Operation::new(Group::Codec, "count", "number", || {
            Prepared::for_each((0..1000_u64).collect(), |number| number.wrapping_mul(7))
        });
        let measured = measure(&operation, Duration::ZERO);
        assert_eq!((measured.batches, measured.units), (FEWEST, FEWEST as u64 * 1000));
        let Measured { fastest, lower_quartile, per_unit, upper_quartile, .. } = measured;
        assert!([fastest, lower_quartile, per_unit, upper_quartile].is_sorted());
        let value = serde_json::to_value(&measured).expect("plain data");
        assert_eq!((&value["group"], &value["clock"]), (&"codec".into(), &"cpu".into()));
        assert!(value["per_unit_ns"].is_u64());
    }
}
