//! One gateway's proxy behind another's: tunnels go through the second, which asks for a password of its own over TLS.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::curl::Http;
use super::{World, over_tls, url_at};
use crate::support::{Engine, Site, patiently};

/// Two worlds, and a host that only the outer one may reach by its address.
struct Chain {
    inner: World,
    outer: World,
}

// === impl Chain ===

impl Chain {
    /// The outer one may reach the port on this machine, and the inner one trusts it if it is told to.
    async fn new(port: u16, is_trusted: bool) -> Self {
        let port = port.to_string();
        let reach = [
            ("CODER_AIBRIDGE_PROXY_ALLOWED_PRIVATE_CIDRS", "127.0.0.0/8"),
            ("CODER_AIBRIDGE_PROXY_ALLOWED_PORTS", port.as_str()),
        ];
        let outer = World::behind_tls(&reach).await;
        let upstream = format!("https://coder:{}@{}", outer.token.text, outer.address);
        let ca = outer.listener_certificate.as_ref().unwrap();
        let mut settings = reach.to_vec();
        settings.push(("CODER_AIBRIDGE_PROXY_UPSTREAM", &upstream));
        if is_trusted {
            settings.push(("CODER_AIBRIDGE_PROXY_UPSTREAM_CA", ca.to_str().unwrap()));
        }
        let inner = World::start(Site::new(Engine::Sqlite).await, &settings).await;
        Self { inner, outer }
    }
}

#[tokio::test]
async fn a_tunnel_goes_through_both_until_the_outer_one_has_no_more_of_it() {
    let (elsewhere, certificate) = over_tls().await;
    let Chain { inner, outer } = Chain::new(elsewhere.address().port(), true).await;
    let trusted = inner.gateway.site.path("elsewhere.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let credential = format!("coder:{}", inner.token.text);
    let fetch = || {
        inner
            .curl_with(Some(&credential), Http::Two, &trusted)
            .header("authorization", "Bearer own-key")
            .argument(&url_at(&elsewhere, "/v1/models"))
            .fetch()
    };
    let fetched = fetch().await;
    assert!(fetched.is_whole(), "{fetched:?}");
    let exchange = elsewhere.requests().remove(0);
    assert_eq!(exchange.answer.as_ref().unwrap().body, fetched.body);
    inner.assert_clean(&exchange);
    outer.assert_clean(&exchange);

    // The token with which the inner one presents itself is the outer one's to remove.
    assert_eq!(outer.gateway.remove_token(&outer.owner, &outer.token).await, 204);
    elsewhere.clear();
    let fetched = fetch().await;
    assert_eq!(
        (fetched.last().connect, fetched.last().status),
        (502, 0),
        "{fetched:?}"
    );
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_tunnel_is_cut_by_either_end_of_the_chain() {
    for by_the_inner_one in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let Chain { inner, outer } = Chain::new(target.port(), true).await;
        let mut connected = inner.connect(&target.to_string(), Some(&inner.token)).await;
        assert_eq!(connected.status(), 200, "{}", connected.head);
        let (mut host, _) = listener.accept().await.unwrap();

        let world = if by_the_inner_one { &inner } else { &outer };
        assert_eq!(world.gateway.remove_token(&world.owner, &world.token).await, 204);
        for end in [&mut host, &mut connected.stream] {
            let mut rest = Vec::new();
            let _ended = patiently("the end of the tunnel", end.read_to_end(&mut rest)).await;
            assert!(rest.is_empty());
        }
    }
}

#[tokio::test]
async fn an_outer_proxy_that_is_not_trusted_gets_no_password() {
    let (elsewhere, _) = over_tls().await;
    let target = elsewhere.address();
    let Chain { inner, outer } = Chain::new(target.port(), false).await;
    let connected = inner.connect(&target.to_string(), Some(&inner.token)).await;
    assert_eq!(connected.status(), 502, "{}", connected.head);
    let told = format!("{}{}", connected.head, inner.gateway.log());
    assert!(!told.contains(&outer.token.text), "the password was shown");
    assert!(elsewhere.requests().is_empty());
}
