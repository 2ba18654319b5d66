//! The Chat Completions API, and what the `OpenAI` APIs have in common: the error envelope and rate-limit headers.

use http::HeaderMap;
use serde_json::{Value, json};

use super::plan::{Ask, Plan, cut, text_of};
use super::script::{Content, Event, Script, put};

/// Creation time of everything, in seconds since 1970, so that answers are the same on every run.
pub(super) const CREATED: u64 = 1_790_000_000;

/// The last text of the user, and whether the conversation ends with a tool's output.
pub(super) fn last_user(body: &Value) -> (String, bool) {
    let none = Vec::new();
    let messages = body["messages"].as_array().unwrap_or(&none);
    let after_tool = messages.last().is_some_and(|message| message["role"] == "tool");
    let mut from_user = messages.iter().rev().filter(|message| message["role"] == "user");
    let text = from_user
        .find_map(|message| text_of(&message["content"]))
        .unwrap_or_default();
    (text, after_tool)
}

/// The error envelope.
pub(super) fn error(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        403 => (
            "invalid_request_error",
            json!("unsupported_country_region_territory"),
        ),
        404 => ("invalid_request_error", json!("model_not_found")),
        429 => ("requests", json!("rate_limit_exceeded")),
        500..=599 => ("server_error", Value::Null),
        _ => ("invalid_request_error", Value::Null),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// Headers that only an answer with `extra_headers` carries.
pub(super) fn extra_headers(headers: &mut HeaderMap) {
    put(headers, "x-ratelimit-limit-requests", "10000");
    put(headers, "x-ratelimit-remaining-requests", "9999");
    put(headers, "x-ratelimit-reset-requests", "6ms");
    put(headers, "x-ratelimit-limit-tokens", "2000000");
    put(headers, "x-ratelimit-remaining-tokens", "1999980");
    put(headers, "x-ratelimit-reset-tokens", "0s");
    put(headers, "openai-processing-ms", "412");
    put(headers, "openai-version", "2020-10-01");
    put(headers, "openai-organization", "sim");
}

/// `POST /v1/chat/completions`.
pub(super) fn completion(ask: &Ask<'_>, headers: HeaderMap) -> Script {
    let plan = Plan::new(ask);
    let content = if ask.stream() {
        Content::Events(events(ask, &plan))
    } else {
        Content::Json(whole(ask, &plan))
    };
    Script::compile(200, headers, content, ask.directives)
}

fn usage(plan: &Plan) -> Value {
    let prompt = plan.input + plan.cached;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": plan.output,
        "total_tokens": prompt + plan.output,
        "prompt_tokens_details": {"cached_tokens": plan.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": plan.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

fn call_id(ask: &Ask<'_>, index: usize) -> String {
    format!("{}{index:02}", ask.id("call_"))
}

fn finish_reason(plan: &Plan) -> &'static str {
    if plan.tools.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

fn whole(ask: &Ask<'_>, plan: &Plan) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
    if plan.tools.is_empty() {
        message["content"] = json!(plan.whole_text());
    } else {
        let calls = plan.tools.iter().enumerate().map(|(index, tool)| {
            let function = json!({"name": tool.name, "arguments": tool.arguments.to_string()});
            json!({"id": call_id(ask, index), "type": "function", "function": function})
        });
        message["tool_calls"] = calls.collect();
    }
    if !plan.thinking.is_empty() {
        // Not the vendor's own field, but that of the compatible servers that show their reasoning.
        message["reasoning_content"] = json!(plan.whole_thinking());
    }
    json!({
        "id": ask.id("chatcmpl-"),
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.model(),
        "choices": [
            {"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(plan)},
        ],
        "usage": usage(plan),
        "service_tier": "default",
        "system_fingerprint": null,
    })
}

fn events(ask: &Ask<'_>, plan: &Plan) -> Vec<Event> {
    let with_usage = ask.body["stream_options"]["include_usage"] == Value::Bool(true);
    let chunk = |choices: Value| {
        let mut chunk = json!({
            "id": ask.id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": ask.model(),
            "service_tier": "default",
            "system_fingerprint": null,
            "choices": choices,
        });
        if with_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]))
    };
    let content = if plan.tools.is_empty() {
        json!("")
    } else {
        Value::Null
    };
    let opener = json!({"role": "assistant", "content": content, "refusal": null});
    let mut chunks = vec![delta(opener, Value::Null)];
    chunks.extend(
        plan.thinking
            .iter()
            .map(|text| delta(json!({"reasoning_content": text}), Value::Null)),
    );
    chunks.extend(
        plan.text
            .iter()
            .map(|text| delta(json!({"content": text}), Value::Null)),
    );
    for (index, tool) in plan.tools.iter().enumerate() {
        let function = json!({"name": tool.name, "arguments": ""});
        let start =
            json!({"index": index, "id": call_id(ask, index), "type": "function", "function": function});
        chunks.push(delta(json!({"tool_calls": [start]}), Value::Null));
        for piece in cut(&tool.arguments.to_string(), 3) {
            let call = json!({"index": index, "function": {"arguments": piece}});
            chunks.push(delta(json!({"tool_calls": [call]}), Value::Null));
        }
    }
    chunks.push(delta(json!({}), json!(finish_reason(plan))));
    if with_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage(plan);
        chunks.push(last);
    }
    let mut events: Vec<Event> = chunks.iter().map(Event::data).collect();
    events.push(Event {
        name: None,
        data: "[DONE]".to_owned(),
    });
    if let Some(after) = ask.directives.error_event_after {
        events.truncate(after);
        events.push(Event::data(&error(
            500,
            "The server had an error while processing your request",
        )));
    }
    events
}
