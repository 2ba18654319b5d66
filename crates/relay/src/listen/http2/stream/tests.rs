//! A connection that moves one turn at a time, and what is left of a severed stream after each.

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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
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
