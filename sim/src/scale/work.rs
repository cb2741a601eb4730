//! The work that replicas and clients do on cores: what it is, and what it comes to.

use super::generator::Next;
use super::meter::Sort;
use super::node::{Frame, Peer, Received};
use super::prices::time;
use super::world::{Happening, World};
use crate::checker::Violation;
use bft_core::edge::{Edge, ReadFrame};
use bft_core::envelope::{Body, Rejection, SealWith};
use bft_core::host::{AggregateJob, CombineJob, Effect, Event, SealJob};
use bft_core::machine::StateMachine;
use bft_core::request::{Answer, Reply};
use bft_core::types::{Now, ReplicaId, Time, Timestamp};
use bytes::Bytes;
use crypto::{FaultModel, QuorumSigner};
use engines::{AnyEngine, AnyMessage};
use std::sync::atomic::Ordering::Relaxed;

/// Events that a host takes before it flushes, at most, as in the product.
const BURST: usize = 512;

/// Frames and bytes that are checked together, at most, as in the product.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Bytes that are written to a connection together, at most, as in the product.
const WRITE_BYTES: u64 = 64 << 10;

/// Wall time at the start, in microseconds.
const DAWN: u64 = 1_700_000_000_000_000;

/// A piece of work.
#[derive(Debug)]
pub(super) enum Task {
    /// The host takes what has gathered, and flushes.
    Host(ReplicaId),
    /// What waits for a connection is sent.
    Send(ReplicaId, Peer),
    /// What has come on a connection is read.
    Receive(ReplicaId, Peer),
    /// What waits in a lane is checked.
    Check(ReplicaId, Option<ReplicaId>),
    Seal(ReplicaId, SealJob),
    /// Certificates are made and verified, as many as go together.
    Certify(ReplicaId),
    Aggregate(ReplicaId, AggregateJob),
    /// What waits for the log is appended.
    Append(ReplicaId),
    /// A client reads replies, and submits.
    Client(usize, Vec<Bytes>),
}

impl Task {
    /// The replica that does it.
    pub fn of(&self) -> Option<ReplicaId> {
        match self {
            Task::Host(me)
            | Task::Send(me, _)
            | Task::Receive(me, _)
            | Task::Check(me, _)
            | Task::Seal(me, _)
            | Task::Certify(me)
            | Task::Aggregate(me, _)
            | Task::Append(me) => Some(*me),
            Task::Client(..) => None,
        }
    }

    /// What kind of work it is, for accounting. Checks have the certificates among them, which are counted once more by themselves.
    pub fn kind(&self) -> &'static str {
        match self {
            Task::Host(_) => "host",
            Task::Send(..) => "send",
            Task::Receive(..) => "receive",
            Task::Check(..) => "check",
            Task::Seal(..) => "seal",
            Task::Certify(..) | Task::Aggregate(..) => "combine",
            Task::Append(_) => "append",
            Task::Client(..) => "clients",
        }
    }

    /// Whether the replica's crypto threads do it; none where it has a thread of its own.
    pub fn is_crypto(&self) -> Option<bool> {
        match self {
            Task::Host(_) | Task::Send(..) | Task::Receive(..) => Some(false),
            Task::Check(..) | Task::Seal(..) | Task::Certify(..) | Task::Aggregate(..) => Some(true),
            Task::Append(_) | Task::Client(..) => None,
        }
    }
}

/// What edges count.
#[derive(Clone, Copy)]
struct Verified {
    client_signatures: u64,
    certificates: u64,
    aggregates: u64,
    signatures: u64,
}

impl Verified {
    fn by(edge: &Edge) -> Verified {
        let counts = edge.counts();
        Verified {
            client_signatures: counts.client_signatures.load(Relaxed),
            certificates: counts.certificates.load(Relaxed),
            aggregates: counts.aggregates.load(Relaxed),
            signatures: counts.signatures.load(Relaxed),
        }
    }
}

impl<A: StateMachine + Clone> World<'_, A> {
    /// Does a piece of work. Gives its price; what follows from it is to happen when that has passed.
    pub(super) fn perform(&mut self, task: &Task) -> Result<f64, Violation> {
        match task {
            Task::Host(me) => self.host(*me),
            Task::Send(me, peer) => Ok(self.transmit(*me, *peer)),
            Task::Receive(me, peer) => self.receive(*me, *peer),
            Task::Check(me, lane) => self.check_lane(*me, *lane),
            Task::Seal(me, job) => {
                let node = &self.nodes[me.index()];
                let seal = crate::replica::seal(job.with, &node.signer, &node.identity);
                let price = match (job.with, &node.signer) {
                    (SealWith::Nothing, _) | (_, QuorumSigner::None) => 0.0,
                    (SealWith::Share(_), _) => self.prices.scheme.seal,
                    (SealWith::Signature(_), _) => self.prices.sign,
                };
                self.tell(*me, price, Event::Sealed { ticket: job.ticket, seal });
                Ok(price)
            }
            Task::Certify(me) => {
                let (jobs, frames) = self.nodes[me.index()].certificates.take();
                let before = Verified::by(&self.nodes[me.index()].edge);
                let made = jobs.len() as u64;
                let events = self.verify(*me, frames, jobs)?;
                let came = Verified::by(&self.nodes[me.index()].edge).certificates - before.certificates;
                let price = self.prices.certification(made, came, self.nodes.len());
                events.into_iter().for_each(|event| self.tell(*me, price, event));
                Ok(price)
            }
            Task::Aggregate(me, job) => {
                let result = job.result(&self.nodes[me.index()].config.trust.quorum);
                let price = self.prices.scheme.aggregate.at(self.nodes.len() as f64);
                self.tell(*me, price, Event::Aggregated { view: job.view, result });
                Ok(price)
            }
            Task::Append(me) => Ok(self.append(*me)),
            Task::Client(client, replies) => Ok(self.client(*client, replies)),
        }
    }

    fn tell(&mut self, me: ReplicaId, price: f64, event: Event<AnyEngine>) {
        self.emit(price, Happening::Event(me, Box::new(event)));
    }

    fn clock(&self, passed: f64) -> Now {
        let time = self.now + self.takes(passed);
        Now { time, wall: Timestamp(DAWN + time.0 / 1000) }
    }

    /// The host's task, once round its loop.
    fn host(&mut self, me: ReplicaId) -> Result<f64, Violation> {
        let mut passed = 0.0;
        let inbox = &mut self.nodes[me.index()].inbox.waiting;
        let events: Vec<Event<AnyEngine>> = inbox.drain(..inbox.len().min(BURST)).collect();
        for event in events {
            passed += self.host_piece(me, passed, Some(event));
        }
        passed += self.host_piece(me, passed, None);
        self.compare(me)?;
        self.nodes[me.index()].host_used += time(passed);
        Ok(passed)
    }

    /// One event, or a flush. Gives its price.
    fn host_piece(&mut self, me: ReplicaId, passed: f64, event: Option<Event<AnyEngine>>) -> f64 {
        let now = self.clock(passed);
        let (sort, units) = sort_of(event.as_ref());
        let mut effects = Vec::new();
        let node = &mut self.nodes[me.index()];
        let Some(host) = node.host.as_mut() else { return 0.0 };
        let before = host.totals().transactions;
        let begun = self.meter.as_ref().map(|meter| meter.read());
        match event {
            Some(event) => host.step(now, event, &mut effects),
            None => host.flush(now, &mut effects),
        }
        let took = begun.and_then(|begun| Some(self.meter.as_ref()?.read().saturating_sub(begun)));
        let executed = host.totals().transactions - before;
        let (sort, units) = match units {
            _ if executed > 0 => (Sort::Execute, executed as f64),
            Some(units) => (sort, units),
            None => (sort, bytes_of(&effects) as f64),
        };
        if let (Some(meter), Some(took)) = (&mut self.meter, took) {
            meter.add(sort, units, took);
        }
        let price = self.prices.work(sort, units);
        if !effects.is_empty() {
            self.emit(passed + price, Happening::Effects(me, effects));
        }
        price
    }

    /// Frames leave for a peer, as many as are written together.
    fn transmit(&mut self, me: ReplicaId, peer: Peer) -> f64 {
        let waiting = &mut self.nodes[me.index()].outgoing.entry(peer).or_default().waiting;
        let (mut bytes, mut frames) = (0, Vec::new());
        while let Some(frame) =
            waiting.front().filter(|frame| frames.is_empty() || bytes + frame.weight <= WRITE_BYTES)
        {
            bytes += frame.weight;
            frames.extend(waiting.pop_front());
        }
        let price = self.carriage(&frames);
        self.emit(price, Happening::Sent(me, peer, frames));
        price
    }

    fn carriage(&mut self, frames: &[Frame]) -> f64 {
        self.counts.count(frames);
        let bytes: u64 = frames.iter().map(|frame| frame.weight).sum();
        let transport = &self.prices.transport;
        transport.write.of(bytes as f64) + transport.frame * frames.len() as f64
    }

    /// Frames are read off a connection. Those without signatures are checked at once.
    fn receive(&mut self, me: ReplicaId, peer: Peer) -> Result<f64, Violation> {
        let node = &mut self.nodes[me.index()];
        let waiting = &mut node.incoming.entry(peer).or_default().waiting;
        let frames: Vec<Frame> = waiting.drain(..).collect();
        let mut price = self.carriage(&frames);
        let node = &self.nodes[me.index()];
        let (lane, at_once) = match peer {
            Peer::Replica(from) => (Some(from), node.edge.believes_replicas()),
            Peer::Client(_) => (None, node.edge.believes_clients()),
        };
        let frames: Vec<(Peer, Frame)> = frames.into_iter().map(|frame| (peer, frame)).collect();
        if at_once {
            price += self.check(me, price, &frames)?;
        } else {
            self.emit(price, Happening::ToCheck(me, lane, frames));
        }
        Ok(price)
    }

    fn check_lane(&mut self, me: ReplicaId, lane: Option<ReplicaId>) -> Result<f64, Violation> {
        let waiting = &mut self.nodes[me.index()].lanes.entry(lane).or_default().waiting;
        let mut bytes = 0;
        let fitting = waiting.iter().take(BATCH_FRAMES).take_while(|(_, frame)| {
            bytes += frame.bytes.len();
            bytes <= BATCH_BYTES
        });
        let count = fitting.count().max(1).min(waiting.len());
        let batch: Vec<(Peer, Frame)> = waiting.drain(..count).collect();
        self.counts.handed_over += count as u64;
        Ok(self.check(me, 0.0, &batch)? + self.prices.hand_over * count as f64)
    }

    /// Checks frames together and hands them to the host, when that and what passed before has passed.
    fn check(&mut self, me: ReplicaId, passed: f64, batch: &[(Peer, Frame)]) -> Result<f64, Violation> {
        let before = Verified::by(&self.nodes[me.index()].edge);
        let (mut price, mut events) = (0.0, Vec::new());
        for (peer, frame) in batch {
            let (sort, bytes) = match peer {
                Peer::Client(_) => (Sort::CheckRequest, frame.bytes.clone()),
                Peer::Replica(_) => (Sort::CheckFrame, frame.bytes.clone()),
            };
            let (frame_bytes, units) = (bytes.len(), bytes.len() as f64);
            // A replica does not share memory with another one.
            let bytes = if self.meter.is_some() { Bytes::copy_from_slice(&bytes) } else { bytes };
            let begun = self.meter.as_ref().map(|meter| meter.read());
            match peer {
                Peer::Client(client) => {
                    let verdict = self.nodes[me.index()].edge.client_frames(&[bytes]).remove(0);
                    let request = verdict.map_err(|why| refused(me, *peer, &why))?;
                    events.push(Event::Request { client: *client as u64, request });
                }
                Peer::Replica(from) => {
                    let node = &mut self.nodes[me.index()];
                    let frame = node.edge.read_frames::<AnyMessage>(&[(*from, bytes)]).remove(0);
                    let can_wait = node.certificates.waits_with(*from)
                        && frame.as_ref().is_ok_and(ReadFrame::is_certificate);
                    let received = Received { from: *from, bytes: frame_bytes, frame };
                    if can_wait {
                        let next = node.certificates.wait(received);
                        self.emit(passed + price, Happening::Certify(me, next));
                    } else {
                        events.extend(self.verify(me, vec![received], Vec::new())?);
                    }
                }
            }
            if let (Some(meter), Some(begun)) = (&mut self.meter, begun) {
                let took = meter.read().saturating_sub(begun);
                meter.add(sort, units, took);
            }
            price += self.prices.work(sort, units);
        }
        let mut made = 0;
        if Verified::by(&self.nodes[me.index()].edge).certificates > before.certificates {
            let (jobs, frames) = self.nodes[me.index()].certificates.company();
            made = jobs.len() as u64;
            events.extend(self.verify(me, frames, jobs)?);
        }
        let after = Verified::by(&self.nodes[me.index()].edge);
        price += self.prices.client_signatures(after.client_signatures - before.client_signatures);
        let came = after.certificates - before.certificates;
        let certificates = self.prices.certification(made, came, self.nodes.len());
        *self.counts.by_kind.entry("certificates").or_default() += time(certificates);
        price += certificates;
        price += self.prices.verify_signature * (after.signatures - before.signatures) as f64;
        let aggregate = self.prices.scheme.verify_aggregate.at(self.nodes.len() as f64);
        price += aggregate * (after.aggregates - before.aggregates) as f64;
        for event in events {
            self.emit(passed + price, Happening::Event(me, Box::new(event)));
        }
        Ok(price)
    }

    /// Frames of replicas pass the edge, unless they are of no more use, and certificates are made.
    fn verify(
        &self,
        me: ReplicaId,
        received: Vec<Received>,
        jobs: Vec<CombineJob>,
    ) -> Result<Vec<Event<AnyEngine>>, Violation> {
        let (sources, frames): (Vec<_>, Vec<_>) =
            received.into_iter().map(|Received { from, bytes, frame }| ((from, bytes), frame)).unzip();
        let (verdicts, certificates) = self.nodes[me.index()].edge.verify_frames(frames, &jobs);
        let mut events = Vec::new();
        for ((from, bytes), verdict) in sources.into_iter().zip(verdicts) {
            match verdict {
                Ok(envelope) => events.push(Event::Frame { from, bytes, envelope }),
                Err(Rejection::Stale { .. } | Rejection::Far { .. }) => {}
                Err(why) => return Err(refused(me, Peer::Replica(from), &why)),
            }
        }
        let combined = jobs.into_iter().zip(certificates);
        events.extend(combined.map(|(job, result)| Event::Combined { statement: job.statement, result }));
        Ok(events)
    }

    /// The log's writer takes a group, appends it, and syncs it in a time that is not a core's.
    fn append(&mut self, me: ReplicaId) -> f64 {
        let Some((sequence, bytes)) = self.nodes[me.index()].journal.take() else { return 0.0 };
        let price = self.prices.log.append.of(bytes as f64);
        let sync = self.prices.log.sync.of(bytes as f64);
        self.emit(price, Happening::Appended(me, sequence, time(sync)));
        price
    }

    fn client(&mut self, client: usize, replies: &[Bytes]) -> f64 {
        let mut passed = 0.0;
        for reply in replies {
            self.meter_reply(reply);
            let singles = Reply::read(reply, usize::MAX).unwrap_or_default();
            if self.charges_clients {
                passed += self.prices.client * singles.len() as f64;
                passed += self.prices.work(Sort::ReadReply, reply.len() as f64);
                passed += self.new_certificate(&singles);
            }
            let at = self.now + self.takes(passed);
            for reply in &singles {
                match self.generator.reply(at, client, reply) {
                    Next::Nothing => {}
                    Next::Load => {
                        for (wait, client) in self.generator.beginnings() {
                            self.after(wait, Happening::Begin(client));
                        }
                    }
                    Next::Submit(frame) => self.emit(passed, Happening::Submit(client, frame, false)),
                    Next::Again(frame) => self.emit(passed, Happening::Submit(client, frame, true)),
                }
            }
        }
        passed
    }
}

impl<A: StateMachine + Clone> World<'_, A> {
    /// The price of a certificate that was not seen before.
    fn new_certificate(&mut self, replies: &[Reply]) -> f64 {
        match replies.first() {
            // Receipts that come together share it.
            Some(Reply { answer: Answer::Receipt(receipt), .. })
                if self.nodes[0].config.trust.domain.fault_model == FaultModel::Byzantine
                    && self.generator.is_news(receipt.certificate.height()) =>
            {
                self.prices.certificates(1, self.nodes.len())
            }
            _ => 0.0,
        }
    }

    /// Does what a client does with a reply, where that is measured.
    fn meter_reply(&mut self, reply: &Bytes) {
        let Some(meter) = self.meter.as_mut() else { return };
        let trust = &self.nodes[0].config.trust;
        let begun = meter.read();
        for Reply { answer, .. } in Reply::read(reply, usize::MAX).unwrap_or_default() {
            let Answer::Receipt(receipt) = answer else { continue };
            // In the crash fault model a replica's word is enough, and this says no more than that.
            let _ = std::hint::black_box(receipt.verify(trust));
        }
        let took = meter.read().saturating_sub(begun);
        meter.add(Sort::ReadReply, reply.len() as f64, took);
    }
}

/// What a host is told, or a flush; and its units, if those are not the bytes that follow.
fn sort_of(event: Option<&Event<AnyEngine>>) -> (Sort, Option<f64>) {
    match event {
        None => (Sort::Flush, None),
        Some(Event::Request { .. }) => (Sort::TakeRequest, None),
        Some(Event::Frame { bytes, envelope, .. }) => match &envelope.body {
            Body::Forward(_) => (Sort::TakeForward, Some(*bytes as f64)),
            _ => (Sort::TakeMessage, None),
        },
        Some(_) => (Sort::TakeEvent, None),
    }
}

/// Bytes encoded: sent, each frame once, and logged.
fn bytes_of(effects: &[Effect]) -> usize {
    let mut last = std::ptr::null();
    let mut sum = 0;
    for effect in effects {
        match effect {
            Effect::Send { frame, .. } if frame.as_ptr() != last => {
                last = frame.as_ptr();
                sum += frame.len();
            }
            Effect::Append(batch) => sum += batch.items.iter().map(|item| item.body.len()).sum::<usize>(),
            Effect::Reply { frame, .. } => sum += frame.len(),
            _ => {}
        }
    }
    sum
}

fn refused(me: ReplicaId, peer: Peer, why: &Rejection) -> Violation {
    Violation {
        rule: "frames of honest replicas and clients pass the edge",
        what: format!("{me} refuses one of {peer:?}: {why}"),
    }
}

/// The first moment after a deadline at which the product's timers fire: their tick is a millisecond.
pub(super) fn tick_after(deadline: Time) -> Time {
    Time(deadline.0.div_ceil(1_000_000).saturating_mul(1_000_000))
}
