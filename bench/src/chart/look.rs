//! How the series of a chart are told apart.

use plotters::style::RGBColor;

/// The colours of Okabe and Ito, which people see apart whatever their colour vision ("Color Universal Design", 2008). Yellow is
/// left out, since it is hardly seen on white; those that differ most in brightness come first, for prints in grey.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
];

/// The markers. Their number has no divisor in common with that of the colours, so that 42 looks come before one returns.
const MARKERS: [Marker; 6] =
    [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Cross, Marker::Funnel];

/// Of text and axes.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);

/// Of what belongs to no series.
pub(super) const NEUTRAL: Look = Look { colour: RGBColor(90, 90, 90), marker: Marker::Circle };

/// Colour and marker of what has one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub colour: RGBColor,
    pub marker: Marker,
}

/// What stands at a point. Filled shapes only, so that each has the same weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Funnel,
}

impl Look {
    /// The look of the name that comes at place `number`, from zero.
    pub(super) fn new(number: usize) -> Look {
        Look { colour: COLOURS[number % COLOURS.len()], marker: MARKERS[number % MARKERS.len()] }
    }
}

impl Marker {
    /// Its corners, around a point, for about the same area as a circle of this radius. Downwards is positive.
    pub(super) fn corners(self, radius: i32) -> Vec<(i32, i32)> {
        let unit: Vec<(f64, f64)> = match self {
            Marker::Circle => {
                (0..24).map(|step| (f64::from(step) * std::f64::consts::TAU / 24.0).sin_cos()).collect()
            }
            Marker::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Triangle => vec![(0.0, -1.3), (1.2, 0.8), (-1.2, 0.8)],
            Marker::Funnel => vec![(0.0, 1.3), (1.2, -0.8), (-1.2, -0.8)],
            Marker::Diamond => vec![(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)],
            Marker::Cross => vec![
                (0.0, -0.5),
                (0.65, -1.15),
                (1.15, -0.65),
                (0.5, 0.0),
                (1.15, 0.65),
                (0.65, 1.15),
                (0.0, 0.5),
                (-0.65, 1.15),
                (-1.15, 0.65),
                (-0.5, 0.0),
                (-1.15, -0.65),
                (-0.65, -1.15),
            ],
        };
        let scaled = |(x, y): (f64, f64)| {
            ((x * f64::from(radius)).round() as i32, (y * f64::from(radius)).round() as i32)
        };
        unit.into_iter().map(scaled).collect()
    }
}
