//! Hosts and ports.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use url::Host;

/// The longest name that DNS knows, without the last dot (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The host and port that a client wants to reach, in the one form in which they are compared: names in lower case,
/// as A-labels and without a last dot, addresses parsed.
///
/// Parsed from the authority form of CONNECT (RFC 9112, section 3.2.3), in which the port is required. IPv4 addresses
/// are understood in every spelling that a URL may have, so that none is taken for a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host<String>,
    pub port: u16,
}

/// Why a text names no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthority {
    #[error("the target must be of the form host:port, without user, path or query")]
    Form,
    #[error("the host is missing")]
    NoHost,
    #[error("the host is neither a name nor an address")]
    Host,
    #[error("the port is missing")]
    NoPort,
    #[error("the port must be a number from 1 to 65535")]
    Port,
}

// === impl Authority ===

impl Authority {
    /// Brings a host that is parsed already into the form in which hosts are compared. A name with characters beyond
    /// letters, digits, `-`, `_` and `.`, with an empty or overlong label, is none.
    pub fn new(host: Host<String>, port: u16) -> Result<Self, InvalidAuthority> {
        let host = match host {
            Host::Domain(name) => Host::Domain(normal_name(name)?),
            address => address,
        };
        if port == 0 {
            return Err(InvalidAuthority::Port);
        }
        Ok(Self { host, port })
    }

    /// As in a `Host` header or an `:authority`, where the port may be missing.
    pub fn parse_with_default(text: &str, default_port: u16) -> Result<Self, InvalidAuthority> {
        let (host, port) = split(text)?;
        let port = match port {
            None | Some("") => default_port,
            Some(port) => parse_port(port)?,
        };
        Self::new(parse_host(host)?, port)
    }
}

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, InvalidAuthority> {
        let (host, port) = split(text)?;
        let host = parse_host(host)?;
        match port {
            None | Some("") => Err(InvalidAuthority::NoPort),
            Some(port) => Self::new(host, parse_port(port)?),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Cuts off the port. The host keeps its brackets.
fn split(text: &str) -> Result<(&str, Option<&str>), InvalidAuthority> {
    // A percent sign would be decoded by the parser of hosts, and begins a zone in an IPv6 address; neither has a
    // place here (RFC 6874 is about URLs that a user types).
    if text
        .bytes()
        .any(|byte| matches!(byte, b'@' | b'/' | b'\\' | b'?' | b'#' | b'%') || byte <= b' ' || byte == 0x7f)
    {
        return Err(InvalidAuthority::Form);
    }
    if text.starts_with('[') {
        let end = text.find(']').ok_or(InvalidAuthority::Host)?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(InvalidAuthority::Form),
        };
    }
    match text.split_once(':') {
        // An IPv6 address without brackets could be cut in many ways.
        Some((_, port)) if port.contains(':') => Err(InvalidAuthority::Form),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_host(host: &str) -> Result<Host<String>, InvalidAuthority> {
    if host.is_empty() {
        return Err(InvalidAuthority::NoHost);
    }
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or(InvalidAuthority::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| InvalidAuthority::Host)?;
        return Ok(Host::Ipv6(address));
    }
    Host::parse(host).map_err(|_| InvalidAuthority::Host)
}

fn parse_port(port: &str) -> Result<u16, InvalidAuthority> {
    // The parser of numbers would allow a sign.
    if port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAuthority::Port);
    }
    port.parse().map_err(|_| InvalidAuthority::Port)
}

fn normal_name(mut name: String) -> Result<String, InvalidAuthority> {
    if name.ends_with('.') {
        name.pop();
    }
    name.make_ascii_lowercase();
    if name.is_empty() {
        return Err(InvalidAuthority::NoHost);
    }
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > MAX_NAME || !name.split('.').all(is_label) {
        return Err(InvalidAuthority::Host);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_have_one_form() {
        for (text, normal) in [
            ("api.anthropic.com:443", "api.anthropic.com:443"),
            ("API.Anthropic.COM.:443", "api.anthropic.com:443"),
            ("localhost:00443", "localhost:443"),
            ("my_host-1:65535", "my_host-1:65535"),
            ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("XN--BCHER-KVA.example:443", "xn--bcher-kva.example:443"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("127.0.0.1.:1", "127.0.0.1:1"),
            ("0x7f.1:1", "127.0.0.1:1"),
            ("0177.0.0.01:1", "127.0.0.1:1"),
            ("2130706433:1", "127.0.0.1:1"),
            ("127.1:1", "127.0.0.1:1"),
            ("[::1]:443", "[::1]:443"),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]:443"),
            ("[::FFFF:127.0.0.1]:443", "[::ffff:7f00:1]:443"),
        ] {
            let parsed: Authority = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.to_string(), normal, "{text}");
        }
        let address: Authority = "0x7f000001:1".parse().unwrap();
        assert!(matches!(address.host, Host::Ipv4(address) if address.is_loopback()));
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_reason() {
        use InvalidAuthority::{Form, Host, NoHost, NoPort, Port};
        for (text, reason) in [
            ("", NoHost),
            (":443", NoHost),
            (".:443", NoHost),
            ("example.com", NoPort),
            ("example.com:", NoPort),
            ("[::1]", NoPort),
            ("example.com:0", Port),
            ("example.com:65536", Port),
            ("example.com:+443", Port),
            ("example.com:-1", Port),
            ("example.com:4e2", Port),
            ("example.com:000443", Port),
            ("example.com:443x", Port),
            ("example.com:443:443", Form),
            ("::1:443", Form),
            ("user@example.com:443", Form),
            ("user:pass@example.com:443", Form),
            ("example.com:443/", Form),
            ("https://example.com:443", Form),
            ("example.com:443?x", Form),
            ("example.com#:443", Form),
            ("example\\.com:443", Form),
            ("exam ple.com:443", Form),
            ("example.com\t:443", Form),
            ("example.com\0:443", Form),
            ("%65xample.com:443", Form),
            ("[fe80::1%25eth0]:443", Form),
            ("[fe80::1%eth0]:443", Form),
            ("[::1]x:443", Form),
            ("[::1:443", Host),
            ("::1]:443", Form),
            ("[]:443", Host),
            ("[127.0.0.1]:443", Host),
            ("[v1.x]:443", Host),
            ("example..com:443", Host),
            ("example.com..:443", Host),
            (".example.com:443", Host),
            ("exa*mple.com:443", Host),
            ("exa\"mple.com:443", Host),
            ("exa$mple.com:443", Host),
            ("a,b:443", Host),
            ("1.2.3.4.5:443", Host),
            ("256.256.256.256:443", Host),
            ("0x:443x", Port),
            ("xn--\u{fffd}:443", Host),
        ] {
            assert_eq!(text.parse::<Authority>(), Err(reason), "{text:?}");
        }
        let label = "a".repeat(64);
        assert_eq!(format!("{label}.com:443").parse::<Authority>(), Err(Host));
        let name = vec!["a"; 128].join(".");
        assert_eq!(format!("{name}:443").parse::<Authority>(), Err(Host));
    }

    #[test]
    fn a_missing_port_is_the_default_where_there_is_one() {
        for text in [
            "Example.com",
            "example.com:",
            "example.com:443",
            "example.com.:0443",
        ] {
            let parsed = Authority::parse_with_default(text, 443).unwrap();
            assert_eq!(parsed.to_string(), "example.com:443", "{text}");
        }
        assert_eq!(
            Authority::parse_with_default("example.com:8443", 443)
                .unwrap()
                .port,
            8443
        );
    }

    proptest! {
        #[test]
        fn the_one_form_parses_to_itself(text in ".{0,40}(:[0-9]{1,5})?") {
            if let Ok(parsed) = text.parse::<Authority>() {
                prop_assert_eq!(parsed.to_string().parse::<Authority>(), Ok(parsed));
            }
        }
    }
}
