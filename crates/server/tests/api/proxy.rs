//! What the API tells of the AI Gateway Proxy.

use std::time::Duration;

use gateway_core::ProviderKind;
use gateway_mitm::dial::DialOptions;
use gateway_relay::ProviderConfig;
use gateway_relay::listen::Endpoint;
use gateway_server::config::AuthoritySource;
use gateway_server::{Parts, ProxyParts};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{PASSWORD, Server};

pub(crate) fn provider(name: &str, base_url: &str) -> ProviderConfig {
    ProviderConfig {
        name: name.parse().unwrap(),
        kind: ProviderKind::OpenAi,
        base_url: base_url.parse().unwrap(),
        key: None,
        inject_usage: false,
    }
}

/// With a proxy whose authority is made in the directory of the database. Gives the owner's session, too.
pub(crate) async fn with_proxy() -> (Server, String) {
    let directory = tempfile::tempdir().unwrap();
    let authority = AuthoritySource::Directory(directory.path().to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let change = |parts: &mut Parts| {
        parts.relay.providers = vec![
            provider("openai", "https://api.openai.com/v1"),
            provider("eu", "https://api.openai.com/v1"),
            provider("local", "http://[::1]:8000/v1"),
        ];
        parts.proxy = Some(ProxyParts {
            endpoint: Endpoint {
                listener,
                tls: None,
                max_connections: 16,
            },
            url: "http://proxy.example.com:4711/".parse().unwrap(),
            authority,
            dial: DialOptions::default(),
            allow_anonymous_tunnels: false,
            idle_timeout: Duration::from_mins(1),
        });
    };
    let server = Server::start(directory, change).await;
    let body = json!({"email": "admin@example.com", "username": "admin", "password": PASSWORD});
    assert_eq!(server.post("/users/first", "", body).await.status, 201);
    let session = server.login("admin@example.com").await;
    (server, session)
}

#[tokio::test]
async fn everybody_who_is_signed_in_may_know_how_to_reach_it() {
    let (server, owner) = with_proxy().await;
    let member = server.user(&owner, "alice", &[]).await;
    for prefix in ["/aibridge", "/ai-gateway"] {
        assert_eq!(server.get(&format!("{prefix}/proxy"), "").await.status, 401);
        let reply = server.get(&format!("{prefix}/proxy"), &member).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let told = reply.json();
        assert_eq!(told["enabled"], true);
        assert_eq!(told["url"], "http://proxy.example.com:4711");
        assert_eq!(told["tls"], false);
        assert_ne!(told["port"].as_u64().unwrap(), 0);
        assert_eq!(told["ca"]["sha256_fingerprint"].as_str().unwrap().len(), 95);
        assert!(told["ca"]["expires_at"].as_str().unwrap() > "2027");
        assert_eq!(
            told["hosts"],
            json!([
                {"host": "api.openai.com", "port": 443, "provider": "openai", "shadowed": ["eu"]},
                {"host": "[::1]", "port": 8000, "provider": "local", "shadowed": []},
            ])
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn its_certificate_is_a_file() {
    let (server, owner) = with_proxy().await;
    for prefix in ["/aibridge", "/ai-gateway"] {
        let path = format!("{prefix}/proxy/ca-cert.pem");
        assert_eq!(server.get(&path, "").await.status, 401);
        let reply = server.get(&path, &owner).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.headers["content-type"], "application/x-pem-file");
        assert_eq!(
            reply.headers["content-disposition"],
            "attachment; filename=\"ca-cert.pem\""
        );
        let kept = std::fs::read_to_string(server.directory().join("aibridge-proxy-ca.pem")).unwrap();
        assert_eq!(reply.text, kept);
        assert!(!reply.text.contains("PRIVATE"));
    }
    server.stop().await;
}

#[tokio::test]
async fn while_it_is_off_there_is_nothing_to_trust() {
    let (server, owner) = Server::with_owner().await;
    let told = server.get("/aibridge/proxy", &owner).await.json();
    assert_eq!(told["enabled"], false);
    assert_eq!(told["hosts"], json!([]));
    let reply = server.get("/aibridge/proxy/ca-cert.pem", &owner).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["message"], "the AI Gateway Proxy is off");
}
