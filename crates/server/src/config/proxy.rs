//! The AI Gateway Proxy: where it listens, with which certificates, and where its tunnels may lead.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{Clock as _, Lifetime, Secret, SystemClock};
use gateway_mitm::ca::CertificateAuthority;
use gateway_mitm::dial::UpstreamProxy;
use ipnet::IpNet;
use url::Url;

use super::aibridge::AibridgeConfig;
use super::error::Read;
use super::listen::{ListenConfig, parse_address};
use super::names;
use super::option::{Section, ServerOption};
use super::reader::Reader;
use super::tls::{self, Identity, MinVersion};
use super::trusted_proxies::parse_network;
use super::urls;

const ENABLED: ServerOption = ServerOption::switch(
    names::PROXY_ENABLED,
    "false",
    "Run the AI Gateway Proxy, for tools that cannot set a base URL",
);
const LISTEN_ADDR: ServerOption = ServerOption::text(
    names::PROXY_LISTEN_ADDR,
    "ADDRESS",
    "Address and port of the proxy; a port alone, as :8888, is on every address of the machine",
)
.default(":8888");
const ACCESS_URL: ServerOption = ServerOption::text(
    names::PROXY_ACCESS_URL,
    "URL",
    "Address that users know the proxy by; without it the host of --access-url with the port the proxy listens on",
);
const TLS_CERT_FILE: ServerOption = ServerOption::text(
    names::PROXY_TLS_CERT_FILE,
    "PATH",
    "Certificates in PEM form with which the proxy itself speaks TLS to its clients, its own first; by default it \
     does not",
);
const TLS_KEY_FILE: ServerOption = ServerOption::text(
    names::PROXY_TLS_KEY_FILE,
    "PATH",
    "Private key of that certificate, in PEM form",
);
const CERT_FILE: ServerOption = ServerOption::text(
    names::PROXY_CERT_FILE,
    "PATH",
    "Certificate authority in PEM form that signs for intercepted hosts, its own certificate first; by default one \
     is made and kept in the configuration directory",
);
const KEY_FILE: ServerOption = ServerOption::text(
    names::PROXY_KEY_FILE,
    "PATH",
    "Private key of the certificate authority, in PEM form",
);
const UPSTREAM: ServerOption = ServerOption::secret(
    names::PROXY_UPSTREAM,
    names::PROXY_UPSTREAM_FILE,
    "URL",
    "Another proxy that tunnels go through, http(s)://[USER:PASSWORD@]HOST:PORT. Prefer the variable or the file: \
     others can see flags",
);
const UPSTREAM_CA: ServerOption = ServerOption::text(
    names::PROXY_UPSTREAM_CA,
    "PATH",
    "Certificates in PEM form to trust beside the system's when that proxy speaks TLS",
);
const ALLOWED_PRIVATE_CIDRS: ServerOption = ServerOption::text(
    names::PROXY_ALLOWED_PRIVATE_CIDRS,
    "NETWORKS",
    "Networks that tunnels may reach although they are not public, with commas between them; by default none",
);
const ALLOWED_PORTS: ServerOption = ServerOption::text(
    names::PROXY_ALLOWED_PORTS,
    "PORTS",
    "Ports that tunnels may reach, with commas between them",
)
.default("80,443");
const ALLOW_ANONYMOUS_TUNNELS: ServerOption = ServerOption::switch(
    names::PROXY_ALLOW_ANONYMOUS_TUNNELS,
    "false",
    "Tunnel to hosts that are not intercepted for everybody, without a token",
);
const IDLE_TIMEOUT: ServerOption = ServerOption::text(
    names::PROXY_IDLE_TIMEOUT,
    "DURATION",
    "How long a tunnel may be silent before it is closed",
)
.default("10m");

pub(super) const SECTION: Section = Section {
    heading: "AI Gateway Proxy",
    options: &[
        &ENABLED,
        &LISTEN_ADDR,
        &ACCESS_URL,
        &TLS_CERT_FILE,
        &TLS_KEY_FILE,
        &CERT_FILE,
        &KEY_FILE,
        &UPSTREAM,
        &UPSTREAM_CA,
        &ALLOWED_PRIVATE_CIDRS,
        &ALLOWED_PORTS,
        &ALLOW_ANONYMOUS_TUNNELS,
        &IDLE_TIMEOUT,
    ],
};

/// What the proxy is to do. Where it is not told, names of hosts to intercept come from the providers.
pub struct ProxyConfig {
    pub address: SocketAddr,
    /// With it clients speak TLS to the proxy itself.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub authority: AuthoritySource,
    /// The proxy that tunnels go through.
    pub upstream: Option<UpstreamProxy>,
    /// Networks that are not public and may be reached all the same.
    pub allowed_networks: Vec<IpNet>,
    pub allowed_ports: Vec<u16>,
    pub allow_anonymous_tunnels: bool,
    pub idle_timeout: Duration,
    /// As given; see [`Self::access_url`].
    access_url: Option<Url>,
}

/// Where the certificate authority comes from.
#[derive(Clone, Debug)]
pub enum AuthoritySource {
    /// Files of the operator's own.
    Loaded(Arc<CertificateAuthority>),
    /// Made in this directory if there is none.
    Directory(PathBuf),
}

// === impl ProxyConfig ===

impl ProxyConfig {
    /// None if the proxy is off. What else listens and what is relayed may have been faulty themselves.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        listen: Option<&ListenConfig>,
        aibridge: Option<&AibridgeConfig>,
        config_dir: &Path,
    ) -> Read<Option<Self>> {
        let enabled = reader.switch(&ENABLED);
        let address = reader.value(&LISTEN_ADDR, parse_listen_address);
        let access_url = reader.optional(&ACCESS_URL, parse_proxy_url);
        let allowed_networks = reader.list(&ALLOWED_PRIVATE_CIDRS, parse_network);
        let allowed_ports = reader.list(&ALLOWED_PORTS, parse_port);
        let allow_anonymous_tunnels = reader.switch(&ALLOW_ANONYMOUS_TUNNELS);
        let idle_timeout = reader.value(&IDLE_TIMEOUT, str::parse::<Lifetime>);
        let upstream = reader.secret(&UPSTREAM, Ok::<_, &str>);
        if !enabled? {
            // Looking again at what could not be read would tell its faults again.
            let _ = (address?, access_url?, allowed_networks?, allowed_ports?);
            let _ = (allow_anonymous_tunnels?, idle_timeout?, upstream?);
            warn_of_unused(reader)?;
            return Ok(None);
        }
        let tls = read_tls(reader);
        let authority = read_authority(reader, config_dir);
        let upstream = upstream.and_then(|url| read_upstream(reader, url));
        if aibridge.is_some_and(|aibridge| !aibridge.enabled) {
            return Err(reader.fault(
                &ENABLED,
                "is on and --aibridge-enabled is off, so that intercepted requests would go nowhere; switch both on or off",
            ));
        }
        let address = address?;
        if let Some(other) = listen.and_then(|listen| listen.on_the_same_port(address)) {
            let text = format!("is {address}, where --{other} listens already; choose another port");
            return Err(reader.fault(&LISTEN_ADDR, &text));
        }
        Ok(Some(Self {
            address,
            tls: tls?,
            authority: authority?,
            upstream: upstream?,
            allowed_networks: allowed_networks?,
            allowed_ports: allowed_ports?,
            allow_anonymous_tunnels: allow_anonymous_tunnels?,
            idle_timeout: idle_timeout?.as_duration(),
            access_url: access_url?,
        }))
    }

    /// The address that users know the proxy by: the one given, or the host by which they know the server with the port
    /// that was bound.
    pub fn access_url(&self, server: &Url, bound: SocketAddr) -> Url {
        if let Some(url) = &self.access_url {
            return url.clone();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let host = server.host_str().unwrap_or("localhost");
        format!("{scheme}://{host}:{}/", bound.port())
            .parse()
            .expect("the host of a URL with a port makes a URL")
    }
}

impl fmt::Debug for ProxyConfig {
    /// Without the key of the listener and the password of the upstream proxy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConfig")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .field("authority", &self.authority)
            .field("upstream", &self.upstream.is_some())
            .field("allowed_networks", &self.allowed_networks)
            .field("allowed_ports", &self.allowed_ports)
            .field("allow_anonymous_tunnels", &self.allow_anonymous_tunnels)
            .field("idle_timeout", &self.idle_timeout)
            .field("access_url", &self.access_url)
            .finish()
    }
}

/// An address with a port, or a port on every address.
fn parse_listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port
            .parse()
            .map_err(|_| "write a port after the colon, for example :8888")?;
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    parse_address(text)
}

/// Where clients find the proxy: a host and a port, since that is all that clients take.
fn parse_proxy_url(text: &str) -> Result<Url, String> {
    let url = urls::parse_access_url(text)?;
    if url.path() != "/" {
        return Err("it must not hold a path".to_owned());
    }
    Ok(url)
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write ports with commas between them, for example 80,443"),
        Ok(port) => Ok(port),
    }
}

fn warn_of_unused(reader: &mut Reader<'_>) -> Read<()> {
    let mut unused = Vec::new();
    for option in SECTION
        .options
        .iter()
        .filter(|option| option.name != ENABLED.name)
    {
        if reader.given(option, |_| Ok::<_, &str>(()))?.is_some() {
            unused.push(format!("--{}", option.name.flag));
        }
    }
    if !unused.is_empty() {
        reader.warn(format!(
            "not used, since --{} ({}) is off: {}",
            ENABLED.name.flag,
            ENABLED.name.variable,
            unused.join(", ")
        ));
    }
    Ok(())
}

fn read_tls(reader: &mut Reader<'_>) -> Read<Option<Arc<rustls::ServerConfig>>> {
    let cert_file = reader.optional(&TLS_CERT_FILE, str::parse::<PathBuf>);
    let key_file = reader.optional(&TLS_KEY_FILE, str::parse::<PathBuf>);
    let (certificate, key) = (cert_file?, key_file?);
    let needed_by = match (&certificate, &key) {
        (None, None) => return Ok(None),
        (Some(_), _) => TLS_CERT_FILE.name.flag,
        (None, Some(_)) => TLS_KEY_FILE.name.flag,
    };
    let identity = Identity {
        certificate: (&TLS_CERT_FILE, certificate),
        key: (&TLS_KEY_FILE, key),
        needed_by,
    };
    // CONNECT over HTTP/2 is another protocol, which no known client speaks.
    identity
        .read(reader, Ok(MinVersion::Tls12), &[b"http/1.1"])
        .map(Some)
}

fn read_authority(reader: &mut Reader<'_>, config_dir: &Path) -> Read<AuthoritySource> {
    let cert_file = reader.optional(&CERT_FILE, str::parse::<PathBuf>);
    let key_file = reader.optional(&KEY_FILE, str::parse::<PathBuf>);
    let missing = |other: &ServerOption| format!("is missing; --{} needs it", other.name.flag);
    match (cert_file?, key_file?) {
        (None, None) => Ok(AuthoritySource::Directory(config_dir.to_owned())),
        (Some(certificate), Some(key)) => CertificateAuthority::load(&certificate, &key, SystemClock.now())
            .map(|authority| AuthoritySource::Loaded(Arc::new(authority)))
            .map_err(|error| {
                let text = format!(
                    "and --{} cannot be used: {}",
                    KEY_FILE.name.flag,
                    with_causes(&error)
                );
                reader.fault(&CERT_FILE, &text)
            }),
        (Some(_), None) => Err(reader.fault(&KEY_FILE, &missing(&CERT_FILE))),
        (None, Some(_)) => Err(reader.fault(&CERT_FILE, &missing(&KEY_FILE))),
    }
}

fn read_upstream(reader: &mut Reader<'_>, url: Option<Secret>) -> Read<Option<UpstreamProxy>> {
    let ca_file = reader.optional(&UPSTREAM_CA, str::parse::<PathBuf>);
    let roots = match ca_file? {
        None => Vec::new(),
        given => tls::read_file(
            reader,
            (&UPSTREAM_CA, given),
            UPSTREAM.name.flag,
            tls::read_certificates,
        )?,
    };
    let Some(url) = url else {
        if !roots.is_empty() {
            warn_of_useless_roots(reader);
        }
        return Ok(None);
    };
    let upstream = UpstreamProxy::new(&url, &roots)
        .map_err(|error| reader.fault(&UPSTREAM, &format!("cannot be used: {}", with_causes(&error))))?;
    if upstream.is_ca_unused() {
        warn_of_useless_roots(reader);
    }
    Ok(Some(upstream))
}

fn warn_of_useless_roots(reader: &mut Reader<'_>) {
    reader.warn(format!(
        "--{} is not used, since --{} does not begin with https://",
        UPSTREAM_CA.name.flag, UPSTREAM.name.flag
    ));
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
