//! The application under the measurements: each transaction writes three accounts.

use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::random::SplitMix64;
use bft_core::state::{State, View};
use bytes::Bytes;

/// Accounts that a transaction writes.
pub const WRITES: usize = 3;

/// Accounts of a state of ordinary size.
pub const MANY: u64 = 1 << 16;

/// Bytes of an account's value.
const VALUE_BYTES: usize = 48;

/// The numbers of a body's accounts stand at its beginning, eight bytes each.
pub fn name(transaction: u64, body: &mut [u8]) {
    let mut random = SplitMix64(transaction);
    for place in body.chunks_exact_mut(8).take(WRITES) {
        place.copy_from_slice(&random.draw().to_be_bytes());
    }
}

/// An account's key.
pub fn key(account: u64) -> [u8; 16] {
    let mut key = *b"account/........";
    key[8..].copy_from_slice(&account.to_be_bytes());
    key
}

/// What an account holds.
pub fn value(content: u64) -> Bytes {
    content.to_be_bytes().repeat(VALUE_BYTES / 8).into()
}

/// See the module's text. Its configuration is how many accounts there are.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    /// How many.
    pub count: u64,
}

impl StateMachine for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn genesis(&self, _: &str, state: &mut State) -> Result<(), String> {
        (0..self.count).for_each(|account| state.put(&key(account), value(account)));
        Ok(())
    }

    fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        if body.len() < 8 * WRITES { Err(Refusal::new(100, "a body names three accounts")) } else { Ok(()) }
    }

    fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal> {
        self.check(body)?;
        for number in body.chunks_exact(8).take(WRITES) {
            let number = u64::from_be_bytes(number.try_into().expect("eight bytes"));
            let key = key(number % self.count);
            let before = state.get(&key).unwrap_or_default();
            state.put(&key, value(context.height.wrapping_add(before.len() as u64)));
        }
        Ok(Bytes::from_static(b"done"))
    }

    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        view.get(request).ok_or_else(|| Refusal::new(101, "no such account"))
    }
}
