//! Fixed-size byte arrays in serde: raw bytes in binary formats, hexadecimal in readable ones.
//!
//! serde itself has no `[u8; 48]` and `[u8; 64]`, and writes `[u8; 32]` to JSON as a list of numbers.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserializer, Serializer};

use crate::hex;

/// Writes `N` bytes: as a tuple (no length before it) or, in a readable format, as `2 N` hexadecimal digits.
pub(crate) fn serialize<const N: usize, S: Serializer>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() {
        return to.collect_str(&Hex(bytes));
    }
    let mut tuple = to.serialize_tuple(N)?;
    for byte in bytes {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

/// The inverse of [`serialize`].
pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(from: D) -> Result<[u8; N], D::Error> {
    if from.is_human_readable() {
        from.deserialize_str(HexVisitor::<N>)
    } else {
        from.deserialize_tuple(N, RawVisitor::<N>)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, self.0)
    }
}

struct HexVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for HexVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hexadecimal digits", 2 * N)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<[u8; N], E> {
        hex::read(text.as_bytes()).map_err(E::custom)
    }
}

struct RawVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for RawVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &self))?;
        }
        Ok(bytes)
    }
}

/// What every public fixed-size value has: `Display` and `FromStr` in hexadecimal, a short `Debug`, serde.
macro_rules! fixed_bytes {
    ($name:ident, $length:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::hex::write(f, &self.0)
            }
        }

        /// The first eight hexadecimal digits.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::hex::write(f, &self.0[..4])
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::HexError;

            fn from_str(text: &str) -> Result<Self, crate::HexError> {
                crate::hex::read(text.as_bytes()).map($name)
            }
        }

        /// Raw bytes without a length in binary formats, hexadecimal in readable ones.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                crate::wire::serialize::<$length, S>(&self.0, to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                crate::wire::deserialize::<$length, D>(from).map($name)
            }
        }
    };
}

pub(crate) use fixed_bytes;

#[cfg(test)]
mod tests {
    use crate::{Digest, Signature};

    #[test]
    fn binary_is_raw_and_readable_is_hexadecimal() {
        let signature = Signature(std::array::from_fn(|i| i as u8));
        let binary = postcard::to_allocvec(&signature).unwrap();
        assert_eq!(binary, signature.0);
        assert_eq!(postcard::from_bytes::<Signature>(&binary), Ok(signature));
        assert!(postcard::from_bytes::<Signature>(&binary[..63]).is_err());

        let digest = Digest([0xab; 32]);
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(text, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"ab\"").is_err());
    }

    #[test]
    fn displays_are_whole_and_debugs_are_short() {
        let digest = Digest([0xcd; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(format!("{digest:?}"), "cdcdcdcd");
    }
}
