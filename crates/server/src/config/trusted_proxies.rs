//! Which peers may say on whose behalf they connect.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

/// Proxies in front of the server. By default none: whoever connects is the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Headers in which they name the client, in the order in which they are looked at.
    pub headers: Vec<HeaderName>,
    /// Where they connect from.
    pub origins: Vec<IpNet>,
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Whether what this peer says of its client is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.origins.iter().any(|network| network.contains(&peer))
    }
}

/// Reads a network, or a single address.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .map_err(|_| "write networks with commas between them, for example 10.0.0.0/8,192.0.2.7".to_owned())
}

pub(super) fn parse_header(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| {
        "write names of headers with commas between them, for example X-Forwarded-For".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_only_who_is_named() {
        let proxies = TrustedProxies {
            headers: Vec::new(),
            origins: vec![
                parse_network("10.0.0.0/8").unwrap(),
                parse_network("192.0.2.7").unwrap(),
                parse_network("2001:db8::/32").unwrap(),
            ],
        };
        for trusted in ["10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.9.9.9"] {
            assert!(proxies.trusts(trusted.parse().unwrap()), "{trusted}");
        }
        for other in ["11.0.0.1", "192.0.2.8", "::1", "127.0.0.1"] {
            assert!(!proxies.trusts(other.parse().unwrap()), "{other}");
        }
        assert!(!TrustedProxies::default().trusts("127.0.0.1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "ten", "10.0.0"] {
            assert!(parse_network(bad).is_err(), "{bad}");
        }
    }
}
