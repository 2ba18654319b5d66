//! HTTP/2 to clients, by the `h2` crate.
//!
//! One task drives the connection, one task each stream. A stream's sending half stands behind a lock, so that
//! [`Stream::sever`] can reset it from anywhere: a reset throws away what was queued for the stream. Should the
//! client have stopped reading the connection as a whole, a frame may stand half-written in the connection's own
//! buffer; then the connection is taken away, since nothing less keeps that frame from the kernel.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::io::Line;
use super::{Connection, Downstream, DownstreamKind, PeerAddr, Serve};
use crate::access::registry::Sever;
use crate::body::{BoxError, RequestBody, ResponseBody};

const MAX_STREAMS: u32 = 256;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const SEND_BUFFER: usize = 64 * 1024;
const HEADER_LIST: u32 = 64 * 1024;
/// What is asked of the peer's window at a time.
const CHUNK: usize = 32 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a stream is closed after this.
const IDLE: Duration = Duration::from_mins(5);
/// A stream whose client opens no window for this long is given up.
const STALL: Duration = Duration::from_mins(5);

/// The sending half of one stream.
pub struct Stream {
    line: Arc<Line>,
    half: Mutex<Half>,
    /// Cancelled when the stream is severed: wakes its task, wherever it waits.
    severed: CancellationToken,
}

enum Half {
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>),
    Done,
}

// === impl Stream ===

impl Stream {
    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Ready when the client has reset the stream or is gone.
    async fn abandoned(&self) {
        poll_fn(|cx| {
            let polled = match &mut *self.half.lock() {
                Half::Head(respond) => respond.poll_reset(cx),
                Half::Body(send) => send.poll_reset(cx),
                Half::Done => return Poll::Ready(()),
            };
            polled.map(|_| ())
        })
        .await;
    }

    fn send_head(&self, head: Response<()>, end: bool) -> Result<(), BoxError> {
        let mut half = self.half.lock();
        let Half::Head(respond) = &mut *half else {
            return Err("the stream was reset".into());
        };
        let send = respond.send_response(head, end)?;
        *half = if end { Half::Done } else { Half::Body(send) };
        Ok(())
    }

    /// Hands on one frame, as fast as the client's window opens.
    async fn send_data(&self, mut data: Bytes) -> Result<(), BoxError> {
        while !data.is_empty() {
            let granted =
                tokio::time::timeout(STALL, poll_fn(|cx| self.poll_capacity(cx, data.len()))).await??;
            let chunk = data.split_to(granted.min(data.len()));
            self.with_body(|send| send.send_data(chunk, false))?;
        }
        Ok(())
    }

    fn poll_capacity(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, BoxError>> {
        let mut half = self.half.lock();
        let Half::Body(send) = &mut *half else {
            return Poll::Ready(Err("the stream was reset".into()));
        };
        send.reserve_capacity(wanted.min(CHUNK));
        match send.capacity() {
            0 => {}
            granted => return Poll::Ready(Ok(granted)),
        }
        match send.poll_capacity(cx) {
            Poll::Ready(Some(Ok(0))) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(granted)) => Poll::Ready(granted.map_err(Into::into)),
            Poll::Ready(None) => Poll::Ready(Err("the stream is closed".into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn with_body<T>(
        &self,
        send: impl FnOnce(&mut SendStream<Bytes>) -> Result<T, h2::Error>,
    ) -> Result<T, BoxError> {
        match &mut *self.half.lock() {
            Half::Body(stream) => Ok(send(stream)?),
            Half::Head(_) | Half::Done => Err("the stream was reset".into()),
        }
    }

    fn reset(&self, reason: Reason) {
        let mut half = self.half.lock();
        match &mut *half {
            Half::Head(respond) => respond.send_reset(reason),
            Half::Body(send) => send.send_reset(reason),
            Half::Done => return,
        }
        *half = Half::Done;
    }
}

impl Sever for Stream {
    fn sever(&self) {
        self.reset(Reason::CANCEL);
        self.severed.cancel();
        if self.line.is_blocked() {
            self.line.sever();
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

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
        .handshake::<_, Bytes>(io);
    let mut http2 = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await??;
    let mut draining = false;
    // Every stream's task holds a clone, so the count tells whether there is one.
    let streams = Arc::new(());
    loop {
        tokio::select! {
            accepted = http2.accept() => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    let stream = Arc::new(Stream {
                        line: Arc::clone(&connection.line),
                        half: Mutex::new(Half::Head(respond)),
                        severed: CancellationToken::new(),
                    });
                    let (connection, live) = (connection.clone(), Arc::clone(&streams));
                    connection.tasks.clone().spawn(async move {
                        run(connection, request, stream).await;
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

async fn run<S: Serve>(connection: Connection<S>, request: Request<RecvStream>, stream: Arc<Stream>) {
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
        () = stream.severed.cancelled() => Err("the stream was cut".into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %connection.peer, %error, "a client stream ended early");
        stream.reset(Reason::INTERNAL_ERROR);
    }
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
                    stream.with_body(|send| send.send_trailers(trailers))?;
                    *stream.half.lock() = Half::Done;
                    return Ok(());
                }
            }
        }
    }
    stream.with_body(|send| send.send_data(Bytes::new(), true))?;
    *stream.half.lock() = Half::Done;
    Ok(())
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
