//! What handlers take: the caller, bodies, queries and paths, each with an answer of the one form when it is wrong.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use gateway_api_types::{ErrorReply, SESSION_HEADER};
use gateway_core::ApiToken;
use gateway_core::audit::Source;
use gateway_relay::access::{AccessError, Admission};
use gateway_relay::listen::PeerAddr;
use serde::de::DeserializeOwned;

use super::{ApiError, ApiState};
use crate::config::TrustedProxies;
use crate::service::Requester;
use crate::service::error::ServiceError;
use crate::service::setup::Origin;

/// Who calls, verified.
pub(crate) struct Caller {
    pub(crate) requester: Requester,
    /// Held while the call runs, so that it is not answered after its right is gone.
    admission: Option<Admission>,
}

/// Where the client is.
pub(crate) struct Client {
    pub(crate) source: Source,
    pub(crate) origin: Origin,
}

/// A JSON body.
pub(crate) struct AppJson<T>(pub(crate) T);

/// A query string.
pub(crate) struct AppQuery<T>(pub(crate) T);

/// The variable parts of a path.
pub(crate) struct AppPath<T>(pub(crate) T);

// === impl Caller ===

impl Caller {
    /// For the end of a call: the right may have gone while it ran.
    pub(crate) fn still(&self) -> Result<(), ServiceError> {
        match &self.admission {
            Some(admission) if admission.is_cut() => Err(signed_out()),
            _ => Ok(()),
        }
    }

    /// Somebody whose credential was verified elsewhere.
    pub(crate) fn admitted(requester: Requester, admission: Admission) -> Self {
        Self {
            requester,
            admission: Some(admission),
        }
    }

    /// For an answer that goes on after the call.
    pub(crate) fn into_parts(self) -> (Requester, Option<Admission>) {
        (self.requester, self.admission)
    }

    /// For a call that takes away its own right: it is not to wait for itself, and is answered all the same. The store
    /// checks in its transaction that the right is still there.
    pub(crate) fn release(&mut self) {
        self.admission = None;
    }

    /// The same if this is the token that the call is made with.
    pub(crate) fn release_if_own(&mut self, token_id: &str) {
        if self.requester.token_id.as_str() == token_id {
            self.release();
        }
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let text = credential(&parts.headers).ok_or_else(signed_out)?;
        let token = ApiToken::parse(text).map_err(|_| signed_out())?;
        let source = source(parts, &state.trusted_proxies);
        let admission = state
            .services
            .access
            .admit(&token, source.address())
            .await
            .map_err(|error| match error {
                AccessError::Invalid => ApiError::from(signed_out()),
                AccessError::Expired => ServiceError::Unauthenticated(
                    "your session or token has expired; sign in again".to_owned(),
                )
                .into(),
                AccessError::Busy => ServiceError::Busy.into(),
                error @ AccessError::Unavailable(_) => ServiceError::Unavailable(error.into()).into(),
            })?;
        if !admission.principal().scopes.allows_management() {
            return Err(ServiceError::Forbidden(
                "the scope of this token allows calling models only".to_owned(),
            )
            .into());
        }
        let requester = Requester {
            principal: Arc::clone(admission.principal()),
            source,
        };
        Ok(Self {
            requester,
            admission: Some(admission),
        })
    }
}

/// `Coder-Session-Token`, else `Authorization: Bearer`. Cookies and queries are not looked at.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let single = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_some() {
            Some("")
        } else {
            Some(first.to_str().unwrap_or_default().trim())
        }
    };
    single(SESSION_HEADER)
        .filter(|text| !text.is_empty())
        .or_else(|| {
            let (scheme, token) = single("authorization")?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        })
}

fn signed_out() -> ServiceError {
    ServiceError::Unauthenticated("you are signed out or your session has expired; sign in again".to_owned())
}

// === impl Client ===

impl FromRequestParts<ApiState> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip());
        let marks = ["forwarded", "via", "x-real-ip"];
        let is_forwarded = marks.iter().any(|name| parts.headers.contains_key(*name))
            || parts
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("x-forwarded-"))
            || state
                .trusted_proxies
                .headers
                .iter()
                .any(|name| parts.headers.contains_key(name));
        let origin = Origin {
            peer,
            is_forwarded,
            is_local_name: is_local_name(parts),
        };
        Ok(Self {
            source: source(parts, &state.trusted_proxies),
            origin,
        })
    }
}

/// Whether the client means this machine by name: a page of another site whose name was made to lead here does not.
fn is_local_name(parts: &Parts) -> bool {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.or_else(|| parts.uri.authority().map(Authority::as_str));
    let Some(authority) = authority.and_then(|text| text.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What the audit log is told of a client.
fn source(parts: &Parts, proxies: &TrustedProxies) -> Source {
    let user_agent = parts.headers.get(header::USER_AGENT);
    Source::new(
        client_address(parts, proxies),
        user_agent.map(HeaderValue::as_bytes),
    )
}

/// The TCP peer, or whom a trusted peer speaks for: of a list, the last entry that is not itself trusted. Entries are
/// read from the back, since each proxy adds its own there and only those are to be believed; at one that cannot be
/// read the list ends.
fn client_address(parts: &Parts, proxies: &TrustedProxies) -> Option<IpAddr> {
    let peer = parts.extensions.get::<PeerAddr>()?.0.ip().to_canonical();
    if !proxies.trusts(peer) {
        return Some(peer);
    }
    let header = proxies
        .headers
        .iter()
        .find(|name| parts.headers.contains_key(*name));
    let values = header.iter().flat_map(|name| parts.headers.get_all(*name));
    let entries: Vec<&str> = values
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .collect();
    let mut nearest = peer;
    for entry in entries.into_iter().rev() {
        let Some(address) = entry_address(entry.trim()) else {
            break;
        };
        nearest = address;
        if !proxies.trusts(address) {
            break;
        }
    }
    Some(nearest)
}

/// An address, with or without a port.
fn entry_address(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    let address: IpAddr = match bare.parse() {
        Ok(address) => address,
        Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

// === impl AppJson ===

impl<T: DeserializeOwned> FromRequest<ApiState> for AppJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        // The type is checked first, as axum's own extractor does, and the form second: serde would read an array as
        // the fields of a struct in their order.
        let (parts, body) = request.into_parts();
        let is_json = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(is_json);
        if !is_json {
            let reply = ErrorReply::new("the body must be JSON")
                .with_validation("body", "send it with the header Content-Type: application/json");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, reply));
        }
        let bytes = Bytes::from_request(Request::from_parts(parts, body), state)
            .await
            .map_err(|rejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    ApiError::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        ErrorReply::new("the body is larger than 256 KiB"),
                    )
                } else {
                    ApiError::field("body", "it broke off")
                }
            })?;
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::field("body", "must be a JSON object"));
        }
        Json::<T>::from_bytes(&bytes)
            .map(|Json(body)| Self(body))
            .map_err(|rejection| json_error(&rejection))
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.to_ascii_lowercase().starts_with("application/")
            && essence.to_ascii_lowercase().ends_with("+json"))
}

fn json_error(rejection: &JsonRejection) -> ApiError {
    let (message, detail) = match rejection {
        JsonRejection::JsonDataError(error) => ("the request is not valid", innermost(error)),
        JsonRejection::JsonSyntaxError(error) => ("the body is not valid JSON", innermost(error)),
        _ => ("the body could not be read", "it broke off".to_owned()),
    };
    // serde_path_to_error puts the path before the cause: `lifetime: invalid type: ...`.
    let (field, cause) = match detail.split_once(": ") {
        Some((path, cause)) if is_path(path) => (path.to_owned(), cause.to_owned()),
        _ => (named_field(&detail).unwrap_or_else(|| "body".to_owned()), detail),
    };
    ApiError::new(
        StatusCode::BAD_REQUEST,
        ErrorReply::new(message).with_validation(field, cause),
    )
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    let mut last = error.to_string();
    while let Some(source) = current.source() {
        last = source.to_string();
        current = source;
        // The path is in the outermost of serde's two messages.
        if last.split_once(": ").is_some_and(|(path, _)| is_path(path)) {
            break;
        }
    }
    last
}

fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'[' | b']'))
}

/// serde names an unknown or missing field in backticks.
fn named_field(detail: &str) -> Option<String> {
    let rest = detail
        .strip_prefix("unknown field `")
        .or_else(|| detail.strip_prefix("missing field `"))?;
    Some(rest.split('`').next()?.chars().take(64).collect())
}

// === impl AppQuery ===

impl<T: DeserializeOwned> FromRequestParts<ApiState> for AppQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(query)| Self(query))
            .map_err(|rejection: QueryRejection| ApiError::field("query", innermost(&rejection)))
    }
}

// === impl AppPath ===

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for AppPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(path)| Self(path))
            .map_err(|_: PathRejection| ServiceError::NotFound("resource").into())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, Request};

    use super::*;

    fn address(peer: &str, values: &[&str]) -> String {
        let mut request = Request::builder();
        for value in values {
            request = request.header("x-forwarded-for", *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts
            .extensions
            .insert(PeerAddr(SocketAddr::new(peer.parse().unwrap(), 1)));
        let proxies = TrustedProxies {
            headers: vec![HeaderName::from_static("x-forwarded-for")],
            origins: vec!["10.0.0.0/8".parse().unwrap()],
        };
        client_address(&parts, &proxies).unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_from_the_back() {
        assert_eq!(address("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(address("10.0.0.1", &["6.6.6.6", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address("10.0.0.1", &["6.6.6.6, 198.51.100.1:4711"]),
            "198.51.100.1"
        );
        assert_eq!(address("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, nonsense, 10.0.0.3"]), "10.0.0.3");
        assert_eq!(address("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn local_names() {
        let is_local = |host: &str| {
            let (parts, ()) = Request::builder()
                .header("host", host)
                .body(())
                .unwrap()
                .into_parts();
            is_local_name(&parts)
        };
        for local in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1:3000",
            "[::1]:3000",
            "127.1.2.3",
        ] {
            assert!(is_local(local), "{local}");
        }
        for other in [
            "evil.example",
            "evil.example:3000",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "",
            "localhost.evil.example",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }
}
