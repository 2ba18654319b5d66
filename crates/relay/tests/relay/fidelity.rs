//! What goes through goes through unchanged; what must not go through does not.

use std::time::Duration;

use http::Response;

use crate::support::{End, PROVIDER_KEY, World, WorldOptions};

#[tokio::test]
async fn the_provider_receives_the_body_and_its_own_credential() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let bearer = format!("Bearer {}", token.expose());
    let body = b"{\"model\":\"m\",  \"unknown\": [1,\t2],\"text\":\"\xf0\x9f\x98\x80\"}\n";
    let headers: [(&str, &str); 14] = [
        ("authorization", bearer.as_str()),
        ("x-api-key", token.expose()),
        ("api-key", token.expose()),
        ("x-goog-api-key", token.expose()),
        ("proxy-authorization", bearer.as_str()),
        ("cookie", token.expose()),
        ("x-coder-anything", token.expose()),
        ("coder-session-token", token.expose()),
        ("x-forwarded-for", "10.0.0.1"),
        ("connection", "x-named, keep-alive"),
        ("x-named", token.expose()),
        ("anthropic-beta", "a,b, c"),
        ("anthropic-version", "2026-10-21"),
        ("x-stainless-lang", "python"),
    ];
    let mut client = world
        .send(
            "POST",
            "/api/v2/aibridge/anthropic/v1/messages?beta=true&x=%20",
            &headers,
            body,
        )
        .await;
    let exchange = world.exchange().await;
    assert_eq!(exchange.body, &body[..]);
    assert_eq!(
        exchange.head.uri.path_and_query().unwrap(),
        "/v1/messages?beta=true&x=%20"
    );
    let mut names: Vec<&str> = exchange
        .head
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "anthropic-beta",
            "anthropic-version",
            "content-length",
            "host",
            "x-api-key",
            "x-stainless-lang"
        ]
    );
    assert_eq!(exchange.head.headers["x-api-key"], PROVIDER_KEY);
    assert_eq!(exchange.head.headers["anthropic-beta"], "a,b, c");
    assert_eq!(exchange.head.headers["accept-encoding"], "identity");
    exchange.answer(Response::new(())).finish().await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn own_credentials_go_through_as_they_came() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let bearer = format!("Bearer {}", token.expose());
    for (own, expected) in [
        (vec![("x-api-key", "sk-ant-own")], ("x-api-key", "sk-ant-own")),
        (
            vec![("authorization", "Bearer sk-own")],
            ("authorization", "Bearer sk-own"),
        ),
        (
            vec![("authorization", "bearer  odd")],
            ("authorization", "bearer  odd"),
        ),
        (
            vec![("authorization", bearer.as_str())],
            ("x-api-key", PROVIDER_KEY),
        ),
        (
            vec![("x-api-key", "sk-ant-own"), ("authorization", bearer.as_str())],
            ("x-api-key", "sk-ant-own"),
        ),
        (
            vec![("x-api-key", token.expose()), ("authorization", "Bearer own")],
            ("authorization", "Bearer own"),
        ),
        (vec![], ("x-api-key", PROVIDER_KEY)),
    ] {
        let mut headers = vec![("x-coder-ai-governance-token", token.expose())];
        headers.extend(own);
        let mut client = world
            .send("POST", "/api/v2/aibridge/anthropic/v1/messages", &headers, b"{}")
            .await;
        let exchange = world.exchange().await;
        let credentials: Vec<(&str, &str)> = ["authorization", "x-api-key", "x-coder-ai-governance-token"]
            .into_iter()
            .filter_map(|name| Some((name, exchange.head.headers.get(name)?.to_str().unwrap())))
            .collect();
        assert_eq!(credentials, [expected]);
        exchange.answer(Response::new(())).finish().await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn base_urls_with_a_path_line_up() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    for (path, headers, upstream) in [
        (
            "/api/v2/aibridge/openai/v1/chat/completions",
            vec![("x-api-key", token.expose())],
            "/v1/chat/completions",
        ),
        (
            "/api/v2/ai-gateway/openai/v1/responses",
            vec![("x-api-key", token.expose())],
            "/v1/responses",
        ),
        (
            "/api/v2/aibridge/chatgpt/v1/responses",
            vec![
                ("x-coder-ai-governance-token", token.expose()),
                ("authorization", "Bearer chatgpt"),
            ],
            "/backend-api/codex/responses",
        ),
    ] {
        let mut client = world.send("POST", path, &headers, b"{}").await;
        let exchange = world.exchange().await;
        assert_eq!(exchange.head.uri.path(), upstream);
        exchange.answer(Response::new(())).finish().await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn answers_keep_status_headers_and_bytes() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let response = Response::builder()
        .status(529)
        .header("x-request-id", "req_1")
        .header("retry-after", "7")
        .header("anthropic-ratelimit-requests-remaining", "0")
        .header("set-cookie", "a=b")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let sending = world.exchange().await.answer(response);
    let body = b"{\"type\":\"error\",  \"odd\\u0000\": \"\xff\xfe\"}";
    sending.send(&body[..5]).await;
    sending.send(&body[5..]).await;
    sending.finish().await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.end), (529, End::Complete));
    assert_eq!(answer.body, body);
    assert_eq!(answer.header("x-request-id"), Some("req_1"));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("x-hop"), None);
}

#[tokio::test]
async fn an_answer_that_the_provider_breaks_off_ends_uncleanly_with_an_error_event() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let error = "event: error\ndata: {\"type\":\"error\"";
    let apis = [
        ("anthropic/v1/messages", error),
        ("openai/v1/chat/completions", "data: {\"error\":"),
        ("openai/v1/responses", error),
    ];
    let begun = ["data: {\"par", "data: {\"part\":1}\n\n"];
    for ((path, expected), begun) in apis.into_iter().flat_map(|api| begun.map(|begun| (api, begun))) {
        let path = format!("/api/v2/aibridge/{path}");
        let headers = [("x-api-key", token.expose())];
        let mut client = world.send("POST", &path, &headers, b"{}").await;
        let sending = world.exchange().await.stream();
        sending.send(begun).await;
        // An event that may yet turn out to be the last is held back until the end is recorded.
        let is_torn = !begun.ends_with("\n\n");
        client
            .read_until(if is_torn { b"event-stream" } else { b"par" })
            .await;
        drop(sending);
        let answer = client.answer().await;
        assert_ne!(answer.end, End::Complete);
        let text = answer.text();
        if is_torn && !path.contains("anthropic") {
            // A torn event cannot be taken back: its half of a JSON text would be the error that clients report.
            assert_eq!(text, begun, "{path}");
            continue;
        }
        // What was begun is closed; clients of Messages pass over a ping, whatever its data.
        let closed = if is_torn { "\nevent: ping\n\n" } else { "" };
        let event = text.strip_prefix(&format!("{begun}{closed}")).unwrap();
        assert!(event.starts_with(expected), "{path}: {event}");
        assert!(event.ends_with("\n\n"), "{path}: {event}");
    }
}

#[tokio::test]
async fn a_silent_provider_is_given_up() {
    let options = WorldOptions {
        idle_timeout: Duration::from_millis(200),
        ..WorldOptions::default()
    };
    let mut world = World::with(options).await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send("data: x\n\n").await;
    let answer = client.answer().await;
    assert_ne!(answer.end, End::Complete);
    assert!(answer.text().contains("event: error"), "{}", answer.text());
    sending.abandoned().await;
}
