//! Requests to providers: one pooled client for all of them, over HTTP/1.1 and HTTP/2.
//!
//! Nothing is retried but a request that a dying pooled connection never took. There is no limit on how long an
//! answer may stream; there are limits on connecting and on silence, and the relay applies those.

mod body;
mod connect;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub(crate) use body::UpstreamBody;
use connect::{Dialer, Dialled, InTime};
pub use connect::{ProxySettings, client_tls};

use crate::access::InFlight;
use crate::listen::io::Line;

/// An idle connection is dropped before the usual minute after which servers and middleboxes drop theirs.
const POOL_IDLE: Duration = Duration::from_secs(55);
const POOL_IDLE_PER_HOST: usize = 1024;
const HTTP2_PING: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How much of a request may wait in this process for a provider that reads slowly.
const BUFFER: usize = 64 * 1024;

/// Why a provider gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("could not connect to the provider")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("the provider ended the connection without an answer")]
    Exchange(#[source] hyper_util::client::legacy::Error),
}

/// The system's root certificates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the system has no usable root certificates; install the package ca-certificates")]
    NoRoots(#[source] std::io::Error),
}

#[derive(Clone)]
pub(crate) struct Upstream {
    client: Client<InTime, UpstreamBody>,
    proxies: Arc<Matcher>,
}

// === impl Upstream ===

impl Upstream {
    /// `roots` adds certificates to trust beside the system's, for private gateways.
    pub(crate) fn new(
        proxies: &ProxySettings,
        roots: &[rustls::pki_types::CertificateDer<'static>],
        connect_timeout: Duration,
    ) -> Result<Self, ClientError> {
        let proxies = Arc::new(proxies.matcher());
        let tls = client_tls(roots)?;
        let dialer = Dialer::new(Arc::clone(&proxies), &tls);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(dialer);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http1_max_buf_size(BUFFER)
            .http2_keep_alive_interval(HTTP2_PING)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_send_buf_size(BUFFER)
            .build(InTime::new(connector, connect_timeout));
        Ok(Self { client, proxies })
    }

    /// Sends a request and waits for the head of the answer. Until all of the request is with the kernel, its HTTP/1
    /// connection is in the registry's hands; an HTTP/2 connection is shared, so there the body stops by itself.
    /// Dropping the future ends the exchange.
    pub(crate) async fn send(
        &self,
        mut request: Request<UpstreamBody>,
        in_flight: &InFlight,
    ) -> Result<Response<Incoming>, UpstreamError> {
        if let Some(authorization) = self.plain_proxy_authorization(request.uri()) {
            request
                .headers_mut()
                .insert(http::header::PROXY_AUTHORIZATION, authorization);
        }
        let upload = request.body().upload();
        let connected = capture_connection(&mut request);
        let mut answer = pin!(self.client.request(request));
        let outcome = poll_fn(|cx| {
            let polled = answer.as_mut().poll(cx);
            // In the step that sends, so that no revocation comes in between. Several times, since the request is
            // sent again where a dying connection did not take it.
            if let Some(line) = http1_line(&connected) {
                upload.goes_over(line, in_flight);
            }
            polled
        })
        .await;
        outcome.map_err(|error| {
            if error.is_connect() {
                UpstreamError::Connect(error)
            } else {
                UpstreamError::Exchange(error)
            }
        })
    }

    /// A plain-text request through a proxy carries the proxy's credentials itself; an encrypted one sends them
    /// with its CONNECT.
    fn plain_proxy_authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        if uri.scheme_str() != Some("http") {
            return None;
        }
        connect::intercept(&self.proxies, uri)?.basic_auth().cloned()
    }
}

/// The connection that a request went out on, if it carries one request at a time.
fn http1_line(connected: &CaptureConnection) -> Option<Arc<Line>> {
    let metadata = connected.connection_metadata();
    let connected = metadata
        .as_ref()
        .filter(|connected| !connected.is_negotiated_h2())?;
    let mut extensions = http::Extensions::new();
    connected.get_extras(&mut extensions);
    extensions.remove().map(|Dialled(line)| line)
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}
