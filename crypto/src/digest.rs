//! SHA-256 digests under a domain tag.

use sha2::Digest as _;

use crate::wire::fixed_bytes;

/// A SHA-256 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

fixed_bytes!(Digest, 32);

impl Digest {
    /// Thirty-two zero bytes: the predecessor of the first of a chain. No known input has this digest.
    pub const ZERO: Digest = Digest([0; 32]);

    /// SHA-256 of the domain's tag and then `bytes`.
    pub fn of(domain: Domain, bytes: &[u8]) -> Digest {
        Digest::of_parts(domain, &[bytes])
    }

    /// The digest of the concatenation of `parts`: equal to [`Digest::of`] on one buffer that holds them all.
    ///
    /// The borders between the parts are not hashed; a caller whose parts vary in length writes the lengths
    /// as well.
    pub fn of_parts(domain: Domain, parts: &[&[u8]]) -> Digest {
        let compute = || {
            let mut hasher = Hasher::new(domain);
            for part in parts {
                hasher.update(part);
            }
            hasher.finish()
        };
        #[cfg(feature = "simulated")]
        let compute = || crate::memo::recall(domain, parts, compute);
        compute()
    }
}

/// SHA-256 of a domain's tag and of bytes that come piece by piece.
#[derive(Clone, Debug)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Starts with the tag of `domain`.
    pub fn new(domain: Domain) -> Hasher {
        Hasher(sha2::Sha256::new_with_prefix(domain.tag()))
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was appended.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Declares the domains with their tags, so that none can be without.
macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $tag:literal,)*) => {
        /// What kind of bytes a digest is of. Each has a tag, hashed before the bytes, so that a digest of
        /// one kind can never be taken for another. Tags are distinct and none begins another.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Domain {
            $($(#[$doc])* $name,)*
        }

        impl Domain {
            /// Every domain.
            pub const ALL: &[Domain] = &[$(Domain::$name,)*];

            /// The bytes hashed first; the number at the end is the version of what follows.
            pub const fn tag(self) -> &'static [u8] {
                match self {
                    $(Domain::$name => concat!("quorate/", $tag, "/1").as_bytes(),)*
                }
            }
        }
    };
}

domains! {
    /// A client's transaction.
    Transaction = "transaction",
    /// What a client signs of a transaction.
    TransactionSignature = "transaction-signature",
    /// The transactions of a block together.
    Payload = "payload",
    /// A block's header.
    Block = "block",
    /// An entry of the ledger: a committed height.
    LedgerEntry = "ledger-entry",
    /// The outcome of a transaction.
    Receipt = "receipt",
    /// A key of the application's state: the digest is its path in the tree.
    StateKey = "state-key",
    /// A value of the application's state.
    StateValue = "state-value",
    /// A leaf of the application's state: a key with its value.
    StateLeaf = "state-leaf",
    /// An inner node of the application's state.
    StateNode = "state-node",
    /// The root of the application's state and what is kept beside it.
    StateRoot = "state-root",
    /// The genesis of a network: its digest is the chain id.
    Chain = "chain",
    /// The configuration in force.
    Configuration = "configuration",
    /// The members of a committee.
    Committee = "committee",
    /// A message between replicas.
    Message = "message",
    /// The opening message of a connection.
    Handshake = "handshake",
    /// What a checkpoint binds together.
    Checkpoint = "checkpoint",
    /// A snapshot's manifest.
    Snapshot = "snapshot",
    /// A chunk of a snapshot.
    SnapshotChunk = "snapshot-chunk",
    /// Client sessions.
    Session = "session",
    /// Evidence against a replica.
    Evidence = "evidence",
    /// A durable record of an engine.
    Record = "record",
    /// The public keys of a threshold group.
    ThresholdKeys = "threshold-keys",
    /// A dealing of distributed key generation.
    Dealing = "dealing",
    /// A query to an application and its answer.
    Query = "query",
    /// The running digest of everything a simulated world did.
    Audit = "audit",
    /// Seeds drawn from another seed.
    Seed = "seed",
    /// Weights of batch verification.
    Weights = "weights",
    /// Weights of the shares in an aggregate signature.
    AggregateWeights = "aggregate-weights",
    /// What tests and examples hash.
    Test = "test",
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threat 54: one tag for two kinds. Tags of statements and BLS suites are in the same race.
    #[test]
    fn threat_54_tags_are_distinct_and_none_begins_another() {
        let mut tags: Vec<&[u8]> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        tags.push(crate::STATEMENT_TAG);
        tags.push(crate::bls::SIGNATURE_SUITE);
        tags.push(crate::bls::POSSESSION_SUITE);
        for (i, a) in tags.iter().enumerate() {
            for (j, b) in tags.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{:?} begins {:?}", a.escape_ascii(), b.escape_ascii());
            }
        }
    }

    #[test]
    fn the_digest_is_sha256_of_tag_and_bytes() {
        let plain: [u8; 32] = sha2::Sha256::digest(b"quorate/block/1abc").into();
        assert_eq!(Digest::of(Domain::Block, b"abc"), Digest(plain));
        assert_eq!(Digest::of_parts(Domain::Block, &[b"a", b"", b"bc"]), Digest(plain));
        assert_ne!(Digest::of(Domain::Receipt, b"abc"), Digest(plain));
        let mut hasher = Hasher::new(Domain::Block);
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Digest(plain));
    }
}
