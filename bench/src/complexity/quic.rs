//! The same counts over real QUIC: replica processes on this machine, one transaction at a time.

use super::row::{BY_TIME, Row, name};
use crate::consortium::{App, Consortium, ConsortiumConfig, fresh_seed, replica_id};
use crate::generator::{connect, pause, wait_until_up};
use crate::load::SOON;
use crate::process::{ReplicaProcess, stop_all};
use crate::reading::Reading;
use crate::variant::Variant;
use anyhow::{Context, ensure};
use app_examples::ledger::Operation;
use bft_core::genesis::Limits;
use bft_core::transaction::Kind;
use client::{Client, ClientConfig};
use crypto::{FaultModel, Scheme};
use serde::Serialize;
use sim::complexity::Case;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Transactions whose messages are counted, one by one.
const TRANSACTIONS: usize = 12;

/// Between two looks at whether everybody is at rest.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Messages of one transaction over QUIC, beside the simulator's.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Protocol and rule.
    pub variant: Variant,
    /// How certificates are made.
    pub scheme: String,
    /// Size of the committee.
    pub replicas: usize,
    /// What a transaction took, by kind, where no timer said anything again: the fewest of those counted.
    pub messages: BTreeMap<String, u64>,
    /// How many of them took just that.
    pub alike: usize,
    /// Of so many.
    pub transactions: usize,
    /// Bytes of frames between replicas, per transaction, by our own account.
    pub bytes: f64,
    /// Bytes of UDP payload that QUIC made of them, acknowledgements and keep-alives among them.
    pub udp_bytes: f64,
    /// Datagrams in which they travelled.
    pub datagrams: f64,
    /// Where this differs from the simulator.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Which network this is, in words.
    pub fn subject(&self) -> String {
        format!("{}, {}, n = {}", self.variant.name(), self.scheme, self.replicas)
    }

    /// Beside the simulator's row of the same network.
    fn beside(mut self, row: &Row) -> Comparison {
        let simulated: BTreeMap<&str, f64> = row
            .kinds
            .iter()
            .filter(|kind| !BY_TIME.contains(&kind.kind.as_str()))
            .map(|kind| (kind.kind.as_str(), kind.messages.seen))
            .collect();
        let mut kinds: Vec<&str> = simulated.keys().copied().collect();
        kinds.extend(self.messages.keys().map(String::as_str).filter(|kind| !simulated.contains_key(kind)));
        let differs = |kind: &&str| {
            let (seen, expected) = (self.messages.get(*kind).copied().unwrap_or(0), simulated.get(kind));
            let expected = expected.copied().unwrap_or(0.0);
            (seen as f64 - expected).abs() > 1e-9
        };
        let say = |kind: &str| {
            let (seen, expected) = (self.messages.get(kind).copied().unwrap_or(0), simulated.get(kind));
            format!(
                "{}, over QUIC: {seen} {kind} for a transaction, and {:.2} in the simulator",
                self.subject(),
                expected.copied().unwrap_or(0.0)
            )
        };
        self.differences = kinds.into_iter().filter(differs).map(say).collect();
        self
    }
}

/// Counts on a network of processes.
///
/// # Errors
/// If it does not come up, or stops serving.
pub fn compare(
    executable: &Path,
    (variant, scheme, replicas): (Variant, Scheme, usize),
    row: &Row,
) -> anyhow::Result<Comparison> {
    debug_assert_eq!(row.case, name(Case::Alone));
    let dir = std::env::temp_dir().join(format!("quorate-complexity-{}", std::process::id()));
    let limits = Limits {
        // What only time would send is far away, as in the simulator.
        view_timeout_ms: 20_000,
        checkpoint_interval: 32,
        checkpoint_ms: 1_000_000,
        tenure_views: 100_000,
        ..Limits::default()
    };
    let mut consortium = Consortium::create(ConsortiumConfig {
        dir,
        executable: executable.to_owned(),
        replicas,
        clients: 1,
        scheme,
        app: App::Ledger,
        protocol: variant.protocol(),
        limits: variant.limits(limits),
        seed: fresh_seed()?,
    })?;
    let mut processes = consortium.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let counted = runtime.block_on(count(&consortium, &mut processes));
    let stopped = stop_all(&mut processes, Duration::from_secs(10));
    let counted =
        counted.with_context(|| format!("the replicas' logs are in {}", consortium.dir.display()))?;
    stopped?;
    consortium.remove()?;
    let Counted { messages, alike, bytes, udp_bytes, datagrams } = counted;
    let comparison = Comparison {
        variant,
        scheme: scheme.to_string(),
        replicas,
        messages,
        alike,
        transactions: TRANSACTIONS,
        bytes,
        udp_bytes,
        datagrams,
        differences: Vec::new(),
    };
    Ok(comparison.beside(row))
}

struct Counted {
    messages: BTreeMap<String, u64>,
    alike: usize,
    bytes: f64,
    udp_bytes: f64,
    datagrams: f64,
}

async fn count(consortium: &Consortium, processes: &mut [ReplicaProcess]) -> anyhow::Result<Counted> {
    let secret = &consortium.clients[0];
    let mut config = ClientConfig::new(consortium.genesis.clone(), secret.clone());
    config.first_replica = Some(replica_id(0));
    let watch = connect(config.clone()).await?;
    wait_until_up(&watch, processes).await?;
    let issue = Operation::Issue { asset: consortium.asset(), to: secret.public(), amount: 1 }.encode();
    // The first one elects a leader where there is none yet.
    watch.submit(Kind::Application, issue.clone()).await?;
    let mut before = at_rest(&watch, processes).await?;
    config.first_replica = Some(watch.status(replica_id(0)).await?.leader);
    let client = connect(config).await?;
    let first = ["sent_bytes/", "udp_sent_bytes", "udp_sent_datagrams"].map(|name| before.sum_all(name));
    let mut seen: BTreeMap<BTreeMap<String, u64>, usize> = BTreeMap::new();
    for _ in 0..TRANSACTIONS {
        let receipt = client.submit(Kind::Application, issue.clone()).await?;
        ensure!(receipt.receipt.code == 0, "issuing was refused with code {}", receipt.receipt.code);
        let after = at_rest(&watch, processes).await?;
        let sent = after.by_kind("sent_messages/");
        let earlier = before.by_kind("sent_messages/");
        let more = sent.into_iter().filter_map(|(kind, count)| {
            let more = count - earlier.get(&kind).copied().unwrap_or(0.0);
            (more > 0.0 && !BY_TIME.contains(&kind.as_str())).then_some((kind, more as u64))
        });
        *seen.entry(more.collect()).or_default() += 1;
        before = after;
    }
    let last = ["sent_bytes/", "udp_sent_bytes", "udp_sent_datagrams"].map(|name| before.sum_all(name));
    let [bytes, udp_bytes, datagrams] =
        std::array::from_fn(|place| (last[place] - first[place]) / TRANSACTIONS as f64);
    // On a busy machine timers repeat votes that are only late; they add messages and take none away.
    let fewest = seen.into_iter().min_by_key(|(messages, _)| messages.values().sum::<u64>());
    let (messages, alike) = fewest.context("transactions were counted")?;
    Ok(Counted { messages, alike, bytes, udp_bytes, datagrams })
}

/// Waits until everybody is at the same height and nobody sends anything any more.
async fn at_rest(watch: &Client, processes: &[ReplicaProcess]) -> anyhow::Result<Reading> {
    let deadline = Instant::now() + SOON;
    // Where nobody lies, nobody waits for certificates.
    let certified = watch.trust().domain.fault_model == FaultModel::Byzantine;
    let mut before = Reading::take(watch, processes).await?;
    loop {
        ensure!(Instant::now() < deadline, "the replicas do not come to rest");
        pause(LOOK_EVERY).await;
        let now = Reading::take(watch, processes).await?;
        let sent = |reading: &Reading| -> f64 {
            let by_kind = reading.by_kind("sent_messages/");
            by_kind.iter().filter(|(kind, _)| !BY_TIME.contains(&kind.as_str())).map(|(_, count)| count).sum()
        };
        if now.is_settled(certified) && sent(&now) == sent(&before) {
            return Ok(now);
        }
        before = now;
    }
}
