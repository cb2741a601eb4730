//! What a client can ask about the ledger, and the answers.

use super::asset::AssetCode;
use super::refusal::Refused;
use super::store::{self, Activity, Asset, Freeze, Source, Supply, Terms};
use bft_core::codec::{self, DecodeError};
use bytes::Bytes;
use crypto::ClientKey;
use serde::{Deserialize, Serialize};

/// Bytes of the longest encoded query.
pub const QUERY_BYTES: usize = 64;

/// Bytes of the longest encoded answer: of one record and little more.
const ANSWER_BYTES: usize = 1 << 17;

/// A question. Every answer comes with the proof of what it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// How much an account holds of an asset.
    Balance {
        /// Of what.
        asset: AssetCode,
        /// Whose.
        account: ClientKey,
    },
    /// Whether an account is frozen, and what its owner has done.
    Account {
        /// Whose.
        account: ClientKey,
    },
    /// How much there is of an asset.
    Supply {
        /// Of what.
        asset: AssetCode,
    },
    /// Who issues an asset.
    Asset {
        /// Which.
        asset: AssetCode,
    },
    /// Which assets there are, and who may freeze.
    Terms,
}

impl Query {
    /// The request.
    pub fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`Refused::Malformed`] if these are not the bytes of [`Query::encode`].
    pub fn decode(request: &[u8]) -> Result<Query, Refused> {
        codec::decode(request, QUERY_BYTES)
            .map_err(|_| Refused::Malformed { expected: "a query", limit: QUERY_BYTES })
    }
}

/// The answer to a [`Query`] in the variant of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Units held; 0 for an account that nobody ever gave anything.
    Balance(u64),
    /// The account.
    Account(Account),
    /// Issued and redeemed so far.
    Supply(Supply),
    /// The asset.
    Asset(Asset),
    /// The terms.
    Terms(Terms),
}

/// An account, apart from its balances. Every key is one: a key that was never used is neither frozen nor active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Why and since when it is frozen, if it is.
    pub freeze: Option<Freeze>,
    /// What its owner has done.
    pub activity: Activity,
}

impl Answer {
    /// The answer's bytes.
    pub fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn decode(answer: &[u8]) -> Result<Answer, DecodeError> {
        codec::decode(answer, ANSWER_BYTES)
    }
}

/// Answers from a view of the certified state, from a state, or from anything else that has the values.
///
/// # Errors
/// [`Refused::UnknownAsset`]; [`Refused::Unreadable`] for records of another version.
pub fn answer(query: &Query, from: &mut impl Source) -> Result<Answer, Refused> {
    match query {
        Query::Balance { asset, account } => {
            store::known_asset(from, *asset)?;
            store::balance(from, account, *asset).map(Answer::Balance)
        }
        Query::Account { account } => {
            let freeze = store::freeze(from, account)?;
            let activity = store::activity(from, account)?;
            Ok(Answer::Account(Account { freeze, activity }))
        }
        Query::Supply { asset } => {
            store::known_asset(from, *asset)?;
            store::supply(from, *asset).map(Answer::Supply)
        }
        Query::Asset { asset } => store::asset(from, *asset).map(Answer::Asset),
        Query::Terms => store::terms(from).map(Answer::Terms),
    }
}
