//! A committee in one thread, to which nothing bad happens: production hosts, whose messages arrive in the order they were sent; what
//! is to be durable or sealed is so at once, and time passes only while everybody waits for it.

use super::accounts::Accounts;
use super::members::Members;
use super::transactions::Submissions;
use bft_core::edge::Edge;
use bft_core::engine::Engine;
use bft_core::envelope::Rejection;
use bft_core::host::{Effect, Event, Host, Recovered};
use bft_core::types::{Now, ReplicaId, Time, Timestamp};
use bytes::Bytes;
use engines::AnyMessage;
use std::collections::VecDeque;

/// Waits after which something is taken to hang.
const MOST_WAITS: u32 = 10_000;

/// See the module's text.
pub struct Committee<E: Engine> {
    members: Members,
    hosts: Vec<Host<E, Accounts>>,
    edges: Vec<Edge>,
    queue: VecDeque<(ReplicaId, Arrival<E>)>,
    time: Time,
    submissions: Submissions,
    submitted: u64,
}

enum Arrival<E: Engine> {
    Frame { from: ReplicaId, bytes: Bytes },
    Event(Box<Event<E>>),
}

impl<E: Engine<Message = AnyMessage>> Committee<E> {
    /// All replicas start, know each other, and have a leader and a first executed block.
    pub fn start(members: Members) -> Committee<E> {
        let submissions = Submissions::new(members.trust.domain.chain);
        let mut committee = Committee {
            hosts: Vec::new(),
            edges: Vec::new(),
            queue: VecDeque::new(),
            time: Time(1),
            submissions,
            submitted: 0,
            members,
        };
        let everybody: Vec<ReplicaId> = committee.members.trust.committee.members().collect();
        for me in &everybody {
            let mut effects = Vec::new();
            let config = committee.members.host_config(*me);
            let now = committee.now(*me);
            let host = Host::recover(config, committee.members.app, Recovered::default(), now, &mut effects)
                .expect("a replica starts from its genesis");
            committee.hosts.push(host);
            committee.edges.push(committee.members.edge());
            committee.absorb(*me, effects);
        }
        for me in &everybody {
            for peer in everybody.iter().filter(|peer| *peer != me) {
                committee.queue.push_back((*me, Arrival::Event(Box::new(Event::Connected { peer: *peer }))));
            }
        }
        committee.run_until(|host| host.report().active);
        committee.submit(1);
        committee.settle();
        committee
    }

    /// Everything that was submitted is executed everywhere, and nothing is on its way.
    pub fn settle(&mut self) {
        let submitted = self.submitted;
        self.run_until(|host| host.totals().transactions == submitted);
    }

    /// Clients give `count` transactions to the leader, all at once.
    pub fn submit(&mut self, count: usize) {
        let leader = self.hosts[0].report().leader;
        let requests = self.submissions.take(count, &self.edges[leader.index()]);
        self.submitted += count as u64;
        let mut effects = Vec::new();
        let now = self.now(leader);
        let host = &mut self.hosts[leader.index()];
        for request in requests {
            host.step(now, Event::Request { client: 1, request }, &mut effects);
        }
        host.flush(now, &mut effects);
        self.absorb(leader, effects);
    }

    /// What happens next, and to whom; none if everybody waits.
    pub fn next(&mut self) -> Option<(ReplicaId, Event<E>)> {
        while let Some((to, arrival)) = self.queue.pop_front() {
            let (from, bytes) = match arrival {
                Arrival::Event(event) => return Some((to, *event)),
                Arrival::Frame { from, bytes } => (from, bytes),
            };
            let length = bytes.len();
            let checked = self.edges[to.index()].replica_frames(&[(from, bytes)]).pop();
            match checked.expect("one frame, one verdict") {
                Ok(envelope) => return Some((to, Event::Frame { from, bytes: length, envelope })),
                Err(Rejection::Stale { .. }) => {}
                Err(other) => panic!("{to} refuses a frame of {from}: {other}"),
            }
        }
        None
    }

    /// It happens.
    pub fn step(&mut self, to: ReplicaId, event: Event<E>) -> Vec<Effect> {
        let now = self.now(to);
        let mut effects = Vec::new();
        self.hosts[to.index()].step(now, event, &mut effects);
        effects
    }

    /// What follows from it.
    pub fn follow(&mut self, replica: ReplicaId, mut effects: Vec<Effect>) {
        let now = self.now(replica);
        self.hosts[replica.index()].flush(now, &mut effects);
        self.absorb(replica, effects);
    }

    /// Transactions that a replica has executed.
    pub fn executed(&self, replica: ReplicaId) -> u64 {
        self.hosts[replica.index()].totals().transactions
    }

    /// Goes on until all is `done` at every replica, and nothing is on its way.
    fn run_until(&mut self, done: impl Fn(&Host<E, Accounts>) -> bool) {
        for _ in 0..MOST_WAITS {
            while let Some((to, event)) = self.next() {
                let effects = self.step(to, event);
                self.follow(to, effects);
            }
            if self.hosts.iter().all(&done) {
                return;
            }
            let deadlines = self.hosts.iter().filter_map(Host::deadline);
            self.time = self.time.max(deadlines.min().expect("whoever is not done waits for something"));
            for me in self.members.trust.committee.members() {
                self.follow(me, Vec::new());
            }
        }
        panic!("the committee hangs: {:?}", self.hosts.iter().map(Host::report).collect::<Vec<_>>());
    }

    /// No two clocks show the same: a replica draws its randomness from when it started.
    fn now(&self, replica: ReplicaId) -> Now {
        let wall = 1_000_000 + self.time.0 / 1000 + u64::from(replica.0);
        Now { time: self.time, wall: Timestamp(wall) }
    }

    fn absorb(&mut self, me: ReplicaId, effects: Vec<Effect>) {
        for effect in effects {
            let quorum = &self.members.trust.quorum;
            let event = match effect {
                Effect::Append(batch) => Event::Durable { sequence: batch.sequence },
                Effect::Seal(job) => {
                    Event::Sealed { ticket: job.ticket, seal: self.members.keys.seal(me, job.with) }
                }
                Effect::Combine(job) => {
                    Event::Combined { statement: job.statement, result: job.result(quorum) }
                }
                Effect::Aggregate(job) => Event::Aggregated { view: job.view, result: job.result(quorum) },
                Effect::Send { to, class: _, frame } => {
                    self.queue.push_back((to, Arrival::Frame { from: me, bytes: frame }));
                    continue;
                }
                Effect::Flush(batch) => Event::Flushed { height: batch.height },
                Effect::Stable { height } => {
                    self.edges[me.index()].set_stable(height);
                    continue;
                }
                Effect::Reply { .. } | Effect::Release { .. } | Effect::KeepFetched(_) => continue,
                Effect::ReadChain { .. }
                | Effect::ReadBlocks { .. }
                | Effect::Examine(_)
                | Effect::Recognize { .. }
                | Effect::Report(_)
                | Effect::Halt { .. } => panic!("nobody is behind, and nobody lies: {effect:?}"),
            };
            self.queue.push_back((me, Arrival::Event(Box::new(event))));
        }
    }
}
