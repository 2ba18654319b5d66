//! Connecting a tunnel: resolving, checking, dialling what was checked, directly or through a proxy further on.
//!
//! A name is resolved once, its addresses are checked, and the socket is opened to one of those that passed: whoever
//! owns the name cannot have it checked with one address and dialled with another. Addresses that are blocked are
//! left out; when none is left the tunnel is refused.
//!
//! Behind an upstream proxy the name is sent on, not an address: such proxies decide by name, and often the gateway's
//! own network cannot resolve the world's names at all. The name is still looked up here, and refused when any of its
//! addresses is blocked, since the proxy might take just that one. This leaves a window that cannot be closed from
//! here: the proxy resolves for itself, later and perhaps with another answer, and a name that is unknown here, or
//! whose look-up takes more than a quarter of the time, passes unchecked; one whose look-up could not begin does not, or
//! else who keeps the look-ups busy could have any name pass. Private addresses that the upstream proxy can reach are for
//! its own rules to guard. A literal address is always checked. The upstream proxy's own address is the operator's word
//! and is not.
//!
//! Addresses of the gateway itself are private or public like any other: a tunnel to its public name is allowed on
//! the allowed ports, one to its loopback listener takes an exception. What happens over the connection is for
//! [`crate::tunnel`].

mod attempts;
mod cord;
mod resolve;
mod upstream;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_relay::listen::io::{Line, LineIo, Sniffed};
use http::StatusCode;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::address::{AddressPolicy, Blocked};
use crate::connect::Authority;
pub use crate::places::Who;
pub use cord::Cord;
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use upstream::{UpstreamProxy, UpstreamProxyError};

/// How many addresses of one name are tried. A hostile name may have hundreds.
const MAX_ATTEMPTS: usize = 8;

/// The part of the time that the look-up before an upstream proxy may take. Where DNS is walled off, every tunnel
/// waits this long.
const LOOKUP_SHARE: u32 = 4;

/// Where tunnels may lead, and how.
pub struct DialOptions {
    /// Those of the web, 80 and 443, unless set otherwise.
    pub allowed_ports: Vec<u16>,
    /// Networks that may be reached although they are not public; see [`AddressPolicy`].
    pub allowed_networks: Vec<IpNet>,
    /// The proxy that tunnels go through, instead of straight to their destination.
    pub upstream: Option<UpstreamProxy>,
    /// For everything until the tunnel is open: resolving, all attempts, and the upstream proxy's answer.
    pub connect_timeout: Duration,
}

/// Opens connections for tunnels.
pub struct Dialer {
    options: DialOptions,
    policy: AddressPolicy,
    resolver: Arc<dyn Resolve>,
}

/// A connection to a tunnel's destination.
pub struct Dialed {
    io: DialedIo,
    line: Arc<Line>,
}

enum DialedIo {
    Plain(Sniffed<LineIo>),
    /// Between here and the upstream proxy; what the tunnel carries is inside.
    Tls(Box<Sniffed<TlsStream<LineIo>>>),
}

/// Why there is no tunnel. The text is fit for the client: it tells nothing of the networks in here. What it leaves
/// out is in the source, for the log.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("tunnels to port {0} are not allowed")]
    PortNotAllowed(u16),
    #[error("the destination is not on the public internet, and tunnels to its address are not allowed")]
    Blocked(#[source] Blocked),
    #[error("the name of the destination could not be resolved")]
    NameNotFound(#[source] io::Error),
    #[error("the destination could not be connected")]
    Connect(#[source] io::Error),
    #[error("the destination was not connected in time")]
    TimedOut,
    #[error("the upstream proxy could not be connected")]
    UpstreamConnect(#[source] io::Error),
    #[error("the upstream proxy refused the tunnel with status {0}")]
    UpstreamRefused(u16),
    #[error("the upstream proxy did not answer as a proxy does")]
    UpstreamAnswer(#[source] io::Error),
}

// === impl DialOptions ===

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            allowed_ports: vec![80, 443],
            allowed_networks: Vec::new(),
            upstream: None,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

// === impl Dialer ===

impl Dialer {
    pub fn new(options: DialOptions, resolver: Arc<dyn Resolve>) -> Self {
        let policy = AddressPolicy::new(options.allowed_networks.iter().copied());
        Self {
            options,
            policy,
            resolver,
        }
    }

    /// Opens a connection to `target`, ready for the tunnel's first byte. Once `cord` is severed nothing more goes over it.
    ///
    /// `who` has asked for it.
    pub async fn connect(&self, who: Who, target: &Authority, cord: &Cord) -> Result<Dialed, DialError> {
        if !self.options.allowed_ports.contains(&target.port) {
            return Err(DialError::PortNotAllowed(target.port));
        }
        let connecting = async {
            match &self.options.upstream {
                None => self.connect_directly(who, target, cord).await,
                Some(proxy) => {
                    self.check_for_upstream(who, target).await?;
                    proxy.connect(target, cord).await
                }
            }
        };
        tokio::time::timeout(self.options.connect_timeout, connecting)
            .await
            .unwrap_or(Err(DialError::TimedOut))
    }

    async fn connect_directly(&self, who: Who, target: &Authority, cord: &Cord) -> Result<Dialed, DialError> {
        let addresses = match &target.host {
            Host::Domain(name) => self.allowed_addresses(who, name).await?,
            Host::Ipv4(address) => vec![self.allowed(*address)?],
            Host::Ipv6(address) => vec![self.allowed(*address)?],
        };
        let io = attempts::connect_first(&addresses, target.port, cord)
            .await
            .map_err(DialError::Connect)?;
        Ok(Dialed::plain(io, Vec::new()))
    }

    fn allowed(&self, address: impl Into<IpAddr>) -> Result<IpAddr, DialError> {
        let address = address.into();
        self.policy.check(address).map_err(DialError::Blocked)?;
        Ok(address)
    }

    /// Those addresses of a name that may be dialled, at least one.
    async fn allowed_addresses(&self, who: Who, name: &str) -> Result<Vec<IpAddr>, DialError> {
        let mut addresses = self
            .resolver
            .resolve(who, name, Duration::MAX)
            .await
            .map_err(DialError::NameNotFound)?;
        let mut blocked = None;
        addresses.retain(|address| match self.policy.check(*address) {
            Ok(()) => true,
            Err(error) => {
                blocked.get_or_insert(error);
                false
            }
        });
        addresses.truncate(MAX_ATTEMPTS);
        match blocked {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(blocked) => Err(DialError::Blocked(blocked)),
            None => Err(DialError::NameNotFound(io::ErrorKind::NotFound.into())),
        }
    }

    /// What can be checked here of a destination that the upstream proxy is going to dial.
    async fn check_for_upstream(&self, who: Who, target: &Authority) -> Result<(), DialError> {
        match &target.host {
            // By definition the machine itself (RFC 6761, section 6.3), which there is the proxy, resolved here or not.
            Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => {
                self.allowed(Ipv4Addr::LOCALHOST).map(drop)
            }
            Host::Domain(name) => {
                let share = self.options.connect_timeout / LOOKUP_SHARE;
                let Ok(addresses) = self.resolver.resolve(who, name, share).await else {
                    return Ok(());
                };
                addresses
                    .into_iter()
                    .try_for_each(|address| self.allowed(address).map(drop))
            }
            Host::Ipv4(address) => self.allowed(*address).map(drop),
            Host::Ipv6(address) => self.allowed(*address).map(drop),
        }
    }
}

// === impl Dialed ===

impl Dialed {
    /// `ahead` are bytes of the tunnel that came with the answer of an upstream proxy.
    fn plain(io: LineIo, ahead: Vec<u8>) -> Self {
        Self {
            line: Arc::clone(io.line()),
            io: DialedIo::Plain(Sniffed::new(io, ahead)),
        }
    }

    fn tls(io: TlsStream<LineIo>, ahead: Vec<u8>) -> Self {
        Self {
            line: Arc::clone(io.get_ref().0.line()),
            io: DialedIo::Tls(Box::new(Sniffed::new(io, ahead))),
        }
    }

    /// The handle by which the connection is cut.
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl std::fmt::Debug for Dialed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialed")
            .field("line", &self.line)
            .field("is_tls", &matches!(self.io, DialedIo::Tls(_)))
            .finish()
    }
}

impl AsyncRead for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            DialedIo::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            DialedIo::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            DialedIo::Plain(io) => Pin::new(io).poll_write(cx, buffer),
            DialedIo::Tls(io) => Pin::new(io).poll_write(cx, buffer),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            DialedIo::Plain(io) => Pin::new(io).poll_flush(cx),
            DialedIo::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            DialedIo::Plain(io) => Pin::new(io).poll_shutdown(cx),
            DialedIo::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

// === impl DialError ===

impl DialError {
    /// What the client's CONNECT is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::PortNotAllowed(_) | Self::Blocked(_) => StatusCode::FORBIDDEN,
            Self::NameNotFound(_)
            | Self::Connect(_)
            | Self::TimedOut
            | Self::UpstreamConnect(_)
            | Self::UpstreamRefused(_)
            | Self::UpstreamAnswer(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

#[cfg(test)]
mod tests;
