//! TLS of the listener: certificate and key from PEM files, made into what rustls serves with.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

/// Where TLS is served, and with what.
#[derive(Clone)]
pub struct TlsListen {
    pub address: SocketAddr,
    /// With certificate and key; agrees on HTTP/2 or HTTP/1.1.
    pub config: Arc<rustls::ServerConfig>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MinVersion {
    Tls12,
    Tls13,
}

// === impl TlsListen ===

impl fmt::Debug for TlsListen {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListen")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) fn parse_min_version(text: &str) -> Result<MinVersion, &'static str> {
    match text {
        "tls12" => Ok(MinVersion::Tls12),
        "tls13" => Ok(MinVersion::Tls13),
        _ => Err("write tls12 or tls13"),
    }
}

/// The certificates of a PEM file, the server's own first.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let content = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&content)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("holds no readable certificate: {error}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    Ok(certificates)
}

/// The private key of a PEM file. The error never shows what is in the file.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let content = gateway_core::Secret::new(
        fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?,
    );
    PrivateKeyDer::from_pem_slice(content.expose().as_bytes())
        .map_err(|_| "holds no private key in PEM form, or an encrypted one".to_owned())
}

pub(super) fn server_config(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    min_version: MinVersion,
) -> Result<Arc<rustls::ServerConfig>, String> {
    let versions: &[_] = match min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("ring speaks these versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
