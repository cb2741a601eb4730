//! The ledger application, under bytes that no client of ours sends.
//!
//! Oracles: what `check` refuses, execution refuses with the same words; what is refused writes nothing; what is executed is an
//! encoded operation; and of each asset as much is held as is outstanding.

use crate::consortium::client;
use crate::edit::forge;
use crate::input::Input;
use app_examples::ledger::{Answer, AssetCode, Ledger, Operation, Outcome, Query, answer, describe};
use bft_core::machine::{Context, StateMachine};
use bft_core::state::State;
use bft_core::types::Timestamp;
use bytes::Bytes;
use crypto::ClientKey;
use std::sync::LazyLock;

const CONFIG: &str = "freeze_authority = [\"north\"]\n[[asset]]\ncode = \"EUR\"\nissuer = \"north\"\n";

fn holders() -> [ClientKey; 3] {
    [11, 12, 21].map(|number| client(number).public())
}

fn eur() -> AssetCode {
    "EUR".parse().expect("a code")
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let [a, b, c] = holders();
    let asset = eur();
    vec![
        Operation::Issue { asset, to: a, amount: 300 },
        Operation::Transfer { asset, to: b, amount: 70, memo: Bytes::from_static(b"memo") },
        Operation::Transfer { asset, to: c, amount: 1, memo: Bytes::new() },
        Operation::Redeem { asset, amount: 20 },
        Operation::Freeze { account: b, reason: "order".into() },
        Operation::Unfreeze { account: b, reason: "lifted".into() },
    ]
});

static QUERIES: LazyLock<Vec<Query>> = LazyLock::new(|| {
    let (asset, account) = (eur(), holders()[0]);
    vec![
        Query::Balance { asset, account },
        Query::Account { account },
        Query::Supply { asset },
        Query::Asset { asset },
        Query::Terms,
    ]
});

/// A list of steps: one byte for who, one for how long the body is if it is raw; then a body, or a sample with changes.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut state = State::default();
    Ledger.genesis(CONFIG, &mut state).expect("a good configuration");
    let pairs = |state: &State| -> Vec<(Bytes, Bytes)> {
        state.scan(b"").map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())).collect()
    };
    for height in 1..40 {
        if input.is_empty() {
            break;
        }
        let who = usize::from(input.byte());
        let length = usize::from(input.byte());
        let step = input.take(length);
        let (_, body) = forge(&mut Input::new(step), &OPERATIONS);
        let client = holders()[who % 3];
        let organisation = if who % 3 == 2 { "south" } else { "north" }.to_owned();
        let context = Context { height, time: Timestamp(height), client, organisation };
        let before = pairs(&state);
        let executed = Ledger.execute(&context, &body, &mut state);
        if let Err(refusal) = Ledger.check(&body) {
            assert_eq!(executed, Err(refusal), "check and execution agree");
        }
        match &executed {
            Ok(answer) => {
                let operation = Operation::decode(&body).expect("an operation was executed");
                assert_eq!(operation.encode(), body, "one encoding an operation");
                Outcome::decode(answer).expect("an outcome");
            }
            Err(_) => assert_eq!(pairs(&state), before, "a refused operation writes nothing"),
        }
        assert!(!describe(&body).is_empty());
        question(step, &mut state);
    }
    conserved(&mut state);
}

fn question(step: &[u8], state: &mut State) {
    let (_, request) = forge(&mut Input::new(step), &QUERIES);
    if let Ok(query) = Query::decode(&request) {
        assert_eq!(query.encode(), request, "one encoding a query");
        // A refusal is an answer too.
        let _ = answer(&query, state);
    }
    let _ = Answer::decode(step);
}

/// As much is held as is outstanding, unless some went to a key of nobody here: then less.
fn conserved(state: &mut State) {
    let mut held = 0_u64;
    for account in holders() {
        if let Ok(Answer::Balance(balance)) = answer(&Query::Balance { asset: eur(), account }, state) {
            held = held.checked_add(balance).expect("no more than was issued");
        }
    }
    if let Ok(Answer::Supply(supply)) = answer(&Query::Supply { asset: eur() }, state) {
        assert!(Some(held) <= supply.outstanding(), "{held} held of {supply:?}");
    }
}

/// Seeds: a short life of the ledger, each operation alone, and each operation as bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0, 1, 1, 0, 1, 2, 1, 1, 4, 0, 1, 5, 1, 1, 3, 0, 1, 6, 1, 1, 3, 2, 1, 3]];
    for (index, operation) in OPERATIONS.iter().enumerate() {
        seeds.push(vec![0, 1, 1, 0, 12, 1 + index as u8, 1, 3, 0, 1, 9, 0, 0, 0, 0, 0, 0]);
        let raw = operation.encode();
        seeds.push([&[0, 1 + raw.len() as u8, 0], raw.as_ref()].concat());
    }
    seeds
}
