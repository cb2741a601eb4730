//! The world: a queue of things to happen, and what happens.

use crate::checker::{Checker, Violation};
use crate::client::Client;
use crate::fault::Fault;
use crate::frames::describe;
use crate::linear::{self, History};
use crate::mutants;
use crate::network::Network;
use crate::pace::Pace;
use crate::random::Random;
use crate::reader::Reader;
use crate::replica::{Replica, SimHost};
use crate::transfer::Interruption;
use bft_core::envelope::Body;
use bft_core::evidence::Evidence;
use bft_core::host::{AggregateJob, CombineJob, Effect, Event, SealJob};
use bft_core::log::{FetchedPart, StateBatch};
use bft_core::mutants::Mutant;
use bft_core::types::{Height, ReplicaId, Time};
use bytes::Bytes;
use crypto::{Digest, Domain, Hasher, Work};
use engines::AnyEngine;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// More events than any healthy run has.
const MOST_EVENTS: u64 = 2_000_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Action {
    Frame { from: ReplicaId, to: ReplicaId, frame: Bytes },
    Request { client: usize, to: ReplicaId, frame: Bytes },
    Reply { client: usize, frame: Bytes },
    Synced { replica: ReplicaId, life: u32, sequence: u64 },
    Sealed { replica: ReplicaId, life: u32, job: SealJob },
    Combined { replica: ReplicaId, life: u32, job: CombineJob },
    Aggregated { replica: ReplicaId, life: u32, job: AggregateJob },
    Flushed { replica: ReplicaId, life: u32, batch: Box<StateBatch> },
    Kept { replica: ReplicaId, life: u32, part: Box<FetchedPart> },
    Event { replica: ReplicaId, life: u32, event: Box<Event<AnyEngine>> },
    Tick { replica: ReplicaId, life: u32 },
    Client { client: usize },
    Fault(Fault),
}

impl Action {
    /// The replica that has to run for it to happen.
    fn of(&self) -> Option<ReplicaId> {
        match self {
            Action::Frame { to, .. } | Action::Request { to, .. } => Some(*to),
            Action::Synced { replica, .. }
            | Action::Sealed { replica, .. }
            | Action::Combined { replica, .. }
            | Action::Aggregated { replica, .. }
            | Action::Flushed { replica, .. }
            | Action::Kept { replica, .. }
            | Action::Event { replica, .. }
            | Action::Tick { replica, .. } => Some(*replica),
            Action::Reply { .. } | Action::Client { .. } | Action::Fault(_) => None,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct World {
    /// Virtual time.
    pub now: Time,
    queue: BTreeMap<(Time, u64), Action>,
    order: u64,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The clients.
    pub clients: Vec<Client>,
    /// The links.
    pub network: Network,
    pub(crate) random: Random,
    /// The checks.
    pub checker: Checker,
    /// What clients asked for and were told.
    pub history: History,
    /// What clients read out of order, if they do: one for each client.
    pub(crate) readers: Vec<Reader>,
    audit: Hasher,
    /// Prints what happens.
    pub trace: bool,
    /// Clients go on submitting.
    pub load: bool,
    /// Links carry nothing but what changes views.
    pub only_view_changes: bool,
    /// Links carry no evidence: a canary.
    pub evidence_is_kept_back: bool,
    /// Things that happened.
    pub events: u64,
    /// More are a replica that does not come to rest.
    pub most_events: u64,
    /// Crashes so far.
    pub crashes: u64,
    /// Faults beyond crashes, by kind.
    pub mishaps: BTreeMap<&'static str, u64>,
    /// Messages refused at some edge.
    pub rejected: u64,
    /// States that were fetched and put in place.
    pub installed: u64,
    /// Lies proven, by accused: at most one of a kind at each replica.
    pub accused: BTreeMap<ReplicaId, u64>,
    /// Replicas crash while they fetch state.
    pub interruption: Option<Interruption>,
    /// Old copies of disks must be noticed before they do harm.
    pub watches_copies: bool,
    /// Sick disks are taken for sound ones: a canary.
    pub trusts_disks: bool,
    pub(crate) pace: Pace,
    /// What all replicas have signed and verified, but for the signatures of clients.
    pub work: Work,
    /// How long a client waits, at least and at most, before it looks whether it may submit another transaction.
    pub(crate) pauses: (Duration, Duration),
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(replicas: Vec<Replica>, clients: Vec<Client>, network: Network, mut random: Random) -> World {
        let slow = [1, 5, 30][random.index(3)];
        World {
            now: Time(0),
            queue: BTreeMap::new(),
            order: 0,
            replicas,
            clients,
            network,
            random,
            checker: Checker::default(),
            history: History::default(),
            readers: Vec::new(),
            audit: Hasher::new(Domain::Audit),
            trace: false,
            load: true,
            only_view_changes: false,
            evidence_is_kept_back: false,
            events: 0,
            most_events: MOST_EVENTS,
            crashes: 0,
            mishaps: BTreeMap::new(),
            rejected: 0,
            installed: 0,
            accused: BTreeMap::new(),
            interruption: None,
            watches_copies: false,
            trusts_disks: false,
            pace: Pace::with_disk_of(slow),
            work: Work::default(),
            pauses: (Duration::from_millis(5), Duration::from_millis(120)),
        }
    }

    /// What this run was, in one digest.
    pub fn audit(self) -> Digest {
        self.audit.finish()
    }

    pub(crate) fn at(&mut self, delay: Duration, action: Action) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), action);
    }

    /// Starts every replica and client.
    ///
    /// # Errors
    /// A rule that was broken.
    pub fn start(&mut self) -> Result<(), Violation> {
        for index in 0..self.replicas.len() {
            self.restart(ReplicaId(index as u16))?;
        }
        for client in 0..self.clients.len() {
            let delay = self.random.span(Duration::ZERO, Duration::from_millis(200));
            self.at(delay, Action::Client { client });
        }
        Ok(())
    }

    /// Goes on until the virtual time is `until`, or `done` says so.
    ///
    /// # Errors
    /// A rule that was broken.
    pub fn run(&mut self, until: Time, done: impl Fn(&World) -> bool) -> Result<bool, Violation> {
        while let Some(((at, order), action)) = self.queue.pop_first() {
            if at > until {
                self.queue.insert((at, order), action);
                break;
            }
            self.now = at;
            self.events += 1;
            if self.events > self.most_events {
                let what = format!("{} events in {:?} of virtual time", self.events, self.now.since(Time(0)));
                return Err(Violation { rule: "replicas come to rest", what });
            }
            self.act(action)?;
            if self.events.is_multiple_of(64) && done(self) {
                return Ok(true);
            }
        }
        self.now = self.now.max(until);
        Ok(done(self))
    }

    pub(crate) fn note(&mut self, what: &str, replica: u64, bytes: &[u8]) {
        let event = [self.now.0, fold(what.as_bytes()), replica, fold(bytes)].map(u64::to_le_bytes);
        self.audit.update(&fold(event.as_flattened()).to_be_bytes());
        if self.trace {
            println!("{:>12.3} ms  {what} {replica:x} {} bytes", self.now.0 as f64 / 1e6, bytes.len());
        }
    }

    fn lives(&self, replica: ReplicaId, life: u32) -> bool {
        let replica = &self.replicas[replica.index()];
        replica.host.is_some() && replica.life == life
    }

    fn act(&mut self, action: Action) -> Result<(), Violation> {
        if let Some(replica) = action.of()
            && self.replicas[replica.index()].paused.is_some()
        {
            self.replicas[replica.index()].held.push(action);
            return Ok(());
        }
        match action {
            Action::Frame { from, to, frame } => self.deliver(from, to, frame),
            Action::Request { client, to, frame } => self.request(client, to, frame),
            Action::Reply { client, frame } => self.reply(client, &frame),
            Action::Synced { replica, life, sequence } if self.lives(replica, life) => {
                self.synced(replica, sequence)
            }
            Action::Sealed { replica, life, job } if self.lives(replica, life) => {
                let seal = self.at_work(|world| world.replicas[replica.index()].seal(&job));
                self.step(replica, Some(Event::Sealed { ticket: job.ticket, seal }))
            }
            Action::Combined { replica, life, job } if self.lives(replica, life) => {
                let result =
                    self.at_work(|world| job.result(&world.replicas[replica.index()].config.trust.quorum));
                self.step(replica, Some(Event::Combined { statement: job.statement, result }))
            }
            Action::Aggregated { replica, life, job } if self.lives(replica, life) => {
                let result =
                    self.at_work(|world| job.result(&world.replicas[replica.index()].config.trust.quorum));
                self.step(replica, Some(Event::Aggregated { view: job.view, result }))
            }
            Action::Flushed { replica, life, batch } if self.lives(replica, life) => {
                let height = batch.height;
                self.replicas[replica.index()].drive.flush(*batch);
                if Mutant::FlushedEarly.is_on() {
                    return Ok(());
                }
                self.step(replica, Some(Event::Flushed { height }))
            }
            Action::Kept { replica, life, part } if self.lives(replica, life) => {
                self.replicas[replica.index()].drive.account.keep_fetched(*part);
                Ok(())
            }
            Action::Event { replica, life, event } if self.lives(replica, life) => {
                self.step(replica, Some(*event))
            }
            Action::Tick { replica, life } if self.lives(replica, life) => {
                let node = &mut self.replicas[replica.index()];
                if node.tick_at != Some(self.now) {
                    return Ok(());
                }
                node.tick_at = None;
                self.step(replica, None)
            }
            Action::Client { client } => self.client(client),
            Action::Fault(fault) => self.fault(&fault),
            Action::Synced { .. }
            | Action::Sealed { .. }
            | Action::Combined { .. }
            | Action::Aggregated { .. }
            | Action::Flushed { .. }
            | Action::Kept { .. }
            | Action::Event { .. }
            | Action::Tick { .. } => Ok(()),
        }
    }

    fn deliver(&mut self, from: ReplicaId, to: ReplicaId, frame: Bytes) -> Result<(), Violation> {
        let node = &mut self.replicas[to.index()];
        if node.host.is_none() || node.liar.as_mut().is_some_and(|liar| !liar.hears(&frame)) {
            return Ok(());
        }
        let bytes = frame.len();
        self.note("frame", u64::from(from.0) << 16 | u64::from(to.0), &frame);
        let from = self.member(from);
        let frames = [(from, frame.clone())];
        let checked = self.at_work(|world| world.replicas[to.index()].edge.replica_frames(&frames).pop());
        let checked = checked.expect("one verdict a frame");
        match checked.or_else(|rejection| mutants::overlook(&rejection, &frame).ok_or(rejection)) {
            Ok(envelope) if matches!(&envelope.body, Body::Evidence(lie) if self.ignores(to, lie)) => Ok(()),
            Ok(envelope) => {
                if self.trace {
                    println!("             {from} -> {to}: {}", describe(&envelope.body));
                }
                self.step(to, Some(Event::Frame { from, bytes, envelope }))
            }
            Err(rejection) => {
                self.rejected += 1;
                if self.trace {
                    println!("             {to} refuses a frame of {from}: {rejection}");
                }
                Ok(())
            }
        }
    }

    /// A liar does not stop when it is found out; nor do two copies of one replica, which nobody looks after.
    pub(crate) fn ignores(&self, replica: ReplicaId, evidence: &Evidence) -> bool {
        let node = &self.replicas[replica.index()];
        (node.liar.is_some() || node.twin) && evidence.accused == node.config.me
    }

    /// Does a replica's work, and counts it.
    pub(crate) fn at_work<T>(&mut self, work: impl FnOnce(&mut World) -> T) -> T {
        let before = Work::of_this_thread();
        let result = work(self);
        self.work += Work::of_this_thread() - before;
        result
    }

    /// Feeds a replica, then lets it do what waited; carries out what it wants and looks at what it did.
    pub(crate) fn step(
        &mut self,
        replica: ReplicaId,
        event: Option<Event<AnyEngine>>,
    ) -> Result<(), Violation> {
        let mut effects = Vec::new();
        let node = &mut self.replicas[replica.index()];
        let now = node.clock.read(self.now);
        let honest = node.is_honest();
        let Some(host) = node.host.as_mut() else { return Ok(()) };
        if honest {
            self.checker.clock(now.wall, node.config.genesis.limits.clock_skew_ms * 1000);
        }
        if node.paused.is_some() {
            let life = node.life;
            let held = event.map(|event| Action::Event { replica, life, event: Box::new(event) });
            node.held.extend(held);
            return Ok(());
        }
        let act = |host: &mut SimHost, effects: &mut Vec<Effect>| {
            if let Some(event) = event {
                host.step(now, event, effects);
            }
            host.flush(now, effects);
            host.invariants();
        };
        if !honest {
            // Somebody else acts, or acted, under its keys, and others answer to that: an assertion may stop it, which is as
            // good as a crash.
            if catch_unwind(AssertUnwindSafe(|| act(host, &mut effects))).is_err() {
                node.host = None;
                *self.mishaps.entry("dishonest replicas stopped by an assertion").or_default() += 1;
                return Ok(());
            }
        } else {
            act(host, &mut effects);
        }
        self.settle(replica, effects)
    }

    /// The member of the committee at a place: its own number, or that of which it is a second copy.
    pub(crate) fn member(&self, place: ReplicaId) -> ReplicaId {
        self.replicas[place.index()].config.me
    }

    /// Forgets the faults that were to come.
    pub(crate) fn drop_faults(&mut self) {
        self.queue.retain(|_, action| !matches!(action, Action::Fault(_)));
    }

    /// Whether one order of the operations explains what clients were told.
    ///
    /// # Errors
    /// If there is none.
    pub fn linearizable(&self) -> Result<(), Violation> {
        for (register, operations) in self.history.registers() {
            if !linear::is_linearizable(&operations) {
                let what = format!("register {register}: {operations:?}");
                return Err(Violation { rule: "operations on a register are linearizable", what });
            }
        }
        Ok(())
    }

    /// Executed heights of the live honest replicas.
    pub fn heights(&self) -> BTreeMap<ReplicaId, Height> {
        let honest = self.replicas.iter().filter(|replica| replica.is_honest());
        honest.filter_map(|replica| Some((replica.config.me, replica.host.as_ref()?.executed()))).collect()
    }

    /// Whether all live honest replicas can prove the same lies of the same replicas.
    pub fn has_spread_evidence(&self) -> bool {
        let honest = self.replicas.iter().filter(|replica| replica.is_honest());
        let known: Vec<BTreeSet<_>> = honest
            .filter_map(|replica| replica.host.as_ref())
            .map(|host| host.evidence().map(|evidence| (evidence.accused, evidence.first.0.kind)).collect())
            .collect();
        known.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Whether all live honest replicas are at the same certified height with nothing left to do.
    pub fn is_settled(&self) -> bool {
        let honest = self.replicas.iter().filter(|replica| replica.is_honest());
        let hosts: Vec<_> = honest.filter_map(|replica| replica.host.as_ref()).collect();
        let reports: Vec<_> = hosts.iter().map(|host| host.report()).collect();
        reports
            .windows(2)
            .all(|pair| (pair[0].stable, pair[0].executed) == (pair[1].stable, pair[1].executed))
            && hosts.iter().all(|host| host.is_certified())
            && reports.iter().all(|report| report.pooled == 0)
    }
}

/// Sixty-four bits of some bytes, quickly: the audit compares runs of the same program, and nobody forges one.
fn fold(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
}
