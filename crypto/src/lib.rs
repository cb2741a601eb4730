//! Digests, identities, quorum certificates, Merkle trees and key files of Quorate.
//!
//! The crate is the bottom of the workspace: it knows bytes, keys and statements, and nothing of blocks,
//! messages or networks. Everything is a function of its arguments, with two exceptions that are named where
//! they occur: new keys, and the random weights of batch verification, take entropy from the operating
//! system. The weights never change a verdict, except with probability 2⁻¹²⁸.
//!
//! | module | what it is |
//! |---|---|
//! | [`Digest`], [`Domain`] | SHA-256 under a domain tag |
//! | [`Statement`] | what replicas sign towards a quorum |
//! | [`Identity`] | a replica's Ed25519 key (strict verification) |
//! | [`ClientKey`] | a client's Ed25519 key (ZIP-215, single and batch) |
//! | [`bls`] | threshold BLS signatures: keys, shares, the dealer for tests |
//! | [`QuorumVerifier`] | shares and certificates of a quorum, whatever the scheme |
//! | [`merkle`] | RFC 6962 trees |
//! | [`keystore`] | key files |
//! | [`Work`] | how much of it was done, for accounting |
//!
//! # Rules of the crate
//! - Bytes from outside become a key, a point or a signature only through a check; failure is a typed error,
//!   never a panic.
//! - Secrets are wiped on drop, have no `Display` and no serde, and their `Debug` names the public key only.
//! - Two kinds of signed or hashed bytes never share a domain tag ([`Domain`], [`Statement`], the BLS
//!   suites).

pub mod bls;
pub mod keystore;
pub mod merkle;

mod client_key;
mod digest;
mod hex;
mod identity;
#[cfg(feature = "simulated")]
mod memo;
mod quorum;
#[cfg(feature = "simulated")]
mod scramble;
mod statement;
mod weights;
mod wire;
mod work;

pub use bls::{
    GroupPublicKey, KeyError, ProofOfPossession, SecretShare, SharePublicKey, ThresholdPublic, trusted_dealer,
};
pub use client_key::{ClientKey, ClientSecret, Signed, TransactionVerifier};
pub use digest::{Digest, Domain, Hasher};
pub use hex::HexError;
pub use identity::{EntropyError, Identity, IdentitySecret, Signature, SignatureError};
pub use keystore::{KeyFile, KeyFileError, KeyFileFault, KeyKind, ThresholdKey};
#[cfg(feature = "simulated")]
pub use memo::remember_digests;
pub use quorum::{
    Aggregate, Certificate, CertificateError, CombineError, ListVerifier, NamedVerifier, QuorumSigner,
    QuorumVerifier, Scheme, SchemeError, Share, ThresholdVerifier,
};
#[cfg(feature = "simulated")]
pub use quorum::{SimulatedSigner, SimulatedVerifier};
pub use statement::{
    FaultModel, ProtocolTag, ReplicaId, STATEMENT_LEN, STATEMENT_TAG, Statement, StatementKind,
};
pub use work::Work;
