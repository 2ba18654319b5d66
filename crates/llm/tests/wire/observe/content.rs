//! Tool calls and thoughts, case by case; whole answers are in the fixtures.

use gateway_llm::observe::{End, ObserveOptions, StreamObserver, ThoughtSource, ToolKind};
use gateway_llm::route::Api;
use serde_json::{Value, json};

use super::{ALL, body, events, read, text, watch, whole};

#[test]
fn without_content_only_names_are_seen() {
    let options = ObserveOptions::default();
    let message = json!({"content": [
        {"type": "thinking", "thinking": "hush"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}},
    ]});
    let seen = read(
        Api::Messages,
        options,
        [message.to_string().as_bytes()],
        End::Whole,
    );
    assert_eq!(
        (
            seen.tool_calls.len(),
            &seen.tool_calls[0].arguments,
            seen.thoughts.len()
        ),
        (1, &None, 0)
    );
    let delta = |call: Value| json!({"choices": [{"index": 0, "delta": {"reasoning": "hush", "tool_calls": [call]}}]});
    let stream = text(&[
        delta(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}})),
        delta(json!({"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}})),
        delta(json!({"index": 0, "function": {"arguments": "{}"}})),
        delta(json!({"index": 1, "function": {"arguments": "{}"}})),
    ]);
    let seen = watch(Api::ChatCompletions, options, [stream.as_bytes()], End::Whole);
    let names: Vec<&str> = seen.tool_calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(
        (names, seen.thoughts.len(), seen.observation.is_incomplete),
        (vec!["f", "g"], 0, false)
    );
    assert!(
        seen.tool_calls
            .iter()
            .all(|call| call.arguments.is_none() && !call.arguments_cut)
    );
    let item = json!({"type": "response.output_item.done", "item": {"type": "reasoning", "summary": [{"text": "hush"}]}});
    assert!(
        watch(Api::Responses, options, [text(&[item]).as_bytes()], End::Whole)
            .thoughts
            .is_empty()
    );
}

#[test]
fn tool_kinds_by_type() {
    for (api, item, expected) in [
        (
            Api::Messages,
            json!({"type": "tool_use", "name": "a"}),
            Some((ToolKind::Function, "a")),
        ),
        (
            Api::Messages,
            json!({"type": "server_tool_use", "name": "web_fetch"}),
            Some((ToolKind::BuiltIn, "web_fetch")),
        ),
        (
            Api::Messages,
            json!({"type": "mcp_tool_use", "name": "a"}),
            Some((ToolKind::BuiltIn, "a")),
        ),
        (Api::Messages, json!({"type": "tool_result", "name": "a"}), None),
        (Api::Messages, json!({"name": "a"}), None),
        (
            Api::Responses,
            json!({"type": "function_call", "name": "a"}),
            Some((ToolKind::Function, "a")),
        ),
        (
            Api::Responses,
            json!({"type": "custom_tool_call", "name": "a"}),
            Some((ToolKind::Custom, "a")),
        ),
        (
            Api::Responses,
            json!({"type": "image_generation_call"}),
            Some((ToolKind::BuiltIn, "image_generation")),
        ),
        (
            Api::Responses,
            json!({"type": "mcp_call", "name": "a"}),
            Some((ToolKind::BuiltIn, "mcp")),
        ),
        (
            Api::Responses,
            json!({"type": "a_tool_of_tomorrow_call"}),
            Some((ToolKind::BuiltIn, "a_tool_of_tomorrow")),
        ),
        (Api::Responses, json!({"type": "function_call_output"}), None),
        (Api::Responses, json!({"type": "message", "name": "a"}), None),
    ] {
        let list = if api == Api::Messages { "content" } else { "output" };
        let seen = body(api, &json!({list: [item]}).to_string());
        let call = seen
            .tool_calls
            .first()
            .map(|call| (call.kind, call.name.as_str()));
        assert_eq!(call, expected, "{item}");
    }
}

#[test]
fn calls_are_known_as_early_as_can_be() {
    let mut observer = StreamObserver::new(Api::ChatCompletions, ALL);
    let delta = |call: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": finish});
        text(&[json!({"choices": [choice]})])
    };
    let mut after = |text: String| {
        observer.feed(text.as_bytes());
        observer
            .take_tool_calls()
            .into_iter()
            .map(|call| call.name)
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(
        after(delta(
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}),
            Value::Null
        )),
        none
    );
    assert_eq!(
        after(delta(
            json!({"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}),
            Value::Null
        )),
        ["f"]
    );
    // Its arguments are not whole, so pieces may follow.
    assert_eq!(
        after(delta(
            json!({"index": 2, "id": "c", "function": {"name": "h"}}),
            Value::Null
        )),
        none
    );
    assert_eq!(
        after(delta(
            json!({"index": 1, "function": {"arguments": "}"}}),
            Value::Null
        )),
        none
    );
    assert_eq!(
        after(delta(
            json!({"index": 2, "function": {"arguments": "{}"}}),
            json!("tool_calls")
        )),
        ["g", "h"]
    );
}

#[test]
fn choices_keep_their_calls_apart() {
    let piece =
        |choice: u64, call: Value| json!({"choices": [{"index": choice, "delta": {"tool_calls": [call]}}]});
    let finish = |choice: u64, reason: &str| json!({"choices": [{"index": choice, "delta": {}, "finish_reason": reason}]});
    let seen = events(
        Api::ChatCompletions,
        &[
            piece(
                0,
                json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "[1"}}),
            ),
            piece(
                1,
                json!({"index": 0, "id": "b", "function": {"name": "g", "arguments": "[2"}}),
            ),
            piece(0, json!({"index": 0, "function": {"arguments": ",3]"}})),
            piece(1, json!({"index": 0, "function": {"arguments": ",4]"}})),
            finish(1, "length"),
            finish(0, "tool_calls"),
        ],
    );
    let arguments: Vec<_> = seen
        .tool_calls
        .iter()
        .map(|call| call.arguments.as_deref().unwrap())
        .collect();
    assert_eq!(arguments, ["[1,3]", "[2,4]"]);
    assert_eq!(seen.observation.stop_reason.as_deref(), Some("tool_calls"));
    assert!(!seen.observation.is_incomplete);
    // An index may come behind the calls (as above) or before them.
    let seen = whole(
        Api::ChatCompletions,
        concat!(
            "data: {\"choices\":[{\"index\":1,\"delta\":{\"tool_calls\":[{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"[\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"2]\"}}]},\"index\":1}]}\n\n",
        ),
    );
    assert_eq!(seen.tool_calls[0].arguments.as_deref(), Some("[2]"));
    assert!(!seen.observation.is_incomplete);
}

#[test]
fn pieces_without_a_beginning_are_missed() {
    let chat = json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 4, "function": {"arguments": "{}"}}]}}]});
    let seen = events(Api::ChatCompletions, &[chat]);
    assert!(seen.tool_calls.is_empty() && seen.observation.is_incomplete);
    let message = json!({"type": "content_block_delta", "index": 4, "delta": {"partial_json": "{}"}});
    assert!(events(Api::Messages, &[message]).observation.is_incomplete);
    let text = json!({"type": "content_block_delta", "index": 4, "delta": {"text": "a"}});
    assert!(!events(Api::Messages, &[text]).observation.is_incomplete);
}

#[test]
fn items_are_told_once() {
    let call = |id: &str| json!({"type": "function_call", "id": id, "name": id, "arguments": "{}"});
    let done = |place: Value, id: &str| json!({"type": "response.output_item.done", "output_index": place, "item": call(id)});
    let last = |ids: &[&str]| {
        let output: Vec<Value> = ids.iter().map(|id| call(id)).collect();
        json!({"type": "response.completed", "response": {"status": "completed", "output": output}})
    };
    for (reports, expected) in [
        (vec![done(json!(0), "a"), last(&["a"])], vec!["a"]),
        (vec![done(json!(0), "a"), last(&["a", "b"])], vec!["a", "b"]),
        (vec![done(Value::Null, "b"), last(&["a", "b"])], vec!["b", "a"]),
        (vec![done(json!(0), ""), last(&[""])], vec![""]),
        (vec![last(&["a", "b"])], vec!["a", "b"]),
        // An event that is not the last tells nothing new.
        (
            vec![
                json!({"type": "response.in_progress", "response": {"status": "in_progress", "output": [call("a")]}}),
            ],
            vec![],
        ),
    ] {
        let seen = events(Api::Responses, &reports);
        let names: Vec<&str> = seen.tool_calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, expected, "{reports:?}");
    }
}

#[test]
fn thoughts_are_told_apart_whatever_the_order_of_fields() {
    for item in [
        r#"{"type":"message","phase":"commentary","content":[{"type":"output_text","text":"a"},{"text":"b"}]}"#,
        r#"{"content":[{"text":"a"},{"type":"refusal"},{"text":"b"}],"phase":"commentary","type":"message"}"#,
    ] {
        let seen = body(Api::Responses, &format!("{{\"output\":[{item}]}}"));
        let thought = &seen.thoughts[0];
        assert_eq!(
            (thought.source, thought.content.as_str()),
            (ThoughtSource::Commentary, "a\n\nb")
        );
    }
    for item in [
        r#"{"type":"message","content":[{"text":"a"}]}"#,
        r#"{"type":"message","phase":"final_answer","content":[{"text":"a"}]}"#,
        r#"{"type":"reasoning","summary":[],"encrypted_content":"x"}"#,
    ] {
        assert!(
            body(Api::Responses, &format!("{{\"output\":[{item}]}}"))
                .thoughts
                .is_empty(),
            "{item}"
        );
    }
}

#[test]
fn texts_that_cannot_be_stored_are_mended_and_marked() {
    let seen = body(
        Api::Messages,
        r#"{"id":"a\u0000","content":[{"type":"tool_use","id":"t","name":"n\ud800","input":{}},{"type":"thinking","thinking":"\udc00"}]}"#,
    );
    assert_eq!(seen.observation.response_id.as_deref(), Some("a\u{fffd}"));
    assert!(seen.observation.was_mended && seen.tool_calls[0].was_mended && seen.thoughts[0].was_mended);
    assert_eq!(
        (
            seen.tool_calls[0].name.as_str(),
            seen.thoughts[0].content.as_str()
        ),
        ("n\u{fffd}", "\u{fffd}")
    );
    let seen = read(
        Api::Messages,
        ALL,
        [&b"{\"id\":\"\xff\",\"model\":\"\xc3\xa9\"}"[..]],
        End::Whole,
    );
    assert_eq!(
        (
            seen.observation.response_id.as_deref(),
            seen.observation.model.as_deref()
        ),
        (Some("\u{fffd}"), Some("é"))
    );
    let seen = body(Api::Messages, r#"{"id":"\ud83d\ude00"}"#);
    assert_eq!(
        (
            seen.observation.response_id.as_deref(),
            seen.observation.was_mended
        ),
        (Some("😀"), false)
    );
}

#[test]
fn names_count_where_data_has_no_type() {
    let text = concat!(
        "event: content_block_start\ndata: {\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"name\":\"n\",\"input\":{}}}\n\n",
        "event: content_block_stop\ndata: {\"index\":0}\n\n",
    );
    assert_eq!(whole(Api::Messages, text).tool_calls.len(), 1);
}

#[test]
fn tool_input_that_comes_at_once_gives_way_to_pieces() {
    let start = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "n", "input": {"a": 1}}});
    let piece = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}});
    let stop = json!({"type": "content_block_stop", "index": 0});
    for (pieces, expected) in [
        (vec![], "{\"a\":1}"),
        (vec![piece("")], "{\"a\":1}"),
        (vec![piece("{\"b\""), piece(":2}")], "{\"b\":2}"),
    ] {
        let mut reports = vec![start.clone()];
        reports.extend(pieces);
        reports.push(stop.clone());
        assert_eq!(
            events(Api::Messages, &reports).tool_calls[0].arguments.as_deref(),
            Some(expected)
        );
    }
}

#[test]
fn a_torn_event_leaves_nothing_for_the_next() {
    let torn =
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\"}}]}\n\n";
    let next = "data: {\"choices\":[{\"delta\":{},\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
    let seen = whole(Api::ChatCompletions, &format!("{torn}{next}"));
    assert!(seen.tool_calls.is_empty() && seen.observation.is_incomplete);
    let torn =
        "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"type\":\"function_call\"}]\n\n";
    let next = "data: {\"type\":\"response.x\",\"response\":{\"output\":[]}}\n\n";
    let seen = whole(
        Api::Responses,
        &format!("{}{next}{torn}", torn.replace("completed", "y")),
    );
    assert!(seen.tool_calls.is_empty() && seen.observation.is_incomplete);
}

#[test]
fn what_is_cut_is_the_arguments_or_nothing() {
    let long = "n".repeat(1000);
    for (api, text) in [
        (
            Api::Messages,
            json!({"content": [{"type": "tool_use", "name": long, "id": long, "input": {}}]}),
        ),
        (
            Api::Responses,
            json!({"output": [{"type": "function_call", "name": long, "id": long, "arguments": "{}"}]}),
        ),
    ] {
        let call = &body(api, &text.to_string()).tool_calls[0];
        assert_eq!(
            (call.name.len(), call.arguments_cut, call.arguments.as_deref()),
            (256, false, Some("{}"))
        );
    }
}
