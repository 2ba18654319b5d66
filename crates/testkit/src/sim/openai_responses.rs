//! The Responses API: response, stream, stored responses, compaction.

use http::HeaderMap;
use serde_json::{Value, json};

use super::openai_chat::CREATED;
use super::plan::{Ask, Plan, cut, text_of};
use super::script::{Content, Event, Script};

/// The last text of the user, and whether the conversation ends with a tool's output.
pub(super) fn last_user(body: &Value) -> (String, bool) {
    let input = &body["input"];
    if let Some(text) = input.as_str() {
        return (text.to_owned(), false);
    }
    let none = Vec::new();
    let items = input.as_array().unwrap_or(&none);
    let after_tool = items.last().is_some_and(|item| {
        item["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("_call_output"))
    });
    let mut from_user = items.iter().rev().filter(|item| item["role"] == "user");
    let text = from_user
        .find_map(|item| text_of(&item["content"]))
        .unwrap_or_default();
    (text, after_tool)
}

/// `POST /v1/responses`; also gives the finished response, to be stored.
pub(super) fn response(ask: &Ask<'_>, headers: HeaderMap) -> (Script, Value) {
    let plan = Plan::new(ask);
    let output = output(ask, &plan);
    let done = shell(ask, "completed", &output, &usage(&plan));
    let content = if ask.stream() {
        Content::Events(events(ask, &plan, &output, &done))
    } else {
        Content::Json(done.clone())
    };
    (Script::compile(200, headers, content, ask.directives), done)
}

/// `POST /v1/responses/compact`.
pub(super) fn compact(ask: &Ask<'_>, headers: HeaderMap) -> Script {
    let plan = Plan::new(ask);
    let item = json!({
        "id": ask.id("cmp_"),
        "type": "compaction",
        "encrypted_content": format!("gAAAAAB{:032x}", ask.serial),
    });
    let body = json!({
        "id": ask.id("resp_"),
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [item],
        "usage": usage(&plan),
    });
    Script::compile(200, headers, Content::Json(body), ask.directives)
}

/// The input items of a request, as `GET /v1/responses/{id}/input_items` lists them.
pub(super) fn input_items(body: &Value, id: &str) -> Value {
    let items = match &body["input"] {
        Value::String(text) => vec![json!({
            "id": format!("msg_in_{id}"), "type": "message", "role": "user", "status": "completed",
            "content": [{"type": "input_text", "text": text}],
        })],
        Value::Array(items) => items.clone(),
        _ => Vec::new(),
    };
    let first = items.first().map_or(Value::Null, |item| item["id"].clone());
    let last = items.last().map_or(Value::Null, |item| item["id"].clone());
    json!({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": false})
}

fn usage(plan: &Plan) -> Value {
    let input = plan.input + plan.cached;
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": plan.cached, "cache_write_tokens": 0},
        "output_tokens": plan.output,
        "output_tokens_details": {"reasoning_tokens": plan.reasoning},
        "total_tokens": input + plan.output,
    })
}

/// The response object around its output.
fn shell(ask: &Ask<'_>, status: &str, output: &[Value], usage: &Value) -> Value {
    let given = |name: &str, default: Value| match &ask.body[name] {
        Value::Null => default,
        value => value.clone(),
    };
    let completed = if status == "completed" {
        json!(CREATED + 1)
    } else {
        Value::Null
    };
    json!({
        "id": ask.id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "completed_at": completed,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": given("instructions", Value::Null),
        "max_output_tokens": given("max_output_tokens", Value::Null),
        "max_tool_calls": null,
        "model": ask.model(),
        "output": output,
        "parallel_tool_calls": given("parallel_tool_calls", json!(true)),
        "previous_response_id": given("previous_response_id", Value::Null),
        "prompt_cache_key": given("prompt_cache_key", Value::Null),
        "reasoning": given("reasoning", json!({"effort": null, "summary": null})),
        "safety_identifier": null,
        "service_tier": "default",
        "store": given("store", json!(true)),
        "temperature": given("temperature", json!(1.0)),
        "text": given("text", json!({"format": {"type": "text"}, "verbosity": "medium"})),
        "tool_choice": given("tool_choice", json!("auto")),
        "tools": given("tools", json!([])),
        "top_logprobs": 0,
        "top_p": given("top_p", json!(1.0)),
        "truncation": given("truncation", json!("disabled")),
        "usage": usage,
        "user": null,
        "metadata": given("metadata", json!({})),
    })
}

fn output(ask: &Ask<'_>, plan: &Plan) -> Vec<Value> {
    let mut output = Vec::new();
    if !plan.thinking.is_empty() {
        let mut item = json!({
            "id": ask.id("rs_"), "type": "reasoning",
            "summary": [{"type": "summary_text", "text": plan.whole_thinking()}],
        });
        let none = Vec::new();
        let include = ask.body["include"].as_array().unwrap_or(&none);
        if include.iter().any(|what| what == "reasoning.encrypted_content") {
            item["encrypted_content"] = json!(format!("gAAAAAB{:032x}", ask.serial));
        }
        output.push(item);
    }
    for (index, tool) in plan.tools.iter().enumerate() {
        output.push(json!({
            "id": format!("{}{index:02}", ask.id("fc_")),
            "type": "function_call",
            "status": "completed",
            "call_id": format!("{}{index:02}", ask.id("call_")),
            "name": tool.name,
            "arguments": tool.arguments.to_string(),
        }));
    }
    if plan.tools.is_empty() {
        let part =
            json!({"type": "output_text", "text": plan.whole_text(), "annotations": [], "logprobs": []});
        output.push(json!({
            "id": ask.id("msg_"), "type": "message", "status": "completed", "role": "assistant",
            "phase": "final_answer", "content": [part],
        }));
    }
    output
}

fn events(ask: &Ask<'_>, plan: &Plan, output: &[Value], done: &Value) -> Vec<Event> {
    let begun = shell(ask, "in_progress", &[], &Value::Null);
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    for (index, item) in output.iter().enumerate() {
        match item["type"].as_str() {
            Some("reasoning") => reasoning_events(&mut events, index, item, plan),
            Some("function_call") => call_events(&mut events, index, item),
            _ => message_events(&mut events, index, item, plan),
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": done}));
    if let Some(after) = ask.directives.error_event_after {
        events.truncate(after);
        let message = "The server had an error while processing your request";
        let mut failed = shell(ask, "failed", &[], &Value::Null);
        failed["error"] = json!({"code": "server_error", "message": message});
        events.push(json!({"type": "error", "code": "server_error", "message": message, "param": null}));
        events.push(json!({"type": "response.failed", "response": failed}));
    }
    for (sequence, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(sequence);
    }
    events.iter().map(Event::typed).collect()
}

/// Adds the event that opens an item, with what is not known yet left out.
fn open(events: &mut Vec<Value>, index: usize, item: &Value, empty: &str, value: Value) {
    let mut opener = item.clone();
    opener[empty] = value;
    opener["status"] = json!("in_progress");
    events.push(json!({"type": "response.output_item.added", "output_index": index, "item": opener}));
}

fn reasoning_events(events: &mut Vec<Value>, index: usize, item: &Value, plan: &Plan) {
    let event = |kind: &str, field: &str, value: Value| {
        let mut event = json!({
            "type": format!("response.reasoning_summary_{kind}"),
            "item_id": item["id"], "output_index": index, "summary_index": 0,
        });
        event[field] = value;
        event
    };
    open(events, index, item, "summary", json!([]));
    events.push(event(
        "part.added",
        "part",
        json!({"type": "summary_text", "text": ""}),
    ));
    events.extend(
        plan.thinking
            .iter()
            .map(|text| event("text.delta", "delta", json!(text))),
    );
    events.push(event("text.done", "text", json!(plan.whole_thinking())));
    events.push(event("part.done", "part", item["summary"][0].clone()));
}

fn call_events(events: &mut Vec<Value>, index: usize, item: &Value) {
    open(events, index, item, "arguments", json!(""));
    let arguments = item["arguments"].as_str().unwrap_or_default();
    for piece in cut(arguments, 3) {
        events.push(json!({
            "type": "response.function_call_arguments.delta",
            "item_id": item["id"], "output_index": index, "delta": piece,
        }));
    }
    events.push(json!({
        "type": "response.function_call_arguments.done",
        "item_id": item["id"], "output_index": index, "name": item["name"], "arguments": arguments,
    }));
}

fn message_events(events: &mut Vec<Value>, index: usize, item: &Value, plan: &Plan) {
    let event = |kind: &str, fields: Value| {
        let mut event = json!({
            "type": format!("response.{kind}"),
            "item_id": item["id"], "output_index": index, "content_index": 0,
        });
        for (name, value) in fields.as_object().into_iter().flatten() {
            event[name.as_str()] = value.clone();
        }
        event
    };
    open(events, index, item, "content", json!([]));
    let empty = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    events.push(event("content_part.added", json!({"part": empty})));
    let deltas = plan
        .text
        .iter()
        .map(|text| event("output_text.delta", json!({"delta": text, "logprobs": []})));
    events.extend(deltas);
    events.push(event(
        "output_text.done",
        json!({"text": plan.whole_text(), "logprobs": []}),
    ));
    events.push(event("content_part.done", json!({"part": item["content"][0]})));
}
