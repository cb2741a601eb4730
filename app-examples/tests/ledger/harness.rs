//! A ledger with a cast, and a `run` that checks what must hold after every operation.

use app_examples::ledger::{Answer, AssetCode, Code, Ledger, Operation, Outcome, Query, answer};
use bft_core::machine::{Context, Refusal, StateMachine};
use bft_core::state::State;
use bft_core::types::Timestamp;
use bytes::Bytes;
use crypto::{ClientKey, ClientSecret};
use std::sync::LazyLock;

/// Somebody who signs.
#[derive(Clone, Copy, Debug)]
pub struct Signer {
    pub key: ClientKey,
    pub organisation: &'static str,
}

/// Issues EUR; its organisation names no keys.
pub const BANK: usize = 0;
/// The one key that may issue BOND2031.
pub const TREASURER: usize = 1;
/// Of the same organisation, but without that right.
pub const CLERK: usize = 2;
/// The one key that may freeze.
pub const SUPERVISOR: usize = 3;
/// Of the same organisation, but without that right.
pub const INSPECTOR: usize = 4;
/// Just holds accounts.
pub const SHOP: usize = 5;

pub static CAST: LazyLock<[Signer; 6]> = LazyLock::new(|| {
    let organisations = ["north-bank", "treasury", "treasury", "supervisor", "supervisor", "south-bank"];
    std::array::from_fn(|n| {
        let seed = [u8::try_from(n + 1).unwrap(); 32];
        Signer { key: ClientSecret::from_seed(seed).public(), organisation: organisations[n] }
    })
});

pub fn key(who: usize) -> ClientKey {
    CAST[who].key
}

pub fn asset(code: &str) -> AssetCode {
    code.parse().unwrap()
}

pub fn eur() -> AssetCode {
    asset("EUR")
}

pub fn bond() -> AssetCode {
    asset("BOND2031")
}

pub fn config() -> String {
    format!(
        r#"
freeze_authority = ["supervisor"]
freeze_keys = ["{}"]

[[asset]]
code = "EUR"
issuer = "north-bank"

[[asset]]
code = "BOND2031"
issuer = "treasury"
issuer_keys = ["{}"]
"#,
        key(SUPERVISOR),
        key(TREASURER)
    )
}

pub struct Book {
    pub state: State,
    pub height: u64,
}

impl Book {
    pub fn new() -> Book {
        let mut state = State::default();
        Ledger.genesis(&config(), &mut state).unwrap();
        Book { state, height: 0 }
    }

    /// Everything in the state.
    pub fn pairs(&self) -> Vec<(Vec<u8>, Bytes)> {
        self.state.scan(b"").map(|(key, value)| (key.to_vec(), value.clone())).collect()
    }

    pub fn context(&self, who: usize) -> Context {
        let Signer { key, organisation } = CAST[who];
        Context {
            height: self.height,
            time: Timestamp(self.height * 10),
            client: key,
            organisation: organisation.to_owned(),
        }
    }

    /// Executes in a block of its own. What is refused must have written nothing, and what `check` refuses must be refused.
    pub fn run(&mut self, who: usize, operation: &Operation) -> Result<Outcome, Refusal> {
        self.height += 1;
        let before = self.pairs();
        let body = operation.encode();
        let result = Ledger.execute(&self.context(who), &body, &mut self.state);
        if let Err(refusal) = Ledger.check(&body) {
            assert_eq!(result, Err(refusal));
        }
        if result.is_err() {
            assert_eq!(self.pairs(), before, "{operation} was refused, but wrote");
        }
        result.map(|answer| Outcome::decode(&answer).unwrap())
    }

    pub fn issue(&mut self, to: usize, amount: u64) {
        self.run(BANK, &Operation::Issue { asset: eur(), to: key(to), amount }).unwrap();
    }

    pub fn freeze(&mut self, account: usize) {
        self.run(SUPERVISOR, &freeze(account)).unwrap();
    }

    pub fn ask(&mut self, query: Query) -> Answer {
        answer(&query, &mut self.state).unwrap()
    }

    pub fn balance(&mut self, who: usize, asset: AssetCode) -> u64 {
        match self.ask(Query::Balance { asset, account: key(who) }) {
            Answer::Balance(balance) => balance,
            other => panic!("{other:?}"),
        }
    }
}

pub fn transfer(to: usize, amount: u64) -> Operation {
    Operation::Transfer { asset: eur(), to: key(to), amount, memo: Bytes::new() }
}

pub fn freeze(account: usize) -> Operation {
    Operation::Freeze { account: key(account), reason: "court order 12".to_owned() }
}

pub fn unfreeze(account: usize) -> Operation {
    Operation::Unfreeze { account: key(account), reason: "lifted".to_owned() }
}

pub fn code(result: &Result<Outcome, Refusal>) -> Option<Code> {
    result.as_ref().err().map(|refusal| Code::of(refusal.code).unwrap())
}
