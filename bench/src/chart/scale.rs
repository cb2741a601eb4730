//! The range of an axis, and which values are written along it.

use super::words::{number, numbers, width};

/// Magnitudes past which arithmetic on a scale would overflow. No measurement comes near.
const LARGEST: f64 = 1e100;
const SMALLEST: f64 = 1e-100;

/// As many values of x as this are written themselves, in place of round ones.
const CHOSEN: usize = 12;

/// Steps between round values, as many as an axis has room for.
const STEPS: f64 = 6.0;

/// Past so many powers of ten, values between them are not written.
const DECADES: f64 = 2.5;

/// What is left free beside the first and the last marker, as a share of the axis.
const MARGIN: f64 = 0.03;

/// One of the axes, ready to be drawn. Places along it are logarithms if it is logarithmic, and the values themselves if not.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    logarithmic: bool,
    /// First value. Invariant: less than `to`.
    pub from: f64,
    /// Last value.
    pub to: f64,
    /// Values with a label and a line.
    pub ticks: Vec<Tick>,
    /// Values with a fainter line.
    pub fine: Vec<f64>,
}

/// A value that is written along an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub value: f64,
    pub label: String,
}

/// Whether a value has a place on an axis.
pub(super) fn drawable(value: f64, logarithmic: bool) -> bool {
    let least = if logarithmic { SMALLEST } else { -LARGEST };
    (least..=LARGEST).contains(&value)
}

impl Scale {
    /// The axis from left to right. `values` are all that it holds, and `measured` those of markers: if these are few and short, as
    /// the sizes of committees are, then they are what is written, since a reader looks for them.
    pub(super) fn across(values: &[f64], measured: &[f64], logarithmic: bool) -> Scale {
        let (least, largest) = widened(values, logarithmic);
        let mut scale = Scale { logarithmic, from: least, to: largest, ticks: Vec::new(), fine: Vec::new() };
        if !measured.is_empty() {
            let margin = (scale.place(largest) - scale.place(least)) * MARGIN;
            scale.from = scale.value(scale.place(least) - margin);
            scale.to = scale.value(scale.place(largest) + margin);
        }
        let mut chosen = measured.to_vec();
        chosen.sort_by(f64::total_cmp);
        chosen.dedup();
        if (1..=CHOSEN).contains(&chosen.len()) && chosen.iter().all(|value| is_short(*value)) {
            scale.ticks = chosen.into_iter().map(Tick::new).collect();
        } else {
            if !logarithmic && (0.0..largest / 4.0).contains(&least) {
                scale.from = 0.0;
            }
            scale.round_ticks();
        }
        scale
    }

    /// The axis from below upwards. It begins and ends with a round value; linear, it includes zero.
    pub(super) fn upwards(values: &[f64], logarithmic: bool) -> Scale {
        let zero = [0.0];
        let values: Vec<f64> = values.iter().chain(zero.iter().filter(|_| !logarithmic)).copied().collect();
        let (least, largest) = widened(&values, logarithmic);
        let (from, to) = if logarithmic {
            (round_below(least), round_above(largest))
        } else {
            let step = round_step(least, largest);
            ((least / step + 1e-9).floor() * step, (largest / step - 1e-9).ceil() * step)
        };
        let mut scale = Scale { logarithmic, from, to, ticks: Vec::new(), fine: Vec::new() };
        scale.round_ticks();
        scale
    }

    /// Where a value is along the axis.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    /// How far along the axis a value is, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let (from, to) = (self.place(self.from), self.place(self.to));
        (self.place(value) - from) / (to - from)
    }

    fn value(&self, place: f64) -> f64 {
        if self.logarithmic { 10_f64.powf(place) } else { place }
    }

    /// Leaves out ticks whose labels would touch if the axis has this many pixels. The last stays: where the data end says most.
    pub(super) fn thin(&mut self, pixels: f64, font_size: f64) {
        let extent = |tick: &Tick| {
            let middle = self.share(tick.value) * pixels;
            let half = (width(&tick.label, font_size) + 0.5 * font_size) / 2.0;
            (middle - half, middle + half)
        };
        let mut ticks = self.ticks.clone();
        let Some(last) = ticks.pop() else { return };
        let (end, mut taken) = (extent(&last).0, f64::MIN);
        ticks.retain(|tick| {
            let (left, right) = extent(tick);
            let fits = left >= taken && right <= end;
            if fits {
                taken = right;
            }
            fits
        });
        ticks.push(last);
        self.ticks = ticks;
    }

    fn round_ticks(&mut self) {
        let within = |value: &f64| (self.from * (1.0 - 1e-9)..=self.to * (1.0 + 1e-9)).contains(value);
        let decades = (self.to / self.from).log10();
        if self.logarithmic {
            let powers = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
            let times = |factors: &'static [u8]| {
                let values = powers
                    .clone()
                    .flat_map(|power| factors.iter().map(move |factor| decimal(*factor, power)));
                values.filter(within).collect::<Vec<f64>>()
            };
            let every = (decades / 8.0).ceil().max(1.0) as usize;
            let values: Vec<f64> = if decades > DECADES {
                times(&[1]).into_iter().step_by(every).collect()
            } else {
                times(&[1, 2, 5])
            };
            if values.len() >= 3 {
                self.fine = if every == 1 { times(&[2, 3, 4, 5, 6, 7, 8, 9]) } else { times(&[1]) };
                self.ticks = values.into_iter().map(Tick::new).collect();
                return;
            }
        }
        let step = round_step(self.from, self.to);
        let (first, last) = ((self.from / step - 1e-6).ceil() as i64, (self.to / step + 1e-6).floor() as i64);
        let values: Vec<f64> = (first..=last).map(|index| index as f64 * step).collect();
        let labels = numbers(&values, step);
        self.ticks = values.into_iter().zip(labels).map(|(value, label)| Tick { value, label }).collect();
    }
}

impl Tick {
    fn new(value: f64) -> Tick {
        Tick { value, label: number(value) }
    }
}

/// The least and the largest of some values, moved apart if there is next to nothing between them.
fn widened(values: &[f64], logarithmic: bool) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let magnitude = least.abs().max(largest.abs());
    if largest - least > magnitude * 1e-9 && (logarithmic || largest - least > SMALLEST) {
        (least, largest)
    } else if logarithmic {
        (least / 2.0, largest * 2.0)
    } else if magnitude <= SMALLEST {
        (0.0, 1.0)
    } else {
        (least - magnitude / 2.0, largest + magnitude / 2.0)
    }
}

/// Whether a value looks chosen, not measured: four digits at most.
fn is_short(value: f64) -> bool {
    number(value).chars().filter(char::is_ascii_digit).count() <= 4
}

/// A factor times a power of ten, to the last bit. `powi` is not.
fn decimal(factor: u8, power: i32) -> f64 {
    format!("{factor}e{power}").parse().expect("a factor and a power make a number")
}

/// 1, 2 or 5 times a power of ten, such that a range takes no more than `STEPS` of it.
fn round_step(from: f64, to: f64) -> f64 {
    round_above((to - from) / STEPS)
}

/// The largest of 1, 2 and 5 times a power of ten that is not above a value.
fn round_below(value: f64) -> f64 {
    let power = value.log10().floor() as i32;
    let steps = [(5, power), (2, power), (1, power)].map(|(factor, power)| decimal(factor, power));
    steps.into_iter().find(|step| *step <= value * (1.0 + 1e-9)).unwrap_or(steps[2])
}

/// The least of them that is not below it.
fn round_above(value: f64) -> f64 {
    let power = value.log10().floor() as i32;
    let steps =
        [(1, power), (2, power), (5, power), (1, power + 1)].map(|(factor, power)| decimal(factor, power));
    steps.into_iter().find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(steps[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn the_sizes_measured_are_what_the_axis_says() {
        let sizes = [4.0, 7.0, 10.0, 16.0, 31.0, 64.0, 100.0];
        let scale = Scale::across(&sizes, &sizes, true);
        assert_eq!(labels(&scale), ["4", "7", "10", "16", "31", "64", "100"]);
        assert!(scale.from < 4.0 && scale.from > 3.0 && scale.to > 100.0 && scale.to < 120.0, "{scale:?}");
        let rates = [8123.4, 9017.2, 12_345.6];
        assert_eq!(
            labels(&Scale::across(&rates, &rates, false)),
            ["8,000", "9,000", "10,000", "11,000", "12,000"]
        );
    }

    #[test]
    fn a_linear_axis_across_begins_at_zero_if_that_is_near() {
        let begin = |values: &[f64]| Scale::across(values, values, false).from;
        assert_eq!(begin(&[812.3, 11_304.7]), 0.0);
        assert!(begin(&[8123.4, 11_304.7]) > 8000.0);
        assert!(begin(&[-812.3, 11_304.7]) < -812.3);
    }

    #[test]
    fn labels_that_would_touch_are_left_out_and_the_last_stays() {
        let sizes = [4.0, 7.0, 10.0, 16.0, 31.0, 64.0, 100.0];
        let mut scale = Scale::across(&sizes, &sizes, false);
        scale.thin(240.0, 10.0);
        assert_eq!(labels(&scale), ["4", "10", "31", "64", "100"]);
        scale.thin(12.0, 10.0);
        assert_eq!(labels(&scale), ["100"]);
    }

    #[test]
    fn a_long_logarithmic_axis_has_powers_of_ten() {
        let scale = Scale::upwards(&[15.0, 19_800.0], true);
        assert_eq!(labels(&scale), ["10", "100", "1,000", "10,000"]);
        assert_eq!((scale.from, scale.to), (10.0, 20_000.0));
        assert!(scale.fine.contains(&3000.0) && !scale.fine.contains(&30_000.0), "{scale:?}");
        let long = Scale::upwards(&[1e-40, 1e40], true);
        assert!((6..=9).contains(&long.ticks.len()), "{long:?}");
    }

    #[test]
    fn a_short_logarithmic_axis_has_values_between_them() {
        assert_eq!(labels(&Scale::upwards(&[3.0, 180.0], true)), ["2", "5", "10", "20", "50", "100", "200"]);
        assert_eq!(labels(&Scale::upwards(&[6.0, 8.0], true)), ["5", "6", "7", "8", "9", "10"]);
    }

    #[test]
    fn a_linear_axis_upwards_includes_zero_and_ends_round() {
        assert_eq!(labels(&Scale::upwards(&[8100.0, 11_300.0], false))[0], "0");
        assert_eq!(Scale::upwards(&[8100.0, 11_300.0], false).to, 12_000.0);
        assert_eq!(
            labels(&Scale::upwards(&[-3.0, -1.0], false)),
            ["−3.0", "−2.5", "−2.0", "−1.5", "−1.0", "−0.5", "0"]
        );
        assert_eq!(labels(&Scale::upwards(&[0.0], false)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn extremes_have_a_range_and_few_ticks() {
        let extremes: [&[f64]; 8] = [
            &[5.0],
            &[-5.0, -5.0],
            &[1e100, -1e100],
            &[1e-100],
            &[5e-324],
            &[1e9, 1e9 + 1e-6],
            &[1e9, 1e9 + 10.0],
            &[1e-99, 1e100],
        ];
        for values in extremes {
            for logarithmic in [false, true] {
                if !values.iter().all(|value| drawable(*value, logarithmic)) {
                    continue;
                }
                for scale in [Scale::across(values, values, logarithmic), Scale::upwards(values, logarithmic)]
                {
                    let range = scale.place(scale.to) - scale.place(scale.from);
                    assert!(range > 0.0 && range.is_finite(), "{values:?}: {scale:?}");
                    assert!((1..=12).contains(&scale.ticks.len()), "{values:?}: {scale:?}");
                }
            }
        }
    }

    #[test]
    fn what_has_no_place_is_not_drawable() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(!drawable(value, false) && !drawable(value, true), "{value}");
        }
        assert!(drawable(0.0, false) && drawable(-1.0, false));
        assert!(!drawable(0.0, true) && !drawable(-1.0, true) && drawable(0.5, true));
    }
}
