//! Combining signature shares, and checking many signatures together.

use blst::min_sig::PublicKey;

use super::SIGNATURE_SUITE;
use super::ffi::Scalar;
use super::keys::SharePublicKey;
use super::point::{
    PreparedKey, SignaturePoint, UncheckedPoint, concatenated, lagrange_at_zero, small_lagrange_at_zero,
    sum_of_keys, weighted_key_sum,
};
use crate::weights::Weights;
use crate::{ReplicaId, Statement};

/// Bits of a weight.
pub(super) const WEIGHT_BITS: usize = 128;

/// Interpolates the shares at zero. The signers are distinct. The sum is the group's signature if it verifies; if it
/// does not, or is none of the subgroup (`None`), at least one share is bad.
///
/// The shares need no check of the subgroup of their own: what counts is the sum, and that is checked. Parts
/// outside the subgroup that cancel in the sum do no harm.
pub(crate) fn interpolate(shares: &[(ReplicaId, UncheckedPoint)]) -> Option<SignaturePoint> {
    let (indexes, points): (Vec<u64>, Vec<UncheckedPoint>) =
        shares.iter().map(|(signer, point)| (u64::from(signer.0) + 1, *point)).unzip();
    let sum = match small_lagrange_at_zero(&indexes) {
        Some((coefficients, denominator)) => small_sum(&points, &coefficients, denominator),
        None => UncheckedPoint::weighted_sum(&points, &concatenated(&lagrange_at_zero(&indexes)), 255),
    };
    sum.check()
}

/// Σ coefficient · point / denominator.
fn small_sum(points: &[UncheckedPoint], coefficients: &[i64], denominator: u64) -> UncheckedPoint {
    let signed = points.iter().zip(coefficients);
    let points: Vec<UncheckedPoint> =
        signed.map(|(point, c)| if *c < 0 { point.negated() } else { *point }).collect();
    let bits =
        coefficients.iter().map(|c| u64::BITS - c.unsigned_abs().leading_zeros()).max().unwrap_or(0) as usize;
    let scalars: Vec<u8> = coefficients
        .iter()
        .flat_map(|c| c.unsigned_abs().to_le_bytes().into_iter().take(bits.div_ceil(8)))
        .collect();
    let sum = UncheckedPoint::weighted_sum(&points, &scalars, bits);
    if denominator == 1 {
        return sum;
    }
    UncheckedPoint::weighted_sum(&[sum], &Scalar::from_u64(denominator).inverse().to_little_endian(), 255)
}

/// The positions in `shares` of those that do not verify under their keys, ascending. `known_bad` says that
/// at least one does not, which saves the first check.
///
/// Many are checked in one equation, e(Σ rᵢ·sᵢ, g) = e(H(m), Σ rᵢ·kᵢ) with random weights rᵢ, and halved on
/// failure.
pub(crate) fn culprits(
    statement: &Statement,
    shares: &[(SignaturePoint, SharePublicKey)],
    known_bad: bool,
) -> Vec<usize> {
    let message = statement.encode();
    let single = |(share, key): &(SignaturePoint, SharePublicKey)| -> bool {
        share.verify(&message, SIGNATURE_SUITE, key.point())
    };
    let together = |range: &[(SignaturePoint, SharePublicKey)], weights: &[u8]| -> bool {
        let (points, keys): (Vec<SignaturePoint>, Vec<PublicKey>) =
            range.iter().map(|(share, key)| (*share, *key.point())).unzip();
        let sum = points[0].plus_weighted(&points[1..], weights, WEIGHT_BITS);
        let keys = sum_of_keys(&keys[0], &weighted_key_sum(&keys[1..], weights, WEIGHT_BITS));
        sum.verify(&message, SIGNATURE_SUITE, &keys)
    };
    bad_positions(shares, known_bad, &Check { single: &single, together: &together })
}

/// The positions of the signatures that do not verify under the group's key, ascending.
///
/// Since the key is the same for all, e(Σ rᵢ·sᵢ, g) = e(Σ rᵢ·H(mᵢ), k): two pairings for any number of
/// signatures.
pub(crate) fn verify_batch(items: &[(Statement, SignaturePoint)], group: &PreparedKey) -> Vec<usize> {
    let hashed: Vec<(SignaturePoint, SignaturePoint)> =
        items.iter().map(|(statement, point)| (SignaturePoint::of(statement), *point)).collect();
    let single = |(hash, point): &(SignaturePoint, SignaturePoint)| point.signs(hash, group);
    let together = |range: &[(SignaturePoint, SignaturePoint)], weights: &[u8]| -> bool {
        let (hashes, points): (Vec<SignaturePoint>, Vec<SignaturePoint>) = range.iter().copied().unzip();
        let sum = |points: &[SignaturePoint]| points[0].plus_weighted(&points[1..], weights, WEIGHT_BITS);
        sum(&points).signs(&sum(&hashes), group)
    };
    bad_positions(&hashed, false, &Check { single: &single, together: &together })
}

/// How items are checked, one alone or several with weights of all but the first.
struct Check<'a, T> {
    single: &'a dyn Fn(&T) -> bool,
    together: &'a dyn Fn(&[T], &[u8]) -> bool,
}

impl<T> Check<'_, T> {
    /// Whether all `items` are good. `false` is certain; `true` is, but for a probability of 2⁻¹²⁸. The first one's weight is 1: errors cancel
    /// only where the random weight of another one makes them.
    fn all_good(&self, items: &[T]) -> bool {
        match (items, Weights::new(&[])) {
            ([], _) => true,
            ([item], _) => (self.single)(item),
            (_, None) => items.iter().all(self.single),
            ([_, others @ ..], Some(mut source)) => {
                let weights: Vec<u8> = others.iter().flat_map(|_| source.weight()).collect();
                (self.together)(items, &weights)
            }
        }
    }
}

/// The positions of the bad items, found by halving ranges that fail.
fn bad_positions<T>(items: &[T], known_bad: bool, check: &Check<'_, T>) -> Vec<usize> {
    let mut bad = Vec::new();
    if known_bad || !check.all_good(items) {
        halve(items, 0, check, &mut bad);
    }
    bad
}

/// Looks into `items`, of which at least one is bad, and which stand at `offset`.
fn halve<T>(items: &[T], offset: usize, check: &Check<'_, T>, bad: &mut Vec<usize>) {
    if items.len() == 1 {
        bad.push(offset);
        return;
    }
    let (left, right) = items.split_at(items.len() / 2);
    let left_good = check.all_good(left);
    if !left_good {
        halve(left, offset, check, bad);
    }
    // If the left half is good, the fault is in the right one, and checking that as a whole would tell
    // nothing.
    if left_good || !check.all_good(right) {
        halve(right, offset + left.len(), check, bad);
    }
}
