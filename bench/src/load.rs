//! `bench load`: four replica processes on this machine under a closed loop of signed ledger transactions, and what it costs.
//!
//! Figures are ratios of counters over one measured stretch: CPU time of all replica processes from the kernel, bytes and
//! syncs from the replicas' own status. The load generator's CPU is not counted.

use crate::catch_up::{self, CatchUp};
use crate::choice::{self, Choice};
use crate::compare;
use crate::consortium::{App, Consortium, ConsortiumConfig, fresh_seed};
use crate::crash::{self, Crash};
use crate::generator::Loaded;
use crate::idle::{self, Idle};
use crate::process::{ReplicaProcess, stop_all};
use crate::ramp::{self, Ramp};
use crate::running;
use crate::saturation::{self, Saturation};
use crate::variant::Variant;
use anyhow::{Context, ensure};
use bft_core::genesis::Limits;
use clap::{Args as _, FromArgMatches as _};
use client::Read;
use crypto::Scheme;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// How long the network may take for something that should come soon.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArguments {
    /// A short run: 20 seconds of saturation instead of 60.
    #[arg(long, conflicts_with = "seconds")]
    pub quick: bool,
    /// Seconds of saturation.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Blocks below the stable height that replicas keep, if not their default.
    #[arg(long, value_name = "BLOCKS")]
    pub retain_blocks: Option<u64>,
    /// Bytes of a log segment, if not the replicas' default.
    #[arg(long, value_name = "BYTES")]
    pub segment_bytes: Option<u64>,
    /// The largest UDP payload that replicas and clients try, if not their default. Loopback takes 6400.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u16>,
    /// Replicas.
    #[arg(long, default_value_t = 4)]
    pub replicas: usize,
    /// Clients: distinct keys, each with transactions in flight.
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Connections that they share, to the replicas in turn.
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Which replicas clients turn to: each in turn (any), or the leader of the first view (leader), which spares the way there.
    #[arg(long, value_enum, default_value_t)]
    pub turn_to: TurnTo,
    /// Transactions in flight per client.
    #[arg(long, default_value_t = 100)]
    pub in_flight: usize,
    /// The application: ledger (a transfer writes three keys) or noop (nothing).
    #[arg(long, value_enum, default_value_t)]
    pub app: App,
    /// Of a hundred requests, how many are reads of a balance.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub reads: u64,
    /// What those know of.
    #[arg(long, value_enum, default_value_t = ReadKind::Linearizable)]
    pub read: ReadKind,
    /// Bytes of a transaction's body.
    #[arg(long, default_value_t = 512)]
    pub bytes: usize,
    /// How certificates are made.
    #[arg(long, default_value = "threshold")]
    pub scheme: Scheme,
    /// Protocol and limits.
    #[command(flatten)]
    pub choice: Choice,
    /// Seconds for which a replica is away before it catches up.
    #[arg(long, default_value_t = 15)]
    pub away: u64,
    /// Who is killed in the phase crash.
    #[arg(long, value_enum, default_value_t)]
    pub victim: Victim,
    /// After how many seconds of it.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub kill_at: u64,
    /// Transactions a second offered, one after the other, in the phase ramp; tenths of the rate at saturation if not given.
    #[arg(long, value_delimiter = ',', value_name = "RATES")]
    pub rates: Vec<f64>,
    /// Compare these protocols, in turns, instead of measuring one in phases.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES", conflicts_with_all = ["only", "genesis"])]
    pub compare: Vec<Variant>,
    /// With these schemes; --scheme if not given.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", requires = "compare")]
    pub schemes: Vec<Scheme>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3, requires = "compare")]
    pub rounds: usize,
    /// Load a network that runs already, of this genesis, instead of starting one. Only what clients see of it is measured.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub genesis: Option<PathBuf>,
    /// A client's key there; may be repeated. With the ledger, the first one's organisation issues EUR.
    #[arg(long, value_name = "FILE", requires = "genesis")]
    pub key: Vec<PathBuf>,
    /// Only this phase; may be repeated.
    #[arg(long, value_name = "PHASE", value_enum)]
    pub only: Vec<Phase>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Default for LoadArguments {
    /// As if nothing were given on the command line.
    fn default() -> LoadArguments {
        let command = LoadArguments::augment_args(clap::Command::new("load"));
        let given = command.get_matches_from(["load"]);
        LoadArguments::from_arg_matches(&given).expect("every argument has a default")
    }
}

/// Who is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Victim {
    /// The leader.
    #[default]
    Leader,
    /// Another one.
    Replica,
}

/// Which replicas clients turn to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TurnTo {
    /// Each in turn.
    #[default]
    Any,
    /// The leader that there is when they start.
    Leader,
}

/// What a read knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReadKind {
    /// Everything that anybody was told before.
    Linearizable,
    /// What is certified.
    Certified,
    /// What one replica has executed.
    Local,
}

impl From<ReadKind> for Read {
    fn from(kind: ReadKind) -> Read {
        match kind {
            ReadKind::Linearizable => Read::Linearizable,
            ReadKind::Certified => Read::Certified,
            ReadKind::Local => Read::Local,
        }
    }
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Phase {
    /// One client with one transaction in flight.
    Idle,
    /// As many transactions as the network can.
    Saturation,
    /// Rates that do not depend on how fast the network answers, each higher than the one before.
    Ramp,
    /// The leader, or another replica, is killed and stays away.
    Crash,
    /// Syncs of the log with so many small blocks in agreement at a time that the window is full.
    WindowFull,
    /// A replica is killed, comes back, and catches up.
    CatchUp,
}

/// What was measured, of the phases that were wanted.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The protocol, with its rule.
    pub protocol: String,
    /// With one transaction at a time.
    pub idle: Option<Idle>,
    /// With as many as possible.
    pub saturation: Option<Saturation>,
    /// At one offered rate after the other.
    pub ramp: Option<Ramp>,
    /// With the leader, or another replica, gone.
    pub crash: Option<Crash>,
    /// Syncs of a replica's log per block, with the window full of small blocks.
    pub fsyncs_per_block_window_full: Option<f64>,
    /// How a restarted replica caught up, at saturation and at half of that.
    pub catch_up: Option<[CatchUp; 2]>,
}

/// Runs the benchmark with the program `executable` and prints the figures.
///
/// # Errors
/// If the network does not come up or stops serving.
pub fn run(arguments: &LoadArguments, executable: PathBuf) -> anyhow::Result<()> {
    ensure!(
        arguments.bytes >= 64 && arguments.bytes <= 512,
        "--bytes is {}; 64 to 512 is possible",
        arguments.bytes
    );
    ensure!(
        (1..=arguments.clients).contains(&arguments.connections),
        "--connections is {}; from 1 to the number of clients, {}, is possible",
        arguments.connections,
        arguments.clients
    );
    ensure!(
        arguments.reads == 0 || arguments.app == App::Ledger,
        "--reads asks for balances, which the ledger has; leave out --app noop"
    );
    if arguments.genesis.is_some() {
        return running::measure(arguments);
    }
    if !arguments.compare.is_empty() {
        return compare::run(arguments, &executable);
    }
    let wanted = |phase| arguments.only.is_empty() || arguments.only.contains(&phase);
    let consortium = |limits| create(arguments, executable.clone(), limits);
    let large = large_blocks();
    let mut figures = Figures {
        protocol: choice::in_words(arguments.choice.protocol, &arguments.choice.limits(large)?),
        idle: None,
        saturation: None,
        ramp: None,
        crash: None,
        fsyncs_per_block_window_full: None,
        catch_up: None,
    };
    println!(
        "{}: {} replicas, {}-byte transactions, {} clients with {} in flight each, {} certificates",
        figures.protocol,
        arguments.replicas,
        arguments.bytes,
        arguments.clients,
        arguments.in_flight,
        arguments.scheme
    );
    if wanted(Phase::WindowFull) {
        // So small that the clients' transactions fill the window with blocks.
        let small = Limits { block_bytes: 16 << 10, transaction_bytes: 4 << 10, ..Limits::default() };
        let syncs = on_network(consortium(small)?, async |consortium, processes| {
            saturation::syncs_with_window_full(arguments, consortium, processes).await
        })?;
        println!("log syncs per block and replica, with the window full of small blocks {syncs:.2}  ≤ 1.2");
        figures.fsyncs_per_block_window_full = Some(syncs);
    }
    if wanted(Phase::CatchUp) {
        let following = consortium(large)?;
        // The ledger of this load is far smaller than its blocks, so that a replica would fetch the former.
        following.choose("fetch_all_blocks", "true")?;
        following.choose("retain_blocks", "100000")?;
        let catch_up = on_network(following, async |consortium, processes| {
            measure_catch_up(arguments, consortium, processes).await
        })?;
        catch_up[0].print("saturation");
        catch_up[1].print("half the saturation rate");
        println!("{}", catch_up::ARITHMETIC);
        figures.catch_up = Some(catch_up);
    }
    if [Phase::Idle, Phase::Saturation, Phase::Ramp, Phase::Crash].into_iter().any(wanted) {
        on_network(consortium(large)?, async |consortium, processes| {
            if wanted(Phase::Idle) {
                let idle = idle::measure(arguments, consortium, processes).await?;
                idle.print();
                figures.idle = Some(idle);
            }
            if wanted(Phase::Saturation) {
                let saturation = saturation::measure(arguments, consortium, processes).await?;
                saturation.print();
                figures.saturation = Some(saturation);
            }
            if wanted(Phase::Ramp) {
                let saturated = figures.saturation.as_ref().map(|figures| figures.transactions_per_second);
                let most = match saturated {
                    Some(rate) => rate,
                    None if !arguments.rates.is_empty() => 0.0,
                    None => {
                        let loaded = Loaded::start(arguments, consortium, processes, None, 2000).await?;
                        let (step, ended) = ramp::watch(loaded, arguments).await;
                        ended?;
                        step.acknowledged
                    }
                };
                let start =
                    async |rate| Loaded::start(arguments, consortium, processes, Some(rate), 100).await;
                let ramp = ramp::measure(arguments, most, start).await?;
                ramp.print();
                figures.ramp = Some(ramp);
            }
            // The last, since one replica is gone afterwards.
            if wanted(Phase::Crash) {
                let crash = crash::measure(arguments, consortium, processes).await?;
                crash.print();
                figures.crash = Some(crash);
            }
            Ok(())
        })?;
    }
    if let Some(path) = &arguments.json {
        let text = format!("{}\n", serde_json::to_string_pretty(&figures)?);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Half a megabyte a block: some 800 of the default transactions.
pub(crate) fn large_blocks() -> Limits {
    Limits { block_bytes: 512 << 10, ..Limits::default() }
}

/// A fresh network that is not running yet.
pub(crate) fn create(
    arguments: &LoadArguments,
    executable: PathBuf,
    limits: Limits,
) -> anyhow::Result<Consortium> {
    let dir = std::env::temp_dir().join(format!("quorate-bench-{}", std::process::id()));
    let consortium = Consortium::create(ConsortiumConfig {
        dir,
        executable,
        replicas: arguments.replicas,
        clients: arguments.clients,
        scheme: arguments.scheme,
        app: arguments.app,
        protocol: arguments.choice.protocol,
        limits: arguments.choice.limits(limits)?,
        seed: fresh_seed()?,
    })?;
    for (name, value) in [
        ("retain_blocks", arguments.retain_blocks),
        ("segment_bytes", arguments.segment_bytes),
        ("mtu_upper_bound", arguments.mtu.map(u64::from)),
    ] {
        value.map_or(Ok(()), |value| consortium.choose(name, &value.to_string()))?;
    }
    Ok(consortium)
}

/// Runs `work` on a network that is gone afterwards.
pub(crate) fn on_network<T>(
    mut consortium: Consortium,
    work: impl AsyncFnOnce(&Consortium, &mut [ReplicaProcess]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut processes = consortium.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(work(&consortium, &mut processes));
    let stopped = stop_all(&mut processes, Duration::from_secs(10));
    let result = result.with_context(|| {
        let words: Vec<String> = processes.iter().map(ReplicaProcess::last_words).collect();
        format!("the replicas said:\n{}", words.join("\n"))
    })?;
    stopped?;
    consortium.remove()?;
    Ok(result)
}

/// Catch-up at saturation, and at half the rate that was seen there.
async fn measure_catch_up(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<[CatchUp; 2]> {
    let away = Duration::from_secs(arguments.away);
    let loaded = Loaded::start(arguments, consortium, processes, None, 2000).await?;
    let at_saturation = catch_up::measure(&loaded, processes, away).await?;
    loaded.stop().await?;
    let half = at_saturation.live_before / 2.0;
    let loaded = Loaded::start(arguments, consortium, processes, Some(half), 2000).await?;
    let at_half = catch_up::measure(&loaded, processes, away).await?;
    loaded.stop().await?;
    Ok([at_saturation, at_half])
}
