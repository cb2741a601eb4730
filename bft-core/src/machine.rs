//! The contract with an application.

use crate::state::{State, View};
use crate::types::{Height, Timestamp};
use bytes::Bytes;
use crypto::ClientKey;

/// A deterministic state machine.
///
/// All functions are pure: the same arguments give the same result on every replica, for ever. State lives in the
/// host's [`State`], so that crash atomicity, snapshots, proofs and exactly-once are not the author's work. Iteration over hash
/// maps, floating point, clocks and randomness have no place here: replicas whose states differ stop.
pub trait StateMachine: Send + Sync + 'static {
    /// Its name, part of the genesis.
    fn name(&self) -> &'static str;

    /// Writes the first state.
    ///
    /// # Errors
    /// What is wrong with `config`, the genesis's text for the application.
    fn genesis(&self, config: &str, state: &mut State) -> Result<(), String>;

    /// A stateless look at a transaction's body before it is pooled. What it accepts may still be refused by `execute`.
    ///
    /// # Errors
    /// Why no state could ever accept it.
    fn check(&self, body: &[u8]) -> Result<(), Refusal>;

    /// Executes one transaction. Writes of a refused transaction are rolled back by the host.
    ///
    /// # Errors
    /// Why it is refused: the client gets code and sentence as a receipt.
    fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal>;

    /// Answers a question from the state. The host proves every key that was read.
    ///
    /// # Errors
    /// Why there is no answer.
    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal>;
}

/// What a transaction sees of its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Height of the block.
    pub height: Height,
    /// The ledger's time: greater than in the block before, close to the proposer's clock.
    pub time: Timestamp,
    /// Who signed.
    pub client: ClientKey,
    /// The organisation that the signer is enrolled for.
    pub organisation: String,
}

/// A transaction or query that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence} (code {code})")]
pub struct Refusal {
    /// From [`crate::receipt::code::APPLICATION`] on for applications.
    pub code: u32,
    /// For people: what is wrong, and what would be right.
    pub sentence: String,
}

impl Refusal {
    /// A refusal of the application. Codes below the application's range are lifted into it.
    pub fn new(code: u32, sentence: impl Into<String>) -> Refusal {
        Refusal { code: code.max(crate::receipt::code::APPLICATION), sentence: sentence.into() }
    }
}
