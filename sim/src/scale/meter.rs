//! What work of the host and the edge really took.

use super::prices::Line;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a piece of work is, with what its units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sort {
    /// The edge checks a client's frame; bytes.
    CheckRequest,
    /// The edge checks a replica's frame; bytes.
    CheckFrame,
    /// The host takes a transaction of a client; bytes that follow from it, sent or logged.
    TakeRequest,
    /// The host takes a message of an engine, or another frame that brings no transactions; bytes that follow from it, sent or logged.
    TakeMessage,
    /// The host takes forwarded transactions; transactions.
    TakeForward,
    /// The host takes word of what was durable, sealed, combined; bytes that follow from it.
    TakeEvent,
    /// A step in which blocks are executed; transactions.
    Execute,
    /// The host flushes; bytes that follow from it.
    Flush,
    /// A client reads a reply and verifies its receipt; bytes.
    ReadReply,
}

/// The sums that a line through pieces of work follows from.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    units: f64,
    squares: f64,
    time: f64,
    products: f64,
}

impl Sums {
    /// The line with the smallest squares, if both of its prices are above zero; else the mean of what is left.
    fn line(&self) -> Line {
        let Sums { count, units, squares, time, products } = *self;
        let spread = count * squares - units * units;
        if spread > 0.0 {
            let unit = (count * products - units * time) / spread;
            let each = (time - unit * units) / count;
            if unit >= 0.0 && each >= 0.0 {
                return Line { each, unit };
            }
            if each < 0.0 {
                return Line { each: 0.0, unit: time / units };
            }
        }
        Line { each: time / count.max(1.0), unit: 0.0 }
    }
}

/// Measures beside the simulation, with a clock that is given to it.
#[derive(Debug)]
pub struct Meter {
    clock: fn() -> Duration,
    sums: BTreeMap<Sort, Sums>,
}

impl Meter {
    /// `clock` shows the CPU time of this thread.
    pub fn new(clock: fn() -> Duration) -> Meter {
        Meter { clock, sums: BTreeMap::new() }
    }

    /// What the clock shows.
    pub(super) fn read(&self) -> Duration {
        (self.clock)()
    }

    pub(super) fn add(&mut self, sort: Sort, units: f64, took: Duration) {
        let sums = self.sums.entry(sort).or_default();
        let time = took.as_nanos() as f64;
        sums.count += 1.0;
        sums.units += units;
        sums.squares += units * units;
        sums.time += time;
        sums.products += units * time;
    }

    /// The prices that follow, less what reading the clock costs each time.
    pub fn prices(&self, of_reading: f64) -> BTreeMap<Sort, Line> {
        let line = |sums: &Sums| {
            let line = sums.line();
            Line { each: (line.each - of_reading).max(0.0), ..line }
        };
        self.sums.iter().map(|(sort, sums)| (*sort, line(sums))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(pieces: &[(f64, u64)]) -> Line {
        let mut meter = Meter::new(|| Duration::ZERO);
        for (units, nanoseconds) in pieces {
            meter.add(Sort::Flush, *units, Duration::from_nanos(*nanoseconds));
        }
        meter.prices(0.0)[&Sort::Flush]
    }

    #[test]
    fn a_line_goes_through_what_lies_on_one() {
        let line = metered(&[(0.0, 10), (10.0, 40), (100.0, 310)]);
        assert!((line.each - 10.0).abs() < 1e-6 && (line.unit - 3.0).abs() < 1e-6, "{line:?}");
    }

    #[test]
    fn prices_are_not_below_zero() {
        assert_eq!(metered(&[(5.0, 20), (5.0, 40)]), Line { each: 30.0, unit: 0.0 });
        assert_eq!(metered(&[(1.0, 1), (2.0, 5)]), Line { each: 0.0, unit: 2.0 });
        assert_eq!(metered(&[(1.0, 5), (2.0, 1)]), Line { each: 3.0, unit: 0.0 });
    }
}
