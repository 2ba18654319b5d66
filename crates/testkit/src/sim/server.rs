//! Accepts connections and serves them with HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::socket::{Control, Socket};
use super::{Shared, SimError, TlsPem, respond};

/// A client that does not finish its TLS handshake in this time is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which is a want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn tls_acceptor(pem: &TlsPem) -> Result<TlsAcceptor, SimError> {
    let fault = |error: &dyn std::fmt::Display| SimError::Tls(error.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem.certificates)
        .collect::<Result<_, _>>()
        .map_err(|e| fault(&e))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|e| fault(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| fault(&e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| fault(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Fails only on a socket that is broken already.
        let _ = stream.set_nodelay(true);
        let control = Control::default();
        let socket = Socket::new(stream, control.clone());
        let (tls, shared, executor) = (tls.clone(), Arc::clone(&shared), Tracked(tasks.clone()));
        tasks.spawn(async move {
            let Some(tls) = tls else {
                return serve(socket, control, shared, executor).await;
            };
            let handshake = tokio::time::timeout(HANDSHAKE, tls.accept(socket));
            let stop = shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                done = handshake => if let Ok(Ok(stream)) = done {
                    serve(stream, control, shared, executor).await;
                },
            }
        });
    }
}

/// Runs what HTTP/2 connections spawn on the task tracker, so that a shutdown waits for it.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

async fn serve<S>(stream: S, control: Control, shared: Arc<Shared>, executor: Tracked)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = shared.stop.clone();
    let cut = control.cut.clone();
    let service = service_fn(move |request| {
        let (shared, control) = (Arc::clone(&shared), control.clone());
        async move { Ok::<_, Infallible>(respond::handle(request, &shared, control).await) }
    });
    let mut builder = auto::Builder::new(executor);
    // A client that sends one half of its connection's end still reads the answer; one that is gone is noticed.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .pipeline_flush(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(4096);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        () = cut.cancelled() => {}
        // How a connection ends is in the log of its exchanges.
        _ = connection => {}
    }
}
