//! The ledger's part of the genesis: a TOML text.
//!
//! ```toml
//! # Organisations that may freeze and unfreeze accounts. Without this field nobody may.
//! freeze_authority = ["supervisor"]
//! # Only these of their clients' keys may. Without this field all may that are enrolled for an authority.
//! freeze_keys = ["8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"]
//!
//! [[asset]]               # At least one.
//! code = "EUR"            # 1 to 12 of A-Z and 0-9.
//! issuer = "north-bank"   # The one organisation that issues it.
//! # Only these of its clients' keys may issue. Without this field all may that are enrolled for it.
//! issuer_keys = ["8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"]
//!
//! [[asset]]
//! code = "BOND2031"
//! issuer = "treasury"
//! ```
//!
//! The names must be those of organisations in the genesis. The ledger is not told which there are, so whoever writes a genesis
//! compares [`Config::organisations`] with them: a misspelt issuer is an asset that nobody can ever issue.

use super::asset::AssetCode;
use super::store::{self, Asset, Terms};
use bft_core::state::State;
use crypto::ClientKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;

/// Assets of one ledger.
pub const MAX_ASSETS: usize = 1024;
/// Freeze authorities; keys in one list.
pub const MAX_NAMED: usize = 64;
/// Bytes of an organisation's name, as in the genesis.
const NAME_BYTES: usize = 64;

const FIELDS: &str =
    "the fields are freeze_authority and freeze_keys, and in each [[asset]] code, issuer and issuer_keys";

/// Why a text is no configuration: where, what, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// What the members agreed on about the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Organisations that may freeze and unfreeze.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze_authority: Vec<String>,
    /// If there are any, then only these of the authorities' keys may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze_keys: Vec<ClientKey>,
    /// What can be issued.
    #[serde(rename = "asset")]
    pub assets: Vec<AssetConfig>,
}

/// One asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssetConfig {
    /// Its code.
    pub code: AssetCode,
    /// The organisation that issues it.
    pub issuer: String,
    /// If there are any, then only these of the issuer's keys may issue.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuer_keys: Vec<ClientKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    freeze_authority: Option<Spanned<Vec<Spanned<String>>>>,
    freeze_keys: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    asset: Vec<RawAsset>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsset {
    code: Spanned<String>,
    issuer: Spanned<String>,
    issuer_keys: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Config {
    /// Reads the text.
    ///
    /// # Errors
    /// A sentence that names line and field, and says what to write instead.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        Parser { text }.config()
    }

    /// The text that [`Config::parse`] reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain tables, lists and strings")
    }

    /// Every organisation named, for whoever knows which there are.
    pub fn organisations(&self) -> BTreeSet<&str> {
        let issuers = self.assets.iter().map(|asset| asset.issuer.as_str());
        issuers.chain(self.freeze_authority.iter().map(String::as_str)).collect()
    }

    /// Writes the terms and the assets.
    pub(super) fn write(self, state: &mut State) {
        let assets: BTreeMap<AssetCode, Asset> = self
            .assets
            .into_iter()
            .map(|asset| (asset.code, Asset { issuer: asset.issuer, issuer_keys: asset.issuer_keys }))
            .collect();
        let terms = Terms {
            assets: assets.keys().copied().collect(),
            freeze_authority: self.freeze_authority,
            freeze_keys: self.freeze_keys,
        };
        store::put_terms(state, &terms);
        for (code, asset) in &assets {
            store::put_asset(state, *code, asset);
        }
    }
}

struct Parser<'a> {
    text: &'a str,
}

impl Parser<'_> {
    fn config(&self) -> Result<Config, ConfigError> {
        let raw: Raw = toml::from_str(self.text).map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| format!("line {}: ", self.line(&span)));
            ConfigError(format!("{place}{}; {FIELDS}", error.message().trim_end()))
        })?;
        let freeze_authority = raw.freeze_authority.map_or(Ok(vec![]), |names| self.authorities(&names))?;
        let freeze_keys = match &raw.freeze_keys {
            Some(keys) if freeze_authority.is_empty() => {
                let problem =
                    "there are keys but no freeze_authority that they belong to; name the organisation there";
                return Err(self.error(&keys.span(), "freeze_keys", problem));
            }
            Some(keys) => self.keys("freeze_keys", keys)?,
            None => vec![],
        };
        let assets = self.assets(&raw.asset)?;
        Ok(Config { freeze_authority, freeze_keys, assets })
    }

    fn assets(&self, raw: &[RawAsset]) -> Result<Vec<AssetConfig>, ConfigError> {
        if raw.is_empty() {
            return Err(ConfigError(
                "asset: there is none; add an [[asset]] with code = \"EUR\" and issuer = \"<an organisation>\", for example".into(),
            ));
        }
        if raw.len() > MAX_ASSETS {
            return Err(ConfigError(format!(
                "asset: there are {}; at most {MAX_ASSETS} are possible",
                raw.len()
            )));
        }
        let mut first_lines = BTreeMap::new();
        let mut assets = Vec::with_capacity(raw.len());
        for asset in raw {
            let span = asset.code.span();
            let bad = |error: super::asset::BadAssetCode| self.error(&span, "asset.code", &error.to_string());
            let code: AssetCode = asset.code.get_ref().parse().map_err(bad)?;
            if let Some(line) = first_lines.insert(code, self.line(&span)) {
                let problem = format!(
                    "{code} is defined in line {line} already; an asset has one issuer, remove one of the two"
                );
                return Err(self.error(&span, "asset.code", &problem));
            }
            let issuer = self.organisation("asset.issuer", &asset.issuer)?;
            let issuer_keys =
                asset.issuer_keys.as_ref().map_or(Ok(vec![]), |keys| self.keys("asset.issuer_keys", keys))?;
            assets.push(AssetConfig { code, issuer, issuer_keys });
        }
        Ok(assets)
    }

    fn authorities(&self, names: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<String>, ConfigError> {
        let field = "freeze_authority";
        self.bounded(field, names, "to let nobody freeze")?;
        self.each(field, names, |name| self.organisation(field, name))
    }

    fn keys(&self, field: &str, keys: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<ClientKey>, ConfigError> {
        self.bounded(field, keys, "to allow every key that is enrolled for the organisation")?;
        self.each(field, keys, |text| {
            let bad = |why: String| {
                let problem = format!(
                    "{:?} is not a client's public key: {why}; write its 64 hexadecimal digits",
                    text.get_ref()
                );
                self.error(&text.span(), field, &problem)
            };
            let key: ClientKey =
                text.get_ref().parse().map_err(|error: crypto::HexError| bad(error.to_string()))?;
            key.validate().map_err(|error| bad(error.to_string()))?;
            Ok(key)
        })
    }

    fn organisation(&self, field: &str, name: &Spanned<String>) -> Result<String, ConfigError> {
        let length = name.get_ref().len();
        if (1..=NAME_BYTES).contains(&length) {
            return Ok(name.get_ref().clone());
        }
        let problem = format!("the name has {length} bytes; organisations have names of 1 to {NAME_BYTES}");
        Err(self.error(&name.span(), field, &problem))
    }

    /// Refuses an empty list, which would read as "none" and mean "all", and a very long one.
    fn bounded(
        &self,
        field: &str,
        list: &Spanned<Vec<Spanned<String>>>,
        leave_out: &str,
    ) -> Result<(), ConfigError> {
        match list.get_ref().len() {
            0 => Err(self.error(
                &list.span(),
                field,
                &format!("the list is empty; leave the field out {leave_out}"),
            )),
            1..=MAX_NAMED => Ok(()),
            n => Err(self.error(
                &list.span(),
                field,
                &format!("the list has {n} entries; at most {MAX_NAMED} are possible"),
            )),
        }
    }

    /// Reads the entries of a list, none of which may come twice.
    fn each<T: PartialEq>(
        &self,
        field: &str,
        list: &Spanned<Vec<Spanned<String>>>,
        read: impl Fn(&Spanned<String>) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let mut values = Vec::with_capacity(list.get_ref().len());
        for entry in list.get_ref() {
            let value = read(entry)?;
            if values.contains(&value) {
                let problem = format!("{:?} is listed twice; remove one of the two", entry.get_ref());
                return Err(self.error(&entry.span(), field, &problem));
            }
            values.push(value);
        }
        Ok(values)
    }

    fn error(&self, span: &Range<usize>, field: &str, problem: &str) -> ConfigError {
        ConfigError(format!("line {}, {field}: {problem}", self.line(span)))
    }

    /// From 1.
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}
