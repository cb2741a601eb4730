//! Chaos on real processes, from seeds: see `tests::chaos`.

use clap::Parser;
use crypto::ProtocolTag;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tests::chaos::schedule::Schedule;
use tests::chaos::{self, Figures, Plan, SmallDisk};
use tests::proxy::Counts;

/// Make real replicas fail in ways drawn from a seed, under load, and check what was promised.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, from that one on.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Seeds from that one on, until so many processes were killed with SIGKILL in all.
    #[arg(long, value_name = "SIGKILLS", conflicts_with_all = ["count", "dry"])]
    kills: Option<u64>,
    /// Replicas: 4 (one may fail) or 7 (two may).
    #[arg(long, default_value_t = 4)]
    replicas: usize,
    /// How transactions are ordered: pbft or hotstuff.
    #[arg(long, value_name = "NAME", default_value = "pbft", value_parser = engines::named)]
    protocol: ProtocolTag,
    /// For about how long things go wrong; the checks in between come on top.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The program `quorate`; the one beside this if not given.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the directories of the runs go.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Tell what happens, as it happens.
    #[arg(long)]
    verbose: bool,
    /// Draw the schedules, and do nothing.
    #[arg(long)]
    dry: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let dir = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let probe = dir.join(format!("quorate-chaos-probe-{}", std::process::id()));
    // Decided before anything is drawn, so that a schedule depends on it and not on when it was found out.
    let may_fill_disks = SmallDisk::is_possible(&probe);
    chaos::remove(&probe)?;
    if !may_fill_disks {
        eprintln!("no file system can be mounted here (are you root?): no disk will be full");
    }
    let all_begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut sum = Sum::default();
    for seed in arguments.seed.. {
        let done = match arguments.kills {
            Some(kills) => sum.kills() >= kills,
            None => seed - arguments.seed >= arguments.count,
        };
        if done {
            break;
        }
        let length = Duration::from_secs(arguments.seconds);
        let schedule = Schedule::draw(seed, arguments.protocol, arguments.replicas, length, may_fill_disks);
        if arguments.verbose || arguments.dry {
            println!("seed {seed}: {schedule}");
        }
        if arguments.dry {
            continue;
        }
        let program = match &arguments.program {
            Some(program) => program.clone(),
            None => chaos::program_beside_this()?,
        };
        let dir = dir.join(format!("quorate-chaos-{}-{seed}", std::process::id()));
        let plan = Plan { seed, schedule, program, dir, verbose: arguments.verbose };
        let begun = Instant::now();
        match runtime.block_on(chaos::run(&plan)) {
            Ok(figures) => {
                print(&plan, &figures, begun.elapsed());
                sum.add(&plan, &figures);
                chaos::remove(&plan.dir)?;
            }
            Err(error) => {
                println!("seed {seed}: VIOLATION after {:.0?}: {error:#}", begun.elapsed());
                println!("seed {seed}: {}", plan.schedule);
                println!("kept: {}", plan.dir.display());
                let Arguments { replicas, protocol, seconds, .. } = arguments;
                println!("again: just chaos-one {seed} {replicas} {seconds} {protocol}");
                sum.print(all_begun.elapsed());
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    sum.print(all_begun.elapsed());
    Ok(ExitCode::SUCCESS)
}

/// What all runs without violation have to show together.
#[derive(Default)]
struct Sum {
    seeds: u64,
    faults: usize,
    figures: Figures,
}

impl Sum {
    fn kills(&self) -> u64 {
        self.figures.deeds.get(chaos::SIGKILL).copied().unwrap_or(0)
    }

    fn add(&mut self, plan: &Plan, figures: &Figures) {
        self.seeds += 1;
        self.faults += plan.schedule.faults_drawn();
        self.figures.add(figures);
    }

    fn print(&self, took: Duration) {
        let Sum { seeds, faults, figures } = self;
        let deeds: Vec<String> =
            figures.deeds.iter().map(|(what, count)| format!("{what} {count}")).collect();
        let Figures {
            acknowledged,
            reads,
            refused,
            unknown,
            found,
            not_kept,
            same_roots,
            silence,
            settled,
            peak,
            ..
        } = figures;
        let Counts { taken, lost, reordered, doubled, delayed, .. } = figures.datagrams;
        println!("all {seeds} seeds: {took:.0?}, {faults} faults drawn");
        println!("  done: {}", deeds.join(", "));
        println!(
            "  of {taken} datagrams between replicas lost {lost}, reordered {reordered}, doubled {doubled}, delayed {delayed}"
        );
        println!(
            "  {acknowledged} transactions acknowledged ({refused} refused, {unknown} times unknown at first), 0 lost: {found} \
             receipts shown by every single replica, {not_kept} not kept by those that had fetched a state; {reads} linearizable reads"
        );
        println!(
            "  {same_roots} times all replicas had the same root; silence at most {silence:.1?}, settled within {settled:.1?}, \
             {} MiB",
            peak >> 20
        );
    }
}

fn print(plan: &Plan, figures: &Figures, took: Duration) {
    let Figures {
        acknowledged,
        reads,
        refused,
        unknown,
        heights,
        view,
        silence,
        silence_until,
        settled,
        peak,
        datagrams,
        found,
        not_kept,
        same_roots,
        deeds,
    } = figures;
    let strikes = plan.schedule.faults_drawn();
    println!(
        "seed {}: {:.0?}, {} episodes, {strikes} faults; {acknowledged} transactions ({refused} refused, {unknown} times \
         unknown), {reads} reads, {heights} heights, view {view}; silence {silence:.1?} until {silence_until:.1?}, settled {settled:.1?}, {} MiB, {:.1} % of {} \
         datagrams lost; {found} receipts found ({not_kept} not kept), {same_roots} times one root; {deeds:?}",
        plan.seed,
        took,
        plan.schedule.episodes.len(),
        peak >> 20,
        100.0 * datagrams.lost as f64 / datagrams.taken.max(1) as f64,
        datagrams.taken
    );
}
