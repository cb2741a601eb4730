//! The network under test, and how a fault is done to it and mended.

use super::disk::SmallDisk;
use super::schedule::{Direction, Fault, Schedule};
use super::watch;
use crate::proxy::{Conditions, Counts, Mesh};
use anyhow::{Context, bail, ensure};
use bench::consortium::{App, Consortium, ConsortiumConfig, replica_id};
use bench::process::{ReplicaProcess, stop_all};
use bft_core::genesis::Limits;
use quorate::home::{Home, ReplicaConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long a replica may take to stop when it is asked to, or to notice that its disk is full.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// The number of the signal that asks a process to end (signal(7)).
const SIGTERM: i32 = 15;

/// What killing is called among the deeds.
pub const SIGKILL: &str = "SIGKILL";

/// Bytes of a log segment: small, so that many are begun.
const SEGMENT_BYTES: u64 = 1 << 20;

/// What a process is expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    /// Killed or stopped.
    Ended,
    /// Its disk is full, so that it ends by itself sooner or later.
    MayEnd,
}

/// Processes, links and disks.
pub struct World {
    /// What it was made of.
    pub consortium: Consortium,
    processes: Vec<ReplicaProcess>,
    lives: Vec<Life>,
    /// Who may have forgotten what it said, and stops when it is shown that.
    forgetful: BTreeSet<usize>,
    mesh: Mesh,
    weather: Conditions,
    /// Troubles of links: what a replica suffers, by the number of the strike.
    links: BTreeMap<usize, (usize, Fault)>,
    twins: BTreeMap<usize, ReplicaProcess>,
    small_disk: Option<SmallDisk>,
    program: PathBuf,
    peak: u64,
    deeds: BTreeMap<&'static str, u64>,
}

impl World {
    /// A running consortium in `dir`, every link of which goes through a relay.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn start(dir: &Path, program: &Path, schedule: &Schedule, seed: u64) -> anyhow::Result<World> {
        let mut consortium = Consortium::create(ConsortiumConfig {
            dir: dir.to_owned(),
            executable: program.to_owned(),
            replicas: schedule.replicas,
            clients: super::CLIENTS,
            scheme: schedule.scheme,
            app: App::Ledger,
            protocol: schedule.protocol,
            limits: Limits {
                view_timeout_ms: schedule.view_timeout_ms,
                // Any receipt may be asked for again at the end.
                receipt_heights: 1 << 20,
                ..Limits::default()
            },
            seed: bench::consortium::fresh_seed()?,
        })?;
        let addresses =
            consortium.genesis.replicas.iter().map(|replica| replica.address.parse::<SocketAddr>());
        let mesh = Mesh::start(&addresses.collect::<Result<Vec<_>, _>>()?, seed).await?;
        for replica in 0..schedule.replicas {
            let ways = mesh.ways_of(replica).into_iter();
            let peers = ways.map(|(peer, at)| (replica_id(peer).0, at.to_string())).collect();
            configure(&consortium.home(replica), |config| ReplicaConfig {
                peers,
                segment_bytes: SEGMENT_BYTES,
                flush_heights: 50,
                ..config
            })?;
        }
        let small_disk = match schedule.small_disk {
            Some(replica) => Some(SmallDisk::under(&consortium.home(replica).join("data"))?),
            None => None,
        };
        let processes = consortium.start()?;
        Ok(World {
            lives: vec![Life::Runs; processes.len()],
            consortium,
            processes,
            mesh,
            weather: Conditions::default(),
            forgetful: BTreeSet::new(),
            links: BTreeMap::new(),
            twins: BTreeMap::new(),
            small_disk,
            program: program.to_owned(),
            peak: 0,
            deeds: BTreeMap::new(),
        })
    }

    /// The most memory that a replica had resident, in bytes.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// What the relays did.
    pub fn datagrams(&self) -> Counts {
        self.mesh.counts()
    }

    /// What was done, and how often.
    pub fn deeds(&self) -> &BTreeMap<&'static str, u64> {
        &self.deeds
    }

    fn did(&mut self, what: &'static str) {
        *self.deeds.entry(what).or_default() += 1;
    }

    /// Whether a replica ever had a state of others instead of executing what led there.
    pub fn has_fetched_state(&self, replica: usize) -> bool {
        let output = fs::read(self.processes[replica].output_path()).unwrap_or_default();
        String::from_utf8_lossy(&output).contains("the state was fetched")
    }

    /// What all links suffer from now on.
    pub fn set_weather(&mut self, weather: Conditions) {
        self.weather = weather;
        self.set_links();
    }

    fn set_links(&self) {
        self.mesh.set(|from, to| {
            let of_faults =
                self.links.values().filter_map(|(replica, fault)| suffers(*replica, fault, from, to));
            of_faults.fold(self.weather, Conditions::and)
        });
    }

    /// Begins strike number `strike`: a fault of a replica.
    ///
    /// # Errors
    /// If it cannot be done, or the replica does not take it as it should.
    pub async fn begin(&mut self, strike: usize, replica: usize, fault: &Fault) -> anyhow::Result<()> {
        let home = self.consortium.home(replica);
        match fault {
            Fault::Kill => self.kill(replica)?,
            Fault::Stop => {
                let status = self.processes[replica].stop(STOP_PATIENCE)?;
                self.lives[replica] = Life::Ended;
                // In its first moments it does not listen to the signal yet, which then kills it.
                let obeyed = status.success() || status.signal() == Some(SIGTERM);
                ensure!(obeyed, "r{replica} was asked to stop and ended with {status}");
                self.did("SIGTERM");
            }
            Fault::Pause => {
                self.processes[replica].pause()?;
                self.did("SIGSTOP");
            }
            Fault::Cut { .. } | Fault::Links(_) => {
                self.did(if matches!(fault, Fault::Cut { .. }) { "cut links" } else { "bad links" });
                self.links.insert(strike, (replica, fault.clone()));
                self.set_links();
            }
            Fault::DiskFull { left } => {
                let disk = self.small_disk.as_ref().context("no replica has a small disk")?;
                self.lives[replica] = Life::MayEnd;
                disk.fill(*left)?;
            }
            Fault::Rollback => {
                self.kill(replica)?;
                copy_tree(&home.join("data"), &home.join("old-data"))?;
                self.restart(replica)?;
            }
            Fault::Twin => {
                self.forgetful.insert(replica);
                self.kill(replica)?;
                let twin = self.consortium.dir.join(format!("twin-{strike}"));
                copy_tree(&home, &twin)?;
                // It reaches the others directly: the relays carry what comes from the replica's own address only.
                let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
                configure(&twin, |config| ReplicaConfig { listen, peers: BTreeMap::new(), ..config })?;
                self.restart(replica)?;
                let process = ReplicaProcess::start(&self.program, &twin, replica_id(replica))?;
                self.twins.insert(strike, process);
                self.did("twin");
            }
            Fault::SecondProcess => {
                self.refuses_a_second(replica).await?;
                self.did("second process");
            }
        }
        Ok(())
    }

    /// Ends what [`World::begin`] began.
    ///
    /// # Errors
    /// As there.
    pub async fn end(&mut self, strike: usize, replica: usize, fault: &Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill | Fault::Stop => self.restart(replica)?,
            Fault::Pause => self.processes[replica].resume()?,
            Fault::Cut { .. } | Fault::Links(_) => {
                self.links.remove(&strike);
                self.set_links();
            }
            Fault::DiskFull { .. } => self.stops_for_want_of_room(replica).await?,
            Fault::Rollback => {
                self.forgetful.insert(replica);
                self.kill(replica)?;
                let home = self.consortium.home(replica);
                fs::remove_dir_all(home.join("data"))?;
                fs::rename(home.join("old-data"), home.join("data"))?;
                self.did("old data restored");
                self.restart(replica)?;
            }
            Fault::Twin => {
                if let Some(mut twin) = self.twins.remove(&strike) {
                    match twin.ended() {
                        None => {
                            self.did(SIGKILL);
                            self.peak = self.peak.max(watch::inspect(&twin).map_err(anyhow::Error::msg)?);
                        }
                        Some(_) if has_forgotten(&twin) => {}
                        Some(status) => {
                            bail!("the twin of r{replica} ended with {status}: {}", twin.last_words())
                        }
                    }
                    twin.kill()?;
                }
            }
            Fault::SecondProcess => {}
        }
        Ok(())
    }

    fn kill(&mut self, replica: usize) -> anyhow::Result<()> {
        self.check_one(replica)?;
        self.lives[replica] = Life::Ended;
        self.did(SIGKILL);
        self.processes[replica].kill()
    }

    fn restart(&mut self, replica: usize) -> anyhow::Result<()> {
        self.lives[replica] = Life::Runs;
        self.processes[replica].restart()
    }

    /// Threat 79: the lock is the first process's.
    async fn refuses_a_second(&self, replica: usize) -> anyhow::Result<()> {
        let program = self.program.display().to_string();
        let home = self.consortium.home(replica);
        let start = move || {
            let arguments = ["start".as_ref(), "--home".as_ref(), home.as_os_str()];
            crate::run(&program, arguments)
                .complains(1, &["locked by another process", "stop the other one"]);
        };
        tokio::task::spawn_blocking(start).await.with_context(|| format!("a second process of r{replica}"))
    }

    /// Threat 77: it says why, ends in order, and goes on when there is room.
    async fn stops_for_want_of_room(&mut self, replica: usize) -> anyhow::Result<()> {
        let until = Instant::now() + STOP_PATIENCE;
        let process = &mut self.processes[replica];
        let status: ExitStatus = loop {
            match process.ended() {
                Some(status) => break status,
                None if Instant::now() < until => tokio::time::sleep(super::LOOK_EVERY).await,
                None => {
                    bail!("the disk of r{replica} is full, and it does not stop: {}", process.last_words())
                }
            }
        };
        let said = process.last_words();
        ensure!(status.code() == Some(1), "r{replica} without room ended with {status}: {said}");
        let last = said.lines().last().unwrap_or_default();
        ensure!(last.contains("no space left for"), "r{replica} without room said last: {last}");
        self.inspect(replica)?;
        self.did("full disk");
        self.small_disk.as_ref().context("no replica has a small disk")?.make_room()?;
        self.processes[replica].kill()?;
        self.restart(replica)
    }

    fn inspect(&mut self, replica: usize) -> anyhow::Result<()> {
        let peak = watch::inspect(&self.processes[replica]).map_err(anyhow::Error::msg)?;
        self.peak = self.peak.max(peak);
        Ok(())
    }

    /// Whether all processes are as they should be. One that lost its port to another program is started again, and one that
    /// stopped because its data are older than what it has said, on an empty directory.
    ///
    /// # Errors
    /// Which is not.
    pub fn check(&mut self) -> anyhow::Result<()> {
        (0..self.processes.len()).try_for_each(|replica| self.check_one(replica))
    }

    fn check_one(&mut self, replica: usize) -> anyhow::Result<()> {
        let process = &mut self.processes[replica];
        let ended = process.ended().filter(|_| self.lives[replica] == Life::Runs);
        let Some(status) = ended else { return self.inspect(replica) };
        if self.forgetful.contains(&replica) && has_forgotten(process) {
            // What the message asks of its operator.
            fs::remove_dir_all(self.consortium.home(replica).join("data"))?;
        } else if !process.lost_its_port() {
            bail!("r{replica} ended by itself ({status}): {}", process.last_words());
        }
        process.kill()?;
        process.restart()
    }

    /// Stops everybody, who must obey.
    ///
    /// # Errors
    /// If one does not.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.check()?;
        self.lives.fill(Life::Ended);
        stop_all(&mut self.processes, STOP_PATIENCE)
    }

    /// Starts everybody again.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        (0..self.processes.len()).try_for_each(|replica| self.restart(replica))
    }

    /// Ends all processes at once, and keeps what goes with this value otherwise: the content of the small disk.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        self.processes.iter_mut().try_for_each(ReplicaProcess::kill)?;
        if let Some(disk) = &self.small_disk {
            let data = disk.path();
            copy_tree(data, &data.with_extension("kept"))?;
        }
        Ok(())
    }

    /// What the replicas said last.
    pub fn last_words(&self) -> String {
        self.processes.iter().map(|p| format!("{}: {}\n", p.replica(), p.last_words())).collect()
    }
}

/// What a fault of `replica` does to the direction from one replica to another.
fn suffers(replica: usize, fault: &Fault, from: usize, to: usize) -> Option<Conditions> {
    let (out, peer) = match (from == replica, to == replica) {
        (true, false) => (true, to),
        (false, true) => (false, from),
        _ => return None,
    };
    match fault {
        Fault::Links(conditions) => Some(*conditions),
        Fault::Cut { direction, peers } => {
            let meant = match direction {
                Direction::Both => true,
                Direction::Out => out,
                Direction::In => !out,
            };
            (meant && peers.contains(&peer)).then_some(Conditions::CUT)
        }
        _ => None,
    }
}

fn configure(home: &Path, change: impl FnOnce(ReplicaConfig) -> ReplicaConfig) -> anyhow::Result<()> {
    let path = Home::new(home).config();
    Ok(change(ReplicaConfig::read(&path)?).write(&path)?)
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Threats 22, 79: a replica that is shown what it has forgotten, or evidence against itself, stops, and says what to do.
fn has_forgotten(process: &ReplicaProcess) -> bool {
    let said = process.last_words();
    let reasons = [
        "this replica has signed a statement that its records do not have",
        "this replica has signed two statements that contradict each other",
    ];
    reasons.iter().any(|reason| said.contains(reason)) && said.contains("start on an empty one")
}
