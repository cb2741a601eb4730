//! What travels between replicas: an engine's message or the host's own, under one version and epoch.

use crate::block::{Block, Header};
use crate::engine::{Class, Message};
use crate::evidence::{Evidence, EvidenceError};
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::state::Stretch;
use crate::transaction::Payload;
use crate::types::{Epoch, Height};
use crypto::{Aggregate, Certificate, Digest, ReplicaId, Share, Signature, Statement};
use serde::{Deserialize, Serialize};

/// What the host adds to a promise before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealWith {
    /// Nothing: the channel authenticates it.
    Nothing,
    /// This replica's share of a quorum's signature. Bound to the channel, checked only when combined.
    Share(Statement),
    /// This replica's own signature: whoever gets the message may pass it on.
    Signature(Statement),
}

/// What the host added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seal {
    /// Nothing.
    None,
    /// A share.
    Share(Share),
    /// A signature.
    Signature(Signature),
}

/// A message as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed<M> {
    /// The engine's part.
    pub message: M,
    /// The host's part.
    pub seal: Seal,
}

/// A replica's word on a ledger entry, for the collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointVote {
    /// Height of the entry.
    pub height: Height,
    /// Digest of the entry.
    pub entry: Digest,
    /// Share of the certificate over it.
    pub share: Share,
}

/// A promise of a replica as another one holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// What was signed.
    pub statement: Statement,
    /// The seal of whoever signed it.
    pub seal: Seal,
}

/// What a replica holds of another one's promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// The question that this answers.
    pub question: u64,
    /// The sender's highest certificate: of what is below it holds nothing.
    pub stable: CheckpointCertificate,
    /// Promises of whoever asked.
    pub held: Vec<Promised>,
}

/// One frame between replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: serde::de::DeserializeOwned"))]
pub struct Envelope<M> {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// Votes that ride along to the collector.
    pub votes: Vec<CheckpointVote>,
    /// What it is about.
    pub body: Body<M>,
}

/// What a frame is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: serde::de::DeserializeOwned"))]
pub enum Body<M> {
    /// The engine's.
    Engine(Sealed<M>),
    /// Nothing but the votes that ride along; without any, the question for the highest certificate.
    Votes,
    /// Transactions for the leader's pool, or for everybody's when the leader does not take them.
    Forward(Payload),
    /// A new certificate, or the sender's highest one for a replica that fell behind.
    Certificate(CheckpointCertificate),
    /// Wanted: bodies by digest.
    FetchBlocks(Vec<Digest>),
    /// Bodies asked for, as many as fit; and which of them the sender does not have.
    Blocks(Vec<Block>, Vec<Digest>),
    /// Wanted: the chain.
    FetchChain(ChainQuestion),
    /// Answers [`Body::FetchChain`].
    Chain(ChainPart),
    /// Wanted: state.
    FetchState(StateQuestion),
    /// Answers [`Body::FetchState`].
    State(StatePart),
    /// A replica lied: said once to everybody by each replica to which it is new, and again to whom a connection is new.
    Evidence(Box<Evidence>),
    /// Wanted by a replica that starts: what it has promised. The number comes back with the answer.
    FetchPromises(u64),
    /// Answers [`Body::FetchPromises`].
    Promises(Box<Promises>),
}

/// What a replica that fell behind asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainQuestion {
    /// The chain from this height on, in a few answers.
    From(Height),
    /// So many more answers, from where the last one ended. Means nothing to a replica that was not asked before, or that had no
    /// more to give.
    More(u8),
}

/// What a replica that fell far behind asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateQuestion {
    /// Which snapshot above this height there is.
    Offer {
        /// The height.
        above: Height,
    },
    /// The pairs of a snapshot between two places of [`crate::state::Stretch`].
    Stretch {
        /// The snapshot's height.
        height: Height,
        /// The first place.
        from: Digest,
        /// The last place.
        until: Digest,
    },
}

/// A snapshot that a replica serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The certificate over its entry.
    pub certificate: CheckpointCertificate,
    /// The header of its block.
    pub header: Option<Header>,
    /// Bytes of the state, about: the sender's word.
    pub bytes: u64,
    /// Bytes of a block, on average: the sender's word.
    pub mean_block_bytes: u64,
}

/// Answers a [`StateQuestion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatePart {
    /// The highest snapshot, if there is one.
    Offer(Option<Box<Offer>>),
    /// A part of a snapshot.
    Stretch {
        /// The snapshot's height.
        height: Height,
        /// The root under which the stretch verifies.
        root: Digest,
        /// The pairs, as many as fit.
        stretch: Stretch,
    },
}

/// A certified stretch of the ledger, for a replica that fell behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainPart {
    /// From the height asked for up to a certified one, all of them. Empty: the sender does not have it.
    pub entries: Vec<LedgerEntry>,
    /// The certificate over the last entry.
    pub certificate: Option<CheckpointCertificate>,
    /// Blocks of the first entries, as many as fit.
    pub blocks: Vec<Block>,
}

impl<M: Message> Body<M> {
    /// Its name, for accounting.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Engine(sealed) => sealed.message.kind(),
            Body::Votes => "checkpoint-votes",
            Body::Forward(_) => "forward",
            Body::Certificate(_) => "checkpoint-certificate",
            Body::FetchBlocks(_) => "fetch-blocks",
            Body::Blocks(..) => "blocks",
            Body::FetchChain(_) => "fetch-chain",
            Body::Chain(_) => "chain",
            Body::FetchState(_) => "fetch-state",
            Body::State(_) => "state",
            Body::Evidence(_) => "evidence",
            Body::FetchPromises(_) => "fetch-promises",
            Body::Promises(_) => "promises",
        }
    }

    /// Which stream carries it.
    pub fn class(&self) -> Class {
        match self {
            Body::Engine(sealed) => sealed.message.class(),
            Body::Votes | Body::Certificate(_) => Class::Vote,
            Body::Forward(_) => Class::Pool,
            Body::FetchBlocks(_)
            | Body::Blocks(..)
            | Body::FetchChain(_)
            | Body::Chain(_)
            | Body::FetchState(_)
            | Body::State(_)
            | Body::Evidence(_)
            | Body::FetchPromises(_)
            | Body::Promises(_) => Class::Sync,
        }
    }

    /// The height it is about, where it is about one.
    pub fn height(&self) -> Option<Height> {
        match self {
            Body::Engine(sealed) => sealed.message.height(),
            Body::Certificate(certificate) => Some(certificate.height()),
            Body::FetchChain(ChainQuestion::From(height)) => Some(*height),
            Body::Votes
            | Body::FetchChain(ChainQuestion::More(_))
            | Body::Forward(_)
            | Body::FetchBlocks(_)
            | Body::Blocks(..)
            | Body::Chain(_)
            | Body::FetchState(_)
            | Body::State(_)
            | Body::Evidence(_)
            | Body::FetchPromises(_)
            | Body::Promises(_) => None,
        }
    }

    /// Signatures and certificates it carries.
    pub fn authenticators(&self) -> usize {
        match self {
            Body::Engine(sealed) => sealed.message.authenticators(),
            Body::Certificate(certificate) => {
                certificate.proof.as_ref().map_or(0, Certificate::authenticators)
            }
            Body::Chain(part) => usize::from(part.certificate.is_some()),
            Body::State(StatePart::Offer(offer)) => usize::from(offer.is_some()),
            Body::Evidence(_) => 2,
            Body::Promises(told) => {
                told.held.len() + told.stable.proof.as_ref().map_or(0, Certificate::authenticators)
            }
            Body::Votes
            | Body::Forward(_)
            | Body::FetchBlocks(_)
            | Body::Blocks(..)
            | Body::FetchChain(_)
            | Body::FetchState(_)
            | Body::FetchPromises(_)
            | Body::State(StatePart::Stretch { .. }) => 0,
        }
    }
}

/// What is left to verify by cryptography before a message is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obligations {
    /// Payloads whose form, root and signatures are to be checked: as blocks of this epoch.
    pub blocks: Vec<Block>,
    /// Quorum certificates.
    pub certificates: Vec<(Statement, Certificate)>,
    /// Aggregates, each with the words it covers in ascending order of signers.
    pub aggregates: Vec<(Vec<(ReplicaId, Statement)>, Aggregate)>,
    /// Signatures of replicas.
    pub signatures: Vec<(ReplicaId, Statement, Signature)>,
}

/// Why a message of a peer or client is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not an encoding.
    #[error("cannot be read: {0}")]
    Decode(#[from] crate::codec::DecodeError),
    /// Not a payload.
    #[error("the payload cannot be read: {0}")]
    Payload(#[from] crate::transaction::PayloadError),
    /// Another epoch's.
    #[error("it is of epoch {theirs}, this replica is in epoch {ours}")]
    Epoch {
        /// Theirs.
        theirs: Epoch,
        /// Ours.
        ours: Epoch,
    },
    /// Breaks a rule that an honest sender keeps.
    #[error("{0}")]
    Invalid(&'static str),
    /// Above a consensus limit.
    #[error("{what}: {found} is more than the {limit} allowed")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// Found.
        found: usize,
        /// Allowed.
        limit: usize,
    },
    /// A client's signature does not verify.
    #[error("the signature of transaction {0} does not verify for its client and this network")]
    ClientSignature(Digest),
    /// A replica's signature does not verify.
    #[error("the signature of {0} does not verify")]
    Signature(ReplicaId),
    /// A certificate does not verify.
    #[error("a certificate does not verify: {0}")]
    Certificate(String),
    /// Evidence proves nothing.
    #[error("evidence that proves nothing: {0}")]
    Evidence(#[from] EvidenceError),
    /// The application's own check refused the transaction.
    #[error("refused by the application: {0}")]
    Application(String),
    /// No longer of use.
    #[error("it is about height {height}, which is stable already")]
    Stale {
        /// The height.
        height: Height,
    },
    /// Too far ahead to be of use yet.
    #[error("it is about height {height}, which is out of reach from the stable height")]
    Far {
        /// The height.
        height: Height,
    },
    /// The block claims a time this replica's clock does not bear out.
    #[error("the block's time is {ahead_us} µs ahead of this replica's clock; check both clocks")]
    Clock {
        /// How far.
        ahead_us: u64,
    },
}
