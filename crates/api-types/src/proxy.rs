//! The AI Gateway Proxy, as whoever goes through it has to know it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// Reply of `GET /api/v2/aibridge/proxy`. While the proxy is off there is nothing else to say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AiProxy {
    pub enabled: bool,
    /// How clients reach it, for example `https://ai.example.com:8888`; user name and password are theirs to add.
    #[serde(default)]
    pub url: Option<String>,
    /// Where it listens.
    #[serde(default)]
    pub port: Option<u16>,
    /// Whether clients speak TLS to the proxy itself.
    #[serde(default)]
    pub tls: bool,
    /// The certificate authority that clients must trust.
    #[serde(default)]
    pub ca: Option<ProxyAuthority>,
    /// What is intercepted; everything else is tunnelled as it is.
    #[serde(default)]
    pub hosts: Vec<ProxyHost>,
}

/// The certificate authority of the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxyAuthority {
    /// SHA-256 of its certificate, in hexadecimal with colons.
    pub sha256_fingerprint: String,
    pub expires_at: Time,
}

/// A host that the proxy intercepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxyHost {
    pub host: String,
    pub port: u16,
    /// The provider instance that requests to it are for.
    pub provider: String,
    /// Further instances on the same host and port, which cannot be reached through the proxy.
    #[serde(default)]
    pub shadowed: Vec<String>,
}
