//! The proxy further on that tunnels go through: its configuration, and CONNECT as its client.
//!
//! Its password is in no error and no debug output. Its answer is read up to a bound and no further than its head;
//! what follows the head belongs to the tunnel.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_core::secret::Secret;
use gateway_relay::listen::io::LineIo;
use gateway_relay::{ClientError, client_tls};
use percent_encoding::percent_decode_str;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{Cord, DialError, Dialed, MAX_ATTEMPTS, SystemResolver, attempts};
use crate::connect::Authority;

/// The longest head of an answer that is read.
const MAX_HEAD: usize = 8 * 1024;

/// Look-ups of the proxy's own name at once, apart from those for clients: names that clients choose and that
/// nobody answers for must not stand in its way.
const LOOKUPS: usize = 8;

/// A proxy, with what it takes to use it.
pub struct UpstreamProxy {
    authority: Authority,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    is_ca_unused: bool,
    resolver: SystemResolver,
}

/// The address of the upstream proxy or its certificate authority cannot be used. The text repeats nothing of the
/// address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamProxyError {
    #[error("the address of the upstream proxy is not a URL")]
    Url(#[source] url::ParseError),
    #[error("the address of the upstream proxy must have the form http(s)://[user:password@]host:port")]
    Form,
    #[error("the address of the upstream proxy has an @ but neither user nor password before it")]
    EmptyCredentials,
    #[error(
        "the user of the upstream proxy may hold no colon, and neither user nor password a control character"
    )]
    Credentials,
    #[error("the certificate authority of the upstream proxy cannot be used")]
    Ca(#[source] rustls::Error),
    #[error("no TLS to the upstream proxy")]
    Roots(#[source] ClientError),
}

/// The value of `Proxy-Authorization` for the credentials of a URL (RFC 7617). The user may be empty, the password
/// may be, both may not.
fn authorization(address: &Url, text: &str) -> Result<Option<Secret>, UpstreamProxyError> {
    // The parser drops credentials that are empty, so the text itself tells whether there are any.
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if !authority.contains('@') {
        return Ok(None);
    }
    let user: Vec<u8> = percent_decode_str(address.username()).collect();
    let password: Vec<u8> = percent_decode_str(address.password().unwrap_or_default()).collect();
    if user.is_empty() && password.is_empty() {
        return Err(UpstreamProxyError::EmptyCredentials);
    }
    if user.contains(&b':') || user.iter().chain(&password).any(u8::is_ascii_control) {
        return Err(UpstreamProxyError::Credentials);
    }
    let credentials = [user.as_slice(), b":", password.as_slice()].concat();
    Ok(Some(Secret::new(format!(
        "Basic {}",
        STANDARD.encode(credentials)
    ))))
}

fn tls(
    host: &Host<String>,
    ca: &[CertificateDer<'static>],
) -> Result<(TlsConnector, ServerName<'static>), UpstreamProxyError> {
    // What cannot be read is passed over among the system's roots, but not in a file that somebody named.
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone()).map_err(UpstreamProxyError::Ca)?;
    }
    let config = client_tls(ca).map_err(UpstreamProxyError::Roots)?;
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| UpstreamProxyError::Form)?,
        Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
        Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
    };
    Ok((TlsConnector::from(Arc::new(config)), name))
}

// === impl UpstreamProxy ===

impl UpstreamProxy {
    /// `address` is `http(s)://[user:password@]host:port`, credentials percent-encoded where they must be; without a
    /// port it is that of the scheme. `ca` is trusted in addition to the system's roots when the scheme is https;
    /// with http it has no use, see [`UpstreamProxy::is_ca_unused`].
    pub fn new(address: &Secret, ca: &[CertificateDer<'static>]) -> Result<Self, UpstreamProxyError> {
        let text = address.expose().trim();
        let address = Url::parse(text).map_err(UpstreamProxyError::Url)?;
        let is_tls = match address.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(UpstreamProxyError::Form),
        };
        let has_more =
            !matches!(address.path(), "" | "/") || address.query().or(address.fragment()).is_some();
        let (Some(host), Some(port), false) = (address.host(), address.port_or_known_default(), has_more)
        else {
            return Err(UpstreamProxyError::Form);
        };
        let host = host.to_owned();
        Ok(Self {
            authorization: authorization(&address, text)?,
            tls: if is_tls { Some(tls(&host, ca)?) } else { None },
            is_ca_unused: !is_tls && !ca.is_empty(),
            authority: Authority { host, port },
            resolver: SystemResolver::new(LOOKUPS),
        })
    }

    /// A certificate authority was given for a proxy that is not reached over TLS: worth a warning.
    pub fn is_ca_unused(&self) -> bool {
        self.is_ca_unused
    }

    /// Opens a tunnel to `target` through this proxy.
    pub(super) async fn connect(&self, target: &Authority, cord: &Cord) -> Result<Dialed, DialError> {
        let io = self.connect_tcp(cord).await.map_err(DialError::UpstreamConnect)?;
        let Some((connector, name)) = &self.tls else {
            let (io, ahead) = self.ask(io, target).await?;
            return Ok(Dialed::plain(io, ahead));
        };
        let io = connector.connect(name.clone(), io).await;
        let (io, ahead) = self.ask(io.map_err(DialError::UpstreamConnect)?, target).await?;
        Ok(Dialed::tls(io, ahead))
    }

    async fn connect_tcp(&self, cord: &Cord) -> io::Result<LineIo> {
        let mut addresses = match &self.authority.host {
            Host::Domain(name) => self.resolver.resolve_for_all(name).await?,
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
        };
        addresses.truncate(MAX_ATTEMPTS);
        attempts::connect_first(&addresses, self.authority.port, cord).await
    }

    /// Sends CONNECT and reads the answer; gives the connection back with what came after the answer's head.
    async fn ask<T>(&self, mut io: T, target: &Authority) -> Result<(T, Vec<u8>), DialError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let request = self.request(target);
        let answered = async {
            io.write_all(request.expose().as_bytes()).await?;
            io.flush().await?;
            read_head(&mut io).await
        };
        let (mut head, length) = answered.await.map_err(DialError::UpstreamAnswer)?;
        match status(&head) {
            // Only 200: other statuses of success have no meaning here that proxies agree on. Whatever length the
            // head may state, no body follows (RFC 9110, section 9.3.6).
            Some(200) => Ok((io, head.split_off(length))),
            Some(status) => Err(DialError::UpstreamRefused(status)),
            None => Err(DialError::UpstreamAnswer(not_http())),
        }
    }

    fn request(&self, target: &Authority) -> Secret {
        let Authority { host, port } = target;
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            let _ = write!(request, "Proxy-Authorization: {}\r\n", authorization.expose());
        }
        request.push_str("\r\n");
        Secret::new(request)
    }
}

impl std::fmt::Debug for UpstreamProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamProxy")
            .field("authority", &self.authority)
            .field("authorization", &self.authorization)
            .field("is_tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Reads until the end of an answer's head. Returns all that was read and the length of the head.
async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> io::Result<(Vec<u8>, usize)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut read = vec![0; MAX_HEAD];
    let mut filled = 0;
    loop {
        let count = io.read(&mut read[filled..]).await?;
        if count == 0 {
            return Err(match filled {
                MAX_HEAD => io::Error::other("the head of the answer is too long"),
                _ => io::ErrorKind::UnexpectedEof.into(),
            });
        }
        // The end may have begun in what was read before.
        let from = filled.saturating_sub(END.len() - 1);
        filled += count;
        let found = read[from..filled]
            .windows(END.len())
            .position(|window| window == END);
        if let Some(at) = found {
            read.truncate(filled);
            return Ok((read, from + at + END.len()));
        }
        if filled >= 5 && !read.starts_with(b"HTTP/") {
            return Err(not_http());
        }
    }
}

/// The status of an answer, from its first line (RFC 9112, section 4).
fn status(head: &[u8]) -> Option<u16> {
    let rest = head
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let is_status = digits.iter().all(u8::is_ascii_digit) && matches!(rest.first(), Some(b' ' | b'\r'));
    let digits = str::from_utf8(digits).ok().filter(|_| is_status)?;
    digits.parse().ok()
}

fn not_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1")
}

#[cfg(test)]
mod tests;
