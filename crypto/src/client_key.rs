//! Client keys and the verification of transactions: Ed25519 under ZIP-215.
//!
//! Whether a transaction is valid is part of agreement, so every replica must reach the same verdict, whether
//! it checks one signature or many together (threat 98). ZIP-215 is the rule under which that holds:
//! non-canonical points are accepted, the scalar must be canonical, and the equation is multiplied by the
//! cofactor. Signing is plain RFC 8032.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use zeroize::Zeroizing;

use crate::identity::fresh_seed;
use crate::weights::Weights;
use crate::wire::fixed_bytes;
use crate::{EntropyError, Identity, Signature, SignatureError};

/// Signatures checked in one equation. Beyond this the gain is small and a bad signature costs more.
const BATCH: usize = 1024;
/// At and below this many, single verification is no dearer than halving further.
const SINGLY: usize = 4;

/// A client's public key: 32 bytes. Not checked until [`ClientKey::validate`] or [`ClientKey::verify`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub [u8; 32]);

fixed_bytes!(ClientKey, 32);

impl ClientKey {
    /// Verifies `signature` over `message` under ZIP-215.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let key = VerificationKey::try_from(self.0).map_err(|_| SignatureError::Key)?;
        key.verify(&signature.0.into(), message).map_err(|_| SignatureError::Signature)
    }

    /// Refuses a key that no honest client has; under a key of small order anybody can sign. For enrolment:
    /// verification itself follows ZIP-215 and takes such keys.
    pub fn validate(&self) -> Result<(), SignatureError> {
        Identity(self.0).validate()
    }
}

/// A client's secret key. Wiped on drop; `Debug` shows the public key only.
#[derive(Clone)]
pub struct ClientSecret(SigningKey);

impl ClientSecret {
    /// A fresh key from the operating system's entropy.
    pub fn generate() -> Result<ClientSecret, EntropyError> {
        fresh_seed().map(|seed| ClientSecret::from_seed(*seed))
    }

    /// The key of an RFC 8032 seed.
    pub fn from_seed(seed: [u8; 32]) -> ClientSecret {
        let seed = Zeroizing::new(seed);
        ClientSecret(SigningKey::from_bytes(&seed))
    }

    /// The seed, for the key file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> ClientKey {
        ClientKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, deterministically (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }

    /// What [`TransactionVerifier::Simulated`] takes for a signature. **No cryptography**: anybody can make
    /// one.
    #[cfg(feature = "simulated")]
    pub fn sign_simulated(&self, message: &[u8]) -> Signature {
        simulated(&self.public(), message)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSecret of {:?}", self.public())
    }
}

/// A message with its signature and the key it claims.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Who is said to have signed.
    pub key: ClientKey,
    /// The signed bytes.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// How transactions are verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionVerifier {
    /// Ed25519 under ZIP-215.
    Zip215,
    /// A checksum in place of the signature, for the simulator. **No cryptography**: anybody can make one.
    #[cfg(feature = "simulated")]
    Simulated,
}

impl TransactionVerifier {
    /// Whether the signature is good.
    pub fn verify(&self, item: &Signed<'_>) -> bool {
        match self {
            TransactionVerifier::Zip215 => item.key.verify(item.message, &item.signature).is_ok(),
            #[cfg(feature = "simulated")]
            TransactionVerifier::Simulated => simulated(&item.key, item.message) == item.signature,
        }
    }

    /// The verdict on each item, equal to [`TransactionVerifier::verify`] on it alone. Batches of up to 1024
    /// are checked in one equation; a batch that fails is halved until the bad signatures are found.
    pub fn verify_batch(&self, items: &[Signed<'_>]) -> Vec<bool> {
        match self {
            TransactionVerifier::Zip215 => {
                let mut verdicts = Vec::with_capacity(items.len());
                for chunk in items.chunks(BATCH) {
                    bisect(chunk, Suspicion::Unknown, &mut verdicts);
                }
                verdicts
            }
            #[cfg(feature = "simulated")]
            TransactionVerifier::Simulated => items.iter().map(|item| self.verify(item)).collect(),
        }
    }
}

/// What is known of a range before it is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Suspicion {
    Unknown,
    /// The range holds a bad signature: checking it as a whole would tell nothing.
    Bad,
}

/// Appends the verdicts on `items` in order, and says whether all are good.
fn bisect(items: &[Signed<'_>], suspicion: Suspicion, verdicts: &mut Vec<bool>) -> bool {
    if items.len() <= SINGLY {
        let before = verdicts.len();
        verdicts.extend(items.iter().map(|item| TransactionVerifier::Zip215.verify(item)));
        return verdicts[before..].iter().all(|good| *good);
    }
    if suspicion == Suspicion::Unknown && all_good(items) {
        verdicts.resize(verdicts.len() + items.len(), true);
        return true;
    }
    let (left, right) = items.split_at(items.len() / 2);
    let left_good = bisect(left, Suspicion::Unknown, verdicts);
    let suspicion = if left_good { Suspicion::Bad } else { Suspicion::Unknown };
    bisect(right, suspicion, verdicts);
    false
}

/// Checks all `items` in one equation with random weights. `false` also where there is no entropy for the
/// weights.
fn all_good(items: &[Signed<'_>]) -> bool {
    let mut batch = batch::Verifier::new();
    for item in items {
        let key = VerificationKeyBytes::from(item.key.0);
        batch.queue((key, item.signature.0.into(), item.message));
    }
    Weights::new(&[]).is_some_and(|weights| batch.verify(weights).is_ok())
}

#[cfg(feature = "simulated")]
fn simulated(key: &ClientKey, message: &[u8]) -> Signature {
    Signature(crate::scramble::scramble(&[b"transaction", &key.0, message]))
}
