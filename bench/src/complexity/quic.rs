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
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// As many transactions have to take just what the simulator's does, message for message.
const ENOUGH: usize = 6;

/// At most so many are counted until then. On a busy machine timers repeat votes that are only late, and a replica that hears of a
/// decision before it could vote for it keeps its vote: neither is the normal case.
const MOST: usize = 48;

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
    /// What a transaction takes in the simulator, by kind.
    pub simulated: BTreeMap<String, u64>,
    /// What it took over QUIC, by kind: most often, or just that if often enough.
    pub messages: BTreeMap<String, u64>,
    /// How many transactions took just what the simulator's does.
    pub equal: usize,
    /// Of so many.
    pub transactions: usize,
    /// Bytes of frames between replicas, per transaction, by our own account.
    pub bytes: f64,
    /// Bytes of UDP payload that QUIC made of them, acknowledgements and keep-alives among them.
    pub udp_bytes: f64,
    /// Datagrams in which they travelled.
    pub datagrams: f64,
}

impl Comparison {
    /// Which network this is, in words.
    pub fn subject(&self) -> String {
        format!("{}, {}, n = {}", self.variant.name(), self.scheme, self.replicas)
    }

    /// How this differs from the simulator, if too few transactions took just what those do there.
    pub fn deviation(&self) -> Option<String> {
        if self.equal >= ENOUGH {
            return None;
        }
        let kinds: BTreeSet<&String> = self.simulated.keys().chain(self.messages.keys()).collect();
        let count = |of: &BTreeMap<String, u64>, kind| of.get(kind).copied().unwrap_or(0);
        let both =
            kinds.into_iter().map(|kind| (kind, count(&self.messages, kind), count(&self.simulated, kind)));
        let differs = both.filter(|(_, over_quic, simulated)| over_quic != simulated);
        let say =
            differs.map(|(kind, over_quic, simulated)| format!("{over_quic} {kind} in place of {simulated}"));
        let say: Vec<String> = say.collect();
        Some(format!(
            "{}, over QUIC: {} of {} transactions as in the simulator; most often {}",
            self.subject(),
            self.equal,
            self.transactions,
            if say.is_empty() { "the same".to_owned() } else { say.join(", ") }
        ))
    }
}

/// What a transaction takes in the simulator.
///
/// # Errors
/// If transactions do not all take the same there.
fn simulated(row: &Row) -> anyhow::Result<BTreeMap<String, u64>> {
    let kinds = row.kinds.iter().filter(|kind| !BY_TIME.contains(&kind.kind.as_str()));
    kinds
        .map(|kind| {
            let seen = kind.messages.seen;
            ensure!(
                seen.fract() == 0.0,
                "{}: {seen} {} for a transaction in the simulator",
                row.subject(),
                kind.kind
            );
            Ok((kind.kind.clone(), seen as u64))
        })
        .collect()
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
    let simulated = simulated(row)?;
    let counted = runtime.block_on(count(&consortium, &mut processes, &simulated));
    let stopped = stop_all(&mut processes, Duration::from_secs(10));
    let counted =
        counted.with_context(|| format!("the replicas' logs are in {}", consortium.dir.display()))?;
    stopped?;
    consortium.remove()?;
    let Counted { seen, transactions, traffic: [bytes, udp_bytes, datagrams] } = counted;
    let equal = seen.get(&simulated).copied().unwrap_or(0);
    let most =
        seen.into_iter().max_by_key(|(_, times)| *times).map(|(messages, _)| messages).unwrap_or_default();
    Ok(Comparison {
        variant,
        scheme: scheme.to_string(),
        replicas,
        messages: if equal >= ENOUGH { simulated.clone() } else { most },
        simulated,
        equal,
        transactions,
        bytes,
        udp_bytes,
        datagrams,
    })
}

struct Counted {
    /// What a transaction took, by kind, and how many took just that.
    seen: BTreeMap<BTreeMap<String, u64>, usize>,
    transactions: usize,
    /// Our bytes, bytes and datagrams of UDP, for a transaction.
    traffic: [f64; 3],
}

async fn count(
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
    simulated: &BTreeMap<String, u64>,
) -> anyhow::Result<Counted> {
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
    let mut transactions = 0;
    while transactions < MOST && seen.get(simulated).is_none_or(|times| *times < ENOUGH) {
        transactions += 1;
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
    let traffic = std::array::from_fn(|place| (last[place] - first[place]) / transactions as f64);
    Ok(Counted { seen, transactions, traffic })
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
