//! Clients that submit: as fast as they are answered (a closed loop), or at a rate, whatever the network does (an open loop).
//!
//! In an open loop the latency of a transaction counts from the moment when its turn came, even if the program was late: what a slow
//! network keeps waiting is not left out (no coordinated omission).

use crate::consortium::{App, Consortium, replica_id};
use crate::load::{LoadArguments, SOON, TurnTo};
use crate::process::ReplicaProcess;
use crate::recorder::{Latency, Recorder};
use anyhow::{bail, ensure};
use app_examples::ledger::{AssetCode, Ledger, Operation, Query};
use bft_core::genesis::Genesis;
use bft_core::transaction::Kind;
use bytes::Bytes;
use client::{Client, ClientConfig, Read};
use crypto::{ClientKey, ClientSecret};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Transactions without an answer beyond which an open loop gives up: the network is behind for good, and memory is not without bound.
const MOST_OPEN: usize = 100_000;

/// How often an open loop looks whose turn it is.
const TICK: Duration = Duration::from_millis(1);

/// What is submitted.
#[derive(Clone, Debug)]
pub struct Workload {
    app: App,
    asset: AssetCode,
    bytes: usize,
    /// Of a hundred requests, how many read.
    reads: u64,
    read: Read,
}

impl Workload {
    /// What the arguments say, in a network with this asset.
    pub fn new(arguments: &LoadArguments, asset: AssetCode) -> Workload {
        Workload {
            app: arguments.app,
            asset,
            bytes: arguments.bytes,
            reads: arguments.reads,
            read: arguments.read.into(),
        }
    }

    /// A transaction's body of the wanted length.
    fn body(&self, to: ClientKey) -> Bytes {
        match self.app {
            App::Noop => vec![b'.'; self.bytes].into(),
            App::Ledger => transfer(self.asset, to, self.bytes),
        }
    }
}

/// A network that runs, and who may transact there.
#[derive(Debug)]
pub struct Served<'a> {
    /// What the members agreed on.
    pub genesis: &'a Genesis,
    /// Enrolled clients; the first one's organisation issues the asset.
    pub secrets: &'a [ClientSecret],
    /// What is submitted.
    pub workload: Workload,
    /// Somebody to ask beside the load.
    pub watch: Client,
}

/// One key, and what it submits.
#[derive(Clone, Debug)]
struct Actor {
    client: Client,
    body: Bytes,
    workload: Workload,
}

impl Actor {
    /// Does the request of this number, and says what went wrong.
    async fn act(&self, number: u64) -> anyhow::Result<()> {
        // Evenly among them, whatever the share is.
        let (reads, before) = (self.workload.reads, number * self.workload.reads / 100);
        if (number + 1) * reads / 100 > before {
            let balance = Query::Balance { asset: self.workload.asset, account: self.client.key() };
            let (told, _) = self.client.read(&Ledger, &balance.encode(), self.workload.read).await?;
            ensure!(told.is_ok(), "a balance was refused: {told:?}");
            return Ok(());
        }
        let receipt = self.client.submit(Kind::Application, self.body.clone()).await?.receipt;
        let sentence = || String::from_utf8_lossy(&receipt.answer).into_owned();
        ensure!(receipt.code == 0, "a transaction was refused with code {}: {}", receipt.code, sentence());
        Ok(())
    }
}

/// A network under load, and somebody who watches it.
#[derive(Debug)]
pub struct Loaded {
    /// For questions beside the load.
    pub watch: Client,
    /// What came of it so far.
    pub recorder: Arc<Recorder>,
    running: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    connections: Vec<Client>,
}

impl Loaded {
    /// Starts the clients, at a rate or without, and waits until so many transactions are acknowledged.
    ///
    /// # Errors
    /// If the network does not serve.
    pub async fn start(
        arguments: &LoadArguments,
        consortium: &Consortium,
        processes: &mut [ReplicaProcess],
        per_second: Option<f64>,
        warm_up: u64,
    ) -> anyhow::Result<Loaded> {
        let mut config = ClientConfig::new(consortium.genesis.clone(), consortium.clients[0].clone());
        config.first_replica = Some(replica_id(0));
        let watch = connect(config).await?;
        wait_until_up(&watch, processes).await?;
        let secrets = &consortium.clients[..arguments.clients.min(consortium.clients.len())];
        let (genesis, workload) = (&consortium.genesis, Workload::new(arguments, consortium.asset()));
        Loaded::connect(arguments, Served { genesis, secrets, workload, watch }, per_second, warm_up).await
    }

    /// The same in a network that runs already.
    ///
    /// # Errors
    /// If the network does not serve, or the first key may not issue the asset.
    pub async fn connect(
        arguments: &LoadArguments,
        served: Served<'_>,
        per_second: Option<f64>,
        warm_up: u64,
    ) -> anyhow::Result<Loaded> {
        let Served { genesis, secrets, workload, watch } = served;
        let replicas = genesis.replicas.len();
        let leader = watch.status(replica_id(0)).await?.leader;
        let mut connections: Vec<Client> = Vec::new();
        let mut actors = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            let client = if index < arguments.connections {
                let mut config = ClientConfig::new(genesis.clone(), secret.clone());
                config.first_replica = Some(match arguments.turn_to {
                    TurnTo::Any => replica_id(index % replicas),
                    TurnTo::Leader => leader,
                });
                config.mtu_upper_bound = arguments.mtu.unwrap_or(config.mtu_upper_bound);
                // Receipts of one block share their certificate: whoever runs many clients verifies it once.
                let client = match connections.first() {
                    Some(first) => first.connect_also(config).await?,
                    None => connect(config).await?,
                };
                connections.push(client.clone());
                client
            } else {
                connections[index % connections.len()].with_key(secret.clone()).await?
            };
            let to = match secrets {
                [one] => another(genesis, one.public()),
                _ => secrets[(index + 1) % secrets.len()].public(),
            };
            actors.push(Actor { client, body: workload.body(to), workload: workload.clone() });
        }
        if workload.app == App::Ledger {
            issue(&actors, workload.asset).await?;
        }
        let loaded = Loaded {
            watch,
            recorder: Arc::default(),
            running: Arc::new(AtomicBool::new(true)),
            tasks: Vec::new(),
            connections,
        };
        let loaded = match per_second {
            Some(rate) => loaded.open_loop(actors, rate),
            None => loaded.closed_loop(&actors, arguments.in_flight),
        };
        loaded.progress(warm_up).await?;
        loaded.recorder.take();
        Ok(loaded)
    }

    /// Each key has so many requests open at any time.
    fn closed_loop(mut self, actors: &[Actor], in_flight: usize) -> Loaded {
        for (index, actor) in actors.iter().enumerate() {
            for place in 0..in_flight {
                let (actor, recorder, running) = (actor.clone(), self.recorder.clone(), self.running.clone());
                self.tasks.push(tokio::spawn(async move {
                    let mut number = place as u64 * 37;
                    while running.load(Relaxed) {
                        recorder.offer();
                        let begun = Instant::now();
                        match actor.act(number).await {
                            Ok(()) => recorder.acknowledge(index, begun.elapsed()),
                            Err(error) => return recorder.fail(format!("{error:#}")),
                        }
                        number += 1;
                    }
                }));
            }
        }
        self
    }

    /// Requests at even distances, of each key in turn.
    fn open_loop(mut self, actors: Vec<Actor>, per_second: f64) -> Loaded {
        let (recorder, running) = (self.recorder.clone(), self.running.clone());
        self.tasks.push(tokio::spawn(async move {
            let (begin, open) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
            let mut next = 0_u64;
            while running.load(Relaxed) {
                let due = (begin.elapsed().as_secs_f64() * per_second) as u64;
                for number in next..due {
                    let turn = begin + Duration::from_secs_f64(number as f64 / per_second);
                    let index = usize::try_from(number).unwrap_or_default() % actors.len();
                    recorder.offer();
                    if open.fetch_add(1, Relaxed) >= MOST_OPEN {
                        return recorder.fail(format!("{MOST_OPEN} requests wait for an answer"));
                    }
                    let (actor, recorder, open) = (actors[index].clone(), recorder.clone(), open.clone());
                    tokio::spawn(async move {
                        match actor.act(number).await {
                            Ok(()) => recorder.acknowledge(index, turn.elapsed()),
                            Err(error) => recorder.fail(format!("{error:#}")),
                        }
                        open.fetch_sub(1, Relaxed);
                    });
                }
                next = due;
                tokio::time::sleep(TICK).await;
            }
            // What is open is waited for: a measurement that ends here would leave out the slowest.
            let deadline = Instant::now() + SOON;
            while open.load(Relaxed) > 0 && Instant::now() < deadline {
                tokio::time::sleep(TICK).await;
            }
        }));
        self
    }

    /// Waits until so many more are acknowledged.
    ///
    /// # Errors
    /// If that takes too long, or one failed.
    pub async fn progress(&self, more: u64) -> anyhow::Result<()> {
        let target = self.recorder.acknowledged() + more;
        let deadline = Instant::now() + SOON;
        while self.recorder.acknowledged() < target {
            if let Some(why) = self.recorder.failure() {
                bail!("{why}");
            }
            ensure!(Instant::now() < deadline, "the network stopped acknowledging transactions");
            pause(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Stops the clients. Gives the latencies of what was acknowledged since the last look.
    ///
    /// # Errors
    /// The first request that failed.
    pub async fn stop(self) -> anyhow::Result<Latency> {
        self.running.store(false, Relaxed);
        for task in self.tasks {
            task.await?;
        }
        for connection in self.connections {
            connection.close().await;
        }
        match self.recorder.failure() {
            Some(why) => bail!("{why}"),
            None => Ok(self.recorder.take()),
        }
    }
}

pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// A transfer needs two accounts: of those whom the genesis names, the first that is not `own`; or one of nobody.
fn another(genesis: &Genesis, own: ClientKey) -> ClientKey {
    let organisations = genesis.organisations.iter();
    let mut named = organisations
        .flat_map(|organisation| std::iter::once(&organisation.operator).chain(&organisation.clients));
    named.find(|key| **key != own).copied().unwrap_or(ClientSecret::from_seed([1; 32]).public())
}

/// Gives every key what it may transfer. The first one is of the issuer.
async fn issue(actors: &[Actor], asset: AssetCode) -> anyhow::Result<()> {
    let issuer = &actors[0].client;
    for actor in actors {
        let operation = Operation::Issue { asset, to: actor.client.key(), amount: 1 << 40 };
        let receipt = issuer.submit(Kind::Application, operation.encode()).await?.receipt;
        let sentence = String::from_utf8_lossy(&receipt.answer).into_owned();
        ensure!(receipt.code == 0, "issuing was refused with code {}: {sentence}", receipt.code);
    }
    Ok(())
}

/// A transfer of one unit whose encoding has `bytes` bytes.
pub(crate) fn transfer(asset: AssetCode, to: ClientKey, bytes: usize) -> Bytes {
    let with_memo = |length: usize| {
        Operation::Transfer { asset, to, amount: 1, memo: vec![b'.'; length].into() }.encode()
    };
    let empty = with_memo(0).len();
    let mut memo = bytes.saturating_sub(empty);
    // The memo's length prefix grows with it.
    while memo > 0 && with_memo(memo).len() > bytes {
        memo -= 1;
    }
    with_memo(memo)
}

pub(crate) async fn wait_until_up(watch: &Client, processes: &mut [ReplicaProcess]) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    for process in processes {
        while watch.status(process.replica()).await.is_err() {
            if let Some(status) = process.ended() {
                bail!("{} ended with {status}", process.replica());
            }
            ensure!(Instant::now() < deadline, "{} does not answer", process.replica());
            pause(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

pub(crate) async fn connect(config: ClientConfig) -> anyhow::Result<Client> {
    let deadline = Instant::now() + SOON;
    loop {
        match Client::connect(config.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => pause(Duration::from_millis(100)).await,
        }
    }
}
