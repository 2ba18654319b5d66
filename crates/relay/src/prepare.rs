//! From the request as it came to the request as it goes to the provider.
//!
//! Headers are dropped by the rules of `gateway_llm::headers`, exactly one provider credential is set, and a
//! gateway token anywhere else is a reason to refuse. The upstream address is put together from the configured
//! base URL and a path from the allow-list, never from a header.

use gateway_core::credential::{CredentialHeader, GOVERNANCE_HEADER, OwnCredential, Presented};
use gateway_core::mask::mask;
use gateway_core::token::hides_token;
use gateway_core::{ProviderKind, ProviderName, Secret};
use gateway_llm::headers;
use gateway_llm::route::AllowList;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONNECTION};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::provider::ProviderConfig;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A provider ready to be asked.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: ProviderName,
    pub(crate) kind: ProviderKind,
    pub(crate) list: AllowList,
    /// Asks for the usage of Chat Completions streams whose client does not.
    pub(crate) injects_usage: bool,
    /// The organisation's key, masked; empty if there is none.
    pub(crate) hint: String,
    scheme: Scheme,
    authority: Authority,
    /// Of the base URL, without its last slash.
    base_path: String,
    key: Option<HeaderValue>,
}

/// A provider's configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the base URL {url} of provider {name} is not usable")]
    BaseUrl { name: ProviderName, url: String },
    #[error("the key of provider {name} holds characters that cannot stand in a header")]
    Key { name: ProviderName },
    #[error("provider {name} has a key, but those of type {kind} are for their users' own credentials")]
    CentralKey { name: ProviderName, kind: ProviderKind },
}

/// A credential header that stands in a request more than once, or is not text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} must stand once, in plain text")]
pub(crate) struct UnclearCredential(pub(crate) &'static str);

// === impl Provider ===

impl Provider {
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, ProviderError> {
        if config.key.is_some() && !config.kind.has_central_key() {
            return Err(ProviderError::CentralKey {
                name: config.name.clone(),
                kind: config.kind,
            });
        }
        let unusable = || ProviderError::BaseUrl {
            name: config.name.clone(),
            url: config.base_url.as_str().to_owned(),
        };
        let uri: Uri = config.base_url.as_str().parse().map_err(|_| unusable())?;
        let parts = uri.into_parts();
        Ok(Self {
            name: config.name.clone(),
            kind: config.kind,
            injects_usage: config.inject_usage,
            hint: config
                .key
                .as_ref()
                .map(|key| mask(key.expose()))
                .unwrap_or_default(),
            list: match config.kind {
                ProviderKind::Anthropic => AllowList::Anthropic,
                ProviderKind::OpenAi | ProviderKind::OpenAiCompat => AllowList::OpenAi,
                ProviderKind::Copilot => AllowList::Copilot,
            },
            scheme: parts.scheme.ok_or_else(unusable)?,
            authority: parts.authority.ok_or_else(unusable)?,
            base_path: config.base_url.path().trim_end_matches('/').to_owned(),
            key: config
                .key
                .as_ref()
                .map(|key| key_header(config, key))
                .transpose()?,
        })
    }

    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What of a path on the provider's own host is behind the base URL; none if it is not below that. What
    /// [`Self::uri`] makes of it is the same path again.
    pub(crate) fn below_base<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.base_path)
    }

    pub(crate) fn uri(&self, suffix: &str, query: Option<&str>) -> Result<Uri, http::Error> {
        let mut path = format!("{}{suffix}", self.base_path);
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        let path: PathAndQuery = path.parse()?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }

    /// Sets the one credential that goes upstream: the caller's own as it came, or the organisation's key.
    pub(crate) fn set_credential(&self, headers: &mut HeaderMap, own: Option<&OwnCredential>) {
        if let Some(own) = own {
            let name = match own.header {
                CredentialHeader::Authorization => AUTHORIZATION,
                CredentialHeader::XApiKey => X_API_KEY,
            };
            // It came out of a header, so it fits into one.
            if let Ok(mut value) = HeaderValue::from_str(own.value.expose()) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        } else if let Some(key) = self.key.clone() {
            headers.insert(
                if self.kind == ProviderKind::Anthropic {
                    X_API_KEY
                } else {
                    AUTHORIZATION
                },
                key,
            );
        }
    }

    /// The credential that [`Self::set_credential`] sets, without its scheme.
    pub(crate) fn credential<'a>(&'a self, own: Option<&'a OwnCredential>) -> Option<&'a str> {
        let value = match own {
            Some(own) => own.value.expose(),
            None => self.key.as_ref()?.to_str().ok()?,
        };
        value.rsplit(' ').next()
    }
}

fn key_header(config: &ProviderConfig, key: &Secret) -> Result<HeaderValue, ProviderError> {
    let text = match config.kind {
        ProviderKind::Anthropic => key.clone(),
        ProviderKind::OpenAi | ProviderKind::OpenAiCompat | ProviderKind::Copilot => {
            Secret::new(format!("Bearer {}", key.expose()))
        }
    };
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| ProviderError::Key {
        name: config.name.clone(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The credential headers as text. Two of a kind could be read differently here and upstream, so they are refused.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Presented<'_>, UnclearCredential> {
    Ok(Presented {
        governance: single(headers, GOVERNANCE_HEADER)?,
        authorization: single(headers, "authorization")?,
        x_api_key: single(headers, "x-api-key")?,
    })
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, UnclearCredential> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(UnclearCredential(name));
    }
    first
        .map(|value| value.to_str().map_err(|_| UnclearCredential(name)))
        .transpose()
}

/// What of the client's headers goes upstream. `intercepted` routes are read by the gateway on their way back and
/// so are asked for in plain.
pub(crate) fn upstream_headers(from_client: &HeaderMap, intercepted: bool) -> HeaderMap {
    let named = connection_names(from_client);
    let mut headers = HeaderMap::with_capacity(from_client.len() + 1);
    for (name, value) in from_client {
        if !headers::drop_from_request(name.as_str(), intercepted)
            && !named.iter().any(|named| named == name.as_str())
        {
            headers.append(name.clone(), value.clone());
        }
    }
    if intercepted {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    headers
}

/// What of the provider's headers goes to the client.
pub(crate) fn client_headers(from_provider: &HeaderMap) -> HeaderMap {
    let named = connection_names(from_provider);
    let mut headers = HeaderMap::with_capacity(from_provider.len());
    for (name, value) in from_provider {
        if !headers::drop_from_response(name.as_str()) && !named.iter().any(|named| named == name.as_str()) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Whether something of the shape of a gateway token is about to go upstream outside of the credential headers.
pub(crate) fn leaks_token(headers: &HeaderMap, path: &str, query: Option<&str>) -> bool {
    hides_token(path.as_bytes())
        || query.is_some_and(|query| hides_token(query.as_bytes()))
        || headers
            .iter()
            .any(|(name, value)| hides_token(name.as_str().as_bytes()) || hides_token(value.as_bytes()))
}

fn connection_names(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| headers::connection_names(value).collect::<Vec<_>>())
        .collect()
}
