//! What the replicas say of themselves while things go wrong, and what they must never say.

use bench::process::ReplicaProcess;
use bft_core::request::StatusReport;
use client::Client;
use crypto::{Digest, ReplicaId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Between two looks at one replica.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Memory that a replica may have resident.
pub const RESIDENT_BYTES: u64 = 300 << 20;

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// The last report of each replica, and when it was asked for.
    reports: BTreeMap<ReplicaId, (Instant, StatusReport)>,
    /// The state roots of certified heights, and who said so first.
    roots: BTreeMap<u64, (Digest, ReplicaId)>,
    violation: Option<String>,
}

/// Asks every replica again and again. Ends with this value.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    pub fn start(client: &Client, replicas: impl Iterator<Item = ReplicaId>) -> Watch {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let tasks = replicas.map(|replica| {
            let (client, seen) = (client.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                loop {
                    let asked = Instant::now();
                    if let Ok(report) = client.status(replica).await {
                        lock(&seen).note(asked, report);
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            })
        });
        let tasks = tasks.collect();
        Watch { seen, tasks }
    }

    /// What must never be, if it was seen.
    pub fn violation(&self) -> Option<String> {
        lock(&self.seen).violation.clone()
    }

    /// The last reports that were asked for after `since`.
    pub fn reports(&self, since: Instant) -> Vec<StatusReport> {
        let seen = lock(&self.seen);
        seen.reports.values().filter(|(asked, _)| *asked > since).map(|(_, report)| report.clone()).collect()
    }

    /// Who leads, in the highest view that anybody has reported.
    pub fn leader(&self) -> Option<ReplicaId> {
        let seen = lock(&self.seen);
        seen.reports.values().map(|(_, report)| report).max_by_key(|report| report.view).map(|r| r.leader)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Nothing in it is half done when it panics.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn note(&mut self, asked: Instant, report: StatusReport) {
        if let Some(root) = report.state_root {
            let (first, by) = *self.roots.entry(report.stable).or_insert((root, report.replica));
            if first != root {
                self.violation.get_or_insert(format!(
                    "{by} and {} have different certified states of height {}: {first} and {root}",
                    report.replica, report.stable
                ));
            }
        }
        if report.executed > report.committed || report.stable > report.executed {
            self.violation.get_or_insert(format!(
                "{} has committed {}, executed {}, stable {}",
                report.replica, report.committed, report.executed, report.stable
            ));
        }
        self.reports.insert(report.replica, (asked, report));
    }
}

/// Which views the replicas are in, in one line.
pub fn views(reports: &[StatusReport]) -> String {
    let each = reports.iter().map(|report| {
        let entering = if report.active { "" } else { "?" };
        format!("{} {}{entering}", report.replica, report.view)
    });
    format!("views: {}", each.collect::<Vec<_>>().join(", "))
}

/// What the replicas wait for, for people.
pub fn in_words(reports: &[StatusReport]) -> String {
    let each = reports.iter().map(|report| {
        let StatusReport { replica, view, leader, active, votes, committed, executed, stable, pooled, .. } =
            report;
        let lost: Vec<String> =
            report.peers.iter().filter(|peer| !peer.connected).map(|peer| peer.replica.to_string()).collect();
        format!(
            "{replica}: view {view} of {leader}{}{}, committed {committed}, executed {executed}, stable {stable}, pooled \
             {pooled}, not connected [{}], waits for [{}]",
            if *active { "" } else { " (not entered)" },
            if *votes { "" } else { ", does not vote" },
            lost.join(", "),
            report.waits_for.join("; ")
        )
    });
    each.collect::<Vec<_>>().join("\n")
}

/// What a process shows that no replica may: a panic, or too much memory. Gives the memory it had at most.
///
/// # Errors
/// What it shows.
pub fn inspect(process: &ReplicaProcess) -> Result<u64, String> {
    let replica = process.replica();
    let output = std::fs::read(process.output_path()).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    if let Some(line) = output.lines().find(|line| line.contains("panicked")) {
        return Err(format!("{replica} panicked: {line}"));
    }
    let peak = process.peak_resident().unwrap_or(0);
    if peak > RESIDENT_BYTES {
        return Err(format!("{replica} had {} MiB of memory", peak >> 20));
    }
    Ok(peak)
}
