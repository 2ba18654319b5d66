//! Accepting clients: TCP, TLS, HTTP/1.1 and HTTP/2, each connection such that a revocation can cut it.
//!
//! hyper speaks HTTP/1; there a connection carries one request at a time and is what gets cut. HTTP/2 is spoken
//! through the `h2` crate directly, because a single stream must be resettable at any moment, also while its
//! client takes no bytes. Which requests exist and what they mean is for the service.
//!
//! [`serve`] is the listener of the gateway itself. Who gets a client's bytes in another way accepts with [`accept`] and
//! has a [`Connection`] serve them.

mod http1;
mod http2;
pub mod io;
mod turns;

use std::convert::Infallible;
use std::io as std_io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::access::registry::Sever;
use crate::body::{BoxError, RequestBody, ResponseBody};
pub use http2::Stream;
use io::{Line, LineIo, Linger, Sniffed};

/// What an HTTP/2 client sends first when it knows beforehand (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may take for the TLS handshake, and to say which HTTP it speaks.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before accepting again when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The service behind a listener.
pub trait Serve:
    Service<
        Request<RequestBody>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Serve for S where
    S: Service<
            Request<RequestBody>,
            Response = Response<ResponseBody>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// Request extension: the other end of the TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr(pub SocketAddr);

/// Request extension: the connection or stream that the answer goes out on.
#[derive(Clone, Debug)]
pub struct Downstream(DownstreamKind);

#[derive(Clone, Debug)]
enum DownstreamKind {
    Http1(Arc<Line>),
    Http2(Arc<Stream>),
}

/// Where to listen and within which bounds.
pub struct Endpoint {
    pub listener: TcpListener,
    /// With TLS the protocol is agreed by ALPN; without it HTTP/2 is recognised by its preface.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
}

/// How a listener ends.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Accept no more, finish what is in flight, close idle connections.
    pub drain: CancellationToken,
    /// Take away what is left.
    pub abort: CancellationToken,
}

/// What it takes to serve the requests of one client.
#[derive(Clone)]
pub struct Connection<S> {
    pub service: S,
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// The TCP connection that the bytes come over, below whatever is wrapped around it.
    pub line: Arc<Line>,
    /// Only `drain` is heeded here: what is left at the abort is taken away by dropping the future, after severing.
    pub ending: Ending,
    /// HTTP/2 runs a task a stream.
    pub tasks: TaskTracker,
}

// === impl Downstream ===

impl Downstream {
    pub fn severable(&self) -> Arc<dyn Sever> {
        match &self.0 {
            DownstreamKind::Http1(line) => Arc::clone(line) as Arc<dyn Sever>,
            DownstreamKind::Http2(stream) => Arc::clone(stream) as Arc<dyn Sever>,
        }
    }

    /// Keeps `linger` until everything of the answer that was written has been handed to the kernel, or never will be.
    /// To be called by whoever writes the answer: at the latest when its body is dropped.
    pub fn linger(&self, linger: Linger) {
        match &self.0 {
            DownstreamKind::Http1(line) => line.linger(linger),
            DownstreamKind::Http2(stream) => stream.linger(linger),
        }
    }

    /// Marks the end of what has been written so far. What a body has returned is written when it is polled again.
    pub fn mark(&self) -> u64 {
        match &self.0 {
            DownstreamKind::Http1(line) => line.flushes() + 1,
            DownstreamKind::Http2(stream) => stream.turns().ask(),
        }
    }

    /// Whether everything written before the mark was set has been handed to the kernel.
    pub fn is_flushed(&self, mark: u64) -> bool {
        match &self.0 {
            DownstreamKind::Http1(line) => line.flushes() >= mark,
            DownstreamKind::Http2(stream) => stream.turns().is_over(mark),
        }
    }
}

// === impl Connection ===

impl<S: Serve> Connection<S> {
    /// Serves what comes over `io` until the client goes, is idle for long, or the drain is over.
    pub async fn serve<I>(self, io: I, is_http2: bool) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if is_http2 {
            http2::serve(self, io).await
        } else {
            http1::serve(self, io).await
        }
    }
}

/// Serves until drained or aborted. Connections run on `tasks`; the caller waits for those.
pub async fn serve<S: Serve>(endpoint: Endpoint, service: S, ending: Ending, tasks: TaskTracker) {
    let Endpoint {
        listener,
        tls,
        max_connections,
    } = endpoint;
    let for_accept = ending.clone();
    accept(listener, max_connections, &for_accept, |stream, peer, permit| {
        let (service, ending, tls) = (service.clone(), ending.clone(), tls.clone());
        let connection_tasks = tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = connect(stream, peer, tls, service, ending, connection_tasks).await {
                tracing::debug!(%peer, %error, "a client connection ended early");
            }
            drop(permit);
        });
    })
    .await;
}

/// Accepts until drained or aborted. `connected` keeps the permit as long as the connection; while all are given out,
/// further clients wait in the kernel's queue.
pub async fn accept(
    listener: TcpListener,
    max_connections: usize,
    ending: &Ending,
    mut connected: impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let connections = Arc::new(Semaphore::new(max_connections));
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let (permit, accepted) = tokio::select! {
            () = ending.drain.cancelled() => return,
            () = ending.abort.cancelled() => return,
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                None => return,
            },
        };
        match accepted {
            Ok((stream, peer)) => connected(stream, peer, permit),
            Err(error) if is_about_the_process(&error) => {
                tracing::error!(%error, "cannot accept connections; is the limit of open files too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {}
        }
    }
}

/// Errors that the next accept would meet again, unlike those of a single client.
fn is_about_the_process(error: &std_io::Error) -> bool {
    !matches!(
        error.kind(),
        std_io::ErrorKind::ConnectionAborted
            | std_io::ErrorKind::ConnectionReset
            | std_io::ErrorKind::ConnectionRefused
            | std_io::ErrorKind::Interrupted
    )
}

async fn connect<S: Serve>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    service: S,
    ending: Ending,
    tasks: TaskTracker,
) -> Result<(), BoxError> {
    let io = LineIo::new(stream)?;
    let line = Arc::clone(io.line());
    let connection = Connection {
        service,
        peer,
        line: Arc::clone(&line),
        ending: ending.clone(),
        tasks,
    };
    let served = async {
        let Some(tls) = tls else {
            let (io, is_http2) = before_drain(&ending, sniff(io)).await?;
            return connection.serve(io, is_http2).await;
        };
        let io = before_drain(&ending, async { Ok(TlsAcceptor::from(tls).accept(io).await?) }).await?;
        let is_http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
        connection.serve(io, is_http2).await
    };
    // Severed inside of the branch: when its handler runs, the connection has been dropped already, and closed in
    // good order.
    let aborted = async {
        ending.abort.cancelled().await;
        line.sever();
    };
    tokio::select! {
        served = served => served,
        () = aborted => Err("the server is shutting down".into()),
    }
}

/// Runs the first steps of a connection within their time, and not into a shutdown.
async fn before_drain<T>(
    ending: &Ending,
    step: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    tokio::select! {
        done = tokio::time::timeout(HANDSHAKE_TIMEOUT, step) => done?,
        () = ending.drain.cancelled() => Err("the server is shutting down".into()),
    }
}

/// Reads just enough to tell HTTP/2's preface from anything else.
async fn sniff(mut io: LineIo) -> Result<(Sniffed<LineIo>, bool), BoxError> {
    let mut ahead = Vec::with_capacity(PREFACE.len());
    while ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        let mut byte = [0; PREFACE.len()];
        let wanted = PREFACE.len() - ahead.len();
        let count = io.read(&mut byte[..wanted]).await?;
        if count == 0 {
            break;
        }
        ahead.extend_from_slice(&byte[..count]);
    }
    let is_http2 = ahead == PREFACE;
    Ok((Sniffed::new(io, ahead), is_http2))
}
