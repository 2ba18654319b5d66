//! The way of a client through a proxy: CONNECT, and TLS with the host that it asked for.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Of the answer to a CONNECT.
const LONGEST_HEAD: usize = 4096;

/// A proxy and what a client needs for it.
#[derive(Clone)]
pub(super) struct Through {
    proxy: SocketAddr,
    /// The value of `Proxy-Authorization`.
    authorization: String,
    tls: TlsConnector,
}

// === impl Through ===

impl Through {
    /// The clients trust the certificates in the file and no others. Every handshake of theirs is a full one, and inside
    /// they speak HTTP/1.1.
    pub(super) fn new(proxy: SocketAddr, credential: &str, trusted: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(trusted)
            .with_context(|| format!("cannot read {}", trusted.display()))?
        {
            roots.add(certificate?)?;
        }
        let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            proxy,
            authorization: format!("Basic {}", STANDARD.encode(credential)),
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// A connection on which the proxy has answered that it leads to the target.
    pub(super) async fn tunnel(&self, target: SocketAddr) -> anyhow::Result<TcpStream> {
        let Self {
            proxy, authorization, ..
        } = self;
        let mut stream = TcpStream::connect(proxy)
            .await
            .with_context(|| format!("cannot connect to {proxy}"))?;
        stream.set_nodelay(true)?;
        let request = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {authorization}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        // Nothing can follow the head: both sides of a tunnel wait for the client.
        let mut head = Vec::with_capacity(256);
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < LONGEST_HEAD, "the proxy's answer is too long");
            if stream.read_buf(&mut head).await? == 0 {
                bail!("the proxy closed the connection");
            }
        }
        ensure!(
            head.starts_with(b"HTTP/1.1 200 "),
            "the proxy answered: {}",
            String::from_utf8_lossy(&head)
        );
        Ok(stream)
    }

    /// The same with TLS inside.
    pub(super) async fn open(&self, target: SocketAddr) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = self.tunnel(target).await?;
        let name = ServerName::IpAddress(target.ip().into());
        let stream = self.tls.connect(name, stream).await;
        stream.context("the handshake with an intercepted host failed")
    }
}
