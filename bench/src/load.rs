//! `bench load`: four replica processes on this machine under a closed loop of signed ledger transactions, and what it costs.
//!
//! Figures are ratios of counters over one measured stretch: CPU time of all replica processes from the kernel, bytes and
//! syncs from the replicas' own status. The load generator's CPU is not counted.

use crate::catch_up::{self, CatchUp};
use crate::consortium::{Consortium, ConsortiumConfig, fresh_seed, replica_id};
use crate::process::{ReplicaProcess, stop_all};
use crate::reading::{DiskUse, Reading, resident_mib};
use anyhow::{Context, bail, ensure};
use app_examples::ledger::Operation;
use bft_core::genesis::Limits;
use bft_core::transaction::Kind;
use client::{Client, ClientConfig};
use crypto::{ClientKey, ClientSecret, Scheme};
use serde::Serialize;
use std::collections::BTreeMap;
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
    /// Seconds for which a replica is away before it catches up.
    #[arg(long, default_value_t = 15)]
    pub away: u64,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Seconds of saturation.
    pub seconds: f64,
    /// Committed transactions per second.
    pub transactions_per_second: f64,
    /// Transactions in a block, on average.
    pub transactions_per_block: f64,
    /// Acknowledged with a verified receipt: 50th percentile, in milliseconds.
    pub latency_p50_ms: f64,
    /// The same, 99th percentile.
    pub latency_p99_ms: f64,
    /// CPU time of all replicas together per transaction, in microseconds.
    pub cpu_us_per_transaction: f64,
    /// Bytes appended to a replica's log per byte of payload.
    pub log_bytes_per_payload: f64,
    /// Syncs of a replica's log per block.
    pub fsyncs_per_block: f64,
    /// The same with so many small blocks in agreement at a time that the window is full.
    pub fsyncs_per_block_window_full: f64,
    /// Bytes of proposals sent, per (n−1) times the payload.
    pub proposal_bytes_per_payload: f64,
    /// Bytes of everything sent between replicas, per (n−1) times the payload.
    pub sent_bytes_per_payload: f64,
    /// The same by kind of message.
    pub sent_bytes_by_kind: BTreeMap<String, f64>,
    /// Largest resident memory of a replica half-way, in MiB.
    pub resident_half_way_mib: f64,
    /// The same at the end.
    pub resident_at_end_mib: f64,
    /// What the data directories took up, at equal times until the end.
    pub disk: Vec<DiskUse>,
    /// How a restarted replica caught up while the others were saturated.
    pub catch_up_at_saturation: CatchUp,
    /// The same while they had half as much to do.
    pub catch_up_at_half: CatchUp,
}

/// Looks at the disk within the measured stretch.
const DISK_LOOKS: u32 = 12;

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
    // So small that the clients' transactions fill the window with blocks.
    let small = Limits { block_bytes: 16 << 10, transaction_bytes: 4 << 10, ..Limits::default() };
    let consortium = |limits| create(arguments, executable.clone(), limits);
    let window_full = on_network(consortium(small)?, async |consortium, processes| {
        syncs_with_window_full(arguments, consortium, processes).await
    })?;
    // Half a megabyte: some 800 of the default transactions.
    let large = Limits { block_bytes: 512 << 10, ..Limits::default() };
    let following = consortium(large)?;
    // The ledger of this load is far smaller than its blocks, so that a replica would fetch the former.
    following.choose("fetch_all_blocks", "true")?;
    following.choose("retain_blocks", "100000")?;
    let catch_ups = on_network(following, async |consortium, processes| {
        measure_catch_up(arguments, consortium, processes).await
    })?;
    let figures = on_network(consortium(large)?, async |consortium, processes| {
        measure(arguments, consortium, processes, window_full, catch_ups).await
    })?;
    print(arguments, &figures);
    if let Some(path) = &arguments.json {
        let text = format!("{}\n", serde_json::to_string_pretty(&figures)?);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A fresh network that is not running yet.
fn create(arguments: &LoadArguments, executable: PathBuf, limits: Limits) -> anyhow::Result<Consortium> {
    let dir = std::env::temp_dir().join(format!("quorate-bench-{}", std::process::id()));
    let consortium = Consortium::create(ConsortiumConfig {
        dir,
        executable,
        replicas: arguments.replicas,
        clients: arguments.clients,
        scheme: arguments.scheme,
        limits,
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
fn on_network<T>(
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

fn print(arguments: &LoadArguments, figures: &Figures) {
    let Figures { seconds, .. } = figures;
    println!(
        "{} replicas, {}-byte transactions, {} clients with {} in flight each, {} certificates, {seconds:.0} s of saturation",
        arguments.replicas, arguments.bytes, arguments.clients, arguments.in_flight, arguments.scheme
    );
    let rows: [(&str, f64, &str); 14] = [
        ("committed transactions per second", figures.transactions_per_second, ""),
        ("transactions per block", figures.transactions_per_block, ""),
        ("latency with proven receipt, p50, ms", figures.latency_p50_ms, ""),
        ("latency with proven receipt, p99, ms", figures.latency_p99_ms, ""),
        ("CPU-µs per transaction, all replicas", figures.cpu_us_per_transaction, "≤ 400"),
        ("log bytes appended per payload byte", figures.log_bytes_per_payload, "≤ 1.05"),
        ("log syncs per block and replica", figures.fsyncs_per_block, "≤ 2"),
        ("the same with the window full of small blocks", figures.fsyncs_per_block_window_full, "≤ 1.2"),
        ("proposal bytes per (n-1) payload", figures.proposal_bytes_per_payload, "≤ 1.05"),
        ("all bytes between replicas per (n-1) payload", figures.sent_bytes_per_payload, "≤ 1.32"),
        ("resident memory half-way, MiB", figures.resident_half_way_mib, "≤ 300"),
        ("resident memory at the end, MiB", figures.resident_at_end_mib, "≤ 300, flat"),
        ("data directory half-way, MiB", figures.disk[figures.disk.len() / 2 - 1].sum_mib(), ""),
        ("data directory at the end, MiB", figures.disk[figures.disk.len() - 1].sum_mib(), ""),
    ];
    for (name, value, bound) in rows {
        println!("  {name:<46} {value:>10.2}  {bound}");
    }
    let by_kind = figures.sent_bytes_by_kind.iter().filter(|(_, share)| **share >= 0.001);
    let by_kind: Vec<String> = by_kind.map(|(kind, share)| format!("{kind} {share:.3}")).collect();
    println!("  of all bytes: {}", by_kind.join(", "));
    let row = |of: fn(&DiskUse) -> f64| -> String {
        figures.disk.iter().map(|disk| format!("{:>6.0}", of(disk))).collect()
    };
    println!("  after seconds             {}", row(|disk| disk.seconds));
    println!("  log, MiB on disk          {}", row(|disk| disk.log_mib));
    println!("  state, MiB on disk        {}", row(|disk| disk.state_mib));
    figures.catch_up_at_saturation.print("saturation");
    figures.catch_up_at_half.print("half the saturation rate");
    println!("{}", catch_up::ARITHMETIC);
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
            let body = transfer(consortium, to, arguments.bytes);
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
        let target = self.acknowledged.load(Relaxed) + more;
        let deadline = Instant::now() + SOON;
        while self.acknowledged.load(Relaxed) < target {
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
fn transfer(consortium: &Consortium, to: ClientKey, bytes: usize) -> bytes::Bytes {
    let with_memo = |length: usize| {
        Operation::Transfer { asset: consortium.asset(), to, amount: 1, memo: vec![b'.'; length].into() }
            .encode()
    };
    let empty = with_memo(0).len();
    let mut memo = bytes.saturating_sub(empty);
    // The memo's length prefix grows with it.
    while memo > 0 && with_memo(memo).len() > bytes {
        memo -= 1;
    }
    with_memo(memo)
}

async fn wait_until_up(watch: &Client, processes: &mut [ReplicaProcess]) -> anyhow::Result<()> {
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
struct Loaded {
    watch: Client,
    clients: Vec<Client>,
    load: Load,
}

impl Loaded {
    async fn start(
        arguments: &LoadArguments,
        consortium: &Consortium,
        processes: &mut [ReplicaProcess],
        per_second: Option<f64>,
    ) -> anyhow::Result<Loaded> {
        let secrets: &[ClientSecret] = &consortium.clients;
        let accounts: Vec<ClientKey> = secrets.iter().map(ClientSecret::public).collect();
        let mut config = ClientConfig::new(consortium.genesis.clone(), secrets[0].clone());
        config.first_replica = Some(replica_id(0));
        let watch = connect(config).await?;
        wait_until_up(&watch, processes).await?;
        let mut clients = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
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
        load.progress(2000).await?;
        Ok(Loaded { watch, clients, load })
    }

    /// Latencies of all that was acknowledged, in microseconds, sorted.
    async fn stop(self) -> anyhow::Result<Vec<u64>> {
        let mut latencies = self.load.stop().await?;
        for client in self.clients {
            client.close().await;
        }
        latencies.sort_unstable();
        Ok(latencies)
    }
}

async fn syncs_with_window_full(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<f64> {
    let loaded = Loaded::start(arguments, consortium, processes, None).await?;
    let first = Reading::take(&loaded.watch, processes).await?;
    pause(Duration::from_secs(5)).await;
    let last = Reading::take(&loaded.watch, processes).await?;
    loaded.stop().await?;
    Ok((last.sum("log_fsyncs") - first.sum("log_fsyncs"))
        / (last.sum("executed_blocks") - first.sum("executed_blocks")))
}

async fn measure(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
    fsyncs_per_block_window_full: f64,
    [catch_up_at_saturation, catch_up_at_half]: [CatchUp; 2],
) -> anyhow::Result<Figures> {
    let loaded = Loaded::start(arguments, consortium, processes, None).await?;
    let stretch = Duration::from_secs(if arguments.quick { 20 } else { arguments.seconds });
    let first = Reading::take(&loaded.watch, processes).await?;
    let (mut disk, mut resident_half_way_mib) = (Vec::new(), 0.0);
    for look in 1..=DISK_LOOKS {
        pause((first.at + stretch * look / DISK_LOOKS).saturating_duration_since(Instant::now())).await;
        if look == DISK_LOOKS / 2 {
            resident_half_way_mib = resident_mib(processes);
        }
        disk.push(DiskUse::take(consortium, first.at.elapsed())?);
    }
    let last = Reading::take(&loaded.watch, processes).await?;
    let resident_at_end_mib = resident_mib(processes);
    let latencies = loaded.stop().await?;
    let percentile =
        |part: usize| latencies.get(latencies.len() * part / 100).map_or(0.0, |us| *us as f64 / 1000.0);

    let n = arguments.replicas as f64;
    let delta = |name: &str| last.sum(name) - first.sum(name);
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let transactions = delta("executed_transactions") / n;
    let blocks = delta("executed_blocks") / n;
    let payload = delta("executed_payload_bytes") / n;
    let sent = |prefix: &str| last.sum_all(prefix) - first.sum_all(prefix);
    Ok(Figures {
        seconds,
        transactions_per_second: transactions / seconds,
        transactions_per_block: transactions / blocks,
        latency_p50_ms: percentile(50),
        latency_p99_ms: percentile(99),
        cpu_us_per_transaction: (last.cpu - first.cpu).as_secs_f64() * 1e6 / transactions,
        log_bytes_per_payload: delta("log_appended_bytes") / n / payload,
        fsyncs_per_block: delta("log_fsyncs") / n / blocks,
        fsyncs_per_block_window_full,
        proposal_bytes_per_payload: sent("sent_bytes/pre-prepare") / ((n - 1.0) * payload),
        sent_bytes_per_payload: sent("sent_bytes/") / ((n - 1.0) * payload),
        sent_bytes_by_kind: last
            .by_kind("sent_bytes/")
            .into_iter()
            .map(|(kind, bytes)| {
                let before = first.sum(&format!("sent_bytes/{kind}"));
                (kind, (bytes - before) / ((n - 1.0) * payload))
            })
            .collect(),
        resident_half_way_mib,
        resident_at_end_mib,
        disk,
        catch_up_at_saturation,
        catch_up_at_half,
    })
}

/// Catch-up at saturation, and at half the rate that was seen there.
async fn measure_catch_up(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<[CatchUp; 2]> {
    let away = Duration::from_secs(arguments.away);
    let loaded = Loaded::start(arguments, consortium, processes, None).await?;
    let at_saturation = catch_up::measure(&loaded.watch, &loaded.load, processes, away).await?;
    loaded.stop().await?;
    let half = at_saturation.live_before / 2.0;
    let loaded = Loaded::start(arguments, consortium, processes, Some(half)).await?;
    let at_half = catch_up::measure(&loaded.watch, &loaded.load, processes, away).await?;
    loaded.stop().await?;
    Ok([at_saturation, at_half])
}

async fn connect(config: ClientConfig) -> anyhow::Result<Client> {
    let deadline = Instant::now() + SOON;
    loop {
        match Client::connect(config.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => pause(Duration::from_millis(100)).await,
        }
    }
}
