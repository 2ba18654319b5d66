//! Nobody but a page of ours can make a browser change something here.
//!
//! Two defences, each enough by itself. The browser says where a request comes from (`Sec-Fetch-Site`, `Origin`), and
//! that must be here. And each form holds a token that is derived from the session's secret, which another site cannot
//! read; before there is a session, from a random cookie. Nothing of it is stored. A token is salted anew on every page,
//! so that its bytes cannot be guessed from the length of compressed pages.

use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use gateway_core::ApiToken;
use rand::RngExt as _;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::cookie::{self, Cookie};
use super::error::PageError;
use crate::api::ApiState;

/// The name of the field.
const FIELD: &str = "csrf";

const SALT: usize = 16;
const MAC: usize = 32;

/// The length of a visitor's cookie: 190 bits.
const VISITOR_LENGTH: usize = 32;

/// What the tokens of one session's, or one visitor's, forms are derived from.
#[derive(Clone, Copy)]
pub(super) struct FormKey([u8; MAC]);

/// The fields of a form that was sent from here, with the right token.
pub(super) struct Checked<T>(pub(super) T);

/// The fields of a form that is a button: nothing but its token.
#[derive(Deserialize)]
pub(super) struct NoFields {}

// === impl FormKey ===

impl FormKey {
    pub(super) fn of_session(token: &ApiToken) -> Self {
        Self::derive(b"session form\0", token.expose())
    }

    fn of_visitor(cookie: &str) -> Self {
        Self::derive(b"visitor form\0", cookie)
    }

    fn derive(purpose: &[u8], secret: &str) -> Self {
        Self(
            Sha256::new()
                .chain_update(purpose)
                .chain_update(secret)
                .finalize()
                .into(),
        )
    }

    /// For one more form.
    pub(super) fn token(&self) -> String {
        let salt: [u8; SALT] = rand::rng().random();
        let mut text = String::with_capacity(2 * (SALT + MAC));
        for byte in salt.iter().chain(&self.mac(&salt)) {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        text
    }

    fn accepts(&self, token: &str) -> bool {
        let Some(bytes) = from_hex(token) else {
            return false;
        };
        let (salt, mac) = bytes.split_at(SALT);
        self.mac(salt).ct_eq(mac).into()
    }

    /// Both parts have a fixed length, so that a plain hash will do.
    fn mac(&self, salt: &[u8]) -> [u8; MAC] {
        Sha256::new()
            .chain_update(self.0)
            .chain_update(salt)
            .finalize()
            .into()
    }
}

fn from_hex(text: &str) -> Option<[u8; SALT + MAC]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * (SALT + MAC) || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; SALT + MAC];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// Gives whoever is not signed in the cookie that the forms of these pages are tied to.
pub(super) async fn visitor(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_secure = cookie::is_secure(&parts, &state);
    // The form may turn out to be sent by TLS where its page did not, so the cookie gets both names. The browser takes
    // those that it may.
    let takes_both = !is_secure && cookie::may_be_secure(&state);
    let is_kept = Cookie::Visitor
        .read(&parts.headers, is_secure || takes_both)
        .is_some();
    let known = Cookie::Visitor.read(&parts.headers, is_secure).map(str::to_owned);
    let value = known.unwrap_or_else(|| Alphanumeric.sample_string(&mut rand::rng(), VISITOR_LENGTH));
    parts.extensions.insert(FormKey::of_visitor(&value));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let headers = response.headers_mut();
    if !is_kept {
        headers.append(header::SET_COOKIE, Cookie::Visitor.set(&value, is_secure));
    }
    if !is_kept && takes_both {
        headers.append(header::SET_COOKIE, Cookie::Visitor.set(&value, true));
    }
    response
}

/// Whether the browser says that the request comes from a page of this server. All browsers of the last years say it
/// with every form; who says nothing is refused.
fn is_from_here(parts: &Parts, state: &ApiState) -> bool {
    let Ok(site) = single(&parts.headers, "sec-fetch-site") else {
        return false;
    };
    let Ok(origin) = single(&parts.headers, header::ORIGIN.as_str()) else {
        return false;
    };
    (site.is_some() || origin.is_some())
        && site.is_none_or(|site| site == "same-origin")
        && origin.is_none_or(|origin| is_own_origin(origin, parts, state))
}

/// The host that the browser means to talk to, or that of the access URL where a proxy in front puts another `Host`.
fn is_own_origin(origin: &str, parts: &Parts, state: &ApiState) -> bool {
    let is_host = origin.split_once("://").is_some_and(|(_, authority)| {
        cookie::host(parts).is_some_and(|host| host.as_str().eq_ignore_ascii_case(authority))
    });
    is_host || Url::parse(&state.access_url).is_ok_and(|url| url.origin().ascii_serialization() == origin)
}

/// The value of a header, unless it cannot be read or is there twice.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        _ => Err(()),
    }
}

// === impl Checked ===

impl<T: DeserializeOwned> FromRequest<ApiState> for Checked<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, PageError> {
        let (parts, body) = request.into_parts();
        if !is_from_here(&parts, state) {
            return Err(PageError::not_from_here());
        }
        let key = *parts
            .extensions
            .get::<FormKey>()
            .ok_or_else(PageError::form_outdated)?;
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|_| PageError::bad_form())?;
        let is_accepted = url::form_urlencoded::parse(&bytes)
            .find(|(name, _)| name == FIELD)
            .is_some_and(|(_, token)| key.accepts(&token));
        if !is_accepted {
            return Err(PageError::form_outdated());
        }
        Form::<T>::from_request(Request::from_parts(parts, Body::from(bytes)), state)
            .await
            .map(|Form(fields)| Self(fields))
            .map_err(|_| PageError::bad_form())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_key_alone() {
        let key = FormKey::of_visitor("a");
        let token = key.token();
        assert!(key.accepts(&token));
        assert_ne!(token, key.token(), "salted");
        assert!(!FormKey::of_visitor("b").accepts(&token));
        for bad in [
            "",
            "00",
            &token[2..],
            &token.replace(&token[..1], "x"),
            &"é".repeat(48),
        ] {
            assert!(!key.accepts(bad), "{bad}");
        }
        let zeros = "0".repeat(2 * (SALT + MAC));
        assert!(!key.accepts(&zeros));
    }

    #[test]
    fn a_visitor_cannot_make_the_token_of_a_session() {
        let token = ApiToken::generate(&mut rand::rng());
        let visitor = FormKey::of_visitor(token.expose());
        assert!(!FormKey::of_session(&token).accepts(&visitor.token()));
    }
}
