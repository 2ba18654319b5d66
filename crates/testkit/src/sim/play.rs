//! Plays a script's body: hands over each piece, and breaks, stalls or waits where the script says so.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};

use super::Shared;
use super::directive::Break;
use super::record::Handle;
use super::script::Step;
use super::socket::Control;

/// The answer is broken on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the script breaks this answer")]
pub(crate) struct Broken;

/// Body of an answer of the simulated provider.
pub(crate) struct Play {
    steps: VecDeque<Step>,
    handle: Option<Handle>,
    shared: Arc<Shared>,
    control: Control,
    waiting: Option<BoxFuture<'static, ()>>,
    /// A piece was handed over: give the connection a turn to flush it before the next.
    flush: bool,
}

impl Play {
    pub(crate) fn new(
        steps: Vec<Step>,
        mut handle: Option<Handle>,
        shared: Arc<Shared>,
        control: Control,
    ) -> Self {
        if let (true, Some(handle)) = (steps.is_empty(), &mut handle) {
            handle.end(true);
        }
        Self {
            steps: steps.into(),
            handle,
            shared,
            control,
            waiting: None,
            flush: false,
        }
    }

    fn end(&mut self, complete: bool) {
        if let Some(handle) = &mut self.handle {
            handle.end(complete);
        }
    }

    fn wait_for(&mut self, step: Step) {
        let shared = Arc::clone(&self.shared);
        self.waiting = Some(Box::pin(async move { wait(&step, &shared).await }));
    }
}

/// Spends the time that a step takes.
pub(crate) async fn wait(step: &Step, shared: &Shared) {
    match step {
        Step::Delay(pause) => tokio::time::sleep(*pause).await,
        Step::Gate(name) => shared.gates.pass(name).await,
        Step::Stall => std::future::pending().await,
        Step::Bytes(_) | Step::Abort(_) => {}
    }
}

impl Body for Play {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if std::mem::take(&mut this.flush) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(waiting) = &mut this.waiting {
                std::task::ready!(waiting.as_mut().poll(cx));
                this.waiting = None;
            }
            match this.steps.pop_front() {
                None => {
                    this.end(true);
                    return Poll::Ready(None);
                }
                Some(Step::Bytes(bytes)) => {
                    if let Some(handle) = &mut this.handle {
                        handle.sent(&bytes);
                    }
                    this.flush = true;
                    if this.steps.is_empty() {
                        this.end(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Abort(Break::Rst)) => {
                    this.end(false);
                    this.control.reset();
                    this.wait_for(Step::Stall);
                }
                Some(Step::Abort(_)) => {
                    this.end(false);
                    return Poll::Ready(Some(Err(Broken)));
                }
                Some(step) => this.wait_for(step),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none() && self.handle.as_ref().is_none_or(Handle::ended)
    }

    fn size_hint(&self) -> SizeHint {
        // Unknown, so that only a `Content-Length` of the script is one.
        if self.is_end_stream() {
            SizeHint::with_exact(0)
        } else {
            SizeHint::default()
        }
    }
}
