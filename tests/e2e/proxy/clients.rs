//! A client asks a provider at the provider's own address, and the gateway is on the way.

use serde_json::{Value, json};

use super::curl::{Fetched, Http};
use super::{USER, World, proxy_authorization, url_at};
use crate::support::{OPENAI_KEY, message};

/// Odd spacing and unknown fields: nothing of it may change.
const WHOLE: &[u8] = br#"{"model" : "claude-sim","max_tokens":5,"x_unknown":[1.0,1e3],"messages":[{"role":"user","content":"hello"}]}"#;

/// Both versions of HTTP, an answer at once and a streamed one: the provider has sent what the client got, and got what
/// the client has sent; all is recorded.
async fn exchanges(world: &World) {
    for http in [Http::One, Http::Two] {
        let fetched = world.curl(&world.token, http).message(world, WHOLE).fetch().await;
        check(world, &fetched, http, WHOLE, false).await;

        let gate = format!("g{}", http.name());
        let body = message(&format!("chunks=20 gate={gate} gate_after=3"));
        let mut stream = world.curl(&world.token, http).message(world, &body).start();
        // The provider holds the rest back, so this much comes before there is more.
        stream.read_until("event: message_start").await;
        assert!(!String::from_utf8_lossy(&stream.body).contains("message_stop"));
        world.anthropic().open_gate(&gate);
        let fetched = stream.end().await;
        assert!(fetched.text().contains("event: message_stop"), "{fetched:?}");
        check(world, &fetched, http, &body, true).await;
    }
    assert!(!world.gateway.log().contains(&world.token.text[15..]));
}

async fn check(world: &World, fetched: &Fetched, http: Http, body: &[u8], is_streamed: bool) {
    assert!(fetched.is_whole(), "{http:?}: {fetched:?}");
    assert_eq!(
        (fetched.last().connect, fetched.last().http.as_str()),
        (200, http.name()),
        "{fetched:?}"
    );
    let exchanges = world.anthropic().requests();
    let [exchange] = exchanges.as_slice() else {
        panic!("not exactly one request: {exchanges:?}");
    };
    assert_eq!((exchange.path.as_str(), &exchange.query), ("/v1/messages", &None));
    assert_eq!(exchange.body, body);
    world.assert_clean(exchange);
    let host = world.anthropic().address().to_string();
    assert_eq!(exchange.header("host"), [host.as_bytes()]);
    assert_eq!(exchange.answer.as_ref().unwrap().body, fetched.body);
    world.anthropic().clear();

    let record = &world.recorded().await[0];
    assert_eq!(record["initiator"]["username"], USER);
    assert_eq!(record["api_key_id"], world.token.id());
    assert_eq!(
        (&record["provider_name"], &record["route"], &record["outcome"]),
        (&json!("anthropic"), &json!("messages"), &json!("completed"))
    );
    assert_eq!(record["is_streamed"], is_streamed);
    let prompt = record["user_prompts"][0]["prompt"].as_str().unwrap();
    assert!(prompt.starts_with("hello"), "{record}");
    assert_ne!(record["token_usages"][0]["output_tokens"], 0);
}

#[tokio::test]
async fn through_a_proxy_in_plain_text() {
    let world = World::new(&[]).await;
    exchanges(&world).await;
    assert_eq!(world.recorded().await.len(), 4);
}

#[tokio::test]
async fn through_a_proxy_over_tls() {
    let world = World::behind_tls(&[]).await;
    exchanges(&world).await;
    assert_eq!(world.recorded().await.len(), 4);
}

#[tokio::test]
async fn the_path_is_the_providers_own_and_its_tls_is_checked_by_the_gateway() {
    let world = World::new(&[]).await;
    for (path, body, route) in [
        (
            "/v1/chat/completions",
            json!({"model": "gpt-sim", "messages": [{"role": "user", "content": "hello"}]}),
            "chat/completions",
        ),
        (
            "/v1/responses?include=x",
            json!({"model": "gpt-sim", "input": "hello"}),
            "responses",
        ),
    ] {
        world.openai.clear();
        let body = body.to_string();
        let curl = world
            .curl(&world.token, Http::Two)
            .post(&world.openai, path, body.as_bytes());
        let fetched = curl.fetch().await;
        assert!(fetched.is_whole(), "{path}: {fetched:?}");
        let exchange = world.openai.requests().remove(0);
        let received = match &exchange.query {
            Some(query) => format!("{}?{query}", exchange.path),
            None => exchange.path.clone(),
        };
        assert_eq!(received, path);
        assert_eq!(exchange.body, body.as_bytes());
        let key = format!("Bearer {OPENAI_KEY}");
        assert_eq!(exchange.header("authorization"), [key.as_bytes()]);
        world.assert_clean(&exchange);
        let record = &world.recorded().await[0];
        assert_eq!(
            (&record["provider_name"], &record["route"]),
            (&json!("openai"), &json!(route))
        );
    }
}

/// A connection is opened with one CONNECT, which alone carries the credential; two requests go over it.
#[tokio::test]
async fn the_credential_is_sent_once() {
    let world = World::new(&[]).await;
    for http in [Http::One, Http::Two] {
        world.anthropic().clear();
        let url = url_at(world.anthropic(), "/v1/messages");
        let curl = world.curl(&world.token, http).message(&world, WHOLE);
        let fetched = curl.argument(&url).fetch().await;
        assert!(fetched.is_whole(), "{fetched:?}");
        let connections: Vec<u32> = fetched.transfers.iter().map(|one| one.connections).collect();
        assert_eq!(connections, [1, 0], "{http:?}: {fetched:?}");
        let sent = |part: &str| fetched.told.matches(part).count();
        assert_eq!(
            (sent("> CONNECT "), sent("> Proxy-Authorization: ")),
            (1, 1),
            "{fetched:?}"
        );
        let exchanges = world.anthropic().requests();
        assert_eq!(exchanges.len(), 2);
        for exchange in &exchanges {
            world.assert_clean(exchange);
        }
    }
}

/// As some clients ask: by HTTP/1.0, with a `Host` without port, with an option for the connection.
#[tokio::test]
async fn all_forms_of_connect_are_understood() {
    let world = World::new(&[]).await;
    let target = world.anthropic().address();
    let credential = proxy_authorization(&world.token);
    for head in [
        format!("CONNECT {target} HTTP/1.0\r\n{credential}\r\n"),
        format!("CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credential}\r\n"),
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Connection: close\r\n{credential}\r\n"),
    ] {
        let connected = world.ask(&head).await;
        assert_eq!(connected.status(), 200, "{head}: {}", connected.head);
    }
}

/// Codex and Copilot fall back to requests at once when a WebSocket is refused like this.
#[tokio::test]
async fn a_websocket_gets_a_clean_refusal() {
    let world = World::new(&[]).await;
    let curl = world
        .curl(&world.token, Http::One)
        .argument("--include")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("authorization", "Bearer coder-aibridge");
    let curl = curl.argument(&url_at(&world.openai, "/v1/responses"));
    let fetched = curl.fetch().await;
    assert_eq!((fetched.exit, fetched.last().status), (0, 426), "{fetched:?}");
    let text = fetched.text();
    // The answer of the proxy itself comes first.
    let (head, body) = text.rsplit_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.contains("upgrade: http/1.1"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    assert!(world.openai.requests().is_empty());
}

/// Whoever speaks to the host of the connection must mean that host.
#[tokio::test]
async fn another_host_inside_of_the_connection_is_refused() {
    let world = World::new(&[]).await;
    for http in [Http::One, Http::Two] {
        let other = world.openai.address().to_string();
        let curl = world.curl(&world.token, http).header("host", &other);
        let fetched = curl.message(&world, WHOLE).fetch().await;
        assert_eq!(fetched.last().status, 421, "{http:?}: {fetched:?}");
    }
    assert!(world.anthropic().requests().is_empty());
    assert!(world.openai.requests().is_empty());
    assert!(world.recorded().await.is_empty());
}
