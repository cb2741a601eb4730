//! What a host wants done, and when it has come about.

use super::node::{Frame, Peer};
use super::work::{Task, tick_after};
use super::world::{Happening, World};
use crate::checker::Violation;
use bft_core::engine::Class;
use bft_core::host::{COMPANY_WAIT, Effect, Event, Next};
use bft_core::machine::StateMachine;
use bft_core::types::ReplicaId;
use std::time::Duration;

/// How long a read of the log takes.
const READ: Duration = Duration::from_micros(100);

/// How long writing the state takes.
const FLUSH: Duration = Duration::from_millis(5);

impl<A: StateMachine + Clone> World<'_, A> {
    pub(super) fn carry_out(&mut self, me: ReplicaId, effect: Effect) -> Result<(), Violation> {
        match effect {
            Effect::Append(batch) => {
                let journal = &mut self.nodes[me.index()].journal;
                journal.append(batch);
                if !std::mem::replace(&mut journal.writing, true) {
                    self.submit(Task::Append(me));
                }
            }
            Effect::Seal(job) => self.submit(Task::Seal(me, job)),
            Effect::Combine(job) => {
                let next = self.nodes[me.index()].certificates.combine(job);
                self.certify(me, next);
            }
            Effect::Aggregate(job) => self.submit(Task::Aggregate(me, job)),
            Effect::Send { to, class, frame } => {
                let frame = self.weights.weigh(me, class, frame);
                self.put_out(me, Peer::Replica(to), frame);
            }
            Effect::Reply { client, frame } => {
                let weight = frame.len() as u64;
                let client = usize::try_from(client).expect("clients are numbered");
                self.put_out(me, Peer::Client(client), Frame { class: Class::Vote, weight, bytes: frame });
            }
            Effect::ReadChain { to, from, max_bytes, max_entries } => {
                let chain = self.nodes[me.index()].journal.chain(from, max_bytes, max_entries);
                self.after(READ, Happening::Event(me, Box::new(Event::ChainRead { to, chain })));
            }
            Effect::ReadBlocks { to, blocks } => {
                let journal = &self.nodes[me.index()].journal;
                let blocks = blocks.into_iter().map(|digest| (digest, journal.block(&digest))).collect();
                self.after(READ, Happening::Event(me, Box::new(Event::BlocksRead { to, blocks })));
            }
            Effect::Flush(batch) => {
                let event = Event::Flushed { height: batch.height };
                self.after(FLUSH, Happening::Event(me, Box::new(event)));
            }
            Effect::Release { below } => self.nodes[me.index()].journal.release(below),
            Effect::Stable { height } => self.nodes[me.index()].edge.set_stable(height),
            Effect::KeepFetched(_) => {}
            Effect::Recognize { shown_by, promised } => {
                let own = self.nodes[me.index()].edge.recognizes(me, &promised);
                self.after(
                    READ,
                    Happening::Event(me, Box::new(Event::Recognized { shown_by, promised, own })),
                );
            }
            Effect::Examine(evidence) | Effect::Report(evidence) => {
                let what = format!("{me} suspects {}", evidence.accused);
                return Err(Violation { rule: "nobody lies", what });
            }
            Effect::Halt { reason } => {
                return Err(Violation { rule: "replicas go on", what: format!("{me}: {reason}") });
            }
        }
        Ok(())
    }

    fn put_out(&mut self, me: ReplicaId, peer: Peer, frame: Frame) {
        if self.nodes[me.index()].outgoing.entry(peer).or_default().put([frame]) {
            self.submit(Task::Send(me, peer));
        }
    }

    /// Frames were encrypted and are on their way, or wait for those before them.
    pub(super) fn sent(&mut self, me: ReplicaId, peer: Peer, frames: Vec<Frame>) {
        let node = &mut self.nodes[me.index()];
        match &mut node.egress {
            None => self.depart(me, peer, frames),
            Some(egress) => {
                // One class at a time.
                for frames in frames.chunk_by(|a, b| a.class == b.class) {
                    let bytes = frames.iter().map(|frame| frame.weight).sum();
                    egress.submit(frames[0].class, bytes, (peer, frames.to_vec()));
                }
                self.pursue_egress(me);
            }
        }
    }

    pub(super) fn pursue_egress(&mut self, me: ReplicaId) {
        let begun = self.nodes[me.index()].egress.as_mut().and_then(super::egress::Egress::begin);
        if let Some((takes, (peer, frames))) = begun {
            self.after(takes, Happening::Left(me, peer, frames));
        }
    }

    /// Frames have left; they arrive when the way is done.
    pub(super) fn depart(&mut self, me: ReplicaId, peer: Peer, frames: Vec<Frame>) {
        match peer {
            Peer::Replica(to) => {
                let takes = self.latencies.between(me, to);
                self.after(takes, Happening::Arrive(to, Peer::Replica(me), frames));
            }
            Peer::Client(client) => {
                let takes = self.latencies.to_client();
                let replies = frames.into_iter().map(|frame| frame.bytes).collect();
                self.after(takes, Happening::Replies(client, replies));
            }
        }
    }

    /// Certificates are verified now or later, with what has come together by then.
    pub(super) fn certify(&mut self, me: ReplicaId, next: Next) {
        match next {
            Next::Now => self.submit(Task::Certify(me)),
            Next::Later => self.after(COMPANY_WAIT, Happening::Certify(me, Next::Now)),
            Next::Nothing => {}
        }
    }

    /// What a finished piece of work leaves to be done.
    pub(super) fn follow(&mut self, task: &Task) {
        match task {
            Task::Host(me) => {
                let node = &mut self.nodes[me.index()];
                let due = node.host.as_ref().and_then(bft_core::host::Host::deadline);
                let waits = node.inbox.waiting.is_empty() && due.is_none_or(|at| at > self.now);
                if !waits {
                    return self.submit(Task::Host(*me));
                }
                node.inbox.busy = false;
                if let Some(at) = due.map(tick_after)
                    && node.wake_at.is_none_or(|wake| at < wake || wake <= self.now)
                {
                    node.wake_at = Some(at);
                    self.after(at.since(self.now), Happening::Wake(*me));
                }
            }
            Task::Send(me, peer) => {
                let queue = self.nodes[me.index()].outgoing.entry(*peer).or_default();
                queue.busy = !queue.waiting.is_empty();
                if queue.busy {
                    self.submit(Task::Send(*me, *peer));
                }
            }
            Task::Receive(me, peer) => {
                let queue = self.nodes[me.index()].incoming.entry(*peer).or_default();
                queue.busy = !queue.waiting.is_empty();
                if queue.busy {
                    self.submit(Task::Receive(*me, *peer));
                }
            }
            Task::Check(me, lane) => {
                let queue = self.nodes[me.index()].lanes.entry(*lane).or_default();
                queue.busy = !queue.waiting.is_empty();
                if queue.busy {
                    self.submit(Task::Check(*me, *lane));
                }
            }
            Task::Seal(..) | Task::Certify(..) | Task::Aggregate(..) | Task::Append(_) | Task::Client(..) => {
            }
        }
    }
}
