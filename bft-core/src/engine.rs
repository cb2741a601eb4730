//! The contract between a replication protocol and everything around it.
//!
//! An engine is a deterministic function of its inputs. It performs no I/O and reads no clock; it answers every input
//! with plain data. What it must uphold, and what it may rely on:
//!
//! - **Promises.** A message for which [`Message::is_promise`] holds leaves only when everything the engine asked to
//!   [`Output::Persist`] before it is on disk. A promise addressed to all comes back to the engine itself after that,
//!   and no engine counts its own vote any other way. All other outputs take effect at once.
//! - **Keys.** Engines hold none. The host seals a message with what [`Message::seal`] asks for.
//! - **Commit** is emitted in height order, each height once; the host answers with [`Input::Executed`].
//! - **Time** is what the caller says. Timers are replaced by setting them again.

use crate::block::{Block, Header};
use crate::committee::{Committee, StatementDomain};
use crate::envelope::{Obligations, Promised, Rejection, Seal, SealWith, Sealed};
use crate::evidence::Evidence;
use crate::genesis::Limits;
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::transaction::Payload;
use crate::types::{Epoch, Height, Time, Timestamp, View};
use crate::verified::Verified;
use crypto::{Aggregate, Certificate, Digest, ReplicaId, Share, Statement};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// A replication protocol: PBFT, chained HotStuff, Raft.
pub trait Engine: Sized {
    /// What replicas say to each other.
    type Message: Message;
    /// A durable promise: a vote cast, a lock taken, a term entered.
    type Record: Record;
    /// Names of its timers.
    type Timer: Copy + Ord + Debug;

    /// Starts from what was durable. Emits what has to be said again.
    fn recover(config: EngineConfig, start: Start<Self>, now: Time, out: &mut Outbox<Self>) -> Self;
    /// Takes one input.
    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Outbox<Self>);
    /// Every promise still in force: written at the head of each new log segment.
    fn records(&self) -> Vec<Self::Record>;
    /// What it holds of promises that a replica has made, with their seals: at heights above the stable one, and about views. Those
    /// that count most first: a long list is cut. A replica that starts is shown them, in case that its disk has forgotten.
    /// Empty where promises carry no seal that proves itself.
    fn promises_of(&self, replica: ReplicaId) -> Vec<Promised>;
    /// Who leads now, and who next.
    fn led_by(&self) -> Lead;
    /// What it is doing and what it waits for.
    fn status(&self) -> Status;
    /// Panics if a state is reached that no correct run reaches.
    fn invariants(&self);
}

/// What the rest of the system needs to know of an engine's message.
pub trait Message: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + 'static {
    /// Its name, for accounting.
    fn kind(&self) -> &'static str;
    /// Which stream carries it.
    fn class(&self) -> Class;
    /// Whether it waits for the disk.
    fn is_promise(&self) -> bool;
    /// What the host signs before it leaves.
    fn seal(&self, domain: &StatementDomain) -> SealWith;
    /// The height it is about, if it is useless once that height is stable.
    fn height(&self) -> Option<Height>;
    /// The block it proposes for the first time, whose time the voters' clocks bound.
    fn fresh_block(&self) -> Option<&Block>;
    /// Checks shape and bounds, and says what is left to verify by cryptography.
    ///
    /// # Errors
    /// What is wrong with the message: it is dropped and counted.
    fn check(&self, from: ReplicaId, seal: &Seal, context: &CheckContext) -> Result<Obligations, Rejection>;
    /// How many signatures and certificates it carries, its seal included.
    fn authenticators(&self) -> usize;
    /// What two statements of this protocol's kinds contradict each other in, by name; none where an honest replica may sign both,
    /// be it with crashes and state transfer in between. Who signs such a pair is proven to have lied.
    fn contradiction(first: &Statement, second: &Statement) -> Option<&'static str>;
}

/// What a message is checked against.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext {
    /// Fields of every statement.
    pub domain: StatementDomain,
    /// Size and fault model.
    pub committee: Committee,
    /// Consensus limits.
    pub limits: Limits,
    /// The entry of height 0.
    pub genesis_entry: LedgerEntry,
}

/// What the rest of the system needs to know of an engine's record.
pub trait Record: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + 'static {
    /// Statements that this replica may have signed because of it, so that it never signs one that contradicts them.
    fn signed(&self, domain: &StatementDomain) -> Vec<Statement>;
    /// The height it is about, for the log's index; 0 where there is none.
    fn height(&self) -> Height;
    /// Whether a replica with these records in force may have signed a statement about a view, or about a height above its stable
    /// one. If not, its records are older than what it has signed. True for whatever an honest replica that has just these can
    /// have signed, be it that later records took the place of those written for it (a vote of a later view, a view or term
    /// entered since); and for statements that need no record.
    fn account_for<'a>(records: impl Iterator<Item = &'a Self>, statement: &Statement) -> bool;
}

/// Streams between replicas, in order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Votes, view changes, certificates: small and urgent.
    Vote,
    /// Blocks on their way to be voted on.
    Proposal,
    /// Transactions on their way to the leader.
    Pool,
    /// Catch-up.
    Sync,
}

impl Class {
    /// All of them, most urgent first.
    pub const ALL: [Class; 4] = [Class::Vote, Class::Proposal, Class::Pool, Class::Sync];
}

/// What an engine knows from the start of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// This replica.
    pub me: ReplicaId,
    /// Who decides.
    pub committee: Committee,
    /// Fields of every statement.
    pub domain: StatementDomain,
    /// Window, timeouts and sizes.
    pub limits: Limits,
    /// The entry of height 0.
    pub genesis_entry: LedgerEntry,
    /// Whether this replica's promises leave. One that does not vote is a learner.
    pub votes: bool,
    /// Where an engine draws its randomness from: another number in each life of each replica.
    pub seed: u64,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The first view that the leader leads, of those that it leads one after the other: the view it is in, or wants to enter,
    /// where a leader leads one.
    pub view: View,
    /// The leader.
    pub leader: ReplicaId,
    /// Who leads after that, where leaders take turns although nothing fails, as soon as it is to hear of transactions.
    pub next: Option<ReplicaId>,
}

/// What was durable when the replica stopped.
#[derive(Clone, Debug)]
pub struct Start<E: Engine> {
    /// The last executed entry.
    pub tip: LedgerEntry,
    /// Its block's header; none at the genesis.
    pub tip_header: Option<Header>,
    /// The highest certificate at or below the tip.
    pub stable: CheckpointCertificate,
    /// Promises in force, in the order they were made.
    pub records: Vec<E::Record>,
    /// Bodies above the tip in log order; several a height, some abandoned.
    pub blocks: Vec<Block>,
}

/// What happens to an engine.
#[derive(Clone, Debug)]
pub enum Input<E: Engine> {
    /// A peer's message, or this replica's own promise after it became durable.
    Message {
        /// The authenticated sender.
        from: ReplicaId,
        /// The message and its seal.
        message: Verified<Sealed<E::Message>>,
    },
    /// On change: nothing waits to be ordered, or the oldest thing waits since then.
    Work {
        /// Since when.
        oldest: Option<Time>,
    },
    /// On change: a certificate above what is executed here is known, so that this replica has to catch up; or no longer. While it
    /// has to, it waits for itself: that nothing is decided here is nobody's fault, and no reason to leave a view.
    Behind {
        /// Whether it has to catch up.
        behind: bool,
    },
    /// Answers [`Output::NeedPayload`].
    Payload {
        /// The request's token.
        token: u64,
        /// What to propose.
        draft: Draft,
    },
    /// Bodies asked for, or found by the host.
    Blocks {
        /// Each hashes to the digest asked for.
        blocks: Verified<Vec<Block>>,
    },
    /// Nobody asked had these.
    FetchFailed {
        /// The digests.
        blocks: Vec<Digest>,
    },
    /// Answers [`Output::Combine`]; an error names the culprits.
    Combined {
        /// What was signed.
        statement: Statement,
        /// The certificate, or whose shares were bad.
        result: Result<Certificate, Vec<ReplicaId>>,
    },
    /// Answers [`Output::Aggregate`]; an error names the culprits.
    Aggregated {
        /// The view that the words are about.
        view: View,
        /// The aggregate of all the words, or whose shares were bad.
        result: Result<Aggregate, Vec<ReplicaId>>,
    },
    /// The host executed the next committed block.
    Executed {
        /// The entry it left.
        entry: LedgerEntry,
        /// The last height of this epoch, once known.
        epoch_ends_at: Option<Height>,
    },
    /// A quorum certified an entry that this replica has executed too.
    Stable {
        /// The certificate.
        checkpoint: CheckpointCertificate,
        /// The header of its block; none at the genesis.
        header: Option<Header>,
    },
    /// Block sync or state transfer carried the host to this certificate.
    Restored {
        /// The certificate.
        checkpoint: CheckpointCertificate,
        /// The header of its block; none at the genesis.
        header: Option<Header>,
    },
    /// Wanted: a height at or above everything that anybody was told before now ([`Output::Readable`]). Tokens grow; an answer
    /// covers those before it. Asked where the fault model is crash.
    Read {
        /// Comes back with the answer.
        token: u64,
    },
    /// This replica is about to stop: it should not lead any more.
    Leaving,
    /// This replica did not run for a while that its clock leaves out. What rests on how much time has passed for the others does not hold
    /// any more.
    Stalled,
    /// A timer set earlier fired.
    Timeout(E::Timer),
}

impl<E: Engine> Input<E> {
    /// The same input for an engine inside this one; none if its message or timer is another's.
    pub fn narrow<F: Engine>(
        self,
        message: impl FnOnce(E::Message) -> Option<F::Message>,
        timer: impl FnOnce(E::Timer) -> Option<F::Timer>,
    ) -> Option<Input<F>> {
        Some(match self {
            Input::Message { from, message: sealed } => {
                let Sealed { message: inner, seal } = sealed.into_inner();
                Input::Message { from, message: Verified::new(Sealed { message: message(inner)?, seal }) }
            }
            Input::Work { oldest } => Input::Work { oldest },
            Input::Behind { behind } => Input::Behind { behind },
            Input::Payload { token, draft } => Input::Payload { token, draft },
            Input::Blocks { blocks } => Input::Blocks { blocks },
            Input::FetchFailed { blocks } => Input::FetchFailed { blocks },
            Input::Combined { statement, result } => Input::Combined { statement, result },
            Input::Aggregated { view, result } => Input::Aggregated { view, result },
            Input::Executed { entry, epoch_ends_at } => Input::Executed { entry, epoch_ends_at },
            Input::Stable { checkpoint, header } => Input::Stable { checkpoint, header },
            Input::Restored { checkpoint, header } => Input::Restored { checkpoint, header },
            Input::Read { token } => Input::Read { token },
            Input::Leaving => Input::Leaving,
            Input::Stalled => Input::Stalled,
            Input::Timeout(inner) => Input::Timeout(timer(inner)?),
        })
    }
}

impl<E: Engine> Output<E> {
    /// The same output of an engine around this one.
    pub fn widen<F: Engine>(
        self,
        message: impl FnOnce(E::Message) -> F::Message,
        record: impl FnOnce(E::Record) -> F::Record,
        timer: impl FnOnce(E::Timer) -> F::Timer,
    ) -> Output<F> {
        match self {
            Output::Persist { record: inner, block } => Output::Persist { record: inner.map(record), block },
            Output::Send { to, message: inner } => Output::Send { to, message: message(inner) },
            Output::Combine { statement, shares } => Output::Combine { statement, shares },
            Output::Aggregate { view, words } => Output::Aggregate { view, words },
            Output::NeedPayload { token, uncommitted, deadline, flush } => {
                Output::NeedPayload { token, uncommitted, deadline, flush }
            }
            Output::FetchBlocks { from, blocks, patience } => Output::FetchBlocks { from, blocks, patience },
            Output::Lagging { checkpoint } => Output::Lagging { checkpoint },
            Output::Advise { to } => Output::Advise { to },
            Output::Commit { height, block, proof } => Output::Commit { height, block, proof },
            Output::Readable { token, at } => Output::Readable { token, at },
            Output::SetTimer { timer: inner, at } => Output::SetTimer { timer: timer(inner), at },
            Output::CancelTimer(inner) => Output::CancelTimer(timer(inner)),
            Output::Report(evidence) => Output::Report(evidence),
        }
    }
}

/// The content of a block to propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Transactions.
    pub payload: Payload,
    /// The proposer's wall clock.
    pub time: Timestamp,
    /// Whether the height is to be certified.
    pub checkpoint: bool,
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Everybody; a promise comes back to the sender too.
    All,
    /// One replica.
    One(ReplicaId),
}

/// What an engine wants done. Comparable, so that a test reads as a list of what follows from an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<E: Engine> {
    /// Make durable, in order, before any promise that follows.
    Persist {
        /// The promise made.
        record: Option<E::Record>,
        /// A body that is not on disk yet.
        block: Option<Block>,
    },
    /// Say it; best effort.
    Send {
        /// To whom.
        to: Recipients,
        /// What. Unsigned: the host seals it.
        message: E::Message,
    },
    /// Combine shares into a certificate.
    Combine {
        /// What the shares sign.
        statement: Statement,
        /// At least a quorum.
        shares: Vec<(ReplicaId, Share)>,
    },
    /// Make one authenticator of words that differ: who has come how far by the end of a view.
    Aggregate {
        /// The view that they are about, which comes back with the answer.
        view: View,
        /// At least a quorum, in ascending order of distinct signers. All of them count, or none.
        words: Vec<(ReplicaId, Statement, Share)>,
    },
    /// Wanted: something to propose. A later request replaces an earlier one.
    NeedPayload {
        /// Comes back with the answer.
        token: u64,
        /// Blocks proposed and not yet committed: their transactions are taken.
        uncommitted: Vec<Digest>,
        /// Wait no longer than this for a full block once there is something to propose.
        deadline: Time,
        /// Propose an empty block at once if there is nothing to propose: what is uncommitted waits for it.
        flush: bool,
    },
    /// Get bodies from others.
    FetchBlocks {
        /// Who should have them.
        from: Vec<ReplicaId>,
        /// By digest.
        blocks: Vec<Digest>,
        /// They may be on their way: ask only after this time, if the engine has not persisted them by then.
        patience: Duration,
    },
    /// Others are certified to be further: catch up.
    Lagging {
        /// The evidence.
        checkpoint: CheckpointCertificate,
    },
    /// A peer is behind this replica's stable checkpoint: tell it.
    Advise {
        /// The peer.
        to: ReplicaId,
    },
    /// Ordered for ever.
    Commit {
        /// The height.
        height: Height,
        /// The block.
        block: Digest,
        /// A transferable proof, where the protocol makes one.
        proof: Option<Certificate>,
    },
    /// Answers [`Input::Read`] and those before it: what is executed through this height may be read.
    Readable {
        /// The token.
        token: u64,
        /// The height.
        at: Height,
    },
    /// Wake this timer; replaces its earlier setting.
    SetTimer {
        /// Which.
        timer: E::Timer,
        /// When.
        at: Time,
    },
    /// Forget this timer.
    CancelTimer(E::Timer),
    /// A replica said two things that contradict each other. Shares in it need not have been verified.
    Report(Evidence),
}

/// Collects what an engine wants done.
#[derive(Debug, PartialEq)]
pub struct Outbox<E: Engine>(Vec<Output<E>>);

impl<E: Engine> Default for Outbox<E> {
    fn default() -> Self {
        Outbox(Vec::new())
    }
}

impl<E: Engine> Outbox<E> {
    /// Adds an output.
    pub fn push(&mut self, output: Output<E>) {
        self.0.push(output);
    }

    /// Adds some.
    pub fn extend(&mut self, outputs: impl IntoIterator<Item = Output<E>>) {
        self.0.extend(outputs);
    }

    /// Sets or cancels a timer, unless that is its `setting` already.
    pub fn set_timer(&mut self, timer: E::Timer, setting: &mut Option<Time>, at: Option<Time>) {
        if *setting == at {
            return;
        }
        *setting = at;
        self.push(match at {
            Some(at) => Output::SetTimer { timer, at },
            None => Output::CancelTimer(timer),
        });
    }

    /// Takes all outputs since the last call.
    pub fn take(&mut self) -> Vec<Output<E>> {
        std::mem::take(&mut self.0)
    }
}

/// What a replica is doing, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Epoch of the committee.
    pub epoch: Epoch,
    /// View it is in, or wants to enter.
    pub view: View,
    /// Leader of that view.
    pub leader: ReplicaId,
    /// Whether it takes part in the view, or waits to enter it.
    pub active: bool,
    /// Highest height committed, with all below it.
    pub committed: Height,
    /// What it cannot go on without.
    pub waits_for: Vec<WaitsFor>,
}

/// A quorum that is not complete, or one message that did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsFor {
    /// Kind of message.
    pub what: &'static str,
    /// For this height, if it is about one.
    pub height: Option<Height>,
    /// Replicas heard from.
    pub from: Vec<ReplicaId>,
    /// How many are needed. If it is one, `what` says whose.
    pub needed: usize,
}
