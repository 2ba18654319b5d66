//! Requests that came to a provider's own address and were decrypted on the way there.

use gateway_core::{ApiToken, ProviderName};

/// Request extension: the request was sent to the host of a provider, through the proxy. The path is the provider's own
/// and is the one that goes upstream. Who asks is said by the token that the proxy was given; the credential that the
/// client sent is its own, unless it is a gateway token or a placeholder.
#[derive(Clone, Debug)]
pub struct Pinned {
    pub provider: ProviderName,
    pub token: ApiToken,
}
