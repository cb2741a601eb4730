//! Connections: at most one per replica, made when first needed.

use crate::config::ClientConfig;
use crate::route::Route;
use crate::switchboard::Switchboard;
use bft_core::genesis::ReplicaInfo;
use bytes::Bytes;
use crypto::ReplicaId;
use net::{ClientConnection, ClientOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// All replicas with the connections to them.
#[derive(Debug)]
pub(crate) struct Links {
    slots: Vec<Slot>,
    connect_timeout: Duration,
    answer_bytes: usize,
    mtu_upper_bound: u16,
    board: Arc<Switchboard>,
    route: Arc<Route>,
}

#[derive(Debug)]
struct Slot {
    replica: ReplicaId,
    info: ReplicaInfo,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    /// When connecting last failed, and why: those who waited for that attempt share its end.
    failed: Option<(Instant, String)>,
}

/// A connection with the task that reads it.
struct Link {
    connection: Arc<ClientConnection>,
    /// No answer will come of it any more.
    ended: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.connection.remote_address())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Links {
    pub fn new(config: &ClientConfig, board: Arc<Switchboard>, route: Arc<Route>) -> Links {
        let slots = config.genesis.replicas.iter().zip(config.genesis.committee().members());
        let slots =
            slots.map(|(info, replica)| Slot { replica, info: info.clone(), state: Mutex::default() });
        Links {
            slots: slots.collect(),
            connect_timeout: config.answer_timeout,
            answer_bytes: config.answer_bytes(),
            mtu_upper_bound: config.mtu_upper_bound,
            board,
            route,
        }
    }

    /// Sends a frame to a replica, over the connection at hand or a new one.
    ///
    /// # Errors
    /// Why it cannot be reached. Nothing was sent then.
    pub async fn send(&self, to: ReplicaId, frame: Bytes) -> Result<(), String> {
        let link = self.link(&self.slots[to.index()]).await?;
        link.connection.send(frame).await.map_err(|error| error.to_string())
    }

    async fn link(&self, slot: &Slot) -> Result<Arc<Link>, String> {
        let asked = Instant::now();
        let mut state = slot.state.lock().await;
        if let Some(link) = state.usable() {
            return Ok(link);
        }
        if let Some((at, why)) = &state.failed
            && *at >= asked
        {
            return Err(why.clone());
        }
        match ClientConnection::connect(&slot.info.address, slot.info.identity, self.transport()).await {
            Ok(connection) => {
                let link = Arc::new(self.start(slot.replica, connection));
                state.link = Some(link.clone());
                Ok(link)
            }
            Err(error) => {
                let why = error.to_string();
                state.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// Made anew for every connection: each has a TLS key of its own.
    fn transport(&self) -> ClientOptions {
        let mut options = ClientOptions { connect_timeout: self.connect_timeout, ..ClientOptions::default() };
        options.transport.mtu_upper_bound = self.mtu_upper_bound;
        options.limits.frame_bytes = self.answer_bytes;
        options.limits.queue_bytes = options.limits.queue_bytes.max(2 * self.answer_bytes);
        options
    }

    fn start(&self, replica: ReplicaId, connection: ClientConnection) -> Link {
        let connection = Arc::new(connection);
        let ended = Arc::new(AtomicBool::new(false));
        let (source, flag) = (connection.clone(), ended.clone());
        let (board, route) = (self.board.clone(), self.route.clone());
        let reader = tokio::spawn(async move {
            let why = loop {
                match source.recv().await {
                    Ok(frame) => {
                        if let Err(why) = board.frame(replica, &frame) {
                            tracing::warn!(%replica, why, "a replica does not keep to the protocol");
                            break why;
                        }
                    }
                    Err(error) => break error.to_string(),
                }
            };
            flag.store(true, SeqCst);
            tracing::debug!(%replica, why, "the connection is of no more use");
            // Also when nothing waits there: the next request would wait for a connection that may never be made.
            route.leave(replica);
            board.lost(replica, &why);
        });
        Link { connection, ended, reader }
    }

    /// Ends the connection to a replica that lied; the next request makes a new one.
    pub fn retire(&self, replica: ReplicaId) {
        // Locked: it is being connected to, so there is nothing to end.
        if let Ok(mut state) = self.slots[replica.index()].state.try_lock()
            && state.link.take().is_some()
        {
            self.board.lost(replica, "the connection was ended because it lied");
        }
    }

    /// Closes all connections, giving the replicas a moment to notice.
    pub async fn close(&self) {
        let mut closing = tokio::task::JoinSet::new();
        for slot in &self.slots {
            let Some(link) = slot.state.lock().await.link.take() else { continue };
            closing.spawn(async move {
                link.reader.abort();
                if let Some(mut link) = Arc::into_inner(link) {
                    let _ = (&mut link.reader).await;
                    let connection = link.connection.clone();
                    drop(link);
                    if let Some(connection) = Arc::into_inner(connection) {
                        connection.close().await;
                    }
                }
            });
        }
        while closing.join_next().await.is_some() {}
    }
}

impl State {
    fn usable(&mut self) -> Option<Arc<Link>> {
        let usable = |link: &Arc<Link>| !link.ended.load(SeqCst) && link.connection.closed().is_none();
        if !self.link.as_ref().is_some_and(usable) {
            self.link = None;
        }
        self.link.clone()
    }
}
