//! The application of the simulation: registers, and a count of how often each transaction executed.

use crate::linear::Content;
use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::state::{State, View};
use bytes::Bytes;
use crypto::ClientKey;
use std::sync::{Arc, Mutex};

/// What was executed, as the application saw it: height, client, and the sequence that the body names.
pub type Trace = Arc<Mutex<Vec<(u64, ClientKey, u64)>>>;

/// A body is a register's number, the transaction's sequence (8 bytes), and the bytes to write; without any, it reads. A write
/// answers how many there were, a read what there is: that number (8 bytes), height and time of the last write (8 bytes each), its
/// sequence (8 bytes), its client (8 bytes), and what it wrote. It refuses registers above 200, after writing to them. For each
/// register a key with the number of its writes comes and goes, so that a state has keys that an older one had not, and lacks
/// some that it had.
#[derive(Clone, Debug, Default)]
pub struct Registers {
    /// Filled by `execute`, emptied by the checker.
    pub trace: Trace,
}

impl StateMachine for Registers {
    fn name(&self) -> &'static str {
        "registers"
    }

    fn genesis(&self, config: &str, state: &mut State) -> Result<(), String> {
        state.put(b"config", config.to_owned());
        Ok(())
    }

    fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        if body.len() < 9 { Err(Refusal::new(100, "a body names a register and a sequence")) } else { Ok(()) }
    }

    fn execute(&self, context: &Context, body: &[u8], state: &mut State) -> Result<Bytes, Refusal> {
        self.check(body)?;
        let (register, rest) = body.split_first().expect("the body was checked");
        let (sequence, value) = rest.split_at(8);
        self.trace.lock().expect("one thread").push((context.height, context.client, u64_of(sequence)));
        let key = [b'r', *register];
        if value.is_empty() {
            return Ok(state.get(&key).unwrap_or_default());
        }
        let count = state.get(&key).map_or(0, |old| u64_of(&old)) + 1;
        let mut record = count.to_be_bytes().to_vec();
        record.extend_from_slice(&context.height.to_be_bytes());
        record.extend_from_slice(&context.time.0.to_be_bytes());
        record.extend_from_slice(sequence);
        record.extend_from_slice(&crate::linear::tag(&context.client));
        record.extend_from_slice(value);
        state.put(&key, record);
        state.delete(&count_key(*register, count - 1));
        state.put(&count_key(*register, count), Bytes::from_static(b"!"));
        if *register > 200 {
            return Err(Refusal::new(101, if count == 1 { REFUSED } else { REFUSED_WRITE_STAYED }));
        }
        Ok(Bytes::copy_from_slice(&count.to_be_bytes()))
    }

    fn query(&self, view: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        let register = *request.first().ok_or_else(|| Refusal::new(100, "a query names a register"))?;
        view.get(&[b'r', register]).ok_or_else(|| Refusal::new(102, "never written"))
    }
}

/// Why a write to a register above 200 is refused.
const REFUSED: &str = "registers above 200 are refused";

/// The same, where the register holds what an earlier refused write left.
pub const REFUSED_WRITE_STAYED: &str = "registers above 200 are refused, and this one was written";

fn count_key(register: u8, count: u64) -> [u8; 10] {
    let mut key = [b'n'; 10];
    key[1] = register;
    key[2..].copy_from_slice(&count.to_be_bytes());
    key
}

/// The register that a body names, and whether it reads it; none for those that are refused.
pub fn names(body: &[u8]) -> Option<(u8, bool)> {
    let register = *body.first()?;
    (register <= 200).then_some((register, body.len() == 9))
}

/// What an answer says of its register.
pub fn content(answer: &[u8]) -> Content {
    let last = answer.get(32..40).map(|tag| (tag.try_into().expect("eight bytes"), u64_of(&answer[24..])));
    (u64_of(answer), last)
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.get(..8).and_then(|head| head.try_into().ok()).map_or(0, u64::from_be_bytes)
}
