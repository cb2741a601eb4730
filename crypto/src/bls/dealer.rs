//! The trusted dealer, for demonstrations and tests.

use blst::min_sig::SecretKey;

use super::ffi::Scalar;
use super::keys::{GroupPublicKey, SecretShare, SharePublicKey};
use super::threshold::{KeyError, ThresholdPublic, check_size, evaluate};
use crate::ReplicaId;

/// Deals the keys of a threshold group **for demonstrations and tests only**: the dealer knows every secret,
/// and whoever knows `entropy` can sign for the whole committee. A real network generates its keys together,
/// or uses lists of Ed25519 signatures.
///
/// The secret polynomial has degree `quorum − 1`, and its coefficients come from `entropy` by HKDF (the
/// `KeyGen` of the BLS draft), so that equal arguments deal equal keys. Shares come in the order of the
/// replicas.
///
/// # Errors
/// [`KeyError::Size`] unless `1 ≤ quorum ≤ replicas ≤ 65535`.
pub fn trusted_dealer(
    entropy: [u8; 32],
    replicas: usize,
    quorum: usize,
) -> Result<(ThresholdPublic, Vec<SecretShare>), KeyError> {
    check_size(replicas, quorum)?;
    let entropy = zeroize::Zeroizing::new(entropy);
    let mut polynomial = Vec::with_capacity(quorum);
    let mut group = None;
    for degree in 0..quorum as u32 {
        let info = [b"quorate/trusted-dealer/1".as_slice(), &degree.to_be_bytes()].concat();
        let secret = SecretKey::key_gen(entropy.as_slice(), &info).map_err(|_| KeyError::Secret)?;
        group.get_or_insert_with(|| secret.sk_to_pk());
        polynomial.push(Scalar::from_secret(&secret));
    }
    let shares = (0..replicas as u16)
        .map(|replica| {
            let value = evaluate(&polynomial, &Scalar::from_u64(u64::from(replica) + 1));
            let mut bytes = zeroize::Zeroizing::new(value.to_little_endian());
            bytes.reverse();
            SecretShare::from_bytes(ReplicaId(replica), &bytes)
        })
        .collect::<Result<Vec<SecretShare>, KeyError>>()?;
    let group = GroupPublicKey(group.ok_or(KeyError::Size { replicas, quorum })?);
    let keys: Vec<SharePublicKey> = shares.iter().map(SecretShare::public).collect();
    Ok((ThresholdPublic::new(group, keys, quorum)?, shares))
}
