//! The application handshake: what both ends must agree on before a frame is carried.

use crypto::{Digest, FaultModel, ProtocolTag, ReplicaId};

/// The version of this crate's wire format: hello, stream openings and framing.
pub const TRANSPORT_VERSION: u16 = 1;

/// What a replica says of itself on every new connection. Both ends compare; a difference closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the formats that the frames carry. The transport's own version travels in front of it.
    pub version: u16,
    /// The chain: the digest of the genesis.
    pub chain: Digest,
    /// The epoch this replica is in.
    pub epoch: u64,
    /// The protocol of that epoch.
    pub protocol: ProtocolTag,
    /// The fault model of that epoch.
    pub fault_model: FaultModel,
    /// Who this replica is; must be the id to which the roster binds the key it connected with.
    pub replica: ReplicaId,
}

/// The encoded length in bytes.
pub(crate) const HELLO_BYTES: usize = 48;

/// The longest hello that is read, so that a later version may say more and still be told what differs.
pub(crate) const MAX_HELLO_BYTES: usize = 512;

/// A field in which the two ends differ. `Display` names both values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: theirs {theirs}, ours {ours} ({remedy})")]
pub struct Mismatch {
    /// The field's name.
    pub field: &'static str,
    /// The other end's value.
    pub theirs: String,
    /// Our value.
    pub ours: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Mismatch {
    fn new(
        field: &'static str,
        theirs: impl ToString,
        ours: impl ToString,
        remedy: &'static str,
    ) -> Mismatch {
        Mismatch { field, theirs: theirs.to_string(), ours: ours.to_string(), remedy }
    }

    /// The same difference as the other end sees it.
    pub(crate) fn mirrored(self) -> Mismatch {
        Mismatch { theirs: self.ours, ours: self.theirs, ..self }
    }
}

/// Why a received hello is refused before it is compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error(transparent)]
    Version(Mismatch),
    #[error("malformed hello: {0}")]
    Malformed(&'static str),
}

impl Hello {
    /// The wire format, integers little-endian: transport version (2), version (2), chain (32), epoch (8), protocol (1),
    /// fault model (1; 0 Byzantine, 1 crash), replica (2).
    pub(crate) fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[0..2].copy_from_slice(&TRANSPORT_VERSION.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.chain.0);
        bytes[36..44].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[44] = self.protocol.0;
        bytes[45] = match self.fault_model {
            FaultModel::Byzantine => 0,
            FaultModel::Crash => 1,
        };
        bytes[46..48].copy_from_slice(&self.replica.0.to_le_bytes());
        bytes
    }

    /// The inverse of [`Hello::encode`]. Both versions are compared with `ours` first, because nothing after a different
    /// version can be relied on.
    pub(crate) fn decode(bytes: &[u8], ours: &Hello) -> Result<Hello, HelloError> {
        let malformed = HelloError::Malformed;
        let u16_at =
            |at: usize| bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map(u16::from_le_bytes);
        let transport = u16_at(0).ok_or(malformed("it ends before its version"))?;
        let remedy = "run the same release on both";
        if transport != TRANSPORT_VERSION {
            let mismatch = Mismatch::new("transport version", transport, TRANSPORT_VERSION, remedy);
            return Err(HelloError::Version(mismatch));
        }
        let version = u16_at(2).ok_or(malformed("it ends before its version"))?;
        if version != ours.version {
            return Err(HelloError::Version(Mismatch::new("version", version, ours.version, remedy)));
        }
        let bytes: &[u8; HELLO_BYTES] =
            bytes.try_into().map_err(|_| malformed("its length is not 48 bytes"))?;
        let fault_model = match bytes[45] {
            0 => FaultModel::Byzantine,
            1 => FaultModel::Crash,
            _ => return Err(malformed("its fault model is neither 0 nor 1")),
        };
        let mut chain = [0; 32];
        chain.copy_from_slice(&bytes[4..36]);
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&bytes[36..44]);
        Ok(Hello {
            version,
            chain: Digest(chain),
            epoch: u64::from_le_bytes(epoch),
            protocol: ProtocolTag(bytes[44]),
            fault_model,
            replica: ReplicaId(u16::from_le_bytes([bytes[46], bytes[47]])),
        })
    }

    /// The first difference that forbids a connection. `replica` is not compared: the ends differ in it.
    ///
    /// Epochs may lie `epoch_tolerance` apart, so that a replica that slept through a change of epoch can catch up from
    /// the others. Protocol and fault model belong to the epoch and are compared when the epochs are equal.
    pub(crate) fn compare(&self, theirs: &Hello, epoch_tolerance: u64) -> Result<(), Mismatch> {
        let check = |same: bool, mismatch: Mismatch| if same { Ok(()) } else { Err(mismatch) };
        check(
            theirs.version == self.version,
            Mismatch::new("version", theirs.version, self.version, "run the same release on both"),
        )?;
        check(
            theirs.chain == self.chain,
            Mismatch::new("chain", theirs.chain, self.chain, "two networks; compare the genesis files"),
        )?;
        check(
            theirs.epoch.abs_diff(self.epoch) <= epoch_tolerance,
            Mismatch::new("epoch", theirs.epoch, self.epoch, "the lower one has to catch up first"),
        )?;
        if theirs.epoch != self.epoch {
            return Ok(());
        }
        check(
            theirs.protocol == self.protocol,
            Mismatch::new(
                "protocol",
                theirs.protocol,
                self.protocol,
                "one epoch runs one protocol; compare the genesis files",
            ),
        )?;
        check(
            theirs.fault_model == self.fault_model,
            Mismatch::new(
                "fault model",
                theirs.fault_model,
                self.fault_model,
                "one epoch has one fault model; compare the genesis files",
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            version: 7,
            chain: Digest([0xab; 32]),
            epoch: 0x0102_0304_0506_0708,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Crash,
            replica: ReplicaId(0x0a0b),
        }
    }

    #[test]
    fn threat_103_the_wire_format_is_pinned() {
        let mut golden = vec![1, 0, 7, 0];
        golden.extend([0xab; 32]);
        golden.extend([8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 0x0b, 0x0a]);
        assert_eq!(hello().encode().as_slice(), golden);
        assert_eq!(Hello::decode(&golden, &hello()), Ok(hello()));
    }

    #[test]
    fn a_malformed_hello_is_an_error_at_every_length_and_byte() {
        let golden = hello().encode();
        for length in 0..HELLO_BYTES {
            assert!(Hello::decode(&golden[..length], &hello()).is_err());
        }
        assert!(Hello::decode(&[&golden[..], &[0]].concat(), &hello()).is_err());
        for at in 0..HELLO_BYTES {
            for value in 0..=255 {
                let mut bytes = golden;
                bytes[at] = value;
                // What decodes encodes to the same bytes: the format has one encoding per value.
                if let Ok(decoded) = Hello::decode(&bytes, &hello()) {
                    assert_eq!(decoded.encode(), bytes);
                }
            }
        }
    }

    #[test]
    fn every_difference_names_both_values() {
        let ours = hello();
        let cases = [
            (Hello { version: 8, ..ours }, "version: theirs 8, ours 7"),
            (Hello { chain: Digest([0x12; 32]), ..ours }, "chain: theirs 1212"),
            (Hello { epoch: 3, ..ours }, "epoch: theirs 3, ours 72623859790382856"),
            (Hello { protocol: ProtocolTag::RAFT, ..ours }, "protocol: theirs raft, ours pbft"),
            (
                Hello { fault_model: FaultModel::Byzantine, ..ours },
                "fault model: theirs byzantine, ours crash",
            ),
        ];
        for (theirs, expected) in cases {
            let mismatch = ours.compare(&theirs, 0).unwrap_err();
            assert!(mismatch.to_string().starts_with(expected), "{mismatch}");
            let mirrored = theirs.compare(&ours, 0).unwrap_err().mirrored();
            assert_eq!(mirrored, mismatch);
        }
        assert_eq!(ours.compare(&Hello { replica: ReplicaId(1), ..ours }, 0), Ok(()));
    }

    #[test]
    fn a_tolerated_epoch_may_have_another_protocol() {
        let ours = hello();
        let next = Hello { epoch: ours.epoch + 2, protocol: ProtocolTag::RAFT, ..ours };
        assert_eq!(ours.compare(&next, 2), Ok(()));
        assert_eq!(ours.compare(&next, 1).unwrap_err().field, "epoch");
        assert_eq!(
            ours.compare(&Hello { protocol: ProtocolTag::RAFT, ..ours }, 2).unwrap_err().field,
            "protocol"
        );
    }
}
