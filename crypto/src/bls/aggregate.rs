//! One signature for the words of many, each under the key of its signer's share.
//!
//! The keys of the shares lie on one polynomial, so they are not independent, and a plain sum of shares would prove
//! nothing. With five replicas and a quorum of four, for example, the fourth difference of a cubic vanishes:
//! f(1) + f(5) = 4·f(2) − 6·f(3) + 4·f(4). From the shares of r1, r2 and r3 of one statement anybody makes the sum of the
//! shares of r0 and r4, who said nothing: three would pass for a quorum, and a timeout certificate would hide a lock.
//!
//! Therefore share i enters with a weight aᵢ that is a hash of the group's keys and of all the words, as in Boneh, Drijvers
//! and Neven, *Compact Multi-Signatures for Smaller Blockchains* (2018), section 3.1:
//!
//! ```text
//! e(Σ aᵢ·sᵢ, g) = Π over the distinct statements m of e(H(m), Σ over the signers i of m of aᵢ·kᵢ)
//! ```
//!
//! Let fewer than a quorum have signed m, and let words in the names of others be added. Of all combinations of the shares of
//! those others, the ones that can be made of the shares there are form a proper subspace. Whether their weights lie in it is
//! decided only once the words are: with probability 2⁻¹²⁸ for each choice of words.
//!
//! Where a quorum *has* signed m, anybody can compute the share of every other replica for m, as in any threshold scheme. So
//! an aggregate proves that every statement in it was signed by the signers named, or by a quorum. It accuses nobody.

use std::collections::BTreeMap;

use blst::min_sig::PublicKey;

use super::combine::WEIGHT_BITS;
use super::point::{SignaturePoint, UncheckedPoint, weighted_key_sum};
use super::{SIGNATURE_SUITE, ThresholdPublic};
use crate::{Digest, Domain, Hasher, ReplicaId, Statement};

/// Bytes of a weight.
const WEIGHT_BYTES: usize = WEIGHT_BITS / 8;

/// The aggregate of `shares`, one for each of `words`, if it verifies. Else at least one share is bad. The signers are
/// distinct members.
///
/// As with combining, the shares need no check of the subgroup of their own: the sum is checked.
pub(crate) fn aggregate(
    words: &[(ReplicaId, Statement)],
    shares: &[UncheckedPoint],
    keys: &ThresholdPublic,
) -> Option<[u8; 48]> {
    let weights = weights(words, keys);
    let sum = UncheckedPoint::weighted_sum(shares, &weights, WEIGHT_BITS).check()?;
    holds(&sum, words, &weights, keys).then(|| sum.encode())
}

/// Whether `point` is the aggregate of `words`. The signers are distinct members.
pub(crate) fn verify_aggregate(
    words: &[(ReplicaId, Statement)],
    point: &SignaturePoint,
    keys: &ThresholdPublic,
) -> bool {
    holds(point, words, &weights(words, keys), keys)
}

/// The equation.
fn holds(
    point: &SignaturePoint,
    words: &[(ReplicaId, Statement)],
    weights: &[u8],
    keys: &ThresholdPublic,
) -> bool {
    let mut by_statement: BTreeMap<&Statement, (Vec<PublicKey>, Vec<u8>)> = BTreeMap::new();
    for ((signer, statement), weight) in words.iter().zip(weights.chunks_exact(WEIGHT_BYTES)) {
        let (signers, theirs) = by_statement.entry(statement).or_default();
        signers.push(*keys.shares()[signer.index()].point());
        theirs.extend_from_slice(weight);
    }
    let pairs: Vec<(SignaturePoint, PublicKey)> = by_statement
        .iter()
        .map(|(statement, (signers, theirs))| {
            let hash = SignaturePoint::hash(&statement.encode(), SIGNATURE_SUITE);
            (hash, weighted_key_sum(signers, theirs, WEIGHT_BITS))
        })
        .collect();
    point.signs_all(&pairs)
}

/// The weights of `words`, one after another, little endian.
fn weights(words: &[(ReplicaId, Statement)], keys: &ThresholdPublic) -> Vec<u8> {
    let mut all = Hasher::new(Domain::AggregateWeights);
    all.update(&keys.digest().0);
    for (signer, statement) in words {
        all.update(&signer.0.to_be_bytes());
        all.update(&statement.encode());
    }
    let all = all.finish();
    let weight = |(signer, _): &(ReplicaId, Statement)| -> [u8; WEIGHT_BYTES] {
        let digest = Digest::of_parts(Domain::AggregateWeights, &[&all.0, &signer.0.to_be_bytes()]);
        std::array::from_fn(|i| digest.0[i])
    };
    words.iter().flat_map(weight).collect()
}
