//! State machines that a consortium would run on Quorate.
//!
//! - [`noop`]: nothing at all, to measure what is not the application.
//! - [`ledger`]: assets issued by the members, balances owned by keys, transfers, and an authority that may freeze.
//!
//! # Writing your own
//!
//! An application is four pure functions over a key-value state, and a name: everything else (order, durability, exactly
//! once, proofs, snapshots) is the host's work. This one counts how often each organisation said a word:
//!
//! ```
//! use bft_core::machine::{Context, Refusal, StateMachine};
//! use bft_core::state::{State, View};
//! use bytes::Bytes;
//!
//! struct Tally;
//!
//! impl StateMachine for Tally {
//!     fn name(&self) -> &'static str {
//!         "tally"
//!     }
//!     fn genesis(&self, _config: &str, _state: &mut State) -> Result<(), String> {
//!         Ok(())
//!     }
//!     fn check(&self, body: &[u8]) -> Result<(), Refusal> {
//!         match body.len() {
//!             1..=32 => Ok(()),
//!             other => Err(Refusal::new(100, format!("the word has {other} bytes; 1 to 32 are possible"))),
//!         }
//!     }
//!     fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal> {
//!         self.check(body)?; // Again: a leader of ill will need not have done it.
//!         let key = [body, b"/", context.organisation.as_bytes()].concat();
//!         let count = state.get(&key).map_or(0, |count| count[0]);
//!         let next = count.checked_add(1).ok_or_else(|| Refusal::new(101, "said 255 times: that is enough"))?;
//!         state.put(&key, vec![next]);
//!         Ok(vec![next].into())
//!     }
//!     fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
//!         view.get(request).ok_or_else(|| Refusal::new(102, "never said"))
//!     }
//! }
//!
//! let mut state = State::default();
//! Tally.genesis("", &mut state)?;
//! let context = Context {
//!     height: 1,
//!     time: Default::default(),
//!     client: crypto::ClientKey([1; 32]),
//!     organisation: "north".to_owned(),
//! };
//! assert_eq!(Tally.execute(&context, b"aye", &mut state), Ok(vec![1].into()));
//! assert_eq!(Tally.execute(&context, b"aye", &mut state), Ok(vec![2].into()));
//! assert_eq!(Tally.execute(&context, b"", &mut state).unwrap_err().code, 100);
//! assert_eq!(state.get(b"aye/north"), Some(vec![2].into()));
//! # Ok::<(), String>(())
//! ```
//!
//! What to mind, each shown by [`ledger`]:
//!
//! - **The same on every replica, for ever.** No clocks, randomness, floating point, hash maps. The answer *and the sentence
//!   of a refusal* are hashed into the receipts: they hold no text of a library's error, no `{:?}`, whose
//!   words may change with a version.
//! - **Any bytes may arrive.** Decode with [`bft_core::codec::decode`], which is bounded and takes one encoding per value only;
//!   never panic on a body, a query, or a value that reads as absent (a client runs `query` again over the values a
//!   replica has proven, and a replica may withhold some).
//! - **Refuse before you write.** The host rolls back, but code in this order is easier to trust.
//! - **Who may** is a question to [`Context`](bft_core::machine::Context): the key that signed, and the organisation it is
//!   enrolled for.

pub mod ledger;
pub mod noop;
