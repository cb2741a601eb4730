//! Stateless resets that survive a restart.
//!
//! A replica that was killed and started again answers packets of its former connections with resets (RFC 9000, section
//! 10.3): the reset tokens derive from its identity key, and any connection id may have been its own. So its peers dial
//! again at once, not after the idle timeout.

use std::sync::Arc;

use crypto::IdentitySecret;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rustls::crypto::SecureRandom;
use rustls::crypto::tls13::{Hkdf, OkmBlock};

use crate::NetError;

/// What the identity key is used for here, and nowhere else.
const LABEL: &[u8] = b"quorate stateless reset key, version 1";

/// The bytes of a connection id.
const CID_BYTES: usize = 8;

/// An endpoint configuration whose reset tokens follow from `secret`.
pub(crate) fn endpoint_config(secret: &IdentitySecret) -> Result<EndpointConfig, NetError> {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    let hkdf =
        suite.ok_or_else(|| rustls::Error::General("the provider has no AES-128-GCM".into()))?.hkdf_provider;
    let derived = hkdf.hmac_sign(&OkmBlock::new(secret.seed().as_ref()), LABEL);
    let mut config = EndpointConfig::new(Arc::new(ResetKey { key: OkmBlock::new(derived.as_ref()), hkdf }));
    config.cid_generator(|| Box::new(RandomIds(rustls::crypto::ring::default_provider().secure_random)));
    Ok(config)
}

/// HMAC-SHA-256 under the derived key.
struct ResetKey {
    key: OkmBlock,
    hkdf: &'static dyn Hkdf,
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(self.hkdf.hmac_sign(&self.key, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = self.hkdf.hmac_sign(&self.key, data);
        // Every byte is looked at, whatever the first difference is.
        let different = expected.as_ref().iter().zip(signature).fold(0, |all, (a, b)| all | (a ^ b));
        if different == 0 && signature.len() == expected.as_ref().len() { Ok(()) } else { Err(CryptoError) }
    }
}

/// Random connection ids. quinn's own recognise only the ids of this process, and ignore packets of the former one.
struct RandomIds(&'static dyn SecureRandom);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CID_BYTES];
        self.0
            .fill(&mut id)
            .expect("the operating system gives entropy; TLS could not work without it either");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
