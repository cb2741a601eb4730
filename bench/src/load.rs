//! `bench load`: four replica processes on this machine under a closed loop of signed ledger transactions, and what it costs.
//!
//! Figures are ratios of counters over one measured stretch: CPU time of all replica processes from the kernel, bytes and
//! syncs from the replicas' own status. The load generator's CPU is not counted.

use crate::catch_up::{self, CatchUp};
use crate::choice::{self, Choice};
use crate::consortium::{Consortium, ConsortiumConfig, fresh_seed, replica_id};
use crate::crash::{self, Crash};
use crate::idle::{self, Idle};
use crate::process::{ReplicaProcess, stop_all};
use crate::saturation::{self, Saturation};
use anyhow::{Context, bail, ensure};
use app_examples::ledger::{AssetCode, Operation};
use bft_core::genesis::Limits;
use bft_core::transaction::Kind;
use client::{Client, ClientConfig};
use crypto::{ClientKey, ClientSecret, Scheme};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

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
    /// Replicas.
    #[arg(long, default_value_t = 4)]
    pub replicas: usize,
    /// Clients, each with transactions in flight.
    #[arg(long, default_value_t = 16)]
    pub clients: usize,
    /// Transactions in flight per client.
    #[arg(long, default_value_t = 400)]
    pub in_flight: usize,
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
    /// Only this phase; may be repeated.
    #[arg(long, value_name = "PHASE", value_enum)]
    pub only: Vec<Phase>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Phase {
    /// One client with one transaction in flight.
    Idle,
    /// As many transactions as the network can.
    Saturation,
    /// The leader is killed, and stays away.
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
    /// With the leader gone.
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
    let wanted = |phase| arguments.only.is_empty() || arguments.only.contains(&phase);
    let consortium = |limits| create(arguments, executable.clone(), limits);
    let large = large_blocks();
    let mut figures = Figures {
        protocol: choice::in_words(arguments.choice.protocol, &arguments.choice.limits(large)?),
        idle: None,
        saturation: None,
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
    if [Phase::Idle, Phase::Saturation, Phase::Crash].into_iter().any(wanted) {
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
        protocol: arguments.choice.protocol,
        limits: arguments.choice.limits(limits)?,
        seed: fresh_seed()?,
    })?;
    for (name, value) in
        [("retain_blocks", arguments.retain_blocks), ("segment_bytes", arguments.segment_bytes)]
    {
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

/// Clients that submit as fast as their transactions are acknowledged, or at a pace.
pub(crate) struct Load {
    running: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Vec<u64>>>>,
}

impl Load {
    fn start(
        arguments: &LoadArguments,
        clients: &[Client],
        accounts: &[ClientKey],
        consortium: &Consortium,
        pace: Option<Pace>,
    ) -> Load {
        let running = Arc::new(AtomicBool::new(true));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for (index, client) in clients.iter().enumerate() {
            let to = accounts[(index + 1) % accounts.len()];
            let body = transfer(consortium.asset(), to, arguments.bytes);
            for _ in 0..arguments.in_flight {
                let (client, body) = (client.clone(), body.clone());
                let (running, acknowledged) = (Arc::clone(&running), Arc::clone(&acknowledged));
                let pace = pace.clone();
                tasks.push(tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    while running.load(Relaxed) {
                        if let Some(pace) = &pace {
                            pace.turn().await;
                        }
                        let started = Instant::now();
                        let receipt = client.submit(Kind::Application, body.clone()).await?;
                        ensure!(
                            receipt.receipt.code == 0,
                            "a transfer was refused with code {}",
                            receipt.receipt.code
                        );
                        latencies.push(u64::try_from(started.elapsed().as_micros())?);
                        acknowledged.fetch_add(1, Relaxed);
                    }
                    Ok(latencies)
                }));
            }
        }
        Load { running, acknowledged, tasks }
    }

    /// How many transactions were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    async fn stop(self) -> anyhow::Result<Vec<u64>> {
        self.running.store(false, Relaxed);
        let mut latencies = Vec::new();
        for task in self.tasks {
            latencies.extend(task.await??);
        }
        Ok(latencies)
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn progress(&self, more: u64) -> anyhow::Result<()> {
        let target = self.acknowledged() + more;
        let deadline = Instant::now() + SOON;
        while self.acknowledged() < target {
            ensure!(Instant::now() < deadline, "the network stopped acknowledging transactions");
            pause(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Turns at even distances, whatever became of those before: a load that does not slow down with the network.
#[derive(Clone)]
struct Pace {
    begin: tokio::time::Instant,
    per_second: f64,
    taken: Arc<AtomicU64>,
}

impl Pace {
    fn new(per_second: f64) -> Pace {
        Pace { begin: tokio::time::Instant::now(), per_second, taken: Arc::default() }
    }

    /// Waits for the next turn.
    async fn turn(&self) {
        let turn = self.taken.fetch_add(1, Relaxed);
        tokio::time::sleep_until(self.begin + Duration::from_secs_f64(turn as f64 / self.per_second)).await;
    }
}

pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// A transfer of one unit whose encoding has `bytes` bytes.
pub(crate) fn transfer(asset: AssetCode, to: ClientKey, bytes: usize) -> bytes::Bytes {
    let with_memo = |length: usize| {
        Operation::Transfer { asset, to, amount: 1, memo: vec![b'.'; length].into() }.encode()
    };
    let empty = with_memo(0).len();
    let mut memo = bytes.saturating_sub(empty);
    // The memo's length prefix grows with it.
    while memo > 0 && with_memo(memo).len() > bytes {
        memo -= 1;
    }
    with_memo(memo)
}

pub(crate) async fn wait_until_up(watch: &Client, processes: &mut [ReplicaProcess]) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    for process in processes {
        while watch.status(process.replica()).await.is_err() {
            if let Some(status) = process.ended() {
                bail!("{} ended with {status}", process.replica());
            }
            ensure!(Instant::now() < deadline, "{} does not answer", process.replica());
            pause(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// A network under load, and somebody who watches it.
pub(crate) struct Loaded {
    pub watch: Client,
    pub load: Load,
    clients: Vec<Client>,
}

/// How long transactions took, ascending, in microseconds.
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn percentile_ms(&self, percent: usize) -> f64 {
        self.0.get(self.0.len() * percent / 100).map_or(0.0, |us| *us as f64 / 1000.0)
    }
}

impl Loaded {
    /// Starts the clients, at a pace or without, and waits until so many transactions are acknowledged.
    pub async fn start(
        arguments: &LoadArguments,
        consortium: &Consortium,
        processes: &mut [ReplicaProcess],
        per_second: Option<f64>,
        warm_up: u64,
    ) -> anyhow::Result<Loaded> {
        let secrets: &[ClientSecret] = &consortium.clients;
        let accounts: Vec<ClientKey> = secrets.iter().map(ClientSecret::public).collect();
        let mut config = ClientConfig::new(consortium.genesis.clone(), secrets[0].clone());
        config.first_replica = Some(replica_id(0));
        let watch = connect(config).await?;
        wait_until_up(&watch, processes).await?;
        let mut clients = Vec::new();
        for (index, secret) in secrets.iter().take(arguments.clients).enumerate() {
            let mut config = ClientConfig::new(consortium.genesis.clone(), secret.clone());
            config.first_replica = Some(replica_id(index % arguments.replicas));
            clients.push(connect(config).await?);
        }
        for account in &accounts {
            let issue = Operation::Issue { asset: consortium.asset(), to: *account, amount: 1 << 40 };
            let receipt = clients[0].submit(Kind::Application, issue.encode()).await?;
            ensure!(receipt.receipt.code == 0, "issuing was refused with code {}", receipt.receipt.code);
        }
        let load = Load::start(arguments, &clients, &accounts, consortium, per_second.map(Pace::new));
        load.progress(warm_up).await?;
        Ok(Loaded { watch, clients, load })
    }

    /// Stops the clients. Gives the latencies of all that was acknowledged.
    pub async fn stop(self) -> anyhow::Result<Latencies> {
        let mut latencies = self.load.stop().await?;
        for client in self.clients {
            client.close().await;
        }
        latencies.sort_unstable();
        Ok(Latencies(latencies))
    }
}

/// Catch-up at saturation, and at half the rate that was seen there.
async fn measure_catch_up(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<[CatchUp; 2]> {
    let away = Duration::from_secs(arguments.away);
    let loaded = Loaded::start(arguments, consortium, processes, None, 2000).await?;
    let at_saturation = catch_up::measure(&loaded.watch, &loaded.load, processes, away).await?;
    loaded.stop().await?;
    let half = at_saturation.live_before / 2.0;
    let loaded = Loaded::start(arguments, consortium, processes, Some(half), 2000).await?;
    let at_half = catch_up::measure(&loaded.watch, &loaded.load, processes, away).await?;
    loaded.stop().await?;
    Ok([at_saturation, at_half])
}

pub(crate) async fn connect(config: ClientConfig) -> anyhow::Result<Client> {
    let deadline = Instant::now() + SOON;
    loop {
        match Client::connect(config.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => pause(Duration::from_millis(100)).await,
        }
    }
}
