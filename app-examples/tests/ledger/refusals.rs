//! Every refusal: its number, and the sentence, which is part of the receipt and so of the format.

use crate::harness::{
    BANK, Book, CLERK, INSPECTOR, SHOP, SUPERVISOR, TREASURER, asset, bond, eur, freeze, key, transfer,
    unfreeze,
};
use app_examples::ledger::{Answer, Code, Ledger, Operation, Query, Refused, answer, code_name};
use bft_core::codec;
use bft_core::machine::StateMachine;
use bytes::Bytes;
use std::collections::BTreeSet;

struct Case {
    /// What happened before.
    before: fn(&mut Book),
    signer: usize,
    operation: Operation,
    code: Code,
    sentence: String,
}

fn issue(code: &str, to: usize, amount: u64) -> Operation {
    Operation::Issue { asset: asset(code), to: key(to), amount }
}

fn nothing(_: &mut Book) {}

fn case(
    before: fn(&mut Book),
    signer: usize,
    operation: Operation,
    code: Code,
    sentence: impl Into<String>,
) -> Case {
    Case { before, signer, operation, code, sentence: sentence.into() }
}

fn form() -> Vec<Case> {
    let long_memo =
        Operation::Transfer { asset: eur(), to: key(SHOP), amount: 1, memo: vec![b'm'; 513].into() };
    let long_reason = Operation::Freeze { account: key(SHOP), reason: "r".repeat(300) };
    let zero = "the amount is 0; it must be at least 1";
    vec![
        case(nothing, BANK, issue("EUR", SHOP, 0), Code::ZeroAmount, zero),
        case(nothing, SHOP, transfer(BANK, 0), Code::ZeroAmount, zero),
        case(nothing, SHOP, Operation::Redeem { asset: eur(), amount: 0 }, Code::ZeroAmount, zero),
        case(nothing, SHOP, long_memo, Code::TextTooLong, "the memo has 513 bytes; at most 512 are possible"),
        case(
            nothing,
            SUPERVISOR,
            long_reason,
            Code::TextTooLong,
            "the reason has 300 bytes; at most 256 are possible",
        ),
        case(
            nothing,
            SUPERVISOR,
            Operation::Unfreeze { account: key(SHOP), reason: "r".repeat(1100) },
            Code::Malformed,
            "the bytes are not an operation of the ledger: they must be its one encoding, of at most 1024 bytes, made by this release",
        ),
    ]
}

fn rights() -> Vec<Case> {
    vec![
        case(
            nothing,
            TREASURER,
            issue("EUR", SHOP, 5),
            Code::NotIssuer,
            "EUR is issued by \"north-bank\" only; this client is enrolled for \"treasury\"",
        ),
        case(
            nothing,
            CLERK,
            issue("BOND2031", SHOP, 5),
            Code::NotIssuer,
            "this client of \"treasury\" may not issue BOND2031: its key is not among those that the genesis names for it (1 in all)",
        ),
        case(
            nothing,
            BANK,
            freeze(SHOP),
            Code::NotAuthority,
            "\"north-bank\", which this client is enrolled for, is no freeze authority of this ledger (1 in all)",
        ),
        case(
            nothing,
            INSPECTOR,
            freeze(SHOP),
            Code::NotAuthority,
            "this client of \"supervisor\" may not freeze: its key is not among those that the genesis names for it (1 in all)",
        ),
        case(
            |book| book.freeze(INSPECTOR),
            INSPECTOR,
            unfreeze(INSPECTOR),
            Code::NotAuthority,
            "this client of \"supervisor\" may not freeze: its key is not among those that the genesis names for it (1 in all)",
        ),
    ]
}

fn numbers() -> Vec<Case> {
    let unknown = "XAU is not an asset of this ledger; the genesis lists the assets there are";
    let gold = asset("XAU");
    let move_gold = Operation::Transfer { asset: gold, to: key(SHOP), amount: 1, memo: Bytes::new() };
    vec![
        case(nothing, BANK, issue("XAU", SHOP, 1), Code::UnknownAsset, unknown),
        case(nothing, BANK, move_gold, Code::UnknownAsset, unknown),
        case(nothing, BANK, Operation::Redeem { asset: gold, amount: 1 }, Code::UnknownAsset, unknown),
        case(
            |book| book.issue(SHOP, u64::MAX - 2),
            BANK,
            issue("EUR", CLERK, 3),
            Code::SupplyOverflow,
            "18446744073709551613 EUR are outstanding; 3 more would exceed 18446744073709551615, the most there can be",
        ),
        case(
            |book| book.issue(SHOP, 9),
            SHOP,
            transfer(SHOP, 4),
            Code::SelfTransfer,
            format!("sender and receiver are both {}; a transfer needs two accounts", key(SHOP)),
        ),
        case(
            |book| book.issue(SHOP, 40),
            SHOP,
            transfer(BANK, 70),
            Code::InsufficientBalance,
            "the account holds 40 EUR, 30 less than 70",
        ),
        case(
            nothing,
            SHOP,
            Operation::Redeem { asset: bond(), amount: u64::MAX },
            Code::InsufficientBalance,
            "the account holds 0 BOND2031, 18446744073709551615 less than 18446744073709551615",
        ),
    ]
}

fn freezes() -> Vec<Case> {
    let shop = key(SHOP);
    let frozen_shop: fn(&mut Book) = |book| {
        book.issue(SHOP, 40);
        book.freeze(SHOP);
    };
    let gives = format!(
        "the account {shop} was frozen by \"supervisor\" at height 2 and cannot give; a freeze authority can lift that"
    );
    let receives = gives.replace("give;", "receive;");
    vec![
        case(frozen_shop, SHOP, transfer(BANK, 1), Code::SenderFrozen, &gives),
        case(frozen_shop, SHOP, Operation::Redeem { asset: eur(), amount: 1 }, Code::SenderFrozen, gives),
        case(frozen_shop, BANK, transfer(SHOP, 1), Code::ReceiverFrozen, &receives),
        case(frozen_shop, BANK, issue("EUR", SHOP, 1), Code::ReceiverFrozen, receives),
        case(
            frozen_shop,
            SUPERVISOR,
            freeze(SHOP),
            Code::AlreadyFrozen,
            format!("the account {shop} was frozen by \"supervisor\" at height 2 already"),
        ),
        case(
            nothing,
            SUPERVISOR,
            unfreeze(SHOP),
            Code::NotFrozen,
            format!("the account {shop} is not frozen"),
        ),
    ]
}

/// Records that this release never writes.
fn damage() -> Vec<Case> {
    let unreadable = |what| {
        format!("the ledger's record of {what} cannot be read: another version of the application wrote it")
    };
    let contradiction = "the balances and the supply of EUR contradict each other: another version of the application wrote them";
    fn balance_key(who: usize) -> Vec<u8> {
        [b"b", key(who).0.as_slice(), b"EUR"].concat()
    }
    let redeem = Operation::Redeem { asset: eur(), amount: 1 };
    vec![
        case(
            |book| book.state.put(b"aEUR", "?"),
            BANK,
            issue("EUR", SHOP, 1),
            Code::Damaged,
            unreadable("an asset"),
        ),
        case(
            |book| book.state.put(b"sEUR", "?"),
            BANK,
            issue("EUR", SHOP, 1),
            Code::Damaged,
            unreadable("a supply"),
        ),
        case(
            |book| book.state.put(b"t", "?"),
            SUPERVISOR,
            freeze(SHOP),
            Code::Damaged,
            unreadable("its terms"),
        ),
        case(
            |book| book.state.put(&balance_key(SHOP), ""),
            SHOP,
            transfer(BANK, 1),
            Code::Damaged,
            unreadable("a balance"),
        ),
        case(
            |book| book.state.put(&[b"f", key(SHOP).0.as_slice()].concat(), "?"),
            SHOP,
            transfer(BANK, 1),
            Code::Damaged,
            unreadable("a freeze"),
        ),
        case(
            |book| {
                book.issue(SHOP, 1);
                book.state.put(&[b"o", key(SHOP).0.as_slice()].concat(), "?");
            },
            SHOP,
            transfer(BANK, 1),
            Code::Damaged,
            unreadable("a key's activity"),
        ),
        // More in accounts than was ever issued.
        case(
            |book| book.state.put(&balance_key(SHOP), codec::encode(&7_u64)),
            SHOP,
            redeem,
            Code::Damaged,
            contradiction,
        ),
        case(
            |book| {
                book.issue(SHOP, 1);
                book.state.put(&balance_key(BANK), codec::encode(&u64::MAX));
            },
            SHOP,
            transfer(BANK, 1),
            Code::Damaged,
            contradiction,
        ),
    ]
}

#[test]
fn every_refusal_has_its_code_and_its_sentence() {
    let mut seen = BTreeSet::new();
    for case in [form(), rights(), numbers(), freezes(), damage()].into_iter().flatten() {
        let mut book = Book::new();
        (case.before)(&mut book);
        let refusal = book.run(case.signer, &case.operation).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.sentence),
            (case.code.number(), case.sentence),
            "{}",
            case.operation
        );
        seen.insert(case.code);
    }
    assert_eq!(seen, BTreeSet::from(Code::ALL), "a code without a case");
}

#[test]
fn queries_refuse_with_the_same_codes() {
    let mut book = Book::new();
    let gold = asset("XAU");
    for query in [
        Query::Balance { asset: gold, account: key(SHOP) },
        Query::Supply { asset: gold },
        Query::Asset { asset: gold },
    ] {
        assert_eq!(answer(&query, &mut book.state), Err(Refused::UnknownAsset { asset: gold }));
    }
    book.state.put(b"t", "?");
    assert_eq!(answer(&Query::Terms, &mut book.state), Err(Refused::Unreadable { record: "its terms" }));
    assert_eq!(
        Query::decode(b"?").unwrap_err().to_string(),
        "the bytes are not a query of the ledger: they must be its one encoding, of at most 64 bytes, made by this release"
    );
}

#[test]
fn codes_are_numbered_without_gaps_and_named_apart() {
    let numbers: Vec<u32> = Code::ALL.into_iter().map(Code::number).collect();
    assert_eq!(numbers, (100..114).collect::<Vec<u32>>());
    let names: BTreeSet<&str> = Code::ALL.into_iter().map(Code::name).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert_eq!((code_name(107), code_name(99), code_name(114)), (Some("insufficient balance"), None, None));
}

#[test]
fn an_empty_body_is_malformed() {
    assert_eq!(Ledger.check(b"").unwrap_err().code, Code::Malformed.number());
}

#[test]
fn a_frozen_account_stands_still_until_the_freeze_is_lifted() {
    let mut book = Book::new();
    book.issue(SHOP, 40);
    book.issue(CLERK, 40);
    book.freeze(SHOP);
    for (signer, operation) in [
        (SHOP, transfer(CLERK, 1)),
        (CLERK, transfer(SHOP, 1)),
        (SHOP, Operation::Redeem { asset: eur(), amount: 1 }),
        (BANK, issue("EUR", SHOP, 1)),
        (TREASURER, issue("BOND2031", SHOP, 1)),
    ] {
        assert!(book.run(signer, &operation).is_err(), "{operation}");
    }
    assert_eq!((book.balance(SHOP, eur()), book.balance(SHOP, bond())), (40, 0));
    let Answer::Account(account) = book.ask(Query::Account { account: key(SHOP) }) else { panic!() };
    let freeze = account.freeze.unwrap();
    assert_eq!(
        (freeze.organisation.as_str(), freeze.reason.as_str(), freeze.height),
        ("supervisor", "court order 12", 3)
    );

    book.run(SUPERVISOR, &unfreeze(SHOP)).unwrap();
    book.run(SHOP, &transfer(CLERK, 1)).unwrap();
    assert_eq!((book.balance(SHOP, eur()), book.balance(CLERK, eur())), (39, 41));
}

#[test]
fn a_freeze_stops_balances_and_not_rights() {
    let mut book = Book::new();
    book.freeze(BANK);
    book.freeze(SUPERVISOR);
    book.issue(SHOP, 1);
    book.run(SUPERVISOR, &unfreeze(SUPERVISOR)).unwrap();
}
