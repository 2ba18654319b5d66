//! Usage, errors, names and what is incomplete, case by case; whole answers are in the fixtures.

use gateway_llm::observe::{End, Observation, Usage};
use gateway_llm::route::Api;
use serde_json::{Value, json};

use super::{ALL, body, events, read, text, watch, whole};

fn usage(observation: &Observation) -> (u64, u64, u64, u64) {
    let usage = observation.usage.as_ref().unwrap();
    (usage.input, usage.output, usage.cache_read, usage.cache_write)
}

#[test]
fn usage_of_a_message_is_the_last_value_of_each_count() {
    let start = |usage: Value| json!({"type": "message_start", "message": {"id": "m", "usage": usage}});
    let delta =
        |usage: Value| json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage});
    for (reports, expected) in [
        (
            vec![
                start(json!({"input_tokens": 5, "output_tokens": 1})),
                delta(json!({"output_tokens": 9})),
            ],
            (5, 9, 0, 0),
        ),
        (
            vec![
                start(Value::Null),
                delta(json!({"input_tokens": 5, "output_tokens": 9})),
            ],
            (5, 9, 0, 0),
        ),
        (
            vec![
                start(json!({"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 3})),
                delta(
                    json!({"output_tokens": 4, "cache_read_input_tokens": null, "cache_creation_input_tokens": 8}),
                ),
                delta(json!({"output_tokens": 9, "input_tokens": 6})),
                delta(Value::Null),
            ],
            (6, 9, 3, 8),
        ),
        (vec![delta(json!({"output_tokens": 0}))], (0, 0, 0, 0)),
    ] {
        let seen = events(Api::Messages, &reports);
        assert_eq!(usage(&seen.observation), expected, "{reports:?}");
        assert!(!seen.observation.is_incomplete && !seen.observation.usage.unwrap().is_partial);
    }
    assert_eq!(
        events(Api::Messages, &[start(Value::Null)]).observation.usage,
        None
    );
}

#[test]
fn usage_of_an_answer_that_broke_off_is_partial() {
    let begun = json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 5, "output_tokens": 1}}});
    let stopped =
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}});
    let failed = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}});
    let end = json!({"type": "message_stop"});
    for (reports, is_partial) in [
        (vec![&begun], true),
        (vec![&begun, &stopped], false),
        (vec![&begun, &failed], true),
        (vec![&begun, &end], false),
    ] {
        let reports: Vec<Value> = reports.into_iter().cloned().collect();
        let seen = watch(Api::Messages, ALL, [text(&reports).as_bytes()], End::Torn);
        assert_eq!(
            seen.observation.usage.unwrap().is_partial,
            is_partial,
            "{reports:?}"
        );
    }
    let torn = br#"{"id":"r","usage":{"prompt_tokens":5,"completion_tokens":7},"choices":["#;
    let seen = read(Api::ChatCompletions, ALL, [&torn[..]], End::Torn);
    assert_eq!(usage(&seen.observation), (5, 7, 0, 0));
    assert!(seen.observation.usage.unwrap().is_partial && seen.observation.is_incomplete);
}

#[test]
fn every_count_of_each_api() {
    let message = json!({"type": "message", "usage": {
        "input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
        "server_tool_use": {"web_search_requests": 6, "web_fetch_requests": 7},
        "output_tokens_details": {"thinking_tokens": 1}, "service_tier": "batch", "inference_geo": "eu",
    }});
    let completion = json!({"service_tier": "flex", "usage": {
        "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 4, "cache_write_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 6, "audio_tokens": 7, "accepted_prediction_tokens": 8,
            "rejected_prediction_tokens": 9},
    }});
    let response = json!({"service_tier": "priority", "status": "completed", "usage": {
        "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "output_tokens_details": {"reasoning_tokens": 6},
    }});
    let expected = |counts: [u64; 4], reasoning, tier: &str, extra: &[(&str, u64)]| Usage {
        input: counts[0],
        output: counts[1],
        cache_read: counts[2],
        cache_write: counts[3],
        reasoning: Some(reasoning),
        service_tier: Some(tier.to_owned()),
        extra: extra
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
        is_partial: false,
    };
    for (api, text, expected) in [
        (
            Api::Messages,
            message,
            expected(
                [1, 2, 3, 9],
                1,
                "batch",
                &[
                    ("cache_ephemeral_5m_input", 4),
                    ("cache_ephemeral_1h_input", 5),
                    ("web_search_requests", 6),
                    ("web_fetch_requests", 7),
                ],
            ),
        ),
        (
            Api::ChatCompletions,
            completion,
            expected(
                [50, 50, 30, 20],
                6,
                "flex",
                &[
                    ("prompt_audio", 4),
                    ("completion_audio", 7),
                    ("completion_accepted_prediction", 8),
                    ("completion_rejected_prediction", 9),
                ],
            ),
        ),
        (
            Api::Responses,
            response,
            expected([50, 50, 30, 20], 6, "priority", &[]),
        ),
    ] {
        let seen = body(api, &text.to_string());
        assert_eq!(seen.observation.usage, Some(expected), "{api:?}");
        assert!(!seen.observation.is_incomplete);
    }
}

#[test]
fn counts_that_are_none_are_marked() {
    for count in ["\"7\"", "-1", "1.5", "true", "[]", "99999999999999999999"] {
        let seen = body(
            Api::Messages,
            &format!("{{\"usage\":{{\"input_tokens\":3,\"output_tokens\":{count}}}}}"),
        );
        assert_eq!(usage(&seen.observation), (3, 0, 0, 0), "{count}");
        assert!(seen.observation.is_incomplete, "{count}");
    }
}

#[test]
fn the_last_of_a_double_key_counts() {
    let seen = body(
        Api::Messages,
        r#"{"usage":{"input_tokens":1,"output_tokens":2},"model":"a","\u0075sage":{"output_tokens":3},"mod\u0065l":"b"}"#,
    );
    assert_eq!(usage(&seen.observation), (0, 3, 0, 0));
    assert_eq!(seen.observation.model.as_deref(), Some("b"));
    let seen = body(
        Api::Messages,
        r#"{"usage":{"input_tokens":1},"usage":null,"model":"a","model":null,"id":[1]}"#,
    );
    assert_eq!(
        seen.observation,
        Observation {
            is_ended: true,
            ..Observation::default()
        }
    );
    let seen = body(
        Api::Messages,
        r#"{"content":[{"type":"tool_use","name":"a","input":{"x":1},"name":"b","input":{"y":2}}]}"#,
    );
    assert_eq!(
        (
            seen.tool_calls[0].name.as_str(),
            seen.tool_calls[0].arguments.as_deref()
        ),
        ("b", Some("{\"y\":2}"))
    );
}

#[test]
fn errors_in_every_envelope() {
    let error = |api, text: &str| {
        let seen = body(api, text);
        seen.observation
            .error
            .map(|error| (error.kind, error.code, error.message))
    };
    let found = |kind: &str, code: Option<&str>, message: &str| {
        Some((kind.to_owned(), code.map(str::to_owned), message.to_owned()))
    };
    assert_eq!(
        error(
            Api::Messages,
            r#"{"type":"error","error":{"type":"not_found_error","message":"m"}}"#
        ),
        found("not_found_error", None, "m")
    );
    for api in [Api::ChatCompletions, Api::Responses] {
        assert_eq!(
            error(
                api,
                r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#
            ),
            found("t", Some("c"), "m")
        );
        assert_eq!(
            error(api, r#"{"error":{"message":"m","type":null,"code":"c"}}"#),
            found("c", Some("c"), "m")
        );
        assert_eq!(
            error(api, r#"{"error":{"message":"m","code":429}}"#),
            found("429", Some("429"), "m")
        );
        for unknown in [
            "{}",
            r#"{"error":"m"}"#,
            r#"{"error":null}"#,
            r#"{"error":{}}"#,
            r#"{"detail":"m"}"#,
            "[]",
            "no",
            "",
        ] {
            assert_eq!(error(api, unknown), None, "{unknown}");
        }
    }
    // The status is the transport's; a failed response says so itself.
    let seen = body(
        Api::Responses,
        r#"{"status":"failed","error":{"code":"server_error","message":"m"}}"#,
    );
    assert_eq!(seen.observation.stop_reason.as_deref(), Some("failed"));
    assert_eq!(seen.observation.error.unwrap().kind, "server_error");
}

#[test]
fn what_is_no_json_is_incomplete_and_what_is_unknown_is_not() {
    for (api, text, is_incomplete) in [
        (Api::Messages, "data: {\n\n", true),
        (Api::Messages, "data: text\n\n", true),
        (Api::Messages, "data: []\n\n", true),
        (Api::Messages, "event: ping\n\n", false),
        (Api::Messages, "event: ping\ndata:\n\n", false),
        (
            Api::Messages,
            "data: {\"type\":\"unheard_of\",\"x\":[{}]}\n\n",
            false,
        ),
        (Api::Messages, "data: {}\n\n", false),
        (Api::Messages, "data: [DONE]\n\n", false),
        (Api::Messages, "data: {}\n", true),
        (Api::Messages, ": {\n\n", false),
        (Api::Messages, "data: {\"type\":\"content_block_stop\"}\n\n", true),
        (
            Api::ChatCompletions,
            "data: {\"choices\":[{\"index\":\"0\"}]}\n\n",
            true,
        ),
        (
            Api::Responses,
            "event: response.completed\ndata: {\"response\":{}\n\n",
            true,
        ),
    ] {
        assert_eq!(
            whole(api, text).observation.is_incomplete,
            is_incomplete,
            "{text}"
        );
    }
}

#[test]
fn the_model_that_answered_is_the_last_named() {
    let chunk = |model: &str, id: &str| json!({"id": id, "model": model, "choices": []});
    let seen = events(
        Api::ChatCompletions,
        &[chunk("", ""), chunk("a", "c1"), chunk("b", "c1"), chunk("", "")],
    );
    assert_eq!(
        (
            seen.observation.model.as_deref(),
            seen.observation.response_id.as_deref()
        ),
        (Some("b"), Some("c1"))
    );
}

#[test]
fn a_tool_call_names_the_answer_if_its_id_stands_before_it() {
    let call = r#"{"message":{"tool_calls":[{"id":"a","type":"function","function":{"name":"run"}}]}}"#;
    let named = format!(r#"{{"id":"c1","choices":[{call},{call}]}}"#);
    let unnamed = format!(r#"{{"choices":[{call}],"id":"c1"}}"#);
    for (text, calls, id) in [(named, 2, Some("c1")), (unnamed, 1, None)] {
        for cut in 0..text.len() {
            let (begin, end) = text.as_bytes().split_at(cut);
            let seen = read(Api::ChatCompletions, ALL, [begin, end], End::Whole);
            let ids: Vec<_> = seen
                .tool_calls
                .iter()
                .map(|call| call.response_id.as_deref())
                .collect();
            assert_eq!(ids, vec![id; calls], "{cut}");
            assert_eq!(seen.observation.response_id.as_deref(), Some("c1"));
        }
    }
}
