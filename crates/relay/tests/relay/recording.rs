//! What is recorded of an exchange, and what of its answer waits for that.

use bytes::Bytes;
use gateway_core::ApiToken;
use gateway_core::interception::{CredentialKind, Mark, Outcome};
use gateway_relay::RecordingOptions;
use http::Response;

use crate::records::State;
use crate::support::{Answer, Client, End, Exchange, PROVIDER_KEY, World, WorldOptions, patiently};

const MESSAGES: &str = "/api/v2/aibridge/anthropic/v1/messages";
const CHAT: &str = "/api/v2/aibridge/openai/v1/chat/completions";
const RESPONSES: &str = "/api/v2/aibridge/openai/v1/responses";

const BEFORE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
    \"model\":\"m-1\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
    \"usage\":{\"output_tokens\":5}}\n\n";
const LAST: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

async fn post(world: &World, path: &str, token: &ApiToken, body: &str) -> Client {
    let bearer = format!("Bearer {}", token.expose());
    world
        .send("POST", path, &[("authorization", &bearer)], body.as_bytes())
        .await
}

async fn answer_json(exchange: Exchange, body: &str) {
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(())
        .unwrap();
    let sending = exchange.answer(response);
    sending.send(body.to_owned()).await;
    sending.finish().await;
}

#[tokio::test]
async fn a_stream_is_recorded_from_prompt_to_usage() {
    let mut world = World::start().await;
    let (user, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(BEFORE).await;
    sending.send(LAST).await;
    sending.finish().await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.text(), answer.end),
        (format!("{BEFORE}{LAST}"), End::Complete)
    );
    let (start, end, kept) = world.records.only().await;
    assert_eq!(kept.initiator, Some(user));
    assert_eq!(
        (start.initiator_username.as_str(), start.token_id, start.route),
        ("alice", token.id(), "messages")
    );
    assert_eq!((start.model.as_str(), start.prompt.as_deref()), ("m", Some("hi")));
    assert_eq!(start.credential_kind, CredentialKind::Centralized);
    assert_eq!(start.credential_hint, gateway_core::mask::mask(PROVIDER_KEY));
    assert!(start.is_streamed && start.marks.is_empty());
    assert_eq!((end.outcome, end.status), (Outcome::Completed, Some(200)));
    assert_eq!(end.provider_response_id.as_deref(), Some("msg_1"));
    assert_eq!(end.answered_model.as_deref(), Some("m-1"));
    let usage = end.usage.unwrap();
    assert_eq!((usage.input, usage.output, usage.is_partial), (7, 5, false));
}

#[tokio::test]
async fn the_terminal_event_waits_for_the_record() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    world.records.set(State::StallsBehindStarts);
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(format!("{BEFORE}{LAST}")).await;
    client.read_until(b"end_turn").await;
    let kept = patiently("the end in the queue", async {
        loop {
            if world.recorder.check().is_err() {
                break world.records.all();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(kept[0].start.is_some() && kept[0].end.is_none());
    let seen = String::from_utf8_lossy(&client.buffer).into_owned();
    assert!(!seen.contains("message_stop"), "{seen}");
    world.records.set(State::Works);
    client.read_until(b"message_stop\"}").await;
    assert!(world.records.all()[0].end.is_some());
    sending.finish().await;
    assert_eq!(client.answer().await.end, End::Complete);
}

#[tokio::test]
async fn no_end_is_released_that_is_not_recorded() {
    for (is_stream, path) in [(true, MESSAGES), (false, MESSAGES)] {
        let mut world = World::start().await;
        let (_, token) = world.token();
        world.records.set(State::StallsBehindStarts);
        let mut client = post(&world, path, &token, "{}").await;
        let exchange = world.exchange().await;
        let answer = if is_stream {
            let sending = exchange.stream();
            sending.send(format!("{BEFORE}{LAST}")).await;
            let answer = client.answer().await;
            sending.abandoned().await;
            assert_eq!(answer.status, 200);
            assert_ne!(answer.end, End::Complete, "{}", answer.text());
            assert!(answer.text().starts_with(BEFORE) && answer.text().contains("overloaded_error"));
            answer
        } else {
            answer_json(exchange, "{\"id\":\"msg_1\"}").await;
            let answer = client.answer().await;
            assert_refused_for_now(&answer);
            assert!(!answer.text().contains("msg_1"));
            answer
        };
        assert!(!answer.text().contains("message_stop"));
        world.records.set(State::Works);
        world.records.closed(1).await;
    }
}

fn assert_refused_for_now(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.end),
        (503, End::Complete),
        "{}",
        answer.text()
    );
    assert!(answer.header("retry-after").is_some());
    assert!(answer.text().contains("\"error\""));
}

#[tokio::test]
async fn no_head_is_released_whose_start_is_not_recorded() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    world.records.set(State::Stalls);
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(BEFORE).await;
    assert_refused_for_now(&client.answer().await);
    sending.abandoned().await;
    world.records.set(State::Works);
    let kept = world.records.closed(1).await;
    assert_eq!(kept[0].end.as_ref().unwrap().outcome, Outcome::GatewayError);
}

#[tokio::test]
async fn nothing_is_sent_while_nothing_can_be_recorded() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    world.records.set(State::Fails);
    // The first one finds out.
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    assert_refused_for_now(&client.answer().await);
    sending.abandoned().await;
    for path in [MESSAGES, CHAT, RESPONSES] {
        assert_refused_for_now(&post(&world, path, &token, "{}").await.answer().await);
    }
    world.assert_nothing_sent();
    world.records.set(State::Works);
    patiently("recovery", async {
        while world.recorder.check().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut client = post(&world, MESSAGES, &token, "{}").await;
    answer_json(world.exchange().await, "{}").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_start_can_be_required_before_anything_is_sent() {
    let recording = RecordingOptions {
        before_send: true,
        ..RecordingOptions::default()
    };
    let mut world = World::with(WorldOptions {
        recording,
        ..WorldOptions::default()
    })
    .await;
    let (_, token) = world.token();
    world.records.set(State::Stalls);
    assert_refused_for_now(&world.post_message(&token).await.answer().await);
    world.assert_nothing_sent();
}

#[tokio::test]
async fn every_end_has_its_outcome() {
    let mut world = World::start().await;
    let (user, token) = world.token();

    let mut client = post(&world, MESSAGES, &token, "{}").await;
    drop(world.exchange().await);
    assert_eq!(client.answer().await.status, 502);
    let last =
        async |world: &World, count: usize| world.records.closed(count).await.pop().unwrap().end.unwrap();
    let end = last(&world, 1).await;
    assert_eq!((end.outcome, end.status), (Outcome::ProviderBroke, None));

    let mut client = post(&world, MESSAGES, &token, "{}").await;
    let error = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}";
    let response = Response::builder().status(529).body(()).unwrap();
    let sending = world.exchange().await.answer(response);
    sending.send(error).await;
    sending.finish().await;
    assert_eq!(client.answer().await.status, 529);
    let end = last(&world, 2).await;
    assert_eq!((end.outcome, end.status), (Outcome::ProviderError, Some(529)));
    assert_eq!(
        (end.error_type.as_deref(), end.error_message.as_deref()),
        (Some("overloaded_error"), Some("busy"))
    );

    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(BEFORE).await;
    client.read_until(b"end_turn").await;
    drop(sending);
    assert_ne!(client.answer().await.end, End::Complete);
    let end = last(&world, 3).await;
    assert_eq!(end.outcome, Outcome::ProviderBroke);
    assert_eq!(
        end.usage.as_ref().unwrap().output,
        5,
        "usage is kept as far as it was seen"
    );

    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(BEFORE).await;
    client.read_until(b"end_turn").await;
    drop(client);
    sending.abandoned().await;
    assert_eq!(last(&world, 4).await.outcome, Outcome::ClientGone);

    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(BEFORE).await;
    client.read_until(b"end_turn").await;
    world.accounts.remove_user(user);
    world.access.revoke_user(user).await;
    assert_ne!(client.answer().await.end, End::Complete);
    let end = last(&world, 5).await;
    assert_eq!(end.outcome, Outcome::Revoked);
    assert_eq!(end.usage.unwrap().input, 7);
}

#[tokio::test]
async fn a_credential_that_the_provider_repeats_is_not_recorded() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    for (number, key) in [PROVIDER_KEY, "sk-of-the-caller"].into_iter().enumerate() {
        let own = format!("Bearer {key}");
        let headers = [
            ("x-coder-ai-governance-token", token.expose()),
            ("authorization", &own),
        ];
        // Without a credential of the caller's the organisation's is used.
        let count = if key == PROVIDER_KEY { 1 } else { 2 };
        let mut client = world.send("POST", CHAT, &headers[..count], b"{}").await;
        // The message is longer than what is kept of it, which ends within the credential.
        let begin = format!("bad key {key}, {key}, ");
        let message = format!("{begin}{}{key}", "x".repeat(4096 - 10 - begin.len()));
        let body = format!(r#"{{"error":{{"type":"auth","message":"{message}"}}}}"#);
        let response = Response::builder().status(401).body(()).unwrap();
        let sending = world.exchange().await.answer(response);
        sending.send(body.clone()).await;
        sending.finish().await;
        assert_eq!(client.answer().await.text(), body);
        let end = world.records.closed(number + 1).await.pop().unwrap().end.unwrap();
        let shown = gateway_core::mask::mask(key);
        let message = end.error_message.unwrap();
        assert!(
            message.starts_with(&format!("bad key {shown}, {shown}, ")),
            "{message}"
        );
        assert!(!message.contains(&key[..9]), "{message}");
    }
}

#[tokio::test]
async fn what_follows_the_terminal_event_is_passed_on_for_a_while() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send(format!("{BEFORE}{LAST}")).await;
    client.read_until(b"message_stop\"}").await;
    sending.send(": a late comment\n\n").await;
    client.read_until(b"late comment").await;
    // The provider does not end its answer; the gateway does, in good order.
    let answer = client.answer().await;
    assert_eq!(answer.end, End::Complete);
    sending.abandoned().await;
}

#[tokio::test]
async fn the_usage_of_chat_streams_is_asked_for_and_not_shown() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let body = r#"{"model":"m","stream":true,"messages":[]}"#;
    let mut client = post(&world, CHAT, &token, body).await;
    let exchange = world.exchange().await;
    assert_eq!(
        String::from_utf8_lossy(&exchange.body),
        r#"{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(
        exchange.head.headers["content-length"],
        exchange.body.len().to_string()
    );
    let sending = exchange.stream();
    let first =
        "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n";
    let usage =
        "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
    for piece in [first, usage, "data: [DONE]\n\n"].concat().as_bytes().chunks(7) {
        sending.send(Bytes::copy_from_slice(piece)).await;
    }
    sending.finish().await;
    assert_eq!(client.answer().await.text(), format!("{first}data: [DONE]\n\n"));
    let (start, end, _) = world.records.only().await;
    assert!(!start.marks.contains(Mark::UsageNotReported));
    let seen = end.usage.unwrap();
    assert_eq!((seen.input, seen.output), (3, 4));
}

#[tokio::test]
async fn a_client_that_asks_for_usage_itself_gets_its_own_request_and_answer() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let body = r#"{"stream":true,"stream_options":{"include_usage":false},"messages":[]}"#;
    let mut client = post(&world, CHAT, &token, body).await;
    let exchange = world.exchange().await;
    assert_eq!(exchange.body, body);
    let sending = exchange.stream();
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\ndata: [DONE]\n\n";
    sending.send(usage).await;
    sending.finish().await;
    assert_eq!(client.answer().await.text(), usage);
}

#[tokio::test]
async fn stored_responses_are_there_for_the_user_they_were_made_for() {
    let mut world = World::start().await;
    let ((_, alice), (_, bob)) = (world.token(), world.token());
    let mut client = post(&world, RESPONSES, &alice, r#"{"model":"m","input":"hi"}"#).await;
    answer_json(
        world.exchange().await,
        r#"{"id":"resp_1","object":"response","status":"completed","model":"m","usage":{"input_tokens":1,"output_tokens":2}}"#,
    )
    .await;
    assert_eq!(client.answer().await.status, 200);

    let follow = r#"{"input":"on","previous_response_id":"resp_1"}"#;
    for (path, body) in [(RESPONSES, follow), (&format!("{RESPONSES}/compact"), follow)] {
        let refused = post(&world, path, &bob, body).await.answer().await;
        assert_eq!(refused.status, 404, "{path}");
        let mut client = post(&world, path, &alice, body).await;
        answer_json(world.exchange().await, r#"{"id":"resp_2"}"#).await;
        assert_eq!(client.answer().await.status, 200, "{path}");
    }
    let path = format!("{RESPONSES}/resp_1");
    let get = async |world: &World, token: &ApiToken| {
        let bearer = format!("Bearer {}", token.expose());
        world.send("GET", &path, &[("authorization", &bearer)], b"").await
    };
    assert_eq!(get(&world, &bob).await.answer().await.status, 404);
    let mut client = get(&world, &alice).await;
    answer_json(
        world.exchange().await,
        r#"{"id":"resp_1","usage":{"input_tokens":1,"output_tokens":2}}"#,
    )
    .await;
    assert_eq!(client.answer().await.status, 200);
    world.assert_nothing_sent();
    let last = world.records.closed(4).await.pop().unwrap();
    assert_eq!(last.start.unwrap().route, "responses/{id}");
    assert_eq!(last.end.unwrap().usage, None, "fetched again, not used again");

    world.records.set(State::Stalls);
    assert_refused_for_now(&get(&world, &alice).await.answer().await);
}

#[tokio::test]
async fn tools_and_thoughts_are_recorded_without_content_if_so_told() {
    for content in [true, false] {
        let recording = RecordingOptions {
            content,
            ..RecordingOptions::default()
        };
        let mut world = World::with(WorldOptions {
            recording,
            ..WorldOptions::default()
        })
        .await;
        let (_, token) = world.token();
        let prompt = format!(
            r#"{{"messages":[{{"role":"user","content":"use {}"}}]}}"#,
            token.expose()
        );
        let mut client = post(&world, MESSAGES, &token, &prompt).await;
        let exchange = world.exchange().await;
        assert_eq!(exchange.body, prompt, "a body is not edited");
        let body = format!(
            r#"{{"id":"msg_1","content":[{{"type":"thinking","thinking":"hm {0}"}},{{"type":"tool_use","id":"tu_1","name":"run","input":{{"x":"{0}"}}}}],"stop_reason":"tool_use"}}"#,
            token.expose()
        );
        answer_json(exchange, &body).await;
        assert_eq!(client.answer().await.text(), body);
        let (start, _, kept) = world.records.only().await;
        assert!(start.marks.contains(Mark::TokenInBody));
        let shown = format!("cdr_{}_...", token.id());
        let expected = content.then(|| format!("use {shown}"));
        assert_eq!(start.prompt, expected);
        assert_eq!(
            (
                kept.tools[0].tool.as_str(),
                kept.tools[0].provider_tool_call_id.as_deref()
            ),
            ("run", Some("tu_1"))
        );
        assert_eq!(
            kept.tools[0].input,
            content.then(|| format!(r#"{{"x":"{shown}"}}"#))
        );
        assert_eq!(kept.thoughts().len(), usize::from(content));
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_relayed_and_marked() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = post(&world, MESSAGES, &token, "not json").await;
    let exchange = world.exchange().await;
    assert_eq!(exchange.body, "not json");
    answer_json(exchange, "nor is this").await;
    assert_eq!(client.answer().await.text(), "nor is this");
    let (start, end, _) = world.records.only().await;
    assert!(start.marks.contains(Mark::BodyNotJson));
    assert!(end.marks.contains(Mark::ObservationIncomplete));
}

#[tokio::test]
async fn routes_without_output_are_not_recorded() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    world.records.set(State::Fails);
    let path = "/api/v2/aibridge/anthropic/v1/messages/count_tokens";
    let mut client = post(&world, path, &token, "{}").await;
    answer_json(world.exchange().await, "{\"input_tokens\":1}").await;
    assert_eq!(client.answer().await.status, 200);
    assert!(world.records.all().is_empty());
}

#[tokio::test]
async fn a_long_answer_is_passed_on_but_for_its_last_frame() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    world.records.set(State::StallsBehindStarts);
    let mut client = post(&world, MESSAGES, &token, "{}").await;
    let response = Response::builder().body(()).unwrap();
    let sending = world.exchange().await.answer(response);
    sending.send(vec![b'a'; 300 * 1024]).await;
    sending.send("the last").await;
    client.read_until(b"aaaa").await;
    sending.finish().await;
    let answer = client.answer().await;
    assert_ne!(answer.end, End::Complete);
    assert!(!answer.text().contains("the last"));
}

#[tokio::test]
async fn a_user_without_memory_left_gets_an_error_and_not_an_unseen_answer() {
    let mut world = World::with(WorldOptions {
        little_memory: true,
        ..WorldOptions::default()
    })
    .await;
    let (_, token) = world.token();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut client = world.post_message(&token).await;
        let sending = world.exchange().await.stream();
        sending.send(BEFORE).await;
        client.read_until(b"end_turn").await;
        streams.push((client, sending));
    }
    // Each is less than may be withheld of one answer, both are more than one user may have withheld.
    for (_, sending) in &streams {
        sending.send("data: {\"x\":\"").await;
        for _ in 0..30 {
            sending.send(vec![b'y'; 1 << 20]).await;
        }
    }
    let ends = patiently("the end of at least one of them", async {
        loop {
            let ends: Vec<_> = world
                .records
                .all()
                .into_iter()
                .filter_map(|kept| kept.end)
                .collect();
            if !ends.is_empty() {
                break ends;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    for end in ends {
        assert_eq!(end.outcome, Outcome::GatewayError);
        assert_eq!(end.usage.unwrap().output, 5);
    }
}

#[tokio::test]
async fn what_one_answer_may_leave_behind_is_bounded() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = post(&world, MESSAGES, &token, "{}").await;
    let calls: Vec<String> = (0..25_000)
        .map(|n| format!(r#"{{"type":"tool_use","id":"{n}","name":"t","input":{{}}}}"#))
        .chain((0..100).map(|_| format!(r#"{{"type":"thinking","thinking":"{}"}}"#, "z".repeat(100_000))))
        .collect();
    let body = format!(r#"{{"id":"msg_1","content":[{}]}}"#, calls.join(","));
    let exchange = world.exchange().await;
    let ((), answer) = tokio::join!(answer_json(exchange, &body), client.answer());
    assert!(answer.body == body.as_bytes());
    let (_, end, kept) = world.records.only().await;
    assert_eq!(kept.tools.len(), 20_000);
    let thoughts: usize = kept.thoughts().iter().map(|thought| thought.content.len()).sum();
    assert!((3_000_000..=4 << 20).contains(&thoughts), "{thoughts}");
    assert!(end.marks.contains(Mark::ObservationIncomplete));
}

#[tokio::test]
async fn the_end_of_an_announced_length_waits_for_the_record_too() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    world.records.set(State::StallsBehindStarts);
    let mut client = post(&world, CHAT, &token, r#"{"stream":true,"stream_options":{}}"#).await;
    // No [DONE] follows; the length says that this is all.
    let body = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .header("content-length", body.len())
        .body(())
        .unwrap();
    let sending = world.exchange().await.answer(response);
    sending.send(body).await;
    let answer = client.answer().await;
    assert_ne!(answer.end, End::Complete);
    assert_eq!(answer.text(), "");
}
