//! Bytes that are kept for ever: in logs, receipts and states. A failure here means an incompatible release.

use crate::harness::{BANK, Book, CLERK, SHOP, SUPERVISOR, eur, freeze, key, transfer};
use app_examples::ledger::{
    Account, Activity, Answer, Asset, Freeze, Operation, Outcome, Query, Supply, Terms, describe,
};
use bft_core::types::Timestamp;
use bytes::Bytes;
use crypto::ClientKey;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Spaces in the expectation are for the reader.
fn assert_golden(bytes: &[u8], expected: &str) {
    assert_eq!(hex(bytes), expected.replace(' ', ""));
}

const TO: ClientKey = ClientKey([0x11; 32]);

fn to() -> String {
    "11".repeat(32)
}

#[test]
fn operations() {
    let (asset, amount) = (eur(), 300);
    let memo = Bytes::from_static(b"rent");
    let cases = [
        (Operation::Issue { asset, to: TO, amount }, format!("01 00 03455552 {} ac02", to())),
        (
            Operation::Transfer { asset, to: TO, amount, memo },
            format!("01 01 03455552 {} ac02 0472656e74", to()),
        ),
        (Operation::Redeem { asset, amount }, "01 02 03455552 ac02".to_owned()),
        (Operation::Freeze { account: TO, reason: "fraud".into() }, format!("01 03 {} 056672617564", to())),
        (Operation::Unfreeze { account: TO, reason: String::new() }, format!("01 04 {} 00", to())),
    ];
    for (operation, expected) in cases {
        assert_golden(&operation.encode(), &expected);
        assert_eq!(Operation::decode(&operation.encode()), Ok(operation));
    }
}

#[test]
fn outcomes() {
    let cases = [
        (Outcome::Issued { balance: 300, outstanding: 301 }, "01 00 ac02 ad02"),
        (Outcome::Transferred { balance: 0 }, "01 01 00"),
        (Outcome::Redeemed { balance: 1, outstanding: u64::MAX }, "01 02 01 ffffffffffffffffff01"),
        (Outcome::Frozen, "01 03"),
        (Outcome::Unfrozen, "01 04"),
    ];
    for (outcome, expected) in cases {
        assert_golden(&outcome.encode(), expected);
        assert_eq!(Outcome::decode(&outcome.encode()), Ok(outcome));
    }
}

#[test]
fn queries() {
    let cases = [
        (Query::Balance { asset: eur(), account: TO }, format!("01 00 03455552 {}", to())),
        (Query::Account { account: TO }, format!("01 01 {}", to())),
        (Query::Supply { asset: eur() }, "01 02 03455552".to_owned()),
        (Query::Asset { asset: eur() }, "01 03 03455552".to_owned()),
        (Query::Terms, "01 04".to_owned()),
    ];
    for (query, expected) in cases {
        assert_golden(&query.encode(), &expected);
        assert_eq!(Query::decode(&query.encode()), Ok(query));
    }
}

#[test]
fn answers() {
    let activity = Activity { operations: 2, height: 3, time: Timestamp(300) };
    let freeze = Freeze { organisation: "s".into(), reason: "r".into(), height: 4, time: Timestamp(5) };
    let terms = Terms { assets: vec![eur()], freeze_authority: vec!["s".into()], freeze_keys: vec![TO] };
    let cases = [
        (Answer::Balance(300), "01 00 ac02".to_owned()),
        (Answer::Account(Account { freeze: None, activity }), "01 01 00 02 03 ac02".to_owned()),
        (
            Answer::Account(Account { freeze: Some(freeze), activity }),
            "01 01 01 0173 0172 04 05 02 03 ac02".to_owned(),
        ),
        (Answer::Supply(Supply { issued: 300, redeemed: 1 }), "01 02 ac02 01".to_owned()),
        (
            Answer::Asset(Asset { issuer: "n".into(), issuer_keys: vec![TO] }),
            format!("01 03 016e 01 {}", to()),
        ),
        (Answer::Terms(terms), format!("01 04 01 03455552 01 0173 01 {}", to())),
    ];
    for (answer, expected) in cases {
        assert_golden(&answer.encode(), &expected);
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
}

#[test]
fn the_state() {
    let mut book = Book::new();
    book.issue(SHOP, 300);
    book.run(SHOP, &transfer(CLERK, 100)).unwrap();
    book.run(CLERK, &transfer(SHOP, 100)).unwrap();
    book.run(SUPERVISOR, &freeze(CLERK)).unwrap();
    let hex_of = |who: usize| hex(&key(who).0);
    let name = |text: &str| format!("{:02x}{}", text.len(), hex(text.as_bytes()));
    let (eur, bond) = (hex(b"EUR"), hex(b"BOND2031"));
    let mut expected = vec![
        (format!("61{bond}"), format!("01 {} 01 {}", name("treasury"), hex_of(crate::harness::TREASURER))),
        (format!("61{eur}"), format!("01 {} 00", name("north-bank"))),
        // The clerk's account is empty again, and so is its balance's place.
        (format!("62{}{eur}", hex_of(SHOP)), "01 ac02".to_owned()),
        (
            format!("66{}", hex_of(CLERK)),
            format!("01 {} {} 04 28", name("supervisor"), name("court order 12")),
        ),
        (format!("6f{}", hex_of(BANK)), "01 01 01 0a".to_owned()),
        (format!("6f{}", hex_of(SHOP)), "01 01 02 14".to_owned()),
        (format!("6f{}", hex_of(CLERK)), "01 01 03 1e".to_owned()),
        (format!("6f{}", hex_of(SUPERVISOR)), "01 01 04 28".to_owned()),
        (format!("73{eur}"), "01 ac02 00".to_owned()),
        (
            "74".to_owned(),
            format!(
                "01 02 {} {} 01 {} 01 {}",
                name("BOND2031"),
                name("EUR"),
                name("supervisor"),
                hex_of(SUPERVISOR)
            ),
        ),
    ];
    expected.sort();
    let found: Vec<_> = book.pairs().into_iter().map(|(key, value)| (hex(&key), hex(&value))).collect();
    let expected: Vec<_> = expected.into_iter().map(|(key, value)| (key, value.replace(' ', ""))).collect();
    assert_eq!(found, expected);
}

#[test]
fn descriptions_are_for_people() {
    let to = to();
    let pay = |memo: &'static [u8]| {
        describe(
            &Operation::Transfer { asset: eur(), to: TO, amount: 70, memo: Bytes::from_static(memo) }
                .encode(),
        )
    };
    assert_eq!(pay(b""), format!("transfer 70 EUR to {to}"));
    assert_eq!(pay("M\u{e4}rz".as_bytes()), format!("transfer 70 EUR to {to}, memo \"M\u{e4}rz\""));
    // A terminal does not get to see escape sequences.
    assert_eq!(pay(b"\x1b[2J"), format!("transfer 70 EUR to {to}, memo \"\\u{{1b}}[2J\""));
    assert_eq!(pay(b"\xff"), format!("transfer 70 EUR to {to}, memo \"\\xff\""));
    assert_eq!(describe(&freeze(SHOP).encode()), format!("freeze {}, reason \"court order 12\"", key(SHOP)));
    assert_eq!(describe(b"??"), "2 bytes that are not an operation of the ledger");
    assert_eq!(Outcome::Transferred { balance: 7 }.to_string(), "transferred; the sender holds 7");
}
