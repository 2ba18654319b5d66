//! The dashboard's cookies: the session, what ties the forms before it to one browser, and what has just been done.
//!
//! Over TLS their names begin with `__Host-` (RFC 6265bis, section 4.1.3), so that neither a neighbouring host nor
//! anybody on the way can put one there; the plain names are then not looked at.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};
use gateway_relay::listen::PeerAddr;
use url::Url;

use crate::api::ApiState;

/// Marks a request that came in on a TLS listener of our own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// The session token. It goes along with links from elsewhere, since `coder login` and chats lead here by link; what
    /// changes something is defended by `csrf`.
    Session,
    /// A random text, for the forms of those who are not signed in.
    Visitor,
    /// A notice for the next page. A link cannot make it up, as it could a part of an address.
    Notice,
}

/// The server decides how long a session lives; the browser only has to keep it for longer.
const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;

/// For how long a notice waits for its page, which comes at once or not at all.
const NOTICE_SECONDS: u32 = 60;

// === impl OverTls ===

impl OverTls {
    pub(crate) fn mark<B>(request: &mut Request<B>) {
        request.extensions_mut().insert(Self);
    }
}

// === impl Cookie ===

impl Cookie {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Session => ("__Host-coder_session", "coder_session"),
            Self::Visitor => ("__Host-coder_visitor", "coder_visitor"),
            Self::Notice => ("__Host-coder_notice", "coder_notice"),
        }
    }

    /// The value that the browser sent.
    pub(super) fn read(self, headers: &HeaderMap, is_secure: bool) -> Option<&str> {
        let (secure, plain) = self.names();
        let find = |name: &str| {
            headers
                .get_all(header::COOKIE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(given, _)| *given == name)
                .map(|(_, value)| value)
        };
        match find(secure) {
            None if !is_secure => find(plain),
            found => found,
        }
    }

    /// The header that puts it there. `value` is of letters, digits, hyphens and underscores.
    pub(super) fn set(self, value: &str, is_secure: bool) -> HeaderValue {
        let lifetime = match self {
            Self::Session => format!("; Max-Age={YEAR_SECONDS}"),
            Self::Visitor => String::new(),
            Self::Notice => format!("; Max-Age={NOTICE_SECONDS}"),
        };
        self.header(value, &lifetime, is_secure)
    }

    /// The headers that take it away, by whichever name it is there.
    pub(super) fn remove(self) -> [HeaderValue; 2] {
        [true, false].map(|is_secure| self.header("", "; Max-Age=0", is_secure))
    }

    /// Lax, since links from elsewhere lead here, and a page that such a link has opened has forms, too.
    fn header(self, value: &str, lifetime: &str, is_secure: bool) -> HeaderValue {
        let (secure, plain) = self.names();
        let (name, secure) = if is_secure {
            (secure, "; Secure")
        } else {
            (plain, "")
        };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{lifetime}{secure}")
            .parse()
            .expect("letters, digits and punctuation of our own")
    }
}

/// Whether the browser speaks TLS, to us or to a proxy in front: by our own listener, by the word of a trusted proxy, or
/// because it uses the access URL and that one says so.
pub(super) fn is_secure(parts: &Parts, state: &ApiState) -> bool {
    parts.extensions.get::<OverTls>().is_some()
        || is_forwarded_tls(parts, state)
        || is_access_url(parts, &state.access_url)
}

/// Whether the browser may speak TLS although its request does not show it: people are to come by TLS, and a proxy in
/// front may have put a `Host` of its own. Forms show it, by their `Origin`.
pub(super) fn may_be_secure(state: &ApiState) -> bool {
    Url::parse(&state.access_url).is_ok_and(|url| url.scheme() == "https")
}

fn is_forwarded_tls(parts: &Parts, state: &ApiState) -> bool {
    let is_trusted = parts
        .extensions
        .get::<PeerAddr>()
        .is_some_and(|peer| state.trusted_proxies.trusts(peer.0.ip()));
    // The nearest proxy has put its own word last.
    let scheme = parts
        .headers
        .get_all("x-forwarded-proto")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next());
    is_trusted && scheme.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

fn is_access_url(parts: &Parts, access_url: &str) -> bool {
    let Ok(url) = Url::parse(access_url) else {
        return false;
    };
    // A proxy that puts a `Host` of its own leaves the `Origin` that comes with forms.
    let origin = parts
        .headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    url.scheme() == "https"
        && (host(parts).is_some_and(|host| is_host_of(&host, &url))
            || origin == Some(&url.origin().ascii_serialization()))
}

/// Whom the browser means to talk to.
pub(super) fn host(parts: &Parts) -> Option<Authority> {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.or_else(|| parts.uri.authority().map(Authority::as_str))?
        .parse()
        .ok()
}

fn is_host_of(host: &Authority, url: &Url) -> bool {
    url.host_str()
        .is_some_and(|name| name.eq_ignore_ascii_case(host.host()))
        && host.port_u16().or(Some(443)) == url.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn only_the_guarded_name_counts_over_tls() {
        let plain = headers("other=1; coder_session=a; coder_session=b");
        assert_eq!(Cookie::Session.read(&plain, false), Some("a"));
        assert_eq!(Cookie::Session.read(&plain, true), None);
        let both = headers("coder_session=a;  __Host-coder_session=b");
        assert_eq!(Cookie::Session.read(&both, false), Some("b"));
        assert_eq!(Cookie::Session.read(&both, true), Some("b"));
        assert_eq!(Cookie::Visitor.read(&both, false), None);
    }

    #[test]
    fn the_access_url_tells_of_tls_in_front() {
        let check = |host: &str, origin: Option<&str>, url: &str| {
            let mut request = Request::builder().header(header::HOST, host);
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            is_access_url(&request.body(()).unwrap().into_parts().0, url)
        };
        let url = "https://ai.example.com/";
        assert!(check("ai.example.com", None, url));
        assert!(check("AI.example.com:443", None, url));
        assert!(check("127.0.0.1:3000", Some("https://ai.example.com"), url));
        assert!(!check("127.0.0.1:3000", None, url));
        assert!(!check("ai.example.com:8443", None, url));
        assert!(!check("ai.example.com", None, "http://ai.example.com/"));
        assert!(!check("127.0.0.1:3000", Some("https://evil.example"), url));
    }
}
