//! The listener of the proxy: from a connection to an intercepted host or a tunnel.
//!
//! A client sends CONNECT in HTTP/1 (RFC 9110, section 9.3.6), over TCP or over TLS to the proxy itself. Who it is is
//! settled before anything else happens, and only then does a connection lead anywhere: to the service that was handed
//! in, when the target is the host of a provider, or to the target. What the client holds its connection by is a
//! `Pass`, so a revocation takes it away at whatever step it is.
//!
//! Nothing but CONNECT is served. What a decrypted request may do is for the service to say.

mod answer;
mod asking;
mod client;
mod counters;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::ProviderName;
use gateway_relay::access::Access;
use gateway_relay::listen::{Ending, Endpoint, Serve, accept};
use tokio_util::task::TaskTracker;

use crate::connect::Authority;
use crate::dial::Dialer;
use crate::leaf::Leaves;
use crate::places::{Places, Who};
pub(crate) use answer::{Answer, ESTABLISHED};
pub(crate) use client::Client;
pub use counters::{Outcome, ProxyCounters};

/// What the proxy does, and within which bounds.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The hosts that are intercepted; where two entries have one authority the first counts.
    pub hosts: Vec<InterceptedHost>,
    /// Hosts that are not intercepted need no credential. One that is sent is verified all the same.
    pub allow_anonymous_tunnels: bool,
    /// A tunnel over which no byte has gone for this long is closed.
    pub idle_timeout: Duration,
    /// How long a TLS handshake may take: with the proxy, and with an intercepted host.
    pub handshake_timeout: Duration,
    /// How long a client may take for the head of a CONNECT request, its first byte included.
    pub head_timeout: Duration,
    /// Connections from one address (IPv6: one network of 64 bits) that have not been admitted yet. Further ones are
    /// closed at once.
    pub strangers_per_address: usize,
    /// Connections of one user, or of one address where no token is needed: a part of those that the listener takes.
    /// Further ones are refused with 503.
    pub connections_per_user: usize,
}

/// A host whose TLS is ended here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterceptedHost {
    pub authority: Authority,
    /// Who gets the requests.
    pub provider: ProviderName,
}

/// The proxy; clones share everything.
#[derive(Clone)]
pub struct Proxy<S> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: S,
}

pub(crate) struct Shared {
    pub(crate) hosts: HashMap<Authority, ProviderName>,
    pub(crate) options: ProxyOptions,
    pub(crate) leaves: Leaves,
    pub(crate) dialer: Dialer,
    pub(crate) access: Arc<Access>,
    pub(crate) counters: Arc<ProxyCounters>,
    /// By network: connections that have not been admitted yet. A client with a token is among them for milliseconds; who
    /// has none could otherwise hold every place of the listener, each for as long as a handshake and a head may take.
    strangers: Arc<Places<IpAddr>>,
    connections: Arc<Places<Who>>,
}

// === impl ProxyOptions ===

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            allow_anonymous_tunnels: false,
            idle_timeout: Duration::from_mins(10),
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            strangers_per_address: 256,
            connections_per_user: 4096,
        }
    }
}

// === impl Proxy ===

impl<S: Serve> Proxy<S> {
    /// Requests to intercepted hosts go to `service`, with [`Pinned`](gateway_relay::Pinned) among their extensions and
    /// what any listener of the relay adds.
    pub fn new(
        options: ProxyOptions,
        leaves: Leaves,
        dialer: Dialer,
        access: Arc<Access>,
        service: S,
    ) -> Self {
        let mut hosts = HashMap::with_capacity(options.hosts.len());
        for host in &options.hosts {
            hosts
                .entry(host.authority.clone())
                .or_insert_with(|| host.provider.clone());
        }
        let strangers = Places::new(options.strangers_per_address);
        let connections = Places::new(options.connections_per_user);
        Self {
            shared: Arc::new(Shared {
                hosts,
                options,
                leaves,
                dialer,
                access,
                counters: Arc::default(),
                strangers: Arc::new(strangers),
                connections: Arc::new(connections),
            }),
            service,
        }
    }

    pub fn counters(&self) -> Arc<ProxyCounters> {
        Arc::clone(&self.shared.counters)
    }
}

/// Serves until drained or aborted. Connections run on `tasks`; the caller waits for those.
///
/// At the drain, clients that have not said where to are sent away and intercepted connections finish what is in flight.
/// A tunnel cannot be drained, since nobody here knows what it is in the middle of: it runs on until its ends close it
/// or the abort takes it away.
pub async fn serve<S: Serve>(endpoint: Endpoint, proxy: Proxy<S>, ending: Ending, tasks: TaskTracker) {
    let Endpoint {
        listener,
        tls,
        max_connections,
    } = endpoint;
    let tls = tls.map(http1_only);
    accept(listener, max_connections, &ending, |stream, peer, permit| {
        let (proxy, tls) = (proxy.clone(), tls.clone());
        let served = client::serve(proxy, stream, peer, tls, ending.clone(), tasks.clone());
        tasks.spawn(async move {
            served.await;
            drop(permit);
        });
    })
    .await;
}

/// To the proxy itself HTTP/1.1 is spoken, whatever the certificate is used for elsewhere. A client that insists on
/// something else is told so in the handshake.
fn http1_only(tls: Arc<rustls::ServerConfig>) -> Arc<rustls::ServerConfig> {
    let mut tls = Arc::unwrap_or_clone(tls);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(tls)
}
