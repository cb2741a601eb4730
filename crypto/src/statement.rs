//! What replicas sign towards a quorum.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A replica's place in the committee of its epoch, from 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId(pub u16);

impl ReplicaId {
    /// The place as an index into a list over the committee.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which faults a committee is built for. One byte in binary formats: 0 and 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultModel {
    /// Up to f of 3f+1 replicas do anything at all.
    Byzantine = 0,
    /// Up to f of 2f+1 replicas stop.
    Crash = 1,
}

impl fmt::Display for FaultModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultModel::Byzantine => "byzantine",
            FaultModel::Crash => "crash",
        })
    }
}

/// The replication protocol that an epoch runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProtocolTag(pub u8);

impl ProtocolTag {
    /// Practical Byzantine fault tolerance (Castro and Liskov, 1999).
    pub const PBFT: ProtocolTag = ProtocolTag(1);
    /// Chained HotStuff (Yin and others, 2019).
    pub const HOTSTUFF: ProtocolTag = ProtocolTag(2);
    /// Raft (Ongaro and Ousterhout, 2014).
    pub const RAFT: ProtocolTag = ProtocolTag(3);
}

impl fmt::Display for ProtocolTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ProtocolTag::PBFT => f.write_str("pbft"),
            ProtocolTag::HOTSTUFF => f.write_str("hotstuff"),
            ProtocolTag::RAFT => f.write_str("raft"),
            ProtocolTag(tag) => write!(f, "protocol {tag}"),
        }
    }
}

impl fmt::Debug for ProtocolTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a statement says. Below 16: the host's kinds. From 16: the protocol's own, which it numbers as it
/// likes, since the protocol is part of every statement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StatementKind(pub u8);

impl StatementKind {
    /// "My state after this height has this digest."
    pub const CHECKPOINT: StatementKind = StatementKind(1);
    /// The first kind that belongs to protocols.
    pub const FIRST_OF_PROTOCOL: StatementKind = StatementKind(16);
}

/// The bytes that begin every encoded statement.
pub const STATEMENT_TAG: &[u8] = b"quorate/statement/1";

/// Length of an encoded statement in bytes.
pub const STATEMENT_LEN: usize = STATEMENT_TAG.len() + 1 + 32 + 8 + 1 + 1 + 8 + 8 + 32;

/// What a replica vouches for with a share of a quorum's signature.
///
/// Nothing signed can be taken for another kind, nor replayed into another network, epoch, protocol or fault
/// model, because each of these is in the signed bytes (threats 19, 31, 54, 56).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// What is said.
    pub kind: StatementKind,
    /// The network: the digest of its genesis.
    pub chain: Digest,
    /// The epoch, and with it the committee and its keys.
    pub epoch: u64,
    /// The protocol of the epoch.
    pub protocol: ProtocolTag,
    /// The fault model of the epoch.
    pub fault_model: FaultModel,
    /// The view or term; 0 where the statement holds in all.
    pub view: u64,
    /// The height.
    pub height: u64,
    /// The block, or whatever the kind is about.
    pub digest: Digest,
}

impl Statement {
    /// The signed bytes: the tag, then the fields in the order of their declaration, integers big endian,
    /// fixed width.
    pub fn encode(&self) -> [u8; STATEMENT_LEN] {
        let mut bytes = [0; STATEMENT_LEN];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(STATEMENT_TAG);
        put(&[self.kind.0]);
        put(&self.chain.0);
        put(&self.epoch.to_be_bytes());
        put(&[self.protocol.0]);
        put(&[self.fault_model as u8]);
        put(&self.view.to_be_bytes());
        put(&self.height.to_be_bytes());
        put(&self.digest.0);
        assert_eq!(at, STATEMENT_LEN);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            kind: StatementKind(0x11),
            chain: Digest([0x22; 32]),
            epoch: 0x0102_0304_0506_0708,
            protocol: ProtocolTag::HOTSTUFF,
            fault_model: FaultModel::Crash,
            view: 0x1112_1314_1516_1718,
            height: 0x2122_2324_2526_2728,
            digest: Digest([0x33; 32]),
        }
    }

    /// Threat 103: the signed bytes are pinned. A change here is a new version, with a new tag.
    #[test]
    fn the_encoding_is_pinned() {
        let text: String = statement().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "71756f726174652f73746174656d656e742f31", // quorate/statement/1
            "11",
            "2222222222222222222222222222222222222222222222222222222222222222",
            "0102030405060708",
            "02",
            "01",
            "1112131415161718",
            "2122232425262728",
            "3333333333333333333333333333333333333333333333333333333333333333",
        ]
        .concat();
        assert_eq!(text, expected);
        assert_eq!(STATEMENT_LEN, 110);
    }

    /// Threats 31 and 54: every field is in the signed bytes, in a place of its own.
    #[test]
    fn threat_54_changing_any_field_changes_the_encoding() {
        let base = statement();
        let variants = [
            base,
            Statement { kind: StatementKind::CHECKPOINT, ..base },
            Statement { chain: Digest([0x23; 32]), ..base },
            Statement { epoch: base.epoch + 1, ..base },
            Statement { protocol: ProtocolTag::PBFT, ..base },
            Statement { fault_model: FaultModel::Byzantine, ..base },
            Statement { view: base.view + 1, ..base },
            Statement { height: base.height + 1, ..base },
            Statement { digest: Digest([0x34; 32]), ..base },
            Statement { view: base.height, height: base.view, ..base },
            Statement { chain: base.digest, digest: base.chain, ..base },
        ];
        for (i, a) in variants.iter().enumerate() {
            for (j, b) in variants.iter().enumerate() {
                assert_eq!(a.encode() == b.encode(), i == j, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn fault_models_are_the_bytes_0_and_1_and_words_where_people_read() {
        for (model, byte, word) in [(FaultModel::Byzantine, 0, "byzantine"), (FaultModel::Crash, 1, "crash")]
        {
            assert_eq!(model as u8, byte);
            assert_eq!(postcard::to_allocvec(&model).unwrap(), [byte]);
            assert_eq!(model.to_string(), word);
            assert_eq!(serde_json::to_string(&model).unwrap(), format!("\"{word}\""));
        }
    }

    #[test]
    fn displays() {
        assert_eq!(ReplicaId(3).to_string(), "r3");
        assert_eq!(ProtocolTag::RAFT.to_string(), "raft");
        assert_eq!(ProtocolTag(9).to_string(), "protocol 9");
    }
}
