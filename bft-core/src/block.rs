//! Blocks: a header that survives re-proposal, and a payload.

use crate::codec;
use crate::transaction::{Payload, PayloadError};
use crate::types::{Epoch, Height, Timestamp, View};
use crypto::{Digest, Domain};
use serde::{Deserialize, Serialize};

/// What a block's digest covers: only what stays the same when another leader proposes the block again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The committee's period.
    pub epoch: Epoch,
    /// Position in the ledger.
    pub height: Height,
    /// RFC 6962 root over the payload's transactions.
    pub payload_root: Digest,
    /// The proposer's wall clock; 0 in a null block.
    pub time: Timestamp,
    /// Whether the entry of this height is to be certified.
    pub checkpoint: bool,
    /// The view of the leader that made it, where no later leader makes the block its own: Raft's term. 0 in the other protocols.
    pub view: View,
}

impl Header {
    /// The block's digest.
    pub fn digest(&self) -> Digest {
        Digest::of(Domain::Block, &codec::encode(self))
    }
}

/// Header and payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What is agreed on.
    pub header: Header,
    /// What `header.payload_root` stands for.
    pub payload: Payload,
}

impl Block {
    /// A block over `payload`.
    ///
    /// # Errors
    /// If the payload is not one.
    pub fn new(
        chain: &Digest,
        epoch: Epoch,
        height: Height,
        payload: Payload,
        time: Timestamp,
        checkpoint: bool,
    ) -> Result<Block, PayloadError> {
        let payload_root = payload.root(chain)?;
        Ok(Block { header: Header { epoch, height, payload_root, time, checkpoint, view: 0 }, payload })
    }

    /// The block that fills a hole of a new view (Castro and Liskov, section 4.4): nothing in it, certified.
    pub fn null(epoch: Epoch, height: Height) -> Block {
        let header = Header {
            epoch,
            height,
            payload_root: crypto::merkle::root(&[]),
            time: Timestamp(0),
            checkpoint: true,
            view: 0,
        };
        Block { header, payload: Payload::empty() }
    }

    /// The same block as a leader's of this view.
    #[must_use]
    pub fn of_view(mut self, view: View) -> Block {
        self.header.view = view;
        self
    }

    /// The header's digest.
    pub fn digest(&self) -> Digest {
        self.header.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_header_changes_the_digest() {
        let base = Block::null(1, 2).header;
        let others = [
            Header { epoch: 2, ..base },
            Header { height: 3, ..base },
            Header { payload_root: Digest::ZERO, ..base },
            Header { time: Timestamp(1), ..base },
            Header { checkpoint: false, ..base },
            Header { view: 1, ..base },
        ];
        for other in others {
            assert_ne!(base.digest(), other.digest(), "{other:?}");
        }
    }

    #[test]
    fn a_null_block_is_what_an_empty_proposal_at_time_zero_is() {
        let empty = Block::new(&Digest::ZERO, 1, 2, Payload::empty(), Timestamp(0), true).unwrap();
        assert_eq!(empty, Block::null(1, 2));
    }
}
