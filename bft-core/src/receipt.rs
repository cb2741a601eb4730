//! Receipts: what became of a transaction, and the proof of it.

use crate::codec::{self, byte_string};
use crate::committee::Trust;
use crate::ledger::{ChainError, CheckpointCertificate, LedgerEntry, check_chain};
use bytes::Bytes;
use crypto::{Certificate, Digest, ReplicaId, merkle};
use serde::{Deserialize, Serialize};

/// Codes of the host. Applications use codes from [`code::APPLICATION`] on; 0 is success.
pub mod code {
    /// Executed.
    pub const OK: u32 = 0;
    /// The client's key is not enrolled.
    pub const NOT_ENROLLED: u32 = 1;
    /// The sequence was executed before, or lies so far back that it counts as executed.
    pub const STALE: u32 = 2;
    /// The sequence is too far ahead of the client's last.
    pub const TOO_FAR_AHEAD: u32 = 3;
    /// The body of a system transaction does not decode.
    pub const MALFORMED: u32 = 4;
    /// Only an organisation's operator may do this.
    pub const NOT_OPERATOR: u32 = 5;
    /// The client is enrolled already.
    pub const ALREADY_ENROLLED: u32 = 6;
    /// The answer to an ordered read is too long for a receipt.
    pub const TOO_LONG: u32 = 7;
    /// First code of the application's own.
    pub const APPLICATION: u32 = 100;

    /// Whether a receipt with this code settles its transaction's fate. With the others the host did not look at the body and
    /// this place in the ledger did not use the sequence up: the same transaction may stand at another place and be executed
    /// there, and a replica may show whichever place it likes.
    pub const fn settles(code: u32) -> bool {
        !matches!(code, NOT_ENROLLED | STALE | TOO_FAR_AHEAD)
    }
}

/// What became of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction's digest.
    pub transaction: Digest,
    /// 0 for executed, else why it was refused: see [`code`].
    pub code: u32,
    /// The application's answer, or the sentence that says why it refused (UTF-8).
    #[serde(with = "byte_string")]
    pub answer: Bytes,
}

impl Receipt {
    /// The leaf of the receipts tree.
    pub fn leaf(&self) -> Digest {
        merkle::leaf_hash(&codec::encode(self))
    }
}

/// A receipt with everything that proves it to somebody who holds the genesis; or, in the crash fault model, with the word of a replica,
/// which proves nothing to anybody ([`ProvenReceipt::trusted`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenReceipt {
    /// What became of the transaction.
    pub receipt: Receipt,
    /// Its place among the block's receipts.
    pub index: u64,
    /// How many receipts the block has.
    pub count: u64,
    /// RFC 6962 path from the leaf to the receipts root of `entries[0]`.
    pub path: Vec<Digest>,
    /// From the entry of the block to the certified one, consecutive; at most the checkpoint interval many.
    pub entries: Vec<LedgerEntry>,
    /// The certificate over the last entry.
    pub certificate: CheckpointCertificate,
}

/// Receipts of one block that answer several questions of one connection: what is the same for all stands here once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptBatch {
    /// Each with the question that it answers and its place in the block; in ascending order of places.
    pub receipts: Vec<Answered>,
    /// How many receipts the block has.
    pub count: u64,
    /// What proves these together ([`merkle::Tree::siblings`]).
    pub siblings: Vec<Digest>,
    /// As in [`ProvenReceipt::entries`].
    pub entries: Vec<LedgerEntry>,
    /// The certificate over the last entry.
    pub certificate: CheckpointCertificate,
}

/// One receipt of a [`ReceiptBatch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The question's id.
    pub id: u64,
    /// The receipt's place in the block.
    pub index: u64,
    /// What became of the transaction.
    pub receipt: Receipt,
}

impl ReceiptBatch {
    /// Receipts in one batch, at most.
    pub const RECEIPTS: usize = 256;
    /// Entries in one batch, at most: each receipt gets a copy of them.
    pub const ENTRIES: usize = 64;
    /// Bytes of the application's answers in one batch, at most: it fits a frame, whatever else is in it. A longer answer travels alone.
    pub const ANSWER_BYTES: usize = 64 << 10;

    /// One by one, by the questions' ids. None if it is larger than a batch may be, or these receipts do not stand at their places under the
    /// receipts root of the first entry. Of what [`ProvenReceipt::verify`] checks, the rest is left: the entries and the certificate.
    pub fn split(self) -> Option<Vec<(u64, ProvenReceipt)>> {
        let ReceiptBatch { receipts, count, siblings, entries, certificate } = self;
        if receipts.len() > ReceiptBatch::RECEIPTS || entries.len() > ReceiptBatch::ENTRIES {
            return None;
        }
        let leaves: Vec<(u64, Digest)> =
            receipts.iter().map(|answered| (answered.index, answered.receipt.leaf())).collect();
        let (root, paths) = merkle::paths(count, &leaves, &siblings)?;
        if root != entries.first()?.receipts_root {
            return None;
        }
        let split = receipts.into_iter().zip(paths).map(|(Answered { id, index, receipt }, path)| {
            let (entries, certificate) = (entries.clone(), certificate.clone());
            (id, ProvenReceipt { receipt, index, count, path, entries, certificate })
        });
        Some(split.collect())
    }
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is a receipt of the crash fault model.
    #[error(
        "it is the word of {0}, of a network in the crash fault model, and rests on trust in the operator: nothing proves it"
    )]
    Trusted(ReplicaId),
    /// The entries do not link.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The certificate is not of this committee over this entry.
    #[error("the certificate over height {0} does not verify with the committee of this genesis: {1}")]
    Certificate(u64, String),
    /// The leaf is not under the root.
    #[error("the receipt is not under the receipts root of height {0}")]
    Receipt(u64),
    /// The proof is about another transaction.
    #[error("the receipt is about transaction {found}, not {expected}")]
    Transaction {
        /// Asked about.
        expected: Digest,
        /// Answered about.
        found: Digest,
    },
    /// A key's value is not what the state root says.
    #[error("the value of a key read is not proven under the state root of height {0}")]
    State(u64),
    /// The certified entry has no state root.
    #[error("the certified entry of height {0} carries no state root")]
    NoStateRoot(u64),
    /// The replica's answer is not what the proven state gives.
    #[error("the answer is not what the proven state of height {0} gives")]
    Answer(u64),
}

impl ProvenReceipt {
    /// Whether the receipt stands at its place under the receipts root of the first entry.
    pub fn is_placed(&self) -> bool {
        let root = self.entries.first().map(|entry| entry.receipts_root);
        root.is_some_and(|root| merkle::verify(root, self.receipt.leaf(), self.index, self.count, &self.path))
    }

    /// A receipt of the crash fault model: `by` says that its transaction is executed in the block of `entry`.
    pub fn trusted(
        receipt: Receipt,
        index: u64,
        count: u64,
        entry: LedgerEntry,
        by: ReplicaId,
    ) -> ProvenReceipt {
        let proof = Some(Certificate::Named(vec![by]));
        let certificate = CheckpointCertificate { entry, proof };
        ProvenReceipt { receipt, index, count, path: Vec::new(), entries: Vec::new(), certificate }
    }

    /// Who vouches for it, where nothing proves it.
    pub fn trusted_to(&self) -> Option<ReplicaId> {
        match &self.certificate.proof {
            Some(Certificate::Named(names)) => names.first().copied(),
            Some(Certificate::Threshold(_) | Certificate::Ed25519(_)) | None => None,
        }
    }

    /// Height of the block with the transaction.
    pub fn height(&self) -> u64 {
        self.entries.first().map_or(self.certificate.height(), |entry| entry.height)
    }

    /// Checks the proof from the genesis alone.
    ///
    /// # Errors
    /// The step that does not hold.
    pub fn verify(&self, trust: &Trust) -> Result<(), ProofError> {
        // Whatever else it has: no name is a proof.
        if let Some(replica) = self.trusted_to() {
            return Err(ProofError::Trusted(replica));
        }
        check_chain(&self.entries, &self.certificate.entry)?;
        trust.verify_checkpoint(&self.certificate)?;
        if self.is_placed() { Ok(()) } else { Err(ProofError::Receipt(self.height())) }
    }
}
