//! Draws what has been decided, with plotters.

use super::look::{INK, Look, NEUTRAL};
use super::scale::Scale;
use super::sheet::{Entry, Flag, Sheet};
use super::sheet::{FONT, GAP, LINE, MARGIN, RIGHT, SAMPLE, TICK, TITLE_FONT, WIDTH};
use super::words::{escaped, one_line};
use super::{Chart, Curve, Style};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;

/// plotters places things at whole numbers, so that its unit here is a tenth of a pixel.
const UNITS: f64 = 10.0;

const MARKER_RADIUS: f64 = 4.6;
pub(super) const LINE_WIDTH: f64 = 1.8;
/// Broad and pale, so that it is seen beneath a measured line that runs along it.
pub(super) const FORMULA_WIDTH: f64 = 4.0;
const FORMULA_OPACITY: f64 = 0.6;
/// Length of dashes and of the gaps between them.
const DASHES: (f64, f64) = (9.0, 6.0);
const MARK_DASHES: (f64, f64) = (4.0, 3.0);

const GRID: RGBColor = RGBColor(208, 208, 208);
const FINE_GRID: RGBColor = RGBColor(236, 236, 236);

/// A chart of which everything is known.
pub(super) struct Drawing<'a> {
    pub chart: &'a Chart,
    pub curves: &'a [Curve<'a>],
    pub sheet: &'a Sheet,
    pub x: &'a Scale,
    pub y: &'a Scale,
}

impl Drawing<'_> {
    pub(super) fn svg(&self) -> anyhow::Result<String> {
        let size = (units(WIDTH), units(self.sheet.height));
        let mut drawn = String::new();
        {
            let backend = SVGBackend::with_string(&mut drawn, (size.0.unsigned_abs(), size.1.unsigned_abs()));
            let root = backend.into_drawing_area();
            root.fill(&WHITE)?;
            for (index, line) in self.sheet.title.iter().enumerate() {
                let place = (self.sheet.left, MARGIN + (index as f64 + 0.5) * TITLE_FONT * LINE);
                write(&root, line, place, font(TITLE_FONT).style(FontStyle::Bold))?;
            }
            let mut plane = self.plane(&root)?;
            self.draw_flags(&root)?;
            // What was measured lies on top.
            let (formulas, others): (Vec<_>, Vec<_>) =
                self.curves.iter().partition(|curve| curve.style == Style::Formula);
            for curve in formulas.into_iter().chain(others) {
                draw_curve(&root, &mut plane, curve)?;
            }
            for (index, entry) in self.sheet.entries.iter().enumerate() {
                draw_entry(&root, entry, self.sheet.entry(index))?;
            }
            root.present()?;
        }
        let (_, body) = drawn.split_once('>').unwrap_or_default();
        // This first tag gives the natural size in pixels, which plotters' own does not.
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" viewBox=\"0 0 {} {}\" \
             stroke-linejoin=\"round\" role=\"img\" aria-label=\"{}\">{body}",
            self.sheet.height,
            size.0,
            size.1,
            escaped(&one_line(&self.chart.title)),
        ))
    }

    /// The axes with their grid and labels.
    fn plane<'a, 'b>(&self, root: &Area<'b>) -> anyhow::Result<Plane<'a, 'b>> {
        let Sheet { top, bottom, beside, below, height, .. } = *self.sheet;
        let area = root.margin(units(top), units(height - bottom - below), units(MARGIN), units(RIGHT));
        let mut plane = ChartBuilder::on(&area)
            .y_label_area_size(units(beside))
            .x_label_area_size(units(below))
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        plane
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(width_units(1.0)))
            .light_line_style(FINE_GRID.stroke_width(width_units(1.0)))
            .axis_style(INK.stroke_width(width_units(1.2)))
            .set_all_tick_mark_size(units(TICK))
            .label_style(font(FONT).color(&INK))
            .axis_desc_style(font(FONT).color(&INK))
            .x_desc(one_line(&self.chart.x.label))
            .y_desc(one_line(&self.chart.y.label))
            .draw()?;
        Ok(plane)
    }

    fn draw_flags(&self, root: &Area<'_>) -> anyhow::Result<()> {
        let row = FONT * LINE;
        let foot = |flag: &Flag| self.sheet.top - flag.row as f64 * row;
        for flag in &self.sheet.flags {
            let line =
                [(units(flag.at), units(self.sheet.bottom)), (units(flag.at), units(foot(flag) - row))];
            let style = NEUTRAL.colour.stroke_width(width_units(1.4));
            root.draw(&DashedPathElement::new(line, units(MARK_DASHES.0), units(MARK_DASHES.1), style))?;
            let (end, side) =
                if flag.leftwards { (flag.extent.1, HPos::Right) } else { (flag.extent.0, HPos::Left) };
            let style = font(FONT).color(&INK).pos(Pos::new(side, VPos::Center));
            root.draw_text(&flag.text, &style, (units(end), units(foot(flag) - row / 2.0)))?;
        }
        Ok(())
    }
}

fn draw_curve<'a>(root: &Area<'a>, plane: &mut Plane<'_, 'a>, curve: &Curve<'_>) -> anyhow::Result<()> {
    let colour = curve.look.colour;
    for line in &curve.lines {
        match curve.style {
            Style::Measured | Style::Steps => {
                plane.draw_series(LineSeries::new(line.clone(), solid(colour)))?
            }
            Style::Formula => {
                let (dash, gap) = (units(DASHES.0), units(DASHES.1));
                plane.draw_series(DashedLineSeries::new(line.clone(), dash, gap, pale(colour)))?
            }
        };
    }
    for point in &curve.markers {
        draw_marker(root, plane.backend_coord(point), curve.look)?;
    }
    Ok(())
}

fn draw_entry(root: &Area<'_>, entry: &Entry, (left, middle): (f64, f64)) -> anyhow::Result<()> {
    let colour = entry.look.colour;
    let line = [(units(left), units(middle)), (units(left + SAMPLE), units(middle))];
    match entry.style {
        Style::Measured | Style::Steps => root.draw(&PathElement::new(line, solid(colour)))?,
        Style::Formula => {
            root.draw(&DashedPathElement::new(line, units(DASHES.0), units(DASHES.1), pale(colour)))?;
        }
    }
    if entry.marked {
        draw_marker(root, (units(left + SAMPLE / 2.0), units(middle)), entry.look)?;
    }
    write(root, &entry.name, (left + SAMPLE + GAP, middle), font(FONT))
}

fn draw_marker(root: &Area<'_>, (x, y): (i32, i32), look: Look) -> anyhow::Result<()> {
    let corners = look.marker.corners(units(MARKER_RADIUS)).into_iter();
    let corners: Vec<(i32, i32)> = corners.map(|(right, down)| (x + right, y + down)).collect();
    Ok(root.draw(&Polygon::new(corners, look.colour.filled()))?)
}

/// Text that begins at a place, half-way up.
fn write(root: &Area<'_>, text: &str, (left, middle): (f64, f64), font: FontDesc<'_>) -> anyhow::Result<()> {
    let style = font.color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    Ok(root.draw_text(text, &style, (units(left), units(middle)))?)
}

fn units(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

pub(super) fn width_units(pixels: f64) -> u32 {
    units(pixels).unsigned_abs()
}

fn solid(colour: RGBColor) -> ShapeStyle {
    colour.stroke_width(width_units(LINE_WIDTH))
}

fn pale(colour: RGBColor) -> ShapeStyle {
    colour.mix(FORMULA_OPACITY).stroke_width(width_units(FORMULA_WIDTH))
}

/// The reader's own font. plotters counts a size from the lowest descender to the highest accent, 1.24 times what SVG does.
fn font(pixels: f64) -> FontDesc<'static> {
    ("sans-serif", pixels * UNITS * 1.24).into_font()
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.share(*value) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return self.fine.clone();
        }
        self.ticks.iter().map(|tick| tick.value).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.value == *value);
        tick.map(|tick| tick.label.clone()).unwrap_or_default()
    }
}
