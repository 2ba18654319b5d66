//! What can be wrong with an authority, told so that its owner knows what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use time::Date;
use url::Host;

/// Why there is no certificate authority. Every message names the file; none holds a part of a key.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },

    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },

    /// A file far longer than a chain or a key.
    #[error("{path} is too long to be a certificate chain or a key")]
    TooLong { path: PathBuf },

    #[error("{path} holds no certificate in PEM (\"BEGIN CERTIFICATE\")")]
    NoCertificate { path: PathBuf },

    #[error("a certificate in {path} cannot be read: {fault}")]
    BadCertificate { path: PathBuf, fault: String },

    #[error("{path} holds no private key in PEM (\"BEGIN PRIVATE KEY\")")]
    NoKey { path: PathBuf },

    #[error(
        "the private key in {path} is encrypted; write it without a passphrase, for example with `openssl pkey`"
    )]
    EncryptedKey { path: PathBuf },

    #[error(
        "the private key in {path} is of no supported kind: ECDSA P-256 or P-384, RSA of 2048 to 4096 bits, Ed25519"
    )]
    UnsupportedKey { path: PathBuf },

    #[error(
        "the private key in {key} does not belong to the first certificate in {certificate}; a chain begins with the \
             authority's own certificate, its issuers follow"
    )]
    KeyMismatch { certificate: PathBuf, key: PathBuf },

    /// Certificate `subject` may not sign as the proxy needs it.
    #[error(
        "the certificate of \"{subject}\" in {path} cannot be used to sign certificates of hosts: {fault}"
    )]
    NotAuthority {
        path: PathBuf,
        subject: String,
        fault: NotAuthority,
    },

    #[error(
        "in {path} the certificate of \"{issuer}\" follows that of \"{subject}\" without being its issuer; order the \
             chain from the authority's own certificate to the root"
    )]
    Chain {
        path: PathBuf,
        subject: String,
        issuer: String,
    },

    #[error(
        "the certificate of \"{subject}\" in {path} expired on {not_after}; renew it, the proxy's own with \
             `coder aibridge proxy ca renew`"
    )]
    Expired {
        path: PathBuf,
        subject: String,
        not_after: Date,
    },

    #[error(
        "the certificate of \"{subject}\" in {path} is not valid before {not_before}; is the clock right?"
    )]
    NotYetValid {
        path: PathBuf,
        subject: String,
        not_before: Date,
    },

    /// One file of the pair without the other, and not because making it was interrupted.
    #[error(
        "{present} is there but {missing} is not; put it back, or run `coder aibridge proxy ca renew` to make a new \
             authority, which every client has to trust anew"
    )]
    OnlyOne { present: PathBuf, missing: PathBuf },

    /// A provider's host that no certificate can name.
    #[error("no certificate can be made for the host \"{host}\"")]
    BadHost { host: Host<String> },

    #[error("cannot make a certificate authority")]
    Make(#[source] rcgen::Error),
}

/// What a certificate lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAuthority {
    BasicConstraints,
    KeyUsage,
    ExtendedKeyUsage,
    PathLength,
    DirectoryNames,
}

/// Providers that an authority must not sign for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate authority of the proxy may not sign for {}; run `coder aibridge proxy ca renew` and let every \
         client trust the new one, or use an authority whose name constraints permit them", list(.hosts))]
pub struct Uncovered {
    pub hosts: Vec<Host<String>>,
}

/// What to tell the owner of an authority that works nonetheless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("the key file {} can be read by others (mode {mode:04o}); give it mode 0600", path.display())]
    KeyReadable { path: PathBuf, mode: u32 },
}

// === impl NotAuthority ===

impl fmt::Display for NotAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BasicConstraints => "it is not marked as a certificate authority (basic constraints)",
            Self::KeyUsage => "its key usage does not include signing certificates (keyCertSign)",
            Self::ExtendedKeyUsage => "its extended key usage does not include TLS servers (serverAuth)",
            Self::PathLength => "its path length does not allow the certificates that precede it",
            Self::DirectoryNames => {
                "its name constraints limit directory names, which clients treat differently"
            }
        })
    }
}

fn list(hosts: &[Host<String>]) -> String {
    hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(", ")
}
