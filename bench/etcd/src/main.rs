//! Quorate's Raft beside etcd: three replicas, or members, on this machine, with real disks; the same closed-loop clients, each
//! over the system's own protocol; one write at a time, then as many as there are logical clients.

mod etcd;

use anyhow::{Context, ensure};
use app_examples::ledger::Operation;
use bench::consortium::{App, Consortium, ConsortiumConfig, fresh_seed};
use bench::process::ReplicaProcess;
use bft_core::genesis::Limits;
use bft_core::transaction::Kind;
use clap::Parser;
use client::{Client, ClientConfig};
use crypto::{ClientKey, ProtocolTag, ReplicaId, Scheme};
use etcd::{Etcd, EtcdClient, cpu_of};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs both, in turns, and prints the ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program `quorate`.
    #[arg(long, default_value = "target/release/quorate")]
    program: PathBuf,
    /// Logical clients under load.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Connections that they share.
    #[arg(long, default_value_t = 12)]
    connections: usize,
    /// Bytes of a value, and of a transaction's body.
    #[arg(long, default_value_t = 256)]
    bytes: usize,
    /// Seconds under load before it is measured: until logs are cut and their files used again.
    #[arg(long, default_value_t = 20)]
    warm_up: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each is started and measured, in turns. Medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Quorate's clients sign, as etcd's cannot.
    #[arg(long)]
    signed: bool,
    /// Which to run, if not both.
    #[arg(long, value_parser = ["etcd", "quorate"])]
    only: Option<String>,
}

/// What was measured of one system.
struct Figures {
    name: &'static str,
    one_p50_ms: f64,
    one_p99_ms: f64,
    one_cpu_us: f64,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    clients_cpu_us: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            if wanted("etcd") {
                theirs.push(run_etcd(&arguments).await.context("etcd")?);
            }
            if wanted("quorate") {
                ours.push(run_quorate(&arguments).await.context("quorate")?);
            }
        }
        let systems: Vec<_> = [theirs, ours].into_iter().filter(|rounds| !rounds.is_empty()).collect();
        print(&systems, &arguments);
        Ok(())
    })
}

async fn run_etcd(arguments: &Arguments) -> anyhow::Result<Figures> {
    let dir = tempfile::tempdir()?;
    let cluster = Etcd::start(dir.path(), 3)?;
    let connections = cluster.connect(arguments.connections).await?;
    let value = vec![b'.'; arguments.bytes];
    let put = move |client: EtcdClient, number: u64, lane: usize| {
        let value = value.clone();
        async move { client.put(format!("{lane:08}{number:08}").as_bytes(), &value).await }
    };
    measure("etcd", arguments, &connections, put, || cluster.cpu()).await
}

async fn run_quorate(arguments: &Arguments) -> anyhow::Result<Figures> {
    let dir = tempfile::tempdir()?;
    let config = ConsortiumConfig {
        dir: dir.path().to_owned(),
        executable: absolute(&arguments.program)?,
        replicas: 3,
        clients: arguments.connections,
        scheme: Scheme::None,
        app: App::Ledger,
        protocol: ProtocolTag::RAFT,
        limits: Limits { unsigned: !arguments.signed, ..Limits::default() },
        seed: fresh_seed()?,
    };
    let mut consortium = Consortium::create(config)?;
    let mut processes: Vec<ReplicaProcess> = consortium.start()?;
    let keys: Vec<ClientKey> = consortium.clients.iter().map(|secret| secret.public()).collect();
    let mut connections = Vec::new();
    for (number, secret) in consortium.clients.iter().enumerate() {
        let mut config = ClientConfig::new(consortium.genesis.clone(), secret.clone());
        config.first_replica = Some(ReplicaId((number % 3) as u16));
        connections.push((connect(config).await?, keys[(number + 1) % keys.len()]));
    }
    let asset = consortium.asset();
    for key in &keys {
        let issue = Operation::Issue { asset, to: *key, amount: 1 << 40 };
        let receipt = connections[0].0.submit(Kind::Application, issue.encode()).await?;
        ensure!(receipt.receipt.code == 0, "an issue was refused");
    }
    let transfer = move |to: ClientKey, memo: usize| {
        Operation::Transfer { asset, to, amount: 1, memo: vec![b'.'; memo].into() }.encode()
    };
    let memo = arguments.bytes.saturating_sub(transfer(keys[0], 0).len() + 1);
    let submit = move |(client, to): (Client, ClientKey), _number: u64, _lane: usize| {
        let body = transfer(to, memo);
        async move {
            let receipt = client.submit(Kind::Application, body).await?;
            ensure!(receipt.receipt.code == 0, "a transfer was refused");
            Ok(())
        }
    };
    let pids: Vec<u32> = processes.iter().filter_map(|process| process.pid()).collect();
    let cpu = || pids.iter().map(|pid| cpu_of(*pid)).sum();
    let figures = measure("quorate", arguments, &connections, submit, cpu).await;
    for process in &mut processes {
        process.stop(Duration::from_secs(10))?;
    }
    figures
}

async fn connect(config: ClientConfig) -> anyhow::Result<Client> {
    let begun = Instant::now();
    loop {
        match Client::connect(config.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > Duration::from_secs(20) => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One write at a time over each connection in turn, then all logical clients at once.
async fn measure<C, F>(
    name: &'static str,
    arguments: &Arguments,
    connections: &[C],
    write: impl Fn(C, u64, usize) -> F + Send + Sync + 'static,
    cpu: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Figures>
where
    C: Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (span, write) = (Duration::from_secs(arguments.seconds), Arc::new(write));
    // One client, wherever it is connected: the first three connections are to different replicas.
    let mut one = Vec::new();
    let (cpu_before, begun) = (cpu()?, Instant::now());
    while begun.elapsed() < span {
        let at = one.len() % 3;
        let asked = Instant::now();
        write(connections[at].clone(), one.len() as u64, 0).await?;
        one.push(asked.elapsed());
    }
    let one_cpu = cpu()? - cpu_before;

    let running = Arc::new(AtomicBool::new(true));
    let done = Arc::new(AtomicU64::new(0));
    let mut lanes = JoinSet::new();
    for lane in 0..arguments.clients {
        let connection = connections[lane % connections.len()].clone();
        let (running, done, write) = (Arc::clone(&running), Arc::clone(&done), Arc::clone(&write));
        lanes.spawn(async move {
            let mut latencies = Vec::new();
            let mut number = 1;
            while running.load(Relaxed) {
                let asked = Instant::now();
                write(connection.clone(), number, lane + 1).await?;
                latencies.push(asked.elapsed());
                done.fetch_add(1, Relaxed);
                number += 1;
            }
            anyhow::Ok(latencies)
        });
    }
    let load = async {
        let mut all = Vec::new();
        while let Some(latencies) = lanes.join_next().await {
            all.extend(latencies??);
        }
        anyhow::Ok(all)
    };
    let watch = async {
        tokio::time::sleep(Duration::from_secs(arguments.warm_up)).await;
        let own = || cpu_of(std::process::id());
        let first = (Instant::now(), done.load(Relaxed), cpu()?, own()?);
        tokio::time::sleep(span).await;
        let last = (Instant::now(), done.load(Relaxed), cpu()?, own()?);
        running.store(false, Relaxed);
        let writes = (last.1 - first.1) as f64;
        let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / writes;
        anyhow::Ok((
            writes / (last.0 - first.0).as_secs_f64(),
            micros(last.2 - first.2),
            micros(last.3 - first.3),
        ))
    };
    let (latencies, measured) = tokio::join!(load, watch);
    let (mut latencies, (rate, cpu_us, clients_cpu_us)) = (latencies?, measured?);
    let one_cpu_us = one_cpu.as_secs_f64() * 1e6 / one.len() as f64;
    let [one_p50_ms, one_p99_ms] = percentiles(&mut one);
    let [p50_ms, p99_ms] = percentiles(&mut latencies);
    Ok(Figures { name, one_p50_ms, one_p99_ms, one_cpu_us, rate, p50_ms, p99_ms, cpu_us, clients_cpu_us })
}

fn percentiles(latencies: &mut [Duration]) -> [f64; 2] {
    latencies.sort_unstable();
    [0.50, 0.99].map(|part| {
        let at = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    })
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("{} is not there: `cargo build --release` makes it", path.display()))
}

fn print(systems: &[Vec<Figures>], arguments: &Arguments) {
    println!(
        "three replicas each, {} bytes a write, {} logical clients over {} connections, Quorate's clients {}; medians of {} rounds",
        arguments.bytes,
        arguments.clients,
        arguments.connections,
        if arguments.signed { "sign" } else { "do not sign" },
        arguments.rounds
    );
    let row = |what: &str, of: fn(&Figures) -> f64| {
        let figures: Vec<f64> = systems.iter().map(|rounds| median(rounds.iter().map(of))).collect();
        let cells: Vec<String> = figures.iter().map(|figure| format!("{figure:>12.2}")).collect();
        let ratio = match figures[..] {
            [first, second] => format!("{:>12.2}", second / first),
            _ => String::new(),
        };
        println!("  {what:<46}{}{ratio}", cells.join(""));
    };
    let names: Vec<String> = systems.iter().map(|rounds| format!("{:>12}", rounds[0].name)).collect();
    println!("  {:<46}{}{:>12}", "", names.join(""), if systems.len() == 2 { "ratio" } else { "" });
    row("one client: p50, ms", |figures| figures.one_p50_ms);
    row("one client: p99, ms", |figures| figures.one_p99_ms);
    row("one client: CPU-µs a write, all replicas", |figures| figures.one_cpu_us);
    row("under load: writes a second", |figures| figures.rate);
    row("under load: p50, ms", |figures| figures.p50_ms);
    row("under load: p99, ms", |figures| figures.p99_ms);
    row("under load: CPU-µs a write, all replicas", |figures| figures.cpu_us);
    row("under load: CPU-µs a write, the clients", |figures| figures.clients_cpu_us);
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
