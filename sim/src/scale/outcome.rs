//! What a run came to.

use super::node::Frame;
use super::world::World;
use bft_core::machine::StateMachine;
use bft_core::types::{Height, ReplicaId, Time, View};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts of the whole world.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Time of cores used, by kind of work.
    pub by_kind: BTreeMap<&'static str, Duration>,
    /// Time of cores that clients used.
    pub clients_used: Duration,
    /// What replicas wrote to connections and read off them: times, frames, bytes.
    pub writes: u64,
    pub frames: u64,
    pub bytes: u64,
    /// Frames handed to the threads that verify.
    pub handed_over: u64,
}

impl Counts {
    pub fn count(&mut self, frames: &[Frame]) {
        self.writes += 1;
        self.frames += frames.len() as u64;
        self.bytes += frames.iter().map(|frame| frame.weight).sum::<u64>();
    }
}

/// What happened until a moment.
#[derive(Clone, Debug)]
pub(super) struct SoFar {
    at: Time,
    transactions: u64,
    heights: Height,
    view: View,
    counts: Counts,
    received: usize,
    machines: Vec<Duration>,
    hosts: Vec<Duration>,
    crypto: Vec<Duration>,
    egress: Vec<Duration>,
    syncs: u64,
}

/// How much of its time something was busy, between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// The cores of its machine.
    pub cores: f64,
    /// Its host's task.
    pub host: f64,
    /// Its crypto threads.
    pub crypto: f64,
    /// Its way out; 0 without a bandwidth.
    pub egress: f64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds of virtual time.
    pub seconds: f64,
    /// Transactions executed.
    pub transactions: u64,
    /// Heights executed.
    pub heights: u64,
    /// Views entered.
    pub views: u64,
    /// From submission to receipt, in ascending order.
    pub latencies: Vec<Duration>,
    /// Receipts that say that a transaction was refused.
    pub refused: u64,
    /// Time of cores that replicas used.
    pub replicas_used: Duration,
    /// Time of cores that clients used.
    pub clients_used: Duration,
    /// Time of cores used, by kind of work.
    pub by_kind: BTreeMap<&'static str, Duration>,
    /// Writes to connections and reads off them, by replicas.
    pub writes: u64,
    /// Frames in them.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were handed to the threads that verify.
    pub handed_over: u64,
    /// Syncs of logs.
    pub syncs: u64,
    /// The replica that leads at the end.
    pub leader: ReplicaId,
    /// How busy the leader was; where leaders took turns, whoever led, about.
    pub of_leader: Shares,
    /// How busy all were, on average.
    pub of_all: Shares,
}

impl Outcome {
    /// Transactions a second.
    pub fn per_second(&self) -> f64 {
        self.transactions as f64 / self.seconds
    }

    /// A percentile of the latencies, in milliseconds.
    pub fn latency_ms(&self, percent: usize) -> f64 {
        let place = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    /// Time of cores that replicas used for what quorums sign.
    pub fn signatures_used(&self) -> Duration {
        ["seal", "combine", "certificates"].iter().filter_map(|kind| self.by_kind.get(kind)).sum()
    }

    /// Time of cores of all replicas for a transaction, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.replicas_used.as_secs_f64() * 1e6 / self.transactions as f64
    }
}

fn spent(now: &[Duration], before: &[Duration]) -> Vec<Duration> {
    now.iter().zip(before).map(|(now, before)| *now - *before).collect()
}

/// Where leaders take turns: what all were busier than the least busy, who did not lead, came of leading.
fn of_whoever_leads(all: &[Shares]) -> Shares {
    let excess = |of: fn(&Shares) -> f64| {
        let least = all.iter().map(of).fold(f64::INFINITY, f64::min);
        (all.iter().map(|shares| of(shares) - least).sum::<f64>() + least).min(1.0)
    };
    Shares {
        cores: excess(|shares| shares.cores),
        host: excess(|shares| shares.host),
        crypto: excess(|shares| shares.crypto),
        egress: excess(|shares| shares.egress),
    }
}

impl<A: StateMachine + Clone> World<'_, A> {
    pub fn so_far(&self) -> SoFar {
        let hosts = || self.nodes.iter().filter_map(|node| node.host.as_ref());
        SoFar {
            at: self.now,
            transactions: hosts().map(|host| host.totals().transactions).max().unwrap_or(0),
            heights: hosts().map(|host| host.executed()).max().unwrap_or(0),
            view: hosts().map(|host| host.engine_view()).max().unwrap_or(0),
            counts: self.counts.clone(),
            received: self.generator.latencies.len(),
            machines: self.used().into_iter().map(|(used, _)| used).collect(),
            hosts: self.nodes.iter().map(|node| node.host_used).collect(),
            crypto: self.nodes.iter().map(|node| node.crypto.used).collect(),
            egress: self
                .nodes
                .iter()
                .map(|node| node.egress.as_ref().map_or(Duration::ZERO, |egress| egress.used))
                .collect(),
            syncs: self.nodes.iter().map(|node| node.journal.syncs).sum(),
        }
    }

    pub fn outcome(&self, before: &SoFar) -> Outcome {
        let now = self.so_far();
        let seconds = now.at.since(before.at).as_secs_f64();
        let mut latencies: Vec<Duration> =
            self.generator.latencies[before.received..].iter().map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        let machines = spent(&now.machines, &before.machines);
        let (hosts, crypto) = (spent(&now.hosts, &before.hosts), spent(&now.crypto, &before.crypto));
        let egress = spent(&now.egress, &before.egress);
        let leader =
            self.nodes.iter().filter_map(|node| node.host.as_ref()).next().map(|host| host.report().leader);
        let leader = leader.unwrap_or(ReplicaId(0));
        let shares = |place: usize| {
            let machine = if machines.len() == 1 { 0 } else { place };
            let cores = self.used()[machine].1 as f64;
            let crypto_threads = self.nodes[place].crypto.threads() as f64;
            Shares {
                cores: machines[machine].as_secs_f64() / seconds / cores,
                host: hosts[place].as_secs_f64() / seconds,
                crypto: crypto[place].as_secs_f64() / seconds / crypto_threads,
                egress: egress[place].as_secs_f64() / seconds,
            }
        };
        let all: Vec<Shares> = (0..self.nodes.len()).map(shares).collect();
        let mean = |of: fn(&Shares) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        let kind = |(kind, used): (&&'static str, &Duration)| {
            (*kind, *used - before.counts.by_kind.get(kind).copied().unwrap_or_default())
        };
        let kinds = now.counts.by_kind.iter().map(kind).collect();
        let clients_used = now.counts.clients_used - before.counts.clients_used;
        Outcome {
            seconds,
            transactions: now.transactions - before.transactions,
            heights: now.heights - before.heights,
            views: now.view - before.view,
            latencies,
            refused: self.generator.refused,
            replicas_used: machines.iter().sum::<Duration>().saturating_sub(clients_used),
            clients_used,
            by_kind: kinds,
            writes: now.counts.writes - before.counts.writes,
            frames: now.counts.frames - before.counts.frames,
            bytes: now.counts.bytes - before.counts.bytes,
            handed_over: now.counts.handed_over - before.counts.handed_over,
            syncs: now.syncs - before.syncs,
            leader,
            of_leader: if now.view == before.view { shares(leader.index()) } else { of_whoever_leads(&all) },
            of_all: Shares {
                cores: mean(|shares| shares.cores),
                host: mean(|shares| shares.host),
                crypto: mean(|shares| shares.crypto),
                egress: mean(|shares| shares.egress),
            },
        }
    }
}
