//! The queue of things to happen, in virtual time.

use super::certificates::Weights;
use super::committee::{Load, Members};
use super::generator::Generator;
use super::latency::Latencies;
use super::machine::{Machine, Pool, QUANTUM};
use super::meter::Meter;
use super::node::{Frame, Node, Peer, Ready};
use super::outcome::Counts;
use super::prices::{Prices, time};
use super::work::Task;
use super::{Placement, Plan};
use crate::checker::Violation;
use bft_core::engine::Class;
use bft_core::host::{Effect, Event, Host, Next, Recovered};
use bft_core::ledger::LedgerEntry;
use bft_core::machine::StateMachine;
use bft_core::types::{Height, Now, ReplicaId, Time, Timestamp};
use bytes::Bytes;
use engines::AnyEngine;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// After which a client tries again what a replica could not take.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// Threads of the load generator (`bench load`).
const GENERATOR_THREADS: usize = 2;

/// Replies that a client takes before something else may run.
const REPLIES: usize = 8;

/// How long a committee may take until it serves: in Raft a timeout and an election come first.
const BEGINNING: Duration = Duration::from_secs(600);

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// Work ends on a machine, or is interrupted, when it has had a core for so long.
    Done(usize, Running, Duration),
    /// A group was appended; it is synced after so long.
    Appended(ReplicaId, u64, Duration),
    Event(ReplicaId, Box<Event<AnyEngine>>),
    Effects(ReplicaId, Vec<Effect>),
    /// Frames are ready to leave.
    Sent(ReplicaId, Peer, Vec<Frame>),
    /// Frames have left.
    Left(ReplicaId, Peer, Vec<Frame>),
    Arrive(ReplicaId, Peer, Vec<Frame>),
    /// What the queue of certificates says.
    Certify(ReplicaId, Next),
    ToCheck(ReplicaId, Option<ReplicaId>, Vec<(Peer, Frame)>),
    Synced(ReplicaId, u64),
    Wake(ReplicaId),
    /// A client submits one more transaction than before.
    Begin(usize),
    /// A client submits, at once or later.
    Submit(usize, Bytes, bool),
    Replies(usize, Vec<Bytes>),
}

/// Work that has begun. It was done at once, and what follows from it happens when its share of the price has passed.
#[derive(Debug)]
pub(super) struct Running {
    task: Task,
    price: Duration,
    done: Duration,
    /// In the order of their times.
    follows: VecDeque<(Duration, Happening)>,
}

/// Work on a machine.
#[derive(Debug)]
enum Job {
    Fresh(Ready),
    Interrupted(Running),
}

/// See the module's text.
pub(super) struct World<'a, A> {
    pub now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    order: u64,
    pub nodes: Vec<Node<A>>,
    pub generator: Generator,
    machines: Vec<Machine<Job>>,
    /// What follows from the work at hand, and when.
    follows: VecDeque<(Duration, Happening)>,
    /// Machines that may have become free, or have more to do.
    touched: Vec<usize>,
    /// How long a core takes for work with the price of a second: more where others use the machine too.
    pace: f64,
    pub charges_clients: bool,
    /// The load generator's threads.
    clients: Pool<Ready>,
    pub latencies: Latencies,
    pub weights: Weights,
    pub prices: &'a Prices,
    pub meter: Option<&'a mut Meter>,
    pub counts: Counts,
    entries: BTreeMap<Height, LedgerEntry>,
    application: A,
}

impl<'a, A: StateMachine + Clone> World<'a, A> {
    pub fn new(
        plan: &Plan,
        application: &A,
        members: Members,
        load: &Load,
        prices: &'a Prices,
        meter: Option<&'a mut Meter>,
    ) -> World<'a, A> {
        let (cores, pace, machines, charges_clients) = match plan.placement {
            Placement::Together { cores, share } => (cores, 1.0 / share, vec![Machine::new(cores)], true),
            Placement::Apart { cores } => {
                (cores, 1.0, (0..plan.replicas).map(|_| Machine::new(cores)).collect(), false)
            }
        };
        let node = |place| Node::new(&members, place, cores, plan.bandwidth_mbit);
        let chain = members.genesis.chain();
        World {
            now: Time(0),
            queue: BTreeMap::new(),
            order: 0,
            nodes: (0..plan.replicas).map(node).collect(),
            generator: Generator::new(chain, plan.limits.unsigned, plan.in_flight, &members.clients, load),
            machines,
            follows: VecDeque::new(),
            touched: Vec::new(),
            pace,
            charges_clients,
            clients: Pool::new(GENERATOR_THREADS),
            latencies: plan.latencies.clone(),
            weights: Weights::new(plan.scheme, &members.trust, plan.limits),
            prices,
            meter,
            counts: Counts::default(),
            entries: BTreeMap::new(),
            application: application.clone(),
        }
    }

    /// All replicas start and know each other, then clients begin.
    pub fn start(&mut self) -> Result<(), Violation> {
        for place in 0..self.nodes.len() {
            let node = &mut self.nodes[place];
            let me = node.config.me;
            // No two clocks show the same: a replica draws its randomness from when it started.
            let now = Now { time: Time(0), wall: Timestamp(1_600_000_000_000_000 + place as u64) };
            let mut effects = Vec::new();
            let (config, application) = (node.config.clone(), self.application.clone());
            let host = Host::recover(config, application, Recovered::default(), now, &mut effects);
            node.host = Some(host.map_err(|error| Violation {
                rule: "a replica starts from its genesis",
                what: format!("{me}: {error}"),
            })?);
            self.after(Duration::ZERO, Happening::Effects(me, effects));
            for peer in (0..self.nodes.len() as u16).map(ReplicaId).filter(|peer| *peer != me) {
                self.after(Duration::ZERO, Happening::Event(me, Box::new(Event::Connected { peer })));
            }
        }
        let begin = self.now + Duration::from_millis(100);
        for (client, frame) in self.generator.begin(begin) {
            self.after(begin.since(self.now), Happening::Submit(client, frame, false));
        }
        Ok(())
    }

    /// Goes on until the load has begun.
    pub fn begin(&mut self) -> Result<(), Violation> {
        let step = Duration::from_millis(50);
        while !self.generator.has_begun() {
            if self.now > Time(0) + BEGINNING {
                let what = "no leader, or no receipts".to_owned();
                return Err(Violation { rule: "a committee begins to serve", what });
            }
            self.run(self.now + step)?;
        }
        Ok(())
    }

    /// Goes on until then.
    pub fn run(&mut self, until: Time) -> Result<(), Violation> {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > until {
                break;
            }
            let ((at, _), happening) = next.remove_entry();
            self.now = at;
            self.happen(happening)?;
            while let Some(machine) = self.touched.pop() {
                self.occupy(machine)?;
            }
        }
        self.now = until;
        Ok(())
    }

    pub fn after(&mut self, wait: Duration, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now + wait, self.order), happening);
    }

    fn machine_of(&self, replica: Option<ReplicaId>) -> usize {
        if self.machines.len() == 1 { 0 } else { replica.map_or(0, ReplicaId::index) }
    }

    /// Work is ready, as soon as a thread takes it.
    pub fn submit(&mut self, task: Task) {
        let machine = self.machine_of(task.of());
        let (of, is_crypto, ready) = (task.of(), task.is_crypto(), (task, self.now));
        let taken = match (of, is_crypto) {
            (Some(me), Some(true)) => self.nodes[me.index()].crypto.submit(ready),
            (Some(me), Some(false)) => self.nodes[me.index()].workers.submit(ready),
            (None, _) => self.clients.submit(ready),
            (Some(_), None) => Some(ready),
        };
        taken.into_iter().for_each(|ready| self.machines[machine].submit(Job::Fresh(ready)));
        self.touched.push(machine);
    }

    /// How long a core is busy with work of this price.
    pub fn takes(&self, price: f64) -> Duration {
        time(price * self.pace)
    }

    /// Happens when so much of the work at hand has been done.
    pub fn emit(&mut self, passed: f64, happening: Happening) {
        self.follows.push_back((time(passed), happening));
    }

    /// Cores that are free take what is ready.
    fn occupy(&mut self, machine: usize) -> Result<(), Violation> {
        while let Some(job) = self.machines[machine].begin() {
            let mut running = match job {
                Job::Interrupted(running) => running,
                Job::Fresh((task, since)) => {
                    if let (Some(me), Some(true)) = (task.of(), task.is_crypto()) {
                        self.nodes[me.index()].certificates.began(self.now.since(since));
                    }
                    let price = time(self.perform(&task)?);
                    let follows = std::mem::take(&mut self.follows);
                    Running { task, price, done: Duration::ZERO, follows }
                }
            };
            let until = running.price.min(running.done + QUANTUM);
            while let Some((at, happening)) = running.follows.pop_front_if(|(at, _)| *at <= until) {
                let wait = self.takes(at.saturating_sub(running.done).as_nanos() as f64);
                self.after(wait, happening);
            }
            let slice = until - running.done;
            running.done = until;
            self.after(self.takes(slice.as_nanos() as f64), Happening::Done(machine, running, slice));
        }
        Ok(())
    }

    fn done(&mut self, machine: usize, running: Running, used: Duration) {
        self.machines[machine].finish(used);
        self.touched.push(machine);
        if running.done < running.price {
            return self.machines[machine].submit(Job::Interrupted(running));
        }
        let Running { task, price, .. } = running;
        *self.counts.by_kind.entry(task.kind()).or_default() += price;
        if let Some(me) = task.of() {
            let node = &mut self.nodes[me.index()];
            let pool = match task.is_crypto() {
                Some(true) => Some(&mut node.crypto),
                Some(false) => Some(&mut node.workers),
                None => None,
            };
            if let Some(pool) = pool {
                pool.used += price;
                if let Some(next) = pool.finish() {
                    self.machines[machine].submit(Job::Fresh(next));
                }
            }
        } else {
            self.counts.clients_used += price;
            if let Some(next) = self.clients.finish() {
                self.machines[machine].submit(Job::Fresh(next));
            }
        }
        self.follow(&task);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Done(machine, running, used) => self.done(machine, running, used),
            Happening::Appended(me, sequence, sync) => self.after(sync, Happening::Synced(me, sequence)),
            Happening::Event(me, event) => {
                if self.nodes[me.index()].inbox.put([*event]) {
                    self.submit(Task::Host(me));
                }
            }
            Happening::Effects(me, effects) => {
                for effect in effects {
                    self.carry_out(me, effect)?;
                }
            }
            Happening::Sent(me, peer, frames) => self.sent(me, peer, frames),
            Happening::Left(me, peer, frames) => {
                self.nodes[me.index()].egress.as_mut().expect("it has left by it").finish();
                self.depart(me, peer, frames);
                self.pursue_egress(me);
            }
            Happening::Arrive(me, peer, frames) => {
                if self.nodes[me.index()].incoming.entry(peer).or_default().put(frames) {
                    self.submit(Task::Receive(me, peer));
                }
            }
            Happening::ToCheck(me, lane, frames) => {
                if self.nodes[me.index()].lanes.entry(lane).or_default().put(frames) {
                    self.submit(Task::Check(me, lane));
                }
            }
            Happening::Certify(me, next) => self.certify(me, next),
            Happening::Synced(me, sequence) => {
                let node = &mut self.nodes[me.index()];
                node.journal.writing = node.journal.waits();
                if node.journal.writing {
                    self.submit(Task::Append(me));
                }
                self.after(Duration::ZERO, Happening::Event(me, Box::new(Event::Durable { sequence })));
            }
            Happening::Wake(me) => {
                let node = &mut self.nodes[me.index()];
                if node.wake_at == Some(self.now) {
                    node.wake_at = None;
                    if node.inbox.put([]) {
                        self.submit(Task::Host(me));
                    }
                }
            }
            Happening::Begin(client) => {
                let frame = self.generator.submit_again(self.now, client);
                self.after(Duration::ZERO, Happening::Submit(client, frame, false));
            }
            Happening::Submit(client, bytes, true) => {
                self.after(RETRY, Happening::Submit(client, bytes, false))
            }
            Happening::Submit(client, bytes, false) => {
                let replica = ReplicaId((client % self.nodes.len()) as u16);
                let frame = Frame { class: Class::Pool, weight: bytes.len() as u64, bytes };
                let takes = self.latencies.to_client();
                self.after(takes, Happening::Arrive(replica, Peer::Client(client), vec![frame]));
            }
            Happening::Replies(client, replies) => {
                // Each is a task of its own in the load generator.
                for replies in replies.chunks(REPLIES) {
                    self.submit(Task::Client(client, replies.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// What a replica has executed is what the others have.
    pub fn compare(&mut self, me: ReplicaId) -> Result<(), Violation> {
        let node = &mut self.nodes[me.index()];
        let Some(host) = node.host.as_ref() else { return Ok(()) };
        while node.shown < host.executed() {
            let entry = host.entry_from(node.shown + 1).expect("the tip's entry is kept");
            let agreed = self.entries.entry(entry.height).or_insert(*entry);
            if agreed != entry {
                let what = format!("{me} has {entry:?}, others {agreed:?}");
                return Err(Violation { rule: "agreement", what });
            }
            node.shown = entry.height;
        }
        Ok(())
    }

    /// Time of cores used, by machine.
    pub fn used(&self) -> Vec<(Duration, usize)> {
        self.machines.iter().map(|machine| (machine.used, machine.cores())).collect()
    }
}
