//! The genesis's text: what it may say, and what a mistake is answered with.

use crate::harness::{SUPERVISOR, TREASURER, bond, config, eur, key};
use app_examples::ledger::{AssetConfig, Config};

#[test]
fn a_configuration_reads_and_writes_back() {
    let expected = Config {
        freeze_authority: vec!["supervisor".into()],
        freeze_keys: vec![key(SUPERVISOR)],
        assets: vec![
            AssetConfig { code: eur(), issuer: "north-bank".into(), issuer_keys: vec![] },
            AssetConfig { code: bond(), issuer: "treasury".into(), issuer_keys: vec![key(TREASURER)] },
        ],
    };
    assert_eq!(Config::parse(&config()), Ok(expected.clone()));
    assert_eq!(Config::parse(&expected.to_toml()), Ok(expected.clone()));
    assert_eq!(
        expected.organisations().into_iter().collect::<Vec<_>>(),
        ["north-bank", "supervisor", "treasury"]
    );
}

#[test]
fn the_documented_example_is_one() {
    let source = include_str!("../../src/ledger/config.rs");
    let example: String = source
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").trim_start().to_owned() + "\n")
        .collect();
    let config = Config::parse(&example).unwrap();
    assert_eq!((config.assets.len(), config.freeze_keys.len()), (2, 1));
}

#[test]
fn mistakes_are_answered_with_line_field_and_remedy() {
    let asset = "[[asset]]\ncode = 'EUR'\nissuer = 'north-bank'\n";
    let key = key(TREASURER);
    let cases = [
        ("".to_owned(), "asset: there is none; add an [[asset]]"),
        (
            "\n[[asset]]\ncode = 'eur'\nissuer = 'a'".to_owned(),
            "line 3, asset.code: \"eur\" is not an asset code; write 1 to 12 of the characters A-Z and 0-9",
        ),
        (
            format!("{asset}{asset}"),
            "line 5, asset.code: EUR is defined in line 2 already; an asset has one issuer, remove one of the two",
        ),
        (
            "[[asset]]\ncode = 'EUR'\nissuer = ''".to_owned(),
            "line 3, asset.issuer: the name has 0 bytes; organisations have names of 1 to 64",
        ),
        (
            format!("{asset}issuer_keys = []"),
            "line 4, asset.issuer_keys: the list is empty; leave the field out to allow every key",
        ),
        (format!("{asset}issuer_keys = ['{key}',\n'{key}']"), "is listed twice; remove one of the two"),
        (
            format!("{asset}issuer_keys = [\n'abc']"),
            "line 5, asset.issuer_keys: \"abc\" is not a client's public key: 3 characters, where 64 hexadecimal digits are needed; write its 64 hexadecimal digits",
        ),
        (
            format!("{asset}issuer_keys = ['{}']", "00".repeat(32)),
            "is not a client's public key: the key is not a canonical point of prime order",
        ),
        (format!("freeze_authority = []\n{asset}"), "line 1, freeze_authority: the list is empty"),
        (
            format!("freeze_authority = ['a', 'a']\n{asset}"),
            "line 1, freeze_authority: \"a\" is listed twice",
        ),
        (
            format!("freeze_keys = ['{key}']\n{asset}"),
            "line 1, freeze_keys: there are keys but no freeze_authority",
        ),
        (
            format!(
                "freeze_authority = [{}]\n{asset}",
                (0..65).map(|n| format!("'{n}',")).collect::<String>()
            ),
            "line 1, freeze_authority: the list has 65 entries; at most 64 are possible",
        ),
        (
            (0..1025).map(|n| format!("[[asset]]\ncode = 'A{n}'\nissuer = 'a'\n")).collect(),
            "asset: there are 1025; at most 1024 are possible",
        ),
        (format!("{asset}decimals = 2"), "line 4: unknown field `decimals`"),
        ("[[asset]]\ncode = 'EUR'".to_owned(), "missing field `issuer`"),
        (format!("{asset}code = 1"), "line 4: duplicate key"),
        ("freeze_authority = 'supervisor'".to_owned(), "line 1: invalid type"),
    ];
    for (text, expected) in cases {
        let sentence = Config::parse(&text).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}\nlacks\n{expected}");
        assert!(sentence.contains(';'), "{sentence}\nlacks a remedy");
    }
}

#[test]
fn the_largest_configuration_can_be_read_back_from_the_state() {
    use app_examples::ledger::{Answer, Ledger, Query, answer};
    use bft_core::machine::StateMachine;
    let name = |n: u32| format!("{n:064}");
    let keys = |from: u8| -> Vec<_> {
        (0..64).map(|n| crypto::ClientSecret::from_seed([from + n; 32]).public()).collect()
    };
    let config = Config {
        freeze_authority: (0..64).map(name).collect(),
        freeze_keys: keys(0),
        assets: (0..1024)
            .map(|n| {
                let issuer_keys = if n == 0 { keys(100) } else { vec![] };
                AssetConfig { code: format!("ASSET{n:07}").parse().unwrap(), issuer: name(n), issuer_keys }
            })
            .collect(),
    };
    let mut state = bft_core::state::State::default();
    Ledger.genesis(&config.to_toml(), &mut state).unwrap();
    let Ok(Answer::Terms(terms)) = answer(&Query::Terms, &mut state) else { panic!() };
    assert_eq!(Answer::decode(&Answer::Terms(terms.clone()).encode()), Ok(Answer::Terms(terms)));
    let Ok(Answer::Asset(asset)) = answer(&Query::Asset { asset: config.assets[0].code }, &mut state) else {
        panic!()
    };
    assert_eq!(asset.issuer_keys.len(), 64);
}
