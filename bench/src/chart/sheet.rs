//! Where everything of a chart is, in pixels from its upper left corner.

use super::look::{Look, NEUTRAL};
use super::scale::{Scale, Tick, drawable};
use super::words::{shortened, width, wrapped};
use super::{Chart, Curve, Style};

pub(super) const WIDTH: f64 = 800.0;
const PLOT_HEIGHT: f64 = 360.0;
pub(super) const MARGIN: f64 = 14.0;
/// From the plot to the right edge: room for half of the last label.
pub(super) const RIGHT: f64 = 28.0;
pub(super) const TICK: f64 = 5.0;

pub(super) const TITLE_FONT: f64 = 17.0;
pub(super) const FONT: f64 = 14.0;
/// From one line of text to the next, in font sizes.
pub(super) const LINE: f64 = 1.4;

/// Length of a line in the legend.
pub(super) const SAMPLE: f64 = 40.0;
/// From a line or a sample to its text.
pub(super) const GAP: f64 = 8.0;
const COLUMN_GAP: f64 = 24.0;

/// The places of the texts, and of the plot between them.
pub(super) struct Sheet {
    /// Lines of the title.
    pub title: Vec<String>,
    pub flags: Vec<Flag>,
    /// The legend, from left to right and then downwards.
    pub entries: Vec<Entry>,
    /// How many of its entries stand side by side, and from one to the next.
    columns: usize,
    column_width: f64,
    /// Edges of the plot.
    pub top: f64,
    pub bottom: f64,
    pub left: f64,
    /// From the left edge to the plot, without the margin: ticks, their labels, and that of the axis.
    pub beside: f64,
    /// From the plot to the legend: the same for the axis below.
    pub below: f64,
    /// Of the whole.
    pub height: f64,
}

/// A mark and its text, which stands above the plot beside the mark's line.
pub(super) struct Flag {
    pub at: f64,
    pub text: String,
    /// Where the text begins and ends.
    pub extent: (f64, f64),
    /// The text stands to the left of the line, as there is no room to its right.
    pub leftwards: bool,
    /// Rows above the plot, from zero upwards.
    pub row: usize,
}

/// An entry of the legend.
pub(super) struct Entry {
    pub name: String,
    pub look: Look,
    pub style: Style,
    /// Whether a marker is on the line.
    pub marked: bool,
}

impl Sheet {
    pub(super) fn new(chart: &Chart, curves: &[Curve<'_>], x: &Scale, y: &Scale) -> Sheet {
        let labels = y.ticks.iter().map(|Tick { label, .. }| width(label, FONT)).fold(0.0, f64::max);
        let beside = FONT * LINE + labels + 3.0 * TICK;
        let left = MARGIN + beside;
        let title = wrapped(&chart.title, TITLE_FONT, WIDTH - left - MARGIN);
        let flags = flags(chart, x, left);
        let rows = flags.iter().map(|flag| flag.row + 1).max().unwrap_or(0);
        let top = MARGIN + title.len() as f64 * TITLE_FONT * LINE + rows as f64 * FONT * LINE + GAP;
        let entries = entries(curves);
        let widest = entries.iter().map(|entry| width(&entry.name, FONT)).fold(0.0, f64::max);
        let column_width = SAMPLE + GAP + widest + COLUMN_GAP;
        let columns = (((WIDTH - left - MARGIN + COLUMN_GAP) / column_width) as usize).max(1);
        let below = 2.4 * FONT + 2.0 * TICK;
        let bottom = top + PLOT_HEIGHT;
        let height =
            bottom + below + 2.0 * GAP + entries.len().div_ceil(columns) as f64 * FONT * LINE + MARGIN;
        Sheet {
            title,
            flags,
            entries,
            columns,
            column_width,
            top,
            bottom,
            left,
            beside,
            below,
            height: height.ceil(),
        }
    }

    /// Where an entry of the legend begins, half-way up.
    pub(super) fn entry(&self, index: usize) -> (f64, f64) {
        let (row, place) = (index / self.columns, index % self.columns);
        (
            self.left + place as f64 * self.column_width,
            self.bottom + self.below + 2.0 * GAP + (row as f64 + 0.5) * FONT * LINE,
        )
    }
}

/// The marks with their texts, such that no text covers another and no line crosses one, unless they are too many for that.
fn flags(chart: &Chart, x: &Scale, left: f64) -> Vec<Flag> {
    let marks = chart.marks.iter().filter(|(at, _)| drawable(*at, chart.x.logarithmic));
    let flag = |(at, text): &(f64, String)| {
        let at = left + x.share(*at) * (WIDTH - left - RIGHT);
        let text = shortened(text, FONT, WIDTH / 2.0);
        let length = width(&text, FONT);
        let leftwards = at + GAP / 2.0 + length > WIDTH - MARGIN;
        let from = if leftwards { at - GAP / 2.0 - length } else { at + GAP / 2.0 };
        Flag { at, text, leftwards, extent: (from, from + length), row: 0 }
    };
    let mut waiting: Vec<Flag> = marks.map(flag).collect();
    // A line crosses the rows below its text. So the farther a text is from the side to which texts extend, the higher it goes, and
    // those that extend leftwards go over all others.
    waiting.sort_by(|one, other| {
        let sides = one.leftwards.cmp(&other.leftwards);
        let rightmost = other.at.total_cmp(&one.at);
        sides.then(if one.leftwards { rightmost.reverse() } else { rightmost })
    });
    let mut flags: Vec<Flag> = Vec::new();
    for mut flag in waiting {
        let free = |row: &usize| flags.iter().all(|other| flag.fits(*row, other));
        flag.row = (0..=flags.len()).find(free).unwrap_or(flags.len());
        flags.push(flag);
    }
    flags
}

impl Flag {
    /// Whether it may stand in a row, as far as another flag is concerned.
    fn fits(&self, row: usize, other: &Flag) -> bool {
        let within = |at: f64, (from, to): (f64, f64)| from - GAP < at && at < to + GAP;
        let apart = self.extent.1 + GAP < other.extent.0 || other.extent.1 + GAP < self.extent.0;
        (row != other.row || apart)
            && (row > other.row || !within(other.at, self.extent))
            && (row < other.row || !within(self.at, other.extent))
    }
}

/// What the legend says. A formula beside what was measured has no entry of its own, as one says for all what dashes mean.
fn entries(curves: &[Curve<'_>]) -> Vec<Entry> {
    let shown = || curves.iter().filter(|curve| !curve.lines.is_empty());
    let mut entries: Vec<Entry> = Vec::new();
    let mut beside_measured = false;
    for curve in shown() {
        let alike = |other: &Curve<'_>| other.name == curve.name && other.style != Style::Formula;
        if curve.style == Style::Formula && shown().any(alike) {
            beside_measured = true;
            continue;
        }
        let name = shortened(curve.name, FONT, WIDTH * 0.75);
        if !entries.iter().any(|entry| entry.name == name && entry.style == curve.style) {
            let marked = !curve.markers.is_empty();
            entries.push(Entry { name, look: curve.look, style: curve.style, marked });
        }
    }
    if beside_measured {
        entries.push(Entry {
            name: "formula".to_owned(),
            look: NEUTRAL,
            style: Style::Formula,
            marked: false,
        });
    }
    entries
}
