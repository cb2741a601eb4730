//! How a cost grows: least squares through logarithms.

use serde::Serialize;

/// An exponent, with the interval in which it lies with 95 % confidence if the errors of the logarithms are independent and normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Exponent {
    /// The slope.
    pub slope: f64,
    /// How far to either side the interval reaches.
    pub half_width: f64,
}

/// Two-sided 97.5 % quantiles of Student's distribution with 1, 2, ... degrees of freedom.
const STUDENT: [f64; 12] =
    [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179];

/// The exponent b of y = a·xᵇ through these points. None if they are fewer than two distinct ones, or not all positive.
pub fn exponent(points: &[(f64, f64)]) -> Option<Exponent> {
    if points.iter().any(|(x, y)| *x <= 0.0 || *y <= 0.0) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = logs.iter().map(|(a, _)| (a - x).powi(2)).sum();
    if spread <= f64::EPSILON {
        return None;
    }
    let slope = logs.iter().map(|(a, b)| (a - x) * (b - y)).sum::<f64>() / spread;
    let residuals: f64 = logs.iter().map(|(a, b)| (b - y - slope * (a - x)).powi(2)).sum();
    let freedom = logs.len() - 2;
    let half_width = match freedom {
        0 => 0.0,
        _ => STUDENT[(freedom - 1).min(STUDENT.len() - 1)] * (residuals / freedom as f64 / spread).sqrt(),
    };
    Some(Exponent { slope, half_width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_has_its_exponent_and_no_doubt() {
        let points: Vec<(f64, f64)> = [3.0, 6.0, 9.0, 30.0].map(|x: f64| (x, 5.0 * x.powi(2))).to_vec();
        let fit = exponent(&points).expect("points");
        assert!((fit.slope - 2.0).abs() < 1e-9 && fit.half_width < 1e-6, "{fit:?}");
    }

    #[test]
    fn what_scatters_has_an_interval_around_the_slope() {
        // Logarithms 0, 1, 2, 3 against 0, 1, 2, 4: slope 1.3, residuals ±0.1, ±0.2, ... computed by hand.
        let e = std::f64::consts::E;
        let points = [(1.0, 1.0), (e, e), (e.powi(2), e.powi(2)), (e.powi(3), e.powi(4))];
        let fit = exponent(&points).expect("points");
        assert!((fit.slope - 1.3).abs() < 1e-9, "{fit:?}");
        // √(0.3 / 2 / 5) · 4.303
        assert!((fit.half_width - 0.745_3).abs() < 1e-3, "{fit:?}");
    }

    #[test]
    fn one_point_or_a_zero_has_no_exponent() {
        assert_eq!(exponent(&[(3.0, 4.0)]), None);
        assert_eq!(exponent(&[(3.0, 4.0), (3.0, 5.0)]), None);
        assert_eq!(exponent(&[(3.0, 4.0), (6.0, 0.0)]), None);
    }
}
