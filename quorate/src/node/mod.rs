//! A running replica: the pure host between threads, sockets and disks.
//!
//! One task owns the host. Everything else reports to it over one channel: the log's writer, the state's writer, a pool of
//! threads for signatures, and the transport's tasks, on whose threads it runs. The channel has no bound of its own: what is in it is bounded by
//! the transport's byte budgets per peer and client, whose permits travel with the frames, and by the host's own outstanding jobs.

mod counters;
mod crypto_pool;
mod driver;
mod ports;

use crate::evidence::EvidenceDir;
use crate::home::{Home, ReplicaConfig, read_genesis};
use anyhow::{Context, bail};
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::edge::Edge;
use bft_core::genesis::Genesis;
use bft_core::host::{Effect, Event, HostConfig, LocalLimits, Recovered};
use bft_core::machine::StateMachine;
use bft_core::types::ReplicaId;
use crypto::{IdentitySecret, QuorumSigner, Scheme, TransactionVerifier, keystore};
use crypto_pool::CryptoPool;
use driver::{Clock, Driver, SimpleHost, thread_time};
use engines::{AnyEngine, AnyMessage};
use net::{Hello, Member, NetConfig, Network, Roster};
use ports::Inbound;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use storage::{DataDir, LogConfig, LogEvent, LogWriter, Origin, StateEvent, StateStore, StateWriter};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Threads for the transport and the host, at most: as many as the machine has cores up to here. Two at least: while the host works or waits for
/// the disk, the other one serves the network.
const MOST_WORKERS: usize = 4;

/// What reaches the task that owns the host.
pub(crate) enum Message {
    /// For the host; the permit gives the frame's bytes back to the sender's budget once it is handled.
    Event(Box<Event<AnyEngine>>, Option<net::Permit>),
    /// A client's frame did not pass the edge.
    Refused { client: net::ConnectionId, id: u64, rejection: String },
    /// Certificates wait for others: see [`CryptoPool::pursue`].
    Waiting,
    /// Something under the replica failed: it has to stop.
    Failed(String),
    /// Somebody asked it to stop.
    Stop,
}

/// A replica that runs.
#[derive(Debug)]
pub struct Node {
    inbox: UnboundedSender<Message>,
    driver: JoinHandle<Option<String>>,
    address: SocketAddr,
    runtime: Runtime,
    threads: [Runtime; 2],
}

/// Starts the replica at `home`.
///
/// # Errors
/// Whatever keeps it from starting, with its remedy.
pub fn start<A: StateMachine>(app: A, home: &Home) -> anyhow::Result<Node> {
    let config = ReplicaConfig::read(&home.config())?;
    let genesis = Arc::new(read_genesis(&home.genesis())?);
    if !engines::is_known(genesis.protocol) {
        bail!("the genesis names the protocol {}, for which this release has no engine", genesis.protocol);
    }
    let trust = genesis.trust().context("the genesis cannot be used")?;
    let me = ReplicaId(config.replica);
    let Some(info) = genesis.replicas.get(me.index()) else {
        bail!(
            "{} says replica {}, but the genesis has replicas 0 to {}; correct the number",
            home.config().display(),
            config.replica,
            genesis.replicas.len().saturating_sub(1)
        );
    };
    let identity = keystore::read_identity(&home.identity_key())?;
    check_identity(home, &genesis, me, &identity)?;
    let signer = read_signer(home, &genesis, me, &identity)?;
    let mut directory = DataDir::open(home.path(), trust.domain.chain.0, u32::from(me.0))?;
    let may_vote = directory.origin() == Origin::New;
    if !may_vote {
        tracing::warn!(
            "the data directory was not initialised for this replica: it follows the others and does not vote"
        );
    }
    let mut log_config = LogConfig::new(trust.domain.chain.0);
    log_config.segment_bytes = config.segment_bytes;
    log_config.max_body_bytes = u32::try_from(genesis.limits.frame_bytes()).unwrap_or(u32::MAX);
    let (log, reader) = directory.open_log(log_config)?;
    let store = StateStore::open(&directory.state_path())?;
    let state = store.load()?;
    let recovered = reader.recover(state.as_ref().map_or(0, |state| state.height))?;

    let (inbox, messages) = unbounded_channel();
    let edge = Edge::new(trust.clone(), genesis.limits, TransactionVerifier::Zip215).with_clock(thread_time);
    let edge = Arc::new(edge);
    let evidence = EvidenceDir::open(home.evidence())?;
    let recovered = Recovered {
        state,
        records: recovered.records,
        items: recovered.items,
        fetched: store.fetched()?,
        evidence: evidence.load(|evidence| edge.evidence::<AnyMessage>(evidence))?,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = [threads("crypto", cores.saturating_sub(1).max(1))?, threads("log-reader", 1)?];
    let pool = CryptoPool::new(
        (threads[0].handle().clone(), threads[1].handle().clone()),
        Arc::clone(&edge),
        trust.quorum.clone(),
        signer,
        identity.clone(),
        inbox.clone(),
    );
    let host_config = HostConfig {
        me,
        genesis: Arc::clone(&genesis),
        trust: trust.clone(),
        may_vote,
        local: local_limits(&config),
        spent: thread_time,
    };
    let clock = Clock::start();
    let mut effects: Vec<Effect> = Vec::new();
    let host = SimpleHost::recover(host_config, app, recovered, clock.now(), &mut effects)?;

    let listen = match config.listen {
        Some(listen) => listen,
        None => info
            .address
            .to_socket_addrs()
            .with_context(|| {
                format!(
                    "the address {:?} of this replica cannot be resolved; give `listen` in {}",
                    info.address,
                    home.config().display()
                )
            })?
            .next()
            .with_context(|| format!("the address {:?} of this replica resolves to nothing", info.address))?,
    };
    let roster = roster(home, &genesis, &config)?;
    let bound = {
        let mut net = net_config(&genesis, identity, listen, roster, hello(&trust, me));
        net.transport.mtu_upper_bound = config.mtu_upper_bound;
        Network::bind(net)?
    };
    let address = bound.local_address();
    let runtime = Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, MOST_WORKERS))
        .thread_name("replica")
        .enable_all()
        .build()
        .context("cannot start the replica's threads")?;
    let network = bound.start(Arc::new(Inbound::new(pool.clone(), inbox.clone())), runtime.handle())?;
    let log_writer = LogWriter::spawn(log, notify_log(inbox.clone()))?;
    let state_writer = StateWriter::spawn(store, notify_state(inbox.clone()))?;
    let driver = Driver {
        host,
        pool,
        network,
        reader,
        log_writer,
        state_writer,
        edge,
        evidence,
        clock,
        directory,
        spent: Duration::ZERO,
    };
    let driver = runtime.spawn(driver.run(messages, effects));
    tracing::info!(replica = %me, %address, chain = %trust.domain.chain, votes = may_vote, "started");
    Ok(Node { inbox, driver, address, runtime, threads })
}

/// Threads for work that would hold up the others: at most so many, each until it has had nothing to do for some seconds.
fn threads(name: &'static str, most: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(most).thread_name(name);
    builder.build().with_context(|| format!("cannot start the threads {name}"))
}

impl Node {
    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for SIGTERM, SIGINT, or the replica's own end; stops cleanly.
    ///
    /// # Errors
    /// Why the replica stopped by itself.
    pub fn wait(self) -> anyhow::Result<()> {
        let inbox = self.inbox.clone();
        self.runtime.spawn(async move {
            if let Err(error) = stop_signal().await {
                tracing::warn!(%error, "signals cannot be handled; end the process to stop the replica");
                return;
            }
            // Nobody listens any more if the replica has stopped by itself.
            let _ = inbox.send(Message::Stop);
        });
        self.join()
    }

    /// Stops cleanly.
    ///
    /// # Errors
    /// Why the replica had stopped by itself before.
    pub fn stop(self) -> anyhow::Result<()> {
        // Nobody listens any more if the replica has stopped by itself.
        let _ = self.inbox.send(Message::Stop);
        self.join()
    }

    fn join(self) -> anyhow::Result<()> {
        let Node { driver, runtime, threads, .. } = self;
        let ended = runtime.block_on(driver);
        for runtime in [runtime].into_iter().chain(threads) {
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => bail!("the replica stopped: {reason}"),
            Err(_) => bail!(
                "the replica panicked: an invariant of its own is broken; keep the data directory for inspection"
            ),
        }
    }
}

async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

fn check_identity(
    home: &Home,
    genesis: &Genesis,
    me: ReplicaId,
    identity: &IdentitySecret,
) -> anyhow::Result<()> {
    let (ours, expected) = (identity.public(), genesis.replicas[me.index()].identity);
    if ours == expected {
        return Ok(());
    }
    let path = home.identity_key();
    match genesis.replicas.iter().position(|replica| replica.identity == ours) {
        Some(other) => bail!(
            "{} is the key of replica {other} ({ours}), but this is replica {} ({expected}); put every key into its own home",
            path.display(),
            me.0
        ),
        None => bail!(
            "{} holds the key {ours}, which is not in the genesis; replica {} has {expected}: use that key, or the genesis made with this one",
            path.display(),
            me.0
        ),
    }
}

fn read_signer(
    home: &Home,
    genesis: &Genesis,
    me: ReplicaId,
    identity: &IdentitySecret,
) -> anyhow::Result<QuorumSigner> {
    match (genesis.scheme, &genesis.threshold) {
        (Scheme::None, _) => Ok(QuorumSigner::None),
        (Scheme::Ed25519, _) => Ok(QuorumSigner::Ed25519(identity.clone())),
        (Scheme::Threshold, None) => bail!("the genesis has the threshold scheme and no threshold keys"),
        (Scheme::Threshold, Some(keys)) => {
            let share =
                keystore::read_threshold(&home.threshold_key(), bft_core::genesis::FIRST_EPOCH, keys)?;
            if share.replica() != me {
                bail!(
                    "{} is the share of replica {}, but this is replica {}; put every share into its own home",
                    home.threshold_key().display(),
                    share.replica().0,
                    me.0
                );
            }
            Ok(QuorumSigner::Threshold(share, identity.clone()))
        }
    }
}

fn local_limits(config: &ReplicaConfig) -> LocalLimits {
    LocalLimits {
        pool_bytes: config.pool_bytes,
        // Three quarters: the writer's frames and the segment's own header fit in the rest.
        segment_bytes: usize::try_from(config.segment_bytes / 4 * 3).unwrap_or(usize::MAX),
        flush_heights: config.flush_heights,
        retain_blocks: config.retain_blocks,
        fetch_all_blocks: config.fetch_all_blocks,
        ..LocalLimits::default()
    }
}

/// The replicas of the genesis, at the addresses where this one reaches them.
fn roster(home: &Home, genesis: &Genesis, config: &ReplicaConfig) -> anyhow::Result<Roster> {
    let committee = genesis.committee();
    let foreign = |peer: &&u16| **peer == config.replica || !committee.contains(ReplicaId(**peer));
    if let Some(peer) = config.peers.keys().find(foreign) {
        bail!(
            "{} gives an address for replica {peer} under [peers]; the others are those of 0 to {} that are not {}",
            home.config().display(),
            genesis.replicas.len().saturating_sub(1),
            config.replica
        );
    }
    let members = committee.members().zip(&genesis.replicas).map(|(id, replica)| {
        let address = config.peers.get(&id.0).unwrap_or(&replica.address).clone();
        (id, Member { identity: replica.identity, address })
    });
    Ok(Roster::new(members)?)
}

/// What this replica says of itself to the others.
fn hello(trust: &Trust, me: ReplicaId) -> Hello {
    Hello {
        version: u16::from(codec::VERSION),
        chain: trust.domain.chain,
        epoch: trust.domain.epoch,
        protocol: trust.domain.protocol,
        fault_model: trust.domain.fault_model,
        replica: me,
    }
}

fn net_config(
    genesis: &Genesis,
    secret: IdentitySecret,
    listen: SocketAddr,
    roster: Roster,
    hello: Hello,
) -> NetConfig {
    let mut config = NetConfig::new(secret, listen, roster, hello);
    let frame = genesis.limits.frame_bytes();
    for class in [net::Class::Proposal, net::Class::Sync, net::Class::Pool, net::Class::Vote] {
        let limits = config.limits.class_mut(class);
        limits.frame_bytes = limits.frame_bytes.max(frame);
        limits.queue_bytes = limits.queue_bytes.max(2 * frame);
        limits.inbound_bytes = limits.inbound_bytes.max(2 * frame);
    }
    let transaction = genesis.limits.transaction_bytes as usize + 4096;
    let clients = &mut config.limits.clients;
    clients.frame_bytes = clients.frame_bytes.max(transaction);
    clients.inbound_bytes = clients.inbound_bytes.max(2 * transaction);
    config
}

fn notify_log(inbox: UnboundedSender<Message>) -> impl FnMut(LogEvent) + Send + 'static {
    move |event| {
        let message = match event {
            LogEvent::Durable { sequence } => Message::Event(Box::new(Event::Durable { sequence }), None),
            LogEvent::Failed(error) => Message::Failed(error.to_string()),
        };
        let _ = inbox.send(message);
    }
}

fn notify_state(inbox: UnboundedSender<Message>) -> impl FnMut(StateEvent) + Send + 'static {
    move |event| {
        let message = match event {
            StateEvent::Flushed { height } => Message::Event(Box::new(Event::Flushed { height }), None),
            StateEvent::Failed(error) => Message::Failed(error.to_string()),
        };
        let _ = inbox.send(message);
    }
}
