//! The task that owns the host.

use super::Message;
use super::counters;
use super::crypto_pool::CryptoPool;
use crate::evidence::EvidenceDir;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::engine;
use bft_core::host::{ChainBytes, Effect, Event, Host};
use bft_core::log::LogBatch;
use bft_core::machine::StateMachine;
use bft_core::request::{Advice, Answer, Call, PeerReport, Reply};
use bft_core::types::{Now, Time, Timestamp};
use bytes::Bytes;
use engines::AnyEngine;
use net::{ConnectionId, Network};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use storage::{DataDir, LogReader, LogWriter, QueueError, StateWriter};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::{block_in_place, yield_now};
use tokio::time::timeout;

/// A host with the engine of whichever protocol the genesis names.
pub(crate) type SimpleHost<A> = Host<AnyEngine, A>;

/// Events taken before the host gets to flush, at most.
const BURST: usize = 512;

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// How long a leader that is to stop may take to hand over.
const HAND_OVER: Duration = Duration::from_secs(1);

/// A wait that ends so much too late says that the process did not run: it was stopped, or its machine was.
const STALL: Duration = Duration::from_millis(200);

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            time: Time(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            wall: Timestamp(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)),
        }
    }

    /// To be called after a wait from `begun` on, that was to take `wait` at most. Time in which the process did not run does
    /// not count: what came meanwhile was not looked at yet, and timers that ran on would suspect the others of its silence. Says whether
    /// there was such a time.
    fn waited(&mut self, begun: Time, wait: Duration) -> bool {
        let late = self.now().time.since(begun).saturating_sub(wait);
        if late > STALL {
            tracing::info!(late_ms = late.as_millis() as u64, "this process did not run for a while");
            self.0 += late;
        }
        late > STALL
    }
}

/// Everything that the host's task holds.
pub(crate) struct Driver<A> {
    pub host: SimpleHost<A>,
    pub pool: CryptoPool,
    pub network: Network,
    pub reader: LogReader,
    pub log_writer: LogWriter,
    pub state_writer: StateWriter,
    pub edge: Arc<Edge>,
    pub evidence: EvidenceDir,
    pub clock: Clock,
    /// Held so that no other process takes the directory.
    pub directory: DataDir,
    /// Processor time of the host, with what it has others do.
    pub spent: Duration,
}

/// Processor time of the calling thread so far.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl<A: StateMachine> Driver<A> {
    /// Runs until it is told to stop; gives the reason if it stopped by itself.
    pub(crate) async fn run(
        mut self,
        mut messages: UnboundedReceiver<Message>,
        first: Vec<Effect>,
    ) -> Option<String> {
        let mut effects = first;
        // Asked to stop, it hands over first, if it leads and its protocol can.
        let mut leaving: Option<Time> = None;
        let mut before = thread_time();
        let ended = loop {
            if let Some(reason) = self.carry_out(&mut effects) {
                break Some(reason);
            }
            self.spent += thread_time().saturating_sub(before);
            let due = self.pool.pursue();
            let now = self.clock.now();
            if leaving.is_some_and(|until| until <= now.time || !self.host.has_to_hand_over()) {
                break None;
            }
            let timers = self.host.deadline().into_iter().chain(leaving).map(|at| at.since(now.time));
            let wait = timers.chain(due).min().unwrap_or(IDLE);
            let message = if wait.is_zero() || !messages.is_empty() {
                // What is to be sent leaves, and more comes in, before the next burst. The timer's tick is a millisecond, too long
                // for what is due now.
                yield_now().await;
                messages.try_recv()
            } else {
                match timeout(wait, messages.recv()).await {
                    Ok(message) => message.ok_or(TryRecvError::Disconnected),
                    Err(_) => Err(TryRecvError::Empty),
                }
            };
            if self.clock.waited(now.time, wait) {
                self.host.step(self.clock.now(), Event::Stalled, &mut effects);
            }
            // From here to the next wait the task stays on one thread.
            before = thread_time();
            match message {
                Ok(message) => match self.burst(message, &mut messages, &mut effects) {
                    None => {}
                    Some(None) if leaving.is_none() => {
                        let now = self.clock.now();
                        self.host.step(now, Event::Leaving, &mut effects);
                        leaving = Some(now.time + HAND_OVER);
                    }
                    Some(ended) => break ended,
                },
                Err(TryRecvError::Disconnected) => break None,
                Err(TryRecvError::Empty) => {}
            }
            let now = self.clock.now();
            self.host.flush(now, &mut effects);
        };
        self.stop().await;
        ended
    }

    /// Takes what has gathered. Gives the end, if it came.
    #[allow(clippy::option_option)]
    fn burst(
        &mut self,
        first: Message,
        more: &mut UnboundedReceiver<Message>,
        effects: &mut Vec<Effect>,
    ) -> Option<Option<String>> {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(message) = next.take() {
            match message {
                Message::Event(event, permit) => {
                    self.take(*event, effects);
                    drop(permit);
                }
                Message::Refused { client, id, rejection } => {
                    self.reply(client, id, Answer::Refused { advice: Advice::Abandon, sentence: rejection });
                }
                Message::Waiting => {}
                Message::Failed(reason) => return Some(Some(reason)),
                Message::Stop => return Some(None),
            }
            if let Some(reason) = self.carry_out(effects) {
                return Some(Some(reason));
            }
            taken += 1;
            if taken < BURST {
                next = more.try_recv().ok();
            }
        }
        None
    }

    fn take(&mut self, event: Event<AnyEngine>, effects: &mut Vec<Effect>) {
        if let Event::Request { client, request } = &event
            && request.call == Call::Status
        {
            let answer = Answer::Status(Box::new(self.report()));
            self.reply(ConnectionId(*client), request.id, answer);
            return;
        }
        self.host.step(self.clock.now(), event, effects);
    }

    /// The host's report, with what only its surroundings know.
    fn report(&self) -> bft_core::request::StatusReport {
        let mut report = self.host.report();
        report.peers = self
            .network
            .peers()
            .into_iter()
            .map(|peer| PeerReport {
                replica: peer.id,
                address: peer.address,
                connected: peer.connected,
                rtt_us: peer.rtt.map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                last_error: peer.last_error,
            })
            .collect();
        report.counters = counters::gather(self);
        report
    }

    fn reply(&self, client: ConnectionId, id: u64, answer: Answer) {
        self.network.respond(client, codec::encode(&Reply { id, answer }).into());
    }

    /// While the log's queue is full the host waits, but none of the transport's tasks that wait for this thread.
    fn append(&self, batch: LogBatch) -> Result<(), String> {
        match self.log_writer.try_append(batch) {
            Ok(()) => Ok(()),
            Err(QueueError::Full(batch)) => {
                block_in_place(|| self.log_writer.append(batch)).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Carries out what the host wants, in order. Gives the reason if it has to stop.
    fn carry_out(&mut self, effects: &mut Vec<Effect>) -> Option<String> {
        for effect in effects.drain(..) {
            match effect {
                Effect::Append(batch) => {
                    if let Err(reason) = self.append(batch) {
                        return Some(reason);
                    }
                }
                Effect::Seal(job) => self.pool.seal(job),
                Effect::Combine(job) => self.pool.combine(job),
                Effect::Aggregate(job) => self.pool.aggregate(job),
                Effect::Send { to, class, frame } => {
                    // Best effort: what does not fit is counted by the transport.
                    let _ = self.network.send(to, transport_class(class), frame);
                }
                Effect::Reply { client, frame } => {
                    let _ = self.network.respond(ConnectionId(client), frame);
                }
                Effect::ReadChain { to, from, max_bytes, max_entries } => {
                    let reader = self.reader.clone();
                    self.pool.read(move || {
                        let part =
                            reader.chain(from, max_bytes, max_entries).map_err(|error| error.to_string())?;
                        let (entries, certificate, blocks) = (part.entries, part.certificate, part.blocks);
                        Ok(Event::ChainRead { to, chain: ChainBytes { entries, certificate, blocks } })
                    });
                }
                Effect::ReadBlocks { to, blocks } => {
                    let reader = self.reader.clone();
                    self.pool.read(move || {
                        let read =
                            |digest| Ok((digest, reader.block(&digest).map_err(|error| error.to_string())?));
                        let blocks = blocks
                            .into_iter()
                            .map(read)
                            .collect::<Result<Vec<(_, Option<Bytes>)>, String>>()?;
                        Ok(Event::BlocksRead { to, blocks })
                    });
                }
                Effect::Flush(batch) => {
                    if let Err(error) = self.state_writer.commit(batch) {
                        return Some(error.to_string());
                    }
                }
                Effect::KeepFetched(part) => {
                    if let Err(error) = self.state_writer.keep(part) {
                        return Some(error.to_string());
                    }
                }
                Effect::Release { below } => {
                    if let Err(error) = self.log_writer.release(below) {
                        return Some(error.to_string());
                    }
                }
                Effect::Stable { height } => self.edge.set_stable(height),
                Effect::Examine(suspicion) => self.pool.examine(*suspicion),
                Effect::Recognize { shown_by, promised } => {
                    self.pool.recognize(self.host.me(), shown_by, promised);
                }
                Effect::Report(evidence) => match self.evidence.keep(&evidence) {
                    Ok(path) => tracing::error!(
                        accused = %evidence.accused, path = %path.display(),
                        "a replica signed two statements that contradict each other"
                    ),
                    Err(error) => return Some(format!("{error:#}")),
                },
                Effect::Halt { reason } => return Some(reason),
            }
        }
        None
    }

    /// Ends everything in order: no more frames, then the log, then the state; the lock goes last.
    async fn stop(self) {
        let Driver { network, log_writer, state_writer, directory, .. } = self;
        network.shutdown().await;
        if let Err(error) = log_writer.shutdown() {
            tracing::error!(%error, "the log did not close cleanly");
        }
        if let Err(error) = state_writer.shutdown() {
            tracing::error!(%error, "the state store did not close cleanly");
        }
        drop(directory);
        tracing::info!("stopped");
    }
}

fn transport_class(class: engine::Class) -> net::Class {
    match class {
        engine::Class::Vote => net::Class::Vote,
        engine::Class::Proposal => net::Class::Proposal,
        engine::Class::Pool => net::Class::Pool,
        engine::Class::Sync => net::Class::Sync,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_while_the_process_does() {
        let second = Duration::from_secs(1);
        let Some(begin) = Instant::now().checked_sub(10 * second) else { return };
        let mut clock = Clock(begin);
        // It was to sleep from the first to the second second, and wakes in the tenth.
        let begun = Time::default() + second;
        clock.waited(begun, second);
        let after = clock.now().time;
        assert!((second..2 * second).contains(&after.since(begun)), "{after:?}");
        // Woken in time, or early: nothing is left out.
        clock.waited(after, second);
        assert!(clock.now().time >= after);
        assert!(clock.now().time.since(after) < second);
    }
}
