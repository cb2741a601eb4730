use super::drawing::{FORMULA_WIDTH, LINE_WIDTH, width_units};
use super::*;

fn chart(logarithmic: bool, series: Vec<Series>) -> Chart {
    let axis = |label: &str| Axis { label: label.to_owned(), logarithmic };
    Chart {
        name: "messages".to_owned(),
        title: "Messages <per> decision".to_owned(),
        x: axis("replicas"),
        y: axis("messages & more"),
        series,
        marks: Vec::new(),
    }
}

fn series(name: &str, style: Style, points: &[(f64, f64)]) -> Series {
    Series { name: name.to_owned(), points: points.to_vec(), style }
}

/// One series is in the legend once.
const MARKERS_IN_LEGEND: usize = 1;

fn markers(svg: &str) -> usize {
    svg.matches("<polygon").count()
}

/// The colours of lines of this width, in the order in which they are drawn.
fn strokes(svg: &str, pixels: f64) -> Vec<String> {
    let width = format!("stroke-width=\"{}\"", width_units(pixels));
    let lines = svg.lines().filter(|line| line.contains(&width));
    let mut strokes: Vec<String> = lines
        .filter_map(|line| line.split("stroke=\"").nth(1)?.split('"').next().map(str::to_owned))
        .collect();
    strokes.dedup();
    strokes
}

#[test]
fn every_point_has_a_marker() {
    let points = [(4.0, 24.0), (7.0, 84.0), (10.0, 180.0)];
    let svg = chart(true, vec![series("pbft", Style::Measured, &points)]).svg().unwrap();
    assert_eq!(markers(&svg), points.len() + MARKERS_IN_LEGEND);
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\""), "{svg}");
    assert!(svg.trim_end().ends_with("</svg>") && svg.matches("<svg").count() == 1);
    assert!(svg.contains("font-family=\"sans-serif\""));
}

#[test]
fn what_cannot_be_drawn_is_left_out_and_breaks_the_line() {
    let points =
        [(4.0, 24.0), (7.0, 84.0), (10.0, f64::NAN), (13.0, 0.0), (16.0, -1.0), (31.0, f64::INFINITY)];
    let more = [(64.0, 8064.0), (100.0, 19_800.0), (0.0, 5.0), (-4.0, 5.0)];
    let all = [&points[..], &more[..]].concat();
    let width = format!("stroke-width=\"{}\"", width_units(LINE_WIDTH));
    let lines = |svg: &str| svg.matches(&width).count() - 1;
    let svg = chart(true, vec![series("pbft", Style::Measured, &all)]).svg().unwrap();
    assert_eq!((markers(&svg), lines(&svg)), (4 + MARKERS_IN_LEGEND, 2));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    let svg = chart(false, vec![series("pbft", Style::Measured, &all)]).svg().unwrap();
    assert_eq!((markers(&svg), lines(&svg)), (8 + MARKERS_IN_LEGEND, 3));
}

#[test]
fn a_chart_with_nothing_to_draw_is_an_error() {
    for nothing in [vec![], vec![series("pbft", Style::Steps, &[])]] {
        let error = chart(false, nothing).svg().unwrap_err().to_string();
        assert!(error.contains("\"messages\" has nothing to draw: it was given 0 points"), "{error}");
    }
    let zero = vec![series("pbft", Style::Measured, &[(0.0, 5.0), (4.0, f64::NAN)])];
    let error = chart(true, zero.clone()).svg().unwrap_err().to_string();
    assert!(error.contains("2 points, and none is finite and, on a logarithmic axis, above zero"), "{error}");
    chart(false, zero).svg().unwrap();
}

#[test]
fn a_formula_has_the_colour_of_what_was_measured() {
    let points = [(4.0, 24.0), (100.0, 19_800.0)];
    let all = vec![
        series("hotstuff", Style::Measured, &points),
        series("pbft", Style::Formula, &points),
        series("pbft", Style::Measured, &points),
    ];
    let svg = chart(true, all).svg().unwrap();
    let (hotstuff, pbft) = (Look::new(0).colour, Look::new(1).colour);
    let written =
        |colour: plotters::style::RGBColor| format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
    let neutral = written(look::NEUTRAL.colour);
    assert_eq!(strokes(&svg, FORMULA_WIDTH), [written(pbft), neutral]);
    assert_eq!(
        strokes(&svg, LINE_WIDTH),
        [written(hotstuff), written(pbft), written(hotstuff), written(pbft)]
    );
    assert_eq!(svg.matches("pbft\n").count(), 1, "one entry of the legend");
    assert_eq!(svg.matches("formula\n").count(), 1);
}

#[test]
fn a_value_holds_until_the_next() {
    assert_eq!(
        staircase(&[(0.0, 5.0), (1.0, 7.0), (3.0, 2.0)]),
        [(0.0, 5.0), (1.0, 5.0), (1.0, 7.0), (3.0, 7.0), (3.0, 2.0), (5.0, 2.0)]
    );
    assert_eq!(staircase(&[(1.0, 5.0)]), [(1.0, 5.0)]);
}

#[test]
fn several_series_of_steps_have_markers_at_different_places() {
    let points: Vec<(f64, f64)> = (0..120).map(|second| (f64::from(second), 5.0)).collect();
    let one = vec![series("pbft", Style::Steps, &points)];
    assert_eq!(markers(&chart(false, one.clone()).svg().unwrap()), 0);
    let chart = chart(false, [one, vec![series("raft", Style::Steps, &points)]].concat());
    let [pbft, raft] = &chart.curves()[..] else { panic!("two curves") };
    assert_eq!((pbft.markers.len(), raft.markers.len()), (8, 8));
    assert!(pbft.markers.iter().all(|marker| !raft.markers.contains(marker)));
}

#[test]
fn text_is_escaped() {
    let mut chart = chart(false, vec![series("<a> & \u{7}b", Style::Steps, &[(0.0, 1.0), (1.0, 2.0)])]);
    chart.marks = vec![(0.5, "leader <killed>".to_owned()), (f64::NAN, "never".to_owned())];
    let svg = chart.svg().unwrap();
    assert!(svg.contains("&lt;a&gt; &amp; b") && svg.contains("leader &lt;killed&gt;"), "{svg}");
    assert!(
        svg.contains("aria-label=\"Messages &lt;per&gt; decision\"") && svg.contains("messages &amp; more")
    );
    assert!(!svg.contains("never"));
}

#[test]
fn odd_series_are_drawn() {
    let odd: [&[(f64, f64)]; 6] = [
        &[(4.0, 24.0)],
        &[(4.0, 24.0), (4.0, 24.0)],
        &[(4.0, 0.1 + 0.2), (7.0, 0.3)],
        &[(1e-90, 1e-90), (1e90, 1e90)],
        &[(5e-324, 5e-324), (1.0, 1.0)],
        &[(9.0, 1.0), (1.0, 9.0), (5.0, 5.0)],
    ];
    for points in odd {
        for style in [Style::Measured, Style::Formula, Style::Steps] {
            for logarithmic in [false, true] {
                let mut chart = chart(logarithmic, vec![series("pbft", style, points)]);
                chart.marks = vec![(2.0, "a mark outside ".repeat(20)), (2.0, "another".to_owned())];
                let svg = chart.svg().unwrap();
                assert!(svg.contains("<polyline") && !svg.contains("NaN"), "{points:?} {style:?}");
            }
        }
    }
}

#[test]
fn texts_of_marks_do_not_overlap() {
    let mut chart = chart(false, vec![series("pbft", Style::Steps, &[(0.0, 1.0), (30.0, 2.0)])]);
    chart.marks =
        vec![(20.0, "leader killed".to_owned()), (22.0, "leader back".to_owned()), (50.0, "end".to_owned())];
    let pbft = chart.clone();
    let curves = pbft.curves();
    let (x, y) = chart.scales(&curves);
    let rows: Vec<usize> = Sheet::new(&chart, &curves, &x, &y).flags.iter().map(|flag| flag.row).collect();
    assert_eq!(rows, [0, 0, 1], "from the right: the end, back, killed");
    // Without room to its right, a text stands to the left, and above what it would cover there.
    chart.marks = vec![(46.0, "leader killed".to_owned()), (57.0, "and another leader killed".to_owned())];
    let flags = Sheet::new(&chart, &curves, &x, &y).flags;
    assert!(!flags[0].leftwards && flags[1].leftwards && flags[1].extent.1 < flags[1].at);
    assert_eq!((flags[0].row, flags[1].row), (0, 1));
}
