//! The replicated state: keys written, and hashed into the root.

use super::accounts::{self, Accounts, MANY, WRITES};
use super::members::Members;
use super::operation::{Group, Operation, Prepared};
use super::transactions::BLOCK;
use bft_core::genesis::{Genesis, Limits};
use bft_core::host::genesis_state;
use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::random::SplitMix64;
use bft_core::state::{State, View};
use bytes::Bytes;
use crypto::{Digest, ProtocolTag};
use std::sync::Mutex;

/// Keys that a full block writes.
const KEYS: usize = BLOCK * WRITES;

pub fn operations() -> Vec<Operation> {
    let operation = |name: &str, prepare: fn() -> Prepared| {
        Operation::new(Group::State, format!("{name}/{KEYS}"), "key", prepare)
    };
    vec![
        operation("write", || Filled::new().write()),
        operation("hash", || Filled::new().hash()),
        operation("write-and-hash", || Filled::new().write_and_hash()),
    ]
}

/// A state of ordinary size, and what blocks write to it.
struct Filled {
    state: State,
    /// Without organisations: of a state that begins with it the host's own part is empty.
    genesis: Genesis,
    random: SplitMix64,
}

/// Accounts with what is to be written to them.
type Writes = Vec<([u8; 16], Bytes)>;

impl Filled {
    fn new() -> Filled {
        let members = Members::new(ProtocolTag::RAFT, 1, Limits::default(), Accounts { count: 1 });
        let genesis = Genesis { organisations: Vec::new(), ..(*members.genesis).clone() };
        let (state, _) = genesis_state(&Accounts { count: MANY }, &genesis).expect("any count is possible");
        Filled { state, genesis, random: SplitMix64(1) }
    }

    fn write(mut self) -> Prepared {
        Prepared::in_parts(KEYS, move |stopwatch| {
            let writes = self.draw();
            stopwatch.time(|| write(&mut self.state, writes));
            hash(&mut self.state, &self.genesis);
        })
    }

    fn hash(mut self) -> Prepared {
        Prepared::in_parts(KEYS, move |stopwatch| {
            let writes = self.draw();
            write(&mut self.state, writes);
            stopwatch.time(|| hash(&mut self.state, &self.genesis));
        })
    }

    fn write_and_hash(mut self) -> Prepared {
        Prepared::in_parts(KEYS, move |stopwatch| {
            let writes = self.draw();
            stopwatch.time(|| {
                write(&mut self.state, writes);
                hash(&mut self.state, &self.genesis)
            });
        })
    }

    fn draw(&mut self) -> Writes {
        let random = &mut self.random;
        let write = |_| (accounts::key(random.draw() % MANY), accounts::value(random.draw()));
        (0..KEYS).map(write).collect()
    }
}

fn write(state: &mut State, writes: Writes) {
    for (key, value) in writes {
        state.put(&key, value);
    }
}

/// What the host does at a checkpoint: what was written goes into the tree.
fn hash(state: &mut State, genesis: &Genesis) -> Digest {
    let carrier = Carrier(Mutex::new(std::mem::take(state)));
    let (same, root) = genesis_state(&carrier, genesis).expect("it is there");
    *state = same;
    root
}

/// Only a host has the root of a state computed: an application that did so half-way through a transaction could not be rolled
/// back. But a host also does it for the state that an application begins with, and this one begins with a state that is there already.
struct Carrier(Mutex<State>);

impl StateMachine for Carrier {
    fn name(&self) -> &'static str {
        "carrier"
    }

    fn genesis(&self, _: &str, state: &mut State) -> Result<(), String> {
        *state = std::mem::take(&mut *self.0.lock().expect("one thread"));
        Ok(())
    }

    fn check(&self, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::new(100, "nothing is executed here"))
    }

    fn execute(&self, _: &Context, body: &[u8], _: &mut State) -> Result<Bytes, Refusal> {
        self.check(body).map(|()| Bytes::new())
    }

    fn query(&self, _: &mut View<'_>, request: &[u8]) -> Result<Bytes, Refusal> {
        self.check(request).map(|()| Bytes::new())
    }
}
