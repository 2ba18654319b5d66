//! The certificate authority whose certificates intercepted clients trust.
//!
//! Either somebody's own ([`CertificateAuthority::load`]), a root or an intermediate with its issuers, or one that is
//! made on the first start and kept ([`CertificateAuthority::load_or_create`]). The one made here is bound by name
//! constraints to the domains of the providers, so that its key is of no use against any other site.
//! What it signs is for [`crate::leaf`] to say; for whom it signs, for the caller, who checks the providers with
//! [`CertificateAuthority::cover`] at start-up.

mod chain;
mod constraints;
mod der;
mod error;
mod files;
pub(crate) mod host;
mod key;
pub(crate) mod make;
mod sign;

use std::path::Path;

use base64::Engine as _;
use gateway_core::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use url::Host;

pub use error::{CaError, NotAuthority, Uncovered, Warning};

use chain::Chain;
use files::Pair;
use sign::Signer;

/// The file of the certificate that is made, in the configuration directory.
pub const CERTIFICATE_FILE: &str = "aibridge-proxy-ca.pem";

/// The file of its key.
pub const KEY_FILE: &str = "aibridge-proxy-ca-key.pem";

/// A certificate authority that was checked: it may sign certificates of hosts, and was valid when it was loaded.
#[derive(Debug)]
pub struct CertificateAuthority {
    signer: Signer,
    chain: Chain,
    warnings: Vec<Warning>,
    made: bool,
}

// === impl CertificateAuthority ===

impl CertificateAuthority {
    /// An authority from files in PEM: its certificate, followed by those of its issuers if it is an intermediate, and
    /// its key (PKCS #8, SEC 1 or PKCS #1). Both may be one file.
    pub fn load(certificate: &Path, key: &Path, now: Timestamp) -> Result<Self, CaError> {
        let chain_pem = files::read(certificate)?;
        let key_pem = files::read(key)?;
        let chain = Chain::read(certificate, &chain_pem)?;
        let authority_key = key::read(key, &key_pem)?;
        chain.check(certificate, now)?;
        let signer = chain.signer(certificate, key, authority_key)?;
        Ok(Self {
            signer,
            chain,
            warnings: files::readable_by_others(key).into_iter().collect(),
            made: false,
        })
    }

    /// The authority of the configuration directory, [`CERTIFICATE_FILE`] and [`KEY_FILE`]. It is made when neither file
    /// is there, with name constraints that cover the hosts of `providers`. Processes that start at once get the same
    /// one; a pair whose making was interrupted is finished or made anew.
    ///
    /// Waits for a lock on the directory and for the disk.
    pub fn load_or_create(dir: &Path, providers: &[Host<String>], now: Timestamp) -> Result<Self, CaError> {
        let pair = Pair::new(dir);
        let _lock = pair.lock()?;
        if pair.is_there()? {
            return Self::load(&pair.certificate, &pair.key, now);
        }
        let new = make::authority(providers, now)?;
        pair.install(&new.certificate_pem, &new.key_pem)?;
        let made = Self::load(&pair.certificate, &pair.key, now)?;
        Ok(Self { made: true, ..made })
    }

    /// Makes a new authority in place of that of the configuration directory, if there is one, and keeps the old files
    /// beside it with `.old` added to their names. Servers that run keep the old one until they start again; every
    /// client has to trust the new one.
    pub fn renew(dir: &Path, providers: &[Host<String>], now: Timestamp) -> Result<Self, CaError> {
        let pair = Pair::new(dir);
        let _lock = pair.lock()?;
        let new = make::authority(providers, now)?;
        pair.keep_old()?;
        pair.install(&new.certificate_pem, &new.key_pem)?;
        let made = Self::load(&pair.certificate, &pair.key, now)?;
        Ok(Self { made: true, ..made })
    }

    /// Whether this call made the authority, so that no client trusts it yet.
    pub fn is_new(&self) -> bool {
        self.made
    }

    /// What its owner should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What clients are to trust, in PEM: every certificate of the file and nothing else of it. With an intermediate
    /// that includes its issuers, as most clients want a chain that ends in a root; a root that is not in the file has
    /// to be trusted already.
    pub fn certificate_pem(&self) -> String {
        self.chain.certificates().iter().map(pem).collect()
    }

    /// When the first certificate of its chain expires. No leaf is valid for longer.
    pub fn not_after(&self) -> Timestamp {
        self.chain.not_after()
    }

    /// From when all certificates of its chain are valid. No leaf is valid before.
    pub fn not_before(&self) -> Timestamp {
        self.chain.not_before()
    }

    /// SHA-256 of its own certificate, in hexadecimal with colons, as browsers and `openssl x509 -fingerprint` show it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.chain.certificates()[0]);
        digest
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(":")
    }

    /// Whether it may sign for this host: all name constraints of its chain permit it, and the host is one that a
    /// certificate can name.
    pub fn permits(&self, host: &Host<String>) -> bool {
        host::normal(host).is_some_and(|host| self.chain.permits(&host))
    }

    /// Whether it may sign for every one of these hosts.
    pub fn cover<'a>(&self, hosts: impl IntoIterator<Item = &'a Host<String>>) -> Result<(), Uncovered> {
        let hosts = self.uncovered(hosts);
        if hosts.is_empty() {
            Ok(())
        } else {
            Err(Uncovered { hosts })
        }
    }

    /// The hosts that it may not sign for.
    pub fn uncovered<'a>(&self, hosts: impl IntoIterator<Item = &'a Host<String>>) -> Vec<Host<String>> {
        hosts
            .into_iter()
            .filter(|host| !self.permits(host))
            .cloned()
            .collect()
    }

    /// The certificates that a server sends after its own: all of the chain but a root, which a client has or has not.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.chain.sent()
    }

    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        self.signer.sign(params, key)
    }
}

/// PEM (RFC 7468) of one certificate.
fn pem(certificate: &CertificateDer<'static>) -> String {
    /// Characters on a line.
    const WIDTH: usize = 64;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(WIDTH.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
