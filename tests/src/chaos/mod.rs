//! Chaos on real processes: what a seed draws goes wrong, under load, and what was promised must hold.
//!
//! A run is a [`schedule::Schedule`] of episodes. In each, faults are done to at most f replicas (`world`) while clients
//! submit (`load`) and every replica is asked for its status (`watch`). Then everything is mended, and within
//! [`SETTLE_PATIENCE`] all replicas must have caught up and all clients must be served. At the end the books are
//! closed (`audit`). The same seed gives the same schedule, not the same run: processes, disks and the kernel have a say.

pub mod audit;
mod closing;
mod disk;
pub mod load;
pub mod schedule;
mod watch;
mod world;

pub use disk::SmallDisk;
pub use world::SIGKILL;

use crate::proxy::{Conditions, Counts};
use anyhow::{Context, bail, ensure};
use bench::consortium::replica_id;
use bft_core::request::StatusReport;
use client::{Client, ClientConfig};
use closing::{agreed, close};
use crypto::{ClientSecret, ProtocolTag};
use load::Load;
use schedule::{Episode, Fault, Schedule, Target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use watch::Watch;
use world::World;

/// Clients that submit.
const CLIENTS: usize = 6;

/// How long the replicas may take to catch up once everything is mended, and to serve every client again.
pub const SETTLE_PATIENCE: Duration = Duration::from_secs(60);

/// How long nobody may be served, while at most f replicas are impaired.
pub const SILENCE: Duration = Duration::from_secs(30);

/// A replica that is silent for so long is left for another one: some are paused.
const LEFT_AFTER: Duration = Duration::from_secs(2);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what is drawn beside the schedule.
    pub seed: u64,
    /// What goes wrong.
    pub schedule: Schedule,
    /// The program `quorate`.
    pub program: PathBuf,
    /// Where everything goes; must not be there yet.
    pub dir: PathBuf,
    /// Tell what happens, as it happens.
    pub verbose: bool,
}

/// What a run without violation has to show.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Transactions with a proven receipt.
    pub acknowledged: usize,
    /// Linearizable reads with an answer.
    pub reads: usize,
    /// Of the transactions, refused for want of money.
    pub refused: usize,
    /// How often an outcome was unknown, and was found out by sending the same again.
    pub unknown: u64,
    /// Heights.
    pub heights: u64,
    /// The highest view.
    pub view: u64,
    /// The longest time without any receipt.
    pub silence: Duration,
    /// When that ended, since the first episode's begin.
    pub silence_until: Duration,
    /// The longest time from the end of an episode until all had caught up.
    pub settled: Duration,
    /// The most memory that a replica had resident, in bytes.
    pub peak: u64,
    /// Receipts that replicas showed at the end: each replica those of all that was acknowledged.
    pub found: usize,
    /// Those that a replica no longer had which had lost its directory, and fetched the state of others since.
    pub not_kept: usize,
    /// How often all replicas were found to have the same root of the same height: before and after each episode, at the end,
    /// and after all were stopped and started.
    pub same_roots: u64,
    /// What was done to processes, disks and links, by what it was, and how often.
    pub deeds: BTreeMap<&'static str, u64>,
    /// What the relays did.
    pub datagrams: Counts,
}

impl Figures {
    /// Those of one more run: what is counted is added up, of what is bounded the worst remains.
    pub fn add(&mut self, other: &Figures) {
        self.acknowledged += other.acknowledged;
        self.reads += other.reads;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.heights += other.heights;
        self.view = self.view.max(other.view);
        if other.silence > self.silence {
            (self.silence, self.silence_until) = (other.silence, other.silence_until);
        }
        self.settled = self.settled.max(other.settled);
        self.peak = self.peak.max(other.peak);
        self.found += other.found;
        self.not_kept += other.not_kept;
        self.same_roots += other.same_roots;
        for (deed, count) in &other.deeds {
            *self.deeds.entry(deed).or_default() += count;
        }
        self.datagrams = self.datagrams.and(other.datagrams);
    }
}

/// Runs the plan.
///
/// # Errors
/// The first violation, or what kept the run from being made. The directory is left as it is then; and the replicas'
/// outputs are in it.
pub async fn run(plan: &Plan) -> anyhow::Result<Figures> {
    let mut world = World::start(&plan.dir, &plan.program, &plan.schedule, plan.seed).await?;
    let result = with(plan, &mut world).await;
    if result.is_err() {
        world.keep()?;
    }
    result.with_context(|| format!("the replicas said last:\n{}", world.last_words()))
}

async fn with(plan: &Plan, world: &mut World) -> anyhow::Result<Figures> {
    let observer = connect(world, ClientSecret::generate()?, None, LEFT_AFTER).await?;
    let members: Vec<_> = world.consortium.genesis.committee().members().collect();
    let mut clients = Vec::new();
    for (number, secret) in world.consortium.clients.clone().into_iter().enumerate() {
        clients.push(connect(world, secret, Some(number % members.len()), LEFT_AFTER).await?);
    }
    let mut run = Run {
        watch: Watch::start(&observer, members.into_iter()),
        load: Load::start(&clients, world.consortium.asset(), plan.seed).await?,
        world,
        begun: Instant::now(),
        verbose: plan.verbose,
        views: String::new(),
        settled: Duration::ZERO,
        same_roots: 0,
    };
    run.settle(true).await.context("before anything went wrong")?;
    let calm = Instant::now();
    for (number, episode) in plan.schedule.episodes.iter().enumerate() {
        run.episode(number, episode).await.with_context(|| format!("in episode {number}"))?;
    }
    let Run { load, settled, watch, same_roots, .. } = run;
    let mut figures = close(&clients, world, load, &watch, calm, plan.seed).await.context("at the end")?;

    let ended = agreed(world, &watch, Instant::now()).await.context("before all were stopped")?;
    world.stop()?;
    let stopped = Instant::now();
    world.start_again()?;
    let again = agreed(world, &watch, stopped).await.context("after all were stopped and started again")?;
    // Elections of Raft's add entries without transactions, and one of them may be certified.
    let elected = plan.schedule.protocol == ProtocolTag::RAFT && again.stable > ended.stable;
    ensure!(
        (again.stable == ended.stable || elected) && again.state_root == ended.state_root,
        "the ledger ends at {} with {:?}, not at {} with {:?}",
        again.stable,
        again.state_root,
        ended.stable,
        ended.state_root
    );
    // Those of the end and of the new start are two more.
    (figures.settled, figures.same_roots) = (settled, same_roots + 2);
    drop(watch);
    for client in clients {
        client.close().await;
    }
    observer.close().await;
    world.stop()?;
    figures.peak = world.peak();
    figures.datagrams = world.datagrams();
    figures.deeds = world.deeds().clone();
    Ok(figures)
}

/// A run under way.
struct Run<'a> {
    world: &'a mut World,
    watch: Watch,
    load: Load,
    begun: Instant,
    verbose: bool,
    /// What was told last.
    views: String,
    /// The longest settling.
    settled: Duration,
    /// See [`Figures::same_roots`].
    same_roots: u64,
}

impl Run<'_> {
    fn say(&self, what: &str) {
        if self.verbose {
            eprintln!("{:>8.2} s  {what}", self.begun.elapsed().as_secs_f64());
        }
    }

    /// Whether all is as it should be, whatever goes wrong.
    fn check(&mut self) -> anyhow::Result<()> {
        self.world.check()?;
        if let Some(violation) = self.watch.violation().or_else(|| self.load.failed()) {
            bail!(violation);
        }
        if self.verbose {
            let views = watch::views(&self.watch.reports(self.begun));
            if views != self.views {
                self.say(&views);
                self.views = views;
            }
        }
        Ok(())
    }

    async fn episode(&mut self, number: usize, episode: &Episode) -> anyhow::Result<()> {
        self.say(&format!("episode {number}: weather {}", episode.weather));
        let leader = self.watch.leader().context("nobody says who leads")?.index();
        let mut moves = Vec::new();
        let is_struck = |replica| episode.strikes.iter().any(|of| of.target == Target::Replica(replica));
        for (strike, of) in episode.strikes.iter().enumerate() {
            let replica = match of.target {
                Target::Replica(replica) => replica,
                // It is one of the others: their faults are enough, and these would get into their way.
                Target::Leader if is_struck(leader) => continue,
                Target::Leader => leader,
            };
            moves.push((of.begin, true, strike, replica, &of.fault));
            moves.push((of.end, false, strike, replica, &of.fault));
        }
        // A full disk ends when the replica has noticed, for which it must have something to write: all else is mended first.
        let waits = |begins: bool, fault: &Fault| !begins && matches!(fault, Fault::DiskFull { .. });
        moves.sort_by_key(|(at, begins, strike, _, fault)| (waits(*begins, fault), *at, *begins, *strike));
        self.world.set_weather(episode.weather);
        let begun = Instant::now();
        for (at, begins, strike, replica, fault) in moves {
            while begun.elapsed() < at {
                self.check()?;
                tokio::time::sleep(LOOK_EVERY.min(at.saturating_sub(begun.elapsed()))).await;
            }
            self.say(&format!("r{replica}: {} {fault}", if begins { "begin" } else { "end" }));
            // Each strike of the run has its own number.
            let strike = 1000 * number + strike;
            if begins {
                self.world.begin(strike, replica, fault).await?;
            } else {
                self.world.end(strike, replica, fault).await?;
            }
        }
        self.world.set_weather(Conditions::default());
        self.settle(false).await
    }

    /// Waits until all replicas have caught up with where somebody is now, and every client was served.
    async fn settle(&mut self, first: bool) -> anyhow::Result<()> {
        let (mended, before) = (Instant::now(), self.load.acknowledged());
        let target = self.watch.reports(self.begun).iter().map(|report| report.stable).max().unwrap_or(0);
        loop {
            self.check()?;
            let reports = self.watch.reports(mended);
            let served = self.load.acknowledged().iter().zip(&before).all(|(now, before)| now > before);
            let all = reports.len() == self.world.consortium.genesis.replicas.len();
            if all && served && reports.iter().all(|report| report.stable >= target && is_connected(report)) {
                self.settled = self.settled.max(mended.elapsed());
                self.say(&format!("all have caught up with height {target} after {:.1?}", mended.elapsed()));
                return self.compare_roots().await;
            }
            ensure!(
                mended.elapsed() < SETTLE_PATIENCE,
                "not all have caught up with height {target} and served every client{}, {} s after everything was mended; \
                 receipts before {before:?}, now {:?}\n{}",
                if first { " for the first time" } else { "" },
                SETTLE_PATIENCE.as_secs(),
                self.load.acknowledged(),
                watch::in_words(&reports)
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Holds the load until all replicas have the same certified root of the same height.
    async fn compare_roots(&mut self) -> anyhow::Result<()> {
        self.load.hold(true);
        let held = Instant::now();
        let end = agreed(self.world, &self.watch, held).await?;
        self.say(&format!("all have one root of height {} after {:.1?}", end.stable, held.elapsed()));
        self.same_roots += 1;
        self.load.hold(false);
        Ok(())
    }
}

fn is_connected(report: &StatusReport) -> bool {
    report.peers.iter().all(|peer| peer.connected)
}

/// `patience` is how long one replica has for an answer.
async fn connect(
    world: &mut World,
    secret: ClientSecret,
    first: Option<usize>,
    patience: Duration,
) -> anyhow::Result<Client> {
    let mut config = ClientConfig::new(world.consortium.genesis.clone(), secret);
    config.first_replica = first.map(replica_id);
    config.answer_timeout = patience;
    let until = Instant::now() + SETTLE_PATIENCE;
    loop {
        world.check()?;
        match Client::connect(config.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The program `quorate` beside the one that runs.
///
/// # Errors
/// If it is not there.
pub fn program_beside_this() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("quorate");
    ensure!(program.is_file(), "{} is not there: `cargo build --release` makes it", program.display());
    Ok(program)
}

/// Removes what a run without violation has left.
///
/// # Errors
/// If that is not possible.
pub fn remove(dir: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}
