//! What one transaction takes while nothing else is to be done: one client, one transaction in flight.

use crate::consortium::Consortium;
use crate::generator::{Loaded, pause};
use crate::load::LoadArguments;
use crate::process::ReplicaProcess;
use crate::reading::Reading;
use serde::Serialize;
use std::time::Duration;

/// How long it is measured.
const STRETCH: Duration = Duration::from_secs(8);

/// The same of a quick run.
const SHORT_STRETCH: Duration = Duration::from_secs(4);

/// Latency of a network that has one transaction to order at a time.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// How many were measured.
    pub transactions: usize,
    /// Acknowledged with a verified receipt: 50th percentile, in milliseconds.
    pub latency_p50_ms: f64,
    /// The same, 99th percentile.
    pub latency_p99_ms: f64,
    /// Milliseconds that a view took, on average; 0 if views did not change.
    pub view_ms: f64,
    /// CPU time of all replicas for one transaction, in milliseconds.
    pub cpu_ms: f64,
    /// What all replicas do for one transaction, by counter: certificates verified and made, promises sealed, syncs, messages.
    pub work: Vec<(String, f64)>,
}

/// The counters shown.
const WORK: [(&str, &str); 5] = [
    ("certificates verified", "verified_certificates"),
    ("certificates combined of shares", "combinations"),
    ("promises sealed", "seals"),
    ("log syncs", "log_fsyncs"),
    ("messages", "sent_messages/"),
];

impl Idle {
    /// In words and figures.
    pub fn print(&self) {
        println!("one client with one transaction in flight, {} transactions", self.transactions);
        println!("  {:<46} {:>10.2}", "latency with proven receipt, p50, ms", self.latency_p50_ms);
        println!("  {:<46} {:>10.2}", "latency with proven receipt, p99, ms", self.latency_p99_ms);
        println!("  {:<46} {:>10.2}", "a view, ms", self.view_ms);
        println!("  {:<46} {:>10.2}", "CPU-ms per transaction, all replicas", self.cpu_ms);
        for (name, count) in &self.work {
            println!("  {:<46} {:>10.2}", format!("{name} per transaction"), count);
        }
    }
}

/// Measures it.
///
/// # Errors
/// If the network stops serving.
pub async fn measure(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<Idle> {
    let one = LoadArguments { clients: 1, connections: 1, in_flight: 1, ..arguments.clone() };
    let loaded = Loaded::start(&one, consortium, processes, None, 20).await?;
    let view = async || anyhow::Ok(loaded.watch.status(processes[0].replica()).await?.view);
    let (first, first_view) = (Reading::take(&loaded.watch, processes).await?, view().await?);
    pause(if arguments.quick { SHORT_STRETCH } else { STRETCH }).await;
    let (last, last_view) = (Reading::take(&loaded.watch, processes).await?, view().await?);
    let latencies = loaded.stop().await?;
    let (seconds, views) = ((last.at - first.at).as_secs_f64(), last_view - first_view);
    let replicas = processes.len() as f64;
    let transactions = (last.sum("executed_transactions") - first.sum("executed_transactions")) / replicas;
    let per_transaction = |(name, counter): (&str, &str)| {
        (name.to_owned(), (last.sum_all(counter) - first.sum_all(counter)) / transactions)
    };
    Ok(Idle {
        transactions: usize::try_from(latencies.count)?,
        latency_p50_ms: latencies.p50_ms,
        latency_p99_ms: latencies.p99_ms,
        view_ms: if views == 0 { 0.0 } else { seconds * 1e3 / views as f64 },
        cpu_ms: (last.cpu - first.cpu).as_secs_f64() * 1e3 / transactions,
        work: WORK.into_iter().map(per_transaction).collect(),
    })
}
