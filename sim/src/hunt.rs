//! Runs seeds with a rule broken until one of them fails.

use bft_core::mutants::Mutant;
use crypto::ProtocolTag;
use sim::adversary::Behaviour;
use sim::{Faults, Scenario, protocol, run};
use std::num::NonZeroUsize;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// How a mutant was found out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kill {
    seed: u64,
    rule: String,
    what: String,
}

/// Where a mutant is hunted, if the ordinary swarm needs too many seeds: what all f liars do, if that is not the seed's choice,
/// and what goes wrong besides.
fn ground(mutant: Mutant) -> Option<(Option<Behaviour>, Faults)> {
    Some(match mutant {
        Mutant::CommitQuorum | Mutant::ViewChangeQuorum | Mutant::ShortNewView => {
            (Some(Behaviour::Forget), Faults::Severe)
        }
        Mutant::PreparedUnproven | Mutant::CommittedUnproven | Mutant::FutureTime => {
            (Some(Behaviour::Equivocate), Faults::All)
        }
        Mutant::Unsigned | Mutant::AnyLeader => (Some(Behaviour::Flood), Faults::All),
        Mutant::JoinOne | Mutant::HighUnproven => (Some(Behaviour::Mutate), Faults::All),
        Mutant::LockIgnored | Mutant::NeverLocked | Mutant::ReportsIgnored => {
            (Some(Behaviour::Forget), Faults::All)
        }
        Mutant::ChainUnproven
        | Mutant::BlockOfOtherEntry
        | Mutant::OfferUnproven
        | Mutant::StretchUnproven
        | Mutant::StateOfAnyRoot => (Some(Behaviour::Poison), Faults::All),
        Mutant::LowestViewWins
        | Mutant::LowestCheckpointWins
        | Mutant::PlanStopsAtHoles
        | Mutant::FlushedEarly
        | Mutant::HeadWithoutCertificate
        | Mutant::StartWithoutPrepared
        | Mutant::StartWithoutViewChanges
        | Mutant::PreparedDropped => (None, Faults::Severe),
        Mutant::ForgottenStays => (None, Faults::OldCopies),
        Mutant::PromiseUnproven => (Some(Behaviour::Mutate), Faults::All),
        _ => return None,
    })
}

/// The same for the table.
fn ground_in_words(mutant: Mutant) -> String {
    match ground(mutant) {
        None => "any".to_owned(),
        Some((None, faults)) => format!("{faults:?}"),
        Some((Some(behaviour), Faults::All)) => format!("{behaviour:?}"),
        Some((Some(behaviour), faults)) => format!("{behaviour:?}, {faults:?}"),
    }
}

/// `--mutant list`, `all`, `ordinary` (those that need no ground of their own) or names between commas: what there is for
/// `protocol`, or which seeds kill them. `scenario` makes a run of a seed.
pub fn hunt(
    name: &str,
    protocol: ProtocolTag,
    seeds: u64,
    threads: NonZeroUsize,
    scenario: impl Fn(u64) -> Scenario + Sync,
) -> ExitCode {
    let all: Vec<Mutant> =
        Mutant::ALL.iter().copied().filter(|mutant| protocol::concerns(*mutant, protocol)).collect();
    if name == "list" {
        for mutant in &all {
            println!("{:<26} {:<18} {}", mutant.name(), ground_in_words(*mutant), mutant.breaks());
        }
        return ExitCode::SUCCESS;
    }
    let mut chosen = Vec::new();
    for name in name.split(',') {
        let named = all.iter().filter(|mutant| match name {
            "all" => true,
            "ordinary" => ground(**mutant).is_none(),
            name => mutant.name() == name,
        });
        let before = chosen.len();
        chosen.extend(named.copied());
        if chosen.len() == before {
            eprintln!("there is no mutant {name:?} of {protocol}; `--mutant list` names them");
            return ExitCode::from(2);
        }
    }
    // Assertions are among the rules that kill: what they say is in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let mut survivors = Vec::new();
    println!("| mutant | what is broken | storm | seeds | rule that caught it |\n|---|---|---|---|---|");
    for mutant in &chosen {
        let row = format!("| `{}` | {} | {}", mutant.name(), mutant.breaks(), ground_in_words(*mutant));
        match kill(*mutant, seeds, threads, &scenario) {
            Some(Kill { seed, rule, what }) => {
                println!("{row} | {} | {rule} |", seed + 1);
                if chosen.len() == 1 {
                    println!("\nseed {seed}: {rule}: {what}");
                }
            }
            None => {
                println!("{row} | more than {seeds} | none |");
                survivors.push(mutant.name());
            }
        }
    }
    println!(
        "\n{} of {} killed in {:.0} s",
        chosen.len() - survivors.len(),
        chosen.len(),
        started.elapsed().as_secs_f64()
    );
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The lowest seed below `seeds` that fails with the mutant on, and not without it.
#[allow(clippy::disallowed_methods)] // A run stays on one thread.
fn kill(
    mutant: Mutant,
    seeds: u64,
    threads: NonZeroUsize,
    scenario: &(impl Fn(u64) -> Scenario + Sync),
) -> Option<Kill> {
    let (next, lowest) = (AtomicU64::new(0), AtomicU64::new(seeds));
    let kills = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= lowest.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut scenario = scenario(seed);
                    if let Some((behaviour, faults)) = ground(mutant) {
                        scenario = Scenario { behaviour, faults, ..scenario };
                    }
                    let Some((rule, what)) = broken(&scenario, Some(mutant)) else { continue };
                    if broken(&scenario, None).is_none() {
                        lowest.fetch_min(seed, Ordering::Relaxed);
                        kills.lock().expect("no thread panics with it").push(Kill { seed, rule, what });
                    }
                }
            });
        }
    });
    kills.into_inner().expect("no thread panics with it").into_iter().min()
}

/// The rule that a run breaks, and how.
fn broken(scenario: &Scenario, mutant: Option<Mutant>) -> Option<(String, String)> {
    Mutant::switch(mutant);
    match catch_unwind(|| run(scenario)) {
        Ok(outcome) => outcome.violation.map(|violation| (violation.rule.to_owned(), violation.what)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            let first = said.lines().next().unwrap_or_default();
            let first: String = first.chars().take_while(|c| !matches!(c, '(' | '{' | ':')).collect();
            Some((format!("assertion: {first}"), said.to_owned()))
        }
    }
}
