//! The replicas as a whole: whether they run, who leads, whether they agree; and the crash.

use super::narration::Narration;
use crate::cli::connect_as_stranger;
use crate::cli::status::status_of;
use anyhow::{Context, bail};
use bench::consortium::Consortium;
use bench::process::{ReplicaProcess, stop_all};
use bft_core::genesis::Genesis;
use bft_core::request::StatusReport;
use bft_core::types::Height;
use client::Client;
use crypto::{Digest, ReplicaId};
use std::time::{Duration, Instant};

/// How long the replicas may take to start.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long the replicas may take to agree after the load.
const AGREE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a replica may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the killed leader stays away.
const AWAY: Duration = Duration::from_millis(1500);

/// A network that runs.
pub(super) struct Started {
    pub consortium: Consortium,
    pub cluster: Cluster,
}

/// The replicas' processes, and a client to ask them with.
pub(super) struct Cluster {
    genesis: Genesis,
    processes: Vec<ReplicaProcess>,
    pub observer: Client,
}

/// All replicas have one state.
pub(super) struct Agreement {
    pub height: Height,
    pub root: Digest,
    pub replicas: usize,
}

/// The crash.
pub(super) struct Crash {
    pub replica: ReplicaId,
    pub at: Instant,
    pub away: Duration,
}

impl Cluster {
    /// Waits until every replica reports and has connections to all others.
    pub(super) async fn up(genesis: Genesis, mut processes: Vec<ReplicaProcess>) -> anyhow::Result<Cluster> {
        let until = Instant::now() + START_PATIENCE;
        let observer = loop {
            check_alive(&mut processes)?;
            match connect_as_stranger(genesis.clone()).await {
                Ok(client) => break client,
                Err(_) if Instant::now() < until => {}
                Err(error) => return Err(error),
            }
        };
        let mut cluster = Cluster { genesis, processes, observer };
        loop {
            check_alive(&mut cluster.processes)?;
            let missing = match cluster.reports().await {
                Err(error) => error,
                Ok(reports) => match reports.iter().find(|r| r.peers.iter().any(|peer| !peer.connected)) {
                    None => return Ok(cluster),
                    Some(report) => anyhow::anyhow!("{} is not connected to all others", report.replica),
                },
            };
            if Instant::now() > until {
                return Err(
                    missing.context(format!("the replicas are not up after {} s", START_PATIENCE.as_secs()))
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Everybody's report, or the reason why somebody gives none.
    async fn reports(&self) -> anyhow::Result<Vec<StatusReport>> {
        let mut reports = Vec::with_capacity(self.processes.len());
        for replica in self.genesis.committee().members() {
            let report = status_of(&self.observer, replica).await;
            reports.push(report.with_context(|| format!("{replica} gives no status"))?);
        }
        Ok(reports)
    }

    /// Waits until all have executed and certified the same height, with the same state.
    pub(super) async fn await_agreement(&mut self) -> anyhow::Result<Agreement> {
        let until = Instant::now() + AGREE_PATIENCE;
        loop {
            check_alive(&mut self.processes)?;
            let problem = match self.reports().await {
                Err(error) => format!("{error:#}"),
                Ok(reports) => match agreement(&reports)? {
                    Some(agreement) => return Ok(agreement),
                    None => in_words(&reports),
                },
            };
            if Instant::now() > until {
                bail!("the replicas do not agree after {} s: {problem}", AGREE_PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// User and system time of all replicas so far.
    pub(super) fn cpu_time(&self) -> Duration {
        self.processes.iter().map(ReplicaProcess::cpu_time).sum()
    }

    /// Stops every replica in order.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        stop_all(&mut self.processes, STOP_PATIENCE)
    }

    /// Lets the processes run on. Gives their numbers.
    pub(super) fn detach(self) -> Vec<u32> {
        self.processes.into_iter().filter_map(ReplicaProcess::detach).collect()
    }
}

/// Another program took a port between the choice and the start.
#[derive(Debug, thiserror::Error)]
#[error("{0} lost its port to another program")]
pub(super) struct PortTaken(ReplicaId);

/// A replica that ended by itself is an error, with its last words.
fn check_alive(processes: &mut [ReplicaProcess]) -> anyhow::Result<()> {
    for process in processes {
        if process.lost_its_port() {
            return Err(PortTaken(process.replica()).into());
        }
        if let Some(status) = process.ended() {
            bail!("{} ended by itself ({status}): {}", process.replica(), process.last_words());
        }
    }
    Ok(())
}

/// Whether all reports are of one certified state. Different roots of one height are an error at once.
fn agreement(reports: &[StatusReport]) -> anyhow::Result<Option<Agreement>> {
    for (a, b) in reports.iter().zip(reports.iter().skip(1)) {
        if a.stable == b.stable && a.state_root != b.state_root {
            bail!(
                "{} and {} have different states of height {}: {:?} and {:?}",
                a.replica,
                b.replica,
                a.stable,
                a.state_root,
                b.state_root
            );
        }
    }
    let Some(first) = reports.first() else { return Ok(None) };
    let same = |r: &StatusReport| r.is_settled() && (r.stable, r.executed) == (first.stable, first.executed);
    match first.state_root {
        Some(root) if reports.iter().all(same) => {
            Ok(Some(Agreement { height: first.stable, root, replicas: reports.len() }))
        }
        _ => Ok(None),
    }
}

fn in_words(reports: &[StatusReport]) -> String {
    let each = reports.iter().map(|r| {
        let waits = if r.waits_for.is_empty() {
            String::new()
        } else {
            format!(", waits for {}", r.waits_for.join("; "))
        };
        format!(
            "{} committed {}, executed {}, stable {}{waits}",
            r.replica, r.committed, r.executed, r.stable
        )
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Kills the leader after a while, and brings it back.
pub(super) async fn crash_the_leader(
    cluster: &mut Cluster,
    after: Duration,
    narration: &Narration,
) -> anyhow::Result<Crash> {
    tokio::time::sleep(after).await;
    let reports = cluster.reports().await?;
    // The word of most: one may be late.
    let leader = reports
        .iter()
        .map(|report| report.leader)
        .max_by_key(|leader| reports.iter().filter(|report| report.leader == *leader).count())
        .context("no replica says who leads")?;
    let process = &mut cluster.processes[leader.index()];
    let pid = process.pid().context("the leader does not run")?;
    process.kill()?;
    let at = Instant::now();
    narration.say(&format!("KILLED the leader {leader} (SIGKILL to process {pid})"));
    tokio::time::sleep(AWAY).await;
    cluster.processes[leader.index()].restart()?;
    narration.say(&format!("{leader} starts again on what its disk has"));
    Ok(Crash { replica: leader, at, away: at.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(replica: u16, stable: Height, executed: Height, root: u8) -> StatusReport {
        StatusReport {
            replica: ReplicaId(replica),
            chain: Digest::ZERO,
            epoch: 1,
            protocol: "pbft".into(),
            view: 0,
            leader: ReplicaId(0),
            active: true,
            votes: true,
            committed: executed,
            executed,
            stable,
            owes: executed,
            state_root: Some(Digest([root; 32])),
            pooled: 0,
            evidence: 0,
            waits_for: vec![],
            peers: vec![],
            counters: vec![],
        }
    }

    #[test]
    fn agreement_is_one_height_certified_and_executed_by_all() {
        let agreed = agreement(&[report(0, 7, 7, 1), report(1, 7, 7, 1)]).unwrap().unwrap();
        assert_eq!((agreed.height, agreed.root, agreed.replicas), (7, Digest([1; 32]), 2));
        assert!(agreement(&[report(0, 7, 8, 1), report(1, 7, 7, 1)]).unwrap().is_none());
        assert!(agreement(&[report(0, 7, 7, 1), report(1, 6, 6, 2)]).unwrap().is_none());
        assert!(agreement(&[]).unwrap().is_none());
    }

    #[test]
    fn different_states_of_one_height_are_an_error() {
        assert!(agreement(&[report(0, 7, 7, 1), report(1, 7, 7, 2)]).is_err());
    }
}
