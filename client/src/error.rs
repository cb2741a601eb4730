//! Why there is no receipt, or no answer.

use bft_core::genesis::GenesisError;
use bft_core::request::Advice;
use bft_core::transaction::Transaction;
use crypto::ReplicaId;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What each replica last said or did that was no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(pub BTreeMap<ReplicaId, String>);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no replica was reached in time");
        }
        for (index, (replica, why)) in self.0.iter().enumerate() {
            write!(f, "{}{replica}: {why}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The genesis could not start a network.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The genesis has fewer replicas.
    #[error("the genesis has no replica {0}")]
    NoSuchReplica(ReplicaId),
    /// No replica could be reached.
    #[error("no replica can be reached: {0}")]
    Unreachable(Attempts),
    /// Replicas were reached, but none gave an answer that holds.
    #[error("no answer that holds within {waited:.1?}: {last}")]
    NoAnswer {
        /// Since the question was first sent.
        waited: Duration,
        /// What came instead.
        last: Attempts,
    },
    /// f + 1 replicas say that the question is at fault.
    #[error("refused: {sentence}")]
    Refused {
        /// What one of them says.
        sentence: String,
        /// Which one.
        replica: ReplicaId,
    },
    /// What n − f replicas have signed was not certified in time, and the read that was ordered in its place has no answer.
    #[error("the read had to be ordered, and has no answer: {0}")]
    NotOrdered(Box<SubmitError>),
    /// [`crate::Client::close`] was called.
    #[error("this client was closed")]
    Closed,
}

/// Why a transaction has no proven receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// f + 1 replicas refuse it, so one honest replica has not taken it in. That is their word, not a proof: a faulty replica
    /// that was given the bytes may keep them and have them ordered, should they become valid (a client that is enrolled
    /// later), and a replica that lags behind may refuse what others take. Where it matters, submit the same transaction
    /// again rather than a new one.
    #[error("refused: {sentence}")]
    Refused {
        /// What they advise: [`Advice::Abandon`] for a transaction at fault, [`Advice::Retry`] for a receipt that does not
        /// exist yet.
        advice: Advice,
        /// What one of them says.
        sentence: String,
        /// Which one.
        replica: ReplicaId,
    },
    /// It was sent, and nothing proven came back. **Not a failure**: it may have executed, or execute yet.
    #[error("outcome unknown after {waited:.1?}; submit the very same transaction again to learn it: {last}")]
    Unknown {
        /// Submit exactly this with [`crate::Client::submit_transaction`].
        transaction: Box<Transaction>,
        /// Since it was first sent.
        waited: Duration,
        /// What the replicas last did.
        last: Attempts,
    },
    /// Its sequence was used up and the receipt is gone: it executed long ago, or never will.
    #[error("sequence {} of this client was used up long ago and no replica keeps its receipt: {sentence}", .transaction.sequence)]
    Forgotten {
        /// Sending it again changes nothing.
        transaction: Box<Transaction>,
        /// What one replica says.
        sentence: String,
    },
    /// Another transaction of the same client has executed under its sequence: this one did not and never will. Sign it
    /// anew, under a higher sequence.
    #[error("sequence {} of this client was used by another transaction; sign this one anew", .transaction.sequence)]
    SequenceTaken {
        /// The transaction that cannot execute.
        transaction: Box<Transaction>,
    },
    /// The body is longer than the genesis allows. Nothing was sent.
    #[error("a body of {length} bytes, where the genesis allows {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// `transaction_bytes` of the genesis.
        limit: usize,
    },
    /// Nothing was sent: no replica could be reached.
    #[error("nothing was sent, no replica can be reached: {0}")]
    Unreachable(Attempts),
    /// A receipt was asked for, and no answer that can be believed came.
    #[error("no receipt that can be believed within {waited:.1?}: {last}")]
    NoReceipt {
        /// Since the question was first sent.
        waited: Duration,
        /// What came instead.
        last: Attempts,
    },
    /// [`crate::Client::close`] was called before anything was sent.
    #[error("this client was closed; nothing was sent")]
    Closed,
}
