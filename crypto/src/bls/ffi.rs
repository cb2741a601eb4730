//! The one module with unsafe code: scalar arithmetic, hash-to-curve, signatures of what was hashed before and Miller loops over prepared
//! points, which blst's Rust crate offers only as raw C functions.
//!
//! # Safety argument
//! Every function called here reads and writes through pointers to `blst_fr`, `blst_scalar`, `blst_fp`, `blst_fp6`, `blst_fp12`,
//! `blst_p1`, `blst_p1_affine` or `blst_p2_affine` (plain `repr(C)` integers without padding or invariants that memory
//! safety rests on) or to 68 `blst_fp6` (the number in blst's C signatures), or reads `length` bytes from a pointer. Each
//! pointer comes from a reference or a slice that outlives the call, or is that of the generator or of the field's one, constants of blst's; each
//! output is initialised before the call and exclusively borrowed, each length is that of the slice beside it. blst allows an
//! output to alias an input, which no call here makes use of. None of the functions keeps a pointer, takes a lock or
//! calls back. `blst_fr_inverse` of zero is defined (zero). Nothing unsafe, and no blst type of a field, leaves the
//! module.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use blst::{
    blst_fp, blst_fp6, blst_fp12, blst_fr, blst_p1, blst_p1_affine, blst_p2_affine, blst_scalar, min_sig,
};
use zeroize::Zeroize;

/// An element of the scalar field of BLS12-381, in blst's Montgomery form. Wiped on drop: it may be a share.
///
/// Arithmetic takes the same time for all values.
#[derive(Clone)]
pub(super) struct Scalar(blst_fr);

impl Scalar {
    pub(super) fn zero() -> Scalar {
        Scalar(blst_fr::default())
    }

    pub(super) fn from_u64(value: u64) -> Scalar {
        let limbs = [value, 0, 0, 0];
        let mut out = blst_fr::default();
        // SAFETY: see the module; the function reads four limbs.
        unsafe { blst::blst_fr_from_uint64(&mut out, limbs.as_ptr()) };
        Scalar(out)
    }

    /// The value of a secret key.
    pub(super) fn from_secret(secret: &min_sig::SecretKey) -> Scalar {
        Scalar::from_reduced(secret.into())
    }

    /// A digest, reduced modulo the order of the group: the bias is below 2⁻¹²⁵ for `wide` of 48 bytes.
    pub(super) fn from_wide(wide: &[u8; 48]) -> Scalar {
        let mut scalar = blst_scalar::default();
        // SAFETY: see the module. The result says whether the value is not zero; zero is as good as any here.
        unsafe { blst::blst_scalar_from_be_bytes(&mut scalar, wide.as_ptr(), wide.len()) };
        Scalar::from_reduced(&scalar)
    }

    /// `scalar` must be below the order of the group.
    fn from_reduced(scalar: &blst_scalar) -> Scalar {
        let mut out = blst_fr::default();
        // SAFETY: see the module.
        unsafe { blst::blst_fr_from_scalar(&mut out, scalar) };
        Scalar(out)
    }

    pub(super) fn add(&self, other: &Scalar) -> Scalar {
        let mut out = blst_fr::default();
        // SAFETY: see the module.
        unsafe { blst::blst_fr_add(&mut out, &self.0, &other.0) };
        Scalar(out)
    }

    pub(super) fn sub(&self, other: &Scalar) -> Scalar {
        let mut out = blst_fr::default();
        // SAFETY: see the module.
        unsafe { blst::blst_fr_sub(&mut out, &self.0, &other.0) };
        Scalar(out)
    }

    pub(super) fn mul(&self, other: &Scalar) -> Scalar {
        let mut out = blst_fr::default();
        // SAFETY: see the module.
        unsafe { blst::blst_fr_mul(&mut out, &self.0, &other.0) };
        Scalar(out)
    }

    /// The multiplicative inverse; of zero: zero.
    pub(super) fn inverse(&self) -> Scalar {
        let mut out = blst_fr::default();
        // SAFETY: see the module.
        unsafe { blst::blst_fr_inverse(&mut out, &self.0) };
        Scalar(out)
    }

    /// The canonical value, little endian: what blst's multi-scalar multiplication takes.
    pub(super) fn to_little_endian(&self) -> [u8; 32] {
        let mut scalar = blst_scalar::default();
        // SAFETY: see the module.
        unsafe { blst::blst_scalar_from_fr(&mut scalar, &self.0) };
        scalar.b
    }
}

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.l.zeroize();
    }
}

/// Hash-to-curve into the group of signatures: RFC 9380, `BLS12381G1_XMD:SHA-256_SSWU_RO_` under the tag
/// `suite`.
pub(super) fn hash_to_signature_group(message: &[u8], suite: &[u8]) -> min_sig::Signature {
    let mut point = blst_p1::default();
    let mut affine = blst_p1_affine::default();
    let no_prefix: &[u8] = &[];
    // SAFETY: see the module; the prefix is empty and its pointer is never read through.
    unsafe {
        blst::blst_hash_to_g1(
            &mut point,
            message.as_ptr(),
            message.len(),
            suite.as_ptr(),
            suite.len(),
            no_prefix.as_ptr(),
            no_prefix.len(),
        );
        blst::blst_p1_to_affine(&mut affine, &point);
    }
    min_sig::Signature::from(affine)
}

/// The secret's multiple of a hash: a signature. Constant time.
pub(super) fn sign(secret: &min_sig::SecretKey, hash: &min_sig::Signature) -> min_sig::Signature {
    let (hash, secret): (&blst_p1_affine, &blst_scalar) = (hash.into(), secret.into());
    let (mut point, mut out) = (blst_p1::default(), blst_p1::default());
    let mut affine = blst_p1_affine::default();
    // SAFETY: see the module.
    unsafe {
        blst::blst_p1_from_affine(&mut point, hash);
        blst::blst_sign_pk_in_g2(&mut out, &point, secret);
        blst::blst_p1_to_affine(&mut affine, &out);
    }
    min_sig::Signature::from(affine)
}

/// The point's negative.
pub(super) fn negated(point: &min_sig::Signature) -> min_sig::Signature {
    let point: &blst_p1_affine = point.into();
    let mut y = blst_fp::default();
    // SAFETY: see the module.
    unsafe { blst::blst_fp_cneg(&mut y, &point.y, true) };
    min_sig::Signature::from(blst_p1_affine { x: point.x, y })
}

/// A key whose part of a pairing is computed once: the lines of its Miller loop.
#[derive(Clone)]
pub(super) struct Lines(Box<[blst_fp6; 68]>);

impl Lines {
    pub(super) fn of(key: &min_sig::PublicKey) -> Lines {
        Lines::through(key.into())
    }

    /// Of the generator.
    fn of_generator() -> &'static Lines {
        static GENERATOR: OnceLock<Lines> = OnceLock::new();
        // SAFETY: see the module; blst gives the address of a constant.
        GENERATOR.get_or_init(|| Lines::through(unsafe { &*blst::blst_p2_affine_generator() }))
    }

    fn through(point: &blst_p2_affine) -> Lines {
        let mut lines = Box::new([blst_fp6::default(); 68]);
        // SAFETY: see the module.
        unsafe { blst::blst_precompute_lines(lines.as_mut_ptr(), point) };
        Lines(lines)
    }

    /// Whether e(signature, generator) = e(hash, key) for the key that these lines are of. The points are of the subgroup. Weighted sums may be
    /// the identity, with a probability that nobody meets: its lines give constants of the field below, which the final exponentiation takes to one.
    ///
    /// The loops of e(signature, generator) and of e(−hash, key), whose product is to be one, share their squarings (Granger and Smart,
    /// "On computing products of pairings", 2006).
    pub(super) fn agree(&self, signature: &min_sig::Signature, hash: &min_sig::Signature) -> bool {
        let (signature, hash) = (Evaluation::at(signature), Evaluation::at(&negated(hash)));
        let pairs = Lines::of_generator().0.iter().zip(self.0.iter());
        let mut lines = pairs.map(|(left, right)| [signature.of(left), hash.of(right)]);
        // SAFETY: see the module; blst gives the address of a constant.
        let one = unsafe { *blst::blst_fp12_one() };
        let mut product = one;
        for digit in (0..Z.ilog2()).rev() {
            product = squared(&product);
            let steps = 1 + (Z >> digit) % 2;
            for line in lines.by_ref().take(steps as usize).flatten() {
                product = multiplied(&product, &line);
            }
        }
        // SAFETY: see the module.
        unsafe {
            // For z is negative.
            blst::blst_fp12_conjugate(&mut product);
            blst::blst_fp12_finalverify(&one, &product)
        }
    }
}

/// The parameter of the curve, without its sign. A Miller loop doubles for each binary digit after the first, and adds where it is one.
const Z: u64 = 0xd201_0000_0001_0000;

/// A point at which lines are evaluated: −2x and 2y, the factors that `blst` leaves out of lines computed beforehand.
struct Evaluation {
    x: blst_fp,
    y: blst_fp,
}

impl Evaluation {
    fn at(point: &min_sig::Signature) -> Evaluation {
        let point: &blst_p1_affine = point.into();
        let (mut doubled, mut x, mut y) = (blst_fp::default(), blst_fp::default(), blst_fp::default());
        // SAFETY: see the module.
        unsafe {
            blst::blst_fp_add(&mut doubled, &point.x, &point.x);
            blst::blst_fp_cneg(&mut x, &doubled, true);
            blst::blst_fp_add(&mut y, &point.y, &point.y);
        }
        Evaluation { x, y }
    }

    fn of(&self, line: &blst_fp6) -> blst_fp6 {
        let mut out = *line;
        for (place, factor) in [(1, &self.x), (2, &self.y)] {
            for part in 0..2 {
                // SAFETY: see the module.
                unsafe { blst::blst_fp_mul(&mut out.fp2[place].fp[part], &line.fp2[place].fp[part], factor) };
            }
        }
        out
    }
}

fn squared(value: &blst_fp12) -> blst_fp12 {
    let mut out = blst_fp12::default();
    // SAFETY: see the module.
    unsafe { blst::blst_fp12_sqr(&mut out, value) };
    out
}

fn multiplied(value: &blst_fp12, line: &blst_fp6) -> blst_fp12 {
    let mut out = blst_fp12::default();
    // SAFETY: see the module.
    unsafe { blst::blst_fp12_mul_by_xy00z0(&mut out, value, line) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use blst::BLST_ERROR::BLST_SUCCESS;

    #[test]
    fn field_laws_on_small_numbers() {
        let (two, three) = (Scalar::from_u64(2), Scalar::from_u64(3));
        assert_eq!(two.add(&three).to_little_endian(), Scalar::from_u64(5).to_little_endian());
        assert_eq!(two.mul(&three).to_little_endian(), Scalar::from_u64(6).to_little_endian());
        assert_eq!(three.sub(&two).to_little_endian(), Scalar::from_u64(1).to_little_endian());
        assert_eq!(two.sub(&three).add(&three).to_little_endian(), two.to_little_endian());
        assert_eq!(three.inverse().mul(&three).to_little_endian(), Scalar::from_u64(1).to_little_endian());
        assert_eq!(Scalar::zero().inverse().to_little_endian(), [0; 32]);
        let mut expected = [0; 32];
        expected[..2].copy_from_slice(&[0x34, 0x12]);
        assert_eq!(Scalar::from_u64(0x1234).to_little_endian(), expected);
    }

    #[test]
    fn pairings_agree_exactly_where_blst_finds_a_signature() {
        let secrets = [7, 8].map(|seed| min_sig::SecretKey::key_gen(&[seed; 32], &[]).unwrap());
        let keys = secrets.each_ref().map(min_sig::SecretKey::sk_to_pk);
        let (suite, messages): (&[u8], _) = (b"a suite", [b"one", b"two"]);
        let hashes = messages.map(|message| hash_to_signature_group(message, suite));
        for (secret, hash) in secrets.iter().flat_map(|secret| hashes.iter().map(move |hash| (secret, hash)))
        {
            let signed = sign(secret, hash);
            for signature in [signed, negated(&signed), *hash] {
                for (key, (message, hash)) in
                    keys.iter().flat_map(|key| messages.iter().zip(&hashes).map(move |said| (key, said)))
                {
                    let holds = signature.verify(false, *message, suite, &[], key, false) == BLST_SUCCESS;
                    assert_eq!(Lines::of(key).agree(&signature, hash), holds);
                }
            }
        }
    }

    #[test]
    fn the_identity_pairs_to_one() {
        let key = min_sig::SecretKey::key_gen(&[7; 32], &[]).unwrap().sk_to_pk();
        let identity = min_sig::Signature::from(blst_p1_affine::default());
        let hash = hash_to_signature_group(b"one", b"a suite");
        assert!(Lines::of(&key).agree(&identity, &identity));
        assert!(!Lines::of(&key).agree(&identity, &hash) && !Lines::of(&key).agree(&hash, &identity));
    }
}
