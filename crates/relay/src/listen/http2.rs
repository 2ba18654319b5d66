//! HTTP/2 to clients, by the `h2` crate.
//!
//! One task drives the connection, one task each stream. A stream's sending half stands behind a lock, so that
//! severing a [`Stream`] can reset it from anywhere: a reset throws away what was queued for the stream. A frame that the
//! connection had staged by then is waited for, see [`super::turns`]; if it does not get out in time, because the
//! client has stopped reading the connection as a whole, the connection is taken away, since nothing less keeps that
//! frame from the kernel.

mod stream;

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub use stream::Stream;
use stream::{Piece, Release};

use super::turns::{Driver, Turns};
use super::{Connection, Downstream, DownstreamKind, PeerAddr, Serve};
use crate::body::{BoxError, RequestBody, ResponseBody};

const MAX_STREAMS: u32 = 256;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const SEND_BUFFER: usize = 64 * 1024;
const HEADER_LIST: u32 = 64 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a stream is closed after this.
const IDLE: Duration = Duration::from_mins(5);

pub(super) async fn serve<S: Serve, I>(connection: Connection<S>, io: I) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST)
        .handshake::<_, Piece>(io);
    // Declared before the connection, so dropped after it.
    let driver = Driver::new(Arc::new(Turns::new(Arc::clone(&connection.line))));
    let mut http2 = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await??;
    let mut draining = false;
    // Every stream's task holds a clone, so the count tells whether there is one.
    let streams = Arc::new(());
    loop {
        tokio::select! {
            accepted = next_request(&driver, &mut http2) => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    let (out, pieces) = mpsc::channel(1);
                    let stream = Arc::new(Stream::new(Arc::clone(driver.turns()), respond, out));
                    let (connection, live) = (connection.clone(), Arc::clone(&streams));
                    connection.tasks.clone().spawn(async move {
                        run(connection, request, stream, pieces).await;
                        drop(live);
                    });
                }
                None => return Ok(()),
            },
            () = connection.ending.drain.cancelled(), if !draining => {
                draining = true;
                http2.graceful_shutdown();
            }
            () = tokio::time::sleep(IDLE), if !draining => {
                if Arc::strong_count(&streams) == 1 {
                    draining = true;
                    http2.graceful_shutdown();
                }
            }
        }
    }
}

/// Drives the connection up to its next request.
async fn next_request<I>(
    driver: &Driver,
    http2: &mut h2::server::Connection<I, Piece>,
) -> Option<Result<(Request<RecvStream>, SendResponse<Piece>), h2::Error>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut accept = pin!(http2.accept());
    poll_fn(|cx| driver.turn(cx, |cx| accept.as_mut().poll(cx))).await
}

async fn run<S: Serve>(
    connection: Connection<S>,
    request: Request<RecvStream>,
    stream: Arc<Stream>,
    pieces: mpsc::Receiver<Infallible>,
) {
    let _release = Release(&stream);
    let is_head = request.method() == Method::HEAD;
    let mut request = request.map(|body| {
        RequestBody::new(Received {
            body,
            data_done: false,
        })
    });
    request.extensions_mut().insert(PeerAddr(connection.peer));
    request
        .extensions_mut()
        .insert(Downstream(DownstreamKind::Http2(Arc::clone(&stream))));
    let mut service = connection.service;
    let answered = async {
        let response = match poll_fn(|cx| service.poll_ready(cx)).await {
            Ok(()) => service.call(request).await,
            Err(never) => match never {},
        };
        let response = response.unwrap_or_else(|never| match never {});
        answer(&stream, response, is_head).await
    };
    let outcome = tokio::select! {
        outcome = answered => outcome,
        () = stream.abandoned() => Err("the client reset the stream".into()),
        () = stream.severed() => Err("the stream was cut".into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %connection.peer, %error, "a client stream ended early");
        stream.reset(Reason::INTERNAL_ERROR);
    }
    // Until then a revocation must find the request.
    stream.drained(pieces).await;
}

async fn answer(stream: &Stream, response: Response<ResponseBody>, is_head: bool) -> Result<(), BoxError> {
    let (mut parts, mut body) = response.into_parts();
    strip_connection_headers(&mut parts.headers);
    let is_bodiless = is_head
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || body.is_end_stream();
    if !is_head
        && !parts.headers.contains_key(CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
        && parts.status != StatusCode::NO_CONTENT
        && parts.status != StatusCode::NOT_MODIFIED
    {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    stream.send_head(Response::from_parts(parts, ()), is_bodiless)?;
    if is_bodiless {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => stream.send_data(data).await?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.end(Some(trailers));
                }
            }
        }
    }
    stream.end(None)
}

/// HTTP/2 forbids what belongs to an HTTP/1 connection (RFC 9113, section 8.2.2).
fn strip_connection_headers(headers: &mut HeaderMap) {
    for name in [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
}

/// The body of a request on a stream.
struct Received {
    body: RecvStream,
    data_done: bool,
}

// === impl Received ===

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_done {
            match std::task::ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The window opens as the bytes are taken, so a slow taker slows the client.
                    let _ = self.body.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_done = true,
            }
        }
        match std::task::ready!(self.body.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
