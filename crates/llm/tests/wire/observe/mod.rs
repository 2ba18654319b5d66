//! Observing answers: over the fixtures, in any chunking, within its bounds.

mod bounds;
mod chunking;
mod content;
mod fixtures;
mod made;
mod meaning;
mod release;

use std::ops::Range;

use gateway_llm::observe::{
    BodyObserver, End, Observation, ObserveOptions, StreamObserver, Thought, ToolCall,
};
use gateway_llm::route::Api;
use serde_json::Value;

pub(crate) const ALL: ObserveOptions = ObserveOptions {
    content: true,
    usage_was_injected: false,
};

/// What an observer said of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) observation: Observation,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) thoughts: Vec<Thought>,
    pub(crate) drops: Vec<Range<u64>>,
    pub(crate) pass_to: u64,
    pub(crate) terminal_at: Option<u64>,
    pub(crate) terminal_is_complete: bool,
}

/// Feeds a stream and asks for everything after each chunk, as the relay does. Checks what holds for every stream.
pub(crate) fn watch<'a>(
    api: Api,
    options: ObserveOptions,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    end: End,
) -> Seen {
    let mut observer = StreamObserver::new(api, options);
    let (mut tool_calls, mut thoughts, mut drops) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fed, mut passed) = (0, 0);
    for chunk in chunks {
        observer.feed(chunk);
        fed += chunk.len() as u64;
        let pass_to = observer.pass_to();
        assert!(passed <= pass_to && pass_to <= fed, "{passed} {pass_to} {fed}");
        passed = pass_to;
        if let Some(at) = observer.terminal_at() {
            assert_eq!(pass_to, at);
        }
        drops.extend(observer.take_drops());
        tool_calls.extend(observer.take_tool_calls());
        thoughts.extend(observer.take_thoughts());
    }
    let observation = observer.finish(end);
    drops.extend(observer.take_drops());
    tool_calls.extend(observer.take_tool_calls());
    thoughts.extend(observer.take_thoughts());
    let mut from = 0;
    for drop in &drops {
        assert!(
            from <= drop.start && drop.start < drop.end && drop.end <= observer.pass_to(),
            "{drops:?}"
        );
        from = drop.end;
    }
    Seen {
        observation,
        tool_calls,
        thoughts,
        drops,
        pass_to: observer.pass_to(),
        terminal_at: observer.terminal_at(),
        terminal_is_complete: observer.terminal_is_complete(),
    }
}

/// The same for a body, which is never held.
pub(crate) fn read<'a>(
    api: Api,
    options: ObserveOptions,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    end: End,
) -> Seen {
    let mut observer = BodyObserver::new(api, options);
    let (mut tool_calls, mut thoughts) = (Vec::new(), Vec::new());
    for chunk in chunks {
        observer.feed(chunk);
        tool_calls.extend(observer.take_tool_calls());
        thoughts.extend(observer.take_thoughts());
    }
    let observation = observer.finish(end);
    tool_calls.extend(observer.take_tool_calls());
    thoughts.extend(observer.take_thoughts());
    Seen {
        observation,
        tool_calls,
        thoughts,
        drops: Vec::new(),
        pass_to: 0,
        terminal_at: None,
        terminal_is_complete: false,
    }
}

/// A stream in one piece.
pub(crate) fn whole(api: Api, text: &str) -> Seen {
    watch(api, ALL, [text.as_bytes()], End::Whole)
}

/// A body in one piece.
pub(crate) fn body(api: Api, text: &str) -> Seen {
    read(api, ALL, [text.as_bytes()], End::Whole)
}

/// A stream of unnamed events.
pub(crate) fn text(events: &[Value]) -> String {
    events
        .iter()
        .fold(String::new(), |text, event| text + &format!("data: {event}\n\n"))
}

/// The same, watched in one piece.
pub(crate) fn events(api: Api, events: &[Value]) -> Seen {
    whole(api, &text(events))
}
