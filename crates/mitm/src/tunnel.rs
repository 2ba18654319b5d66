//! Copying between a client and the host it asked for, without looking inside.
//!
//! One task a tunnel. A tunnel that is idle holds no buffer: bytes are read into the stack of whoever polls, and only what
//! the other side does not take at once is kept. Whatever ends a tunnel but the good end of both directions resets both
//! connections, so that what was cut short cannot look complete.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use gateway_relay::access::Side;
use gateway_relay::access::registry::Sever as _;
use gateway_relay::listen::io::Line;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

use crate::connect::Authority;
use crate::dial::{Cord, Who};
use crate::pass::{Pass, over};
use crate::proxy::{Answer, Client, ESTABLISHED, Outcome};

/// What is read at a time, and the most that a direction keeps.
const CHUNK: usize = 16 * 1024;
/// After so many chunks in a row the other direction has its turn.
const CHUNKS_AT_ONCE: usize = 8;

/// Why a tunnel was taken down.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("no byte went through for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One direction.
#[derive(Default)]
struct Flow {
    state: FlowState,
    /// Read and not yet written, from `at` on.
    kept: Vec<u8>,
    at: usize,
    is_unflushed: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum FlowState {
    #[default]
    Open,
    /// The reading side has ended, the writing side is to be told.
    Ending,
    Ended,
}

/// Severs on drop, unless all ended well.
struct Severing {
    lines: [Arc<Line>; 2],
    is_armed: bool,
}

/// Opens a tunnel and runs it to its end. The client learns before it is open whether it can be.
pub(crate) async fn run<I>(client: &Client, who: Who, io: I, target: &Authority, mut pass: Option<Pass>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (shared, peer) = (&client.shared, client.peer);
    let cord = Arc::new(Cord::default());
    if let Some(pass) = &mut pass
        && let Err(over) = pass.attach(Side::Upstream, Arc::clone(&cord) as _)
    {
        return tracing::debug!(%peer, %target, %over, "a tunnel was not opened");
    }
    let dialed = tokio::select! {
        biased;
        over = over(&mut pass) => return tracing::debug!(%peer, %target, %over, "a tunnel was not opened"),
        dialed = Box::pin(shared.dialer.connect(who, target, &cord)) => dialed,
    };
    let upstream = match dialed {
        Ok(upstream) => upstream,
        Err(error) => {
            let status = error.status();
            let is_blocked = status == http::StatusCode::FORBIDDEN;
            let answer = Answer::new(status, error.to_string());
            client.note(
                if is_blocked {
                    Outcome::Blocked
                } else {
                    Outcome::Unreachable
                },
                answer.message(),
            );
            tracing::debug!(%peer, %target, source = ?std::error::Error::source(&error), "a tunnel was not opened");
            return answer.send_last(io).await;
        }
    };
    let lines = [Arc::clone(&client.line), Arc::clone(upstream.line())];
    let _open = shared.counters.open_tunnel();
    client.note(Outcome::Tunnelled, "a tunnel was opened");
    tokio::select! {
        ended = establish(io, upstream, lines, shared.options.idle_timeout) => match ended {
            Ok(()) => tracing::debug!(%peer, %target, "a tunnel has ended"),
            Err(error) => tracing::debug!(%peer, %target, %error, "a tunnel was taken down"),
        },
        over = over(&mut pass) => tracing::debug!(%peer, %target, %over, "a tunnel was taken down"),
    }
}

async fn establish<A, B>(
    mut client: A,
    mut upstream: B,
    lines: [Arc<Line>; 2],
    idle: Duration,
) -> Result<(), Broken>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    // Declared after the connections, so dropped before them; they are only lent to what copies.
    let mut severing = Severing {
        lines,
        is_armed: true,
    };
    client.write_all(ESTABLISHED).await?;
    client.flush().await?;
    copy(&mut client, &mut upstream, idle).await?;
    severing.is_armed = false;
    Ok(())
}

/// Copies in both directions until both have ended.
async fn copy<A, B>(client: A, upstream: B, idle: Duration) -> Result<(), Broken>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client, mut upstream) = (pin!(client), pin!(upstream));
    let (mut up, mut down) = (Flow::default(), Flow::default());
    let mut last = Instant::now();
    let mut timer = pin!(tokio::time::sleep(idle));
    std::future::poll_fn(|cx| {
        let mut has_moved = false;
        let up = up.poll(cx, client.as_mut(), upstream.as_mut(), &mut has_moved)?;
        let down = down.poll(cx, upstream.as_mut(), client.as_mut(), &mut has_moved)?;
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if has_moved {
            last = Instant::now();
        }
        // The timer is set anew only when it fires, not with every byte.
        while timer.as_mut().poll(cx).is_ready() {
            let until = last + idle;
            if until <= Instant::now() {
                return Poll::Ready(Err(Broken::Idle(idle)));
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    })
    .await
}

// === impl Flow ===

impl Flow {
    /// Moves what can be moved; ready when the end has been passed on. Sets `has_moved` when a byte was read or written.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
        has_moved: &mut bool,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        for _ in 0..CHUNKS_AT_ONCE {
            ready!(self.poll_write_kept(cx, to.as_mut(), has_moved))?;
            match self.state {
                FlowState::Open => {}
                FlowState::Ending => {
                    ready!(to.as_mut().poll_shutdown(cx))?;
                    self.state = FlowState::Ended;
                    return Poll::Ready(Ok(()));
                }
                FlowState::Ended => return Poll::Ready(Ok(())),
            }
            let mut space = [MaybeUninit::uninit(); CHUNK];
            let mut read = ReadBuf::uninit(&mut space);
            if from.as_mut().poll_read(cx, &mut read)?.is_pending() {
                return self.poll_flush(cx, to);
            }
            match read.filled() {
                [] => self.state = FlowState::Ending,
                bytes => {
                    *has_moved = true;
                    self.write(cx, to.as_mut(), bytes)?;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is taken at once and keeps the rest.
    fn write<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut W>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let written = match to.poll_write(cx, bytes)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        self.is_unflushed = true;
        if written < bytes.len() {
            self.kept = bytes[written..].to_vec();
            self.at = 0;
        }
        Ok(())
    }

    fn poll_write_kept<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut W>,
        has_moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while self.at < self.kept.len() {
            match ready!(to.as_mut().poll_write(cx, &self.kept[self.at..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.at += written,
            }
            *has_moved = true;
        }
        self.kept = Vec::new();
        self.at = 0;
        Poll::Ready(Ok(()))
    }

    /// For when there is nothing to read; never ready but with an error.
    fn poll_flush<W: AsyncWrite>(&mut self, cx: &mut Context<'_>, to: Pin<&mut W>) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            ready!(to.poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Pending
    }
}

// === impl Severing ===

impl Drop for Severing {
    fn drop(&mut self) {
        if self.is_armed {
            for line in &self.lines {
                line.sever();
            }
        }
    }
}
