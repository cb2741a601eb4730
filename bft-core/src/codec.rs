//! Canonical, bounded encoding.
//!
//! The format is postcard (<https://postcard.jamesmunns.com/wire-format>) behind one version byte. postcard by itself
//! is not canonical (an integer may carry padding) and ignores trailing bytes; [`decode`] refuses both by encoding
//! what it read again and comparing, byte by byte and without a second buffer.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// The version at the head of every encoding of this release.
pub const VERSION: u8 = 1;

/// Why bytes are not an encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing there at all.
    #[error("the encoding is empty")]
    Empty,
    /// Longer than the reader allows.
    #[error("{length} bytes are more than the {limit} allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Another release's format.
    #[error("format version {theirs}, this program reads version {ours}; run the same release on both sides")]
    Version {
        /// Version found.
        theirs: u8,
        /// Version understood.
        ours: u8,
    },
    /// Not a value of the type.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Readable, but not the one encoding of its value.
    #[error("not canonical: the same value has a shorter or different encoding")]
    NotCanonical,
}

/// Encodes `value` behind the version byte.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Most of what is encoded is a vote, a record or a ledger entry, and fits.
    let mut head = Vec::with_capacity(256);
    head.push(VERSION);
    // Our types serialise without fail: no maps of unknown length, no foreign `Serialize`.
    postcard::serialize_with_flavor(value, Append(head)).expect("plain data encodes")
}

/// Appends to a vector. Digests come byte by byte, and [`postcard::to_extend`] extends by each of them, which profiles showed.
struct Append(Vec<u8>);

impl Flavor for Append {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// What is left of the bytes that an encoding is expected to have; fails at the first other byte.
struct Expected<'a>(&'a [u8]);

impl Flavor for Expected<'_> {
    /// Whether nothing is left.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.0.split_first() {
            Some((expected, rest)) if *expected == byte => self.0 = rest,
            _ => return Err(postcard::Error::SerializeBufferFull),
        }
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// Decodes the one encoding of a value, at most `limit` bytes long.
///
/// # Errors
/// Whatever makes the bytes something else than `encode(&value)` for some value.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { length: bytes.len(), limit });
    }
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if version != VERSION {
        return Err(DecodeError::Version { theirs: version, ours: VERSION });
    }
    let (value, rest) =
        postcard::take_from_bytes::<T>(body).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(DecodeError::NotCanonical);
    }
    match postcard::serialize_with_flavor(&value, Expected(body)) {
        Ok(true) => Ok(value),
        Ok(false) | Err(_) => Err(DecodeError::NotCanonical),
    }
}

/// `[u8]` as one byte string in serde formats, for `Bytes`: forty times faster than element by element.
pub mod byte_string {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    /// Writes the bytes with one length prefix.
    #[allow(clippy::missing_errors_doc)]
    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(bytes.as_ref(), serializer)
    }

    /// Reads what [`serialize`] wrote.
    #[allow(clippy::missing_errors_doc)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(deserializer).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_integer_is_not_canonical() {
        assert_eq!(decode::<u32>(&[VERSION, 0x00], 9), Ok(0));
        assert_eq!(decode::<u32>(&[VERSION, 0x80, 0x00], 9), Err(DecodeError::NotCanonical));
        // The padding stands before, in the middle of and behind what is canonical.
        for padded in [&[0x85, 0x00, 1, 7, 8][..], &[5, 0x81, 0x00, 7, 8], &[5, 1, 7, 0x88, 0x00]] {
            let padded = [&[VERSION], padded].concat();
            assert_eq!(
                decode::<(u32, Vec<u8>, u64)>(&padded, 9),
                Err(DecodeError::NotCanonical),
                "{padded:?}"
            );
        }
        assert_eq!(decode(&[VERSION, 5, 1, 7, 8], 9), Ok((5_u32, vec![7_u8], 8_u64)));
    }

    #[test]
    fn trailing_bytes_versions_and_lengths_are_refused() {
        assert_eq!(decode::<u8>(&[VERSION, 7, 7], 9), Err(DecodeError::NotCanonical));
        assert_eq!(decode::<u8>(&[9, 7], 9), Err(DecodeError::Version { theirs: 9, ours: VERSION }));
        assert_eq!(decode::<u8>(&[VERSION, 7], 1), Err(DecodeError::TooLong { length: 2, limit: 1 }));
        assert_eq!(decode::<u8>(&[], 1), Err(DecodeError::Empty));
    }

    // threat 71: a length bomb ends as an error before anything of that length is allocated.
    #[test]
    fn threat_71_length_bomb_is_refused() {
        let bomb = [VERSION, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(decode::<Vec<u64>>(&bomb, 64), Err(DecodeError::Malformed(_))));
        assert!(matches!(decode::<serde_bytes::ByteBuf>(&bomb, 64), Err(DecodeError::Malformed(_))));
    }
}
