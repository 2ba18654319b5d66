//! The provider's side of an answer: its bytes as they come, watched, and held back where a record comes first.
//!
//! A [`Tapped`] answer passes frames on unchanged and shows them to an observer. Withheld until the end of the
//! interception is committed is, of a stream of events, everything from the terminal event on; of any other body
//! the last frame. When the commit does not come in time, the answer breaks instead. What follows a terminal
//! event is passed on for a short while, and then the answer ends.
//!
//! It knows nothing of the client: revocation and the last words to a client are for [`crate::answer`].

mod encoded;
mod watch;
mod withheld;

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::interception::{Mark, Outcome};
use gateway_llm::observe::{End, ObserveOptions};
use gateway_llm::route::Api;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

use crate::answer::Broken;
use crate::body::BoxError;
use crate::budget::Share;
use crate::recording::{Ending, Recording};
use encoded::Decoding;
use watch::{Findings, Finished, Found, Watch};
use withheld::Withheld;

pub(crate) use watch::Form;

/// How long bytes behind a terminal event are passed on.
const TRAILING: Duration = Duration::from_secs(5);

/// How much of an answer is withheld at most; an answer that needs more is recorded as far as it was seen.
const WITHHELD_MAX: usize = 32 * 1024 * 1024;

/// What of an answer is held without being charged: the usual answer needs no more.
const FREE: usize = 64 * 1024;

/// An answer that is not streamed keeps its head until it is recorded, if it is not longer than this.
const SETTLED_MAX: usize = 256 * 1024;

/// What an answer is watched with.
pub(crate) struct TapContext {
    /// None: the route is not recorded, and the answer is merely passed on.
    pub(crate) recording: Option<Recording>,
    pub(crate) api: Api,
    pub(crate) status: StatusCode,
    pub(crate) form: Form,
    pub(crate) options: ObserveOptions,
    /// Usage, tool calls and thoughts in it are recorded: they are of this exchange and not of an earlier one.
    pub(crate) is_output: bool,
    /// Memory for what is withheld.
    pub(crate) share: Share,
    /// The longest silence of the provider.
    pub(crate) idle_timeout: Duration,
    /// How many encoded answers are read at once.
    pub(crate) decoders: Arc<Semaphore>,
}

pub(crate) struct Tapped<B: Body> {
    /// None once it was let go of.
    provider: Option<B>,
    idle_timeout: Duration,
    last_frame: Instant,
    idle: Pin<Box<Sleep>>,
    watch: Watch,
    exchange: Exchange,
    withheld: Withheld,
    share: Share,
    /// Bytes that were taken in before the head went out.
    settled: usize,
    /// What may go out.
    ready: VecDeque<Frame<Bytes>>,
    phase: Phase,
    /// The length is not known, since something may be taken out.
    may_drop: bool,
    /// What was withheld to the last has been released.
    is_released: bool,
}

/// What the record needs beside what is found in the bytes.
struct Exchange {
    recording: Option<Recording>,
    status: StatusCode,
    is_output: bool,
    /// Without its terminal event the answer is not whole.
    needs_terminal: bool,
}

enum Phase {
    /// Frames are passed on.
    Passing,
    /// So much is to be written down that nothing is passed on until it is.
    Stalled(Pin<Box<Sleep>>),
    /// The whole of an encoded answer is being read.
    Decoding(Decoding, Close),
    /// The end is queued; what is withheld waits for its commit.
    Closing(Pin<Box<Sleep>>, Close),
    /// The terminal event is out.
    Trailing(Pin<Box<Sleep>>),
    /// What came before the fault is out.
    Failed(Broken),
    Over,
}

/// Why an interception ends, and so what comes after its end is committed.
#[derive(Debug)]
enum Close {
    /// The body has ended.
    End,
    /// The terminal event has passed; the body may go on for a while.
    Terminal,
    /// Too much is withheld; the rest is passed on unseen.
    Unseen,
    /// The answer cannot be finished.
    Fail(Broken),
}

// === impl Tapped ===

impl<B> Tapped<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    pub(crate) fn new(provider: B, context: TapContext) -> Self {
        let is_events = context.form == Form::Events;
        let now = Instant::now();
        Self {
            provider: Some(provider),
            idle_timeout: context.idle_timeout,
            last_frame: now,
            idle: Box::pin(tokio::time::sleep_until(now + context.idle_timeout)),
            may_drop: is_events && context.options.usage_was_injected,
            watch: match context.recording {
                Some(_) => Watch::new(context.form, context.api, context.options, context.decoders),
                None => Watch::Nobody,
            },
            exchange: Exchange {
                recording: context.recording,
                status: context.status,
                is_output: context.is_output,
                // Compatible providers of Chat Completions are known to leave it out.
                needs_terminal: is_events && context.api != Api::ChatCompletions,
            },
            withheld: Withheld::default(),
            share: context.share,
            settled: 0,
            ready: VecDeque::new(),
            phase: Phase::Passing,
            is_released: false,
        }
    }

    /// Takes the answer in until it is whole and recorded, or too long for that. Then its head may be released.
    pub(crate) async fn settle(&mut self) -> Result<(), Broken> {
        let mut settled = VecDeque::new();
        while self.settled <= SETTLED_MAX && self.cover().is_ok() {
            let next = std::future::poll_fn(|cx| self.poll_next(cx)).await;
            let Some(frame) = next.transpose()? else { break };
            self.settled += withheld::weight(&frame);
            settled.push_back(frame);
        }
        settled.append(&mut self.ready);
        self.ready = settled;
        Ok(())
    }

    /// Waits until what is known of the exchange so far is committed.
    pub(crate) async fn recorded(&mut self) -> Result<(), Broken> {
        let Some(recording) = &self.exchange.recording else {
            return Ok(());
        };
        if recording.committed().await.is_ok() {
            return Ok(());
        }
        Err(self.give_up())
    }

    /// What was withheld to the last has been released.
    pub(crate) fn is_released(&self) -> bool {
        self.is_released
    }

    /// What is still to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let rest = match &self.provider {
            Some(_) if self.may_drop => return SizeHint::default(),
            Some(provider) => provider.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let ready: usize = self
            .ready
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        let held = (self.withheld.len() + ready) as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(
            rest.lower()
                .saturating_add(held)
                .min(hint.upper().unwrap_or(u64::MAX)),
        );
        hint
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let step = match &mut self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Failed(_) => self.failed(),
                Phase::Passing => ready!(self.poll_passing(cx)),
                Phase::Stalled(_) => ready!(self.poll_stalled(cx)),
                Phase::Decoding(..) => ready!(self.poll_decoding(cx)),
                Phase::Closing(..) => ready!(self.poll_closing(cx)),
                Phase::Trailing(_) => ready!(self.poll_trailing(cx)),
            };
            if let Err(broken) = step {
                return Poll::Ready(Some(Err(broken)));
            }
        }
    }

    fn poll_passing(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match ready!(self.poll_provider(cx)) {
            Some(Ok(frame)) => self.take(frame),
            Some(Err(broken)) => self.close(Close::Fail(broken)),
            None => self.close(Close::End),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_trailing(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        // What is there goes out, also to a client that was slow to take what came before it.
        match self.poll_provider(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.ready.push_back(frame);
                return Poll::Ready(Ok(()));
            }
            // The answer was whole before.
            Poll::Ready(Some(Err(_)) | None) => {}
            Poll::Pending => {
                if let Phase::Trailing(until) = &mut self.phase {
                    ready!(until.as_mut().poll(cx));
                }
            }
        }
        self.provider = None;
        self.phase = Phase::Over;
        Poll::Ready(Ok(()))
    }

    /// The next frame, or that there will be none for too long.
    fn poll_provider(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(provider) = &mut self.provider else {
            return Poll::Ready(None);
        };
        match Pin::new(provider).poll_frame(cx) {
            Poll::Pending => self.poll_idle(cx).map(|broken| Some(Err(broken))),
            Poll::Ready(Some(Ok(frame))) => {
                self.last_frame = Instant::now();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Broken::Provider(error.into())))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    /// The timer is not moved with every frame, which would cost more than the frame; it is set anew when it
    /// fires too early.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        loop {
            ready!(self.idle.as_mut().poll(cx));
            let deadline = self.last_frame + self.idle_timeout;
            if Instant::now() >= deadline {
                return Poll::Ready(Broken::Silent(self.idle_timeout));
            }
            self.idle.as_mut().reset(deadline);
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Phase::Stalled(deadline) = &mut self.phase {
            let is_committed = ready!(self.exchange.poll_committed(deadline, cx));
            if !is_committed {
                return Poll::Ready(Err(self.give_up()));
            }
            self.phase = Phase::Passing;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_decoding(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Phase::Decoding(decoding, close) = &mut self.phase {
            let findings = ready!(decoding.poll(cx));
            let close = std::mem::replace(close, Close::End);
            self.record_end(close, findings);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Phase::Closing(deadline, close) = &mut self.phase {
            let is_committed = ready!(self.exchange.poll_committed(deadline, cx));
            if !is_committed {
                return Poll::Ready(Err(self.give_up()));
            }
            self.withheld.release_all(&mut self.ready);
            self.is_released = !matches!(close, Close::Unseen);
            self.phase = match std::mem::replace(close, Close::End) {
                Close::End => Phase::Over,
                Close::Terminal => Phase::Trailing(Box::pin(tokio::time::sleep(TRAILING))),
                Close::Unseen => Phase::Passing,
                Close::Fail(broken) => Phase::Failed(broken),
            };
        }
        Poll::Ready(Ok(()))
    }

    fn failed(&mut self) -> Result<(), Broken> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Failed(broken) => Err(broken),
            _ => Ok(()),
        }
    }

    /// Shows a frame to the observer, and makes ready what may be passed on.
    fn take(&mut self, frame: Frame<Bytes>) {
        if matches!(self.watch, Watch::Nobody) {
            self.ready.push_back(frame);
            return;
        }
        if let Some(data) = frame.data_ref() {
            if let Some(recording) = self.exchange.recording.as_mut().filter(|_| !data.is_empty()) {
                recording.note_bytes();
            }
            self.watch.feed(data, &mut self.share);
        }
        // Where the length was announced the client knows this frame for the last, whatever is in it.
        let is_end = self.is_provider_done();
        match self.watch.released() {
            Some((offset, drops)) => {
                self.withheld.push(frame);
                for range in drops {
                    self.withheld.drop_range(range);
                }
                if !is_end {
                    self.withheld.release_to(offset, &mut self.ready);
                }
            }
            None => self.withheld.push_and_release_rest(frame, &mut self.ready),
        }
        self.exchange.record_found(self.watch.found());
        if self.watch.is_terminated() {
            self.close(Close::Terminal);
        } else if is_end {
            self.close(Close::End);
        } else if self.withheld.weight() > WITHHELD_MAX {
            self.close(Close::Unseen);
        } else if self.cover().is_err() {
            self.close(Close::Fail(Broken::Memory));
        } else if let Some(hold_back) = self.exchange.is_full() {
            self.phase = Phase::Stalled(Box::pin(tokio::time::sleep(hold_back)));
        }
    }

    /// Takes memory for what is held.
    fn cover(&mut self) -> Result<(), crate::budget::Exhausted> {
        let held = self.settled + self.withheld.weight();
        self.share.cover(held.saturating_sub(FREE))
    }

    /// The interception is over.
    fn close(&mut self, close: Close) {
        let end = match &close {
            Close::End | Close::Terminal => End::Whole,
            Close::Unseen | Close::Fail(_) => End::Torn,
        };
        // Letting go of the provider's answer ends the exchange with it.
        if matches!(close, Close::Fail(_)) {
            self.provider = None;
        }
        match std::mem::replace(&mut self.watch, Watch::Nobody).finish(end) {
            Finished::Now(findings) => self.record_end(close, *findings),
            Finished::Later(decoding) => self.phase = Phase::Decoding(decoding, close),
        }
    }

    fn record_end(&mut self, close: Close, findings: Findings) {
        let (outcome, message) = self.exchange.outcome(&close, &findings);
        if matches!(close, Close::Unseen) {
            self.exchange.mark_incomplete();
        }
        let hold_back = self.exchange.record_end(outcome, message, findings);
        self.phase = Phase::Closing(Box::pin(tokio::time::sleep(hold_back)), close);
    }

    /// What has to be written down first is not, so nothing more goes out.
    fn give_up(&mut self) -> Broken {
        self.provider = None;
        self.withheld.clear();
        self.ready.clear();
        self.abandon(Outcome::GatewayError, Some(Broken::Unrecorded.to_string()));
        self.phase = Phase::Over;
        Broken::Unrecorded
    }
}

impl<B: Body> Tapped<B> {
    pub(crate) fn is_end_stream(&self) -> bool {
        let is_last = match &self.phase {
            Phase::Over => true,
            Phase::Passing => matches!(self.watch, Watch::Nobody) && self.is_provider_done(),
            Phase::Trailing(_) => self.is_provider_done(),
            _ => false,
        };
        is_last && self.ready.is_empty()
    }

    fn is_provider_done(&self) -> bool {
        self.provider.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Records the end of an answer that is not finished.
    fn abandon(&mut self, outcome: Outcome, message: Option<String>) {
        let findings = match std::mem::replace(&mut self.watch, Watch::Nobody).finish(End::Torn) {
            Finished::Now(findings) if !matches!(self.phase, Phase::Decoding(..)) => *findings,
            // Nobody is left to wait for what is being read.
            _ => Findings::unread(),
        };
        self.exchange.record_end(outcome, message, findings);
    }
}

impl<B: Body> Drop for Tapped<B> {
    fn drop(&mut self) {
        if let Some(recording) = self
            .exchange
            .recording
            .as_ref()
            .filter(|recording| !recording.is_closed())
        {
            let outcome = recording.abandoned();
            self.abandon(outcome, None);
        }
    }
}

// === impl Exchange ===

impl Exchange {
    /// Ready with whether all is committed, or the deadline has passed.
    fn poll_committed(&self, deadline: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(recording) = &self.recording else {
            return Poll::Ready(true);
        };
        match recording.poll_committed(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| false),
        }
    }

    /// If so much waits to be written that the answer should stop: for how long at most.
    fn is_full(&self) -> Option<Duration> {
        let recording = self.recording.as_ref().filter(|recording| recording.is_full())?;
        Some(recording.hold_back())
    }

    fn mark_incomplete(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.mark(Mark::ObservationIncomplete);
        }
    }

    fn record_found(&mut self, found: Found) {
        let Some(recording) = self.recording.as_mut().filter(|_| self.is_output) else {
            return;
        };
        for tool in found.tools {
            recording.tool(tool);
        }
        for thought in found.thoughts {
            recording.thought(thought);
        }
    }

    /// Returns how long its commit is waited for at most.
    fn record_end(&mut self, outcome: Outcome, message: Option<String>, findings: Findings) -> Duration {
        self.record_found(findings.found);
        let mut seen = findings.observation;
        seen.usage = seen.usage.filter(|_| self.is_output);
        let ending = Ending {
            outcome,
            status: Some(self.status.as_u16()),
            message,
        };
        match &mut self.recording {
            Some(recording) => {
                recording.close(ending, seen);
                recording.hold_back()
            }
            None => Duration::ZERO,
        }
    }

    fn outcome(&self, close: &Close, findings: &Findings) -> (Outcome, Option<String>) {
        let seen = &findings.observation;
        let is_error = seen.error.is_some() || self.status.is_client_error() || self.status.is_server_error();
        match close {
            Close::Fail(Broken::Memory) => (Outcome::GatewayError, Some(Broken::Memory.to_string())),
            Close::Fail(broken) => (Outcome::ProviderBroke, Some(broken.to_string())),
            _ if is_error => (Outcome::ProviderError, None),
            Close::End if self.needs_terminal && !seen.is_ended => {
                let message = "the provider ended the stream before its last event";
                (Outcome::ProviderBroke, Some(message.to_owned()))
            }
            Close::End | Close::Terminal | Close::Unseen => (Outcome::Completed, None),
        }
    }
}
