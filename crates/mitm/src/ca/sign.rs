//! Signing with the name of the authority exactly as its certificate has it.
//!
//! rcgen puts an issuer's name together anew from its parts, of which it keeps one a kind. The names of authorities in
//! Active Directory have several (`DC=example, DC=com`), and clients compare names byte by byte. So rcgen draws a
//! certificate up, and the name of the issuer is put in and the result signed here.

use rcgen::{CertificateParams, Issuer, KeyIdMethod, KeyPair, PublicKeyData, SigningKey as _};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use super::der::{self, BIT_STRING, SEQUENCE};
use super::key::AuthorityKey;

/// Where the issuer is in a `TBSCertificate` of version 3 (RFC 5280 section 4.1): after version, serial number and
/// algorithm.
const ISSUER: usize = 3;

/// The key of an authority and how its certificate calls it.
#[derive(Debug)]
pub(super) struct Signer {
    key: AuthorityKey,
    /// Its name, in DER.
    name: Vec<u8>,
    key_id: KeyIdMethod,
}

/// Lets rcgen draw up a certificate for a key's algorithm; what it takes for a signature is empty.
struct Draft<'a>(&'a AuthorityKey);

// === impl Signer ===

impl Signer {
    /// None: the key is not the certificate's.
    pub(super) fn new(certificate: &X509Certificate<'_>, key: AuthorityKey) -> Option<Self> {
        let key_id = certificate
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(KeyIdMethod::PreSpecified(id.0.to_vec())),
                _ => None,
            });
        key.belongs_to(certificate).then(|| Self {
            key,
            name: certificate.subject().as_raw().to_vec(),
            key_id: key_id.unwrap_or(KeyIdMethod::Sha256),
        })
    }

    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        public: &KeyPair,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut nameless = CertificateParams::default();
        nameless.key_identifier_method = self.key_id.clone();
        let draft = params.signed_by(public, &Issuer::new(nameless, Draft(&self.key)))?;

        let malformed = || rcgen::Error::CouldNotParseCertificate;
        let outer = der::parts(draft.der()).ok_or_else(malformed)?;
        let [content, algorithm, _] = outer[..] else {
            return Err(malformed());
        };
        let mut fields = der::parts(content).ok_or_else(malformed)?;
        *fields.get_mut(ISSUER).ok_or_else(malformed)? = &self.name;
        let content = der::value(SEQUENCE, &fields.concat());
        let signature = self.key.sign(&content)?;
        // The first byte of a bit string says how many bits of the last are not used.
        let signature = der::value(BIT_STRING, &[&[0], &signature[..]].concat());
        let certificate = [&content, algorithm, &signature].concat();
        Ok(der::value(SEQUENCE, &certificate).into())
    }
}

// === impl Draft ===

impl PublicKeyData for Draft<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl rcgen::SigningKey for Draft<'_> {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}
