//! Who looks at the bytes of an answer, by how it is written.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use gateway_llm::observe::{
    BodyObserver, End, Observation, ObserveOptions, StreamObserver, Thought, ToolCall,
};
use gateway_llm::route::Api;
use tokio::sync::Semaphore;

use super::encoded::{Copy, Decoding};
use crate::budget::Share;

/// How an answer is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Events in plain text.
    Events,
    /// Any other plain body.
    Plain,
    /// With a content encoding, though plain text was asked for; and whether it decodes to events.
    Encoded { encoding: String, is_events: bool },
}

pub(super) enum Watch {
    Nobody,
    Events(Box<StreamObserver>),
    Body(Box<BodyObserver>),
    Encoded(Box<Copy>),
}

/// What was found since the last look.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tools: Vec<ToolCall>,
    pub(super) thoughts: Vec<Thought>,
}

/// What was found in all.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) observation: Observation,
    /// Those that were not found before.
    pub(super) found: Found,
}

/// The end of watching.
pub(super) enum Finished {
    Now(Box<Findings>),
    /// The copy of an encoded answer has to be read.
    Later(Decoding),
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(form: Form, api: Api, options: ObserveOptions, decoders: Arc<Semaphore>) -> Self {
        match form {
            Form::Events => Self::Events(Box::new(StreamObserver::new(api, options))),
            Form::Plain => Self::Body(Box::new(BodyObserver::new(api, options))),
            Form::Encoded { encoding, is_events } => Self::Encoded(Box::new(Copy {
                encoding,
                is_events,
                api,
                options,
                decoders,
                bytes: BytesMut::new(),
                is_cut: false,
            })),
        }
    }

    pub(super) fn feed(&mut self, data: &[u8], share: &mut Share) {
        match self {
            Self::Nobody => {}
            Self::Events(observer) => observer.feed(data),
            Self::Body(observer) => observer.feed(data),
            Self::Encoded(copy) => copy.feed(data, share),
        }
    }

    /// For a stream of events: up to where it may be passed on, but for the ranges. None: bytes mean nothing by
    /// themselves, and the last frame is the end.
    pub(super) fn released(&mut self) -> Option<(u64, Vec<Range<u64>>)> {
        match self {
            Self::Events(observer) => {
                let drops = observer.take_drops();
                Some((observer.pass_to(), drops))
            }
            _ => None,
        }
    }

    /// The event that ends the interception has passed whole.
    pub(super) fn is_terminated(&self) -> bool {
        matches!(self, Self::Events(observer) if observer.terminal_is_complete())
    }

    pub(super) fn found(&mut self) -> Found {
        match self {
            Self::Nobody | Self::Encoded(_) => Found::default(),
            Self::Events(observer) => Found {
                tools: observer.take_tool_calls(),
                thoughts: observer.take_thoughts(),
            },
            Self::Body(observer) => Found {
                tools: observer.take_tool_calls(),
                thoughts: observer.take_thoughts(),
            },
        }
    }

    pub(super) fn finish(self, end: End) -> Finished {
        match self {
            Self::Nobody => Finished::Now(Box::default()),
            Self::Events(observer) => Finished::Now(Box::new(Findings::of_stream(*observer, end))),
            Self::Body(observer) => Finished::Now(Box::new(Findings::of_body(*observer, end))),
            Self::Encoded(copy) => copy
                .decode(end)
                .map_or_else(|| Finished::Now(Box::new(Findings::unread())), Finished::Later),
        }
    }
}

// === impl Findings ===

impl Findings {
    pub(super) fn of_stream(mut observer: StreamObserver, end: End) -> Self {
        let observation = observer.finish(end);
        Self {
            observation,
            found: Watch::Events(Box::new(observer)).found(),
        }
    }

    pub(super) fn of_body(mut observer: BodyObserver, end: End) -> Self {
        let observation = observer.finish(end);
        Self {
            observation,
            found: Watch::Body(Box::new(observer)).found(),
        }
    }

    /// Of an answer that could not be read.
    pub(super) fn unread() -> Self {
        Self {
            observation: Observation {
                is_incomplete: true,
                ..Observation::default()
            },
            found: Found::default(),
        }
    }
}
