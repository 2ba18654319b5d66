//! What handlers take: the caller, bodies, queries and paths, each with an answer of the one form when it is wrong.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use gateway_api_types::{ErrorReply, SESSION_HEADER};
use gateway_core::{ApiToken, Principal};
use gateway_relay::access::{AccessError, Admission};
use gateway_relay::listen::PeerAddr;
use serde::de::DeserializeOwned;

use super::{ApiError, ApiState};
use crate::config::TrustedProxies;
use crate::service::error::ServiceError;
use crate::service::setup::Origin;

/// Who calls, verified.
pub(crate) struct Caller {
    pub(crate) principal: Arc<Principal>,
    /// Held while a reading call runs, so that it is not answered after the right is gone. A writing call is checked
    /// in its transaction instead, and may well take away its own right.
    admission: Option<Admission>,
}

/// Where the client is.
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
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
    /// For the end of a call that reads: the right may have gone while it ran.
    pub(crate) fn still(&self) -> Result<(), ApiError> {
        match &self.admission {
            Some(admission) if admission.is_cut() => Err(signed_out()),
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let text = credential(&parts.headers).ok_or_else(signed_out)?;
        let token = ApiToken::parse(text).map_err(|_| signed_out())?;
        let from = client_address(parts, &state.trusted_proxies);
        let admission = state
            .services
            .access
            .admit(&token, from)
            .await
            .map_err(|error| match error {
                AccessError::Invalid => signed_out(),
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
        let principal = Arc::clone(admission.principal());
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        Ok(Self {
            principal,
            admission: reads.then_some(admission),
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
    single(SESSION_HEADER).or_else(|| {
        let (scheme, token) = single("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    })
}

fn signed_out() -> ApiError {
    ServiceError::Unauthenticated("you are signed out or your session has expired; sign in again".to_owned())
        .into()
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
            || state.trusted_proxies.headers.iter().any(|name| parts.headers.contains_key(name));
        Ok(Self {
            address: client_address(parts, &state.trusted_proxies),
            origin: Origin { peer, is_forwarded },
        })
    }
}

/// The TCP peer, or whom a trusted peer speaks for: of a list, the last entry that is not itself trusted.
fn client_address(parts: &Parts, proxies: &TrustedProxies) -> Option<IpAddr> {
    let peer = parts.extensions.get::<PeerAddr>()?.0.ip().to_canonical();
    if !proxies.trusts(peer) {
        return Some(peer);
    }
    let header = proxies.headers.iter().find(|name| parts.headers.contains_key(*name));
    let named: Vec<IpAddr> = header
        .iter()
        .flat_map(|name| parts.headers.get_all(*name))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .collect();
    Some(named.iter().rev().find(|address| !proxies.trusts(**address)).copied().unwrap_or(peer))
}

// === impl AppJson ===

impl<T: DeserializeOwned> FromRequest<ApiState> for AppJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(json_error(&rejection)),
        }
    }
}

fn json_error(rejection: &JsonRejection) -> ApiError {
    let (message, detail) = match rejection {
        JsonRejection::MissingJsonContentType(_) => (
            "the body must be JSON",
            "send it with the header Content-Type: application/json".to_owned(),
        ),
        JsonRejection::JsonDataError(error) => ("the request is not valid", innermost(error)),
        JsonRejection::JsonSyntaxError(error) => ("the body is not valid JSON", innermost(error)),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorReply::new("the body is larger than 256 KiB"),
            );
        }
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
