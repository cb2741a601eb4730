//! What work costs, in nanoseconds of a core unless it says otherwise.

use super::meter::Sort;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A price for each time and one for each unit of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Each time.
    pub each: f64,
    /// Each unit.
    pub unit: f64,
}

impl Line {
    /// The price of doing it once, with so many units.
    pub fn of(&self, units: f64) -> f64 {
        self.each + self.unit * units
    }

    /// So many times as high.
    pub fn times(self, factor: f64) -> Line {
        Line { each: self.each * factor, unit: self.unit * factor }
    }
}

/// Prices at some sizes, and on straight lines between them and beyond.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve(Vec<(f64, f64)>);

impl Curve {
    /// Through points in any order.
    ///
    /// # Panics
    /// If there is none.
    pub fn through(mut points: Vec<(f64, f64)>) -> Curve {
        assert!(!points.is_empty(), "a curve goes through something");
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Curve(points)
    }

    /// The same price at every size.
    pub fn flat(price: f64) -> Curve {
        Curve(vec![(1.0, price)])
    }

    /// The price at a size.
    pub fn at(&self, size: f64) -> f64 {
        let [.., last] = self.0.as_slice() else { return 0.0 };
        if size <= self.0[0].0 {
            return self.0[0].1;
        }
        let Some(pair) = self.0.windows(2).find(|pair| size <= pair[1].0).or(self.0.windows(2).last()) else {
            return last.1;
        };
        let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
        (y0 + (y1 - y0) * (size - x0) / (x1 - x0)).max(0.0)
    }
}

/// What signatures cost under one scheme.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemePrices {
    /// A share made, with the signer's own signature where that travels with it.
    pub seal: f64,
    /// Combining a quorum of shares, by the size of the committee.
    pub combine: Curve,
    /// A certificate verified alone, by the size of the committee.
    pub verify: Curve,
    /// The part of that price which each certificate costs where several are verified together, by their number.
    pub together: Curve,
    /// Aggregating a quorum's words, by the size of the committee.
    pub aggregate: Curve,
    /// Verifying an aggregate, by the size of the committee.
    pub verify_aggregate: Curve,
}

/// What the log costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogPrices {
    /// A group appended; units are bytes.
    pub append: Line,
    /// Until it is synced, on the wall's clock; units are bytes.
    pub sync: Line,
}

/// What carrying frames costs each end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransportPrices {
    /// What goes to one peer at a time; units are bytes.
    pub write: Line,
    /// Each frame in it.
    pub frame: f64,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// The host and the edge, signatures aside.
    pub work: BTreeMap<Sort, Line>,
    /// A replica's own signature made.
    pub sign: f64,
    /// A replica's own signature verified.
    pub verify_signature: f64,
    /// A client's signature verified, by how many are verified together.
    pub client_verify: Curve,
    /// What quorums sign with.
    pub scheme: SchemePrices,
    /// The log.
    pub log: LogPrices,
    /// The transport.
    pub transport: TransportPrices,
    /// A frame handed to the threads that verify, and what comes of it handed back.
    pub hand_over: f64,
    /// A transaction of a client: made, sent, its reply received; reading that is the other part.
    pub client: f64,
}

impl Prices {
    /// A piece of work of the host or the edge.
    pub fn work(&self, sort: Sort, units: f64) -> f64 {
        self.work.get(&sort).copied().unwrap_or_default().of(units)
    }

    /// On a machine on which all work takes so many times as long. The disk's time stays.
    pub fn times(&self, factor: f64) -> Prices {
        let TransportPrices { write, frame } = self.transport;
        Prices {
            work: self.work.iter().map(|(sort, line)| (*sort, line.times(factor))).collect(),
            sign: self.sign * factor,
            verify_signature: self.verify_signature * factor,
            client_verify: self.client_verify.times(factor),
            scheme: self.scheme.times(factor),
            log: LogPrices { append: self.log.append.times(factor), sync: self.log.sync },
            transport: TransportPrices { write: write.times(factor), frame: frame * factor },
            hand_over: self.hand_over * factor,
            client: self.client * factor,
        }
    }

    /// So many certificates made of shares and so many that came in, together, by a member of a committee of this size: shares are interpolated, and what
    /// comes of it is verified with the others. Where that gains nothing each is combined by itself.
    pub fn certification(&self, made: u64, came: u64, replicas: usize) -> f64 {
        let combine = self.scheme.combine.at(replicas as f64);
        let interpolate = (combine - self.scheme.verify.at(replicas as f64)).max(0.0);
        let together = made as f64 * interpolate + self.certificates(made + came, replicas);
        together.min(made as f64 * combine + self.certificates(came, replicas))
    }

    /// So many certificates, verified together by a member of a committee of this size.
    pub fn certificates(&self, count: u64, replicas: usize) -> f64 {
        if count == 0 {
            return 0.0;
        }
        let one = self.scheme.verify.at(replicas as f64);
        one * self.scheme.together.at(count as f64) * count as f64
    }

    /// So many clients' signatures, verified together.
    pub fn client_signatures(&self, count: u64) -> f64 {
        if count == 0 { 0.0 } else { self.client_verify.at(count as f64) * count as f64 }
    }
}

impl Curve {
    fn times(&self, factor: f64) -> Curve {
        Curve(self.0.iter().map(|(size, price)| (*size, price * factor)).collect())
    }
}

impl SchemePrices {
    /// So many times as high.
    pub fn times(&self, factor: f64) -> SchemePrices {
        SchemePrices {
            seal: self.seal * factor,
            combine: self.combine.times(factor),
            verify: self.verify.times(factor),
            together: self.together.clone(),
            aggregate: self.aggregate.times(factor),
            verify_aggregate: self.verify_aggregate.times(factor),
        }
    }
}

/// A price as time.
pub fn time(price: f64) -> Duration {
    Duration::from_nanos(price.max(0.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_points_and_on_beyond_the_last() {
        let curve = Curve::through(vec![(16.0, 40.0), (4.0, 10.0)]);
        assert_eq!([1.0, 4.0, 10.0, 16.0, 20.0].map(|size| curve.at(size)), [10.0, 10.0, 25.0, 40.0, 50.0]);
        assert_eq!(Curve::flat(3.0).at(77.0), 3.0);
    }

    #[test]
    fn certificates_verified_together_cost_less_each() {
        let scheme = SchemePrices {
            verify: Curve::flat(100.0),
            together: Curve::through(vec![(1.0, 1.0), (2.0, 0.6)]),
            ..SchemePrices::default()
        };
        let scheme = SchemePrices { combine: Curve::flat(130.0), ..scheme };
        let prices = Prices { scheme, ..Prices::default() };
        assert_eq!([0, 1, 2].map(|count| prices.certificates(count, 4)), [0.0, 100.0, 120.0]);
        let certification = [(0, 0), (1, 0), (2, 0), (1, 1), (0, 2)];
        let price = |(made, came)| prices.certification(made, came, 4);
        assert_eq!(certification.map(price), [0.0, 130.0, 180.0, 150.0, 120.0]);
        let slower = prices.times(2.0);
        assert_eq!([1, 2].map(|made| slower.certification(made, 0, 4)), [260.0, 360.0]);
    }
}
