//! What the network's tasks have in common.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crypto::{Identity, ReplicaId};
use parking_lot::{Mutex, RwLock};
use quinn::Endpoint;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clients::Clients;
use crate::directory::Directory;
use crate::gate::Gate;
use crate::handshake::Terms;
use crate::tls::Tls;
use crate::{Handler, Limits, TransportOptions};

/// One network, as its tasks see it.
pub(crate) struct Shared {
    pub me: ReplicaId,
    pub identity: Identity,
    pub tls: Tls,
    pub limits: Limits,
    pub transport: TransportOptions,
    pub epoch_tolerance: u64,
    pub endpoint: Endpoint,
    pub handler: Arc<dyn Handler>,
    pub directory: RwLock<Directory>,
    pub gate: Mutex<Gate>,
    pub clients: Clients,
    pub counters: Counters,
    pub tasks: Tasks,
}

impl Shared {
    /// What this replica says and asks for at present.
    pub fn terms(&self) -> Terms {
        Terms { hello: self.directory.read().hello(), epoch_tolerance: self.epoch_tolerance }
    }
}

/// See [`crate::NetStats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub begun: AtomicU64,
    pub retried: AtomicU64,
    pub refused: AtomicU64,
    failed: AtomicU64,
    pub unroutable: AtomicU64,
    last_refusal: Mutex<Option<String>>,
}

impl Counters {
    /// Counts a failed handshake or refused connection. Strangers can cause as many as the gate lets in; so this is no
    /// more than a counter, the last text, and a line at debug level.
    pub fn failed(&self, from: impl fmt::Display, reason: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let text = format!("{from}: {reason}");
        tracing::debug!(text, "connection attempt failed");
        *self.last_refusal.lock() = Some(text);
    }

    pub fn failures(&self) -> (u64, Option<String>) {
        (self.failed.load(Ordering::Relaxed), self.last_refusal.lock().clone())
    }
}

/// Spawns tasks and lets a shutdown wait until all are done.
pub(crate) struct Tasks {
    runtime: Handle,
    /// Every task holds a clone. None: no task may start any more.
    alive: Mutex<Option<mpsc::Sender<()>>>,
}

impl Tasks {
    /// The receiver ends when [`Tasks::stop`] was called and the last task is done.
    pub fn new(runtime: Handle) -> (Tasks, mpsc::Receiver<()>) {
        let (sender, done) = mpsc::channel(1);
        (Tasks { runtime, alive: Mutex::new(Some(sender)) }, done)
    }

    /// Runs `task`, unless the network stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(alive) = self.alive.lock().clone() {
            self.runtime.spawn(async move {
                task.await;
                drop(alive);
            });
        }
    }

    /// Lets no further task start.
    pub fn stop(&self) {
        self.alive.lock().take();
    }
}
