//! Certificates for intercepted hosts, made on demand and kept.
//!
//! [`Leaves::for_host`] gives the TLS settings for one host: a certificate with that host as its only name, valid for 30
//! days, and a server that ends the handshake when a client asks for another name. All leaves share one key, which
//! lives as long as the process. Nothing here says which hosts may be intercepted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gateway_core::{Clock, Timestamp};
use moka::ops::compute::Op;
use moka::sync::Cache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ServerConfig, version};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use url::Host;

use crate::ca::make::{DAY, date, serial};
use crate::ca::{CertificateAuthority, host};

/// How long a certificate is valid.
const LIFETIME: Duration = DAY.saturating_mul(30);

/// How long before it expires another one is made, at the latest: room for clients whose clocks are ahead.
const RENEW_AHEAD: Duration = DAY.saturating_mul(3);

/// How many hosts are kept. Far more than there are providers; each costs a few kilobytes.
const MOST_HOSTS: u64 = 2048;

/// The certificates of this process.
pub struct Leaves {
    authority: Arc<CertificateAuthority>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    kept: Cache<Host<String>, Leaf>,
    minted: AtomicU64,
}

/// Why there is no certificate for a host.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A wildcard, an empty or a far too long label: nothing that names one host.
    #[error("no certificate can be made for the host \"{host}\"")]
    BadHost { host: Host<String> },

    #[error(
        "the certificate authority of the proxy may not sign for \"{host}\"; run `coder aibridge proxy ca renew`"
    )]
    NotPermitted { host: Host<String> },

    /// Or not valid yet, going by this machine's clock.
    #[error("the certificate authority of the proxy is not valid now; run `coder aibridge proxy ca renew`")]
    AuthorityExpired,

    #[error("cannot make a certificate")]
    Sign(#[from] rcgen::Error),

    #[error("cannot serve TLS with the certificate that was made")]
    Tls(#[from] rustls::Error),
}

/// One host's settings, and when they may be used.
#[derive(Clone)]
struct Leaf {
    config: Arc<ServerConfig>,
    from: Timestamp,
    until: Timestamp,
}

/// Gives the one certificate to those that ask for its host, or for none.
#[derive(Debug)]
struct OneHost {
    host: Host<String>,
    certified: Arc<CertifiedKey>,
}

// === impl Leaves ===

impl Leaves {
    /// Makes the key.
    pub fn new(authority: Arc<CertificateAuthority>, clock: Arc<dyn Clock>) -> Result<Self, LeafError> {
        Self::with_bound(authority, clock, MOST_HOSTS)
    }

    fn with_bound(
        authority: Arc<CertificateAuthority>,
        clock: Arc<dyn Clock>,
        hosts: u64,
    ) -> Result<Self, LeafError> {
        let key = KeyPair::generate()?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialized_der()));
        let signing_key = ring::sign::any_ecdsa_type(&der)?;
        Ok(Self {
            authority,
            clock,
            provider: Arc::new(ring::default_provider()),
            key,
            signing_key,
            kept: Cache::new(hosts),
            minted: AtomicU64::new(0),
        })
    }

    /// How many certificates were made.
    pub fn minted(&self) -> u64 {
        self.minted.load(Ordering::Relaxed)
    }

    /// The TLS settings for this host: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, or no ALPN at all; a client that
    /// offers only other protocols gets the alert `no_application_protocol`. Sessions are resumed by tickets that only
    /// this host's settings can read, there is no early data. A name in the handshake that is another host's ends it
    /// with the alert `access_denied`; no name is fine, as addresses have none.
    ///
    /// The first call for a host signs a certificate, later ones take it from memory until it is due; of calls at once
    /// one signs and the others wait for it on their threads. That is some 30 microseconds with an ECDSA authority and
    /// less than a millisecond with RSA of 2048 bits: brief enough for the runtime's threads, once a host and month.
    pub fn for_host(&self, host: &Host<String>) -> Result<Arc<ServerConfig>, LeafError> {
        let host = host::normal(host).ok_or_else(|| LeafError::BadHost { host: host.clone() })?;
        let now = self.clock.now();
        if let Some(leaf) = self.kept.get(&host).filter(|leaf| leaf.is_good(now)) {
            return Ok(leaf.config);
        }
        let entry = self
            .kept
            .entry_by_ref(&host)
            .and_try_compute_with(|kept| match kept {
                Some(kept) if kept.value().is_good(now) => Ok(Op::Nop),
                _ => self.mint(&host, now).map(Op::Put),
            })?;
        let entry = entry.into_entry().expect("the entry was put or left");
        Ok(entry.into_value().config)
    }

    fn mint(&self, host: &Host<String>, now: Timestamp) -> Result<Leaf, LeafError> {
        if !self.authority.permits(host) {
            return Err(LeafError::NotPermitted { host: host.clone() });
        }
        if now < self.authority.not_before() || now >= self.authority.not_after() {
            return Err(LeafError::AuthorityExpired);
        }
        // Clocks of clients differ; a certificate from the future is refused.
        let from = now.minus(DAY).max(self.authority.not_before());
        let until = now.plus(LIFETIME).min(self.authority.not_after());
        let certificate = self.authority.sign(&params(host, from, until)?, &self.key)?;
        self.minted.fetch_add(1, Ordering::Relaxed);
        let chain = std::iter::once(certificate)
            .chain(self.authority.sent().cloned())
            .collect();
        let certified = CertifiedKey::new(chain, Arc::clone(&self.signing_key));
        Ok(Leaf {
            config: self.config(host, certified)?,
            from,
            // An authority that is about to expire must not have a certificate made for every connection.
            until: until.minus(RENEW_AHEAD.min(until.since(now) / 2)),
        })
    }

    fn config(&self, host: &Host<String>, certified: CertifiedKey) -> Result<Arc<ServerConfig>, LeafError> {
        let resolver = OneHost {
            host: host.clone(),
            certified: Arc::new(certified),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets cost no memory here, and their keys are of this host alone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new()?;
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Leaves")
            .field("authority", &self.authority.fingerprint())
            .field("minted", &self.minted())
            .finish_non_exhaustive()
    }
}

/// What a host's certificate says.
fn params(host: &Host<String>, from: Timestamp, until: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial()?);
    params.not_before = date(from)?;
    params.not_after = date(until)?;
    params.subject_alt_names = vec![match host {
        Host::Domain(name) => SanType::DnsName(name.as_str().try_into()?),
        Host::Ipv4(address) => SanType::IpAddress((*address).into()),
        Host::Ipv6(address) => SanType::IpAddress((*address).into()),
    }];
    params.distinguished_name = subject();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The same for all: who made it. A common name would hold 64 characters at most, is no longer looked at where there is
/// an alternative name (RFC 9525), and OpenSSL holds one that looks like a name against the name constraints. Some
/// clients refuse an empty subject.
fn subject() -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "AI Gateway Proxy");
    subject
}

// === impl Leaf ===

impl Leaf {
    /// Not too old, and not from a future that a corrected clock took back.
    fn is_good(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

// === impl OneHost ===

impl ResolvesServerCert for OneHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        asked
            .is_none_or(|name| self.is_named(name))
            .then(|| Arc::clone(&self.certified))
    }
}

impl OneHost {
    fn is_named(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        matches!(&self.host, Host::Domain(host) if host.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
