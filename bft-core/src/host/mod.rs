//! Everything around an engine that is the same for all protocols.
//!
//! A [`Host`] is pure: whoever drives it feeds [`Event`]s to [`Host::step`], calls [`Host::flush`] when no more events are
//! queued or the time [`Host::deadline`] has come, and carries out the [`Effect`]s in order. The simulator does so in virtual
//! time, the product with threads, sockets and disks.
//!
//! The way of one transaction: `clients` takes it in, `pool` holds it and `flush` forwards it to the leader; there the engine
//! asks for a payload, `proposing` builds it, the engine turns it into a block; its votes wait in `promises` for the disk;
//! once committed, `progress` executes the block, votes for a checkpoint and, when that is certified, answers the client.

pub mod accounting;
mod accusations;
mod block_receipts;
mod checkpoint;
mod clients;
mod config;
mod directory;
mod execution;
mod frames;
mod jobs;
mod log_tail;
mod outputs;
mod places;
mod pool;
mod progress;
mod promises;
mod proposing;
mod reads;
mod recall;
mod recovery;
mod report;
mod serving;
mod session;
mod sync;
mod transact;
mod transfer;

pub use config::{HostConfig, LocalLimits, no_clock};
pub use execution::{BadState, genesis_state};
pub use jobs::{AggregateJob, COMPANY_WAIT, CertificateQueue, CombineJob, Next};
pub use promises::SealJob;
pub use recovery::{RecoverError, Recovered};

use crate::block::Block;
use crate::engine::{Class, Engine, Input, Lead, Outbox};
use crate::envelope::{Envelope, Promised, Seal, Sealed};
use crate::evidence::Evidence;
use crate::ledger::CheckpointCertificate;
use crate::log::{FetchedPart, LogBatch, StateBatch};
use crate::machine::StateMachine;
use crate::request::Request;
use crate::transaction::Item;
use crate::types::{Height, Now, Time, View};
use crate::verified::Verified;
use accounting::Accounting;
use accusations::Accusations;
use bytes::Bytes;
use checkpoint::Checkpoints;
use clients::Clients;
use crypto::{Aggregate, Certificate, Digest, ReplicaId, Statement};
use execution::Ledger;
use log_tail::{Flushing, LogTail};
use pool::Pool;
use promises::Promises;
use proposing::Wanted;
use reads::Reads;
use recall::Recall;
use serving::Serving;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use sync::{BlockFetch, ChainSync};
use transfer::{Snapshots, StateSync};

/// A connection of a client, named by the transport.
pub type ClientId = u64;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event<E: Engine> {
    /// A frame of another replica passed the edge.
    Frame {
        /// The authenticated sender.
        from: ReplicaId,
        /// Bytes of the frame.
        bytes: usize,
        /// Its content.
        envelope: Verified<Envelope<E::Message>>,
    },
    /// A client's request passed the edge.
    Request {
        /// The connection.
        client: ClientId,
        /// The request.
        request: Verified<Request>,
    },
    /// The log is on disk through this batch.
    Durable {
        /// Its sequence.
        sequence: u64,
    },
    /// Answers [`Effect::Seal`].
    Sealed {
        /// The job's ticket.
        ticket: u64,
        /// The seal.
        seal: Seal,
    },
    /// Answers [`Effect::Combine`].
    Combined {
        /// What was signed.
        statement: Statement,
        /// The certificate, or whose shares were bad.
        result: Result<Certificate, Vec<ReplicaId>>,
    },
    /// Answers [`Effect::Aggregate`].
    Aggregated {
        /// The view that the words are about.
        view: View,
        /// The aggregate, or whose shares were bad.
        result: Result<Aggregate, Vec<ReplicaId>>,
    },
    /// Answers [`Effect::ReadChain`] with encodings from the log.
    ChainRead {
        /// Who asked.
        to: ReplicaId,
        /// What the log has.
        chain: ChainBytes,
    },
    /// Answers [`Effect::ReadBlocks`].
    BlocksRead {
        /// Who asked.
        to: ReplicaId,
        /// Each digest with the block's encoding, if the log has it.
        blocks: Vec<(Digest, Option<Bytes>)>,
    },
    /// The state of this height is on disk.
    Flushed {
        /// The height.
        height: Height,
    },
    /// Answers [`Effect::Examine`] where the seals verify; there is no other answer.
    Proven {
        /// The evidence.
        evidence: Box<Verified<Evidence>>,
    },
    /// Answers [`Effect::Recognize`].
    Recognized {
        /// Who showed it.
        shown_by: ReplicaId,
        /// The promise.
        promised: Box<Promised>,
        /// Whether it is this replica's own.
        own: bool,
    },
    /// A replica is connected (again).
    Connected {
        /// Which.
        peer: ReplicaId,
    },
    /// A replica is no longer connected.
    Disconnected {
        /// Which.
        peer: ReplicaId,
    },
    /// This replica is about to be stopped.
    Leaving,
    /// This replica did not run for a while that its clock leaves out.
    Stalled,
}

/// A stretch of the certified chain as it stands in the log.
#[derive(Clone, Debug, Default)]
pub struct ChainBytes {
    /// Entries from the height asked for up to a certified one; empty if the log does not have them.
    pub entries: Vec<Bytes>,
    /// The certificate over the last entry.
    pub certificate: Option<Bytes>,
    /// Blocks of the first entries.
    pub blocks: Vec<Bytes>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the log and report [`Event::Durable`].
    Append(LogBatch),
    /// Sign, and report [`Event::Sealed`].
    Seal(SealJob),
    /// Combine shares, and report [`Event::Combined`].
    Combine(CombineJob),
    /// Aggregate words, and report [`Event::Aggregated`].
    Aggregate(AggregateJob),
    /// Send to a replica; best effort.
    Send {
        /// To whom.
        to: ReplicaId,
        /// On which stream.
        class: Class,
        /// What.
        frame: Bytes,
    },
    /// Send to a client; best effort.
    Reply {
        /// Which connection.
        client: ClientId,
        /// An encoded [`crate::request::Reply`].
        frame: Bytes,
    },
    /// Read the certified chain from the log for a replica, and report [`Event::ChainRead`].
    ReadChain {
        /// Who asks.
        to: ReplicaId,
        /// First height.
        from: Height,
        /// Bytes of blocks, at most.
        max_bytes: usize,
        /// Entries, at most.
        max_entries: usize,
    },
    /// Read blocks from the log for a replica, and report [`Event::BlocksRead`].
    ReadBlocks {
        /// Who asks.
        to: ReplicaId,
        /// Which.
        blocks: Vec<Digest>,
    },
    /// Write the state, atomically, and report [`Event::Flushed`]. The log is durable far enough.
    Flush(StateBatch),
    /// Keep a part of a state that is being fetched; best effort, nothing waits for it. What does not fit is dropped.
    KeepFetched(FetchedPart),
    /// Blocks below this height may be removed from the log.
    Release {
        /// The height.
        below: Height,
    },
    /// Messages about heights up to this one are of no more use at the edge.
    Stable {
        /// The height.
        height: Height,
    },
    /// Verify the seals of what may be evidence, and report [`Event::Proven`] if they hold.
    Examine(Box<Evidence>),
    /// Verify whether a promise is this replica's own, and report [`Event::Recognized`].
    Recognize {
        /// Who shows it.
        shown_by: ReplicaId,
        /// The promise.
        promised: Box<Promised>,
    },
    /// A replica was caught lying: keep this on disk. It is verified, and the first of its kind against this replica.
    Report(Box<Evidence>),
    /// This replica must not go on. The sentence says why and what to do.
    Halt {
        /// For the operator.
        reason: String,
    },
}

/// What leaves as a promise.
#[derive(Debug)]
enum Promise<M> {
    Engine { to: crate::engine::Recipients, message: M },
    Checkpoint { height: Height },
}

/// A replica without its threads, sockets and disks.
#[derive(Debug)]
pub struct Host<E: Engine, A> {
    config: HostConfig,
    engine: E,
    ledger: Ledger<A>,
    pool: Pool,
    clients: Clients,
    reads: Reads,
    promises: Promises<Promise<E::Message>>,
    recall: Recall<E::Record>,
    checkpoints: Checkpoints,
    chain_sync: ChainSync,
    block_fetch: BlockFetch,
    state_sync: StateSync,
    snapshots: Snapshots,
    serving: Serving,
    accusations: Accusations,
    accounting: Accounting,
    stable: CheckpointCertificate,
    /// Certificates of heights whose receipts are kept.
    certificates: BTreeMap<Height, CheckpointCertificate>,
    /// Ordered, not executed.
    committed: BTreeMap<Height, Digest>,
    /// Bodies above the tip that are in the log.
    bodies: BTreeMap<Digest, Block>,
    timers: BTreeMap<E::Timer, Time>,
    wanted: Option<Wanted>,
    loopback: VecDeque<Sealed<E::Message>>,
    connected: BTreeSet<ReplicaId>,
    /// The height that was executed when this life began, until as much as an earlier one may have signed is certified.
    began_at: Option<Height>,
    /// Transactions to forward at the next flush.
    to_leader: Vec<Item>,
    led_by: Lead,
    /// Whether the pool has to sort out what open proposals hold before this replica proposes.
    refresh_pool: bool,
    /// When this replica last proposed a block that asks for a certificate.
    flagged_at: Time,
    work: Option<Time>,
    /// Whether the engine was told that this replica has to catch up.
    behind: bool,
    executed_at: Time,
    totals: Totals,
    log: LogTail,
    flush: Flushing,
    halted: bool,
}

/// What was executed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Blocks.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Processor time.
    pub spent: Spent,
}

/// Processor time of the host's thread by what it was spent on; what is in neither is the host's own: the pool, frames, receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Steps of the engine.
    pub engine: Duration,
    /// Execution of blocks: the application, the state, and the trees over both.
    pub execution: Duration,
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Takes one event.
    pub fn step(&mut self, now: Now, event: Event<E>, effects: &mut Vec<Effect>) {
        if self.halted {
            return;
        }
        match event {
            Event::Frame { from, bytes, envelope } => self.on_frame(now, from, bytes, envelope, effects),
            Event::Request { client, request } => self.on_request(now.time, client, request, effects),
            Event::Durable { sequence } => {
                self.log.durable = self.log.durable.max(sequence);
                self.promises.durable(sequence);
            }
            Event::Sealed { ticket, seal } => self.promises.sealed(ticket, seal),
            Event::Combined { statement, result } => self.on_combined(now.time, statement, result, effects),
            Event::Aggregated { view, result } => {
                self.feed(now.time, Input::Aggregated { view, result }, effects);
            }
            Event::ChainRead { to, chain } => self.serve_chain(now.time, to, &chain, effects),
            Event::BlocksRead { to, blocks } => self.serve_blocks(now.time, to, blocks, effects),
            Event::Flushed { height } => self.on_flushed(now.time, height, effects),
            Event::Proven { evidence } => self.on_evidence(*evidence, effects),
            Event::Recognized { shown_by, promised, own } => {
                self.on_recognized(now.time, shown_by, &promised, own, effects);
            }
            Event::Connected { peer } => {
                self.ask_promises(peer, effects);
                self.state_sync.met(peer);
                self.connected.insert(peer);
                self.tell_stable(peer, effects);
                self.tell_evidence(peer, effects);
            }
            Event::Disconnected { peer } => {
                self.connected.remove(&peer);
            }
            Event::Leaving => self.feed(now.time, Input::Leaving, effects),
            Event::Stalled => self.feed(now.time, Input::Stalled, effects),
        }
        self.drive(now.time, effects);
    }

    /// Does what waited for a quiet moment: call it when no more events are queued, and at [`Host::deadline`].
    pub fn flush(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.halted {
            return;
        }
        self.pursue_recall(now.time, effects);
        self.update_work(now.time, effects);
        self.fire_timers(now.time, effects);
        self.follow_leader(now.time, effects);
        self.pursue_reads(now.time, effects);
        self.propose(now, effects);
        self.catch_up(now.time, effects);
        self.pursue_state(now.time, effects);
        self.serve(now.time, effects);
        self.pursue_checkpoints(now.time, effects);
        self.append(now.time, effects);
        self.start_flush(effects);
    }

    /// When [`Host::flush`] has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Time> {
        let timers = self.timers.values().min().copied();
        let spread = self.spread_at();
        [
            timers,
            spread,
            self.proposing_deadline(),
            self.checkpoints.deadline(),
            self.chain_sync.deadline().filter(|_| self.flush.installed.is_none()),
            self.block_fetch.deadline(),
            self.state_sync_deadline(),
            self.serving.deadline(),
            self.recall_deadline(),
            self.log.lazy_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether this replica leads although it was told that it is about to be stopped, and another one may lead instead.
    pub fn has_to_hand_over(&self) -> bool {
        self.believes_one() && self.engine.led_by().leader == self.config.me
    }

    /// Gives the engine an input and does what it says.
    fn feed(&mut self, now: Time, input: Input<E>, effects: &mut Vec<Effect>) {
        let mut out = Outbox::default();
        let before = (self.config.spent)();
        self.engine.step(now, input, &mut out);
        self.totals.spent.engine += (self.config.spent)().saturating_sub(before);
        self.absorb(now, out, effects);
    }

    /// Goes on until nothing more follows: releases promises, returns the replica's own, executes what is committed.
    fn drive(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while !self.halted {
            self.release_promises(now, effects);
            if let Some(sealed) = self.loopback.pop_front() {
                let from = self.config.me;
                self.feed(now, Input::Message { from, message: Verified::new(sealed) }, effects);
            } else if !self.execute_next(now, effects) {
                break;
            }
        }
    }

    fn halt(&mut self, reason: String, effects: &mut Vec<Effect>) {
        tracing::error!(%reason, "halting");
        self.halted = true;
        effects.push(Effect::Halt { reason });
    }

    fn others(&self) -> impl Iterator<Item = ReplicaId> + use<E, A> {
        let me = self.config.me;
        self.config.trust.committee.members().filter(move |replica| *replica != me)
    }
}
