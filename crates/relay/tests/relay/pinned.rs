//! Requests that came to a provider's own address, through the proxy: which paths they may have, who asks, and with
//! whose credential they go upstream.

use std::sync::atomic::Ordering;

use gateway_core::interception::CredentialKind;
use gateway_core::{ApiToken, Scopes, Timestamp};

use crate::support::{Exchange, Host, PROVIDER_KEY, World, WorldOptions};

const MESSAGES: &str = "/v1/messages";
const KEY: (&str, &str) = ("x-api-key", PROVIDER_KEY);
const BEARER: &str = "Bearer sk-organisation-key";

/// Name and value.
type Header<'a> = (&'a str, &'a str);

/// What a client sends beside its credential, and what must not go further.
const AROUND: [(&str, &str); 4] = [
    ("proxy-authorization", "Basic Y29kZXI6c2VjcmV0"),
    ("proxy-connection", "keep-alive"),
    ("api-key", "other"),
    ("user-agent", "test"),
];

async fn ask(world: &mut World, host: &Host, path: &str, headers: &[(&str, &str)]) -> Exchange {
    let headers: Vec<_> = headers.iter().chain(&AROUND).copied().collect();
    let mut client = host.send("POST", path, &headers, b"{}").await;
    tokio::select! {
        exchange = world.exchange() => exchange,
        answer = client.answer() => panic!("{}: {}", answer.status, answer.text()),
    }
}

/// The headers in which a credential could be.
fn credentials(exchange: &Exchange) -> Vec<(&str, &str)> {
    let headers = &exchange.head.headers;
    assert!(
        !headers.iter().any(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            name.as_str().starts_with("proxy-") || value.contains("cdr_") || value.contains("coder-aibridge")
        }),
        "{headers:?}"
    );
    let mut found: Vec<_> = headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            name.contains("key") || name.contains("auth") || name.starts_with("x-coder")
        })
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn the_path_that_the_client_sent_is_the_one_that_arrives() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    for (provider, method, path) in [
        ("anthropic", "POST", "/v1/messages?beta=true"),
        ("anthropic", "POST", "/v1/messages/count_tokens?beta=true"),
        ("anthropic", "GET", "/v1/models?limit=1000"),
        ("mirror", "POST", "/anthropic/v1/messages"),
        ("openai", "POST", "/v1/responses"),
        ("openai", "POST", "/v1/chat/completions?x=%20y"),
        ("openai", "GET", "/v1/models/gpt-5"),
        ("compat", "POST", "/api/v1/chat/completions"),
        ("chatgpt", "POST", "/backend-api/codex/responses"),
        ("chatgpt", "GET", "/backend-api/codex/models?client_version=1"),
        ("copilot", "POST", "/responses"),
        ("copilot", "POST", "/v1/messages"),
    ] {
        let host = world.host(provider, &token).await;
        let own = [("authorization", "Bearer own")];
        let mut client = host.send(method, path, &own, b"{}").await;
        let exchange = world.exchange().await;
        assert_eq!(exchange.head.uri.path_and_query().unwrap(), path, "{provider}");
        assert_eq!(exchange.head.method, method);
        exchange.answer(http::Response::new(())).finish().await;
        assert_eq!(client.answer().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn other_paths_and_other_spellings_are_404_in_the_providers_envelope() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    for (provider, method, path) in [
        ("anthropic", "GET", "/"),
        ("anthropic", "HEAD", "/"),
        ("anthropic", "POST", "/v1/messages/"),
        ("anthropic", "POST", "//v1/messages"),
        ("anthropic", "POST", "/v1/%6dessages"),
        ("anthropic", "POST", "/v1/complete"),
        ("anthropic", "POST", "/api/v2/aibridge/anthropic/v1/messages"),
        ("anthropic", "POST", "/anthropic/v1/messages"),
        ("mirror", "POST", "/v1/messages"),
        ("mirror", "POST", "/anthropicx/v1/messages"),
        ("mirror", "POST", "/anthropic//v1/messages"),
        ("mirror", "POST", "/Anthropic/v1/messages"),
        ("mirror", "POST", "/%61nthropic/v1/messages"),
        ("mirror", "GET", "/anthropic"),
        ("openai", "GET", "/"),
        ("openai", "GET", "/v1"),
        ("openai", "GET", "/v1/"),
        ("openai", "POST", "/responses"),
        ("openai", "POST", "/v1/v1/responses"),
        ("openai", "POST", "/v1responses"),
        ("openai", "POST", "/v1/../v1/responses"),
        ("openai", "POST", "/V1/responses"),
        ("compat", "POST", "/v1/chat/completions"),
        ("chatgpt", "GET", "/backend-api/wham/accounts/check"),
        ("chatgpt", "POST", "/v1/responses"),
        ("chatgpt", "POST", "/backend-api/codex/v1/responses"),
        ("chatgpt", "POST", "/backend-api/codexresponses"),
        ("copilot", "POST", "/v1/responses"),
        ("nobody", "POST", "/v1/messages"),
    ] {
        let host = world.host(provider, &token).await;
        let answer = host.send(method, path, &[], b"{}").await.answer().await;
        assert_eq!(
            answer.status,
            404,
            "{provider} {method} {path}: {}",
            answer.text()
        );
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{path}");
        if method == "HEAD" {
            continue;
        }
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let is_anthropic = matches!(provider, "anthropic" | "mirror" | "nobody");
        let kind = if is_anthropic {
            "not_found_error"
        } else {
            "invalid_request_error"
        };
        assert_eq!(body["error"]["type"], kind, "{provider} {path}");
        assert_eq!(body["type"] == "error", is_anthropic, "{provider} {path}");
    }
    world.assert_nothing_sent();
}

#[tokio::test]
async fn the_organisations_key_is_used_when_the_client_brings_nothing() {
    let mut world = World::start().await;
    let (user, token) = world.token();
    let second = world.accounts.add_token(user, Scopes::all(), Timestamp::MAX);
    let expired = world
        .accounts
        .add_token(user, Scopes::all(), Timestamp::from_micros(1));
    let (_, removed) = world.token();
    world.accounts.remove_token(removed.id());
    let unknown = ApiToken::generate(&mut rand::rng());
    let [token_text, second, expired, removed, unknown] =
        [&token, &second, &expired, &removed, &unknown].map(|token| token.expose().to_owned());
    let bearer = |token: &str| format!("Bearer {token}");
    let (mine, also_mine, gone) = (bearer(&token_text), bearer(&second), bearer(&removed));
    let hidden = format!("Basic {}", base64(&format!("coder:{token_text}")));
    let escaped = unknown.replace('_', "%5f");
    let mut damaged = token_text.clone();
    damaged.replace_range(42..43, if token_text.ends_with('0') { "1" } else { "0" });
    let requests: [&[(&str, &str)]; 16] = [
        &[],
        &[("authorization", "Bearer coder-aibridge")],
        &[("x-api-key", "coder-aibridge")],
        &[
            ("authorization", "Bearer coder-aibridge"),
            ("x-api-key", "coder-aibridge"),
        ],
        &[("authorization", ""), ("x-api-key", "")],
        &[("authorization", "Bearer")],
        &[("authorization", &mine)],
        &[("authorization", &also_mine), ("x-api-key", &token_text)],
        &[("authorization", &gone)],
        &[("x-api-key", &expired)],
        &[("x-api-key", &unknown)],
        &[("x-api-key", &damaged)],
        &[("x-api-key", &escaped)],
        &[("authorization", &hidden)],
        &[("x-coder-ai-governance-token", &second)],
        &[
            ("x-coder-ai-governance-token", "nonsense"),
            ("x-api-key", &removed),
        ],
    ];
    for (provider, path, expected) in [
        ("anthropic", MESSAGES, KEY),
        ("openai", "/v1/responses", ("authorization", BEARER)),
    ] {
        let host = world.host(provider, &token).await;
        for headers in requests {
            let exchange = ask(&mut world, &host, path, headers).await;
            assert_eq!(credentials(&exchange), [expected], "{headers:?}");
        }
    }
    for kept in world.records.closed(2 * requests.len()).await {
        assert_eq!(kept.initiator, Some(user));
        let start = kept.start.unwrap();
        assert_eq!(start.credential_kind, CredentialKind::Centralized);
        assert_eq!(start.token_id, token.id());
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn whatever_else_the_client_brings_is_its_own_credential() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let (_, dead) = world.token();
    world.accounts.remove_token(dead.id());
    let dead = dead.expose();
    let host = world.host("anthropic", &token).await;
    let requests: [(&[Header<'_>], Header<'_>); 7] = [
        (&[("x-api-key", "sk-ant-own")], ("x-api-key", "sk-ant-own")),
        (
            &[("authorization", "Bearer own")],
            ("authorization", "Bearer own"),
        ),
        (
            &[("authorization", "Bearer own"), ("x-api-key", "sk-ant-own")],
            ("x-api-key", "sk-ant-own"),
        ),
        (
            &[("authorization", "Bearer own"), ("x-api-key", "coder-aibridge")],
            ("authorization", "Bearer own"),
        ),
        (
            &[("authorization", "Bearer own"), ("x-api-key", dead)],
            ("authorization", "Bearer own"),
        ),
        (
            &[("x-coder-ai-governance-token", dead), ("x-api-key", "sk-ant-own")],
            ("x-api-key", "sk-ant-own"),
        ),
        (
            &[
                ("x-coder-ai-governance-token", token.expose()),
                ("x-api-key", "sk-ant-own"),
            ],
            ("x-api-key", "sk-ant-own"),
        ),
    ];
    for (headers, expected) in requests {
        let exchange = ask(&mut world, &host, MESSAGES, headers).await;
        assert_eq!(credentials(&exchange), [expected], "{headers:?}");
    }
    for kept in world.records.closed(requests.len()).await {
        assert_eq!(kept.start.unwrap().credential_kind, CredentialKind::Byok);
    }
}

#[tokio::test]
async fn own_credentials_are_403_when_switched_off() {
    let options = WorldOptions {
        allow_byok: false,
        ..WorldOptions::default()
    };
    let mut world = World::with(options).await;
    let (_, token) = world.token();
    let host = world.host("anthropic", &token).await;
    for own in [("x-api-key", "sk-ant-own"), ("authorization", "Bearer own")] {
        let answer = host.send("POST", MESSAGES, &[own], b"{}").await.answer().await;
        assert_eq!(answer.status, 403, "{own:?}");
        assert!(answer.text().contains("permission_error"), "{}", answer.text());
    }
    world.assert_nothing_sent();
    let placeholder = [("x-api-key", "coder-aibridge")];
    let exchange = ask(&mut world, &host, MESSAGES, &placeholder).await;
    assert_eq!(credentials(&exchange), [KEY]);
}

#[tokio::test]
async fn a_living_token_of_somebody_else_is_401_wherever_it_stands() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let (_, stranger) = world.token();
    let stranger = stranger.expose();
    let bearer = format!("Bearer {stranger}");
    let host = world.host("anthropic", &token).await;
    let requests: [&[(&str, &str)]; 4] = [
        &[("authorization", &bearer)],
        &[("x-api-key", stranger)],
        &[
            ("x-coder-ai-governance-token", stranger),
            ("x-api-key", "sk-ant-own"),
        ],
        &[("authorization", &bearer), ("x-api-key", "sk-ant-own")],
    ];
    for headers in requests {
        let answer = host.send("POST", MESSAGES, headers, b"{}").await.answer().await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(answer.text().contains("two different users"), "{}", answer.text());
    }
    world.assert_nothing_sent();
}

/// The proxy's token is looked at first, and nothing in the request stands in for it.
#[tokio::test]
async fn without_the_proxys_token_nobody_passes() {
    let mut world = World::start().await;
    let (user, token) = world.token();
    let second = world.accounts.add_token(user, Scopes::all(), Timestamp::MAX);
    let host = world.host("anthropic", &token).await;
    world.accounts.remove_token(token.id());
    for headers in [
        [("x-api-key", second.expose())],
        [("x-api-key", "sk-ant-own")],
        [("x-coder-ai-governance-token", second.expose())],
    ] {
        let answer = host.send("POST", MESSAGES, &headers, b"{}").await.answer().await;
        assert_eq!(answer.status, 401, "{headers:?}");
    }
    assert_eq!(
        world.accounts.reads.load(Ordering::SeqCst),
        1,
        "nor is the other one looked up"
    );
    world.assert_nothing_sent();
}

/// Nothing is known of such a token; it may be a stranger's.
#[tokio::test]
async fn a_token_in_the_request_that_cannot_be_looked_up_is_503() {
    let mut world = World::start().await;
    let (user, token) = world.token();
    let second = world.accounts.add_token(user, Scopes::all(), Timestamp::MAX);
    let host = world.host("anthropic", &token).await;
    drop(ask(&mut world, &host, MESSAGES, &[]).await);
    *world.accounts.broken.lock() = true;
    let headers = [("x-api-key", second.expose())];
    let answer = host.send("POST", MESSAGES, &headers, b"{}").await.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    world.assert_nothing_sent();
}

#[tokio::test]
async fn a_token_that_would_leak_is_400_and_unclear_credentials_too() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let host = world.host("openai", &token).await;
    let text = token.expose();
    for (path, headers) in [
        (format!("/v1/responses?key={text}"), vec![]),
        ("/v1/responses".to_owned(), vec![("x-other", text)]),
        (
            "/v1/responses".to_owned(),
            vec![("x-api-key", "a"), ("x-api-key", "b")],
        ),
    ] {
        let answer = host.send("POST", &path, &headers, b"{}").await.answer().await;
        assert_eq!(answer.status, 400, "{headers:?}");
        assert!(!answer.text().contains(text));
    }
    world.assert_nothing_sent();
}

#[tokio::test]
async fn websockets_are_426_there_too() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("authorization", "Bearer own"),
    ];
    for (provider, path) in [
        ("openai", "/v1/responses"),
        ("chatgpt", "/backend-api/codex/responses"),
        ("copilot", "/responses"),
    ] {
        let host = world.host(provider, &token).await;
        let answer = host.send("GET", path, &upgrade, b"").await.answer().await;
        assert_eq!(answer.status, 426, "{provider}");
    }
    world.assert_nothing_sent();
}
