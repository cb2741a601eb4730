//! What replica processes say of themselves, and what the kernel says of them.

use crate::consortium::Consortium;
use crate::process::ReplicaProcess;
use crate::stages::Stages;
use anyhow::Context;
use bft_core::request::StatusReport;
use client::Client;
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Counters of all replicas at one moment.
pub struct Reading {
    /// When.
    pub at: Instant,
    /// CPU time of all of them so far.
    pub cpu: Duration,
    /// The same of each, by what it was spent on.
    pub stages: Vec<Stages>,
    reports: Vec<StatusReport>,
}

impl Reading {
    /// Asks all of them.
    ///
    /// # Errors
    /// If one does not answer.
    pub async fn take(watch: &Client, processes: &[ReplicaProcess]) -> anyhow::Result<Reading> {
        let cpu = processes.iter().map(ReplicaProcess::cpu_time).sum();
        let mut stages: Vec<Stages> = processes.iter().map(Stages::of).collect();
        let at = Instant::now();
        let mut reports = Vec::new();
        for (process, stages) in processes.iter().zip(&mut stages) {
            let report = watch.status(process.replica()).await?;
            stages.split(|part| Duration::from_nanos(counter(&report, &format!("cpu_nanos/{part}")) as u64));
            reports.push(report);
        }
        Ok(Reading { at, cpu, stages, reports })
    }

    /// A counter, summed over replicas.
    pub fn sum(&self, name: &str) -> f64 {
        self.reports.iter().map(|report| counter(report, name)).sum()
    }

    /// Whether all of them have executed the same, and certified it where anybody waits for that.
    pub fn is_settled(&self, certified: bool) -> bool {
        let same =
            |pair: &[StatusReport]| pair[0].executed == pair[1].executed && pair[0].stable == pair[1].stable;
        let done = |report: &StatusReport| {
            report.committed == report.executed && (!certified || report.is_settled())
        };
        self.reports.iter().all(done) && self.reports.windows(2).all(same)
    }

    /// Counters whose names begin so, by the rest of their names, each summed over replicas.
    pub fn by_kind(&self, prefix: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (name, value) in self.reports.iter().flat_map(|report| &report.counters) {
            if let Some(kind) = name.strip_prefix(prefix) {
                *sums.entry(kind.to_owned()).or_default() += *value as f64;
            }
        }
        sums
    }

    /// Counters whose names begin so, summed over replicas.
    pub fn sum_all(&self, prefix: &str) -> f64 {
        self.by_kind(prefix).values().sum()
    }
}

/// A counter of a replica; 0 if it has none of this name.
pub fn counter(report: &StatusReport, name: &str) -> f64 {
    let found = report.counters.iter().find(|(other, _)| other == name);
    found.map_or(0.0, |(_, value)| *value as f64)
}

/// The largest resident memory, in MiB.
pub fn resident_mib(processes: &[ReplicaProcess]) -> f64 {
    let pages = |process: &ReplicaProcess| {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", process.pid()?)).ok()?;
        statm.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let most = processes.iter().filter_map(pages).fold(0.0, f64::max);
    most * 4096.0 / f64::from(1 << 20)
}

/// What the data directory of a replica took up: the log of the one with the largest log, and the state likewise. Files that go
/// while they are looked at do not count.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DiskUse {
    /// Since the beginning of the measurement.
    pub seconds: f64,
    /// MiB on disk.
    pub log_mib: f64,
    /// MiB on disk.
    pub state_mib: f64,
}

impl DiskUse {
    /// Looks at all of them.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn take(consortium: &Consortium, since: Duration) -> anyhow::Result<DiskUse> {
        let (mut log, mut state) = (0, 0);
        for replica in 0..consortium.genesis.replicas.len() {
            let data = consortium.home(replica).join("data");
            let of_log = allocated(&data.join("log"))?;
            log = log.max(of_log);
            state = state.max(allocated(&data)?.saturating_sub(of_log));
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Ok(DiskUse { seconds: since.as_secs_f64(), log_mib: mib(log), state_mib: mib(state) })
    }

    /// All of it.
    pub fn sum_mib(&self) -> f64 {
        self.log_mib + self.state_mib
    }
}

/// Bytes that the files under a directory take up.
fn allocated(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            bytes += allocated(&entry.path())?;
        } else if let Ok(metadata) = entry.metadata() {
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}
