//! The text of a key file.

use std::str::FromStr;

use zeroize::Zeroizing;

use super::{KeyFile, KeyFileFault, LIMIT, ThresholdKey};
use crate::{ClientSecret, IdentitySecret, ReplicaId, SecretShare, hex};

/// The version this crate writes and reads.
pub(super) const VERSION: &str = "1";
/// The word that begins every key file.
const HEAD: &[u8] = b"quorate-key ";
/// The line that ends every key file.
const END: &[u8] = b"\nend\n";

pub(super) fn encode(key: &KeyFile) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(LIMIT));
    let head = format!("quorate-key {VERSION}\nkind {}\n", key.kind());
    text.extend_from_slice(head.as_bytes());
    let (public, secret) = match key {
        KeyFile::Identity(secret) => (secret.public().to_string(), secret.seed()),
        KeyFile::Client(secret) => (secret.public().to_string(), secret.seed()),
        KeyFile::Threshold(ThresholdKey { share, epoch, group }) => {
            let origin = format!("replica {}\nepoch {epoch}\ngroup {group}\n", share.replica().0);
            text.extend_from_slice(origin.as_bytes());
            (share.public().to_string(), share.to_bytes())
        }
    };
    text.extend_from_slice(format!("public {public}\nsecret ").as_bytes());
    hex::push(&mut text, secret.as_slice());
    text.extend_from_slice(END);
    assert!(text.len() <= LIMIT, "a key file of {} bytes", text.len());
    text
}

pub(super) fn decode(text: &[u8]) -> Result<KeyFile, KeyFileFault> {
    let body = match text.strip_prefix(HEAD) {
        Some(body) => body,
        None if HEAD.starts_with(text) => return Err(KeyFileFault::Truncated),
        None => return Err(KeyFileFault::NotAKeyFile),
    };
    let Some((version, _)) = split_at_newline(body) else { return Err(KeyFileFault::Truncated) };
    if version != VERSION.as_bytes() {
        return Err(KeyFileFault::Version(String::from_utf8_lossy(version).into_owned()));
    }
    // The newline before `end` stays: it ends the last field.
    let Some(body) = text.strip_suffix(&END[1..]).filter(|body| body.ends_with(b"\n")) else {
        return Err(KeyFileFault::Truncated);
    };
    let mut lines = Lines { rest: body, line: 0 };
    lines.field("quorate-key", "the version")?;
    let key = match lines.field("kind", "the kind: identity, client or threshold")? {
        b"identity" => {
            let (public, secret) = lines.keys()?;
            let secret = IdentitySecret::from_seed(*secret);
            matching(public, secret.public().to_string())?;
            KeyFile::Identity(secret)
        }
        b"client" => {
            let (public, secret) = lines.keys()?;
            let secret = ClientSecret::from_seed(*secret);
            matching(public, secret.public().to_string())?;
            KeyFile::Client(secret)
        }
        b"threshold" => {
            let replica = ReplicaId(lines.number("replica", "the number of the replica")?);
            let epoch = lines.number("epoch", "the number of the epoch")?;
            let group = lines.number("group", "the digest of the group's keys")?;
            let (public, secret) = lines.keys()?;
            let share = SecretShare::from_bytes(replica, &secret).map_err(|_| KeyFileFault::Mismatch)?;
            matching(public, share.public().to_string())?;
            KeyFile::Threshold(ThresholdKey { share, epoch, group })
        }
        _ => return Err(lines.malformed("the kind: identity, client or threshold")),
    };
    if lines.rest.is_empty() {
        Ok(key)
    } else {
        Err(KeyFileFault::Malformed { line: lines.line + 1, expected: "end" })
    }
}

fn matching(in_file: &[u8], of_secret: String) -> Result<(), KeyFileFault> {
    if in_file == of_secret.as_bytes() { Ok(()) } else { Err(KeyFileFault::Mismatch) }
}

fn split_at_newline(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

/// The fields of a key file, one a line.
struct Lines<'a> {
    rest: &'a [u8],
    /// Lines read.
    line: usize,
}

impl<'a> Lines<'a> {
    fn malformed(&self, expected: &'static str) -> KeyFileFault {
        KeyFileFault::Malformed { line: self.line, expected }
    }

    /// The value on the next line, which must be that of `name`.
    fn field(&mut self, name: &str, expected: &'static str) -> Result<&'a [u8], KeyFileFault> {
        self.line += 1;
        let (line, rest) = split_at_newline(self.rest).ok_or_else(|| self.malformed(expected))?;
        self.rest = rest;
        let value = line.strip_prefix(name.as_bytes()).and_then(|value| value.strip_prefix(b" "));
        value.ok_or_else(|| self.malformed(expected))
    }

    /// A public value that is written in one way only.
    fn number<T: FromStr + ToString>(
        &mut self,
        name: &str,
        expected: &'static str,
    ) -> Result<T, KeyFileFault> {
        let value = self.field(name, expected)?;
        let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse::<T>().ok());
        parsed.filter(|parsed| parsed.to_string().as_bytes() == value).ok_or_else(|| self.malformed(expected))
    }

    /// The public key, as digits, and the secret.
    fn keys(&mut self) -> Result<(&'a [u8], Zeroizing<[u8; 32]>), KeyFileFault> {
        let public = self.field("public", "the public key")?;
        let digits = self.field("secret", "the secret")?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::read_into(digits, secret.as_mut()).map_err(|_| self.malformed("the secret"))?;
        Ok((public, secret))
    }
}
