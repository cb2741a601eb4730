//! A consortium's ledger: assets that its members issue, in accounts owned by keys.
//!
//! - **Assets** stand in the genesis ([`config`]), each with the one organisation that issues it.
//! - **An account** is a client's public key; it holds a balance (`u64`, in the asset's smallest unit) of every asset. Only
//!   a transaction signed with that key takes from it.
//! - **Supply**: what was issued less what was redeemed, at all times the sum of all balances, and at most
//!   `u64::MAX`, so that no balance can overflow.
//! - **Freezing**: an authority named in the genesis may keep an account from giving and receiving, with a reason that
//!   everybody can read. It cannot take or move anything.
//! - **Activity**: how many operations a key has had executed, and when the last was.
//!
//! An operation is executed whole or refused with a [`Code`] and a sentence; a refused one writes nothing. A zero amount and
//! a transfer to oneself are refused: they would leave a receipt of a payment that was none.
//!
//! # For programs
//!
//! Bodies are [`Operation::encode`], receipts with code 0 carry an [`Outcome`], others a sentence and a number that
//! [`code_name`] names; requests are [`Query::encode`], replies an [`Answer`]. [`describe`] prints a body.
//!
//! ```
//! use app_examples::ledger::{Answer, Ledger, Operation, Outcome, Query, answer};
//! use bft_core::machine::{Context, StateMachine};
//! use bft_core::state::State;
//! use crypto::ClientKey;
//!
//! let mut state = State::default();
//! Ledger.genesis("[[asset]]\ncode = 'EUR'\nissuer = 'north-bank'", &mut state)?;
//!
//! let (asset, to) = ("EUR".parse()?, ClientKey([7; 32]));
//! let issue = Operation::Issue { asset, to, amount: 100 };
//! let context = Context {
//!     height: 1,
//!     time: Default::default(),
//!     client: ClientKey([1; 32]),
//!     organisation: "north-bank".to_owned(),
//! };
//! let outcome = Ledger.execute(&context, &issue.encode(), &mut state)?;
//! assert_eq!(Outcome::decode(&outcome), Ok(Outcome::Issued { balance: 100, outstanding: 100 }));
//! assert_eq!(answer(&Query::Balance { asset, account: to }, &mut state), Ok(Answer::Balance(100)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod rules;

mod asset;
mod execution;
mod operation;
mod query;
mod refusal;
mod store;

pub use asset::{ASSET_CODE_LENGTH, AssetCode, BadAssetCode};
pub use config::{AssetConfig, Config, ConfigError};
pub use operation::{MEMO_BYTES, OPERATION_BYTES, Operation, Outcome, REASON_BYTES, describe};
pub use query::{Account, Answer, QUERY_BYTES, Query, answer};
pub use refusal::{Code, Refused, code_name};
pub use store::{Activity, Asset, Freeze, Source, Supply, Terms};

use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::state::{State, View};
use bytes::Bytes;

/// The ledger as an application. It has no state of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger;

impl StateMachine for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn genesis(&self, config: &str, state: &mut State) -> Result<(), String> {
        Config::parse(config).map_err(|error| error.to_string())?.write(state);
        Ok(())
    }

    fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        Ok(rules::well_formed(&Operation::decode(body)?)?)
    }

    fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal> {
        Ok(execution::execute(context, &Operation::decode(body)?, state)?.encode())
    }

    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        Ok(answer(&Query::decode(request)?, view)?.encode())
    }
}
