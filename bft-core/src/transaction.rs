//! Transactions and the payload that carries them.
//!
//! A payload is a version byte and transactions back to back, each
//! `kind u8 ‖ client [32] ‖ sequence u64 ‖ signature [64] ‖ body length u32 ‖ body`, integers little-endian. The layout has one
//! encoding per value by construction. The same bytes travel from client to replica, from replica to leader, inside a
//! proposal and into the log.

use crate::codec::VERSION;
use bytes::{BufMut, Bytes, BytesMut};
use crypto::{ClientKey, ClientSecret, Digest, Domain, Signature, Signed};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Bytes of a transaction around its body.
pub const TRANSACTION_OVERHEAD: usize = 1 + 32 + 8 + 64 + 4;

/// Who reads the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The application's state machine.
    Application = 0,
    /// The host: enrolment today, membership later.
    System = 1,
}

/// What a client signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who reads the body.
    pub kind: Kind,
    /// The key that signed it.
    pub client: ClientKey,
    /// The client's own count, from 1. Each executes at most once, ever.
    pub sequence: u64,
    /// Opaque to all but its reader.
    pub body: Bytes,
    /// Over [`signing_digest`]; zeros where clients do not sign.
    pub signature: Signature,
}

/// What a client's signature covers: chain, kind, client, sequence, body.
pub fn signing_digest(chain: &Digest, kind: Kind, client: &ClientKey, sequence: u64, body: &[u8]) -> Digest {
    Digest::of_parts(
        Domain::TransactionSignature,
        &[&chain.0, &[kind as u8], &client.0, &sequence.to_le_bytes(), body],
    )
}

impl Transaction {
    /// Signs a transaction for the network `chain`.
    pub fn sign(
        secret: &ClientSecret,
        chain: &Digest,
        kind: Kind,
        sequence: u64,
        body: Bytes,
    ) -> Transaction {
        let client = secret.public();
        let signature = secret.sign(&signing_digest(chain, kind, &client, sequence, &body).0);
        Transaction { kind, client, sequence, body, signature }
    }

    /// A transaction of a network in which clients do not sign.
    pub fn unsigned(client: ClientKey, kind: Kind, sequence: u64, body: Bytes) -> Transaction {
        Transaction { kind, client, sequence, body, signature: Signature([0; 64]) }
    }

    /// Whether it carries no signature.
    pub fn is_unsigned(&self) -> bool {
        self.signature.0 == [0; 64]
    }

    /// Signs with the simulator's scheme.
    #[cfg(feature = "simulated")]
    pub fn sign_simulated(
        secret: &ClientSecret,
        chain: &Digest,
        kind: Kind,
        sequence: u64,
        body: Bytes,
    ) -> Transaction {
        let client = secret.public();
        let signature = secret.sign_simulated(&signing_digest(chain, kind, &client, sequence, &body).0);
        Transaction { kind, client, sequence, body, signature }
    }

    /// Bytes it takes in a payload.
    pub fn size(&self) -> usize {
        TRANSACTION_OVERHEAD + self.body.len()
    }

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.kind as u8);
        out.put_slice(&self.client.0);
        out.put_u64_le(self.sequence);
        out.put_slice(&self.signature.0);
        out.put_u32_le(u32::try_from(self.body.len()).expect("bodies are bounded far below 4 GiB"));
        out.put_slice(&self.body);
    }
}

/// A transaction with its digests, computed once. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item(Arc<Named>);

/// What an [`Item`] holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// The transaction.
    pub transaction: Transaction,
    /// What the client signed.
    pub signed: Digest,
    /// Names the transaction, signature included: a good and a bad signature never share a name.
    pub digest: Digest,
}

impl Deref for Item {
    type Target = Named;

    fn deref(&self) -> &Named {
        &self.0
    }
}

impl Item {
    /// Computes the digests of `transaction` in the network `chain`.
    pub fn new(chain: &Digest, transaction: Transaction) -> Item {
        let Transaction { kind, client, sequence, body, signature } = &transaction;
        let signed = signing_digest(chain, *kind, client, *sequence, body);
        let digest = Digest::of_parts(Domain::Transaction, &[&signed.0, &signature.0]);
        Item(Arc::new(Named { transaction, signed, digest }))
    }

    /// What there is to verify.
    pub fn signed(&self) -> Signed<'_> {
        Signed {
            key: self.transaction.client,
            message: &self.signed.0,
            signature: self.transaction.signature,
        }
    }

    /// What executes once.
    pub fn key(&self) -> ItemKey {
        (self.transaction.sequence, self.transaction.client)
    }
}

/// Sequence and client; in this order two keys are told apart by one number, mostly.
pub type ItemKey = (u64, ClientKey);

/// Why bytes are not a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Another release's format, or none.
    #[error("payload format {0:?}, this program reads {VERSION}")]
    Version(Option<u8>),
    /// Ends inside a transaction.
    #[error("transaction {0} is cut short")]
    CutShort(usize),
    /// Neither application nor system.
    #[error("transaction {0} has unknown kind {1}")]
    UnknownKind(usize, u8),
}

struct Inner {
    bytes: Bytes,
    items: OnceLock<Result<Arc<[Item]>, PayloadError>>,
    root: OnceLock<Digest>,
}

/// Transactions in their encoded form, parsed and hashed at most once. Cheap to clone.
#[derive(Clone)]
pub struct Payload(Arc<Inner>);

impl Payload {
    /// The payload without transactions.
    pub fn empty() -> Payload {
        Payload::from_bytes(Bytes::from_static(&[VERSION]))
    }

    /// Bytes not yet looked at.
    pub fn from_bytes(bytes: Bytes) -> Payload {
        Payload(Arc::new(Inner { bytes, items: OnceLock::new(), root: OnceLock::new() }))
    }

    /// Encodes transactions.
    pub fn of(items: Vec<Item>) -> Payload {
        let size = items.iter().map(|item| item.transaction.size()).sum::<usize>();
        let mut out = BytesMut::with_capacity(1 + size);
        out.put_u8(VERSION);
        for item in &items {
            item.transaction.put(&mut out);
        }
        let items = OnceLock::from(Ok(items.into()));
        Payload(Arc::new(Inner { bytes: out.freeze(), items, root: OnceLock::new() }))
    }

    /// The encoding.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Whether there is no transaction.
    pub fn is_empty(&self) -> bool {
        self.0.bytes.len() <= 1
    }

    /// The transactions, parsed on the first call. A payload belongs to one network: `chain` is the same on every call.
    ///
    /// # Errors
    /// What makes the bytes no payload.
    pub fn items(&self, chain: &Digest) -> Result<&Arc<[Item]>, PayloadError> {
        self.0.items.get_or_init(|| parse(&self.0.bytes, chain)).as_ref().map_err(Clone::clone)
    }

    /// RFC 6962 root over the transactions' digests, computed on the first call: what a block header binds.
    ///
    /// # Errors
    /// What makes the bytes no payload.
    pub fn root(&self, chain: &Digest) -> Result<Digest, PayloadError> {
        let items = self.items(chain)?;
        let leaf = |item: &Item| crypto::merkle::leaf_hash(&item.digest.0);
        let root = || crypto::merkle::root(&items.iter().map(leaf).collect::<Vec<Digest>>());
        Ok(*self.0.root.get_or_init(root))
    }
}

fn parse(bytes: &Bytes, chain: &Digest) -> Result<Arc<[Item]>, PayloadError> {
    let mut rest = match bytes.split_first() {
        Some((&VERSION, _)) => bytes.slice(1..),
        other => return Err(PayloadError::Version(other.map(|(version, _)| *version))),
    };
    let mut items = Vec::new();
    while !rest.is_empty() {
        let cut = || PayloadError::CutShort(items.len());
        let head = rest.get(..TRANSACTION_OVERHEAD).ok_or_else(cut)?;
        let kind = match head[0] {
            0 => Kind::Application,
            1 => Kind::System,
            other => return Err(PayloadError::UnknownKind(items.len(), other)),
        };
        let client = ClientKey(array(&head[1..33]));
        let sequence = u64::from_le_bytes(array(&head[33..41]));
        let signature = Signature(array(&head[41..105]));
        let length = u32::from_le_bytes(array(&head[105..109])) as usize;
        let end =
            TRANSACTION_OVERHEAD.checked_add(length).filter(|end| *end <= rest.len()).ok_or_else(cut)?;
        let body = rest.slice(TRANSACTION_OVERHEAD..end);
        items.push(Item::new(chain, Transaction { kind, client, sequence, body, signature }));
        rest = rest.slice(end..);
    }
    Ok(items.into())
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice has the array's length")
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.bytes.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::codec::byte_string::serialize(&self.0.bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        crate::codec::byte_string::deserialize(deserializer).map(Payload::from_bytes)
    }
}

/// What a `System` transaction asks of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemAction {
    /// Lets `client` transact for the organisation whose operator signs this.
    Enroll {
        /// The new client.
        client: ClientKey,
    },
    /// Asks the application where this stands in the ledger. The answer is in the receipt, and linearizable: it knows of
    /// everything that was acknowledged before this was submitted (threat 15).
    Read {
        /// What [`crate::machine::StateMachine::query`] is asked.
        request: Bytes,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(sequence: u64, body: &[u8]) -> Item {
        let secret = ClientSecret::from_seed([7; 32]);
        let body = Bytes::copy_from_slice(body);
        Item::new(&Digest::ZERO, Transaction::sign(&secret, &Digest::ZERO, Kind::Application, sequence, body))
    }

    #[test]
    fn a_payload_reads_back_as_what_it_was_made_of() {
        let items = vec![item(1, b"one"), item(2, b"")];
        let payload = Payload::of(items.clone());
        let read = Payload::from_bytes(payload.bytes().clone());
        assert_eq!(read.items(&Digest::ZERO).unwrap().as_ref(), items.as_slice());
        assert_eq!(read.root(&Digest::ZERO), payload.root(&Digest::ZERO));
        assert_ne!(payload.root(&Digest::ZERO), Payload::empty().root(&Digest::ZERO));
    }

    #[test]
    fn the_signature_is_part_of_the_name() {
        let good = item(1, b"x");
        let mut forged = good.transaction.clone();
        forged.signature.0[0] ^= 1;
        let forged = Item::new(&Digest::ZERO, forged);
        assert_eq!(good.signed, forged.signed);
        assert_ne!(good.digest, forged.digest);
    }

    proptest! {
        // threat 71, 93: no bytes make the parser panic, and what it accepts encodes back to the same bytes.
        #[test]
        fn threat_93_any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let payload = Payload::from_bytes(Bytes::from(bytes.clone()));
            if let Ok(items) = payload.items(&Digest::ZERO) {
                let again = Payload::of(items.to_vec());
                prop_assert_eq!(again.bytes().as_ref(), bytes.as_slice());
            }
        }
    }
}
