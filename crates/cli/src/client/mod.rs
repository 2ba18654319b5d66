//! The REST client: the only place that builds an HTTP client and the only one that knows how the API answers.
//!
//! Redirects are never followed, since the token would go along. A server on the loopback interface is never
//! reached through a proxy. What does not look like an answer of the API is taken for a sign of a wrong URL.

use std::time::Duration;

use gateway_api_types::{ErrorReply, SESSION_HEADER};
use gateway_core::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

mod address;
mod download;
mod error;

pub(crate) use address::{is_loopback, parse_url, same_server};
pub(crate) use error::{ClientError, Refusal};

use crate::exit::UsageError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than the server takes at most to cut what is in flight.
const TOTAL_TIMEOUT: Duration = Duration::from_mins(1);

/// More than any list of the API; a wrong URL may answer with anything.
const LONGEST_REPLY: usize = 64 * 1024 * 1024;

/// Talks to one server, as one user or as nobody.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    credential: Credential,
}

/// As whom a request is made, and where the token came from, which decides what a refusal means.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    Nobody,
    /// From the session file.
    Stored(Secret),
    /// By flag or variable.
    Given(Secret),
}

/// How long a client waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) total: Duration,
}

struct Answer {
    method: Method,
    url: Url,
    status: StatusCode,
    body: Vec<u8>,
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            total: TOTAL_TIMEOUT,
        }
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(
        base: Url,
        credential: Credential,
        headers: &[Secret],
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(format!(
                "coder-cli/{} ({}/{})",
                env!("CARGO_PKG_VERSION"),
                std::env::consts::OS,
                std::env::consts::ARCH
            ))
            .default_headers(extra_headers(headers)?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(patience.connect)
            .timeout(patience.total)
            .tcp_nodelay(true);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // Without this, a machine that has no root certificates could not even speak plain HTTP.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(ClientError::setup)?;
        Ok(Self {
            http,
            base,
            credential,
        })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// With what requests are made, if with anything.
    pub(crate) fn token(&self) -> Option<&Secret> {
        match &self.credential {
            Credential::Nobody => None,
            Credential::Stored(token) | Credential::Given(token) => Some(token),
        }
    }

    /// The same server as another user.
    #[must_use]
    pub(crate) fn with_credential(&self, credential: Credential) -> Self {
        Self {
            http: self.http.clone(),
            base: self.base.clone(),
            credential,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.ask(Method::GET, path, query, None::<&()>).await?.json()
    }

    /// None if the server says that there is no such thing.
    pub(crate) async fn find<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, ClientError> {
        self.find_with(path, &[]).await
    }

    /// Likewise.
    pub(crate) async fn find_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<T>, ClientError> {
        match self.get_with(path, query).await {
            Ok(found) => Ok(Some(found)),
            Err(ClientError::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        self.ask(Method::POST, path, &[], body).await?.json()
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        self.ask(Method::PUT, path, &[], body).await?.json()
    }

    /// What the server has to say about it is not needed.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        self.ask(Method::DELETE, path, &[], None::<&()>).await.map(drop)
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<Answer, ClientError> {
        let (url, mut request) = self.request(method.clone(), path, query)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| ClientError::unreachable(&self.base, error))?;
        let location = location(&response);
        let answer = self.answer(method, url, response).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.refusal(&answer, location))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<(Url, RequestBuilder), ClientError> {
        let url = address::endpoint(&self.base, path, query)?;
        let mut request = self.http.request(method, url.clone());
        if let Credential::Stored(token) | Credential::Given(token) = &self.credential {
            let mut value =
                HeaderValue::from_str(token.expose()).map_err(|_| self.refused_token(token.is_empty()))?;
            value.set_sensitive(true);
            request = request.header(SESSION_HEADER, value);
        }
        Ok((url, request))
    }

    async fn answer(&self, method: Method, url: Url, response: Response) -> Result<Answer, ClientError> {
        Ok(Answer {
            method,
            url,
            status: response.status(),
            body: self.read(response).await?,
        })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| ClientError::unreachable(&self.base, error))?
        {
            if body.len() + chunk.len() > LONGEST_REPLY {
                return Err(ClientError::NotOurs {
                    url: self.base.to_string(),
                    what: "with a reply longer than any of its own".to_owned(),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn refusal(&self, answer: &Answer, location: Option<String>) -> ClientError {
        if answer.status.is_redirection() {
            return ClientError::Redirected {
                url: self.base.to_string(),
                to: location.unwrap_or_else(|| "somewhere else".to_owned()),
            };
        }
        let Ok(reply) = serde_json::from_slice::<ErrorReply>(&answer.body) else {
            return answer.not_ours();
        };
        if answer.status == StatusCode::UNAUTHORIZED && !matches!(self.credential, Credential::Nobody) {
            return self.refused_token(false);
        }
        ClientError::Refused(Box::new(Refusal {
            method: answer.method.to_string(),
            url: answer.url.to_string(),
            status: answer.status,
            reply,
        }))
    }

    fn refused_token(&self, empty: bool) -> ClientError {
        match &self.credential {
            Credential::Given(_) if !empty => ClientError::TokenRefused,
            _ => ClientError::SessionEnded {
                url: self.base.to_string(),
            },
        }
    }
}

// === impl Answer ===

impl Answer {
    fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        // Calls without a reply have an empty body, which only `()` and `Option` can be read from.
        let body = if self.body.is_empty() {
            b"null".as_slice()
        } else {
            &self.body
        };
        serde_json::from_slice(body).map_err(|_| self.not_ours())
    }

    fn not_ours(&self) -> ClientError {
        let what = if serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok() {
            "with something that is not its own"
        } else {
            "with something that is not JSON"
        };
        ClientError::NotOurs {
            url: self.url.to_string(),
            what: format!("{} {what}", self.status.as_u16()),
        }
    }
}

fn location(response: &Response) -> Option<String> {
    let to = response.headers().get(reqwest::header::LOCATION)?.to_str().ok()?;
    // Only scheme and host: the rest may be anything, and is of no use to the reader.
    let to = response.url().join(to).ok()?;
    Some(to.origin().ascii_serialization())
}

/// `name=value` pairs. A fault is named by its place, since the value may be a secret.
fn extra_headers(pairs: &[Secret]) -> Result<HeaderMap, UsageError> {
    let mut headers = HeaderMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        if pair.expose().trim().is_empty() {
            continue;
        }
        let parsed = pair.expose().split_once('=').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let (name, value) = parsed.ok_or_else(|| {
            UsageError(format!(
                "header number {} is not of the form name=value",
                index + 1
            ))
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_and_faults_do_not_show_them() {
        let pairs = [
            Secret::new("X-One=a=b"),
            Secret::new(""),
            Secret::new(" X-Two = c "),
        ];
        let headers = extra_headers(&pairs).unwrap();
        assert_eq!(headers.get("x-one").unwrap(), "a=b");
        assert_eq!(headers.get("x-two").unwrap(), "c");
        for bad in ["hunter2", "bad name=hunter2", "x=hun\nter2"] {
            let error = extra_headers(&[Secret::new(bad)]).unwrap_err().to_string();
            assert!(!error.contains("hun"), "{error}");
        }
    }
}
