//! What the provider received and what the client got, byte for byte, through the whole server.

use rand::RngExt as _;

use crate::client::End;
use crate::support::{ANTHROPIC_KEY, CHAT, Engine, Gateway, MESSAGES, OPENAI_KEY, RESPONSES, Token, message};

/// Where a client put its gateway token and its own credential.
async fn received(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> gateway_testkit::sim::Exchange {
    gateway.site.sim.clear();
    let mut client = gateway.connect().await;
    client.post(path, headers, body).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.end),
        (200, End::Complete),
        "{}",
        answer.text()
    );
    gateway.site.sim.requests().into_iter().next().unwrap()
}

pub(crate) fn assert_no_trace(exchange: &gateway_testkit::sim::Exchange, token: &Token) {
    let secret = &token.text[15..];
    for (name, value) in &exchange.headers {
        let value = String::from_utf8_lossy(value);
        assert!(
            !value.contains("cdr_") && !value.contains(secret),
            "{name}: {value}"
        );
        assert!(!name.contains("coder"), "{name}");
    }
    assert!(!exchange.path.contains("cdr_"));
    assert!(
        exchange
            .query
            .as_deref()
            .is_none_or(|query| !query.contains("cdr_"))
    );
}

/// Path, headers and body of a request, and the credential that the provider is to see.
type Case<'a> = (
    &'a str,
    Vec<(&'a str, &'a str)>,
    &'a [u8],
    &'a (&'static str, String),
);

#[tokio::test]
async fn the_provider_gets_the_body_unchanged_and_one_credential() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let bearer = format!("Bearer {}", token.text);
    let governance = ("x-coder-ai-governance-token", token.text.as_str());
    let anthropic = ("x-api-key", ANTHROPIC_KEY.to_owned());
    let openai = ("authorization", format!("Bearer {OPENAI_KEY}"));
    let own_bearer = ("authorization", "Bearer own-key".to_owned());
    let own_key = ("x-api-key", "own-key".to_owned());
    // Odd spacing, unknown fields and an escaped surrogate pair: nothing of it may change.
    let odd = br#"{"model" : "claude-sim","max_tokens":5,"x_unknown":{"b":1,"a":[1.0,1e3]},"messages":[{"role":"user","content":"\ud83d\ude00 hi"}]}"#;
    let responses = br#"{"model":"gpt-sim","input":"hi","x_unknown":null}"#;
    let cases: [Case<'_>; 10] = [
        (MESSAGES, vec![("x-api-key", &token.text)], odd, &anthropic),
        (MESSAGES, vec![("authorization", &bearer)], odd, &anthropic),
        (
            MESSAGES,
            vec![("authorization", &bearer), ("x-api-key", &token.text)],
            odd,
            &anthropic,
        ),
        (
            MESSAGES,
            vec![("authorization", &bearer), ("x-api-key", "sk-left-over")],
            odd,
            &anthropic,
        ),
        (CHAT, vec![("authorization", &bearer)], odd, &openai),
        (RESPONSES, vec![("authorization", &bearer)], responses, &openai),
        (
            MESSAGES,
            vec![governance, ("x-api-key", "own-key")],
            odd,
            &own_key,
        ),
        (
            MESSAGES,
            vec![governance, ("authorization", "Bearer own-key")],
            odd,
            &own_bearer,
        ),
        (
            MESSAGES,
            vec![governance, ("authorization", &bearer)],
            odd,
            &anthropic,
        ),
        (
            MESSAGES,
            vec![governance, ("authorization", &bearer), ("x-api-key", &token.text)],
            odd,
            &anthropic,
        ),
    ];
    for (path, headers, body, expected) in cases {
        let exchange = received(&gateway, path, &headers, body).await;
        assert_eq!(exchange.body, body, "{headers:?}");
        let credentials: Vec<(&str, String)> = exchange
            .headers
            .iter()
            .filter(|(name, _)| matches!(name.as_str(), "authorization" | "x-api-key" | "api-key"))
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        assert_eq!(
            credentials.as_slice(),
            std::slice::from_ref(expected),
            "{headers:?}"
        );
        assert_no_trace(&exchange, &token);
    }
    assert!(
        !gateway.log().contains(&token.text[15..]),
        "the log holds a token's secret"
    );
    assert!(
        !gateway.log().contains(ANTHROPIC_KEY),
        "the log holds a provider's key"
    );
}

#[tokio::test]
async fn encoded_request_bodies_pass_as_they_are() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    // `printf '{"model":"claude-sim","max_tokens":5,"messages":[]}' | gzip`, as any client would send it.
    let gzip =
        gzip_stored(br#"{"model":"claude-sim","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#);
    let headers = [("x-api-key", token.text.as_str()), ("content-encoding", "gzip")];
    let exchange = received(&gateway, MESSAGES, &headers, &gzip).await;
    assert_eq!(exchange.body, gzip);
    assert_eq!(exchange.header("content-encoding"), [b"gzip"]);
}

/// Gzip without compression (RFC 1951, section 3.2.4): enough to be a body that is not plain.
pub(crate) fn gzip_stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(data);
    let crc = data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    });
    out.extend_from_slice(&(!crc).to_le_bytes());
    out.extend_from_slice(&u32::from(length).to_le_bytes());
    out
}

#[tokio::test]
async fn answers_cut_at_random_boundaries_arrive_byte_exact() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    let chat = |directives: &str| {
        let text = format!("hi [[sim: {directives}]]");
        // Who asks for the usage gets all of it.
        serde_json::json!({
            "model": "gpt-sim",
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": text}],
        })
        .to_string()
        .into_bytes()
    };
    let responses = |directives: &str| {
        serde_json::json!({"model": "gpt-sim", "stream": true, "input": format!("hi [[sim: {directives}]]")})
            .to_string()
            .into_bytes()
    };
    for round in 0..30 {
        let seed: u32 = rand::rng().random();
        let shape = [
            "chunks=40",
            "tools=2",
            "reasoning crlf",
            "comments",
            "size=200000",
            "encoded=gzip",
        ][round % 6];
        let directives = format!("split=random seed={seed} extra_headers {shape}");
        let (path, body) = match round % 3 {
            0 => (MESSAGES, message(&directives)),
            1 => (CHAT, chat(&directives)),
            _ => (RESPONSES, responses(&directives)),
        };
        gateway.site.sim.clear();
        let mut client = gateway.connect().await;
        client.post(path, &[("x-api-key", &token.text)], &body).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.end), (200, End::Complete), "{directives}");
        let sent = gateway.site.sim.answers().into_iter().next().unwrap();
        assert!(
            answer.body == sent.body,
            "{path} {directives}: {} bytes for {}",
            answer.body.len(),
            sent.body.len()
        );
        for (name, value) in &sent.headers {
            let is_kept = !matches!(
                name.as_str(),
                "connection" | "transfer-encoding" | "set-cookie" | "keep-alive" | "x-hop"
            );
            if is_kept && (name.contains("request-id") || name.contains("ratelimit")) {
                assert_eq!(answer.header(name).map(str::as_bytes), Some(&value[..]), "{name}");
            }
        }
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn the_providers_refusals_arrive_as_they_are() {
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &[]).await;
    let token = gateway.create_token(&owner, "me", "t").await;
    for (directives, status) in [
        ("error=429 retry_after=7", 429),
        ("error=500", 500),
        ("error=529", 529),
        ("error=400", 400),
    ] {
        gateway.site.sim.clear();
        let mut client = gateway.connect().await;
        client
            .post(MESSAGES, &[("x-api-key", &token.text)], &message(directives))
            .await;
        let answer = client.answer().await;
        let sent = gateway.site.sim.answers().into_iter().next().unwrap();
        assert_eq!((answer.status, &answer.body), (status, &sent.body.to_vec()));
        assert_eq!(
            answer.header("retry-after"),
            directives.contains("retry_after").then_some("7")
        );
    }
}
