//! The sending half of one HTTP/2 stream, which can be reset from anywhere at any moment.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::io::Linger;
use super::super::turns::Turns;
use crate::access::GOODBYE;
use crate::access::registry::Sever;
use crate::body::BoxError;

/// What is asked of the peer's window at a time.
const CHUNK: usize = 32 * 1024;
/// A stream whose client opens no window for this long is given up.
const STALL: Duration = Duration::from_mins(5);

/// The sending half of one stream.
pub struct Stream {
    turns: Arc<Turns>,
    half: Mutex<Half>,
    /// Cancelled when the stream is severed: wakes its task, wherever it waits.
    severed: CancellationToken,
    /// The turn after which nothing of the severed stream is left; 0 until it is severed.
    last_turn: AtomicU64,
    /// Kept until all of the stream is with the kernel; none when that has happened.
    lingering: Mutex<Option<Vec<Linger>>>,
}

enum Half {
    Head {
        respond: SendResponse<Piece>,
        out: PiecesOut,
    },
    Body {
        send: SendStream<Piece>,
        out: PiecesOut,
    },
    /// All has been handed to h2, where it may still be queued.
    Ended(SendStream<Piece>),
    Reset,
}

/// A piece of a body in h2's hands.
pub(super) struct Piece {
    data: Bytes,
    /// Held for its drop: when the last is gone, h2 has nothing of the stream left but what it has staged.
    _out: PiecesOut,
}

pub(super) type PiecesOut = mpsc::Sender<Infallible>;

/// Lets go of what lingers when the stream's task is over, however it ends.
pub(super) struct Release<'a>(pub(super) &'a Stream);

// === impl Stream ===

impl Stream {
    pub(super) fn new(turns: Arc<Turns>, respond: SendResponse<Piece>, out: PiecesOut) -> Self {
        Self {
            turns,
            half: Mutex::new(Half::Head { respond, out }),
            severed: CancellationToken::new(),
            last_turn: AtomicU64::new(0),
            lingering: Mutex::new(Some(Vec::new())),
        }
    }

    pub(in super::super) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(in super::super) fn linger(&self, linger: Linger) {
        let mut lingering = self.lingering.lock();
        if let Some(kept) = &mut *lingering {
            kept.push(linger);
            return;
        }
        drop(lingering);
        drop(linger);
    }

    /// Ready when the stream is severed.
    pub(super) async fn severed(&self) {
        self.severed.cancelled().await;
    }

    /// Ready when the client has reset the stream or is gone.
    pub(super) async fn abandoned(&self) {
        poll_fn(|cx| {
            let polled = match &mut *self.half.lock() {
                Half::Head { respond, .. } => respond.poll_reset(cx),
                Half::Body { send, .. } => send.poll_reset(cx),
                Half::Ended(_) | Half::Reset => return Poll::Ready(()),
            };
            polled.map(|_| ())
        })
        .await;
    }

    pub(super) fn send_head(&self, head: Response<()>, end: bool) -> Result<(), BoxError> {
        let mut half = self.half.lock();
        let Half::Head { respond, out } = &mut *half else {
            return Err("the stream was reset".into());
        };
        let send = respond.send_response(head, end)?;
        *half = if end {
            Half::Ended(send)
        } else {
            Half::Body {
                send,
                out: out.clone(),
            }
        };
        Ok(())
    }

    /// Hands on one frame, as fast as the client's window opens.
    pub(super) async fn send_data(&self, mut data: Bytes) -> Result<(), BoxError> {
        while !data.is_empty() {
            let granted =
                tokio::time::timeout(STALL, poll_fn(|cx| self.poll_capacity(cx, data.len()))).await??;
            let chunk = data.split_to(granted.min(data.len()));
            self.with_body(|send, out| send.send_data(Piece::new(chunk, out), false))?;
        }
        Ok(())
    }

    fn poll_capacity(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, BoxError>> {
        let mut half = self.half.lock();
        let Half::Body { send, .. } = &mut *half else {
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

    fn with_body(
        &self,
        send: impl FnOnce(&mut SendStream<Piece>, &PiecesOut) -> Result<(), h2::Error>,
    ) -> Result<(), BoxError> {
        match &mut *self.half.lock() {
            Half::Body { send: stream, out } => Ok(send(stream, out)?),
            Half::Head { .. } | Half::Ended(_) | Half::Reset => Err("the stream was reset".into()),
        }
    }

    /// Hands over the end of the body.
    pub(super) fn end(&self, trailers: Option<HeaderMap>) -> Result<(), BoxError> {
        let mut half = self.half.lock();
        match std::mem::replace(&mut *half, Half::Reset) {
            Half::Body { mut send, out } => {
                match trailers {
                    Some(trailers) => send.send_trailers(trailers)?,
                    None => send.send_data(Piece::new(Bytes::new(), &out), true)?,
                }
                *half = Half::Ended(send);
                Ok(())
            }
            other => {
                *half = other;
                Err("the stream was reset".into())
            }
        }
    }

    /// Throws away what h2 has queued for the stream.
    pub(super) fn reset(&self, reason: Reason) {
        let mut half = self.half.lock();
        match &mut *half {
            Half::Head { respond, .. } => respond.send_reset(reason),
            Half::Body { send, .. } | Half::Ended(send) => send.send_reset(reason),
            Half::Reset => return,
        }
        *half = Half::Reset;
    }

    /// Ready when nothing is left in h2's hands: all is with the kernel, or thrown away.
    pub(super) async fn drained(&self, mut pieces: mpsc::Receiver<Infallible>) {
        let taken = async {
            tokio::select! {
                // None when every piece is gone.
                _ = pieces.recv() => {}
                () = self.turns.gone() => {}
            }
        };
        // The client may have closed the window again over what it was granted.
        if tokio::time::timeout(STALL, taken).await.is_err() {
            self.reset(Reason::CANCEL);
        }
        self.turns.wait(self.turns.ask()).await;
    }
}

impl Sever for Stream {
    fn sever(&self) {
        self.reset(Reason::CANCEL);
        if self.last_turn.load(Ordering::SeqCst) == 0 {
            let turn = self.turns.ask();
            // Whoever comes second keeps the first turn, which began after the reset too.
            let _ = self
                .last_turn
                .compare_exchange(0, turn, Ordering::SeqCst, Ordering::SeqCst);
        }
        self.severed.cancel();
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let over = self.turns.wait(self.last_turn.load(Ordering::SeqCst));
            if tokio::time::timeout(GOODBYE, over).await.is_err() {
                self.turns.line().sever();
            }
        })
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("line", self.turns.line())
            .finish_non_exhaustive()
    }
}

// === impl Piece ===

impl Piece {
    fn new(data: Bytes, out: &PiecesOut) -> Self {
        Self {
            data,
            _out: out.clone(),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }
}

// === impl Release ===

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let released = self.0.lingering.lock().take();
        drop(released);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::{Pin, pin};

    use futures_util::poll;
    use h2::client::ResponseFuture;
    use http::Request;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::next_request;
    use super::*;
    use crate::listen::io::LineIo;
    use crate::listen::turns::Driver;

    type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

    /// Does something right before its next write.
    struct Hooked {
        io: LineIo,
        hook: Hook,
    }

    impl AsyncRead for Hooked {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Hooked {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &[u8],
        ) -> Poll<io::Result<usize>> {
            if let Some(act) = self.hook.lock().take() {
                act();
            }
            Pin::new(&mut self.io).poll_write(cx, buffer)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }

    /// A connection that moves only when the test says so, with one stream that has sent its head.
    struct Held {
        driver: Driver,
        http2: h2::server::Connection<Hooked, Piece>,
        hook: Hook,
        stream: Arc<Stream>,
        pieces: mpsc::Receiver<Infallible>,
        response: ResponseFuture,
    }

    impl Held {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let io = LineIo::new(listener.accept().await.unwrap().0).unwrap();
            let driver = Driver::new(Arc::new(Turns::new(Arc::clone(io.line()))));
            let hook = Hook::default();
            let hooked = Hooked {
                io,
                hook: Arc::clone(&hook),
            };
            let (client, server) = tokio::join!(
                h2::client::handshake(client),
                h2::server::Builder::new().handshake(hooked)
            );
            let (mut client, connection) = client.unwrap();
            #[expect(clippy::disallowed_methods, reason = "the test's own client")]
            tokio::spawn(connection);
            let mut http2 = server.unwrap();
            let request = Request::get("http://gateway.test/").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            let (_, respond) = next_request(&driver, &mut http2).await.unwrap().unwrap();
            let (out, pieces) = mpsc::channel(1);
            let stream = Arc::new(Stream::new(Arc::clone(driver.turns()), respond, out));
            stream.send_head(Response::new(()), false).unwrap();
            Self {
                driver,
                http2,
                hook,
                stream,
                pieces,
                response,
            }
        }

        async fn turn(&mut self) {
            assert!(poll!(pin!(next_request(&self.driver, &mut self.http2))).is_pending());
        }

        /// Whether the client takes the answer for a complete one.
        async fn looks_complete(mut self) -> bool {
            let read = async {
                let mut body = self.response.await?.into_body();
                while let Some(data) = body.data().await {
                    data?;
                }
                Ok::<_, h2::Error>(())
            };
            tokio::select! {
                read = read => read.is_ok(),
                _ = next_request(&self.driver, &mut self.http2) => panic!("the connection ended"),
            }
        }
    }

    #[tokio::test]
    async fn a_frame_on_its_way_to_the_socket_is_waited_for() {
        let mut held = Held::start().await;
        held.stream.send_data(Bytes::from_static(b"late")).await.unwrap();
        let stream = Arc::clone(&held.stream);
        // The frame has left h2's queue by now, and has not reached the socket.
        *held.hook.lock() = Some(Box::new(move || stream.sever()));
        assert_eq!(held.stream.last_turn.load(Ordering::SeqCst), 0);
        held.turn().await;
        assert_ne!(
            held.stream.last_turn.load(Ordering::SeqCst),
            0,
            "severed amid the write"
        );
        let stream = Arc::clone(&held.stream);
        let mut settled = stream.settled();
        assert!(
            poll!(&mut settled).is_pending(),
            "the turn had begun before the reset"
        );
        held.turn().await;
        assert!(poll!(&mut settled).is_ready());
        assert!(!stream.turns.line().is_severed());
        assert!(!held.looks_complete().await);
    }

    #[tokio::test]
    async fn a_connection_that_does_not_move_is_taken_away() {
        let held = Held::start().await;
        held.stream.sever();
        held.stream.settled().await;
        assert!(held.stream.turns.line().is_severed());
    }

    #[tokio::test]
    async fn an_ended_answer_that_is_still_queued_is_thrown_away() {
        let held = Held::start().await;
        held.stream
            .send_data(Bytes::from_static(b"all of it"))
            .await
            .unwrap();
        held.stream.end(None).unwrap();
        held.stream.sever();
        assert!(!held.looks_complete().await);
    }

    #[tokio::test]
    async fn what_is_ended_is_drained_when_the_kernel_has_it() {
        let mut held = Held::start().await;
        held.stream
            .send_data(Bytes::from_static(b"all of it"))
            .await
            .unwrap();
        held.stream.end(None).unwrap();
        let stream = Arc::clone(&held.stream);
        let mut drained = Box::pin(stream.drained(std::mem::replace(&mut held.pieces, mpsc::channel(1).1)));
        assert!(poll!(&mut drained).is_pending());
        held.turn().await;
        assert!(poll!(&mut drained).is_pending(), "one turn more, begun since");
        held.turn().await;
        assert!(poll!(&mut drained).is_ready());
        assert!(held.looks_complete().await);
    }

    #[tokio::test]
    async fn nothing_lingers_beyond_the_streams_task() {
        let held = Held::start().await;
        let (kept, is_kept) = (Arc::new(()), |kept: &Arc<()>| Arc::strong_count(kept) > 1);
        held.stream.linger(Box::new(Arc::clone(&kept)));
        assert!(is_kept(&kept));
        drop(Release(&held.stream));
        assert!(!is_kept(&kept));
        held.stream.linger(Box::new(Arc::clone(&kept)));
        assert!(!is_kept(&kept));
    }
}
