//! A TCP connection that can be taken away at any moment.
//!
//! Every write to the kernel happens under a lock that [`Line::sever`] takes too; so once `sever` has returned no
//! further byte is handed over, whatever a task was about to do. A severed socket is closed with a reset, so
//! that a cut answer can never look complete. The type stands below TLS and HTTP, which keep buffers of their own.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::FutureExt as _;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::access::registry::Sever;

/// A peer that takes not a byte for this long is gone.
const STALL: Duration = Duration::from_mins(5);

/// The handle on a connection, shared by the connection's own task and whoever may sever it.
#[derive(Default)]
pub struct Line {
    state: Mutex<State>,
    /// How often everything written so far was handed to the kernel.
    flushes: AtomicU64,
    /// Kept until all that was written has been handed to the kernel.
    lingering: Mutex<Lingering>,
    has_lingering: AtomicBool,
}

/// Something held only for its drop.
pub type Linger = Box<dyn Any + Send>;

#[derive(Default)]
struct Lingering {
    kept: Vec<Linger>,
    /// The connection is gone: nothing is kept any more.
    is_gone: bool,
}

#[derive(Default)]
struct State {
    severed: bool,
    /// The last write found the kernel's buffer full.
    blocked: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The connection itself.
pub struct LineIo {
    stream: TcpStream,
    line: Arc<Line>,
    stall: Option<Pin<Box<Sleep>>>,
}

// === impl Line ===

impl Line {
    pub fn is_severed(&self) -> bool {
        self.state.lock().severed
    }

    /// Grows whenever all that was written before has been handed to the kernel.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Keeps `linger` until everything written so far has been handed to the kernel, or the connection is gone.
    ///
    /// To be called by the task that writes, before it flushes: a call after the last flush keeps `linger` until the
    /// next one.
    pub fn linger(&self, linger: Linger) {
        let mut lingering = self.lingering.lock();
        if lingering.is_gone {
            // What is dropped may take locks of its own, this one among them.
            drop(lingering);
            drop(linger);
            return;
        }
        lingering.kept.push(linger);
        self.has_lingering.store(true, Ordering::SeqCst);
    }

    fn release(&self) {
        if self.has_lingering.swap(false, Ordering::SeqCst) {
            let released = std::mem::take(&mut self.lingering.lock().kept);
            drop(released);
        }
    }

    fn release_for_good(&self) {
        let mut lingering = self.lingering.lock();
        lingering.is_gone = true;
        let released = std::mem::take(&mut lingering.kept);
        drop(lingering);
        drop(released);
    }

    #[cfg(test)]
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.state.lock().blocked = blocked;
    }

    /// Whether bytes are left because the kernel took none of them at the last write.
    pub fn is_blocked(&self) -> bool {
        self.state.lock().blocked
    }
}

impl Sever for Line {
    fn sever(&self) {
        let mut state = self.state.lock();
        state.severed = true;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("severed", &self.is_severed())
            .finish_non_exhaustive()
    }
}

fn severed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut")
}

fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        slot => *slot = Some(cx.waker().clone()),
    }
}

// === impl LineIo ===

impl LineIo {
    /// Prepares an accepted or dialled socket: no delay for small writes, keep-alive against peers that vanish.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_mins(1))
            .with_interval(Duration::from_secs(15))
            .with_retries(4);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Self {
            stream,
            line: Arc::default(),
            stall: None,
        })
    }

    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Runs one write under the lock, and keeps account of a peer that does not read.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.line.state.lock();
        if state.severed {
            return Poll::Ready(Err(severed()));
        }
        let polled = write(Pin::new(&mut self.stream), cx);
        state.blocked = polled.is_pending();
        if polled.is_ready() {
            drop(state);
            self.stall = None;
            return polled;
        }
        keep(&mut state.writer, cx);
        drop(state);
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        match stall.poll_unpin(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer stopped reading",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for LineIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut state = self.line.state.lock();
            if state.severed {
                return Poll::Ready(Err(severed()));
            }
            keep(&mut state.reader, cx);
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LineIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP has no buffer of its own in user space: all that was taken has been handed over.
        self.line.flushes.fetch_add(1, Ordering::SeqCst);
        self.line.release();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Under the lock like a write: a cut answer must not end in good order.
        let state = this.line.state.lock();
        if state.severed {
            return Poll::Ready(Err(severed()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl Drop for LineIo {
    fn drop(&mut self) {
        self.line.release_for_good();
        if self.line.is_severed() {
            // Zero linger turns the close into a reset and throws away what the kernel has not sent yet.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// A stream some of whose bytes were read ahead to see what they are.
pub struct Sniffed<T> {
    inner: T,
    ahead: Vec<u8>,
    at: usize,
}

// === impl Sniffed ===

impl<T> Sniffed<T> {
    pub fn new(inner: T, ahead: Vec<u8>) -> Self {
        Self { inner, ahead, at: 0 }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Sniffed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.at < self.ahead.len() {
            let count = buffer.remaining().min(self.ahead.len() - self.at);
            buffer.put_slice(&self.ahead[self.at..self.at + count]);
            self.at += count;
            if self.at == self.ahead.len() {
                self.ahead = Vec::new();
                self.at = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sniffed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lingers_goes_with_the_flush_or_with_the_connection() {
        let line = Line::default();
        let kept = Arc::new(());
        line.linger(Box::new(Arc::clone(&kept)));
        line.release();
        assert_eq!(Arc::strong_count(&kept), 1);
        line.linger(Box::new(Arc::clone(&kept)));
        assert_eq!(Arc::strong_count(&kept), 2);
        line.release_for_good();
        assert_eq!(Arc::strong_count(&kept), 1);
        line.linger(Box::new(Arc::clone(&kept)));
        assert_eq!(Arc::strong_count(&kept), 1, "kept by a connection that is gone");
    }
}
