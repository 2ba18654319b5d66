//! Addresses of web servers: this one's as its users know it, and providers'.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// Reads the address that users know the server by.
pub(super) fn parse_access_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("not a URL ({error}); write for example https://ai.example.com"))?;
    check(&url)?;
    Ok(url)
}

/// An absolute address of a web server and nothing more.
fn check(url: &Url) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user name or password".to_owned());
    }
    if url.query().is_some() {
        return Err("it must not hold a query".to_owned());
    }
    if url.fragment().is_some() {
        return Err("it must not hold a fragment".to_owned());
    }
    Ok(())
}

/// Reads the base URL of a provider.
pub(super) fn parse_base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| {
        format!("not a URL ({error}); write it whole, for example https://api.openai.com/v1")
    })?;
    check(&url)?;
    Ok(url)
}

/// Whether a host is this machine, so that nobody in between can read along.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical().is_loopback(),
        None => false,
    }
}

/// The address of a listener for somebody on the same machine.
pub(super) fn of_listener(scheme: &str, address: SocketAddr) -> Url {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    format!("{scheme}://{address}/")
        .parse()
        .expect("an address with a port makes a URL")
}
