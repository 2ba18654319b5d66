//! Authorities for tests.

use std::path::{Path, PathBuf};

use gateway_core::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use url::Host;

use super::make::{DAY, date};
use super::{CaError, CertificateAuthority};

/// In January 2027.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) fn host(text: &str) -> Host<String> {
    Host::parse(text).unwrap()
}

pub(crate) fn hosts(texts: &[&str]) -> Vec<Host<String>> {
    texts.iter().map(|text| host(text)).collect()
}

/// One that is made for these hosts.
pub(crate) fn made(texts: &[&str]) -> CertificateAuthority {
    let dir = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(dir.path(), &hosts(texts), NOW).unwrap()
}

/// What the owner of an authority would write: a name, and the rest as usual.
pub(crate) fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = date(NOW.minus(DAY)).unwrap();
    params.not_after = date(NOW.plus(DAY * 365)).unwrap();
    params.use_authority_key_identifier_extension = true;
    params
}

/// A root and an intermediate under it.
pub(crate) struct Intermediate {
    pub(crate) root: rcgen::Certificate,
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Intermediate {
    pub(crate) fn new(root: CertificateParams, intermediate: &CertificateParams) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let root_certificate = root.self_signed(&root_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(root, root_key);
        Self {
            root: root_certificate,
            certificate: intermediate.signed_by(&key, &issuer).unwrap(),
            key,
        }
    }
}

/// A folder with the files of an authority that somebody brings.
pub(crate) struct Given {
    pub(crate) dir: TempDir,
}

impl Given {
    pub(crate) fn new(certificates: &str, key: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("chain.pem"), certificates).unwrap();
        std::fs::write(dir.path().join("key.pem"), key).unwrap();
        Self { dir }
    }

    pub(crate) fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::new(&params.self_signed(&key).unwrap().pem(), &key.serialize_pem())
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.dir.path().join("chain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    pub(crate) fn load(&self) -> Result<CertificateAuthority, CaError> {
        self.load_at(NOW)
    }

    pub(crate) fn load_at(&self, now: Timestamp) -> Result<CertificateAuthority, CaError> {
        CertificateAuthority::load(&self.certificates(), &self.key(), now)
    }
}

#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
