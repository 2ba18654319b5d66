//! The body of a provider's answer on its way to the client.
//!
//! Frames are passed on as [`Tapped`] gives them; each looks at the revocation flag first. An answer that cannot be
//! finished (revoked, broken off by the provider, silent for too long, not recorded) says so with an event in the provider's form if it
//! is a stream of events, and then ends uncleanly, so that it can never look complete.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway_core::TokenId;
use gateway_llm::error::{ErrorKind, close_event, error_event};
use gateway_llm::route::Api;
use gateway_llm::sse::BoundaryTracker;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::access::checkpoint::{CheckpointHook, Step};
use crate::access::{Admission, GOODBYE, InFlight};
use crate::body::BoxError;
use crate::listen::Downstream;
use crate::tap::Tapped;

/// How often to look whether the goodbye has reached the kernel.
const LOOK: Duration = Duration::from_millis(2);

/// What the body needs beside the provider's.
pub(crate) struct AnswerContext {
    pub(crate) api: Api,
    pub(crate) admission: Admission,
    pub(crate) downstream: Option<Downstream>,
    /// The answer is a stream of events in plain text, so an event can be added.
    pub(crate) is_event_stream: bool,
    /// The client knows the end of the answer only by the end of the connection, as in HTTP/1.0.
    pub(crate) ends_with_connection: bool,
    pub(crate) checkpoints: CheckpointHook,
}

pub(crate) struct Answer<B: Body> {
    provider: Option<Tapped<B>>,
    admission: Option<Admission>,
    in_flight: InFlight,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    downstream: Option<Downstream>,
    api: Api,
    is_event_stream: bool,
    ends_with_connection: bool,
    boundary: BoundaryTracker,
    checkpoints: CheckpointHook,
    token_id: TokenId,
    /// The last frame, or the end, waiting for a checkpoint.
    held: Option<Held>,
    goodbye: Option<Goodbye>,
}

struct Held {
    frame: Option<Frame<Bytes>>,
    release: BoxFuture<'static, ()>,
}

/// The unclean end of an answer.
struct Goodbye {
    reason: Broken,
    event: Option<Bytes>,
    /// Whether to wait until what was handed over has reached the kernel.
    waits: bool,
    /// The end of what was handed over.
    mark: Option<u64>,
    deadline: Instant,
    look: Pin<Box<Sleep>>,
}

/// Why an answer could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the token was revoked")]
    Revoked,
    #[error("the provider broke the answer off")]
    Provider(#[source] BoxError),
    #[error("the provider sent nothing for {0:?}")]
    Silent(Duration),
    #[error("the answer could not be recorded in time")]
    Unrecorded,
    #[error("too much memory is taken by answers at the moment")]
    Memory,
    #[error("the answer has ended already")]
    Over,
}

// === impl Answer ===

impl<B> Answer<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    pub(crate) fn new(provider: Tapped<B>, context: AnswerContext) -> Self {
        let in_flight = context.admission.in_flight();
        // Nothing can be added to an answer whose length has been announced.
        let is_event_stream = context.is_event_stream && provider.size_hint().exact().is_none();
        Self {
            provider: Some(provider),
            cut: Box::pin(in_flight.cut_token().clone().cancelled_owned()),
            in_flight,
            token_id: context.admission.principal().token_id,
            admission: Some(context.admission),
            downstream: context.downstream,
            api: context.api,
            is_event_stream,
            ends_with_connection: context.ends_with_connection,
            boundary: BoundaryTracker::new(),
            checkpoints: context.checkpoints,
            held: None,
            goodbye: None,
        }
    }

    fn poll_provider(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.in_flight.is_cut() || self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::Revoked)));
        }
        if self.held.is_some() {
            return self.poll_held(cx);
        }
        let Some(provider) = &mut self.provider else {
            return Poll::Ready(None);
        };
        let frame = match ready!(provider.poll_next(cx)) {
            Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
            Some(Ok(frame)) => Some(frame),
            None => None,
        };
        let is_last = frame.is_none() || self.is_last();
        if is_last && let Some(release) = self.checkpoints.future(Step::BeforeRelease, self.token_id) {
            self.held = Some(Held { frame, release });
            return self.poll_held(cx);
        }
        Poll::Ready(frame.map(Ok))
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(held) = &mut self.held else {
            return Poll::Ready(None);
        };
        ready!(held.release.as_mut().poll(cx));
        let frame = self.held.take().and_then(|held| held.frame);
        if self.in_flight.is_cut() {
            return Poll::Ready(Some(Err(Broken::Revoked)));
        }
        if frame.is_none() || self.is_last() {
            self.checkpoints = CheckpointHook::default();
        }
        Poll::Ready(frame.map(Ok))
    }

    /// What has just been given is the last of the answer, or was withheld to the last.
    fn is_last(&self) -> bool {
        self.provider
            .as_ref()
            .is_none_or(|provider| provider.is_end_stream() || provider.is_released())
    }

    fn begin_goodbye(&mut self, reason: Broken) {
        // Letting go of the provider's answer ends the exchange with it.
        self.provider = None;
        self.held = None;
        let event = (self.is_event_stream && self.can_add_event()).then(|| {
            let (kind, message) = match &reason {
                Broken::Revoked => (ErrorKind::Authentication, "the gateway token was revoked"),
                Broken::Silent(_) => (ErrorKind::GatewayTimeout, "the provider stopped sending"),
                Broken::Unrecorded => (
                    ErrorKind::Unavailable,
                    "the answer could not be recorded; try again",
                ),
                Broken::Memory => (
                    ErrorKind::Unavailable,
                    "too much memory is taken at the moment; try again",
                ),
                Broken::Provider(_) | Broken::Over => {
                    (ErrorKind::BadGateway, "the provider broke the answer off")
                }
            };
            let mut event = close_event(self.api, &self.boundary).to_vec();
            event.extend_from_slice(&error_event(self.api, kind, message));
            Bytes::from(event)
        });
        tracing::debug!(token = %self.token_id, error = %reason, "an answer ends uncleanly");
        // Without an event there is still what came before it, which a revocation does not wait for.
        let waits = event.is_some() || !matches!(reason, Broken::Revoked);
        self.goodbye = Some(Goodbye {
            reason,
            event,
            waits,
            mark: None,
            deadline: Instant::now() + GOODBYE,
            look: Box::pin(tokio::time::sleep(Duration::ZERO)),
        });
    }

    /// Within a line an event cannot be added but where clients pass over the one that is torn: they would report its
    /// half of a JSON text instead. They are better served by the unclean end alone.
    fn can_add_event(&self) -> bool {
        self.api == Api::Messages || !self.boundary.mid_line()
    }

    /// Hands over the event, gives it until the deadline to reach the kernel, and then ends.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let Some(goodbye) = &mut self.goodbye else {
            return Poll::Ready(Broken::Over);
        };
        if let Some(downstream) = &self.downstream {
            goodbye.mark.get_or_insert_with(|| downstream.mark());
        }
        loop {
            ready!(goodbye.look.as_mut().poll(cx));
            let is_flushed = match (&self.downstream, goodbye.mark) {
                (Some(downstream), Some(mark)) => downstream.is_flushed(mark),
                _ => true,
            };
            if is_flushed || Instant::now() >= goodbye.deadline {
                break;
            }
            goodbye
                .look
                .as_mut()
                .reset((Instant::now() + LOOK).min(goodbye.deadline));
        }
        let reason = std::mem::replace(&mut goodbye.reason, Broken::Over);
        Poll::Ready(self.finish_goodbye(reason))
    }

    fn finish_goodbye(&mut self, reason: Broken) -> Broken {
        if self.ends_with_connection || matches!(reason, Broken::Revoked) {
            self.in_flight.sever();
        }
        self.goodbye = None;
        self.let_go();
        reason
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.goodbye.is_none() {
            match ready!(this.poll_provider(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref().filter(|_| this.is_event_stream) {
                        this.boundary.feed(data);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                None => return Poll::Ready(None),
                Some(Err(reason)) => this.begin_goodbye(reason),
            }
        }
        if let Some(goodbye) = &mut this.goodbye {
            if let Some(event) = goodbye.event.take() {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            if !goodbye.waits {
                let reason = std::mem::replace(&mut goodbye.reason, Broken::Over);
                return Poll::Ready(Some(Err(this.finish_goodbye(reason).into())));
            }
        }
        this.poll_goodbye(cx).map(|reason| Some(Err(reason.into())))
    }

    fn is_end_stream(&self) -> bool {
        let nothing_pending =
            self.goodbye.is_none() && self.held.is_none() && !self.checkpoints.is_installed();
        nothing_pending
            && !self.in_flight.is_cut()
            && self.provider.as_ref().is_some_and(Tapped::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.provider
            .as_ref()
            .map_or_else(SizeHint::default, Tapped::size_hint)
    }
}

impl<B: Body> Answer<B> {
    /// The last bytes may still stand in a buffer of this process. Until the connection has handed them to the
    /// kernel, or thrown them away, a revocation must find the request.
    fn let_go(&mut self) {
        if let (Some(admission), Some(downstream)) = (self.admission.take(), &self.downstream) {
            downstream.linger(Box::new(admission));
        }
    }
}

impl<B: Body> Drop for Answer<B> {
    fn drop(&mut self) {
        self.let_go();
    }
}
