//! Answers made from a plan: whatever the order of pieces, reports and keys, the plan is what is seen.

use std::collections::BTreeMap;

use gateway_llm::observe::End;
use gateway_llm::route::Api;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ALL, watch};

/// What the model does.
#[derive(Clone, Debug)]
struct Plan {
    /// The arguments of each call, in the pieces they come in.
    calls: Vec<Vec<String>>,
    /// Whose piece comes next, of the calls that have pieces left.
    order: Vec<prop::sample::Index>,
    /// Counts as reported one after the other, null included.
    reports: Vec<[Option<u32>; 3]>,
    /// Turns the keys of each object.
    whims: Vec<u8>,
    size: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let piece = "[a-zé\"\\\\{}\\[\\] \u{0}\u{1f600}]{0,6}";
    let call = prop::collection::vec(piece, 1..5).prop_map(|words| {
        let text = json!({ "words": words }).to_string();
        let cut = text.floor_char_boundary(text.len() / 2);
        let (first, second) = text.split_at(cut);
        vec![first.to_owned(), second.to_owned()]
    });
    (
        prop::collection::vec(call, 0..5),
        prop::collection::vec(any::<prop::sample::Index>(), 10),
        prop::collection::vec(any::<[Option<u32>; 3]>(), 1..4),
        prop::collection::vec(any::<u8>(), 1..20),
        1usize..200,
    )
        .prop_map(|(calls, order, reports, whims, size)| Plan {
            calls,
            order,
            reports,
            whims,
            size,
        })
}

impl Plan {
    /// The pieces with the number of their call, interleaved.
    fn pieces(&self) -> Vec<(usize, &str)> {
        let mut left: Vec<(usize, &[String])> = self.calls.iter().map(Vec::as_slice).enumerate().collect();
        let mut order = self.order.iter().cycle();
        let mut pieces = Vec::new();
        while !left.is_empty() {
            let at = order.next().unwrap().index(left.len());
            let (call, rest) = &mut left[at];
            let (first, after) = rest.split_first().unwrap();
            pieces.push((*call, first.as_str()));
            *rest = after;
            if after.is_empty() {
                left.remove(at);
            }
        }
        pieces
    }

    fn expected_calls(&self) -> BTreeMap<String, String> {
        let calls = self.calls.iter().enumerate();
        calls
            .map(|(call, pieces)| (format!("call_{call}"), pieces.concat()))
            .collect()
    }

    /// The last count of each that is not null: input, output and cached.
    fn expected_counts(&self) -> [u64; 3] {
        [0, 1, 2].map(|at| {
            let last = self.reports.iter().rev().find_map(|report| report[at]);
            u64::from(last.unwrap_or(0))
        })
    }

    /// Events with an empty line behind each, unnamed, their keys turned.
    fn write(&self, events: &[Value]) -> String {
        let mut whims = self.whims.iter().copied().cycle();
        let mut text = String::new();
        for event in events {
            text += "data: ";
            write(event, &mut whims, &mut text);
            text += "\n\n";
        }
        text
    }
}

fn write(value: &Value, whims: &mut impl Iterator<Item = u8>, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let turn = usize::from(whims.next().unwrap()) % members.len().max(1);
            members.rotate_left(turn);
            out.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                *out += if at == 0 { "" } else { ", " };
                *out += &json!(key).to_string();
                out.push(':');
                write(value, whims, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                *out += if at == 0 { "" } else { "," };
                write(item, whims, out);
            }
            out.push(']');
        }
        scalar => *out += &scalar.to_string(),
    }
}

fn messages(plan: &Plan) -> Vec<Value> {
    let mut events =
        vec![json!({"type": "message_start", "message": {"type": "message", "id": "a", "usage": null}})];
    for call in 0..plan.calls.len() {
        let block =
            json!({"type": "tool_use", "id": format!("call_{call}"), "name": "n", "input": {}, "x": 0});
        events.push(json!({"type": "content_block_start", "index": call, "content_block": block}));
    }
    for (call, piece) in plan.pieces() {
        let delta = json!({"type": "input_json_delta", "partial_json": piece});
        events.push(json!({"type": "content_block_delta", "index": call, "delta": delta}));
    }
    for call in 0..plan.calls.len() {
        events.push(json!({"type": "content_block_stop", "index": call}));
    }
    for [input, output, cached] in &plan.reports {
        let usage =
            json!({"input_tokens": input, "output_tokens": output, "cache_read_input_tokens": cached});
        events.push(json!({"type": "message_delta", "delta": {"stop_reason": "end"}, "usage": usage}));
    }
    events.push(json!({"type": "message_stop", "x": 0}));
    events
}

fn chat(plan: &Plan) -> Vec<Value> {
    let chunk = |call: Value| json!({"id": "a", "choices": [{"index": 0, "delta": {"tool_calls": [call], "x": 0}, "x": 0}]});
    let mut events = Vec::new();
    for call in 0..plan.calls.len() {
        let id = format!("call_{call}");
        events.push(chunk(
            json!({"index": call, "id": id, "type": "function", "function": {"name": "n", "arguments": ""}}),
        ));
    }
    for (call, piece) in plan.pieces() {
        events.push(chunk(
            json!({"index": call, "function": {"arguments": piece, "x": 0}}),
        ));
    }
    events.push(json!({"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "end"}]}));
    for [input, output, cached] in &plan.reports {
        let details = json!({"cached_tokens": cached, "x": 0});
        let usage =
            json!({"prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": details});
        events.push(json!({"id": "a", "choices": [], "usage": usage}));
    }
    events
}

fn responses(plan: &Plan) -> Vec<Value> {
    let item = |call: usize| {
        let arguments = plan.calls[call].concat();
        json!({"type": "function_call", "id": format!("i{call}"), "call_id": format!("call_{call}"), "name": "n", "arguments": arguments})
    };
    let done =
        |call: usize| json!({"type": "response.output_item.done", "output_index": call, "item": item(call)});
    // Every other one is told at the end only.
    let mut events: Vec<Value> = (0..plan.calls.len()).step_by(2).map(done).collect();
    let output: Vec<Value> = (0..plan.calls.len()).map(item).collect();
    for (at, [input, output_tokens, cached]) in plan.reports.iter().enumerate() {
        let usage = json!({"input_tokens": input, "output_tokens": output_tokens, "input_tokens_details": {"cached_tokens": cached}});
        let is_last = at + 1 == plan.reports.len();
        let (kind, status) = if is_last {
            ("response.completed", "end")
        } else {
            ("response.x", "in_progress")
        };
        events.push(json!({"type": kind, "response": {"id": "a", "status": status, "output": output, "usage": usage}}));
    }
    events
}

fn check(api: Api, plan: &Plan, text: &str) -> Result<(), TestCaseError> {
    let seen = watch(api, ALL, text.as_bytes().chunks(plan.size), End::Whole);
    let calls = seen.tool_calls.iter();
    let found: BTreeMap<String, String> = calls
        .map(|call| (call.call_id.clone().unwrap(), call.arguments.clone().unwrap()))
        .collect();
    prop_assert_eq!(found, plan.expected_calls(), "{}", text);
    prop_assert_eq!(seen.tool_calls.len(), plan.calls.len());
    let [input, output, cached] = plan.expected_counts();
    let uncached = if api == Api::Messages {
        Some(input)
    } else {
        input.checked_sub(cached)
    };
    let usage = seen.observation.usage.unwrap();
    let counts = (usage.input, usage.output, usage.cache_read);
    prop_assert_eq!(counts, (uncached.unwrap_or(0), output, cached), "{}", text);
    prop_assert_eq!(seen.observation.is_incomplete, uncached.is_none(), "{}", text);
    prop_assert_eq!(seen.observation.stop_reason.as_deref(), Some("end"));
    prop_assert_eq!(seen.observation.response_id.as_deref(), Some("a"));
    Ok(())
}

proptest! {
    #[test]
    fn the_plan_is_seen(plan in plan()) {
        check(Api::Messages, &plan, &plan.write(&messages(&plan)))?;
        check(Api::ChatCompletions, &plan, &(plan.write(&chat(&plan)) + "data: [DONE]\n\n"))?;
        check(Api::Responses, &plan, &plan.write(&responses(&plan)))?;
    }
}
