//! The chain of executed blocks and the certificates over it.

use crate::codec;
use crate::types::{Epoch, Height};
use crypto::{Certificate, Digest, Domain};
use serde::{Deserialize, Serialize};

/// What one executed block leaves: the link of the chain that receipts and snapshots are proven against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Epoch in which the block was ordered.
    pub epoch: Epoch,
    /// Position in the ledger; 0 is the genesis.
    pub height: Height,
    /// The executed block; zero for the genesis.
    pub block: Digest,
    /// The time the application saw, in microseconds since the Unix epoch; strictly increasing.
    pub time: u64,
    /// RFC 6962 root over the receipts, in the order of the payload.
    pub receipts_root: Digest,
    /// Root of the state after the block, at checkpoint heights only.
    pub state_root: Option<Digest>,
    /// Digest of the next epoch's committee, at the last height of an epoch only.
    pub next_epoch: Option<Digest>,
    /// Digest of the entry before; the chain id for the genesis.
    pub previous: Digest,
}

impl LedgerEntry {
    /// The entry's digest: what a checkpoint certificate signs.
    pub fn digest(&self) -> Digest {
        Digest::of(Domain::LedgerEntry, &codec::encode(self))
    }
}

/// A quorum's signature over a ledger entry. The genesis entry needs none: everybody computes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCertificate {
    /// What is certified.
    pub entry: LedgerEntry,
    /// The quorum's word; absent at height 0.
    pub proof: Option<Certificate>,
}

impl CheckpointCertificate {
    /// The height certified.
    pub fn height(&self) -> Height {
        self.entry.height
    }
}

/// Why entries do not form a chain from one entry to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Nothing to link.
    #[error("the chain of entries is empty")]
    Empty,
    /// A height is missing or out of place.
    #[error("entry of height {found} where height {expected} belongs")]
    Height {
        /// The height that belongs there.
        expected: Height,
        /// The height that is there.
        found: Height,
    },
    /// The hash of an entry is not in its successor.
    #[error("the entry of height {0} does not link to the entry before it")]
    Link(Height),
    /// The chain ends in another entry than the certified one.
    #[error("the chain ends at height {0} in another entry than the certified one")]
    End(Height),
}

/// Checks that `entries` are consecutive, each linked to the one before, and end in `certified`.
///
/// # Errors
/// The first place where they do not.
pub fn check_chain(entries: &[LedgerEntry], certified: &LedgerEntry) -> Result<(), ChainError> {
    let last = entries.last().ok_or(ChainError::Empty)?;
    for pair in entries.windows(2) {
        let expected = pair[0].height.saturating_add(1);
        if pair[1].height != expected {
            return Err(ChainError::Height { expected, found: pair[1].height });
        }
        if pair[1].previous != pair[0].digest() {
            return Err(ChainError::Link(pair[1].height));
        }
    }
    if last == certified { Ok(()) } else { Err(ChainError::End(last.height)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(height: Height, previous: Digest) -> LedgerEntry {
        let zero = Digest::ZERO;
        LedgerEntry {
            epoch: 1,
            height,
            block: zero,
            time: height,
            receipts_root: zero,
            state_root: None,
            next_epoch: None,
            previous,
        }
    }

    #[test]
    fn a_chain_links_or_is_refused_where_it_does_not() {
        let a = entry(1, Digest::ZERO);
        let b = entry(2, a.digest());
        let c = entry(3, b.digest());
        assert_eq!(check_chain(&[a, b, c], &c), Ok(()));
        assert_eq!(check_chain(&[c], &c), Ok(()));
        assert_eq!(check_chain(&[], &c), Err(ChainError::Empty));
        assert_eq!(check_chain(&[a, c], &c), Err(ChainError::Height { expected: 2, found: 3 }));
        assert_eq!(check_chain(&[a, entry(2, Digest::ZERO)], &c), Err(ChainError::Link(2)));
        assert_eq!(check_chain(&[a, b], &c), Err(ChainError::End(2)));
    }
}
