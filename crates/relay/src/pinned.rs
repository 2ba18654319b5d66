//! Requests that came to a provider's own address and were decrypted on the way there.

use gateway_core::{ApiToken, ProviderName};

/// Request extension: the request was sent to the host of a provider, through the proxy. The path is the provider's own,
/// and who asks is said by the token that the proxy was given.
#[derive(Clone, Debug)]
pub struct Pinned {
    pub provider: ProviderName,
    pub token: ApiToken,
}
