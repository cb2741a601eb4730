//! Checked points of the signature group, and sums over them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use blst::min_sig::{AggregatePublicKey, AggregateSignature, PublicKey, SecretKey, Signature};
use blst::{BLST_ERROR, MultiPoint, Pairing, blst_fp12, blst_p1_affine};

use super::SIGNATURE_SUITE;
use super::ffi::{Lines, Scalar, hash_to_signature_group, negated, sign};
use crate::{Statement, work};

/// Hashes of statements remembered: of a few heights, all kinds.
const REMEMBERED: usize = 32;

/// A point of G1 from a canonical encoding: on the curve, maybe outside the subgroup, maybe the identity.
#[derive(Clone, Copy)]
pub(crate) struct UncheckedPoint(Signature);

impl UncheckedPoint {
    /// Decodes 48 bytes: canonical and on the curve.
    pub(crate) fn decompress(bytes: &[u8; 48]) -> Option<UncheckedPoint> {
        Signature::uncompress(bytes).ok().map(UncheckedPoint)
    }

    #[cfg(test)]
    pub(super) fn encode(&self) -> [u8; 48] {
        self.0.compress()
    }

    /// Refuses points outside the subgroup and the identity (threats 50, 51).
    pub(crate) fn check(self) -> Option<SignaturePoint> {
        self.0.validate(true).ok().map(|()| SignaturePoint(self.0))
    }

    pub(super) fn negated(&self) -> UncheckedPoint {
        UncheckedPoint(negated(&self.0))
    }

    /// Σ scalar · point over public data, with scalars of `bits` one after another, little endian. `points`
    /// not empty.
    pub(super) fn weighted_sum(points: &[UncheckedPoint], scalars: &[u8], bits: usize) -> UncheckedPoint {
        let points: Vec<Signature> = points.iter().map(|point| point.0).collect();
        UncheckedPoint(sum(&points, scalars, bits))
    }
}

/// A point of the prime-order subgroup of G1, decoded with every check.
#[derive(Clone, Copy)]
pub(crate) struct SignaturePoint(Signature);

impl SignaturePoint {
    /// Decodes 48 bytes: canonical, on the curve, in the subgroup, not the identity.
    pub(crate) fn decode(bytes: &[u8; 48]) -> Option<SignaturePoint> {
        UncheckedPoint::decompress(bytes)?.check()
    }

    /// The point that a signature of `message` is a multiple of.
    pub(super) fn hash(message: &[u8], suite: &[u8]) -> SignaturePoint {
        SignaturePoint(hash_to_signature_group(message, suite))
    }

    /// The same for a statement. The last few are remembered: a replica signs what it finds in a certificate a moment later.
    pub(super) fn of(statement: &Statement) -> SignaturePoint {
        static LATELY: Mutex<VecDeque<(Statement, SignaturePoint)>> = Mutex::new(VecDeque::new());
        let lately = || LATELY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, point)) = lately().iter().rev().find(|(other, _)| other == statement) {
            return *point;
        }
        let point = SignaturePoint::hash(&statement.encode(), SIGNATURE_SUITE);
        let mut lately = lately();
        if lately.len() == REMEMBERED {
            lately.pop_front();
        }
        lately.push_back((*statement, point));
        point
    }

    /// The signature of what hashes to this point.
    pub(super) fn signed(&self, secret: &SecretKey) -> SignaturePoint {
        SignaturePoint(sign(secret, &self.0))
    }

    pub(crate) fn encode(&self) -> [u8; 48] {
        self.0.compress()
    }

    /// Whether the point is the signature of `message` under `key`.
    pub(super) fn verify(&self, message: &[u8], suite: &[u8], key: &PublicKey) -> bool {
        work::paired(2);
        self.0.verify(false, message, suite, &[], key, false) == BLST_ERROR::BLST_SUCCESS
    }

    /// Whether the point is the signature of `statement` under `key`.
    pub(crate) fn verify_statement(&self, statement: &Statement, key: &PublicKey) -> bool {
        self.verify(&statement.encode(), SIGNATURE_SUITE, key)
    }

    /// Whether the point is the signature under `key` of the message that hashes to `hash`: e(self, g) =
    /// e(hash, key).
    pub(super) fn signs(&self, hash: &SignaturePoint, key: &PreparedKey) -> bool {
        work::paired(2);
        key.0.agree(&self.0, &hash.0)
    }

    /// Whether the point is the sum of the signatures under each key of the message that hashes to the point
    /// beside it: e(self, g) = Π e(hash, key), one pairing more than there are `pairs`.
    pub(super) fn signs_all(&self, pairs: &[(SignaturePoint, PublicKey)]) -> bool {
        work::paired(pairs.len() + 1);
        let mut pairing = Pairing::new(true, &[]);
        for (hash, key) in pairs {
            pairing.raw_aggregate(key.into(), (&hash.0).into());
        }
        pairing.commit();
        let point: &blst_p1_affine = (&self.0).into();
        let mut signature = blst_fp12::default();
        Pairing::aggregated(&mut signature, point);
        pairing.finalverify(Some(&signature))
    }

    /// Σ scalar · point over public data, with scalars of `bits` one after another, little endian. `points`
    /// not empty.
    pub(super) fn weighted_sum(points: &[SignaturePoint], scalars: &[u8], bits: usize) -> SignaturePoint {
        let points: Vec<Signature> = points.iter().map(|point| point.0).collect();
        SignaturePoint(sum(&points, scalars, bits))
    }

    /// This point and Σ scalar · other, as above.
    pub(super) fn plus_weighted(
        &self,
        others: &[SignaturePoint],
        scalars: &[u8],
        bits: usize,
    ) -> SignaturePoint {
        let mut total = AggregateSignature::from_signature(&self.0);
        let others = SignaturePoint::weighted_sum(others, scalars, bits);
        total.add_signature(&others.0, false).expect("neither is checked again");
        SignaturePoint(total.to_signature())
    }
}

/// A group's key, prepared for many checks.
#[derive(Clone)]
pub(crate) struct PreparedKey(Lines);

impl PreparedKey {
    pub(crate) fn new(key: &PublicKey) -> PreparedKey {
        PreparedKey(Lines::of(key))
    }
}

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedKey").finish_non_exhaustive()
    }
}

fn sum(points: &[Signature], scalars: &[u8], bits: usize) -> Signature {
    assert_eq!(scalars.len(), points.len() * bits.div_ceil(8));
    let sum: AggregateSignature = points.mult(scalars, bits);
    sum.to_signature()
}

/// Σ scalar · key over public data, as for signatures. The sum may be the identity.
pub(super) fn weighted_key_sum(keys: &[PublicKey], scalars: &[u8], bits: usize) -> PublicKey {
    assert_eq!(scalars.len(), keys.len() * bits.div_ceil(8));
    keys.mult(scalars, bits).to_public_key()
}

/// Both keys' sum. It may be the identity.
pub(super) fn sum_of_keys(one: &PublicKey, other: &PublicKey) -> PublicKey {
    let mut sum = AggregatePublicKey::from_public_key(one);
    sum.add_public_key(other, false).expect("neither is checked again");
    sum.to_public_key()
}

/// Whether the sum of keys is the identity.
pub(super) fn is_identity(key: &PublicKey) -> bool {
    key.validate() == Err(BLST_ERROR::BLST_PK_IS_INFINITY)
}

/// The Lagrange coefficients at zero for `indexes`, which are distinct, not zero, and public: λᵢ = Π xⱼ / (xⱼ
/// − xᵢ) over j ≠ i. One inversion for all of them.
///
/// # Panics
/// On a zero or a repeated index, which the callers exclude (threat 52).
pub(super) fn lagrange_at_zero(indexes: &[u64]) -> Vec<Scalar> {
    for (i, index) in indexes.iter().enumerate() {
        assert!(*index != 0 && !indexes[..i].contains(index), "index {index} is zero or occurs twice");
    }
    let xs: Vec<Scalar> = indexes.iter().map(|index| Scalar::from_u64(*index)).collect();
    let product = |factors: &mut dyn Iterator<Item = Scalar>| {
        factors.fold(Scalar::from_u64(1), |product, factor| product.mul(&factor))
    };
    let all = product(&mut xs.iter().cloned());
    // λᵢ = all / (xᵢ · Π (xⱼ − xᵢ)).
    let denominators: Vec<Scalar> = (0..xs.len())
        .map(|i| product(&mut (0..xs.len()).map(|j| if i == j { xs[i].clone() } else { xs[j].sub(&xs[i]) })))
        .collect();
    inverses(&denominators).iter().map(|inverse| inverse.mul(&all)).collect()
}

/// The coefficients as fractions of whole numbers under one denominator, if those fit: exact for small committees, where they are
/// small, and a sum over them takes a fraction of the time.
///
/// # Panics
/// As [`lagrange_at_zero`] does.
pub(super) fn small_lagrange_at_zero(indexes: &[u64]) -> Option<(Vec<i64>, u64)> {
    let xs: Option<Vec<i128>> =
        indexes.iter().map(|index| Some(i128::from(u32::try_from(*index).ok()?))).collect();
    let xs = xs?;
    let mut fractions = Vec::with_capacity(xs.len());
    let mut common = 1_i128;
    for (i, x) in xs.iter().enumerate() {
        assert!(*x != 0 && !xs[..i].contains(x), "index {x} is zero or occurs twice");
        let mut others = xs.iter().filter(|other| *other != x);
        let (numerator, denominator) = others.try_fold((1_i128, 1_i128), |(above, below), other| {
            Some((above.checked_mul(*other)?, below.checked_mul(other - x)?))
        })?;
        let shared = divisor(numerator, denominator);
        let (numerator, denominator) = (numerator / shared, denominator / shared);
        common = (common / divisor(common, denominator)).checked_mul(denominator.checked_abs()?)?;
        fractions.push((numerator, denominator));
    }
    let whole = |(numerator, denominator): (i128, i128)| {
        i64::try_from(numerator.checked_mul(common / denominator)?).ok()
    };
    let coefficients: Option<Vec<i64>> = fractions.into_iter().map(whole).collect();
    Some((coefficients?, u64::try_from(common).ok()?))
}

/// The greatest common divisor, positive.
fn divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

/// The inverses of all `values`, none of them zero, with one inversion (Montgomery's trick).
pub(super) fn inverses(values: &[Scalar]) -> Vec<Scalar> {
    let mut prefixes = Vec::with_capacity(values.len());
    let mut product = Scalar::from_u64(1);
    for value in values {
        prefixes.push(product.clone());
        product = product.mul(value);
    }
    let mut inverse = product.inverse();
    let mut inverses = vec![Scalar::zero(); values.len()];
    for i in (0..values.len()).rev() {
        inverses[i] = prefixes[i].mul(&inverse);
        inverse = inverse.mul(&values[i]);
    }
    inverses
}

/// Scalars one after another, as the sums take them.
pub(super) fn concatenated(scalars: &[Scalar]) -> Vec<u8> {
    scalars.iter().flat_map(Scalar::to_little_endian).collect()
}
