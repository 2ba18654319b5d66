//! HTTP/1.1 to clients, by hyper.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Downstream, DownstreamKind, PeerAddr, Serve};
use crate::body::{BoxError, RequestBody};

/// How long a request head may take; an idle connection that waits for its next request is closed after this too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest request head, and how much of an answer may wait in this process for a client that reads slowly.
const BUFFER: usize = 64 * 1024;

const MAX_HEADERS: usize = 128;

pub(super) async fn serve<S: Serve, I>(connection: Connection<S>, io: I) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Connection {
        service,
        peer,
        line,
        ending,
        tasks: _,
    } = connection;
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(RequestBody::new);
        request.extensions_mut().insert(PeerAddr(peer));
        request
            .extensions_mut()
            .insert(Downstream(DownstreamKind::Http1(line.clone())));
        let mut service = service.clone();
        async move {
            let response = match std::future::poll_fn(|cx| service.poll_ready(cx)).await {
                Ok(()) => service.call(request).await,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let mut conn = pin!(
        Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(io), service)
    );
    tokio::select! {
        served = conn.as_mut() => return served.map_err(Into::into),
        () = ending.drain.cancelled() => conn.as_mut().graceful_shutdown(),
    }
    conn.await.map_err(Into::into)
}
