//! However large an answer or a part of it is, little of it is held.

use std::iter;
use std::time::{Duration, Instant};

use gateway_llm::observe::{
    BodyObserver, End, ObserveOptions, PENDING_MAX, StreamObserver, TEXT_MAX, THOUGHT_MAX, TOOL_ARGUMENTS_MAX,
};
use gateway_llm::route::Api;

use super::{ALL, Seen, body, whole};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Feeds a stream and returns what was seen with the most memory that was held after a chunk.
fn measure<'a>(
    api: Api,
    options: ObserveOptions,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Seen, usize) {
    let mut observer = StreamObserver::new(api, options);
    let (mut tool_calls, mut thoughts) = (Vec::new(), Vec::new());
    let mut most = 0;
    for chunk in chunks {
        observer.feed(chunk);
        most = most.max(observer.retained_bytes());
        tool_calls.extend(observer.take_tool_calls());
        thoughts.extend(observer.take_thoughts());
    }
    let observation = observer.finish(End::Whole);
    tool_calls.extend(observer.take_tool_calls());
    thoughts.extend(observer.take_thoughts());
    let seen = Seen {
        observation,
        tool_calls,
        thoughts,
        drops: observer.take_drops(),
        pass_to: observer.pass_to(),
        terminal_at: observer.terminal_at(),
        terminal_is_complete: observer.terminal_is_complete(),
    };
    (seen, most)
}

/// A `response.completed` whose output is one message of about so many bytes.
fn completed(bytes: usize, type_is_last: bool) -> String {
    let text = "a \\\"quoted\\\" word \\u00e9 and é, ".repeat(bytes / 32);
    let output = format!(
        "\"response\":{{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[{{\"id\":\"msg_1\",\"content\":\
         [{{\"type\":\"output_text\",\"text\":\"{text}\"}}],\"type\":\"message\"}}],\
         \"usage\":{{\"input_tokens\":5,\"output_tokens\":7}}}}"
    );
    let kind = "\"type\":\"response.completed\"";
    if type_is_last {
        format!("data: {{{output},{kind}}}\n\n")
    } else {
        format!("data: {{{kind},{output}}}\n\n")
    }
}

const DONE: &str = "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\
                    \"item\":{\"id\":\"msg_1\",\"type\":\"message\"}}\n\n";

#[test]
fn usage_behind_a_huge_output_costs_no_memory() {
    for (bytes, size) in [(200 * KIB, 1), (20 * MIB, 64 * KIB), (20 * MIB, 32 * MIB)] {
        for type_is_last in [false, true] {
            let text = completed(bytes, type_is_last);
            // An item that was told when it was done, or whose text is not wanted, is passed over.
            let told = DONE.to_owned() + &text;
            let without_content = ObserveOptions::default();
            for (text, options) in [(&told, ALL), (&text, without_content)] {
                let (seen, most) = measure(Api::Responses, options, text.as_bytes().chunks(size));
                let usage = seen.observation.usage.unwrap();
                assert_eq!((usage.input, usage.output, usage.is_partial), (5, 7, false));
                assert!(seen.terminal_is_complete && !seen.observation.is_incomplete);
                assert!(most <= 64 * KIB, "{most}");
            }
        }
    }
    // It could be a thought, which is known at the end of the item only.
    let text = completed(20 * MIB, true);
    let (seen, most) = measure(Api::Responses, ALL, text.as_bytes().chunks(64 * KIB));
    assert!(
        seen.thoughts.is_empty() && most <= THOUGHT_MAX * 2 + 64 * KIB,
        "{most}"
    );
}

#[test]
fn an_event_of_text_costs_no_memory() {
    let delta = format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
         {{\"type\":\"text_delta\",\"text\":\"{}\"}}}}\n\n",
        "x".repeat(20 * MIB)
    );
    let deep = format!(
        "data: {{\"a\":{}{}}}\n\n",
        "[{\"b\":".repeat(MIB),
        "}]".repeat(MIB)
    );
    let line = format!("{}: {}\n\n", "n".repeat(MIB), "v".repeat(MIB));
    let key = format!("data: {{\"{}\":{}}}\n\n", "k".repeat(MIB), "1".repeat(MIB));
    for text in [delta, deep, line, key] {
        for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
            let (_, most) = measure(api, ALL, text.as_bytes().chunks(10_000));
            assert!(most <= 8 * KIB, "{most}");
        }
    }
}

#[test]
fn arguments_and_thoughts_are_cut_and_marked() {
    let long = "é".repeat(TOOL_ARGUMENTS_MAX);
    let text = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"reasoning\":\"{long}\",\"tool_calls\":[{{\"index\":0,\"id\":\"{long}\",\
         \"function\":{{\"name\":\"x{long}\",\"arguments\":\"x{long}\"}}}}]}},\"finish_reason\":\"tool_calls\"}}]}}\n\n"
    );
    let seen = whole(Api::ChatCompletions, &text);
    let call = &seen.tool_calls[0];
    let arguments = call.arguments.as_ref().unwrap();
    assert_eq!(
        (arguments.len(), call.arguments_cut, call.was_mended),
        (TOOL_ARGUMENTS_MAX - 1, true, false)
    );
    assert_eq!(
        (call.name.len(), call.call_id.as_ref().unwrap().len()),
        (TEXT_MAX - 1, TEXT_MAX)
    );
    let thought = &seen.thoughts[0];
    assert_eq!(
        (thought.content.len(), thought.is_cut, thought.was_mended),
        (THOUGHT_MAX, true, false)
    );
    assert!(seen.observation.is_incomplete);
}

fn start(index: usize, block: &str) -> String {
    format!("data: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}}}\n\n")
}

#[test]
fn what_is_open_is_bounded_over_the_answer() {
    let call = "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}";
    let thought = format!(
        "{{\"type\":\"thinking\",\"thinking\":\"{}\"}}",
        "x".repeat(THOUGHT_MAX)
    );
    let input = format!(
        "{{\"type\":\"tool_use\",\"name\":\"n\",\"input\":[\"{}\"]}}",
        "x".repeat(900 * KIB)
    );
    for (block, blocks) in [(call, 100_000), (&thought, 50), (&input, 20)] {
        let text: String = (0..blocks).map(|index| start(index, block)).collect();
        let (seen, most) = measure(Api::Messages, ALL, text.as_bytes().chunks(64 * KIB));
        // Vectors may be twice as large as what is in them; each open block has some fields of its own.
        assert!(most <= 3 * PENDING_MAX, "{most}");
        assert!(seen.observation.is_incomplete);
    }
    // What is finished frees its part.
    let text: String = (0..50)
        .map(|index| {
            start(index, &input) + &format!("data: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n")
        })
        .collect();
    let (seen, _) = measure(Api::Messages, ALL, text.as_bytes().chunks(64 * KIB));
    assert_eq!(
        seen.tool_calls.iter().filter(|call| !call.arguments_cut).count(),
        50
    );
    assert!(!seen.observation.is_incomplete);
}

#[test]
fn items_that_wait_for_the_end_of_their_event_are_bounded() {
    let item = format!(
        "{{\"type\":\"function_call\",\"name\":\"n\",\"arguments\":\"{}\"}}",
        "x".repeat(100 * KIB)
    );
    let output = iter::repeat_n(item.as_str(), 100).collect::<Vec<_>>().join(",");
    let text =
        format!("data: {{\"type\":\"response.completed\",\"response\":{{\"output\":[{output}]}}}}\n\n");
    let (seen, most) = measure(Api::Responses, ALL, text.as_bytes().chunks(64 * KIB));
    assert!(most <= 2 * PENDING_MAX, "{most}");
    assert!(seen.observation.is_incomplete);
    assert!(!seen.tool_calls.is_empty() && seen.tool_calls.len() < 100);
    // In an event that is not the last they are void, and their room is free again.
    let other = "data: {\"response\":{\"output\":[".to_owned() + &output + "]},\"type\":\"response.x\"}\n\n";
    let small =
        "data: {\"type\":\"response.completed\",\"response\":{\"output\":[".to_owned() + &item + "]}}\n\n";
    let (seen, _) = measure(Api::Responses, ALL, [other.as_bytes(), small.as_bytes()]);
    assert_eq!(seen.tool_calls.len(), 1);
}

fn many_calls(api: Api, calls: usize) -> String {
    let call = |index: usize| match api {
        Api::Messages => {
            start(
                index,
                &format!("{{\"type\":\"tool_use\",\"id\":\"t{index}\",\"name\":\"n\",\"input\":{{}}}}"),
            ) + &format!(
                "data: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"partial_json\":\"{{}}\"}}}}\n\n\
                     data: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"
            )
        }
        Api::ChatCompletions => format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{index},\"id\":\"t{index}\",\
             \"function\":{{\"name\":\"n\",\"arguments\":\"{{}}\"}}}}]}}}}]}}\n\n"
        ),
        _ => format!(
            "data: {{\"type\":\"response.output_item.done\",\"output_index\":{index},\"item\":{{\"id\":\"i{index}\",\
             \"type\":\"function_call\",\"call_id\":\"t{index}\",\"name\":\"n\",\"arguments\":\"{{}}\"}}}}\n\n"
        ),
    };
    (0..calls).map(call).collect()
}

/// A quadratic step would take minutes.
#[test]
fn ten_thousand_tool_calls_take_little_time_and_memory() {
    let begun = Instant::now();
    for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
        let text = many_calls(api, 10_000);
        for size in [20, 5000] {
            let (seen, most) = measure(api, ALL, text.as_bytes().chunks(size));
            assert_eq!(seen.tool_calls.len(), 10_000);
            assert!(
                seen.tool_calls
                    .iter()
                    .all(|call| call.arguments.as_deref() == Some("{}"))
            );
            assert_eq!(seen.tool_calls[9_999].call_id.as_deref(), Some("t9999"));
            assert!(!seen.observation.is_incomplete);
            // The Responses API tells items again at its end, so the places and ids of those told are remembered.
            assert!(
                most <= if api == Api::Responses {
                    600 * KIB
                } else {
                    64 * KIB
                },
                "{api:?} {most}"
            );
        }
    }
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_body_of_many_calls_holds_none_of_them() {
    let call = "{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"n\",\"arguments\":\"{}\"}},";
    let head = "{\"choices\":[{\"message\":{\"tool_calls\":[";
    let mut observer = BodyObserver::new(Api::ChatCompletions, ALL);
    observer.feed(head.as_bytes());
    for _ in 0..10_000 {
        observer.feed(call.as_bytes());
        assert_eq!(observer.take_tool_calls().len(), 1);
        assert!(observer.retained_bytes() < KIB);
    }
    observer.feed(b"{}]}}],\"usage\":{\"prompt_tokens\":1}}");
    let observation = observer.finish(End::Whole);
    assert!(observation.is_ended && observation.usage.is_some());
}

#[test]
fn error_messages_are_cut() {
    let text = format!(
        "{{\"error\":{{\"type\":\"t\",\"message\":\"{}\"}}}}",
        "é".repeat(MIB)
    );
    let seen = body(Api::Messages, &text);
    let error = seen.observation.error.unwrap();
    assert_eq!(
        (error.message.len(), seen.observation.is_incomplete),
        (4096, true)
    );
}
