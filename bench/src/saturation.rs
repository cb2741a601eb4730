//! What a transaction costs, and how long it takes, while clients submit as fast as they are answered.

use crate::consortium::Consortium;
use crate::generator::{Loaded, pause};
use crate::load::LoadArguments;
use crate::process::ReplicaProcess;
use crate::reading::{DiskUse, Reading, resident_mib};
use crate::recorder::Latency;
use crate::stages::Stages;
use crate::timeline::{self, Sample};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Looks at the disk within the measured stretch.
const DISK_LOOKS: u32 = 12;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Saturation {
    /// Seconds of saturation.
    pub seconds: f64,
    /// Committed transactions per second.
    pub transactions_per_second: f64,
    /// Transactions in a block, on average.
    pub transactions_per_block: f64,
    /// Until it was acknowledged with a verified receipt.
    pub latency: Latency,
    /// CPU time of all replicas together per transaction, in microseconds.
    pub cpu_us_per_transaction: f64,
    /// The same by replica.
    pub cpu_us_by_replica: Vec<f64>,
    /// The same by what it was spent on.
    pub cpu_us_by_stage: BTreeMap<&'static str, f64>,
    /// CPU time of the clients per transaction, in microseconds.
    pub client_cpu_us_per_transaction: f64,
    /// Pairings that all replicas together evaluated for a block.
    pub pairings_per_block: f64,
    /// CPU time of what replicas sign, made and verified (shares, certificates, their own signatures), of all of them together for a
    /// block, in milliseconds.
    pub certificate_ms_per_block: f64,
    /// Throughput, processors and memory as time passed.
    pub timeline: Vec<Sample>,
    /// Bytes appended to a replica's log per byte of payload.
    pub log_bytes_per_payload: f64,
    /// Syncs of a replica's log per block.
    pub fsyncs_per_block: f64,
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
}

impl Saturation {
    /// In words and figures.
    pub fn print(&self) {
        println!("as many transactions as they can, for {:.0} s", self.seconds);
        let rows: [(&str, f64, &str); 16] = [
            ("committed transactions per second", self.transactions_per_second, ""),
            ("transactions per block", self.transactions_per_block, ""),
            ("latency with proven receipt, p50, ms", self.latency.p50_ms, ""),
            ("latency with proven receipt, p99, ms", self.latency.p99_ms, ""),
            ("CPU-µs per transaction, all replicas", self.cpu_us_per_transaction, "≤ 180"),
            ("CPU-µs per transaction, the clients", self.client_cpu_us_per_transaction, ""),
            ("pairings per block, all replicas", self.pairings_per_block, ""),
            ("certificates, CPU-ms per block, all replicas", self.certificate_ms_per_block, "≤ 6, 8"),
            ("log bytes appended per payload byte", self.log_bytes_per_payload, "≤ 1.05"),
            ("log syncs per block and replica", self.fsyncs_per_block, "≤ 2"),
            ("proposal bytes per (n-1) payload", self.proposal_bytes_per_payload, "≤ 1.05"),
            ("all bytes between replicas per (n-1) payload", self.sent_bytes_per_payload, "≤ 1.32"),
            ("resident memory half-way, MiB", self.resident_half_way_mib, "≤ 300"),
            ("resident memory at the end, MiB", self.resident_at_end_mib, "≤ 300, flat"),
            ("data directory half-way, MiB", self.disk[self.disk.len() / 2 - 1].sum_mib(), ""),
            ("data directory at the end, MiB", self.disk[self.disk.len() - 1].sum_mib(), ""),
        ];
        for (name, value, bound) in rows {
            println!("  {name:<46} {value:>10.2}  {bound}");
        }
        let by_stage: Vec<String> =
            self.cpu_us_by_stage.iter().map(|(stage, us)| format!("{stage} {us:.1}")).collect();
        println!("  of the CPU-µs: {}", by_stage.join(", "));
        let by_replica: Vec<String> = self.cpu_us_by_replica.iter().map(|us| format!("{us:.1}")).collect();
        println!("  by replica: {}", by_replica.join(", "));
        let by_kind = self.sent_bytes_by_kind.iter().filter(|(_, share)| **share >= 0.001);
        let by_kind: Vec<String> = by_kind.map(|(kind, share)| format!("{kind} {share:.3}")).collect();
        println!("  of all bytes: {}", by_kind.join(", "));
        let row = |of: fn(&DiskUse) -> f64| -> String {
            self.disk.iter().map(|disk| format!("{:>6.0}", of(disk))).collect()
        };
        println!("  after seconds             {}", row(|disk| disk.seconds));
        println!("  log, MiB on disk          {}", row(|disk| disk.log_mib));
        println!("  state, MiB on disk        {}", row(|disk| disk.state_mib));
    }
}

/// Syncs of a replica's log per block, with so many small blocks in agreement at a time that the window is full.
///
/// # Errors
/// If the network stops serving.
pub async fn syncs_with_window_full(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<f64> {
    let loaded = Loaded::start(arguments, consortium, processes, None, 2000).await?;
    let first = Reading::take(&loaded.watch, processes).await?;
    pause(Duration::from_secs(5)).await;
    let last = Reading::take(&loaded.watch, processes).await?;
    loaded.stop().await?;
    Ok((last.sum("log_fsyncs") - first.sum("log_fsyncs"))
        / (last.sum("executed_blocks") - first.sum("executed_blocks")))
}

fn own_cpu() -> Duration {
    crate::process::cpu_time(std::process::id()).unwrap_or_default()
}

/// Measures it.
///
/// # Errors
/// If the network stops serving.
pub async fn measure(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<Saturation> {
    let loaded = Loaded::start(arguments, consortium, processes, None, 2000).await?;
    let stretch = Duration::from_secs(if arguments.quick { 20 } else { arguments.seconds });
    loaded.recorder.take();
    let own = own_cpu();
    let first = Reading::take(&loaded.watch, processes).await?;
    let (mut disk, mut timeline) = (Vec::new(), Vec::new());
    for look in 1..=DISK_LOOKS {
        let left = (first.at + stretch * look / DISK_LOOKS).saturating_duration_since(Instant::now());
        let begun = first.at.elapsed().as_secs_f64();
        let samples = timeline::record(&loaded.recorder, processes, left).await;
        timeline.extend(samples.into_iter().map(|s| Sample { seconds: s.seconds + begun, ..s }));
        disk.push(DiskUse::take(consortium, first.at.elapsed())?);
    }
    let last = Reading::take(&loaded.watch, processes).await?;
    let own = own_cpu().saturating_sub(own);
    let resident_at_end_mib = resident_mib(processes);
    let resident_half_way_mib = timeline.get(timeline.len() / 2).map_or(0.0, |sample| sample.resident_mib);
    let latency = loaded.recorder.take();
    loaded.stop().await?;

    let n = arguments.replicas as f64;
    let delta = |name: &str| last.sum(name) - first.sum(name);
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let transactions = delta("executed_transactions") / n;
    let blocks = delta("executed_blocks") / n;
    let payload = delta("executed_payload_bytes") / n;
    let sent = |prefix: &str| last.sum_all(prefix) - first.sum_all(prefix);
    let spent: Vec<Stages> =
        last.stages.iter().zip(&first.stages).map(|(last, first)| last.since(first)).collect();
    Ok(Saturation {
        seconds,
        transactions_per_second: transactions / seconds,
        transactions_per_block: transactions / blocks,
        latency,
        cpu_us_per_transaction: (last.cpu - first.cpu).as_secs_f64() * 1e6 / transactions,
        cpu_us_by_replica: spent.iter().map(|stages| stages.per(transactions).values().sum()).collect(),
        cpu_us_by_stage: spent.into_iter().sum::<Stages>().per(transactions),
        client_cpu_us_per_transaction: own.as_secs_f64() * 1e6 / transactions,
        pairings_per_block: delta("pairings") / blocks,
        certificate_ms_per_block: delta("cpu_nanos/certificates") / 1e6 / blocks,
        timeline,
        log_bytes_per_payload: delta("log_appended_bytes") / n / payload,
        fsyncs_per_block: delta("log_fsyncs") / n / blocks,
        proposal_bytes_per_payload: (sent("sent_bytes/pre-prepare")
            + sent("sent_bytes/proposal")
            + sent("sent_bytes/append"))
            / ((n - 1.0) * payload),
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
    })
}
