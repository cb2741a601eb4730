//! Random operations against a model that shares no code with the ledger.

use crate::harness::{BANK, Book, CAST, CLERK, SUPERVISOR, TREASURER, asset, bond, code, eur, key, transfer};
use app_examples::ledger::{Account, Activity, Answer, AssetCode, Code, Operation, Outcome, Query};
use bft_core::types::Timestamp;
use bytes::Bytes;
use crypto::ClientKey;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The ledger, said in another way: one map, wide numbers, no records.
#[derive(Default)]
struct Model {
    held: BTreeMap<(AssetCode, ClientKey), u128>,
    issued: BTreeMap<AssetCode, u128>,
    redeemed: BTreeMap<AssetCode, u128>,
    frozen: BTreeSet<ClientKey>,
    activity: BTreeMap<ClientKey, (u64, u64)>,
}

impl Model {
    fn held(&self, asset: AssetCode, who: ClientKey) -> u128 {
        self.held.get(&(asset, who)).copied().unwrap_or(0)
    }

    fn total(&self, asset: AssetCode) -> u128 {
        self.held.iter().filter(|((a, _), _)| *a == asset).map(|(_, held)| held).sum()
    }

    fn refusal(&self, who: usize, operation: &Operation) -> Option<Code> {
        let signer = key(who);
        let known = |asset: &AssetCode| [eur(), bond()].contains(asset);
        let first =
            |reasons: &[(bool, Code)]| reasons.iter().find(|(holds, _)| *holds).map(|(_, code)| *code);
        match operation {
            Operation::Issue { asset, to, amount } => first(&[
                (*amount == 0, Code::ZeroAmount),
                (!known(asset), Code::UnknownAsset),
                (*asset == eur() && who != BANK || *asset == bond() && who != TREASURER, Code::NotIssuer),
                (self.frozen.contains(to), Code::ReceiverFrozen),
                (self.total(*asset) + u128::from(*amount) > u128::from(u64::MAX), Code::SupplyOverflow),
            ]),
            Operation::Transfer { asset, to, amount, .. } => first(&[
                (*amount == 0, Code::ZeroAmount),
                (!known(asset), Code::UnknownAsset),
                (*to == signer, Code::SelfTransfer),
                (self.frozen.contains(&signer), Code::SenderFrozen),
                (self.frozen.contains(to), Code::ReceiverFrozen),
                (self.held(*asset, signer) < u128::from(*amount), Code::InsufficientBalance),
            ]),
            Operation::Redeem { asset, amount } => first(&[
                (*amount == 0, Code::ZeroAmount),
                (!known(asset), Code::UnknownAsset),
                (self.frozen.contains(&signer), Code::SenderFrozen),
                (self.held(*asset, signer) < u128::from(*amount), Code::InsufficientBalance),
            ]),
            Operation::Freeze { account, .. } => first(&[
                (who != SUPERVISOR, Code::NotAuthority),
                (self.frozen.contains(account), Code::AlreadyFrozen),
            ]),
            Operation::Unfreeze { account, .. } => first(&[
                (who != SUPERVISOR, Code::NotAuthority),
                (!self.frozen.contains(account), Code::NotFrozen),
            ]),
        }
    }

    fn apply(&mut self, signer: ClientKey, operation: &Operation, height: u64) {
        match operation {
            Operation::Issue { asset, to, amount } => {
                *self.held.entry((*asset, *to)).or_default() += u128::from(*amount);
                *self.issued.entry(*asset).or_default() += u128::from(*amount);
            }
            Operation::Transfer { asset, to, amount, .. } => {
                *self.held.entry((*asset, signer)).or_default() -= u128::from(*amount);
                *self.held.entry((*asset, *to)).or_default() += u128::from(*amount);
            }
            Operation::Redeem { asset, amount } => {
                *self.held.entry((*asset, signer)).or_default() -= u128::from(*amount);
                *self.redeemed.entry(*asset).or_default() += u128::from(*amount);
            }
            Operation::Freeze { account, .. } => drop(self.frozen.insert(*account)),
            Operation::Unfreeze { account, .. } => drop(self.frozen.remove(account)),
        }
        let activity = self.activity.entry(signer).or_default();
        *activity = (activity.0 + 1, height);
    }
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 12 => 1..200_u64, 2 => (u64::MAX - 200)..=u64::MAX, 1 => any::<u64>()]
}

fn any_asset() -> impl Strategy<Value = AssetCode> {
    prop_oneof![9 => Just(eur()), 5 => Just(bond()), 1 => Just(asset("XAU"))]
}

fn account() -> impl Strategy<Value = ClientKey> {
    (0..CAST.len()).prop_map(key)
}

/// A signer and what it signs; the right signer more often than chance has it, or hardly anything would be issued.
fn step() -> impl Strategy<Value = (usize, Operation)> {
    let anybody = 0..CAST.len();
    let issue = (any_asset(), account(), amount()).prop_map(|(asset, to, amount)| Operation::Issue {
        asset,
        to,
        amount,
    });
    let transfer = (any_asset(), account(), amount()).prop_map(|(asset, to, amount)| Operation::Transfer {
        asset,
        to,
        amount,
        memo: Bytes::from_static(b"memo"),
    });
    let redeem = (any_asset(), amount()).prop_map(|(asset, amount)| Operation::Redeem { asset, amount });
    let freezes = (account(), any::<bool>()).prop_map(|(account, lift)| match lift {
        false => Operation::Freeze { account, reason: "because".into() },
        true => Operation::Unfreeze { account, reason: "because".into() },
    });
    prop_oneof![
        5 => (prop_oneof![3 => Just(BANK), 2 => Just(TREASURER), 1 => anybody.clone()], issue),
        10 => (anybody.clone(), transfer),
        4 => (anybody.clone(), redeem),
        2 => (prop_oneof![4 => Just(SUPERVISOR), 1 => anybody], freezes),
    ]
}

/// All balances as they stand in the state, by asset.
fn sums(book: &Book) -> BTreeMap<AssetCode, u128> {
    let mut sums = BTreeMap::new();
    for (balance_key, value) in book.state.scan(b"b") {
        let code = asset(std::str::from_utf8(&balance_key[33..]).unwrap());
        let balance: u64 = bft_core::codec::decode(value, 16).unwrap();
        assert_ne!(balance, 0, "an empty balance is stored");
        *sums.entry(code).or_default() += u128::from(balance);
    }
    sums
}

fn check_against(model: &Model, book: &mut Book) {
    let sums = sums(book);
    for asset in [eur(), bond()] {
        let Answer::Supply(supply) = book.ask(Query::Supply { asset }) else { panic!() };
        let sum = sums.get(&asset).copied().unwrap_or(0);
        assert_eq!(sum, supply.issued - supply.redeemed);
        assert_eq!(supply.outstanding().map(u128::from), Some(sum));
        assert_eq!(supply.issued, model.issued.get(&asset).copied().unwrap_or(0));
        assert_eq!(supply.redeemed, model.redeemed.get(&asset).copied().unwrap_or(0));
        for who in 0..CAST.len() {
            assert_eq!(u128::from(book.balance(who, asset)), model.held(asset, key(who)));
        }
    }
    assert!(sums.len() <= 2, "a balance of an asset that does not exist");
    for who in 0..CAST.len() {
        let Answer::Account(account) = book.ask(Query::Account { account: key(who) }) else { panic!() };
        let (operations, height) = model.activity.get(&key(who)).copied().unwrap_or_default();
        assert_eq!(account.activity, Activity { operations, height, time: Timestamp(height * 10) });
        assert_eq!(account.freeze.is_some(), model.frozen.contains(&key(who)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_operation_makes_or_loses_units(steps in proptest::collection::vec(step(), 1..80)) {
        let (mut book, mut model) = (Book::new(), Model::default());
        for (who, operation) in &steps {
            let expected = model.refusal(*who, operation);
            // `run` itself asserts that a refused operation writes nothing.
            let result = book.run(*who, operation);
            prop_assert_eq!(code(&result), expected, "{} by {}", operation, who);
            if result.is_ok() {
                model.apply(key(*who), operation, book.height);
            }
            check_against(&model, &mut book);
        }
        // The same operations once more: the same state, byte for byte.
        let mut again = Book::new();
        for (who, operation) in &steps {
            let _ = again.run(*who, operation);
        }
        prop_assert_eq!(book.pairs(), again.pairs());
    }
}

#[test]
fn outcomes_tell_what_queries_tell() {
    let mut book = Book::new();
    let issued = book.run(BANK, &Operation::Issue { asset: eur(), to: key(CLERK), amount: 100 });
    assert_eq!(issued, Ok(Outcome::Issued { balance: 100, outstanding: 100 }));
    let transferred = book.run(CLERK, &transfer(TREASURER, 30));
    assert_eq!(transferred, Ok(Outcome::Transferred { balance: 70 }));
    let redeemed = book.run(TREASURER, &Operation::Redeem { asset: eur(), amount: 10 });
    assert_eq!(redeemed, Ok(Outcome::Redeemed { balance: 20, outstanding: 90 }));
    assert_eq!((book.balance(CLERK, eur()), book.balance(TREASURER, eur())), (70, 20));
    let activity = Activity { operations: 1, height: 3, time: Timestamp(30) };
    assert_eq!(
        book.ask(Query::Account { account: key(TREASURER) }),
        Answer::Account(Account { freeze: None, activity })
    );
}

#[test]
fn a_transfer_writes_three_keys() {
    let mut book = Book::new();
    book.issue(CLERK, 100);
    book.run(CLERK, &transfer(TREASURER, 1)).unwrap();
    let before: BTreeMap<_, _> = book.pairs().into_iter().collect();
    book.run(CLERK, &transfer(TREASURER, 1)).unwrap();
    let changed = book.pairs().into_iter().filter(|(key, value)| before.get(key) != Some(value)).count();
    assert_eq!((changed, book.pairs().len()), (3, before.len()));
}
