//! The public keys of a threshold group.

use serde::{Deserialize, Serialize};

use super::ffi::Scalar;
use super::keys::{GroupPublicKey, SharePublicKey};
use super::point::{concatenated, inverses, is_identity, weighted_key_sum};
use crate::{Digest, Domain, HexError, ReplicaId};

/// Why keys are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no canonical point of the prime-order subgroup, or the identity.
    #[error("the public key is not a canonical point of the subgroup, or is the identity")]
    Point,
    /// The text is not hexadecimal.
    #[error("the public key is not hexadecimal: {0}")]
    Hex(#[from] HexError),
    /// The bytes are no scalar between 1 and the order of the group.
    #[error("the secret is not a scalar between 1 and the order of the group")]
    Secret,
    /// The proof of possession does not verify.
    #[error("the proof of possession does not verify under the key")]
    Possession,
    /// The quorum is zero or larger than the number of replicas, or there are more replicas than identifiers.
    #[error("a quorum of {quorum} among {replicas} replicas is not possible")]
    Size {
        /// Replicas.
        replicas: usize,
        /// Shares or signatures that make a certificate.
        quorum: usize,
    },
    /// The key of this replica is refused, or another has it too.
    #[error("the key of {0} is not a valid key, or another replica has it too")]
    Replica(ReplicaId),
    /// The keys of the shares and of the group do not lie on one polynomial of exactly the degree quorum − 1.
    #[error("the keys of the shares and of the group do not belong together")]
    Inconsistent,
}

/// Refuses sizes that no committee has.
pub(crate) fn check_size(replicas: usize, quorum: usize) -> Result<(), KeyError> {
    if quorum == 0 || quorum > replicas || replicas > usize::from(u16::MAX) {
        return Err(KeyError::Size { replicas, quorum });
    }
    Ok(())
}

/// The public keys of a threshold group: one for the group, one a replica, and how many shares make a
/// certificate.
///
/// Invariant: all keys are checked points, and lie on one polynomial of exactly the degree `quorum − 1` in
/// the exponent, the group's at 0 and that of replica i at i + 1. So any `quorum` good shares combine to a
/// good certificate. Decoding checks it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ThresholdPublic {
    group: GroupPublicKey,
    shares: Vec<SharePublicKey>,
    quorum: u16,
}

/// [`ThresholdPublic`] as it comes: points checked, their relation not.
#[derive(Deserialize)]
struct Unchecked {
    group: GroupPublicKey,
    shares: Vec<SharePublicKey>,
    quorum: u16,
}

impl TryFrom<Unchecked> for ThresholdPublic {
    type Error = KeyError;

    fn try_from(keys: Unchecked) -> Result<ThresholdPublic, KeyError> {
        ThresholdPublic::new(keys.group, keys.shares, usize::from(keys.quorum))
    }
}

impl ThresholdPublic {
    /// Checks that the keys belong together. `shares[i]` is the key of replica i.
    pub fn new(
        group: GroupPublicKey,
        shares: Vec<SharePublicKey>,
        quorum: usize,
    ) -> Result<ThresholdPublic, KeyError> {
        check_size(shares.len(), quorum)?;
        let keys = ThresholdPublic { group, shares, quorum: quorum as u16 };
        keys.check_distinct()?;
        keys.check_degree()?;
        Ok(keys)
    }

    /// The key under which certificates verify.
    pub fn group(&self) -> &GroupPublicKey {
        &self.group
    }

    /// The key of each replica's share, in the order of their identifiers.
    pub fn shares(&self) -> &[SharePublicKey] {
        &self.shares
    }

    /// How many shares make a certificate.
    pub fn quorum(&self) -> usize {
        usize::from(self.quorum)
    }

    /// A digest of all the keys: names the group in key files and configurations.
    pub fn digest(&self) -> Digest {
        let mut hasher = crate::Hasher::new(Domain::ThresholdKeys);
        hasher.update(&self.quorum.to_be_bytes());
        hasher.update(&self.group.to_bytes());
        for share in &self.shares {
            hasher.update(&share.to_bytes());
        }
        hasher.finish()
    }

    /// Two replicas with one share are one replica to whoever steals it. With a quorum of one all shares are
    /// equal.
    fn check_distinct(&self) -> Result<(), KeyError> {
        if self.quorum == 1 {
            return Ok(());
        }
        let mut seen = std::collections::BTreeSet::new();
        for (i, share) in self.shares.iter().enumerate() {
            if !seen.insert(share.to_bytes()) {
                return Err(KeyError::Replica(ReplicaId(i as u16)));
            }
        }
        Ok(())
    }

    /// The degree must be exactly `quorum − 1`: with a higher one a quorum does not suffice, with a lower one
    /// fewer do.
    fn check_degree(&self) -> Result<(), KeyError> {
        let quorum = self.quorum();
        if self.degree_is_below(quorum) && (quorum == 1 || !self.degree_is_below(quorum - 1)) {
            Ok(())
        } else {
            Err(KeyError::Inconsistent)
        }
    }

    /// Whether the keys lie on a polynomial of a degree below `bound`, by one sum (Cascudo and David, SCRAPE,
    /// 2017, section 2.1): the values of such a polynomial at n points are orthogonal to the dual code, whose
    /// words are vᵢ·m(xᵢ) for every polynomial m of a degree below `n − bound`, with vᵢ = Π 1/(xᵢ − xⱼ) over
    /// j ≠ i. A word drawn at random misses a fault with probability 1/order; the draw is a hash of the keys,
    /// so it is fixed after them.
    fn degree_is_below(&self, bound: usize) -> bool {
        let points: Vec<Scalar> = (0..=self.shares.len() as u64).map(Scalar::from_u64).collect();
        let seed = self.digest();
        let word: Vec<Scalar> = (0..points.len() - bound).map(|i| coefficient(&seed, i as u64)).collect();
        let denominators: Vec<Scalar> = points
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let others = points.iter().enumerate().filter(|(j, _)| *j != i);
                others.fold(Scalar::from_u64(1), |product, (_, other)| product.mul(&x.sub(other)))
            })
            .collect();
        let weights: Vec<Scalar> =
            inverses(&denominators).iter().zip(&points).map(|(v, x)| v.mul(&evaluate(&word, x))).collect();
        let keys: Vec<_> =
            std::iter::once(self.group.0).chain(self.shares.iter().map(|share| share.0)).collect();
        is_identity(&weighted_key_sum(&keys, &concatenated(&weights), 255))
    }
}

/// The value at `x` of the polynomial with these coefficients, lowest first (Horner).
pub(super) fn evaluate(coefficients: &[Scalar], x: &Scalar) -> Scalar {
    coefficients.iter().rev().fold(Scalar::zero(), |value, coefficient| value.mul(x).add(coefficient))
}

/// The `i`th number of the random word, from 384 bits of hash.
fn coefficient(seed: &Digest, i: u64) -> Scalar {
    let half = |which: &[u8]| Digest::of_parts(Domain::Weights, &[&seed.0, &i.to_be_bytes(), which]);
    let mut wide = [0; 48];
    wide[..32].copy_from_slice(&half(b"a").0);
    wide[32..].copy_from_slice(&half(b"b").0[..16]);
    Scalar::from_wide(&wide)
}
