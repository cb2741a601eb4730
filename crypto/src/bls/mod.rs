//! Threshold BLS signatures over BLS12-381: signatures in G1 (48 bytes), public keys in G2 (96 bytes), on
//! `blst`.
//!
//! A secret polynomial of degree `quorum − 1` over the scalar field gives replica i the share f(i + 1); the
//! group's key belongs to f(0). Any `quorum` signature shares interpolate to the one signature of the group's
//! key; fewer say nothing about it (Boldyreva 2003; Shamir 1979). Index zero, which would be the group's
//! secret itself, is no replica's.
//!
//! # Suites
//! The ciphersuite is the proof-of-possession variant of the IETF draft (draft-irtf-cfrg-bls-signature,
//! section 4.2.3), minimal signature size: a key is registered with a proof that its owner knows the secret,
//! under a tag of its own (threat 49). The threshold scheme itself needs no such proof, since it never adds
//! keys that their owners chose alone, its aggregates included; a multi-signature and the registration of
//! key-generation keys do.
//!
//! # Checks
//! A public key is checked once, where it is decoded: canonical encoding, on the curve, in the subgroup, not
//! the identity (threats 50, 51). A signature that arrives is checked likewise.

mod aggregate;
mod combine;
mod dealer;
mod ffi;
mod keys;
mod point;
mod threshold;

#[cfg(test)]
mod tests;

pub use dealer::trusted_dealer;
pub use keys::{GroupPublicKey, ProofOfPossession, SecretShare, SharePublicKey};
pub use threshold::{KeyError, ThresholdPublic};

pub(crate) use threshold::check_size;

pub(crate) use aggregate::{aggregate, verify_aggregate};
pub(crate) use combine::{culprits, interpolate, verify_batch};
pub(crate) use point::{PreparedKey, SignaturePoint, UncheckedPoint};

/// The domain separation tag of signatures.
pub const SIGNATURE_SUITE: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// The domain separation tag of proofs of possession.
pub const POSSESSION_SUITE: &[u8] = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
