//! What people may know of the provider instances that are configured: all but their keys.

use gateway_core::{ProviderKind, ProviderName, mask};
use gateway_relay::ProviderConfig;

/// One provider instance.
#[derive(Clone, Debug)]
pub(crate) struct ProviderFacts {
    pub(crate) name: ProviderName,
    pub(crate) kind: ProviderKind,
    pub(crate) base_url: String,
    /// The organisation's key, masked; none if only callers with a credential of their own are served.
    pub(crate) key_hint: Option<String>,
}

// === impl ProviderFacts ===

impl ProviderFacts {
    pub(crate) fn of(provider: &ProviderConfig) -> Self {
        Self {
            name: provider.name.clone(),
            kind: provider.kind,
            base_url: provider.base_url.to_string(),
            key_hint: provider.key.as_ref().map(|key| mask::mask(key.expose())),
        }
    }
}
