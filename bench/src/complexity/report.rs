//! The results for people: tables, plots, files.

use super::quic::Comparison;
use super::row::{Count, Row, name};
use super::{CASES, ComplexityArguments, Growth, Results};
use crate::chart::{Axis, Chart, Series, Style};
use crate::page::{Page, Section, Table};
use crate::variant::Variant;
use anyhow::Context;
use crypto::Scheme;
use sim::complexity::Case;
use std::fs;
use std::path::Path;

/// What a case is, in words.
fn in_words(case: Case) -> &'static str {
    match case {
        Case::Block => "A block, one behind the other under load",
        Case::Alone => "A transaction alone, until everybody is at rest again",
        Case::LeaderFailure => "A dead leader, when a transaction comes to all others",
        Case::CatchUp => "A replica that comes back after four heights",
    }
}

const LEGEND: &str = "Counts are everybody's together. n replicas, a quorum of q; a certificate has a authenticators (1 as a \
threshold signature, q as a list); a replica makes s signatures for a promise (2 with threshold shares, which carry the signer's own \
signature); a share c of the blocks is certified as a checkpoint. Bytes are those of frames, without the transport's own. Payload: the \
bytes of transactions, once for each copy of a block that is sent; control: all other bytes. Delays: message delays until the client has its receipt.";

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// A count, and what its formula gives where that is something else.
fn beside(count: &Count) -> String {
    match count.expected {
        Some(expected) if number(expected) != number(count.seen) => {
            format!("{} ({})", number(count.seen), number(expected))
        }
        Some(_) | None => number(count.seen),
    }
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn totals<'a>(rows: impl Iterator<Item = &'a Row>) -> Table {
    let line = |row: &Row| {
        vec![
            row.variant.name().to_owned(),
            row.scheme.clone(),
            row.replicas.to_string(),
            number(row.messages),
            number(row.payload_bytes),
            number(row.bytes - row.payload_bytes),
            number(row.authenticators),
            beside(&row.signed),
            beside(&row.verified),
            beside(&row.pairings),
            row.delays.as_ref().map_or(String::new(), beside),
        ]
    };
    Table {
        header: header(&[
            "protocol",
            "scheme",
            "n",
            "messages",
            "payload B",
            "control B",
            "authenticators",
            "signed",
            "verified",
            "pairings",
            "delays",
        ]),
        rows: rows.map(line).collect(),
    }
}

/// The kinds of one row, each beside its formula.
fn terms(row: &Row) -> Table {
    let formula = |count: &Count| {
        let bound = if count.at_least { "≥ " } else { "" };
        count.formula.map_or(String::new(), |text| format!("{bound}{text}"))
    };
    let value = |count: &Count| count.expected.map_or(String::new(), number);
    let line = |kind: &super::row::Kind| {
        vec![
            kind.kind.clone(),
            number(kind.messages.seen),
            formula(&kind.messages),
            value(&kind.messages),
            number(kind.bytes),
            number(kind.authenticators.seen),
            formula(&kind.authenticators),
            value(&kind.authenticators),
        ]
    };
    Table {
        header: header(&["kind", "messages", "formula", "is", "bytes", "authenticators", "formula", "is"]),
        rows: row.kinds.iter().map(line).collect(),
    }
}

fn growth_table(growths: &[Growth]) -> Table {
    let line = |growth: &Growth| {
        vec![
            growth.variant.name().to_owned(),
            growth.scheme.clone(),
            growth.case.to_owned(),
            format!("{:.3} ± {:.3}", growth.measured.slope, growth.measured.half_width),
            format!("{:.3}", growth.formula.slope),
        ]
    };
    Table {
        header: header(&["protocol", "scheme", "case", "exponent, 95 %", "of the formula"]),
        rows: growths.iter().map(line).collect(),
    }
}

fn quic_table(comparisons: &[Comparison]) -> Table {
    let line = |comparison: &Comparison| {
        vec![
            comparison.variant.name().to_owned(),
            comparison.scheme.clone(),
            comparison.replicas.to_string(),
            comparison.messages.values().sum::<u64>().to_string(),
            comparison.simulated.values().sum::<u64>().to_string(),
            format!("{} of {}", comparison.equal, comparison.transactions),
            number(comparison.bytes.round()),
            number(comparison.udp_bytes.round()),
            number(comparison.datagrams),
        ]
    };
    Table {
        header: header(&[
            "protocol",
            "scheme",
            "n",
            "messages",
            "simulated",
            "just those",
            "our bytes",
            "UDP bytes",
            "datagrams",
        ]),
        rows: comparisons.iter().map(line).collect(),
    }
}

/// Prints everything that is not one line for each kind of each network: of those, the largest committee.
pub fn print(results: &Results) {
    println!("{}\n", LEGEND);
    for section in sections(results) {
        match section {
            Section::Heading(text) => println!("{text}"),
            Section::Paragraph(text) | Section::Code(text) => println!("{text}\n"),
            Section::Table(table) => println!("{}\n", table.text()),
            Section::Chart(_) => {}
        }
    }
}

fn sections(results: &Results) -> Vec<Section> {
    let mut sections = Vec::new();
    for case in CASES {
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.case == name(case)).collect();
        if rows.is_empty() {
            continue;
        }
        sections.push(Section::Heading(in_words(case).to_owned()));
        sections.push(Section::Table(totals(rows.iter().copied())));
        sections.extend(charts(&rows, case).into_iter().map(Section::Chart));
        let largest =
            rows.iter().filter(|row| row.scheme != Scheme::Ed25519.to_string()).map(|row| row.replicas);
        let Some(largest) = largest.max() else { continue };
        let close = |row: &&&Row| row.replicas + 1 >= largest && row.scheme != Scheme::Ed25519.to_string();
        for row in rows.iter().filter(close) {
            sections.push(Section::Paragraph(format!("{}, term by term:", row.subject())));
            sections.push(Section::Table(terms(row)));
        }
    }
    if !results.growths.is_empty() {
        sections.push(Section::Heading("How messages grow with n − 1".to_owned()));
        sections.push(Section::Table(growth_table(&results.growths)));
    }
    if !results.quic.is_empty() {
        sections.push(Section::Heading("The same over QUIC, a transaction alone".to_owned()));
        sections.push(Section::Table(quic_table(&results.quic)));
    }
    sections.push(Section::Paragraph(match results.deviations.as_slice() {
        [] => {
            "Every count is within 5 % of its formula, and every exponent within 0.05 of that of its formula."
                .to_owned()
        }
        deviations => deviations.join("\n"),
    }));
    sections
}

/// Of a plot: the stem of its file's name, what it shows, and where that is in a row.
type Quantity = (&'static str, &'static str, fn(&Row) -> f64);

/// One plot for each quantity that grows, with threshold certificates.
fn charts(rows: &[&Row], case: Case) -> Vec<Chart> {
    let quantities: [Quantity; 3] = [
        ("messages", "messages", |row| row.messages),
        ("control-bytes", "control bytes", |row| row.bytes - row.payload_bytes),
        ("verified", "authenticators verified", |row| row.verified.seen),
    ];
    let chart = |(stem, label, of): Quantity| {
        let of_variant = |variant: Variant| {
            let mine = rows
                .iter()
                .filter(move |row| row.variant == variant && row.scheme != Scheme::Ed25519.to_string());
            let points = mine.clone().map(|row| (row.replicas as f64, of(row))).collect();
            let measured = Series { name: variant.name().to_owned(), points, style: Style::Measured };
            let explained = mine.map(|row| (row.replicas as f64, row.explained().1)).collect();
            let formula =
                Series { name: variant.name().to_owned(), points: explained, style: Style::Formula };
            // Only messages have a formula for their sum.
            [Some(measured), (stem == "messages").then_some(formula)].into_iter().flatten()
        };
        Chart {
            name: format!("{}-{stem}", name(case)),
            title: format!("{}: {label}", in_words(case)),
            x: Axis { label: "replicas".into(), logarithmic: true },
            y: Axis { label: label.to_owned(), logarithmic: true },
            series: Variant::ALL.into_iter().flat_map(of_variant).filter(|s| !s.points.is_empty()).collect(),
            marks: Vec::new(),
        }
    };
    quantities.into_iter().map(chart).filter(drawable).collect()
}

/// Whether there is something to draw a line through.
fn drawable(chart: &Chart) -> bool {
    chart.series.iter().any(|series| series.points.iter().filter(|(_, y)| *y > 0.0).count() >= 2)
}

fn page(results: &Results) -> Page {
    let commit = results.commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit}"));
    let mut all = vec![
        Section::Paragraph(format!("Counted on {}{commit}, by this command:", results.machine)),
        Section::Code(results.command.clone()),
        Section::Paragraph(LEGEND.to_owned()),
    ];
    all.extend(sections(results));
    Page { title: "Message complexity, protocol against protocol".into(), sections: all }
}

/// A line for each kind of message of each case.
fn lines(results: &Results) -> Table {
    let line = |row: &Row, kind: &super::row::Kind| {
        let plain = |value: f64| format!("{value}");
        let expected = |count: &Count| count.expected.map_or(String::new(), plain);
        vec![
            row.variant.name().to_owned(),
            row.scheme.clone(),
            row.replicas.to_string(),
            row.case.to_owned(),
            kind.kind.clone(),
            plain(kind.messages.seen),
            expected(&kind.messages),
            plain(kind.bytes),
            plain(kind.authenticators.seen),
            expected(&kind.authenticators),
        ]
    };
    Table {
        header: header(&[
            "protocol",
            "scheme",
            "replicas",
            "case",
            "kind",
            "messages",
            "messages_expected",
            "bytes",
            "authenticators",
            "authenticators_expected",
        ]),
        rows: results.rows.iter().flat_map(|row| row.kinds.iter().map(move |kind| line(row, kind))).collect(),
    }
}

/// Writes the files that are wanted.
///
/// # Errors
/// If one cannot be written.
pub fn write(arguments: &ComplexityArguments, results: &Results) -> anyhow::Result<()> {
    let put = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &arguments.json {
        put(path, format!("{}\n", serde_json::to_string_pretty(results)?))?;
    }
    if let Some(path) = &arguments.csv {
        put(path, lines(results).csv())?;
    }
    if let Some(path) = &arguments.html {
        put(path, page(results).html()?)?;
    }
    let plots = || {
        sections(results).into_iter().filter_map(|section| match section {
            Section::Chart(chart) => Some(chart),
            _ => None,
        })
    };
    let draw = |dir: &Path| -> anyhow::Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        plots().try_for_each(|chart| put(&dir.join(format!("{}.svg", chart.name)), chart.svg()?))
    };
    if let Some(dir) = &arguments.svg {
        draw(dir)?;
    }
    if let Some(path) = &arguments.markdown {
        let dir = path.with_extension("");
        draw(&dir)?;
        let link = dir.file_name().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        put(path, page(results).markdown(&link))?;
    }
    Ok(())
}
