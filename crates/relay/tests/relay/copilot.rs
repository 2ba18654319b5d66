//! GitHub Copilot: its routes, read by the formats they are in, and nobody's credential but the user's own.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::interception::CredentialKind;
use gateway_core::{ProviderKind, Secret};
use gateway_relay::access::{Access, AccessOptions, TokenSource};
use gateway_relay::recorder::{RecordSink, Recorder, RecorderTimes};
use gateway_relay::{ProviderConfig, Relay, RelayOptions};
use tokio_util::task::TaskTracker;

use crate::records::Records;
use crate::support::{Accounts, World};

const BASE: &str = "/api/v2/aibridge/copilot";
const OWN: (&str, &str) = ("authorization", "Bearer gho_own");

#[tokio::test]
async fn routes_have_no_version_and_each_is_read_in_its_own_format() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let usages = [
        (
            "/chat/completions",
            r#"{"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        ),
        (
            "/responses",
            r#"{"id":"resp_1","usage":{"input_tokens":3,"output_tokens":4}}"#,
        ),
        (
            "/v1/messages",
            r#"{"usage":{"input_tokens":3,"output_tokens":4}}"#,
        ),
    ];
    for (number, (path, body)) in usages.into_iter().enumerate() {
        let headers = [
            ("x-coder-ai-governance-token", token.expose()),
            OWN,
            ("x-initiator", "user"),
            ("copilot-integration-id", "vscode-chat"),
        ];
        let mut client = world
            .send("POST", &format!("{BASE}{path}"), &headers, br#"{"model":"m"}"#)
            .await;
        let exchange = world.exchange().await;
        assert_eq!(exchange.head.uri.path(), path);
        let sent = &exchange.head.headers;
        for (name, value) in &headers[1..] {
            assert_eq!(sent.get(*name).unwrap(), value, "{name}");
        }
        assert!(!sent.contains_key("x-coder-ai-governance-token"));
        let json = http::Response::builder().header("content-type", "application/json");
        let sending = exchange.answer(json.body(()).unwrap());
        sending.send(body).await;
        sending.finish().await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
        let kept = world.records.closed(number + 1).await.pop().unwrap();
        let (start, end) = (kept.start.unwrap(), kept.end.unwrap());
        assert_eq!(
            (start.provider, start.credential_kind),
            (ProviderKind::Copilot, CredentialKind::Byok)
        );
        assert_eq!(
            start.route,
            path.trim_start_matches("/v1").trim_start_matches('/')
        );
        let usage = end.usage.unwrap();
        assert_eq!((usage.input, usage.output), (3, 4), "{path}");
    }
}

/// Copilot's streams are not asked for what their client did not ask for.
#[tokio::test]
async fn chat_bodies_are_not_edited() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let host = world.host("copilot", &token).await;
    let body = br#"{"model":"m","stream":true,"messages":[]}"#;
    let _client = host.send("POST", "/chat/completions", &[OWN], body).await;
    assert_eq!(world.exchange().await.body, &body[..]);
}

#[tokio::test]
async fn what_is_no_call_of_a_model_is_passed_on_unrecorded() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let host = world.host("copilot", &token).await;
    for (method, path) in [
        ("GET", "/models"),
        ("POST", "/models/gpt-5/policy"),
        ("GET", "/_ping"),
        ("POST", "/mcp/readonly"),
        ("DELETE", "/mcp"),
        ("GET", "/agents/swe/jobs?page=1"),
    ] {
        let headers = [OWN, ("accept-encoding", "br")];
        let mut client = host.send(method, path, &headers, b"{}").await;
        let exchange = world.exchange().await;
        assert_eq!(exchange.head.uri.path_and_query().unwrap(), path);
        assert_eq!(exchange.head.headers["accept-encoding"], "br");
        // Events of another protocol are not taken for the end of an answer.
        let sending = exchange.stream();
        sending.send("event: error\ndata: {}\n\n").await;
        sending.send("data: more\n\n").await;
        sending.finish().await;
        assert!(client.answer().await.text().ends_with("data: more\n\n"), "{path}");
    }
    assert!(world.records.all().is_empty());
}

#[tokio::test]
async fn without_the_users_own_bearer_it_is_401_in_the_envelope_of_the_route() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let host = world.host("copilot", &token).await;
    let requests: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-api-key", "own")],
        &[("authorization", "Bearer coder-aibridge")],
        &[("authorization", "Bearer")],
        &[("x-api-key", token.expose())],
    ];
    for (path, kind) in [
        ("/responses", "invalid_request_error"),
        ("/chat/completions", "invalid_request_error"),
        ("/v1/messages", "authentication_error"),
    ] {
        for headers in requests {
            let answer = host.send("POST", path, headers, b"{}").await.answer().await;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["error"]["type"], kind, "{path}");
            assert_eq!(body["type"] == "error", path == "/v1/messages");
        }
        let central = [("authorization", &*format!("Bearer {}", token.expose()))];
        let direct = world
            .send("POST", &format!("{BASE}{path}"), &central, b"{}")
            .await
            .answer()
            .await;
        assert_eq!(direct.status, 401, "{path}");
    }
    world.assert_nothing_sent();
    // An SDK may send some key beside the bearer.
    let both = [OWN, ("x-api-key", "dummy")];
    let _client = host.send("POST", "/v1/messages", &both, b"{}").await;
    let sent = world.exchange().await.head.headers;
    assert_eq!(
        (sent["authorization"].to_str().unwrap(), sent.get("x-api-key")),
        (OWN.1, None)
    );
}

#[tokio::test]
async fn the_organisation_has_no_key_for_it() {
    let access = Access::new(
        Arc::new(Accounts::default()) as Arc<dyn TokenSource>,
        Arc::new(gateway_core::SystemClock),
        AccessOptions::default(),
    );
    let times = RecorderTimes {
        patience: Duration::from_secs(1),
        hold_back: Duration::from_secs(1),
    };
    let (recorder, _writer) = Recorder::new(Records::new() as Arc<dyn RecordSink>, times);
    let options = RelayOptions {
        providers: vec![ProviderConfig {
            name: "copilot".parse().unwrap(),
            kind: ProviderKind::Copilot,
            base_url: "https://api.individual.githubcopilot.com/".parse().unwrap(),
            key: Some(Secret::new("gho_shared")),
            inject_usage: false,
        }],
        ..RelayOptions::default()
    };
    let error = Relay::new(options, access, recorder, TaskTracker::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("copilot") && !text.contains("gho_shared"), "{text}");
}
