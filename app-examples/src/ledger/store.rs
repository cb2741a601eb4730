//! Where the ledger keeps what: keys, records, and typed reading and writing.
//!
//! | Key | Record |
//! |---|---|
//! | `t` | [`Terms`] |
//! | `a` asset code | [`Asset`] |
//! | `s` asset code | [`Supply`]; absent: nothing was issued |
//! | `b` owner's key (32 bytes), asset code | the balance, a `u64`; absent: 0 |
//! | `f` owner's key | [`Freeze`]; absent: not frozen |
//! | `o` signer's key | [`Activity`]; absent: never did anything |
//!
//! One state has one set of keys: nothing that an absent key says is stored.

use super::asset::AssetCode;
use super::refusal::Refused;
use bft_core::codec;
use bft_core::state::{State, View};
use bft_core::types::{Height, Timestamp};
use bytes::Bytes;
use crypto::ClientKey;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Bytes of the longest record: the terms of a ledger with as many of everything as the configuration allows.
const RECORD_BYTES: usize = 1 << 16;

/// What holds for the whole ledger. Set by the genesis for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Every asset, ascending.
    pub assets: Vec<AssetCode>,
    /// The organisations that may freeze and unfreeze.
    pub freeze_authority: Vec<String>,
    /// If there are any, then only these of the authorities' keys may.
    pub freeze_keys: Vec<ClientKey>,
}

/// What holds for an asset. Set by the genesis for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// The organisation that issues it.
    pub issuer: String,
    /// If there are any, then only these of the issuer's keys may issue.
    pub issuer_keys: Vec<ClientKey>,
}

/// How much there is of an asset. Invariant: `redeemed <= issued`, and no more than `u64::MAX` apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// Units ever issued.
    pub issued: u128,
    /// Units ever redeemed.
    pub redeemed: u128,
}

impl Supply {
    /// The sum of all balances, if the invariant holds.
    pub fn outstanding(&self) -> Option<u64> {
        self.issued.checked_sub(self.redeemed)?.try_into().ok()
    }
}

/// Why and since when an account is frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The authority.
    pub organisation: String,
    /// In its words.
    pub reason: String,
    /// Since this block.
    pub height: Height,
    /// The ledger's time then.
    pub time: Timestamp,
}

/// What a key has done: every executed operation counts for the one who signed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Operations executed.
    pub operations: u64,
    /// Block of the last one; 0 if there is none.
    pub height: Height,
    /// The ledger's time of the last one.
    pub time: Timestamp,
}

/// Something that values are read from.
pub trait Source {
    /// The application's value under `key`.
    fn value(&mut self, key: &[u8]) -> Option<Bytes>;
}

impl Source for State {
    fn value(&mut self, key: &[u8]) -> Option<Bytes> {
        self.get(key)
    }
}

impl Source for View<'_> {
    fn value(&mut self, key: &[u8]) -> Option<Bytes> {
        self.get(key)
    }
}

const TERMS_KEY: &[u8] = b"t";

fn asset_key(asset: AssetCode) -> Vec<u8> {
    [b"a", asset.as_str().as_bytes()].concat()
}

fn supply_key(asset: AssetCode) -> Vec<u8> {
    [b"s", asset.as_str().as_bytes()].concat()
}

fn balance_key(owner: &ClientKey, asset: AssetCode) -> Vec<u8> {
    [b"b", owner.0.as_slice(), asset.as_str().as_bytes()].concat()
}

fn freeze_key(account: &ClientKey) -> Vec<u8> {
    [b"f", account.0.as_slice()].concat()
}

fn activity_key(signer: &ClientKey) -> Vec<u8> {
    [b"o", signer.0.as_slice()].concat()
}

fn read<T: Serialize + DeserializeOwned>(
    from: &mut impl Source,
    key: &[u8],
    record: &'static str,
) -> Result<Option<T>, Refused> {
    // A value that does not decode is refused, not asserted: a panic here would stop every replica at the same transaction.
    from.value(key)
        .map(|value| codec::decode(&value, RECORD_BYTES).map_err(|_| Refused::Unreadable { record }))
        .transpose()
}

pub(super) fn terms(from: &mut impl Source) -> Result<Terms, Refused> {
    Ok(read(from, TERMS_KEY, "its terms")?.unwrap_or_default())
}

pub(super) fn asset(from: &mut impl Source, asset: AssetCode) -> Result<Asset, Refused> {
    read(from, &asset_key(asset), "an asset")?.ok_or(Refused::UnknownAsset { asset })
}

/// As [`asset`], without reading the record: on the way of every transfer.
pub(super) fn known_asset(from: &mut impl Source, asset: AssetCode) -> Result<(), Refused> {
    from.value(&asset_key(asset)).map(drop).ok_or(Refused::UnknownAsset { asset })
}

pub(super) fn supply(from: &mut impl Source, asset: AssetCode) -> Result<Supply, Refused> {
    Ok(read(from, &supply_key(asset), "a supply")?.unwrap_or_default())
}

pub(super) fn balance(from: &mut impl Source, owner: &ClientKey, asset: AssetCode) -> Result<u64, Refused> {
    Ok(read(from, &balance_key(owner, asset), "a balance")?.unwrap_or_default())
}

pub(super) fn freeze(from: &mut impl Source, account: &ClientKey) -> Result<Option<Freeze>, Refused> {
    read(from, &freeze_key(account), "a freeze")
}

pub(super) fn activity(from: &mut impl Source, signer: &ClientKey) -> Result<Activity, Refused> {
    Ok(read(from, &activity_key(signer), "a key's activity")?.unwrap_or_default())
}

pub(super) fn put_terms(state: &mut State, terms: &Terms) {
    state.put(TERMS_KEY, codec::encode(terms));
}

pub(super) fn put_asset(state: &mut State, code: AssetCode, asset: &Asset) {
    state.put(&asset_key(code), codec::encode(asset));
}

pub(super) fn put_supply(state: &mut State, asset: AssetCode, supply: &Supply) {
    state.put(&supply_key(asset), codec::encode(supply));
}

pub(super) fn put_balance(state: &mut State, owner: &ClientKey, asset: AssetCode, balance: u64) {
    let key = balance_key(owner, asset);
    if balance == 0 {
        state.delete(&key);
    } else {
        state.put(&key, codec::encode(&balance));
    }
}

pub(super) fn put_freeze(state: &mut State, account: &ClientKey, freeze: Option<&Freeze>) {
    let key = freeze_key(account);
    match freeze {
        Some(freeze) => state.put(&key, codec::encode(freeze)),
        None => state.delete(&key),
    }
}

pub(super) fn put_activity(state: &mut State, signer: &ClientKey, activity: &Activity) {
    state.put(&activity_key(signer), codec::encode(activity));
}
