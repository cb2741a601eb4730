//! TLS 1.3 with raw Ed25519 public keys (RFC 7250) on both ends: no certificates, nothing that expires.
//!
//! No session is ever resumed and no early data is accepted (threat 68): a resumed session would skip the roster check.

use std::sync::Arc;

use crypto::{Identity, IdentitySecret};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use zeroize::Zeroizing;

use crate::NetError;

/// The application protocol (ALPN) between replicas.
pub(crate) const ALPN_PEER: &[u8] = b"quorate-peer/1";

/// The application protocol (ALPN) of clients.
pub(crate) const ALPN_CLIENT: &[u8] = b"quorate-client/1";

/// The name in the TLS handshake. Identity is by key; the name only has to be one.
pub(crate) const SERVER_NAME: &str = "quorate";

/// DER of an Ed25519 SubjectPublicKeyInfo (RFC 8410, section 4) up to the key's 32 bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// DER of an Ed25519 private key (PKCS #8 version 1; RFC 8410, section 7) up to the seed's 32 bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// One end's key and the cryptography to use it.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Tls {
    pub fn new(secret: &IdentitySecret) -> Result<Tls, NetError> {
        let provider = rustls::crypto::ring::default_provider();
        let mut pkcs8 = Zeroizing::new([0; PKCS8_PREFIX.len() + 32]);
        pkcs8[..PKCS8_PREFIX.len()].copy_from_slice(&PKCS8_PREFIX);
        pkcs8[PKCS8_PREFIX.len()..].copy_from_slice(secret.seed().as_ref());
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&pkcs8[..]));
        let signing = rustls::crypto::ring::sign::any_supported_type(&der)?;
        let public = CertificateDer::from(spki(&secret.public()).to_vec());
        Ok(Tls { provider: Arc::new(provider), key: Arc::new(CertifiedKey::new(vec![public], signing)) })
    }

    /// The accepting end: any Ed25519 key may connect. What it may do is decided after the handshake, by the negotiated
    /// protocol and the roster.
    pub fn server(&self) -> Result<QuicServerConfig, NetError> {
        let verifier = Arc::new(AnyKey(self.provider.clone()));
        let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone()));
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN_PEER.to_vec(), ALPN_CLIENT.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(|error| Error::General(error.to_string()).into())
    }

    /// The dialling end: the other one must own the key of `expected`.
    pub fn client(&self, expected: Identity, alpn: &[u8]) -> Result<QuicClientConfig, NetError> {
        let config = self.client_settings(expected, alpn)?;
        QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()).into())
    }

    /// [`Tls::client`], before QUIC takes it over.
    pub fn client_settings(&self, expected: Identity, alpn: &[u8]) -> Result<rustls::ClientConfig, NetError> {
        let verifier = Arc::new(PinnedKey { expected, provider: self.provider.clone() });
        let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone()));
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(resolver);
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(config)
    }

    /// Any number, all equally likely, from the operating system.
    pub fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        // Only jitter depends on it: without entropy the pauses are regular, nothing worse.
        let _ = self.provider.secure_random.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// The key that the other end proved to own, or None before the handshake is complete.
pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<Identity> {
    let certificates = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    identity_in(certificates.first()?)
}

/// The negotiated application protocol.
pub(crate) fn negotiated(connection: &quinn::Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// The SubjectPublicKeyInfo of a key: 44 bytes, one encoding per key.
fn spki(identity: &Identity) -> [u8; 44] {
    let mut der = [0; 44];
    der[..SPKI_PREFIX.len()].copy_from_slice(&SPKI_PREFIX);
    der[SPKI_PREFIX.len()..].copy_from_slice(&identity.0);
    der
}

/// The inverse of [`spki`]; None for anything else.
fn identity_in(der: &[u8]) -> Option<Identity> {
    der.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok()).map(Identity)
}

fn verify(
    provider: &CryptoProvider,
    message: &[u8],
    key: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(key.as_ref());
    verify_tls13_signature_with_raw_key(message, &key, signature, &provider.signature_verification_algorithms)
}

fn not_tls12() -> Error {
    Error::General("TLS 1.2 is never negotiated".into())
}

/// Accepts the owner of one key.
#[derive(Debug)]
struct PinnedKey {
    expected: Identity,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match identity_in(end_entity) {
            Some(found) if found == self.expected && intermediates.is_empty() => {
                Ok(ServerCertVerified::assertion())
            }
            Some(found) => Err(Error::General(format!(
                "the replica at this address has the key {found}, expected {}; compare address and identity",
                self.expected
            ))),
            None => Err(Error::General("the replica at this address did not present an Ed25519 key".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts whoever owns the Ed25519 key that it presents.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match identity_in(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(Error::General("the connecting end did not present an Ed25519 key".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.0, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
