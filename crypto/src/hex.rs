//! Lower-case hexadecimal, for key files, configuration and displays.

use std::fmt;

/// Why a text is not the hexadecimal form of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HexError {
    /// The text has the wrong number of characters.
    #[error("{have} characters, where {need} hexadecimal digits are needed")]
    Length {
        /// Bytes in the text.
        have: usize,
        /// Hexadecimal digits of a value.
        need: usize,
    },
    /// A character is no hexadecimal digit in lower case: one value has one spelling.
    #[error("character {at} is not one of 0-9 and a-f")]
    Digit {
        /// Position, from 0.
        at: usize,
    },
}

/// Writes `bytes` as hexadecimal digits.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for byte in bytes {
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// Appends the hexadecimal digits of `bytes` to `text`, without a temporary: `bytes` may be a secret.
pub(crate) fn push(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Reads exactly `N` bytes from `2 N` digits.
pub(crate) fn read<const N: usize>(text: &[u8]) -> Result<[u8; N], HexError> {
    let mut bytes = [0; N];
    read_into(text, &mut bytes)?;
    Ok(bytes)
}

/// Reads exactly as many bytes as `bytes` has, without a temporary: they may be a secret.
pub(crate) fn read_into(text: &[u8], bytes: &mut [u8]) -> Result<(), HexError> {
    if text.len() != 2 * bytes.len() {
        return Err(HexError::Length { have: text.len(), need: 2 * bytes.len() });
    }
    for (at, pair) in text.chunks_exact(2).enumerate() {
        bytes[at] = digit(pair[0], 2 * at)? << 4 | digit(pair[1], 2 * at + 1)?;
    }
    Ok(())
}

fn digit(character: u8, at: usize) -> Result<u8, HexError> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(HexError::Digit { at }),
    }
}

/// Whether `text` shows part of `secret`, in either byte order, as hexadecimal digits or as a list of
/// numbers: what tests look for in the output of `Debug` (threat 58).
#[cfg(test)]
pub(crate) fn shows(text: &str, secret: &[u8]) -> bool {
    let plain: String = text.split_whitespace().collect();
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    [secret, &reversed].iter().any(|bytes| {
        bytes.windows(4).any(|part| {
            let digits: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            let numbers: Vec<String> = part.iter().map(u8::to_string).collect();
            plain.to_lowercase().contains(&digits) || plain.contains(&numbers.join(","))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_goes_there_and_back() {
        let bytes: [u8; 256] = std::array::from_fn(|i| i as u8);
        let mut text = Vec::new();
        push(&mut text, &bytes);
        assert_eq!(&text[..6], b"000102");
        assert_eq!(read::<256>(&text), Ok(bytes));
    }

    #[test]
    fn one_value_has_one_spelling() {
        assert_eq!(read::<1>(b"AB"), Err(HexError::Digit { at: 0 }));
        assert_eq!(read::<1>(b"a "), Err(HexError::Digit { at: 1 }));
        assert_eq!(read::<1>(b"abc"), Err(HexError::Length { have: 3, need: 2 }));
    }
}
