//! Runs ranges of seeds through the simulator.

#[cfg(feature = "mutants")]
mod hunt;

use bft_core::genesis::VoteRouting;
use clap::{Parser, Subcommand};
use crypto::{Digest, Domain, Hasher, ProtocolTag, Scheme};
use sim::twins::{self, Attack};
use sim::{Faults, Outcome, Scenario, Tally, run};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rule that holds however many lie.
const ACCUSED: &str = "no evidence names an honest replica";

/// Simulates whole committees: each seed is one run with its own faults, liars and load.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The engine.
    #[arg(long, default_value = "pbft", global = true, value_parser = engines::named)]
    protocol: ProtocolTag,
    /// Seeds to run, from A up to and not including B.
    #[arg(long, value_name = "A..B", value_parser = parse_range, default_value = "0..100")]
    seeds: Range<u64>,
    /// Size of the committee; each seed's own choice if not given.
    #[arg(long)]
    replicas: Option<usize>,
    /// How many replicas lie; each seed's own choice, up to f, if not given. More than f may stop or fork a run: that is reported,
    /// and only evidence against an honest replica fails.
    #[arg(long)]
    liars: Option<usize>,
    /// Whom PBFT's replicas send their votes to: `all-to-all` or `collector`; each seed's own choice if not given.
    #[arg(long)]
    vote_routing: Option<VoteRouting>,
    /// How certificates are made: `threshold` or `ed25519`. Keyed checksums, which are much faster, if not given.
    #[arg(long)]
    scheme: Option<Scheme>,
    /// Runs at once, each on a thread of its own; one for each core if not given, and one at a time with --trace.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Many more crashes and cut links than usual; some crashes befall all replicas at about the same time.
    #[arg(long)]
    severe: bool,
    /// Break a rule on purpose and run seeds until one fails: names of mutants between commas, `all`, `ordinary` (those that
    /// need no storm of their own), or `list`.
    #[cfg(feature = "mutants")]
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// How many seeds a mutant may survive.
    #[cfg(feature = "mutants")]
    #[arg(long, default_value = "2000")]
    seeds_per_mutant: u64,
    /// Write the summary as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print every event.
    #[arg(long)]
    trace: bool,
}

/// Other things than ranges of seeds.
#[derive(Debug, Subcommand)]
enum Command {
    /// Two copies of a replica under one key, in every combination of leaders and partitions, or in sampled ones.
    Twins {
        /// Rounds of an attack, each with a leader and a partition.
        #[arg(long, default_value = "1")]
        rounds: usize,
        /// Size of the committee; all attacks are enumerated for four only.
        #[arg(long, default_value = "4")]
        replicas: usize,
        /// Attacks that these seeds choose, instead of all.
        #[arg(long, value_name = "A..B", value_parser = parse_range)]
        sample: Option<Range<u64>>,
        /// Of the attacks to run, only one: its number in their order. Prints every event.
        #[arg(long)]
        only: Option<usize>,
    },
}

fn twins(
    protocol: ProtocolTag,
    rounds: usize,
    replicas: usize,
    sample: Option<Range<u64>>,
    only: Option<usize>,
) -> ExitCode {
    let started = Instant::now();
    let attacks: Vec<Attack> = match sample {
        Some(seeds) => seeds.map(|seed| twins::sample(replicas, rounds, seed)).collect(),
        None if replicas == 4 => twins::enumerate(rounds),
        None => {
            eprintln!("attacks on {replicas} replicas are too many to enumerate; use --sample A..B");
            return ExitCode::from(2);
        }
    };
    if only.is_none() {
        // Assertions stop twins often; an honest replica that stops is reported below, and said in full with --only.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let (mut total, mut failed) = (Tally::default(), 0);
    let chosen = attacks.iter().enumerate().filter(|(number, _)| only.is_none_or(|only| only == *number));
    for (number, attack) in chosen {
        let result = std::panic::catch_unwind(|| twins::run(attack, protocol, only.is_some()));
        let why = match result {
            Ok(outcome) => {
                total.add(&outcome.tally);
                outcome.violation.map(|violation| violation.to_string())
            }
            Err(_) => Some("a replica panicked".to_owned()),
        };
        if let Some(why) = why {
            failed += 1;
            println!("attack {number}, {attack:?}: {why}");
        }
    }
    println!(
        "{} attacks, {failed} failed, in {:.1} s; {} events, {} heights, {} view changes",
        attacks.len(),
        started.elapsed().as_secs_f64(),
        total.events,
        total.heights,
        total.views
    );
    for (kind, count) in &total.faults {
        println!("  {count:>10} {kind}");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let parse = |part: &str| part.parse::<u64>().map_err(|error| format!("{part:?}: {error}"));
    match text.split_once("..") {
        Some((from, to)) => Ok(parse(from)?..parse(to)?),
        None => parse(text).map(|seed| seed..seed + 1),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if let Some(Command::Twins { rounds, replicas, sample, only }) = arguments.command.take() {
        return twins(arguments.protocol, rounds, replicas, sample, only);
    }
    let started = Instant::now();
    let mut total = Tally::default();
    let mut failed = Vec::new();
    let mut audits = BTreeMap::new();
    let mut beyond: BTreeMap<String, u64> = BTreeMap::new();
    let Arguments { protocol, replicas, liars, vote_routing, scheme, trace, .. } = arguments;
    let faults = if arguments.severe { Faults::Severe } else { Faults::All };
    let scenario = |seed| {
        let given = Scenario::of_seed(seed);
        Scenario { protocol, replicas, liars, faults, vote_routing, scheme, trace, ..given }
    };
    #[cfg(feature = "mutants")]
    if let Some(mutant) = &arguments.mutant {
        let threads = threads(&arguments);
        return hunt::hunt(mutant, protocol, arguments.seeds_per_mutant, threads, scenario);
    }
    each_seed(&arguments, scenario, |seed, result| {
        let why = match result {
            Ok(outcome) => {
                total.add(&outcome.tally);
                audits.insert(seed, outcome.audit);
                match outcome.violation {
                    // What the protocol does not promise to bear: say what broke, and what evidence was found.
                    Some(violation) if outcome.beyond && violation.rule != ACCUSED => {
                        *beyond.entry(violation.rule.to_owned()).or_default() += 1;
                        None
                    }
                    violation => violation.map(|violation| violation.to_string()),
                }
            }
            Err(_) if arguments.liars.is_some_and(|liars| liars > 1) => {
                *beyond.entry("an assertion stopped a replica".to_owned()).or_default() += 1;
                None
            }
            Err(_) => Some("a replica panicked".to_owned()),
        };
        if let Some(why) = why {
            let replicas = arguments.replicas.map_or(String::new(), |n| format!(" --replicas {n}"));
            println!("seed {seed}: {why}");
            let liars = arguments.liars.map_or(String::new(), |k| format!(" --liars {k}"));
            let scheme = scheme.map_or(String::new(), |scheme| format!(" --scheme {scheme}"));
            let routing = vote_routing.map_or(String::new(), |routing| format!(" --vote-routing {routing}"));
            let severe = if arguments.severe { " --severe" } else { "" };
            println!(
                "  again: cargo run --release -p sim -- --protocol {protocol}{replicas}{liars}{routing}{scheme}{severe} --seeds {seed} --trace"
            );
            failed.push(seed);
        }
    });
    failed.sort_unstable();
    println!("audit digest {}", audit_of_all(&audits));
    for (rule, runs) in &beyond {
        println!("with more than f liars, {runs} runs broke: {rule}");
    }
    summarise(&arguments, &total, &failed, started)
}

fn threads(arguments: &Arguments) -> NonZeroUsize {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    if arguments.trace { NonZeroUsize::MIN } else { arguments.threads.unwrap_or_else(cores) }
}

/// Runs every seed and hands each result to `done` as soon as it is there. A run stays on one thread and shares nothing with
/// another; only the order of the results depends on the threads.
#[allow(clippy::disallowed_methods)]
fn each_seed(
    arguments: &Arguments,
    scenario: impl Fn(u64) -> Scenario + Sync,
    mut done: impl FnMut(u64, thread::Result<Outcome>),
) {
    let threads = threads(arguments);
    let next = AtomicU64::new(arguments.seeds.start);
    let (results, arrivals) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            let (results, scenario, next) = (results.clone(), &scenario, &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seeds.end {
                        break;
                    }
                    let scenario = scenario(seed);
                    let result = std::panic::catch_unwind(|| run(&scenario));
                    results.send((seed, result)).expect("the results are waited for");
                }
            });
        }
        drop(results);
        arrivals.into_iter().for_each(|(seed, result)| done(seed, result));
    });
}

/// What all runs were, in one digest: that of the run if it is one, else over those of the runs in the order of the seeds.
fn audit_of_all(audits: &BTreeMap<u64, Digest>) -> Digest {
    if let (1, Some(audit)) = (audits.len(), audits.values().next()) {
        return *audit;
    }
    let mut all = Hasher::new(Domain::Audit);
    for (seed, audit) in audits {
        all.update(&seed.to_be_bytes());
        all.update(&audit.0);
    }
    all.finish()
}

fn summarise(arguments: &Arguments, total: &Tally, failed: &[u64], started: Instant) -> ExitCode {
    let seeds = arguments.seeds.end.saturating_sub(arguments.seeds.start);
    let seconds = started.elapsed().as_secs_f64();
    let per_minute = seeds as f64 / seconds * 60.0;
    println!(
        "{seeds} seeds, {} failed; {:.1} hours simulated in {seconds:.1} s: {per_minute:.0} seeds a minute",
        failed.len(),
        total.simulated_ms as f64 / 3.6e6
    );
    println!(
        "{} events, {} heights, {} transactions, {} view changes",
        total.events, total.heights, total.transactions, total.views
    );
    for (kind, count) in &total.faults {
        println!("  {count:>10} {kind}");
    }
    if let Some(path) = &arguments.json {
        let summary = serde_json::json!({
            "seeds": seeds, "failed": failed, "seconds": seconds, "seeds_per_minute": per_minute, "total": total,
        });
        if let Err(error) = std::fs::write(path, format!("{summary:#}\n")) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
