//! The Messages API: message, stream, token count, errors.

use http::HeaderMap;
use serde_json::{Value, json};

use super::plan::{Ask, Plan, cut, text_of};
use super::script::{Content, Event, Script, put};

/// The last text of the user, and whether the conversation ends with a tool's result.
pub(super) fn last_user(body: &Value) -> (String, bool) {
    let none = Vec::new();
    let messages = body["messages"].as_array().unwrap_or(&none);
    let from_user = || messages.iter().rev().filter(|message| message["role"] == "user");
    let after_tool = from_user()
        .next()
        .and_then(|message| message["content"].as_array())
        .is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"));
    let text = from_user()
        .find_map(|message| text_of(&message["content"]))
        .unwrap_or_default();
    (text, after_tool)
}

/// The error envelope.
pub(super) fn error(status: u16, message: &str, request_id: &str) -> Value {
    json!({"type": "error", "error": {"type": kind(status), "message": message}, "request_id": request_id})
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

/// Headers that only an answer with `extra_headers` carries.
pub(super) fn extra_headers(headers: &mut HeaderMap) {
    put(headers, "anthropic-ratelimit-requests-limit", "4000");
    put(headers, "anthropic-ratelimit-requests-remaining", "3999");
    put(
        headers,
        "anthropic-ratelimit-requests-reset",
        "2026-11-23T12:00:00Z",
    );
    put(headers, "anthropic-ratelimit-tokens-limit", "400000");
    put(headers, "anthropic-ratelimit-tokens-remaining", "398000");
    put(
        headers,
        "anthropic-ratelimit-tokens-reset",
        "2026-11-23T12:00:00Z",
    );
    put(
        headers,
        "anthropic-organization-id",
        "00000000-0000-4000-8000-000000000001",
    );
}

/// `POST /v1/messages/count_tokens`.
pub(super) fn count_tokens(ask: &Ask<'_>, headers: HeaderMap) -> Script {
    let tokens = (ask.length / 4).max(1);
    Script::compile(
        200,
        headers,
        Content::Json(json!({"input_tokens": tokens})),
        ask.directives,
    )
}

/// `POST /v1/messages`.
pub(super) fn message(ask: &Ask<'_>, headers: HeaderMap) -> Script {
    let plan = Plan::new(ask);
    let content = if ask.stream() {
        Content::Events(events(ask, &plan))
    } else {
        Content::Json(whole(ask, &plan))
    };
    Script::compile(200, headers, content, ask.directives)
}

fn usage(plan: &Plan, output: u64) -> Value {
    json!({
        "input_tokens": plan.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": plan.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn signature(ask: &Ask<'_>) -> String {
    format!("EqQBCkYIARgCKkDs{:032x}", ask.serial)
}

/// The blocks of the answer.
fn blocks(ask: &Ask<'_>, plan: &Plan) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !plan.thinking.is_empty() {
        blocks.push(
            json!({"type": "thinking", "thinking": plan.whole_thinking(), "signature": signature(ask)}),
        );
    }
    let text = if plan.tools.is_empty() {
        plan.whole_text()
    } else {
        PREAMBLE.concat()
    };
    blocks.push(json!({"type": "text", "text": text}));
    for (index, tool) in plan.tools.iter().enumerate() {
        let id = format!("{}{index:02}", ask.id("toolu_"));
        blocks.push(json!({"type": "tool_use", "id": id, "name": tool.name, "input": tool.arguments}));
    }
    blocks
}

/// What the model says before it calls a tool.
const PREAMBLE: [&str; 2] = ["I will look ", "that up. 🔎"];

fn stop_reason(plan: &Plan) -> &'static str {
    if plan.tools.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    }
}

fn whole(ask: &Ask<'_>, plan: &Plan) -> Value {
    json!({
        "id": ask.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": ask.model(),
        "content": blocks(ask, plan),
        "stop_reason": stop_reason(plan),
        "stop_sequence": null,
        "usage": usage(plan, plan.output),
    })
}

fn events(ask: &Ask<'_>, plan: &Plan) -> Vec<Event> {
    let mut opener = whole(ask, plan);
    opener["content"] = json!([]);
    opener["stop_reason"] = Value::Null;
    opener["usage"] = usage(plan, 1);
    let mut events = vec![json!({"type": "message_start", "message": opener})];
    for (index, block) in blocks(ask, plan).into_iter().enumerate() {
        push_block(&mut events, index, block, plan);
        if index == 0 {
            events.insert(2, json!({"type": "ping"}));
        }
    }
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(plan), "stop_sequence": null},
        "usage": {
            "input_tokens": plan.input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": plan.cached,
            "output_tokens": plan.output,
        },
    }));
    events.push(json!({"type": "message_stop"}));
    if let Some(after) = ask.directives.error_event_after {
        events.truncate(after);
        events.push(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    }
    events.iter().map(Event::typed).collect()
}

/// Start, deltas and stop of one block.
fn push_block(events: &mut Vec<Value>, index: usize, mut block: Value, plan: &Plan) {
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let deltas: Vec<Value> = match block["type"].as_str() {
        Some("thinking") => {
            let signature = block["signature"].clone();
            block["thinking"] = json!("");
            block["signature"] = json!("");
            let pieces = plan
                .thinking
                .iter()
                .map(|text| json!({"type": "thinking_delta", "thinking": text}));
            pieces
                .chain([json!({"type": "signature_delta", "signature": signature})])
                .map(delta)
                .collect()
        }
        Some("tool_use") => {
            let arguments = block["input"].to_string();
            block["input"] = json!({});
            // The first delta of a tool's input is empty.
            let pieces = [String::new()].into_iter().chain(cut(&arguments, 3));
            pieces
                .map(|json| delta(json!({"type": "input_json_delta", "partial_json": json})))
                .collect()
        }
        _ => {
            block["text"] = json!("");
            let preamble = PREAMBLE.map(str::to_owned);
            let pieces: &[String] = if plan.tools.is_empty() {
                &plan.text
            } else {
                &preamble
            };
            pieces
                .iter()
                .map(|text| delta(json!({"type": "text_delta", "text": text})))
                .collect()
        }
    };
    events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
    events.extend(deltas);
    events.push(json!({"type": "content_block_stop", "index": index}));
}
