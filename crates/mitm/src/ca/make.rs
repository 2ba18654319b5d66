//! Making an authority.

use std::time::Duration;

use gateway_core::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls::crypto::ring;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use url::Host;

use super::CaError;
use super::constraints::NameConstraints;

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// Ten years: replacing it means to visit every client.
const LIFETIME: Duration = DAY.saturating_mul(3652);

/// A new authority as its files hold it.
pub(super) struct New {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

/// A self-signed authority on ECDSA P-256 that may sign for the domains of these hosts, and for TLS servers only.
pub(super) fn authority(hosts: &[Host<String>], now: Timestamp) -> Result<New, CaError> {
    let constraints = NameConstraints::covering(hosts).map_err(|host| CaError::BadHost { host })?;
    let key = KeyPair::generate().map_err(CaError::Make)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&key);
    params.serial_number = Some(serial().map_err(CaError::Make)?);
    // Clocks of clients differ; a certificate from the future is refused.
    params.not_before = date(now.minus(DAY)).map_err(CaError::Make)?;
    params.not_after = date(now.plus(LIFETIME)).map_err(CaError::Make)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.custom_extensions = vec![constraints.extension()];
    let certificate = params.self_signed(&key).map_err(CaError::Make)?;
    Ok(New {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// A name that tells two installations apart in a list of trusted authorities.
fn name(key: &KeyPair) -> DistinguishedName {
    let digest = Sha256::digest(key.subject_public_key_info());
    let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("AI Gateway Proxy CA {id:08x}"));
    name
}

/// 16 random bytes as a positive integer that keeps its length; RFC 5280 section 4.1.2.2 allows 20.
pub(crate) fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// A time as certificates have it, in whole seconds.
pub(crate) fn date(time: Timestamp) -> Result<OffsetDateTime, rcgen::Error> {
    OffsetDateTime::from_unix_timestamp(time.as_micros().div_euclid(1_000_000))
        .map_err(|_| rcgen::Error::Time)
}
