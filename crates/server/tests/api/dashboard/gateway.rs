//! The pages of providers and of the proxy.

use gateway_core::Secret;
use serde_json::json;

use super::browser::{Browser, copied};
use crate::proxy::with_proxy;
use crate::support::Server;

#[tokio::test]
async fn the_proxy_is_described_to_everybody() {
    let (server, owner) = with_proxy().await;
    server.user(&owner, "alice", &[]).await;
    let mut alice = Browser::signed_in(&server, "alice@example.com").await;
    let page = alice.get("/ai-gateway/proxy").await;
    assert!(page.text.contains("http://proxy.example.com:4711"), "{page:?}");
    assert!(page.text.contains("api.openai.com:443"), "{page:?}");
    let described = server.get("/aibridge/proxy", &owner).await.json();
    let fingerprint = described["ca"]["sha256_fingerprint"].as_str().unwrap();
    assert!(page.text.contains(fingerprint), "{page:?}");
    let lines = copied(&page, "posix");
    assert!(
        lines.contains("export HTTPS_PROXY=&#39;http://coder:YOUR_TOKEN@proxy.example.com:4711&#39;"),
        "{lines}"
    );
    assert!(
        lines.contains("localhost,127.0.0.1,::1,gateway.example.com"),
        "{lines}"
    );
    assert!(copied(&page, "cli-posix").contains("coder aibridge proxy env"));
    let certificate = alice.get("/ai-gateway/proxy/ca-cert.pem").await;
    assert!(certificate.text.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!certificate.text.contains("PRIVATE KEY"));
    assert_eq!(
        certificate.headers["content-disposition"],
        "attachment; filename=\"ai-gateway-ca.pem\""
    );
}

#[tokio::test]
async fn lines_for_clients_are_of_what_is_served() {
    let (server, _owner) = with_proxy().await;
    let mut browser = Browser::signed_in(&server, "admin@example.com").await;
    let fields = [("name", ""), ("lifetime", "7"), ("scope", "aibridge")];
    let created = browser.fill("/settings/tokens/new", &fields).await;
    let token = copied(&created, "secret");
    for (id, line) in [
        (
            "codex",
            "https://gateway.example.com/api/v2/aibridge/openai/v1".to_owned(),
        ),
        (
            "openai-sdk",
            "OPENAI_BASE_URL=https://gateway.example.com/api/v2/aibridge/openai/v1".to_owned(),
        ),
        (
            "proxy",
            format!("HTTPS_PROXY=&#39;http://coder:{token}@proxy.example.com:4711&#39;"),
        ),
    ] {
        let lines = copied(&created, id);
        assert!(lines.contains(&line) && lines.contains(&token), "{lines}");
    }
    assert!(!created.text.contains("claude-code"), "no such provider");
}

#[tokio::test]
async fn a_proxy_that_is_off_says_how_to_switch_it_on() {
    let (server, _owner) = Server::with_owner().await;
    let mut browser = Browser::signed_in(&server, "admin@example.com").await;
    let page = browser.get("/ai-gateway/proxy").await;
    assert!(page.text.contains("--aibridge-proxy-enabled"), "{page:?}");
    assert_eq!(browser.get("/ai-gateway/proxy/ca-cert.pem").await.status, 404);
}

#[tokio::test]
async fn providers_are_shown_without_their_keys() {
    let key = "sk-proj-abcdefghijklmnopqrstuvwxyz";
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory, |parts| {
        let mut provider = crate::proxy::provider("openai", "https://api.openai.com/v1");
        provider.key = Some(Secret::new(key));
        parts.relay.providers = vec![provider, crate::proxy::provider("local", "http://[::1]:8000/v1")];
    })
    .await;
    let body =
        json!({"email": "admin@example.com", "username": "admin", "password": crate::support::PASSWORD});
    assert_eq!(server.post("/users/first", "", body).await.status, 201);
    let mut browser = Browser::signed_in(&server, "admin@example.com").await;
    let page = browser.get("/ai-gateway/providers").await.text;
    for words in [
        "https://api.openai.com/v1",
        "https://gateway.example.com/api/v2/aibridge/openai",
        "sk-p...wxyz",
        "http://[::1]:8000/v1",
        "only callers with a credential of their own are served",
        "0 requests",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains(key));
}
