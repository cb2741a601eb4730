//! The world: a queue of things to happen, and what happens.

use crate::adversary::Utterance;
use crate::checker::{Checker, Violation};
use crate::client::{Client, Outgoing};
use crate::network::{Network, Weather};
use crate::random::Random;
use crate::replica::Replica;
use bft_core::envelope::Body;
use bft_core::host::{CombineJob, Effect, Event, SealJob};
use bft_core::log::StateBatch;
use bft_core::types::{Height, Now, ReplicaId, Time, Timestamp};
use bytes::Bytes;
use crypto::{CombineError, Digest, Domain, Hasher};
use engines::{AnyEngine, AnyMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Wall time at the start, in microseconds since the Unix epoch.
const DAWN: u64 = 1_700_000_000_000_000;

/// More events than any healthy run has.
const MOST_EVENTS: u64 = 2_000_000;

/// Something that will happen.
#[derive(Debug)]
enum Action {
    Frame { from: ReplicaId, to: ReplicaId, frame: Bytes },
    Request { client: usize, to: ReplicaId, frame: Bytes },
    Reply { client: usize, frame: Bytes },
    Synced { replica: ReplicaId, life: u32, sequence: u64 },
    Sealed { replica: ReplicaId, life: u32, job: SealJob },
    Combined { replica: ReplicaId, life: u32, job: CombineJob },
    Flushed { replica: ReplicaId, life: u32, batch: Box<StateBatch> },
    Event { replica: ReplicaId, life: u32, event: Box<Event<AnyEngine>> },
    Tick { replica: ReplicaId, life: u32 },
    Client { client: usize },
    Fault(Fault),
}

/// Something that goes wrong, or right again.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A replica stops, losing what was not synced.
    Crash(ReplicaId),
    /// A stopped replica starts.
    Restart(ReplicaId),
    /// Links between two sides are cut; one way if so said.
    Cut(BTreeSet<ReplicaId>, BTreeSet<ReplicaId>, bool),
    /// All links are mended.
    Mend,
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
    random: Random,
    /// The checks.
    pub checker: Checker,
    audit: Hasher,
    /// Prints what happens.
    pub trace: bool,
    /// Clients go on submitting.
    pub load: bool,
    /// Things that happened.
    pub events: u64,
    /// Crashes so far.
    pub crashes: u64,
    /// Messages refused at some edge.
    pub rejected: u64,
    /// States that were fetched and put in place.
    pub installed: u64,
    /// Reports of lies, by accused.
    pub accused: BTreeMap<ReplicaId, u64>,
    sync_time: (Duration, Duration),
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
            audit: Hasher::new(Domain::Audit),
            trace: false,
            load: true,
            events: 0,
            crashes: 0,
            rejected: 0,
            installed: 0,
            accused: BTreeMap::new(),
            sync_time: (Duration::from_micros(100), Duration::from_millis(slow)),
        }
    }

    /// What this run was, in one digest.
    pub fn audit(self) -> Digest {
        self.audit.finish()
    }

    fn at(&mut self, delay: Duration, action: Action) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), action);
    }

    /// Plans a fault.
    pub fn plan(&mut self, after: Duration, fault: Fault) {
        self.at(after, Action::Fault(fault));
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
            if self.events > MOST_EVENTS {
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

    fn clock(&self, replica: ReplicaId) -> Now {
        let skew = self.replicas[replica.index()].skew_us;
        Now { time: self.now, wall: Timestamp((DAWN + self.now.0 / 1000).saturating_add_signed(skew)) }
    }

    fn note(&mut self, what: &str, replica: u64, bytes: &[u8]) {
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
        match action {
            Action::Frame { from, to, frame } => self.deliver(from, to, frame),
            Action::Request { client, to, frame } => self.request(client, to, frame),
            Action::Reply { client, frame } => self.reply(client, &frame),
            Action::Synced { replica, life, sequence } if self.lives(replica, life) => {
                self.note("synced", u64::from(replica.0), &sequence.to_be_bytes());
                let node = &mut self.replicas[replica.index()];
                node.syncing = false;
                let items = node.disk.sync(sequence).to_vec();
                self.checker.synced(replica, &items);
                self.begin_sync(replica);
                self.step(replica, Some(Event::Durable { sequence }))
            }
            Action::Sealed { replica, life, job } if self.lives(replica, life) => {
                let seal = self.replicas[replica.index()].seal(&job);
                self.step(replica, Some(Event::Sealed { ticket: job.ticket, seal }))
            }
            Action::Combined { replica, life, job } if self.lives(replica, life) => {
                let quorum = &self.replicas[replica.index()].config.trust.quorum;
                let result = quorum.combine(&job.statement, &job.shares).map_err(|error| match error {
                    CombineError::Culprits(culprits) => culprits,
                    CombineError::TooFew { .. } => unreachable!("hosts combine quorums"),
                });
                self.step(replica, Some(Event::Combined { statement: job.statement, result }))
            }
            Action::Flushed { replica, life, batch } if self.lives(replica, life) => {
                let height = batch.height;
                self.replicas[replica.index()].disk.flush(*batch);
                self.step(replica, Some(Event::Flushed { height }))
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
            | Action::Flushed { .. }
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
        let checked = self.replicas[to.index()].edge.replica_frames(&[(from, frame)]).pop();
        match checked.expect("one verdict a frame") {
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

    fn request(&mut self, client: usize, to: ReplicaId, frame: Bytes) -> Result<(), Violation> {
        let node = &self.replicas[to.index()];
        if node.host.is_none() {
            return Ok(());
        }
        self.note("request", client as u64, &frame);
        match self.replicas[to.index()].edge.client_frames(&[frame]).pop().expect("one verdict a frame") {
            Ok(request) => self.step(to, Some(Event::Request { client: client as u64, request })),
            Err(rejection) => Err(Violation {
                rule: "an honest client's request passes the edge",
                what: rejection.to_string(),
            }),
        }
    }

    fn reply(&mut self, client: usize, frame: &[u8]) -> Result<(), Violation> {
        self.note("reply", client as u64, frame);
        let now = self.now;
        if let Some((sequence, receipt)) = self.clients[client].reply(now, frame) {
            let key = self.clients[client].secret.public();
            let trust = self.replicas[0].config.trust.clone();
            self.checker.acknowledged(key, sequence, &receipt, &trust)?;
        }
        Ok(())
    }

    fn client(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.now;
        let client = &mut self.clients[index];
        let mut outgoing: Vec<Outgoing> = client.tick(now);
        if self.load && client.is_free() {
            let (sequence, frame) = client.submit(now);
            let key = client.secret.public();
            self.checker.submitted(key, sequence);
            outgoing.push(frame);
        }
        for (to, frame) in outgoing {
            let delay = self.network.delay();
            self.at(delay, Action::Request { client: index, to, frame });
        }
        let pause = self.random.span(Duration::from_millis(5), Duration::from_millis(120));
        self.at(pause, Action::Client { client: index });
        Ok(())
    }

    /// Feeds a replica, then lets it do what waited; carries out what it wants and looks at what it did.
    fn step(&mut self, replica: ReplicaId, event: Option<Event<AnyEngine>>) -> Result<(), Violation> {
        let now = self.clock(replica);
        let mut effects = Vec::new();
        let node = &mut self.replicas[replica.index()];
        let Some(host) = node.host.as_mut() else { return Ok(()) };
        if let Some(event) = event {
            host.step(now, event, &mut effects);
        }
        host.flush(now, &mut effects);
        host.invariants();
        self.settle(replica, effects)
    }

    fn settle(&mut self, replica: ReplicaId, effects: Vec<Effect>) -> Result<(), Violation> {
        self.look_at(replica)?;
        for effect in effects {
            self.carry_out(replica, effect)?;
        }
        let node = &mut self.replicas[replica.index()];
        let deadline = node.host.as_ref().and_then(bft_core::host::Host::deadline);
        if let Some(at) = deadline
            && node.tick_at.is_none_or(|tick| at < tick || tick < self.now)
        {
            let at = at.max(self.now);
            node.tick_at = Some(at);
            let life = node.life;
            self.at(at.since(self.now), Action::Tick { replica, life });
        }
        Ok(())
    }

    /// Shows the checker what an honest replica has executed.
    fn look_at(&mut self, replica: ReplicaId) -> Result<(), Violation> {
        let node = &mut self.replicas[replica.index()];
        let Some(host) = node.host.as_ref() else { return Ok(()) };
        if !node.is_honest() {
            return Ok(());
        }
        self.checker.view(replica, host.engine_view())?;
        while node.shown < host.executed() {
            let height = node.shown + 1;
            let entry = host.entry_from(height).expect("the tip's entry is kept");
            if entry.height == height {
                self.checker.executed(replica, entry)?;
            } else {
                self.installed += 1;
                self.checker.installed(replica, entry)?;
            }
            node.shown = entry.height;
        }
        let trace = std::mem::take(&mut *node.trace.lock().expect("one thread"));
        for (height, client, sequence) in trace {
            self.checker.applied(replica, height, client, sequence)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, replica: ReplicaId, effect: Effect) -> Result<(), Violation> {
        let life = self.replicas[replica.index()].life;
        match effect {
            Effect::Append(batch) => {
                if self.trace {
                    let items: Vec<_> =
                        batch.items.iter().map(|item| (item.kind, item.height, item.digest)).collect();
                    println!(
                        "             {replica} appends {}{} {items:?}",
                        batch.sequence,
                        if batch.new_segment { " (new segment)" } else { "" }
                    );
                }
                self.replicas[replica.index()].disk.append(batch);
                self.begin_sync(replica);
            }
            Effect::Seal(job) => {
                let delay = self.random.span(Duration::from_micros(50), Duration::from_micros(300));
                self.at(delay, Action::Sealed { replica, life, job });
            }
            Effect::Combine(job) => {
                let delay = self.random.span(Duration::from_micros(500), Duration::from_millis(2));
                self.at(delay, Action::Combined { replica, life, job });
            }
            Effect::Send { to, class: _, frame } => self.send(replica, to, frame)?,
            Effect::Reply { client, frame } => {
                let delay = self.network.delay();
                let client = usize::try_from(client).expect("clients are indexed");
                self.at(delay, Action::Reply { client, frame });
            }
            Effect::ReadChain { to, from, max_bytes, max_entries } => {
                let chain = self.replicas[replica.index()].disk.chain(from, max_bytes, max_entries);
                self.later(replica, Event::ChainRead { to, chain });
            }
            Effect::ReadBlocks { to, blocks } => {
                let disk = &self.replicas[replica.index()].disk;
                let blocks = blocks.into_iter().map(|digest| (digest, disk.block(&digest))).collect();
                self.later(replica, Event::BlocksRead { to, blocks });
            }
            Effect::Flush(batch) => {
                let delay = self.random.span(Duration::from_millis(1), Duration::from_millis(20));
                self.at(delay, Action::Flushed { replica, life, batch: Box::new(batch) });
            }
            Effect::Stable { height } => self.replicas[replica.index()].edge.set_stable(height),
            Effect::Release { below } => self.replicas[replica.index()].disk.release(below),
            Effect::Report(evidence) => {
                let accused = evidence.accused;
                *self.accused.entry(accused).or_default() += 1;
                if self.replicas[accused.index()].is_honest() {
                    let what = format!("{replica} accuses {accused}: {evidence:?}");
                    return Err(Violation { rule: "no evidence names an honest replica", what });
                }
            }
            Effect::Halt { reason } if self.replicas[replica.index()].is_honest() => {
                return Err(Violation {
                    rule: "honest replicas go on",
                    what: format!("{replica}: {reason}"),
                });
            }
            Effect::Halt { .. } => self.replicas[replica.index()].host = None,
        }
        Ok(())
    }

    fn later(&mut self, replica: ReplicaId, event: Event<AnyEngine>) {
        let life = self.replicas[replica.index()].life;
        let delay = self.random.span(Duration::from_micros(50), Duration::from_millis(1));
        self.at(delay, Action::Event { replica, life, event: Box::new(event) });
    }

    fn send(&mut self, from: ReplicaId, to: ReplicaId, frame: Bytes) -> Result<(), Violation> {
        let node = &mut self.replicas[from.index()];
        let utterances = match &mut node.liar {
            Some(liar) => liar.says(to, frame),
            None => vec![Utterance { to, delay: Duration::ZERO, frame }],
        };
        if node.is_honest() {
            for utterance in &utterances {
                self.checker.sent(from, &utterance.frame)?;
            }
        }
        for Utterance { to, delay, frame } in utterances.into_iter().filter(|utterance| utterance.to != from)
        {
            for wait in self.network.send(from, to) {
                self.at(delay + wait, Action::Frame { from, to, frame: frame.clone() });
            }
        }
        Ok(())
    }

    /// One sync at a time; it covers what was appended when it began.
    fn begin_sync(&mut self, replica: ReplicaId) {
        let node = &mut self.replicas[replica.index()];
        let Some(sequence) = node.disk.appended().filter(|_| !node.syncing) else { return };
        node.syncing = true;
        let life = node.life;
        let delay = self.random.span(self.sync_time.0, self.sync_time.1);
        self.at(delay, Action::Synced { replica, life, sequence });
    }

    fn fault(&mut self, fault: &Fault) -> Result<(), Violation> {
        self.note("fault", 0, format!("{fault:?}").as_bytes());
        if self.trace {
            println!("             {fault:?}");
        }
        match fault {
            Fault::Crash(replica) => self.crash(*replica),
            Fault::Restart(replica) => self.restart(*replica)?,
            Fault::Cut(side, other, one_way) => {
                self.network.cut(side, other, *one_way);
                self.tell_links()?;
            }
            Fault::Mend => {
                self.network.heal();
                self.tell_links()?;
            }
        }
        Ok(())
    }

    fn crash(&mut self, replica: ReplicaId) {
        if self.replicas[replica.index()].host.take().is_some() {
            self.crashes += 1;
        }
    }

    fn restart(&mut self, replica: ReplicaId) -> Result<(), Violation> {
        if self.replicas[replica.index()].host.is_some() {
            return Ok(());
        }
        let now = self.clock(replica);
        let mut effects = Vec::new();
        let node = &mut self.replicas[replica.index()];
        let recovered = node.disk.crash(&mut self.random);
        node.start(now, recovered, &mut effects);
        let shown = node.shown;
        self.checker.started(replica, shown);
        // What survived the crash is durable whether or not a sync had been reported.
        let survived = self.replicas[replica.index()].disk.survived().to_vec();
        self.checker.synced(replica, &survived);
        self.settle(replica, effects)?;
        self.tell_links()
    }

    /// Tells every running replica which others it is connected to.
    fn tell_links(&mut self) -> Result<(), Violation> {
        let ids: Vec<ReplicaId> = (0..self.replicas.len()).map(|index| ReplicaId(index as u16)).collect();
        for a in &ids {
            for b in ids.iter().filter(|b| *b != a) {
                let up = self.network.is_up(*a, *b) && self.network.is_up(*b, *a);
                let running = self.replicas[b.index()].host.is_some();
                let event = if up && running {
                    Event::Connected { peer: *b }
                } else {
                    Event::Disconnected { peer: *b }
                };
                self.step(*a, Some(event))?;
            }
        }
        Ok(())
    }

    /// Ends all faults: links are mended and calm, every replica runs.
    ///
    /// # Errors
    /// A rule that was broken.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.network.heal();
        self.network.set_weather(Weather::CALM);
        self.queue.retain(|_, action| !matches!(action, Action::Fault(_)));
        for index in 0..self.replicas.len() {
            self.restart(ReplicaId(index as u16))?;
        }
        self.tell_links()
    }

    /// Executed heights of the live honest replicas.
    pub fn heights(&self) -> BTreeMap<ReplicaId, Height> {
        let honest = self.replicas.iter().filter(|replica| replica.is_honest());
        honest.filter_map(|replica| Some((replica.config.me, replica.host.as_ref()?.executed()))).collect()
    }

    /// Whether all live honest replicas are at the same certified height with nothing left to do.
    pub fn is_settled(&self) -> bool {
        let honest = self.replicas.iter().filter(|replica| replica.is_honest());
        let reports: Vec<_> = honest.filter_map(|replica| Some(replica.host.as_ref()?.report())).collect();
        reports.windows(2).all(|pair| pair[0].stable == pair[1].stable)
            && reports.iter().all(|report| report.stable == report.executed && report.pooled == 0)
    }
}

/// Sixty-four bits of some bytes, quickly: the audit compares runs of the same program, and nobody forges one.
fn fold(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
}

fn describe(body: &Body<AnyMessage>) -> String {
    match body {
        Body::Engine(sealed) => format!("{:?}", sealed.message),
        other => other.kind().to_owned(),
    }
}
