//! Protocols, schemes and rules beside each other: measured in turns, so that what else the machine does falls on all alike.

use crate::load::{LoadArguments, create, on_network};
use crate::page::Table;
use crate::saturation::{self, Saturation};
use crate::variant::Variant;
use anyhow::Context;
use bft_core::genesis::Limits;
use crypto::Scheme;
use serde::Serialize;
use std::path::Path;

/// One of those that are compared.
#[derive(Clone, Debug, Serialize)]
pub struct Contestant {
    /// Protocol and rule.
    pub variant: Variant,
    /// How certificates are made.
    pub scheme: String,
    /// One for each round.
    pub rounds: Vec<Saturation>,
}

impl Contestant {
    /// The middle one of what the rounds gave.
    fn median(&self, of: impl Fn(&Saturation) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Measures all of them at saturation, in turns, and prints medians and their ratios to the first one's.
///
/// # Errors
/// If a network does not come up or stops serving, or the file cannot be written.
pub fn run(arguments: &LoadArguments, executable: &Path) -> anyhow::Result<()> {
    let schemes =
        if arguments.schemes.is_empty() { vec![arguments.scheme] } else { arguments.schemes.clone() };
    let mut contestants: Vec<(Contestant, Scheme)> = Vec::new();
    for variant in &arguments.compare {
        for scheme in variant.schemes(&schemes) {
            let contestant = Contestant { variant: *variant, scheme: scheme.to_string(), rounds: Vec::new() };
            contestants.push((contestant, scheme));
        }
    }
    for round in 1..=arguments.rounds {
        for (contestant, scheme) in &mut contestants {
            eprintln!(
                "round {round} of {}: {}, {}",
                arguments.rounds,
                contestant.variant.name(),
                contestant.scheme
            );
            contestant.rounds.push(measure(arguments, executable, contestant.variant, *scheme)?);
        }
    }
    let contestants: Vec<Contestant> = contestants.into_iter().map(|(contestant, _)| contestant).collect();
    println!("{}", table(&contestants).text());
    println!(
        "Medians of {} rounds in turns; in parentheses their ratios to the first line's.",
        arguments.rounds
    );
    if let Some(path) = &arguments.json {
        let text = format!("{}\n", serde_json::to_string_pretty(&contestants)?);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(
    arguments: &LoadArguments,
    executable: &Path,
    variant: Variant,
    scheme: Scheme,
) -> anyhow::Result<Saturation> {
    let choice = arguments.choice.of(variant.protocol());
    let own =
        LoadArguments { scheme, choice, replicas: variant.size(arguments.replicas), ..arguments.clone() };
    let large = variant.limits(Limits { block_bytes: 512 << 10, ..Limits::default() });
    on_network(create(&own, executable.to_owned(), large)?, async |consortium, processes| {
        saturation::measure(&own, consortium, processes).await
    })
}

/// A heading, digits behind the point, and where the figure is.
type Column = (&'static str, usize, fn(&Saturation) -> f64);

fn table(contestants: &[Contestant]) -> Table {
    let columns: [Column; 7] = [
        ("tx/s", 0, |s| s.transactions_per_second),
        ("p50 ms", 1, |s| s.latency.p50_ms),
        ("p99 ms", 1, |s| s.latency.p99_ms),
        ("CPU-µs/tx", 1, |s| s.cpu_us_per_transaction),
        ("tx/block", 0, |s| s.transactions_per_block),
        ("pairings/block", 1, |s| s.pairings_per_block),
        ("syncs/block", 2, |s| s.fsyncs_per_block),
    ];
    let header = ["protocol", "scheme"].into_iter().chain(columns.iter().map(|(name, _, _)| *name));
    let line = |contestant: &Contestant| {
        let cell = |(_, digits, of): &Column| {
            let (own, first) = (contestant.median(of), contestants[0].median(of));
            if first == 0.0 {
                format!("{own:.digits$}")
            } else {
                format!("{own:.digits$} ({:.2})", own / first)
            }
        };
        let mut cells = vec![contestant.variant.name().to_owned(), contestant.scheme.clone()];
        cells.extend(columns.iter().map(cell));
        cells
    };
    Table { header: header.map(str::to_owned).collect(), rows: contestants.iter().map(line).collect() }
}
