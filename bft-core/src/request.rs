//! What a client asks a replica, and what it is told.

use crate::codec::{self, DecodeError, byte_string};
use crate::committee::Trust;
use crate::evidence::Evidence;
use crate::ledger::CheckpointCertificate;
use crate::machine::{Refusal, StateMachine};
use crate::receipt::{ProofError, ProvenReceipt, ReceiptBatch};
use crate::state::{Proof, View};
use crate::transaction::Payload;
use crate::types::{Epoch, Height};
use bytes::Bytes;
use crypto::{ClientKey, Digest, ReplicaId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One question of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client; comes back with the reply.
    pub id: u64,
    /// The question.
    pub call: Call,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Order these transactions (exactly one for now), and answer with the proven receipt.
    Submit(Payload),
    /// The proven receipt of an earlier transaction.
    Receipt {
        /// Who signed it.
        client: ClientKey,
        /// Under which sequence.
        sequence: u64,
    },
    /// A question to the application.
    Read(ReadingOf, #[serde(with = "byte_string")] Bytes),
    /// A height at or above every one that the replica has signed a checkpoint of.
    Signed,
    /// The lowest sequence of a client that has not executed. Not proven: good for choosing the next one.
    Session(ClientKey),
    /// What the replica is doing.
    Status,
    /// Which lies the replica can prove.
    Evidence,
}

/// What a read is to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadingOf {
    /// What the replica has executed, however long ago it last heard from others. By its word.
    Executed,
    /// Everything that anybody was told before the question. By the replica's word, in the crash fault model.
    Leader,
    /// What is certified at this height or a higher one, with the proof; of height 0, whatever was certified last. In the Byzantine fault model: with the height that n − f
    /// replicas have signed, everything that anybody was told before these were asked.
    Certified(Height),
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The question's id.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The transaction's fate.
    Receipt(Box<ProvenReceipt>),
    /// The application's answer.
    Query(Box<ProvenAnswer>),
    /// The application's answer by the replica's word.
    Reading(Box<Reading>),
    /// Answers [`Call::Signed`].
    Signed(Height),
    /// The sequence after the highest that has executed.
    Session(u64),
    /// The replica's own view of things.
    Status(Box<StatusReport>),
    /// Not done.
    Refused {
        /// What to do about it.
        advice: Advice,
        /// For people.
        sentence: String,
    },
    /// Every lie that the replica can prove. Whoever asks verifies it.
    Evidence(Vec<Evidence>),
    /// The fates of several transactions, each asked for by a question of its own; the reply's id is 0. [`Reply::read`] takes it apart.
    Receipts(Box<ReceiptBatch>),
}

impl Reply {
    /// The replies in a frame of at most `limit` bytes: one, or those that a batch of receipts stands for, which are known to stand at their
    /// places ([`ReceiptBatch::split`]).
    ///
    /// # Errors
    /// If the frame is not what [`codec::encode`] makes of a reply.
    pub fn read(frame: &[u8], limit: usize) -> Result<Vec<Reply>, DecodeError> {
        let reply: Reply = codec::decode(frame, limit)?;
        let Answer::Receipts(batch) = reply.answer else { return Ok(vec![reply]) };
        let malformed =
            || DecodeError::Malformed("a batch of receipts that does not prove its places".into());
        let receipts = batch.split().filter(|_| reply.id == 0).ok_or_else(malformed)?;
        let single = |(id, receipt)| Reply { id, answer: Answer::Receipt(Box::new(receipt)) };
        Ok(receipts.into_iter().map(single).collect())
    }
}

/// What a client should do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Advice {
    /// Try again later, here or at another replica.
    Retry,
    /// The request is at fault: trying again changes nothing.
    Abandon,
    /// This replica no longer has it; others may.
    AskAnother,
}

/// An answer of the application with everything that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenAnswer {
    /// The application's answer, or its refusal.
    pub result: Result<AnswerBytes, (u32, String)>,
    /// Every key the query read, with its value and proof.
    pub reads: Vec<ProvenRead>,
    /// The certificate over the state read.
    pub certificate: CheckpointCertificate,
}

/// An answer of the application that nothing proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What was executed when it was given.
    pub height: Height,
    /// The application's answer, or its refusal.
    pub result: Result<AnswerBytes, (u32, String)>,
}

/// The bytes of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerBytes(#[serde(with = "byte_string")] pub Bytes);

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenRead {
    /// The full key.
    #[serde(with = "byte_string")]
    pub key: Bytes,
    /// Its value, if it has one.
    pub value: Option<AnswerBytes>,
    /// Under the certified state root.
    pub proof: Proof,
}

impl ProvenAnswer {
    /// Checks the certificate, every value, and that the query gives this answer over the proven values.
    ///
    /// # Errors
    /// The step that does not hold.
    pub fn verify<A: StateMachine>(&self, app: &A, request: &[u8], trust: &Trust) -> Result<(), ProofError> {
        trust.verify_checkpoint(&self.certificate)?;
        let height = self.certificate.height();
        let root = self.certificate.entry.state_root.ok_or(ProofError::NoStateRoot(height))?;
        let mut values = BTreeMap::new();
        for read in &self.reads {
            let value = read.value.as_ref().map(|value| value.0.clone());
            if !read.proof.verify(&root, &read.key, value.as_deref()) {
                return Err(ProofError::State(height));
            }
            values.insert(read.key.clone(), value);
        }
        let mut view = View::proven(&values);
        let result = encode_result(app.query(&mut view, request));
        let all_proven = view.into_reads().iter().all(|key| values.contains_key(key));
        if all_proven && result == self.result { Ok(()) } else { Err(ProofError::Answer(height)) }
    }
}

pub(crate) fn encode_result(result: Result<Bytes, Refusal>) -> Result<AnswerBytes, (u32, String)> {
    result.map(AnswerBytes).map_err(|refusal| (refusal.code, refusal.sentence))
}

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Which replica.
    pub replica: ReplicaId,
    /// Digest of the genesis.
    pub chain: Digest,
    /// Its epoch.
    pub epoch: Epoch,
    /// The engine.
    pub protocol: String,
    /// Its view.
    pub view: u64,
    /// The leader of that view.
    pub leader: ReplicaId,
    /// Whether it takes part in the view, or waits to enter it.
    pub active: bool,
    /// Whether it may vote: not when its data directory was found empty.
    pub votes: bool,
    /// Ordered for ever.
    pub committed: Height,
    /// Executed here.
    pub executed: Height,
    /// Under a checkpoint certificate.
    pub stable: Height,
    /// The highest executed height that wants a certificate at or above it. Above it there are only empty blocks, which do not.
    pub owes: Height,
    /// The state root of the stable height.
    pub state_root: Option<Digest>,
    /// Transactions in the pool.
    pub pooled: u64,
    /// Pieces of evidence that it holds; [`Call::Evidence`] asks for them.
    pub evidence: u64,
    /// What it cannot go on without, in words.
    pub waits_for: Vec<String>,
    /// Connections to the other replicas; filled in by the transport.
    pub peers: Vec<PeerReport>,
    /// Named counters of the host and its surroundings, in order of name.
    pub counters: Vec<(String, u64)>,
}

impl StatusReport {
    /// Whether everything that is committed is executed, and as far as it matters certified.
    pub fn is_settled(&self) -> bool {
        self.committed == self.executed && self.owes <= self.stable
    }
}

/// One connection to another replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// The other replica.
    pub replica: ReplicaId,
    /// Where it is.
    pub address: String,
    /// Whether its hello was acknowledged.
    pub connected: bool,
    /// Smoothed round trip in microseconds.
    pub rtt_us: u64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}
