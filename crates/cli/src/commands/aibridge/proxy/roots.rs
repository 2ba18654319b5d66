//! The certificates that this machine trusts anyway.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::pem;
use crate::environment;

/// Where systems keep their roots in one file.
const WELL_KNOWN: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, Red Hat
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // their relatives
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // Alpine, macOS, OpenBSD
    "/usr/local/share/certs/ca-root-nss.crt", // FreeBSD
];

/// The roots of a file, of the one in `SSL_CERT_FILE`, or of the system. `ours` is what this program has written: what
/// an earlier run has pointed `SSL_CERT_FILE` to must not be taken for the system's.
pub(super) fn read(given: Option<&Path>, ours: &Path) -> anyhow::Result<String> {
    if let Some(path) = given {
        return of_file(path);
    }
    if let Some(path) = environment::read(environment::SSL_CERT_FILE)
        && !is_same(Path::new(&path), ours)
    {
        return of_file(Path::new(&path));
    }
    for path in WELL_KNOWN.map(Path::new) {
        if path.exists() {
            return of_file(path);
        }
    }
    bail!("this system's root certificates were not found; name a file with them by --roots")
}

/// Whether two paths lead to one file, however they are written.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn of_file(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Comments around certificates may be in any encoding.
    pem::certificates(&String::from_utf8_lossy(&bytes))
        .with_context(|| format!("{} holds no certificate in PEM form", path.display()))
}
