//! `bench complexity`: what protocols send, sign and verify, counted, beside what their papers say.
//!
//! Counts are those of the production host's accounting, in the simulator for committees of any size and over real QUIC for small ones.

mod fit;
mod formula;
mod quic;
mod report;
mod row;

use crate::variant::Variant;
use anyhow::{Context, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use crypto::Scheme;
use fit::Exponent;
use indicatif::{ProgressBar, ProgressStyle};
use quic::Comparison;
use row::{Row, name};
use serde::Serialize;
use sim::complexity::{Case, Subject, measure};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Sizes of the committees.
const SIZES: [usize; 9] = [4, 7, 10, 16, 25, 31, 49, 64, 100];

/// Those of a run that ends in a minute.
const QUICK_SIZES: [usize; 4] = [4, 7, 10, 16];

/// Sizes that are counted over QUIC as well.
const QUIC_SIZES: [usize; 2] = [4, 7];

/// The largest committee that a genesis may have.
const LARGEST: usize = bft_core::genesis::MAX_REPLICAS;

/// How far an exponent may be off that of its formula.
const TOLERANCE: f64 = 0.05;

const CASES: [Case; 4] = [Case::Block, Case::Alone, Case::LeaderFailure, Case::CatchUp];

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct ComplexityArguments {
    /// A grid that ends in a minute: committees of 4 to 16, and of 4 over QUIC with threshold certificates only.
    #[arg(long)]
    pub quick: bool,
    /// Protocols, with commas between them; all if not given.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub protocols: Vec<Variant>,
    /// How certificates are made: threshold, ed25519, or both if not given.
    #[arg(long, value_delimiter = ',', value_name = "NAMES",
        value_parser = PossibleValuesParser::new(["threshold", "ed25519"]).try_map(|word| word.parse::<Scheme>()))]
    pub schemes: Vec<Scheme>,
    /// Sizes of the committee, with commas between them. Raft takes the next odd number.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub sizes: Vec<usize>,
    /// Do not start replica processes to compare with.
    #[arg(long)]
    pub no_quic: bool,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a line for each kind of message of each case as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write plots, one file each, into this directory.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Write one self-contained page with tables and plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the same as Markdown, and the plots beside it.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// How the messages of a case grow with the number of the other replicas.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// Protocol and rule.
    pub variant: Variant,
    /// How certificates are made.
    pub scheme: String,
    /// What was measured.
    pub case: &'static str,
    /// Of the messages counted that have a formula, in n − 1.
    pub measured: Exponent,
    /// Of what the formula gives for the same sizes.
    pub formula: Exponent,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// The command that gives it.
    pub command: String,
    /// Where it was measured.
    pub machine: String,
    /// The commit of the program, if it is known.
    pub commit: Option<String>,
    /// One for each case of each network.
    pub rows: Vec<Row>,
    /// How they grow.
    pub growths: Vec<Growth>,
    /// The same counts over QUIC.
    pub quic: Vec<Comparison>,
    /// What is not as it should be.
    pub deviations: Vec<String>,
}

/// One network to simulate.
type Point = (Variant, Scheme, usize);

/// Measures, prints, writes what is wanted; with `executable` replica processes are started.
///
/// # Errors
/// If a count is off its formula, an exponent off that of the formula, or QUIC and simulator differ; if a network does not work, or a
/// file cannot be written.
pub fn run(arguments: &ComplexityArguments, executable: &Path) -> anyhow::Result<()> {
    let points = points(arguments)?;
    let rows = simulate(&points)?;
    let growths = growths(&rows);
    let mut quic = Vec::new();
    for point in points.iter().filter(|point| goes_over_quic(arguments, point)) {
        let row = rows.iter().find(|row| is_of(row, point) && row.case == name(Case::Alone));
        quic.push(quic::compare(executable, *point, row.context("every case was simulated")?)?);
    }
    let deviations = deviations(&rows, &growths, &quic);
    let results = Results {
        command: crate::machine::command(),
        machine: crate::machine::describe(),
        commit: crate::machine::commit(),
        rows,
        growths,
        quic,
        deviations,
    };
    report::print(&results);
    report::write(arguments, &results)?;
    if !results.deviations.is_empty() {
        bail!("not as the formulas say:\n  {}", results.deviations.join("\n  "));
    }
    Ok(())
}

fn points(arguments: &ComplexityArguments) -> anyhow::Result<Vec<Point>> {
    let chosen =
        |given: &[usize], all: &[usize]| if given.is_empty() { all.to_vec() } else { given.to_vec() };
    let sizes = chosen(&arguments.sizes, if arguments.quick { &QUICK_SIZES } else { &SIZES });
    for size in &sizes {
        ensure!((4..LARGEST).contains(size), "--sizes names {size}; from 4 to {} is possible", LARGEST - 1);
    }
    let variants =
        if arguments.protocols.is_empty() { Variant::ALL.to_vec() } else { arguments.protocols.clone() };
    let schemes = if arguments.schemes.is_empty() {
        vec![Scheme::Threshold, Scheme::Ed25519]
    } else {
        arguments.schemes.clone()
    };
    let mut points = Vec::new();
    for variant in variants {
        for scheme in variant.schemes(&schemes) {
            points.extend(sizes.iter().map(|size| (variant, scheme, variant.size(*size))));
        }
    }
    points.sort_unstable_by_key(|(variant, scheme, size)| (*variant, scheme.to_string(), *size));
    points.dedup();
    Ok(points)
}

fn goes_over_quic(arguments: &ComplexityArguments, (variant, scheme, size): &Point) -> bool {
    let sizes = QUIC_SIZES.map(|size| variant.size(size));
    let quick = *size == sizes[0] && *scheme != Scheme::Ed25519;
    !arguments.no_quic && if arguments.quick { quick } else { sizes.contains(size) }
}

fn is_of(row: &Row, (variant, scheme, size): &Point) -> bool {
    row.variant == *variant && row.scheme == scheme.to_string() && row.replicas == *size
}

/// Simulates each network in each case, as many at once as there are cores: the largest first, which take longest.
fn simulate(points: &[Point]) -> anyhow::Result<Vec<Row>> {
    let mut jobs: Vec<(Point, Case)> =
        points.iter().flat_map(|point| CASES.into_iter().map(|case| (*point, case))).collect();
    jobs.sort_by_key(|((_, _, size), _)| std::cmp::Reverse(*size));
    let bar = ProgressBar::new(jobs.len() as u64);
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos} of {len}, {msg}, {eta} to go");
    bar.set_style(style.context("the template is valid")?);
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> anyhow::Result<()> {
        while let Some(((variant, scheme, replicas), case)) = jobs.get(next.fetch_add(1, Relaxed)).copied() {
            bar.set_message(format!("{} {scheme} n = {replicas}", variant.name()));
            let (protocol, chain, vote_routing) =
                (variant.protocol(), variant.chain(), variant.vote_routing());
            let subject = Subject { protocol, chain, vote_routing, scheme, replicas };
            let cost = measure(&subject, case)
                .with_context(|| format!("{} {scheme}, n = {replicas}, {}", variant.name(), name(case)))?;
            rows.lock()
                .expect("no thread panics with it")
                .push(Row::new(variant, scheme, replicas, case, &cost));
            bar.inc(1);
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(done) => done,
            Err(_) => bail!("a simulation panicked; the output above names the invariant that is broken"),
        })
    })?;
    bar.finish_and_clear();
    let mut rows = rows.into_inner().expect("no thread panicked with it");
    let order = |row: &Row| CASES.iter().position(|case| name(*case) == row.case);
    rows.sort_by_key(|row| (row.variant, row.scheme.clone(), order(row), row.replicas));
    Ok(rows)
}

/// The exponents of each protocol, scheme and case that has formulas, where there are three sizes at least.
fn growths(rows: &[Row]) -> Vec<Growth> {
    let same = |a: &Row, b: &Row| (a.variant, &a.scheme, a.case) == (b.variant, &b.scheme, b.case);
    let grown = rows.chunk_by(same).filter(|rows| rows.len() >= 3);
    let growth = |rows: &[Row]| {
        let points = |of: fn((f64, f64)) -> f64| -> Vec<(f64, f64)> {
            rows.iter().map(|row| (row.replicas as f64 - 1.0, of(row.explained()))).collect()
        };
        let (measured, formula) =
            (fit::exponent(&points(|both| both.0))?, fit::exponent(&points(|both| both.1))?);
        let Row { variant, scheme, case, .. } = &rows[0];
        Some(Growth { variant: *variant, scheme: scheme.clone(), case, measured, formula })
    };
    grown.filter_map(growth).collect()
}

fn deviations(rows: &[Row], growths: &[Growth], quic: &[Comparison]) -> Vec<String> {
    let of_counts = rows.iter().flat_map(Row::deviations);
    let of_growth = growths.iter().filter_map(|growth| {
        let Growth { variant, scheme, case, measured, formula } = growth;
        let off = (measured.slope - formula.slope).abs() > TOLERANCE;
        off.then(|| {
            format!(
                "{}, {scheme}, {case}: messages grow with exponent {:.3}, and by the formula with {:.3}",
                variant.name(),
                measured.slope,
                formula.slope
            )
        })
    });
    let of_quic = quic.iter().filter_map(Comparison::deviation);
    of_counts.chain(of_growth).chain(of_quic).collect()
}
