//! URLs of servers and of the things on them.

use std::net::IpAddr;

use gateway_api_types::API_PREFIX;
use url::{Host, Url};

use super::ClientError;
use crate::exit::UsageError;

/// Reads the URL of a server as people write it. Without a scheme it is HTTPS, and HTTP on this machine.
pub(crate) fn parse_url(text: &str) -> Result<Url, UsageError> {
    let text = text.trim();
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else if Url::parse(&format!("http://{text}")).is_ok_and(|url| is_loopback(&url)) {
        format!("http://{text}")
    } else {
        format!("https://{text}")
    };
    let mut url = Url::parse(&with_scheme).map_err(|error| {
        UsageError(format!(
            "the URL of the server cannot be read ({error}); write it like https://coder.example.com"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(UsageError(
            "the URL of the server must begin with http:// or https://".to_owned(),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UsageError(
            "the URL of the server must not hold a user name or password".to_owned(),
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Whether what is known of one may be told to the other.
pub(crate) fn same_server(one: &Url, other: &Url) -> bool {
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    one.origin() == other.origin() && path(one) == path(other)
}

/// On this machine, by name or by address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|v4| IpAddr::V4(v4).is_loopback())
        }
        None => false,
    }
}

/// Each part of `path` becomes one segment, whatever characters it has.
pub(super) fn endpoint(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Result<Url, ClientError> {
    let mut url = base.clone();
    {
        let mut segments = url.path_segments_mut().expect("a URL with a host has a path");
        segments.pop_if_empty();
        segments.extend(API_PREFIX.split('/').filter(|part| !part.is_empty()));
        for part in path {
            // These would be resolved away and the request would go to another resource.
            if matches!(*part, "" | "." | "..") {
                return Err(ClientError::NoSuchName((*part).to_owned()));
            }
            segments.push(part);
        }
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_write_them() {
        for (text, expected) in [
            ("https://coder.example.com", "https://coder.example.com/"),
            ("coder.example.com/x?y#z", "https://coder.example.com/x"),
            ("localhost:3000", "http://localhost:3000/"),
            ("127.0.0.1:3000/", "http://127.0.0.1:3000/"),
            ("[::1]:3000", "http://[::1]:3000/"),
            (" http://10.0.0.1 ", "http://10.0.0.1/"),
        ] {
            assert_eq!(parse_url(text).unwrap().as_str(), expected);
        }
        for bad in [
            "",
            "ftp://a.example",
            "http://",
            "http://a:b@c.example",
            "https://a@c.example",
            "file:///etc/passwd",
        ] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_session_is_for_one_server() {
        let url = |text: &str| parse_url(text).unwrap();
        assert!(same_server(
            &url("https://a.example"),
            &url("https://A.example:443/")
        ));
        for other in [
            "http://a.example",
            "https://a.example:444",
            "https://b.example",
            "https://a.example/x",
        ] {
            assert!(!same_server(&url("https://a.example"), &url(other)), "{other}");
        }
    }

    #[test]
    fn loopback_by_name_and_address() {
        for near in [
            "http://localhost",
            "http://x.localhost.",
            "http://127.9.9.9",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(&near.parse().unwrap()), "{near}");
        }
        for far in ["http://localhost.example", "http://10.0.0.1", "http://[::2]"] {
            assert!(!is_loopback(&far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn names_stay_in_their_segment() {
        let base = parse_url("https://a.example/coder/").unwrap();
        let url = endpoint(&base, &["users", "me", "keys", "a/b?c#d%e ü"], &[("q", "x y&z")]).unwrap();
        assert_eq!(
            url.as_str(),
            "https://a.example/coder/api/v2/users/me/keys/a%2Fb%3Fc%23d%25e%20%C3%BC?q=x+y%26z"
        );
        for bad in ["", ".", ".."] {
            assert!(endpoint(&base, &["users", bad], &[]).is_err(), "{bad:?}");
        }
    }
}
