//! Chaos on real processes: what a seed draws goes wrong, under load, and what was promised must hold.
//!
//! A run is a [`schedule::Schedule`] of episodes. In each, faults are done to at most f replicas (`world`) while clients
//! submit (`load`) and every replica is asked for its status (`watch`). Then everything is mended, and within
//! [`SETTLE_PATIENCE`] all replicas must have caught up and all clients must be served. At the end the books are
//! closed (`audit`). The same seed gives the same schedule, not the same run: processes, disks and the kernel have a say.

pub mod audit;
pub mod load;
pub mod schedule;
mod watch;
mod world;

pub use world::SmallDisk;

use crate::dice::Dice;
use crate::proxy::Conditions;
use anyhow::{Context, bail, ensure};
use app_examples::ledger::{Answer, Ledger, Query};
use audit::Books;
use bench::consortium::replica_id;
use bft_core::request::StatusReport;
use client::{Client, ClientConfig};
use crypto::ClientSecret;
use load::{Load, Outcome};
use schedule::{Episode, Fault, Schedule, Target};
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

/// Of so many transactions the receipts are asked for again at the end; drawn, if there are more.
const ASKED_AGAIN: usize = 4000;

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
    /// Of those, refused for want of money.
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
    /// Datagrams lost by the relays, and all.
    pub datagrams: (u64, u64),
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
    let observer = connect(world, ClientSecret::generate()?, None).await?;
    let members: Vec<_> = world.consortium.genesis.committee().members().collect();
    let mut clients = Vec::new();
    for (number, secret) in world.consortium.clients.clone().into_iter().enumerate() {
        clients.push(connect(world, secret, Some(number % members.len())).await?);
    }
    let mut run = Run {
        watch: Watch::start(&observer, members.into_iter()),
        load: Load::start(&clients, world.consortium.asset(), plan.seed).await?,
        world,
        begun: Instant::now(),
        verbose: plan.verbose,
        views: String::new(),
        settled: Duration::ZERO,
    };
    run.settle(true).await.context("before anything went wrong")?;
    let calm = Instant::now();
    for (number, episode) in plan.schedule.episodes.iter().enumerate() {
        run.episode(number, episode).await.with_context(|| format!("in episode {number}"))?;
    }
    let Run { load, settled, watch, .. } = run;
    let mut figures = close(&clients, world, load, &watch, calm, plan.seed).await.context("at the end")?;

    world.stop()?;
    let stopped = Instant::now();
    world.start_again()?;
    let again = agreed(world, &watch, stopped).await.context("after all were stopped and started again")?;
    ensure!(again.stable == figures.heights, "the ledger ends at {}, not {}", again.stable, figures.heights);
    figures.settled = settled;
    drop(watch);
    for client in clients {
        client.close().await;
    }
    observer.close().await;
    world.stop()?;
    figures.peak = world.peak();
    figures.datagrams = world.datagrams();
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
                return Ok(());
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
}

fn is_connected(report: &StatusReport) -> bool {
    report.peers.iter().all(|peer| peer.connected)
}

/// Stops the load and checks the books.
async fn close(
    clients: &[Client],
    world: &mut World,
    load: Load,
    watch: &Watch,
    calm: Instant,
    seed: u64,
) -> anyhow::Result<Figures> {
    let outcomes = load.stop(SETTLE_PATIENCE).await?;
    let ended = Instant::now();
    let books = audit::check(&outcomes).map_err(anyhow::Error::msg)?;
    let (silence, until) = audit::longest_silence(&outcomes, calm);
    let until = until - calm;
    ensure!(silence < SILENCE, "nobody was served for {silence:.1?}, until {until:.1?} after the begin");
    let sample = Dice::new(seed, 1).some(outcomes.iter().collect(), ASKED_AGAIN);
    are_still_there(clients, &sample).await?;
    let end = agreed(world, watch, ended).await?;
    ask_the_ledger(&clients[0], world, &books).await?;
    Ok(Figures {
        acknowledged: outcomes.len(),
        refused: books.refused,
        unknown: outcomes.iter().map(|outcome| outcome.unknown).sum(),
        heights: end.stable,
        view: end.view,
        silence,
        silence_until: until,
        ..Figures::default()
    })
}

/// The very same transactions again: executed once, and proven where they were.
async fn are_still_there(clients: &[Client], outcomes: &[&Outcome]) -> anyhow::Result<()> {
    /// At once: below what a client may have in flight.
    const TOGETHER: usize = 100;
    for some in outcomes.chunks(TOGETHER) {
        let mut asked = tokio::task::JoinSet::new();
        for outcome in some.iter().copied().cloned() {
            let client = clients[outcome.client].clone();
            asked.spawn(async move {
                let again = client.submit_transaction(outcome.transaction.clone()).await;
                let again = again.with_context(|| format!("what became of {}?", outcome.operation))?;
                let places = [&again, &outcome.proven].map(|proven| (proven.height(), proven.index));
                ensure!(
                    places[0] == places[1] && again.receipt == outcome.proven.receipt,
                    "{} was acknowledged at {:?} and is at {:?}",
                    outcome.operation,
                    places[1],
                    places[0]
                );
                anyhow::Ok(())
            });
        }
        while let Some(one) = asked.join_next().await {
            one??;
        }
    }
    Ok(())
}

/// Waits until all replicas end at one height, executed and certified, and gives it.
async fn agreed(world: &mut World, watch: &Watch, since: Instant) -> anyhow::Result<StatusReport> {
    loop {
        world.check()?;
        if let Some(violation) = watch.violation() {
            bail!(violation);
        }
        let reports = watch.reports(since);
        let ends =
            |report: &StatusReport| (report.committed, report.executed, report.stable, report.state_root);
        if let Some(first) = reports.first()
            && reports.len() == world.consortium.genesis.replicas.len()
            && reports
                .iter()
                .all(|report| ends(report) == (first.stable, first.stable, first.stable, first.state_root))
        {
            return Ok(first.clone());
        }
        ensure!(
            since.elapsed() < SETTLE_PATIENCE,
            "no common end {} s after the load\n{}",
            SETTLE_PATIENCE.as_secs(),
            watch::in_words(&reports)
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the ledger says is what follows from the receipts.
async fn ask_the_ledger(client: &Client, world: &World, books: &Books) -> anyhow::Result<()> {
    let asset = world.consortium.asset();
    for (account, balance) in &books.balances {
        let said = ask(client, Query::Balance { asset, account: *account }).await?;
        ensure!(said == Answer::Balance(*balance), "{account} should hold {balance}: {said:?}");
    }
    let Answer::Supply(supply) = ask(client, Query::Supply { asset }).await? else {
        bail!("a question about the supply has another answer");
    };
    let held: u64 = books.balances.values().sum();
    ensure!(
        supply.outstanding() == Some(books.issued) && held == books.issued,
        "{} were issued, {held} are in accounts, and the ledger says {supply:?}",
        books.issued
    );
    Ok(())
}

async fn ask(client: &Client, query: Query) -> anyhow::Result<Answer> {
    let (answer, _) = client.query(&Ledger, &query.encode()).await?;
    Ok(Answer::decode(&answer.map_err(|(code, why)| anyhow::anyhow!("refused with {code}: {why}"))?)?)
}

async fn connect(world: &mut World, secret: ClientSecret, first: Option<usize>) -> anyhow::Result<Client> {
    let mut config = ClientConfig::new(world.consortium.genesis.clone(), secret);
    config.first_replica = first.map(replica_id);
    // A replica that is paused is left soon.
    config.answer_timeout = Duration::from_secs(2);
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
