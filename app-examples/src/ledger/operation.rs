//! What a client can ask the ledger to do, and what it is told when it is done.

use super::asset::AssetCode;
use super::refusal::Refused;
use bft_core::codec::{self, DecodeError, byte_string};
use bytes::Bytes;
use crypto::ClientKey;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of the longest encoded operation.
pub const OPERATION_BYTES: usize = 1024;
/// Bytes of the longest memo.
pub const MEMO_BYTES: usize = 512;
/// Bytes of the longest reason for a freeze.
pub const REASON_BYTES: usize = 256;

/// Bytes of the longest encoded outcome.
const OUTCOME_BYTES: usize = 64;

/// The body of a transaction. Amounts count the asset's smallest unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Makes new units of an asset. For its issuer.
    Issue {
        /// Of what.
        asset: AssetCode,
        /// Who gets them.
        to: ClientKey,
        /// How many.
        amount: u64,
    },
    /// Moves units from the signer's account to another.
    Transfer {
        /// Of what.
        asset: AssetCode,
        /// Who gets them. The ledger does not know who is enrolled: units sent to a key that nobody has are lost.
        to: ClientKey,
        /// How many.
        amount: u64,
        /// For the receiver; in the transaction only, not in the state. At most [`MEMO_BYTES`].
        #[serde(with = "byte_string")]
        memo: Bytes,
    },
    /// Destroys units of the signer's own, which the issuer owes it something for outside of the ledger.
    Redeem {
        /// Of what.
        asset: AssetCode,
        /// How many.
        amount: u64,
    },
    /// Keeps an account from giving and receiving, in all assets. For a freeze authority.
    Freeze {
        /// Which.
        account: ClientKey,
        /// Why; in the state while it lasts. At most [`REASON_BYTES`].
        reason: String,
    },
    /// Lifts a freeze. For a freeze authority, and not only the one that froze.
    Unfreeze {
        /// Which.
        account: ClientKey,
        /// Why; in the transaction only. At most [`REASON_BYTES`].
        reason: String,
    },
}

impl Operation {
    /// The transaction's body.
    pub fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    /// Reads a body. Says nothing about whether the operation makes sense.
    ///
    /// # Errors
    /// [`Refused::Malformed`] if these are not the bytes of [`Operation::encode`].
    pub fn decode(body: &[u8]) -> Result<Operation, Refused> {
        // The codec's own words are left out: they are partly a library's, and may change with its version.
        codec::decode(body, OPERATION_BYTES)
            .map_err(|_| Refused::Malformed { expected: "an operation", limit: OPERATION_BYTES })
    }
}

/// For people. Text of others is shown escaped, so that no terminal obeys it.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Issue { asset, to, amount } => write!(f, "issue {amount} {asset} to {to}"),
            Operation::Transfer { asset, to, amount, memo } => {
                write!(f, "transfer {amount} {asset} to {to}")?;
                match std::str::from_utf8(memo) {
                    Ok("") => Ok(()),
                    Ok(text) => write!(f, ", memo {text:?}"),
                    Err(_) => write!(f, ", memo \"{}\"", memo.escape_ascii()),
                }
            }
            Operation::Redeem { asset, amount } => write!(f, "redeem {amount} {asset}"),
            Operation::Freeze { account, reason } => write!(f, "freeze {account}, reason {reason:?}"),
            Operation::Unfreeze { account, reason } => write!(f, "unfreeze {account}, reason {reason:?}"),
        }
    }
}

/// One line about a transaction's body, whatever bytes it has.
pub fn describe(body: &[u8]) -> String {
    Operation::decode(body).map_or_else(
        |_| format!("{} bytes that are not an operation of the ledger", body.len()),
        |operation| operation.to_string(),
    )
}

/// The answer in the receipt of an executed operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Of [`Operation::Issue`].
    Issued {
        /// What the receiver now holds of the asset.
        balance: u64,
        /// What is now outstanding of the asset.
        outstanding: u64,
    },
    /// Of [`Operation::Transfer`].
    Transferred {
        /// What the sender has left of the asset.
        balance: u64,
    },
    /// Of [`Operation::Redeem`].
    Redeemed {
        /// What the owner has left of the asset.
        balance: u64,
        /// What is now outstanding of the asset.
        outstanding: u64,
    },
    /// Of [`Operation::Freeze`].
    Frozen,
    /// Of [`Operation::Unfreeze`].
    Unfrozen,
}

impl Outcome {
    /// The answer in the receipt.
    pub fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    /// Reads the answer of a receipt with code 0.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn decode(answer: &[u8]) -> Result<Outcome, DecodeError> {
        codec::decode(answer, OUTCOME_BYTES)
    }
}

/// For people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Issued { balance, outstanding } => {
                write!(f, "issued; the receiver holds {balance}, outstanding are {outstanding}")
            }
            Outcome::Transferred { balance } => write!(f, "transferred; the sender holds {balance}"),
            Outcome::Redeemed { balance, outstanding } => {
                write!(f, "redeemed; the owner holds {balance}, outstanding are {outstanding}")
            }
            Outcome::Frozen => write!(f, "frozen"),
            Outcome::Unfrozen => write!(f, "no longer frozen"),
        }
    }
}
