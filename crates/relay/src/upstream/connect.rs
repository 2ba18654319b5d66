//! Dialling a provider: directly, or through the proxy that the environment names.
//!
//! A provider on the loopback interface is never proxied. An `https` provider is reached through a proxy by
//! CONNECT, an `http` one by asking the proxy for the absolute address.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tower::Service;

use super::ClientError;
use crate::body::BoxError;
use crate::listen::io::{Line, LineIo};

/// The proxies of the environment, read once by the configuration: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
/// `NO_PROXY` in either case, with the meaning that curl gives them.
#[derive(Clone, Default)]
pub struct ProxySettings {
    pub https: Option<String>,
    pub http: Option<String>,
    pub all: Option<String>,
    pub no: Option<String>,
}

/// What a connection says of itself to whoever sends a request over it.
#[derive(Clone)]
pub(super) struct Dialled(pub(super) Arc<Line>);

/// A TCP connection to a provider or a proxy.
pub(super) struct Tcp {
    io: TokioIo<LineIo>,
    /// Leads to a proxy that is asked for absolute addresses.
    asks_absolute: bool,
}

/// Opens connections for the client; what it gives is TLS only between here and a proxy that is itself reached
/// over TLS. TLS to the provider comes on top.
#[derive(Clone)]
pub(super) struct Dialer {
    proxies: Arc<Matcher>,
    direct: TcpDialer,
    to_proxy: HttpsConnector<TcpDialer>,
    to_plain_proxy: HttpsConnector<TcpDialer>,
}

/// Gives up a connection that is not ready in time, its TLS included.
#[derive(Clone)]
pub(super) struct InTime {
    connector: HttpsConnector<Dialer>,
    timeout: Duration,
}

/// Opens bare TCP connections.
#[derive(Clone)]
pub(super) struct TcpDialer {
    http: HttpConnector,
    asks_absolute: bool,
}

type Dialling<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A client configuration that trusts the system's roots and those given.
pub fn client_tls(extra: &[CertificateDer<'static>]) -> Result<rustls::ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    roots.add_parsable_certificates(extra.iter().cloned());
    if roots.is_empty() {
        return Err(ClientError::NoRoots(io::Error::other(
            native
                .errors
                .first()
                .map_or_else(|| "none were found".to_owned(), ToString::to_string),
        )));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The proxy for an address, unless it is on the loopback interface.
pub(super) fn intercept(proxies: &Matcher, uri: &Uri) -> Option<Intercept> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_loopback { None } else { proxies.intercept(uri) }
}

// === impl ProxySettings ===

impl ProxySettings {
    pub(super) fn matcher(&self) -> Matcher {
        let mut builder = Matcher::builder();
        if let Some(all) = &self.all {
            builder = builder.all(all.clone());
        }
        if let Some(http) = &self.http {
            builder = builder.http(http.clone());
        }
        if let Some(https) = &self.https {
            builder = builder.https(https.clone());
        }
        if let Some(no) = &self.no {
            builder = builder.no(no.clone());
        }
        builder.build()
    }
}

impl std::fmt::Debug for ProxySettings {
    /// A proxy's address may hold its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxySettings")
            .field("https", &self.https.is_some())
            .field("http", &self.http.is_some())
            .field("all", &self.all.is_some())
            .field("no", &self.no)
            .finish()
    }
}

// === impl Dialer ===

impl Dialer {
    pub(super) fn new(proxies: Arc<Matcher>, tls: &rustls::ClientConfig) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let direct = TcpDialer {
            http,
            asks_absolute: false,
        };
        let over_tls = |dialer: TcpDialer| {
            let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
            builder.https_or_http().enable_http1().wrap_connector(dialer)
        };
        let to_proxy = over_tls(direct.clone());
        let to_plain_proxy = over_tls(TcpDialer {
            asks_absolute: true,
            ..direct.clone()
        });
        Self {
            proxies,
            direct,
            to_proxy,
            to_plain_proxy,
        }
    }

    async fn dial(mut self, target: Uri) -> Result<MaybeHttpsStream<Tcp>, BoxError> {
        let Some(proxy) = intercept(&self.proxies, &target) else {
            return Ok(MaybeHttpsStream::Http(self.direct.call(target).await?));
        };
        if target.scheme_str() != Some("https") {
            return self.to_plain_proxy.call(proxy.uri().clone()).await;
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy);
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Ok(tunnel.call(target).await?)
    }
}

impl Service<Uri> for Dialer {
    type Response = MaybeHttpsStream<Tcp>;
    type Error = BoxError;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().dial(target))
    }
}

// === impl InTime ===

impl InTime {
    pub(super) fn new(connector: HttpsConnector<Dialer>, timeout: Duration) -> Self {
        Self { connector, timeout }
    }
}

impl Service<Uri> for InTime {
    type Response = MaybeHttpsStream<MaybeHttpsStream<Tcp>>;
    type Error = BoxError;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (connecting, timeout) = (self.connector.call(target), self.timeout);
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting)
                .await
                .unwrap_or_else(|_| Err(format!("no connection within {timeout:?}").into()))
        })
    }
}

// === impl TcpDialer ===

impl Service<Uri> for TcpDialer {
    type Response = Tcp;
    type Error = BoxError;
    type Future = Dialling<Tcp>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let asks_absolute = self.asks_absolute;
        let connecting = self.http.call(target);
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            Ok(Tcp {
                io: TokioIo::new(LineIo::new(stream)?),
                asks_absolute,
            })
        })
    }
}

// === impl Tcp ===

impl Connection for Tcp {
    fn connected(&self) -> Connected {
        let line = Arc::clone(self.io.inner().line());
        Connected::new().extra(Dialled(line)).proxy(self.asks_absolute)
    }
}

impl Read for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_excepted_hosts_are_never_proxied() {
        let settings = ProxySettings {
            https: Some("http://proxy.example:3128".into()),
            http: Some("http://proxy.example:3128".into()),
            no: Some("internal.example,10.0.0.0/8".into()),
            ..ProxySettings::default()
        };
        let matcher = settings.matcher();
        let is_proxied = |uri: &str| intercept(&matcher, &uri.parse().unwrap()).is_some();
        for uri in ["https://api.anthropic.com/", "http://api.example/"] {
            assert!(is_proxied(uri), "{uri}");
        }
        for uri in [
            "http://127.0.0.1:9/",
            "http://127.1.2.3/",
            "https://[::1]:8443/",
            "http://localhost:3000/",
            "http://sim.localhost/",
            "https://internal.example/v1",
            "https://a.internal.example/v1",
            "https://10.1.2.3/v1",
        ] {
            assert!(!is_proxied(uri), "{uri}");
        }
    }
}
