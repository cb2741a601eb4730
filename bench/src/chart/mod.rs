//! Line charts as SVG text, for a screen and for paper.
//!
//! plotters places and draws. What a reader notices is decided here, since its defaults are made for other ends: the ranges and
//! ticks of the axes, colours and markers that a black-and-white print keeps apart, and a legend that covers no data.

mod drawing;
mod look;
mod scale;
mod sheet;
mod words;

use anyhow::bail;
use drawing::Drawing;
use look::Look;
use scale::{Scale, drawable};
use sheet::Sheet;
pub(crate) use words::escaped;

/// Series that share two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The name of its file, without the ending.
    pub name: String,
    /// What it shows, above it. May take several lines.
    pub title: String,
    /// What is chosen, or the time.
    pub x: Axis,
    /// What is measured. Linear, it includes zero, so that heights can be compared.
    pub y: Axis,
    /// What is drawn. Those of one name have one colour.
    pub series: Vec<Series>,
    /// Moments at which something happened: the value of x, and a few words.
    pub marks: Vec<(f64, String)>,
}

/// One of the axes.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it counts, with its unit: "latency, ms".
    pub label: String,
    /// Equal distances are equal ratios. Values that are not above zero are left out.
    pub logarithmic: bool,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// Values of x and y, in the order in which they are connected. One that cannot be drawn is left out, and breaks the line.
    pub points: Vec<(f64, f64)>,
    /// How they are drawn.
    pub style: Style,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A solid line with a marker at each point.
    Measured,
    /// A broad dashed line without markers, in the colour of the measured series of the same name if there is one. It is straight
    /// between points, so that a curved formula needs more of them than were measured.
    Formula,
    /// A value that holds from its x until the next one's; the last holds as long as the one before it.
    Steps,
}

impl Chart {
    /// The picture: a document in SVG whose natural size is 800 by about 500 pixels.
    ///
    /// # Errors
    /// If no point can be drawn.
    pub fn svg(&self) -> anyhow::Result<String> {
        let curves = self.curves();
        if curves.iter().all(|curve| curve.lines.is_empty()) {
            let logarithmic = self.x.logarithmic || self.y.logarithmic;
            let condition =
                if logarithmic { "finite and, on a logarithmic axis, above zero" } else { "finite" };
            let count: usize = self.series.iter().map(|series| series.points.len()).sum();
            bail!(
                "the chart {:?} has nothing to draw: it was given {count} points, and none is {condition}",
                self.name
            );
        }
        let (mut x, y) = self.scales(&curves);
        let sheet = Sheet::new(self, &curves, &x, &y);
        x.thin(sheet::WIDTH - sheet.left - sheet::RIGHT, sheet::FONT);
        Drawing { chart: self, curves: &curves, sheet: &sheet, x: &x, y: &y }.svg()
    }

    /// What is left of the series once points that cannot be drawn are left out, each with its look.
    fn curves(&self) -> Vec<Curve<'_>> {
        let mut names: Vec<&str> = Vec::new();
        let mut curves = Vec::new();
        let steps = self.series.iter().filter(|series| series.style == Style::Steps).count();
        for Series { name, points, style } in &self.series {
            let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            let parts = points
                .split(|(x, y)| !drawable(*x, self.x.logarithmic) || !drawable(*y, self.y.logarithmic))
                .filter(|part| !part.is_empty());
            let mut curve = Curve {
                name,
                style: *style,
                lines: Vec::new(),
                markers: Vec::new(),
                look: Look::new(number),
            };
            for part in parts {
                match style {
                    // Without a second point there is no line to be seen.
                    _ if part.len() == 1 => curve.markers.extend(part),
                    Style::Measured => curve.markers.extend(part),
                    // Several are told apart in a print without colours.
                    Style::Steps if steps > 1 => curve.markers.extend(sparse(part, number, steps)),
                    Style::Steps | Style::Formula => {}
                }
                curve.lines.push(if *style == Style::Steps { staircase(part) } else { part.to_vec() });
            }
            curves.push(curve);
        }
        curves
    }

    fn scales(&self, curves: &[Curve<'_>]) -> (Scale, Scale) {
        let points = || curves.iter().flat_map(|curve| curve.lines.iter().flatten());
        let measured = curves.iter().filter(|curve| curve.style == Style::Measured);
        let measured: Vec<f64> =
            measured.flat_map(|curve| curve.lines.iter().flatten().map(|(x, _)| *x)).collect();
        let marks = self.marks.iter().map(|(at, _)| *at).filter(|at| drawable(*at, self.x.logarithmic));
        let across: Vec<f64> = points().map(|(x, _)| *x).chain(marks).collect();
        let upwards: Vec<f64> = points().map(|(_, y)| *y).collect();
        let x = Scale::across(&across, &measured, self.x.logarithmic);
        (x, Scale::upwards(&upwards, self.y.logarithmic))
    }
}

/// A series as it is drawn.
struct Curve<'a> {
    name: &'a str,
    style: Style,
    /// Unbroken lines of at least one point.
    lines: Vec<Vec<(f64, f64)>>,
    markers: Vec<(f64, f64)>,
    look: Look,
}

/// About eight of the points, and for each series others than for those around it.
fn sparse(points: &[(f64, f64)], number: usize, of: usize) -> impl Iterator<Item = &(f64, f64)> {
    let every = points.len().div_ceil(8);
    points.iter().skip(every * (2 * (number % of) + 1) / (2 * of)).step_by(every)
}

/// The corners of steps. A single point stays one, since nothing says how long it holds.
fn staircase(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut corners = Vec::new();
    for pair in points.windows(2) {
        corners.extend([pair[0], (pair[1].0, pair[0].1)]);
    }
    corners.extend(points.last());
    if let [.., before, last] = points {
        corners.push((last.0 + (last.0 - before.0).max(0.0), last.1));
    }
    corners
}

#[cfg(test)]
mod tests;
