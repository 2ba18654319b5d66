//! Every "no" of the data plane: the right status, the provider's envelope, and nothing sent upstream.

use gateway_core::ApiToken;
use gateway_relay::TokenInBody;

use crate::support::{End, World, WorldOptions};

const MESSAGES: &str = "/api/v2/aibridge/anthropic/v1/messages";
const CHAT: &str = "/api/v2/aibridge/openai/v1/chat/completions";

fn kind(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body}"));
    let error = &value["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{body}"
    );
    error["type"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_has_no_living_token_gets_401_and_is_told_not_to_retry() {
    let mut world = World::start().await;
    let made_up = ApiToken::generate(&mut rand::rng());
    let mut damaged = made_up.expose().to_owned();
    damaged.replace_range(20..21, if &damaged[20..21] == "x" { "y" } else { "x" });
    let (_, first) = world.token();
    let (_, second) = world.token();
    let bearer = format!("Bearer {}", first.expose());
    for (path, expected) in [
        (MESSAGES, "authentication_error"),
        (CHAT, "invalid_request_error"),
    ] {
        for headers in [
            vec![],
            vec![("x-api-key", "sk-ant-api03-provider-key")],
            vec![("authorization", "Bearer sk-provider-key")],
            vec![("x-api-key", made_up.expose())],
            vec![("x-api-key", damaged.as_str())],
            vec![("authorization", "Basic Zm9vOmJhcg==")],
            vec![("authorization", bearer.as_str()), ("x-api-key", second.expose())],
            vec![
                ("x-coder-ai-governance-token", "wrong"),
                ("x-api-key", first.expose()),
            ],
            vec![
                ("x-coder-ai-governance-token", made_up.expose()),
                ("authorization", bearer.as_str()),
            ],
        ] {
            let answer = world.send("POST", path, &headers, b"{}").await.answer().await;
            assert_eq!((answer.status, answer.end), (401, End::Complete), "{headers:?}");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            assert_eq!(kind(&answer.text()), expected, "{}", answer.text());
        }
    }
    world.assert_nothing_sent();
}

#[tokio::test]
async fn paths_off_the_list_are_404_in_every_spelling() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    for (method, path) in [
        ("POST", "/api/v2/aibridge/anthropic/v1/complete"),
        ("GET", "/api/v2/aibridge/anthropic/v1/messages"),
        ("DELETE", "/api/v2/aibridge/anthropic/v1/models"),
        ("POST", "/api/v2/aibridge/anthropic/v1/messages/"),
        ("POST", "/api/v2/aibridge/anthropic//v1/messages"),
        ("POST", "/api/v2/aibridge/anthropic/v1//messages"),
        ("POST", "/api/v2/aibridge/anthropic/v1/%6dessages"),
        ("POST", "/api/v2/aibridge/anthropic/v1%2fmessages"),
        ("POST", "/api/v2/aibridge/anthropic/./v1/messages"),
        ("POST", "/api/v2/aibridge/anthropic/x/../v1/messages"),
        ("POST", "/api/v2/aibridge/anthropic/x/%2e%2e/v1/messages"),
        ("GET", "/api/v2/aibridge/anthropic/v1/models/.."),
        ("GET", "/api/v2/aibridge/openai/v1/files"),
        ("POST", "/api/v2/aibridge/openai/v1/embeddings"),
        ("POST", "/api/v2/aibridge/openai/responses"),
        ("POST", "/api/v2/aibridge/nobody/v1/messages"),
        ("POST", "/api/v2/aibridge//v1/messages"),
        ("GET", "/api/v2/aibridge/openai/v1/responses/resp_1"),
        ("POST", "/api/v2/aibridge/openai/v1/conversations"),
    ] {
        let answer = world
            .send(method, path, &[("x-api-key", token.expose())], b"{}")
            .await
            .answer()
            .await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        kind(&answer.text());
    }
    world.assert_nothing_sent();
}

#[tokio::test]
async fn a_token_where_it_would_leak_is_400() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let text = token.expose();
    let encoded = text.replace('_', "%5f");
    for (path, headers) in [
        (format!("{MESSAGES}?key={text}"), vec![]),
        (format!("{MESSAGES}?key={encoded}"), vec![]),
        (MESSAGES.to_owned(), vec![("x-other", text.to_owned())]),
        (MESSAGES.to_owned(), vec![("user-agent", format!("me {encoded}"))]),
        (
            MESSAGES.to_owned(),
            vec![("x-custom", format!("Basic {}", base64(&format!("u:{text}"))))],
        ),
        (
            MESSAGES.to_owned(),
            vec![("x-custom", format!("{}0", &text[..42]))],
        ),
    ] {
        let mut all = vec![("x-api-key", text)];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = world.send("POST", &path, &all, b"{}").await.answer().await;
        assert_eq!(answer.status, 400, "{path} {headers:?}");
        assert!(!answer.text().contains("cdr_"), "{}", answer.text());
    }
    world.assert_nothing_sent();
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn own_credentials_are_403_when_switched_off_and_central_requests_still_work() {
    let mut world = World::with(WorldOptions {
        allow_byok: false,
        ..WorldOptions::default()
    })
    .await;
    let (_, token) = world.token();
    let governance = ("x-coder-ai-governance-token", token.expose());
    let answer = world
        .send("POST", MESSAGES, &[governance, ("x-api-key", "own")], b"{}")
        .await
        .answer()
        .await;
    assert_eq!(
        (answer.status, kind(&answer.text()).as_str()),
        (403, "permission_error")
    );
    world.assert_nothing_sent();
    let mut client = world.send("POST", MESSAGES, &[governance], b"{}").await;
    world
        .exchange()
        .await
        .answer(http::Response::new(()))
        .finish()
        .await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_provider_without_a_key_is_403_for_central_requests() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let path = "/api/v2/aibridge/chatgpt/v1/responses";
    let answer = world
        .send("POST", path, &[("x-api-key", token.expose())], b"{}")
        .await
        .answer()
        .await;
    assert_eq!(answer.status, 403);
    world.assert_nothing_sent();
}

#[tokio::test]
async fn an_aibridge_token_calls_models() {
    let mut world = World::start().await;
    let token = world.aibridge_token();
    let mut client = world.post_message(&token).await;
    world
        .exchange()
        .await
        .answer(http::Response::new(()))
        .finish()
        .await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn websockets_are_426_and_probes_200_without_a_token() {
    let mut world = World::start().await;
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
    ];
    let answer = world
        .send("GET", "/api/v2/aibridge/openai/v1/responses", &upgrade, b"")
        .await
        .answer()
        .await;
    assert_eq!(answer.status, 426);
    for (method, path) in [
        ("GET", "/api/v2/aibridge/anthropic"),
        ("GET", "/api/v2/aibridge/openai/"),
        ("GET", "/api/v2/ai-gateway/openai"),
    ] {
        assert_eq!(
            world.send(method, path, &[], b"").await.answer().await.status,
            200,
            "{path}"
        );
    }
    world.assert_nothing_sent();
}

#[tokio::test]
async fn bodies_over_32_mib_are_413_and_the_answer_arrives() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let body = vec![b' '; 32 * 1024 * 1024 + 1];
    let mut client = world.connect().await;
    let (read, mut write) = client.stream.into_split();
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n",
        token.expose(),
        body.len()
    );
    let writing = async {
        use tokio::io::AsyncWriteExt as _;
        write.write_all(head.as_bytes()).await.unwrap();
        write.write_all(&body).await.unwrap();
        write
    };
    let write = writing.await;
    client = crate::support::Client {
        stream: read.reunite(write).unwrap(),
        buffer: Vec::new(),
    };
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, kind(&answer.text()).as_str()),
        (413, "request_too_large")
    );
    world.assert_nothing_sent();
    // The connection has read the body to its end and can be used again.
    client.buffer.clear();
    client.send("GET", "/api/v2/aibridge/anthropic", &[], b"").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_token_in_a_body_is_let_through_refused_or_removed_as_configured() {
    for (policy, status) in [(TokenInBody::Allow, 200), (TokenInBody::Refuse, 400)] {
        let mut world = World::with(WorldOptions {
            token_in_body: policy,
            ..WorldOptions::default()
        })
        .await;
        let (_, token) = world.token();
        let (_, leaked) = world.token();
        let body = format!("{{\"text\":\"{}\"}}", leaked.expose());
        let mut client = world
            .send(
                "POST",
                MESSAGES,
                &[("x-api-key", token.expose())],
                body.as_bytes(),
            )
            .await;
        if status == 200 {
            let exchange = world.exchange().await;
            assert_eq!(exchange.body, body.as_bytes(), "bodies are not edited");
            exchange.answer(http::Response::new(())).finish().await;
        }
        assert_eq!(client.answer().await.status, status);
        let counted = &world.relay.counters().tokens_in_bodies;
        assert_eq!(counted.load(std::sync::atomic::Ordering::SeqCst), 1);
        // A text of the right shape with a wrong checksum is nobody's secret.
        let text = leaked.expose();
        let damaged = format!("{}{}", &text[..42], if text.ends_with('0') { '1' } else { '0' });
        let body = format!("{{\"text\":\"{damaged}\"}}");
        let mut client = world
            .send(
                "POST",
                MESSAGES,
                &[("x-api-key", token.expose())],
                body.as_bytes(),
            )
            .await;
        world
            .exchange()
            .await
            .answer(http::Response::new(()))
            .finish()
            .await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn central_requests_cannot_reach_objects_or_run_in_the_background() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let path = "/api/v2/aibridge/openai/v1/responses";
    for (body, status) in [
        (r#"{"background":true}"#, 501),
        (r#"{"previous_response_id":"resp_1"}"#, 404),
        (r#"{"conversation":"conv_1"}"#, 404),
        (r#"{"conversation":{"id":"conv_1"}}"#, 404),
    ] {
        let answer = world
            .send("POST", path, &[("x-api-key", token.expose())], body.as_bytes())
            .await
            .answer()
            .await;
        assert_eq!(answer.status, status, "{body}");
        let own = [
            ("x-coder-ai-governance-token", token.expose()),
            ("authorization", "Bearer own"),
        ];
        let mut client = world.send("POST", path, &own, body.as_bytes()).await;
        world
            .exchange()
            .await
            .answer(http::Response::new(()))
            .finish()
            .await;
        assert_eq!(client.answer().await.status, 200, "{body}");
    }
}

#[tokio::test]
async fn credentials_sent_twice_are_refused() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let headers = [("x-api-key", token.expose()), ("x-api-key", "other")];
    let answer = world.send("POST", MESSAGES, &headers, b"{}").await.answer().await;
    assert_eq!(answer.status, 400);
    world.assert_nothing_sent();
}

/// What this gateway cannot read, the provider perhaps can.
#[tokio::test]
async fn a_body_that_cannot_be_decoded_may_refer_to_anything() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let path = "/api/v2/aibridge/openai/v1/responses";
    for encoding in ["compress", "gzip", "gzip, gzip, gzip, gzip"] {
        let headers = [("x-api-key", token.expose()), ("content-encoding", encoding)];
        let answer = world
            .send("POST", path, &headers, b"\x1f\x8bnonsense")
            .await
            .answer()
            .await;
        assert_eq!(answer.status, 404, "{encoding}");
        world.assert_nothing_sent();
        // Elsewhere there is nothing to refer to, and the body is the provider's business.
        let mut client = world.send("POST", CHAT, &headers, b"\x1f\x8bnonsense").await;
        let exchange = world.exchange().await;
        assert_eq!(exchange.body, &b"\x1f\x8bnonsense"[..]);
        exchange.answer(http::Response::new(())).finish().await;
        assert_eq!(client.answer().await.status, 200, "{encoding}");
    }
}

/// Two headers are one list, however many lines it takes.
#[tokio::test]
async fn encodings_on_several_lines_are_taken_off_together() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    // `{"previous_response_id":"resp_1"}` in gzip.
    let body = gzip(br#"{"previous_response_id":"resp_1"}"#);
    for lines in [vec!["gzip"], vec!["identity", "gzip"], vec!["gzip", "identity"]] {
        let mut headers = vec![("x-api-key", token.expose())];
        headers.extend(lines.iter().map(|line| ("content-encoding", *line)));
        let path = "/api/v2/aibridge/openai/v1/responses";
        let answer = world.send("POST", path, &headers, &body).await.answer().await;
        assert_eq!(answer.status, 404, "{lines:?}");
    }
    world.assert_nothing_sent();
}

#[tokio::test]
async fn a_body_that_cannot_be_searched_is_refused_where_tokens_are() {
    let options = WorldOptions {
        token_in_body: TokenInBody::Refuse,
        ..WorldOptions::default()
    };
    let mut world = World::with(options).await;
    let (_, token) = world.token();
    let headers = [("x-api-key", token.expose()), ("content-encoding", "compress")];
    assert_eq!(
        world
            .send("POST", MESSAGES, &headers, b"?")
            .await
            .answer()
            .await
            .status,
        400
    );
    world.assert_nothing_sent();
}

/// Gzip without compression (RFC 1951, section 3.2.4).
fn gzip(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    out.extend_from_slice(&u32::from(length).to_le_bytes());
    out
}
