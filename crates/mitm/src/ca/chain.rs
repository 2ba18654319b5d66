//! The certificates of an authority: its own, then its issuers, as far as the file has them.

use std::path::Path;

use gateway_core::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};
use time::OffsetDateTime;
use url::Host;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::constraints::{NameConstraints, Unusable};
use super::key::AuthorityKey;
use super::make::date;
use super::sign::Signer;
use super::{CaError, NotAuthority};

/// At least one certificate, and what was read from them.
#[derive(Debug)]
pub(super) struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    /// Of each certificate, in order.
    facts: Vec<Facts>,
}

#[derive(Debug)]
struct Facts {
    subject: String,
    self_issued: bool,
    not_before: Timestamp,
    not_after: Timestamp,
    constraints: Option<NameConstraints>,
}

// === impl Chain ===

impl Chain {
    /// Reads a file's certificates. Each has to be an authority's, and that of the issuer of the one before, going by
    /// the names; the signatures are for clients to check.
    pub(super) fn read(path: &Path, text: &[u8]) -> Result<Self, CaError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| bad(path, &error))?;
        let parsed = certificates
            .iter()
            .map(|der| parse(path, der))
            .collect::<Result<Vec<_>, _>>()?;
        if parsed.is_empty() {
            return Err(CaError::NoCertificate {
                path: path.to_owned(),
            });
        }
        for pair in parsed.windows(2) {
            if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
                return Err(CaError::Chain {
                    path: path.to_owned(),
                    subject: pair[0].subject().to_string(),
                    issuer: pair[1].subject().to_string(),
                });
            }
        }
        let facts = parsed
            .iter()
            .enumerate()
            .map(|(below, certificate)| Facts::read(path, certificate, below))
            .collect::<Result<_, _>>()?;
        drop(parsed);
        Ok(Self { certificates, facts })
    }

    /// Whether all are valid now.
    pub(super) fn check(&self, path: &Path, now: Timestamp) -> Result<(), CaError> {
        for facts in &self.facts {
            if now < facts.not_before {
                return Err(CaError::NotYetValid {
                    path: path.to_owned(),
                    subject: facts.subject.clone(),
                    not_before: day(facts.not_before),
                });
            }
            if now >= facts.not_after {
                return Err(CaError::Expired {
                    path: path.to_owned(),
                    subject: facts.subject.clone(),
                    not_after: day(facts.not_after),
                });
            }
        }
        Ok(())
    }

    /// The first certificate with its key.
    pub(super) fn signer(&self, path: &Path, key_path: &Path, key: AuthorityKey) -> Result<Signer, CaError> {
        let own = parse(path, &self.certificates[0])?;
        Signer::new(&own, key).ok_or_else(|| CaError::KeyMismatch {
            certificate: path.to_owned(),
            key: key_path.to_owned(),
        })
    }

    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(super) fn sent(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        let all = self.certificates.iter().zip(&self.facts);
        all.filter(|(_, facts)| !facts.self_issued)
            .map(|(certificate, _)| certificate)
    }

    pub(super) fn not_before(&self) -> Timestamp {
        let all = self.facts.iter().map(|facts| facts.not_before);
        all.max().expect("a chain is never empty")
    }

    pub(super) fn not_after(&self) -> Timestamp {
        let all = self.facts.iter().map(|facts| facts.not_after);
        all.min().expect("a chain is never empty")
    }

    pub(super) fn permits(&self, host: &Host<String>) -> bool {
        let mut constraints = self.facts.iter().filter_map(|facts| facts.constraints.as_ref());
        constraints.all(|constraints| constraints.permit(host))
    }
}

// === impl Facts ===

impl Facts {
    /// `below` is how many certificates stand between this one and a host's.
    fn read(path: &Path, certificate: &X509Certificate<'_>, below: usize) -> Result<Self, CaError> {
        let subject = certificate.subject().to_string();
        let refused = |fault| CaError::NotAuthority {
            path: path.to_owned(),
            subject: subject.clone(),
            fault,
        };
        may_sign(certificate, below)
            .map_err(|error| bad(path, &error))?
            .map_err(refused)?;
        let constraints = certificate
            .name_constraints()
            .map_err(|error| bad(path, &error))?
            .map(|extension| NameConstraints::read(extension.value))
            .transpose()
            .map_err(|unusable| match unusable {
                Unusable::DirectoryNames => refused(NotAuthority::DirectoryNames),
                Unusable::Malformed => bad(path, &"a name constraint is no network"),
            })?;
        Ok(Self {
            self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            constraints,
            subject,
        })
    }
}

/// Whether the extensions of RFC 5280 section 4.2.1 let a certificate sign those of TLS servers. The outer error is of a
/// certificate that has an extension twice.
fn may_sign(
    certificate: &X509Certificate<'_>,
    below: usize,
) -> Result<Result<(), NotAuthority>, x509_parser::error::X509Error> {
    let Some(basic) = certificate.basic_constraints()?.filter(|basic| basic.value.ca) else {
        return Ok(Err(NotAuthority::BasicConstraints));
    };
    if certificate
        .key_usage()?
        .is_some_and(|usage| !usage.value.key_cert_sign())
    {
        return Ok(Err(NotAuthority::KeyUsage));
    }
    let purpose = certificate.extended_key_usage()?;
    if purpose.is_some_and(|usage| !usage.value.any && !usage.value.server_auth) {
        return Ok(Err(NotAuthority::ExtendedKeyUsage));
    }
    let short = |limit: u32| usize::try_from(limit).is_ok_and(|limit| limit < below);
    if basic.value.path_len_constraint.is_some_and(short) {
        return Ok(Err(NotAuthority::PathLength));
    }
    Ok(Ok(()))
}

fn parse<'a>(path: &Path, der: &'a CertificateDer<'static>) -> Result<X509Certificate<'a>, CaError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(bad(path, &"something follows it in the same PEM block")),
        Err(error) => Err(bad(path, &error)),
    }
}

fn bad(path: &Path, fault: &dyn std::fmt::Display) -> CaError {
    CaError::BadCertificate {
        path: path.to_owned(),
        fault: fault.to_string(),
    }
}

fn timestamp(time: x509_parser::time::ASN1Time) -> Timestamp {
    Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
}

/// For a message; the epoch where no calendar reaches.
fn day(time: Timestamp) -> time::Date {
    date(time).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
}
