//! The code that names an asset.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Characters of the longest code.
pub const ASSET_CODE_LENGTH: usize = 12;

/// Names an asset: 1 to 12 upper-case ASCII letters and digits.
///
/// Encoded as a string. What decodes is valid: a bad code never gets as far as the rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssetCode {
    /// Invariant: `A-Z` and `0-9`, then zeros; at least one character.
    characters: [u8; ASSET_CODE_LENGTH],
}

/// Why a text is no asset code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an asset code; write 1 to {ASSET_CODE_LENGTH} of the characters A-Z and 0-9")]
pub struct BadAssetCode(pub String);

impl AssetCode {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        let length = self.characters.iter().position(|c| *c == 0).unwrap_or(ASSET_CODE_LENGTH);
        std::str::from_utf8(&self.characters[..length]).expect("only ASCII gets in")
    }
}

impl FromStr for AssetCode {
    type Err = BadAssetCode;

    fn from_str(text: &str) -> Result<AssetCode, BadAssetCode> {
        let fits = (1..=ASSET_CODE_LENGTH).contains(&text.len());
        if !fits || !text.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
            return Err(BadAssetCode(text.to_owned()));
        }
        let mut characters = [0; ASSET_CODE_LENGTH];
        characters[..text.len()].copy_from_slice(text.as_bytes());
        Ok(AssetCode { characters })
    }
}

impl fmt::Display for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AssetCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AssetCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<AssetCode, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = AssetCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an asset code")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AssetCode, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_to_twelve_upper_case_letters_and_digits() {
        for good in ["A", "EUR", "BOND2031", "ABCDEFGHIJKL", "0"] {
            assert_eq!(good.parse::<AssetCode>().unwrap().as_str(), good);
        }
        for bad in ["", "eur", "EUR ", "A-B", "ABCDEFGHIJKLM", "\u{c4}", "A\0"] {
            assert_eq!(bad.parse::<AssetCode>(), Err(BadAssetCode(bad.to_owned())));
        }
    }

    #[test]
    fn what_decodes_is_valid() {
        use bft_core::codec::{VERSION, decode, encode};
        let code: AssetCode = "EUR".parse().unwrap();
        assert_eq!(encode(&code), [VERSION, 3, b'E', b'U', b'R']);
        assert_eq!(decode(&encode(&code), 16), Ok(code));
        assert!(decode::<AssetCode>(&[VERSION, 3, b'E', b'u', b'R'], 16).is_err());
        assert!(decode::<AssetCode>(&[VERSION, 0], 16).is_err());
    }
}
