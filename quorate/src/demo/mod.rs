//! `quorate demo`: a consortium on this machine, under load, with a crash in the middle, and proof of what came of it.
//!
//! Everything in it is what an operator would use: the same program, homes, processes, sockets and disks, and a client that
//! believes nothing it cannot verify.

mod load;
mod narration;
mod replicas;
mod report;

use crate::cli::{
    ReceiptFile, SavedTransaction, connect_patiently, on_runtime, query, read_receipt, verify, write_json,
};
use crate::home::{Home, ReplicaConfig, read_genesis};
use anyhow::{Context, bail};
use app_examples::ledger::{Answer, Operation, Query};
use bench::choice::{self, Choice};
use bench::consortium::{App, Consortium, ConsortiumConfig, fresh_seed};
use bft_core::genesis::Limits;
use bft_core::quorum;
use bft_core::receipt::code;
use bft_core::transaction::Kind;
use bft_core::types::Height;
use clap::Args;
use client::Client;
use crypto::{FaultModel, Scheme};
use load::Plan;
use narration::Narration;
use replicas::{Cluster, PortTaken, Started};
use report::Report;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  quorate demo                                    four replicas, 3000 transactions, the leader killed half-way
  quorate demo --replicas 7 --transactions 5000
  quorate demo --protocol hotstuff --chain two    the same under chained HotStuff
  quorate demo --protocol raft --replicas 3       the same in the crash fault model, where nothing is proven
  quorate demo --keep --home ./playground         leave it running, with the commands to talk to it

The exit code is 0 only if every transaction was executed and proven, the service went on without the leader, the leader caught
up, all replicas have the same state, no money was made or lost, and a saved receipt verifies from the genesis alone. In the crash
fault model it must not: there a receipt is the word of a replica.";

/// The shortest load, so that a crash in the middle has a before and an after.
const LOAD_SECONDS: u64 = 10;
/// The fastest load: on small machines processes compete, and the figures are about the crash.
const MOST_PER_SECOND: u64 = 1000;
/// Units that every client gets.
const ENDOWMENT: u64 = 1_000_000;
/// How long a transaction's receipt may take, outage included.
const SUBMIT_PATIENCE_SECONDS: u64 = 30;
/// Bytes of a log segment, which is written in advance: a short run needs no more, and starts sooner.
const SEGMENT_BYTES: u64 = 8 << 20;
/// How often a network is made anew because a port was taken by others in between.
const ATTEMPTS: usize = 3;

/// Run a consortium on this machine: load, a crash, recovery, proofs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// How many replicas, one organisation each; 4 is the least that survives a crash, and with --protocol raft 3.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(3..=31))]
    replicas: u16,
    /// How many transfers, signed one by one.
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    transactions: u64,
    /// How many clients.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=100))]
    clients: u16,
    /// Where all keys and transfers come from, for runs that can be compared; random if not given.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[command(flatten)]
    choice: Choice,
    /// Leave the processes running and the directory in place.
    #[arg(long)]
    keep: bool,
    /// Where to put everything; must be empty. A temporary directory if not given.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (replicas, protocol) = (arguments.replicas, arguments.choice.protocol);
    if quorum::faulty(usize::from(replicas), engines::fault_model(protocol)) == 0 {
        bail!(
            "{replicas} replicas of {protocol} bear no failure, and the demo kills one; use --replicas 4, or --protocol raft"
        );
    }
    let directory = Directory::make(arguments.home.as_deref(), arguments.keep)?;
    let narration = Narration::new();
    let done = on_runtime(async {
        tokio::select! {
            done = play(&arguments, directory.path(), &narration) => done,
            signal = interrupted() => bail!("{}; the replicas are stopped", signal?),
        }
    });
    match done {
        Ok(holds) => Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Err(error) if arguments.keep => {
            Err(error.context(format!("the demo failed; what it left is in {}", directory.path().display())))
        }
        Err(error) => {
            Err(error.context("the demo failed; --keep would leave its directory, with the replicas' logs"))
        }
    }
}

/// The whole play. Gives whether everything held.
async fn play(arguments: &Arguments, dir: &Path, narration: &Narration) -> anyhow::Result<bool> {
    let seed = match arguments.seed {
        None => fresh_seed()?,
        Some(number) => {
            let mut seed = [0; 32];
            seed[8..16].copy_from_slice(&number.to_le_bytes());
            seed
        }
    };
    let Started { consortium, mut cluster } = start(arguments, dir, seed, narration).await?;
    let clients = connect_all(&consortium).await?;
    endow(&consortium, &clients, narration).await?;

    let seconds = LOAD_SECONDS.max(arguments.transactions.div_ceil(MOST_PER_SECOND));
    let plan = Plan {
        transactions: arguments.transactions,
        duration: Duration::from_secs(seconds),
        asset: consortium.asset(),
        seed,
    };
    narration.say(&format!(
        "{} signed transfers by {} clients, {} a second; the leader will be killed after {} s",
        plan.transactions,
        clients.len(),
        plan.transactions / seconds,
        seconds / 2
    ));
    let cpu_before = cluster.cpu_time();
    let begun = Instant::now();
    let (load, crash) = tokio::join!(
        load::run(&plan, &clients, narration),
        replicas::crash_the_leader(&mut cluster, plan.duration / 2, narration)
    );
    let (load, crash) = (load?, crash?);
    narration.say("waiting until all replicas have the same state");
    let agreement = cluster.await_agreement().await?;
    let cpu = cluster.cpu_time().saturating_sub(cpu_before);
    narration.say(&format!(
        "r{} has caught up; all {} replicas at height {}",
        crash.replica.0, arguments.replicas, agreement.height
    ));

    let supply = audit(&consortium, &cluster.observer, agreement.height).await?;
    let receipt_path = dir.join("receipt.json");
    let proof = match load.receipt_after(crash.at) {
        None => None,
        Some(receipt) => Some(save_and_verify(&consortium, receipt, &receipt_path)?),
    };
    for client in clients {
        client.close().await;
    }
    let report = Report { load: &load, begun, crash: &crash, cpu, agreement: &agreement, supply, proof };
    narration.plain(&report.to_string());
    let holds = report.holds();
    if arguments.keep {
        narration.plain(&keep(&consortium, cluster, &receipt_path));
    } else {
        cluster.stop()?;
    }
    Ok(holds)
}

/// A running network, made anew with other ports if another program took one in between.
async fn start(
    arguments: &Arguments,
    dir: &Path,
    seed: [u8; 32],
    narration: &Narration,
) -> anyhow::Result<Started> {
    let replicas = usize::from(arguments.replicas);
    let limits = arguments.choice.limits(Limits { view_timeout_ms: 1000, ..Limits::default() })?;
    let fault_model = engines::fault_model(arguments.choice.protocol);
    narration.say(&format!(
        "a throw-away consortium of {replicas} organisations; {} may fail, {} decide; protocol {}, fault model {fault_model}",
        quorum::faulty(replicas, fault_model),
        quorum::quorum(replicas, fault_model),
        choice::in_words(arguments.choice.protocol, &limits)
    ));
    narration.say(match fault_model {
        FaultModel::Byzantine => {
            "its threshold key is dealt by this process, which thereby knows every secret: for demonstrations only"
        }
        FaultModel::Crash => "nothing that replicas say is signed: each is trusted not to lie",
    });
    for attempt in 1..=ATTEMPTS {
        let config = ConsortiumConfig {
            dir: if attempt == 1 { dir.to_owned() } else { dir.join(format!("attempt-{attempt}")) },
            executable: std::env::current_exe().context("cannot tell where this program is")?,
            replicas,
            clients: usize::from(arguments.clients),
            scheme: Scheme::Threshold,
            app: App::Ledger,
            protocol: arguments.choice.protocol,
            limits,
            seed,
        };
        let mut consortium = Consortium::create(config)?;
        for replica in 0..replicas {
            let path = Home::new(consortium.home(replica)).config();
            ReplicaConfig { segment_bytes: SEGMENT_BYTES, ..ReplicaConfig::read(&path)? }.write(&path)?;
        }
        let processes = consortium.start()?;
        match Cluster::up(consortium.genesis.clone(), processes).await {
            Ok(cluster) => {
                narration
                    .say(&format!("{replicas} replicas run, each a process with its own directory and port"));
                return Ok(Started { consortium, cluster });
            }
            Err(error) if attempt < ATTEMPTS && error.is::<PortTaken>() => {
                narration.say(&format!("{error}; once more with other ports"));
            }
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last attempt returns")
}

async fn connect_all(consortium: &Consortium) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(consortium.clients.len());
    for secret in &consortium.clients {
        let client =
            connect_patiently(consortium.genesis.clone(), secret.clone(), SUBMIT_PATIENCE_SECONDS).await?;
        clients.push(client);
    }
    Ok(clients)
}

/// Gives every client something to transfer.
async fn endow(consortium: &Consortium, clients: &[Client], narration: &Narration) -> anyhow::Result<()> {
    for secret in &consortium.clients {
        let issue = Operation::Issue { asset: consortium.asset(), to: secret.public(), amount: ENDOWMENT };
        let proven = clients[0].submit(Kind::Application, issue.encode()).await?;
        if proven.receipt.code != code::OK {
            bail!("the issue was refused: {}", String::from_utf8_lossy(&proven.receipt.answer));
        }
    }
    narration.say(&format!("{ENDOWMENT} {} issued to each of {} clients", consortium.asset(), clients.len()));
    Ok(())
}

/// What was issued, what is outstanding, and what all accounts hold: by verified queries. Each must be answered from the
/// height that the replicas agreed on: a proof of older state would hold too, and say nothing about the whole load.
async fn audit(consortium: &Consortium, observer: &Client, agreed: Height) -> anyhow::Result<report::Supply> {
    let asset = consortium.asset();
    let ask = async |query: Query| {
        let (answer, height) = query::ask(observer, &query).await?;
        if height != agreed {
            bail!("a query was answered from height {height}, where the replicas agreed on {agreed}");
        }
        Ok(answer)
    };
    let Answer::Supply(supply) = ask(Query::Supply { asset }).await? else {
        bail!("the answer to the query of the supply is about something else")
    };
    let mut held = 0;
    for secret in &consortium.clients {
        let account = secret.public();
        match ask(Query::Balance { asset, account }).await? {
            Answer::Balance(balance) => held += balance,
            _ => bail!("the answer to the query of a balance is about something else"),
        }
    }
    let outstanding = supply.outstanding().unwrap_or_default();
    let issued = ENDOWMENT * consortium.clients.len() as u64;
    Ok(report::Supply { issued, outstanding, held, height: agreed })
}

/// Writes the receipt, and verifies it from nothing but that file and the genesis.
fn save_and_verify(
    consortium: &Consortium,
    receipt: &load::Sample,
    path: &Path,
) -> anyhow::Result<report::Proof> {
    let chain = consortium.genesis.chain();
    let transaction = SavedTransaction::new(chain, &receipt.transaction);
    write_json(path, &ReceiptFile::new(chain, Some(transaction), receipt.proven.clone()))?;
    let genesis = read_genesis(&consortium.genesis_path())?;
    let file = read_receipt(path)?;
    let bytes = fs::metadata(path)?.len();
    match (verify::verify(&genesis, &file), genesis.fault_model) {
        (Ok(text), FaultModel::Byzantine) => Ok(report::Proof { text, bytes, proven: true }),
        (Err(refusal), FaultModel::Crash) => {
            Ok(report::Proof { text: format!("  {refusal:#}\n"), bytes, proven: false })
        }
        (Err(error), FaultModel::Byzantine) => Err(error),
        (Ok(_), FaultModel::Crash) => bail!("a receipt of the crash fault model was called proven"),
    }
}

fn keep(consortium: &Consortium, cluster: Cluster, receipt: &Path) -> String {
    let dir = &consortium.dir;
    let program =
        std::env::current_exe().map_or_else(|_| "quorate".to_owned(), |path| path.display().to_string());
    let genesis = consortium.genesis_path().display().to_string();
    let to = consortium.clients[1].public();
    let pids: Vec<String> = cluster.detach().into_iter().map(|pid| pid.to_string()).collect();
    format!(
        "\nThe replicas go on running as processes {0}.\n\
         \n  export QUORATE_GENESIS={genesis}\
         \n  {program} status\
         \n  {program} tx --key {1} transfer 5 EUR --to {to} --memo rent --save {2}\
         \n  {program} query balance EUR {to}\
         \n  {program} verify {3}\
         \n\nTo stop them: kill {0}; to start one again: {program} start --home {4}\
         \nTo forget it all: kill {0}; rm -r {5}",
        pids.join(" "),
        consortium.client_key_path(0).display(),
        dir.join("rent.json").display(),
        receipt.display(),
        consortium.home(0).display(),
        dir.display()
    )
}

/// The demo's directory, gone with this value unless it is to be kept.
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn make(given: Option<&Path>, keep: bool) -> anyhow::Result<Directory> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("quorate-demo-{}", std::process::id())),
        };
        if path.is_dir() && fs::read_dir(&path)?.next().is_some() {
            bail!("{} is not empty; choose another --home, or empty it", path.display());
        }
        fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}; choose another --home", path.display()))?;
        // Absolute, so that the commands printed at the end work from anywhere.
        let path = path.canonicalize()?;
        Ok(Directory { path, keep })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot be removed; remove it by hand");
        }
    }
}

/// Waits for a signal that ends programs; gives its name.
async fn interrupted() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "terminated",
        _ = hang_up.recv() => "hung up",
    })
}
