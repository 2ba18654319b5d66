//! How far a stream may be passed on while it comes.

use std::ops::Range;

use gateway_llm::observe::{End, ObserveOptions, StreamObserver};
use gateway_llm::route::Api;
use proptest::prelude::*;
use serde_json::Value;

use super::{ALL, Seen, watch, whole};

const INJECTED: ObserveOptions = ObserveOptions {
    content: true,
    usage_was_injected: true,
};

fn pass_to(api: Api, options: ObserveOptions, text: &str) -> u64 {
    let mut observer = StreamObserver::new(api, options);
    observer.feed(text.as_bytes());
    observer.pass_to()
}

#[test]
fn ordinary_events_are_let_go_at_their_beginning() {
    for (api, text) in [
        (
            Api::Messages,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"",
        ),
        (Api::Messages, "event: ping\ndata: {\"x\":[],\"type\": \"ping\""),
        (
            Api::Responses,
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\"",
        ),
        (Api::ChatCompletions, "data: {"),
        (Api::ChatCompletions, "event: error\ndata: {"),
    ] {
        let text_len = text.len() as u64;
        assert_eq!(pass_to(api, ALL, text), text_len, "{text}");
        assert_eq!(pass_to(api, ALL, &text[..text.len() - 1]), 0, "{text}");
        assert_eq!(
            pass_to(api, ALL, &format!("{text} and more")),
            text_len + 9,
            "{text}"
        );
    }
}

#[test]
fn what_may_still_be_terminal_is_held() {
    for (api, text) in [
        (Api::Messages, "event: ping\n"),
        (Api::Messages, "event: ping\ndata: {\"a\":1,"),
        // The name may follow.
        (Api::Messages, "data: {\"type\":\"ping\"}\n"),
        (Api::Messages, "id: 1\n"),
        (Api::Messages, "\u{feff}event: ping"),
        (Api::Messages, "event: ping\ndata: {\"type\":[]}"),
        (
            Api::Responses,
            "event: response.created\ndata: {\"response\":{\"type\":\"x\"},",
        ),
        (Api::ChatCompletions, "data: "),
        (Api::ChatCompletions, "data: [DONE"),
        (Api::ChatCompletions, "event: x\n"),
        (Api::ChatCompletions, "data"),
    ] {
        let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        assert_eq!(pass_to(api, ALL, text), start, "{text}");
        // A comment within does not change that; the end of the event does.
        let line = text.trim_end_matches('\n');
        assert_eq!(pass_to(api, ALL, &format!("{line}\n: note\n")), start, "{text}");
        let ended = format!("{line}\n\n");
        assert_eq!(pass_to(api, ALL, &ended), ended.len() as u64, "{text}");
    }
}

#[test]
fn comments_and_empty_lines_are_never_held() {
    for text in [
        "\n\n",
        ": a comment",
        ": a\n: b\n\n: c",
        "\r\n\r",
        "\u{feff}",
        "\u{feff}\n:",
    ] {
        for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
            assert_eq!(pass_to(api, INJECTED, text), text.len() as u64, "{text:?}");
        }
    }
    // Half a byte order mark may be the beginning of an event.
    let mut observer = StreamObserver::new(Api::Messages, ALL);
    observer.feed(b"\xef\xbb");
    assert_eq!(observer.pass_to(), 0);
}

#[test]
fn either_name_or_type_makes_an_event_terminal() {
    for (api, event) in [
        (
            Api::Messages,
            "event: message_stop\ndata: {\"type\":\"message_stop\"}",
        ),
        (Api::Messages, "event: message_stop"),
        (Api::Messages, "event:message_stop\ndata: {\"type\":\"ping\"}"),
        (Api::Messages, "event: ping\ndata: {\"type\":\"message_stop\"}"),
        (Api::Messages, "data: {\"a\":{},\"type\":\"message_stop\"}"),
        (Api::Messages, "data: {\"t\\u0079pe\":\"message\\u005fstop\"}"),
        (Api::Messages, "data: {\"type\":\ndata: \"error\"}"),
        (Api::Messages, "data: {\"type\":\"ping\"}\nid: 5\nevent: error"),
        (Api::Messages, "data: not json\nevent: error"),
        (Api::Messages, "id: 7\n: note\nevent: error\ndata: {}"),
        (
            Api::Responses,
            "event: response.completed\ndata: {\"type\":\"response.completed\"}",
        ),
        (Api::Responses, "data: {\"type\":\"response.incomplete\"}"),
        (Api::Responses, "event: response.failed\ndata: {}"),
        (Api::Responses, "event: error\ndata: {\"code\":\"x\"}"),
        (Api::ChatCompletions, "data: [DONE]"),
        (Api::ChatCompletions, "data:  [DONE] "),
        (Api::ChatCompletions, "data:\ndata:[DONE]"),
        // The SDKs stop at whatever begins like this.
        (Api::ChatCompletions, "data: [DONE]x"),
    ] {
        let before = ": note\n\nevent: x\ndata: {\"type\":\"x\"}\n\n: between\n";
        for line_end in ["\n", "\r\n", "\r"] {
            let text = format!("{before}{event}\n\nevent: ping\n\n").replace('\n', line_end);
            let start = before.replace('\n', line_end).len() as u64;
            let seen = whole(api, &text);
            assert_eq!(
                (seen.pass_to, seen.terminal_at, seen.terminal_is_complete),
                (start, Some(start), true),
                "{text:?}"
            );
            assert!(seen.observation.is_ended);
            let torn = whole(api, &format!("{before}{event}\n").replace('\n', line_end));
            assert_eq!(
                (torn.terminal_at, torn.terminal_is_complete),
                (Some(start), false),
                "{text:?}"
            );
            assert!(!torn.observation.is_ended && torn.observation.is_incomplete);
        }
    }
}

#[test]
fn what_only_looks_terminal_is_not() {
    for (api, event) in [
        (
            Api::Messages,
            "event: message_stopped\ndata: {\"type\":\"message_stopped\"}",
        ),
        (
            Api::Messages,
            "event: message_start\ndata: {\"message\":{\"type\":\"message_stop\"},\"type\":\"message_start\"}",
        ),
        (Api::Messages, "event: ping\ndata: {\"type\":[\"error\"]}"),
        (Api::Messages, "event: ping\ndata: \"error\""),
        (Api::Messages, "data: [DONE]"),
        (
            Api::Messages,
            "event: response.completed\ndata: {\"type\":\"response.completed\"}",
        ),
        (Api::Messages, ": event: message_stop"),
        (Api::Messages, "events: message_stop"),
        (
            Api::Responses,
            "event: response.created\ndata: {\"type\":\"response.created\"}",
        ),
        (Api::Responses, "event: message_stop\ndata: {}"),
        (Api::ChatCompletions, "data: {\"x\":\"[DONE]\"}"),
        (Api::ChatCompletions, "data: [DO\ndata: NE]"),
        (Api::ChatCompletions, "data: \"[DONE]\""),
        (Api::ChatCompletions, "event: error\ndata: {\"error\":{}}"),
        (Api::ChatCompletions, "event: [DONE]"),
    ] {
        let text = format!("{event}\n\n");
        let seen = whole(api, &text);
        assert_eq!(
            (seen.pass_to, seen.terminal_at),
            (text.len() as u64, None),
            "{text}"
        );
    }
}

/// The client has not seen the empty line yet, so nothing is lost.
#[test]
fn an_event_that_turns_out_terminal_late_is_held_from_there_on() {
    for (released, rest) in [
        (
            "event: ping\ndata: {\"type\":\"ping\"}\nevent: message_stop",
            "\n\n",
        ),
        (
            "event: ping\ndata: {\"type\":\"ping\",\"type\":\"error",
            "\"}\n\n",
        ),
    ] {
        let text = format!("{released}{rest}");
        let at = Some(released.len() as u64);
        let seen = whole(Api::Messages, &text);
        assert_eq!((seen.terminal_at, seen.terminal_is_complete), (at, true));
        assert_eq!(
            watch(Api::Messages, ALL, text.as_bytes().chunks(1), End::Whole),
            seen
        );
    }
}

fn chunk(rest: &str) -> String {
    format!("data: {{\"id\":\"c\",{rest}}}\n\n")
}

fn injected(text: &str) -> Seen {
    watch(Api::ChatCompletions, INJECTED, [text.as_bytes()], End::Whole)
}

/// The only range.
fn dropped(drops: &[Range<u64>]) -> (u64, u64) {
    assert_eq!(drops.len(), 1);
    (drops[0].start, drops[0].end)
}

#[test]
fn only_the_usage_that_the_gateway_asked_for_is_dropped() {
    let usage = "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}";
    let delta = chunk("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null");
    let last = chunk(&format!("\"choices\":[],{usage}"));
    let text = format!("{delta}{last}data: [DONE]\n\n");
    let (start, end) = (delta.len() as u64, (delta.len() + last.len()) as u64);
    let seen = injected(&text);
    assert_eq!(dropped(&seen.drops), (start, end));
    assert_eq!(seen.terminal_at, Some(end));
    let usage_seen = seen.observation.usage.unwrap();
    assert_eq!((usage_seen.input, usage_seen.output), (3, 4));
    assert_eq!(
        watch(Api::ChatCompletions, ALL, [text.as_bytes()], End::Whole).drops,
        []
    );

    for kept in [
        chunk("\"choices\":[],\"usage\":null"),
        chunk("\"choices\":[]"),
        chunk(usage),
        chunk(&format!("\"choices\":null,{usage}")),
        chunk(&format!("\"choices\":[{{\"index\":0}}],{usage}")),
        chunk(&format!("\"choices\":[{{\"index\":0}}],\"choices\":[],{usage}")),
        chunk(&format!("{usage},\"usage\":null,\"choices\":[]")),
        chunk(&format!("\"x\":{{\"choices\":[],{usage}}}")),
        format!("data: {{\"choices\":[],{usage}\n\n"),
    ] {
        let seen = injected(&kept);
        assert_eq!(
            (seen.drops, seen.pass_to),
            (Vec::new(), kept.len() as u64),
            "{kept}"
        );
    }
}

#[test]
fn dropping_takes_the_whole_event_with_its_last_line_end() {
    let event = "data: {\"usage\":{},\n: note\ndata: \"choices\":[]}\n\n";
    for line_end in ["\n", "\r\n", "\r"] {
        let (event, after) = (
            event.replace('\n', line_end),
            "data: {\"choices\":[1]}".to_owned() + line_end,
        );
        let text = format!("{event}{after}");
        let seen = injected(&text);
        assert_eq!(dropped(&seen.drops), (0, event.len() as u64), "{text:?}");
        assert_eq!(
            watch(
                Api::ChatCompletions,
                INJECTED,
                text.as_bytes().chunks(1),
                End::Whole
            ),
            seen
        );
        let mut observer = StreamObserver::new(Api::ChatCompletions, INJECTED);
        observer.feed(event.as_bytes());
        assert_eq!(
            observer.pass_to() == 0,
            line_end == "\r",
            "a line feed may follow"
        );
        observer.finish(End::Torn);
        assert_eq!(dropped(&observer.take_drops()), (0, event.len() as u64));
        assert_eq!(observer.pass_to(), event.len() as u64);
    }
    // A line feed behind an event that ended with one belongs to nothing.
    let text = event.to_owned() + "\n";
    assert_eq!(dropped(&injected(&text).drops), (0, event.len() as u64));
}

#[test]
fn while_usage_may_be_alone_a_chunk_is_held() {
    for (text, passes) in [
        ("data: {\"choices\":[", false),
        ("data: {\"choices\":[{", true),
        ("data: {\"usage\":null,\"choices\":[{", true),
        ("data: {\"error\":{\"message\":\"x\"}}", false),
        ("data: {\"error\":{\"message\":\"x\"}}\n\n", true),
    ] {
        let expected = if passes { text.len() as u64 } else { 0 };
        assert_eq!(pass_to(Api::ChatCompletions, INJECTED, text), expected, "{text}");
    }
}

/// One event: its lines in any order, each field at most once.
#[derive(Clone, Debug)]
struct Made {
    lines: Vec<String>,
    is_terminal: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let names = prop::option::of(prop::sample::select(vec![
        "message_stop",
        "error",
        "ping",
        "message_delta",
        "",
    ]));
    let types = prop::option::of(prop::sample::select(vec![
        "message_stop",
        "error",
        "ping",
        "messages",
        "5",
    ]));
    let others = prop::collection::vec(prop::sample::select(vec![": note", "id: 1", "x", "retry:"]), 0..3);
    (names, types, others, any::<bool>())
        .prop_flat_map(|(name, kind, others, split)| {
            let is_terminal = [name, kind]
                .iter()
                .flatten()
                .any(|word| ["message_stop", "error"].contains(word));
            let mut lines: Vec<String> = others.into_iter().map(str::to_owned).collect();
            lines.extend(name.map(|name| format!("event: {name}")));
            if let Some(kind) = kind {
                let data = serde_json::json!({ "a": { "type": "error" }, "type": kind }).to_string();
                // The shuffle keeps two data lines apart, but not in order; so a split object is one line here.
                lines.push(if split {
                    format!("data:{data}")
                } else {
                    format!("data: {data}")
                });
            }
            (Just(lines).prop_shuffle(), Just(is_terminal))
        })
        .prop_map(|(lines, is_terminal)| Made { lines, is_terminal })
}

proptest! {
    /// Against events whose meaning is known because they were made.
    #[test]
    fn the_first_terminal_event_holds_the_rest(
        events in prop::collection::vec(made(), 0..12),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        size in 1usize..40,
    ) {
        let (mut text, mut terminal_at) = (String::new(), None);
        for event in &events {
            let start = text.len();
            let first = event.lines.iter().position(|line| !line.starts_with(':'));
            for (at, line) in event.lines.iter().enumerate() {
                if event.is_terminal && Some(at) == first && terminal_at.is_none() {
                    terminal_at = Some(text.len() as u64);
                }
                text += line;
                text += line_end;
            }
            if text.len() > start {
                text += line_end;
            }
        }
        let seen = watch(Api::Messages, ALL, text.as_bytes().chunks(size), End::Whole);
        prop_assert_eq!(seen.terminal_at, terminal_at);
        prop_assert_eq!(seen.pass_to, terminal_at.unwrap_or(text.len() as u64));
        prop_assert_eq!(seen.terminal_is_complete, terminal_at.is_some());
    }

    /// Whatever was passed on, no client has seen the end: the passed bytes hold no whole terminal event.
    #[test]
    fn what_was_passed_on_ends_nothing(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "event: message_stop", "event: ping", "data: {\"type\":\"message_stop\"}", "data: {\"type\":\"ping\"}",
            "data: {\"type\":\"ping\",\"type\":\"error\"}", "data: {", "data: \"type\":\"error\"}", "x: y", ":", "\n", "\n", "\n\n",
        ]), 0..30),
        size in 1usize..40,
    ) {
        let text = pieces.concat();
        let mut observer = StreamObserver::new(Api::Messages, ALL);
        for chunk in text.as_bytes().chunks(size) {
            observer.feed(chunk);
        }
        let passed = &text[..usize::try_from(observer.pass_to()).unwrap()];
        let mut events: Vec<&str> = passed.split("\n\n").collect();
        events.pop();
        for event in events {
            let value = |field: &str| {
                event.lines().filter_map(|line| line.strip_prefix(field)).map(str::trim_start).collect::<Vec<_>>()
            };
            let name = value("event:").last().copied().unwrap_or_default().to_owned();
            prop_assert!(name != "message_stop" && name != "error", "{}", passed);
            let data: Value = serde_json::from_str(&value("data:").join("\n")).unwrap_or_default();
            prop_assert!(data["type"] != "message_stop" && data["type"] != "error", "{}", passed);
        }
    }
}
