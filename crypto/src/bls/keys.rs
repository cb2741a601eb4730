//! Secret shares, public keys, and the proof that one's owner knows the other.

use std::fmt;

use blst::min_sig::{PublicKey, SecretKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::point::SignaturePoint;
use super::{KeyError, POSSESSION_SUITE};
use crate::wire::fixed_bytes;
use crate::{HexError, ReplicaId, Statement, work};

/// A replica's share of the group's secret. Wiped on drop; `Debug` shows the replica and the public key only.
#[derive(Clone)]
pub struct SecretShare {
    replica: ReplicaId,
    secret: SecretKey,
}

impl SecretShare {
    /// The share of `replica` from 32 bytes, big endian: [`KeyError::Secret`] unless they are between 1 and
    /// the group's order.
    pub fn from_bytes(replica: ReplicaId, bytes: &[u8; 32]) -> Result<SecretShare, KeyError> {
        let secret = SecretKey::from_bytes(bytes).map_err(|_| KeyError::Secret)?;
        Ok(SecretShare { replica, secret })
    }

    /// The 32 bytes, big endian, for the key file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// Whose share it is.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The public key of the share.
    pub fn public(&self) -> SharePublicKey {
        SharePublicKey(self.secret.sk_to_pk())
    }

    /// The replica's share of the group's signature of `statement`: 48 bytes. Constant time.
    pub fn sign(&self, statement: &Statement) -> [u8; 48] {
        work::signed();
        SignaturePoint::of(statement).signed(&self.secret).encode()
    }

    /// A proof that whoever shows the public key knows this secret (threat 49).
    pub fn prove_possession(&self) -> ProofOfPossession {
        ProofOfPossession(self.sign_under(&self.public().to_bytes(), POSSESSION_SUITE))
    }

    /// Signs any bytes under any tag.
    pub(super) fn sign_under(&self, message: &[u8], suite: &[u8]) -> [u8; 48] {
        SignaturePoint::hash(message, suite).signed(&self.secret).encode()
    }
}

impl fmt::Debug for SecretShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretShare of {} with {:?}", self.replica, self.public())
    }
}

/// A proof that the owner of a public key knows its secret: the secret's signature of the key, under a tag of
/// its own. 48 bytes, not checked until [`SharePublicKey::verify_possession`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProofOfPossession(pub [u8; 48]);

fixed_bytes!(ProofOfPossession, 48);

/// Decodes 96 bytes with every check.
fn decode(bytes: &[u8; 96]) -> Result<PublicKey, KeyError> {
    let key = PublicKey::uncompress(bytes).map_err(|_| KeyError::Point)?;
    key.validate().map_err(|_| KeyError::Point)?;
    Ok(key)
}

/// The two public keys have the same form and checks, and must not be confused.
macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub(super) PublicKey);

        impl $name {
            /// Decodes 96 bytes: [`KeyError::Point`] unless they are the canonical encoding of a point of the
            /// subgroup that is not the identity.
            pub fn from_bytes(bytes: &[u8; 96]) -> Result<$name, KeyError> {
                decode(bytes).map($name)
            }

            /// The compressed point: 96 bytes.
            pub fn to_bytes(&self) -> [u8; 96] {
                self.0.compress()
            }

            /// The checked point.
            pub(crate) fn point(&self) -> &PublicKey {
                &self.0
            }

            /// Decodes 192 hexadecimal digits.
            pub fn from_hex(text: &str) -> Result<$name, KeyError> {
                let bytes: Result<[u8; 96], HexError> = crate::hex::read(text.as_bytes());
                $name::from_bytes(&bytes?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                crate::hex::write(f, &self.to_bytes())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                crate::hex::write(f, &self.to_bytes()[..4])
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                crate::wire::serialize::<96, S>(&self.to_bytes(), to)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<$name, D::Error> {
                let bytes = crate::wire::deserialize::<96, D>(from)?;
                $name::from_bytes(&bytes).map_err(serde::de::Error::custom)
            }
        }
    };
}

public_key! {
    /// The public key of one replica's share: a checked point of G2, 96 bytes on the wire.
    SharePublicKey
}

public_key! {
    /// The public key of the group, under which certificates verify: a checked point of G2, 96 bytes on the
    /// wire.
    GroupPublicKey
}

impl SharePublicKey {
    /// Whether `proof` shows that the owner of this key knows its secret (threat 49):
    /// [`KeyError::Possession`] if not.
    pub fn verify_possession(&self, proof: &ProofOfPossession) -> Result<(), KeyError> {
        let point = SignaturePoint::decode(&proof.0).ok_or(KeyError::Possession)?;
        if point.verify(&self.to_bytes(), POSSESSION_SUITE, &self.0) {
            Ok(())
        } else {
            Err(KeyError::Possession)
        }
    }
}
