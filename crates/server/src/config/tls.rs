//! TLS of the listeners: certificate and key from PEM files, made into what rustls serves with.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

use super::error::Read;
use super::option::ServerOption;
use super::reader::Reader;

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

/// The two files of a listener, and the options that name them.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certificate: (&'static ServerOption, Option<PathBuf>),
    pub(super) key: (&'static ServerOption, Option<PathBuf>),
    /// The option because of which a missing one is a fault.
    pub(super) needed_by: &'static str,
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
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let content = gateway_core::Secret::new(
        fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?,
    );
    PrivateKeyDer::from_pem_slice(content.expose().as_bytes())
        .map_err(|_| "holds no private key in PEM form, or an encrypted one".to_owned())
}

// === impl Identity ===

impl Identity {
    /// What to serve with; `protocols` are those of ALPN, the best first.
    pub(super) fn read(
        self,
        reader: &mut Reader<'_>,
        min_version: Read<MinVersion>,
        protocols: &[&[u8]],
    ) -> Read<Arc<rustls::ServerConfig>> {
        let (cert_option, key_option) = (self.certificate.0, self.key.0);
        let needed_by = self.needed_by;
        let certificates = read_file(reader, self.certificate, needed_by, read_certificates);
        let key = read_file(reader, self.key, needed_by, read_key);
        server_config(certificates?, key?, min_version?, protocols).map_err(|error| {
            let text = format!("and --{} cannot be used together: {error}", key_option.name.flag);
            reader.fault(cert_option, &text)
        })
    }
}

/// What the file of an option holds.
pub(super) fn read_file<T>(
    reader: &mut Reader<'_>,
    (option, path): (&'static ServerOption, Option<PathBuf>),
    needed_by: &str,
    read: impl FnOnce(&Path) -> Result<T, String>,
) -> Read<T> {
    match path {
        None => Err(reader.fault(option, &format!("is missing; --{needed_by} needs it"))),
        Some(path) => read(&path)
            .map_err(|error| reader.fault(option, &format!("is {}, which {error}", path.display()))),
    }
}

fn server_config(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    min_version: MinVersion,
    protocols: &[&[u8]],
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
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
