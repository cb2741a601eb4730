//! End-to-end tests on real processes: how they run commands and networks.
//!
//! Nothing here waits for a length of time; it waits for a condition, with a deadline that fails the test.

pub mod chaos;
pub mod dice;
pub mod proxy;

use bench::consortium::{App, Consortium, ConsortiumConfig, fresh_seed};
use bench::process::ReplicaProcess;
use bft_core::genesis::Limits;
use bft_core::request::StatusReport;
use client::{Client, ClientConfig};
use crypto::{ClientSecret, ProtocolTag, ReplicaId, Scheme};
use quorate::home::{Home, ReplicaConfig};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that is not measured.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits for a condition.
///
/// # Panics
/// If it does not come true in time.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it was not killed.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command to its end.
///
/// # Panics
/// If it does not end in time; it is killed then.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Ended {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| File::create(dir.path().join(name)).expect("a file for the output");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    for name in ["QUORATE_HOME", "QUORATE_GENESIS", "QUORATE_KEY", "QUORATE_LOG"] {
        command.env_remove(name);
    }
    let mut child =
        command.env("RUST_BACKTRACE", "1").current_dir(dir.path()).spawn().expect("the program starts");
    let until = Instant::now() + DEADLINE;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break Some(status),
            None if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
            None => break None,
        }
    };
    if status.is_none() {
        child.kill().and_then(|()| child.wait()).expect("a child can be killed");
    }
    let read = |name: &str| {
        String::from_utf8_lossy(&fs::read(dir.path().join(name)).expect("the output")).into_owned()
    };
    let ended = Ended { code: status.and_then(|status| status.code()), out: read("out"), err: read("err") };
    assert!(status.is_some(), "{command:?} did not end: {ended:?}");
    ended
}

impl Ended {
    /// It did what it was asked.
    ///
    /// # Panics
    /// If not.
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It ended with this code and a message that has all of `parts`, and without a panic.
    ///
    /// # Panics
    /// If not.
    pub fn complains(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing in: {self:?}");
        }
        for sign in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.err.contains(sign), "{self:?}");
        }
    }
}

/// A network of processes in a temporary directory. All of it goes with this value.
pub struct Network {
    /// What it was made of.
    pub consortium: Consortium,
    /// The processes, by replica.
    pub replicas: Vec<ReplicaProcess>,
    /// Where it is.
    pub dir: TempDir,
}

/// A consortium that does not run.
///
/// # Panics
/// If it cannot be made.
pub fn consortium(program: &str, dir: &Path, protocol: ProtocolTag, scheme: Scheme) -> Consortium {
    consortium_with(program, dir, protocol, scheme, Limits::default(), |config| config)
}

fn consortium_with(
    program: &str,
    dir: &Path,
    protocol: ProtocolTag,
    scheme: Scheme,
    limits: Limits,
    local: impl Fn(ReplicaConfig) -> ReplicaConfig,
) -> Consortium {
    let config = ConsortiumConfig {
        dir: dir.to_owned(),
        executable: PathBuf::from(program),
        replicas: 4,
        clients: 4,
        scheme,
        app: App::Ledger,
        protocol,
        limits: Limits { view_timeout_ms: 500, ..limits },
        seed: fresh_seed().expect("entropy"),
    };
    let consortium = Consortium::create(config).expect("a consortium");
    for replica in 0..4 {
        // A log of the usual size is written and read whole at every start, which takes seconds in a debug build.
        let path = Home::new(consortium.home(replica)).config();
        let config = ReplicaConfig::read(&path).expect("init wrote it");
        local(ReplicaConfig { segment_bytes: 4 << 20, ..config }).write(&path).expect("a configuration");
    }
    consortium
}

impl Network {
    /// Starts four replicas and waits until all are connected. Starts over with other ports if one was taken meanwhile.
    ///
    /// # Panics
    /// If they do not get there.
    pub async fn start(program: &str, protocol: ProtocolTag, scheme: Scheme) -> Network {
        Network::start_with(program, protocol, scheme, Limits::default(), |config| config).await
    }

    /// The same with other limits and other choices of the replicas.
    ///
    /// # Panics
    /// If they do not get there.
    pub async fn start_with(
        program: &str,
        protocol: ProtocolTag,
        scheme: Scheme,
        limits: Limits,
        local: impl Fn(ReplicaConfig) -> ReplicaConfig,
    ) -> Network {
        for _ in 0..3 {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut consortium = consortium_with(program, dir.path(), protocol, scheme, limits, &local);
            let replicas = consortium.start().expect("processes");
            let mut network = Network { consortium, replicas, dir };
            if network.up().await {
                return network;
            }
        }
        panic!("ports were taken three times in a row");
    }

    /// Whether all came up; false if a port was taken.
    async fn up(&mut self) -> bool {
        let until = Instant::now() + DEADLINE;
        loop {
            for replica in &mut self.replicas {
                if replica.lost_its_port() {
                    return false;
                }
                let ended = replica.ended();
                assert_eq!(ended, None, "{}: {}", replica.replica(), replica.last_words());
            }
            if let Ok(client) = Client::connect(self.stranger()).await {
                let reports = self.reports(&client).await;
                client.close().await;
                let connected = |report: &StatusReport| report.peers.iter().all(|peer| peer.connected);
                if reports.len() == self.replicas.len() && reports.iter().all(connected) {
                    return true;
                }
            }
            assert!(Instant::now() < until, "the replicas did not come up\n{}", self.last_words());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A client's configuration with a key that is not enrolled.
    ///
    /// # Panics
    /// Without entropy.
    pub fn stranger(&self) -> ClientConfig {
        ClientConfig::new(self.consortium.genesis.clone(), ClientSecret::generate().expect("entropy"))
    }

    /// An enrolled client, as soon as it can connect.
    ///
    /// # Panics
    /// If it cannot connect in time.
    pub async fn client(&self, index: usize) -> Client {
        let secret = self.consortium.clients[index].clone();
        let config = ClientConfig::new(self.consortium.genesis.clone(), secret);
        let until = Instant::now() + DEADLINE;
        loop {
            match Client::connect(config.clone()).await {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < until, "{error}\n{}", self.last_words()),
            }
        }
    }

    /// What the replicas said last.
    pub fn last_words(&self) -> String {
        self.replicas
            .iter()
            .map(|replica| format!("{}: {}\n", replica.replica(), replica.last_words()))
            .collect()
    }

    /// The reports of those that answer.
    pub async fn reports(&self, client: &Client) -> Vec<StatusReport> {
        let mut reports = Vec::new();
        for replica in self.consortium.genesis.committee().members() {
            reports.extend(client.status(replica).await.ok());
        }
        reports
    }

    /// Who leads, in the highest view that somebody reports.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn leader(&self, client: &Client) -> ReplicaId {
        let reports = self.reports(client).await;
        reports.iter().max_by_key(|report| report.view).expect("somebody answers").leader
    }

    /// Waits until all replicas have executed and certified one height, and checks that its root is the same everywhere.
    ///
    /// # Panics
    /// If they do not get there, or have different roots.
    pub async fn agree(&self, client: &Client) -> StatusReport {
        let until = Instant::now() + DEADLINE;
        loop {
            let reports = self.reports(client).await;
            let heights: Vec<_> = reports.iter().map(|r| (r.committed, r.executed, r.stable)).collect();
            let same = heights.windows(2).all(|pair| pair[0] == pair[1]);
            if reports.len() == self.replicas.len() && same && reports.iter().all(StatusReport::is_settled) {
                assert!(reports.iter().all(|r| r.state_root == reports[0].state_root), "{reports:?}");
                return reports[0].clone();
            }
            assert!(
                Instant::now() < until,
                "no agreement: committed, executed, stable are {heights:?}\n{}",
                self.last_words()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
