//! The private key of an authority, in any form that rustls reads.
//!
//! rcgen by itself reads PKCS #8 only; `openssl ecparam -genkey` and older tools write SEC 1 and PKCS #1.

use std::path::Path;
use std::sync::Arc;

use rcgen::PublicKeyData;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::CaError;

/// How each kind of key signs certificates: with the hash that fits its strength.
static SCHEMES: [(SignatureScheme, &rcgen::SignatureAlgorithm); 4] = [
    (
        SignatureScheme::ECDSA_NISTP256_SHA256,
        &rcgen::PKCS_ECDSA_P256_SHA256,
    ),
    (
        SignatureScheme::ECDSA_NISTP384_SHA384,
        &rcgen::PKCS_ECDSA_P384_SHA384,
    ),
    (SignatureScheme::RSA_PKCS1_SHA256, &rcgen::PKCS_RSA_SHA256),
    (SignatureScheme::ED25519, &rcgen::PKCS_ED25519),
];

/// A key that signs certificates. Its `Debug` shows nothing secret.
#[derive(Debug)]
pub(super) struct AuthorityKey {
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
    algorithm: &'static rcgen::SignatureAlgorithm,
    /// The content of the bit string in its `SubjectPublicKeyInfo`.
    public: Vec<u8>,
}

// === impl AuthorityKey ===

impl AuthorityKey {
    /// None: of no supported kind.
    pub(super) fn new(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let key = any_supported_type(der).ok()?;
        let (scheme, algorithm) = SCHEMES
            .iter()
            .find(|(scheme, _)| key.choose_scheme(&[*scheme]).is_some())
            .copied()?;
        let info = key.public_key()?;
        let (_, info) = SubjectPublicKeyInfo::from_der(&info).ok()?;
        let public = info.subject_public_key.data.to_vec();
        Some(Self {
            key,
            scheme,
            algorithm,
            public,
        })
    }

    /// Whether this is the private half of the public key of a certificate.
    pub(super) fn belongs_to(&self, certificate: &X509Certificate<'_>) -> bool {
        *certificate.public_key().subject_public_key.data == *self.public
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key
            .choose_scheme(&[self.scheme])
            .and_then(|signer| signer.sign(message).ok())
            .ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// The first private key in a file. No error holds a part of the file.
pub(super) fn read(path: &Path, text: &[u8]) -> Result<AuthorityKey, CaError> {
    let path = || path.to_owned();
    let Ok(der) = PrivateKeyDer::from_pem_slice(text) else {
        // Both PKCS #8 ("BEGIN ENCRYPTED PRIVATE KEY") and the older forms ("Proc-Type: 4,ENCRYPTED") say so.
        let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        return Err(if encrypted {
            CaError::EncryptedKey { path: path() }
        } else {
            CaError::NoKey { path: path() }
        });
    };
    AuthorityKey::new(&der).ok_or_else(|| CaError::UnsupportedKey { path: path() })
}
