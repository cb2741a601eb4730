//! Replica identities: Ed25519 (RFC 8032) under the strictest verification.
//!
//! `verify_strict` of ed25519-dalek refuses non-canonical scalars, small-order keys and small-order
//! commitments, and checks the equation without the cofactor. One signature has one verdict, and there is no
//! batch whose verdict could differ.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::wire::fixed_bytes;
use crate::work;

/// Why an Ed25519 key or signature is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key is not the canonical encoding of a point of the prime-order group, or is of small order.
    #[error("the key is not a canonical point of prime order")]
    Key,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

/// The operating system gave no entropy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the operating system gives no entropy: {0}")]
pub struct EntropyError(#[from] getrandom::Error);

/// Thirty-two fresh bytes from the operating system.
pub(crate) fn fresh_seed() -> Result<Zeroizing<[u8; 32]>, EntropyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(seed)
}

/// An Ed25519 signature: 64 bytes, R and then s. Not checked until it is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

fixed_bytes!(Signature, 64);

/// A replica's public key: 32 bytes. Not checked until [`Identity::validate`] or [`Identity::verify`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 32]);

fixed_bytes!(Identity, 32);

impl Identity {
    /// Verifies `signature` over `message`, strictly.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        verify_strict(&self.point()?, message, signature)
    }

    /// Refuses a key that no honest replica has: not a canonical encoding, of small order, or with a part of
    /// small order (threat 51). For the genesis and every change of the committee.
    pub fn validate(&self) -> Result<(), SignatureError> {
        let point = self.point()?.to_edwards();
        // `is_torsion_free` alone lets the identity through. It does refuse all points that have a second
        // encoding, as it happens; the rule is stated all the same.
        if point.is_small_order() || !point.is_torsion_free() || point.compress().to_bytes() != self.0 {
            return Err(SignatureError::Key);
        }
        Ok(())
    }

    /// Whether [`IdentitySecret::sign_simulated`] makes this of `message`.
    #[cfg(feature = "simulated")]
    pub(crate) fn verify_simulated(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        if *signature == simulated(self, message) { Ok(()) } else { Err(SignatureError::Signature) }
    }

    /// The decompressed key.
    pub(crate) fn point(&self) -> Result<VerifyingKey, SignatureError> {
        VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureError::Key)
    }
}

/// Strict verification under a key that was decompressed before.
pub(crate) fn verify_strict(
    key: &VerifyingKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    work::verified(1);
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0))
        .map_err(|_| SignatureError::Signature)
}

/// A replica's secret key. Wiped on drop; `Debug` shows the public key only.
#[derive(Clone)]
pub struct IdentitySecret(SigningKey);

impl IdentitySecret {
    /// A fresh key from the operating system's entropy.
    pub fn generate() -> Result<IdentitySecret, EntropyError> {
        fresh_seed().map(|seed| IdentitySecret::from_seed(*seed))
    }

    /// The key of an RFC 8032 seed.
    pub fn from_seed(seed: [u8; 32]) -> IdentitySecret {
        let seed = Zeroizing::new(seed);
        IdentitySecret(SigningKey::from_bytes(&seed))
    }

    /// The seed, for the key file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> Identity {
        Identity(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, deterministically (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> Signature {
        work::signed();
        Signature(self.0.sign(message).to_bytes())
    }

    /// What a simulated [`QuorumVerifier`](crate::QuorumVerifier) takes for a signature. **No cryptography**: anybody
    /// can make one.
    #[cfg(feature = "simulated")]
    pub fn sign_simulated(&self, message: &[u8]) -> Signature {
        simulated(&self.public(), message)
    }
}

#[cfg(feature = "simulated")]
fn simulated(key: &Identity, message: &[u8]) -> Signature {
    Signature(crate::scramble::scramble(&[b"identity", &key.0, message]))
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentitySecret of {:?}", self.public())
    }
}
