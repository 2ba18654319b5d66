//! What the configuration of the proxy may say, and that no password gets into errors.

use std::net::IpAddr;

use super::*;

fn configured(address: &str) -> Result<UpstreamProxy, UpstreamProxyError> {
    UpstreamProxy::new(&address.into(), &[])
}

#[test]
fn addresses_of_the_proxy_are_understood_or_refused() {
    let understood = [
        ("http://proxy.example:3128", "proxy.example", 3128),
        ("http://PROXY.example", "proxy.example", 80),
        (" http://user:hunter2@proxy.example:3128/ ", "proxy.example", 3128),
        ("http://[::1]:8080", "[::1]", 8080),
        ("HTTP://10.1.2.3:8080", "10.1.2.3", 8080),
    ];
    for (address, host, port) in understood {
        let proxy = configured(address).unwrap();
        assert_eq!(proxy.authority, target(host, port), "{address}");
        assert!(!format!("{proxy:?}").contains("hunter2"), "{proxy:?}");
    }
    let refused = [
        ("", "Url"),
        ("http://", "Url"),
        ("http://proxy.example:99999", "Url"),
        ("proxy.example:3128", "Form"),
        ("socks5://hunter2:hunter2@proxy.example:1080", "Form"),
        ("http://hunter2@proxy.example/hunter2", "Form"),
        ("http://hunter2@proxy.example?hunter2", "Form"),
        ("http://hunter2@proxy.example#hunter2", "Form"),
        ("http://@proxy.example", "EmptyCredentials"),
        ("http://:@proxy.example", "EmptyCredentials"),
        ("http://hunter2%3A:hunter2@proxy.example", "Credentials"),
        ("http://user:hunter2%0D%0AX:y@proxy.example", "Credentials"),
        ("http://user%00:hunter2@proxy.example", "Credentials"),
    ];
    for (address, kind) in refused {
        let error = configured(address).unwrap_err();
        let debug = format!("{error:?}");
        assert!(debug.starts_with(kind), "{address}: {debug}");
        assert!(
            !debug.contains("hunter2") && !error.to_string().contains("hunter2"),
            "{debug}"
        );
    }
}

#[test]
fn a_private_authority_is_for_https_alone_and_must_be_one() {
    let ca = TestCa::new();
    let http = UpstreamProxy::new(&"http://proxy.example:3128".into(), &[ca.der()]).unwrap();
    assert!(http.is_ca_unused() && http.tls.is_none());
    let https = UpstreamProxy::new(&"https://proxy.example:3128".into(), &[ca.der()]).unwrap();
    assert!(!https.is_ca_unused() && https.tls.is_some());
    assert!(!configured("http://proxy.example:3128").unwrap().is_ca_unused());

    let broken = CertificateDer::from(vec![1, 2, 3]);
    let error = UpstreamProxy::new(&"https://proxy.example".into(), &[broken]).unwrap_err();
    assert!(matches!(error, UpstreamProxyError::Ca(_)), "{error:?}");
}

#[test]
fn the_names_of_addresses_are_addresses() {
    for (address, name) in [("10.1.2.3", "10.1.2.3"), ("[::1]", "::1")] {
        let host = Host::parse(address).unwrap();
        let (_, server_name) = tls(&host, &[TestCa::new().der()]).unwrap();
        assert_eq!(server_name, ServerName::from(name.parse::<IpAddr>().unwrap()));
    }
}
