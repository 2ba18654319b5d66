//! Where the server listens, what it is called, whom it believes, and how long it takes to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gateway_core::Lifetime;
use http::HeaderName;
use url::Url;

use super::error::Read;
use super::names;
use super::option::{Section, ServerOption};
use super::reader::Reader;
use super::tls::{self, TlsListen};
use super::trusted_proxies::{TrustedProxies, parse_header, parse_network};
use super::urls;

const HTTP_ADDRESS: ServerOption = ServerOption::text(
    names::HTTP_ADDRESS,
    "ADDRESS",
    "Address and port to serve plain HTTP on; empty for none",
)
.default("127.0.0.1:3000")
.or_empty();
const ACCESS_URL: ServerOption = ServerOption::text(
    names::ACCESS_URL,
    "URL",
    "Address that users know this server by; without it the address it listens on",
);
const TLS_ENABLE: ServerOption = ServerOption::switch(names::TLS_ENABLE, "false", "Serve HTTPS too");
const TLS_ADDRESS: ServerOption = ServerOption::text(
    names::TLS_ADDRESS,
    "ADDRESS",
    "Address and port to serve HTTPS on",
)
.default("127.0.0.1:3443");
const TLS_CERT_FILE: ServerOption = ServerOption::text(
    names::TLS_CERT_FILE,
    "PATH",
    "Certificates in PEM form, the server's own first",
);
const TLS_KEY_FILE: ServerOption = ServerOption::text(
    names::TLS_KEY_FILE,
    "PATH",
    "Private key of the server's certificate, in PEM form",
);
const TLS_MIN_VERSION: ServerOption = ServerOption::text(
    names::TLS_MIN_VERSION,
    "VERSION",
    "Oldest version of TLS to speak, tls12 or tls13",
)
.default("tls12");
const PROXY_TRUSTED_ORIGINS: ServerOption = ServerOption::text(
    names::PROXY_TRUSTED_ORIGINS,
    "NETWORKS",
    "Networks of proxies in front of this server that may name the client's address, with commas between them; \
     by default none",
);
const PROXY_TRUSTED_HEADERS: ServerOption = ServerOption::text(
    names::PROXY_TRUSTED_HEADERS,
    "HEADERS",
    "Headers in which those proxies name the client's address, with commas between them; by default \
     X-Forwarded-For",
);
const SHUTDOWN_TIMEOUT: ServerOption = ServerOption::text(
    names::SHUTDOWN_TIMEOUT,
    "DURATION",
    "How long requests in flight may take to finish when the server is told to stop; then they are cut",
)
.default("10s");

pub(super) const SECTION: Section = Section {
    heading: "Network",
    options: &[
        &HTTP_ADDRESS,
        &ACCESS_URL,
        &TLS_ENABLE,
        &TLS_ADDRESS,
        &TLS_CERT_FILE,
        &TLS_KEY_FILE,
        &TLS_MIN_VERSION,
        &PROXY_TRUSTED_ORIGINS,
        &PROXY_TRUSTED_HEADERS,
        &SHUTDOWN_TIMEOUT,
    ],
};

/// Where to listen; at least at one address.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    pub http: Option<SocketAddr>,
    pub tls: Option<TlsListen>,
    pub trusted_proxies: TrustedProxies,
    /// How long what is in flight may take to finish at a shutdown.
    pub shutdown_timeout: Duration,
    /// As given; see [`Self::access_url`].
    access_url: Option<Url>,
}

// === impl ListenConfig ===

impl ListenConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let http = reader.value(&HTTP_ADDRESS, |text| {
            if text.is_empty() {
                Ok(None)
            } else {
                parse_address(text).map(Some)
            }
        });
        let access_url = reader.optional(&ACCESS_URL, urls::parse_access_url);
        let tls = read_tls(reader);
        let trusted_proxies = read_proxies(reader);
        let shutdown_timeout = reader.value(&SHUTDOWN_TIMEOUT, str::parse::<Lifetime>);
        let (http, tls) = (http?, tls?);
        match (http, &tls) {
            (None, None) => {
                return Err(reader.fault(
                    &HTTP_ADDRESS,
                    "is empty and --tls-enable is off, so that nothing would listen; switch one on",
                ));
            }
            (Some(http), Some(tls)) if http == tls.address && http.port() != 0 => {
                return Err(reader.fault(
                    &TLS_ADDRESS,
                    &format!("is {http}, as is --http-address; choose another port"),
                ));
            }
            _ => {}
        }
        Ok(Self {
            http,
            tls,
            trusted_proxies: trusted_proxies?,
            shutdown_timeout: shutdown_timeout?.as_duration(),
            access_url: access_url?,
        })
    }

    /// The option of the listener, if any, that a further one at this address would be in the way of.
    pub(super) fn on_the_same_port(&self, address: SocketAddr) -> Option<&'static str> {
        let http = self.http.map(|http| (http, HTTP_ADDRESS.name.flag));
        let tls = self.tls.as_ref().map(|tls| (tls.address, TLS_ADDRESS.name.flag));
        let mut others = http.into_iter().chain(tls);
        let (_, option) = others.find(|(other, _)| {
            let is_same_ip =
                other.ip() == address.ip() || other.ip().is_unspecified() || address.ip().is_unspecified();
            other.port() == address.port() && address.port() != 0 && is_same_ip
        })?;
        Some(option)
    }

    /// The address that users know the server by. Where none was given it is that of a listener, so that what was
    /// bound is to be handed in, with the port that the system chose if the configured one is 0.
    pub fn access_url(&self, http: Option<SocketAddr>, tls: Option<SocketAddr>) -> Url {
        match (&self.access_url, tls, http) {
            (Some(url), ..) => url.clone(),
            (None, Some(tls), _) => urls::of_listener("https", tls),
            (None, None, Some(http)) => urls::of_listener("http", http),
            (None, None, None) => urls::of_listener("http", SocketAddr::from(([127, 0, 0, 1], 0))),
        }
    }
}

pub(super) fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "write an IP address with a port, for example 127.0.0.1:3000 or [::1]:3000")
}

fn read_tls(reader: &mut Reader<'_>) -> Read<Option<TlsListen>> {
    let enabled = reader.switch(&TLS_ENABLE);
    let address = reader.value(&TLS_ADDRESS, parse_address);
    let min_version = reader.value(&TLS_MIN_VERSION, tls::parse_min_version);
    let cert_file = reader.optional(&TLS_CERT_FILE, str::parse::<PathBuf>);
    let key_file = reader.optional(&TLS_KEY_FILE, str::parse::<PathBuf>);
    if !enabled? {
        if matches!(&cert_file, Ok(Some(_))) || matches!(&key_file, Ok(Some(_))) {
            reader.warn(
                "--tls-cert-file and --tls-key-file are not used, since --tls-enable (CODER_TLS_ENABLE) is off"
                    .to_owned(),
            );
        }
        return Ok(None);
    }
    let identity = tls::Identity {
        certificate: (&TLS_CERT_FILE, cert_file?),
        key: (&TLS_KEY_FILE, key_file?),
        needed_by: TLS_ENABLE.name.flag,
    };
    let config = identity.read(reader, min_version, &[b"h2", b"http/1.1"])?;
    Ok(Some(TlsListen {
        address: address?,
        config,
    }))
}

fn read_proxies(reader: &mut Reader<'_>) -> Read<TrustedProxies> {
    let origins = reader.list(&PROXY_TRUSTED_ORIGINS, parse_network);
    let headers = reader.list(&PROXY_TRUSTED_HEADERS, parse_header);
    let (origins, mut headers) = (origins?, headers?);
    if origins.is_empty() && !headers.is_empty() {
        return Err(reader.fault(
            &PROXY_TRUSTED_HEADERS,
            "says in which headers proxies are believed, but not which proxies; give --proxy-trusted-origins too",
        ));
    }
    if headers.is_empty() && !origins.is_empty() {
        headers.push(HeaderName::from_static("x-forwarded-for"));
    }
    Ok(TrustedProxies { headers, origins })
}
