//! A provider as configured.

use gateway_core::{ProviderKind, ProviderName, Secret};
use url::Url;

/// One configured provider instance.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The segment of the clients' base URL that selects it.
    pub name: ProviderName,
    pub kind: ProviderKind,
    /// Absolute, `http` or `https`, without query, fragment or user info.
    pub base_url: Url,
    /// The organisation's key; without one only callers with a credential of their own are served. There is none for
    /// [`ProviderKind::Copilot`].
    pub key: Option<Secret>,
    /// Ask for the usage of Chat Completions streams whose client does not, so that it can be recorded.
    pub inject_usage: bool,
}
