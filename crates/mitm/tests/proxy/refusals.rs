//! Requests that lead nowhere.

use std::time::Duration;

use gateway_core::{Scopes, Timestamp};
use gateway_mitm::proxy::{Outcome, ProxyOptions};

use crate::support::{Client, End, PRIVATE, PROVIDER, Setup, Target, World, basic};

async fn refused(world: &World, request: &str, status: u16, part: &str) {
    let mut client = world.client().await;
    client.send(request).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    assert!(answer.body.contains(part), "{request:?}: {answer:?}");
    assert!(
        answer.head.contains("Connection: close"),
        "{request:?}: {answer:?}"
    );
    assert_eq!(client.end().await, End::Closed, "{request:?}");
}

#[tokio::test]
async fn a_bad_target_is_refused_in_words() {
    let world = World::start().await;
    let credential = basic(&world.token());
    for (target, word) in [
        (PROVIDER, "port"),
        ("api.provider.test:0", "port"),
        ("api.provider.test:65536", "port"),
        (":443", "host"),
        ("a@api.provider.test:443", "host:port"),
        ("https://api.provider.test:443/", "host:port"),
        ("[fe80::1%25eth0]:443", "host:port"),
        ("a%2eb:443", "host:port"),
        ("/", "host:port"),
        // A name of this shape would be looked up, and told to an upstream proxy.
        (&format!("{}:443", world.token().expose()), "token"),
        (&format!("a.{}.test:443", world.token().expose()), "token"),
    ] {
        refused(
            &world,
            &format!("CONNECT {target} HTTP/1.1\r\n{credential}\r\n"),
            400,
            word,
        )
        .await;
    }
    assert_eq!(world.counters.outcomes(Outcome::Malformed), 11);
    world.finished().await;
}

#[tokio::test]
async fn a_bad_head_is_refused_in_words() {
    let world = World::start().await;
    let credential = basic(&world.token());
    let ok = format!("CONNECT {PROVIDER}:443 HTTP/1.1\r\n{credential}");
    for (request, status, word) in [
        (format!("{ok}Content-Length: 5\r\n\r\nhello"), 400, "body"),
        (
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
            "body",
        ),
        (format!("{ok}Host: a\r\nHost: b\r\n\r\n"), 400, "Host"),
        (format!("{ok}{credential}\r\n"), 400, "Proxy-Authorization"),
        (format!("{ok}A: b\r\n c\r\n\r\n"), 400, "folded"),
        (format!("{ok}A: b\nC: d\r\n\r\n"), 400, "CRLF"),
        (format!("{ok}A: \0\r\n\r\n"), 400, "HTTP/1"),
        (format!("CONNECT {PROVIDER}:443 HTTP/3.0\r\n\r\n"), 400, "HTTP/1"),
        ("\x16\x03\x01\x02\x00".into(), 400, "TLS"),
        (format!("{ok}A: {}\r\n\r\n", "b".repeat(16 * 1024)), 431, "large"),
        (format!("{ok}{}", "A: b\r\n".repeat(3000)), 431, "large"),
    ] {
        refused(&world, &request, status, word).await;
    }
    assert_eq!(world.counters.outcomes(Outcome::Malformed), 11);
    world.finished().await;
}

#[tokio::test]
async fn nothing_but_connect_is_served() {
    let world = World::start().await;
    for (request, status, word) in [
        (
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
            403,
            "CONNECT",
        ),
        (
            "POST http://example.com/ HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
            403,
            "CONNECT",
        ),
        ("GET / HTTP/1.1\r\nHost: proxy\r\n\r\n", 400, "AI Gateway Proxy"),
        (
            "OPTIONS * HTTP/1.1\r\nHost: proxy\r\n\r\n",
            400,
            "AI Gateway Proxy",
        ),
    ] {
        refused(&world, request, status, word).await;
    }
    assert_eq!(world.counters.outcomes(Outcome::NotConnect), 4);
    world.finished().await;
}

#[tokio::test]
async fn an_http2_client_is_sent_away_in_its_own_words() {
    let world = World::start().await;
    let client = world.client().await;
    let (_send, connection) = h2::client::handshake(client.io).await.unwrap();
    let error = crate::support::patiently("the end", connection)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::HTTP_1_1_REQUIRED));
    world.finished().await;
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_opened() {
    let world = World::start().await;
    let target = Target::listen().await;
    let unknown = gateway_core::ApiToken::generate(&mut rand::rng());
    let expired = world.accounts.add(Scopes::all(), Timestamp::from_micros(1));
    for target in [format!("{PROVIDER}:443"), target.authority()] {
        for (credential, word) in [
            (String::new(), "HTTPS_PROXY"),
            (basic(&unknown), "not a valid"),
            (basic(&expired), "expired"),
            (
                "Proxy-Authorization: Basic Y29kZXI6c2stYW50LTE=\r\n".into(),
                "no gateway token",
            ),
            ("Proxy-Authorization: Digest x\r\n".into(), "Basic"),
        ] {
            let mut client = world.client().await;
            client
                .send(format!("CONNECT {target} HTTP/1.0\r\n{credential}\r\n"))
                .await;
            let answer = client.answer().await;
            assert_eq!(answer.status, 407, "{credential}");
            let challenge = "Proxy-Authenticate: Basic realm=\"AI Gateway Proxy\"\r\n";
            assert!(answer.head.contains(challenge), "{answer:?}");
            assert!(answer.body.contains(word), "{credential}: {answer:?}");
            assert_eq!(client.end().await, End::Closed, "kept open for HTTP/1.0");
        }
    }
    assert_eq!(world.counters.outcomes(Outcome::Unauthenticated), 10);
    world.finished().await;
}

#[tokio::test]
async fn a_client_may_send_its_credential_when_it_is_asked() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let mut client = world.client().await;
    client.connect(&target.authority(), None).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 407);
    assert!(answer.head.contains("Connection: keep-alive"));
    client.connect(&target.authority(), Some(&token)).await;
    client.established().await;
    client.send("hello").await;
    assert_eq!(target.accept().await.take_until("hello").await, "hello");

    // Not without end, and not where the client says that it will not.
    let mut client = world.client().await;
    for _ in 0..3 {
        client.connect(&target.authority(), None).await;
        assert!(client.answer().await.head.contains("keep-alive"));
    }
    client.connect(&target.authority(), None).await;
    assert!(client.answer().await.head.contains("Connection: close"));
    assert_eq!(client.end().await, End::Closed);
    for closing in ["Proxy-Connection: close", "Connection: close"] {
        let mut client = world.client().await;
        client
            .send(format!("CONNECT a.test:443 HTTP/1.1\r\n{closing}\r\n\r\n"))
            .await;
        assert!(
            client.answer().await.head.contains("Connection: close"),
            "{closing}"
        );
        assert_eq!(client.end().await, End::Closed, "{closing}");
    }
    // What came along with a refused request is never read as the next.
    let mut client = world.client().await;
    client
        .send(format!(
            "CONNECT a.test:443 HTTP/1.1\r\n\r\nCONNECT a.test:443 HTTP/1.1\r\n{}\r\n",
            basic(&token)
        ))
        .await;
    assert_eq!(client.answer().await.status, 407);
    assert_eq!(client.end().await, End::Closed);
    assert!(client.buffer.is_empty());
}

#[tokio::test]
async fn a_store_that_is_away_makes_nobody_invalid() {
    let world = World::start().await;
    let token = world.token();
    *world.accounts.is_broken.lock() = true;
    let mut client = world.client().await;
    client.connect("a.test:443", Some(&token)).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("Retry-After: 1\r\n"));
    world.finished().await;
}

#[tokio::test]
async fn anonymous_tunnels_are_for_hosts_that_are_not_intercepted() {
    let options = ProxyOptions {
        allow_anonymous_tunnels: true,
        ..ProxyOptions::default()
    };
    let world = World::with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    let target = Target::listen().await;
    let mut client = world.client().await;
    client.connect(&target.authority(), None).await;
    client.established().await;
    let mut there = target.accept().await;
    client.send("hi").await;
    there.take_until("hi").await;

    let mut refused = world.client().await;
    refused.connect(&format!("{PROVIDER}:443"), None).await;
    assert_eq!(refused.answer().await.status, 407);
    // One that is sent counts.
    let unknown = gateway_core::ApiToken::generate(&mut rand::rng());
    let mut refused = world.client().await;
    refused.connect(&target.authority(), Some(&unknown)).await;
    assert_eq!(refused.answer().await.status, 407);
    drop((client, there, refused));
    world.finished().await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_before_the_tunnel_opens() {
    let setup = Setup {
        connect_timeout: Some(Duration::from_millis(100)),
        ..Setup::default()
    };
    let world = World::with(setup).await;
    let token = world.token();
    let closed = {
        let target = Target::listen().await;
        target.authority()
    };
    for (target, status) in [
        (format!("{PRIVATE}:443"), 403),
        ("10.0.0.1:443".into(), 403),
        ("0xa.1:443".into(), 403),
        ("[::ffff:10.0.0.1]:443".into(), 403),
        ("target.test:25".into(), 403),
        ("unknown.test:443".into(), 502),
        ("silent.test:443".into(), 502),
        (closed, 502),
    ] {
        let mut client = world.client().await;
        client.connect(&target, Some(&token)).await;
        assert_eq!(client.answer().await.status, status, "{target}");
        assert_eq!(client.end().await, End::Closed);
    }
    assert_eq!(world.counters.outcomes(Outcome::Blocked), 5);
    assert_eq!(world.counters.outcomes(Outcome::Unreachable), 3);
    world.finished().await;
}

#[tokio::test]
async fn the_proxy_itself_speaks_tls_and_only_http1_in_it() {
    let world = World::with(Setup {
        with_tls: true,
        ..Setup::default()
    })
    .await;
    let (token, target) = (world.token(), Target::listen().await);
    for alpn in [&b""[..], b"http/1.1"] {
        let io = world
            .tls(world.client().await.io, "proxy.test", alpn)
            .await
            .unwrap();
        let mut client = Client::new(io);
        client.connect(&target.authority(), Some(&token)).await;
        client.established().await;
        let mut there = target.accept().await;
        client.send("up").await;
        there.take_until("up").await;
        there.send("down").await;
        client.take_until("down").await;
        // TLS within TLS.
        let io = world
            .tls(world.client().await.io, "proxy.test", alpn)
            .await
            .unwrap();
        let mut client = Client::new(io);
        client.connect(&format!("{PROVIDER}:443"), Some(&token)).await;
        client.established().await;
        let mut client = Client::new(world.tls(client.io, PROVIDER, b"http/1.1").await.unwrap());
        client.get("/v1/models").await;
        assert_eq!(client.answer().await.status, 200);
    }
    let refused = world.tls(world.client().await.io, "proxy.test", b"h2").await;
    assert!(refused.is_err());
    world.finished().await;
}
