//! Intercepted connections: what the service is handed, and what it is not.

use gateway_mitm::proxy::Outcome;

use crate::support::{Client, End, PROVIDER, World, basic, patiently, until};

#[tokio::test]
async fn requests_reach_the_service_with_the_pin() {
    let world = World::start().await;
    let token = world.token();
    for alpn in [&b"http/1.1"[..], b""] {
        let mut client = world.intercepted(&token, alpn).await;
        client
            .send(format!(
                "POST /v1/messages?beta=true HTTP/1.1\r\nHost: {}.:443\r\n{}Proxy-Connection: keep-alive\r\n\
                 Content-Length: 5\r\n\r\nhello",
                PROVIDER.to_uppercase(),
                basic(&token),
            ))
            .await;
        let expected = format!("anthropic {} POST /v1/messages HTTP/1.1 5 0", token.id());
        assert_eq!(client.answer().await.body, expected);
        assert_eq!(world.counters.intercepted(), 1);
        // On the same connection, in the other forms that a request may have.
        client.get("/v1/models").await;
        assert_eq!(client.answer().await.status, 200);
        client
            .send(format!(
                "GET https://{PROVIDER}/v1/models HTTP/1.1\r\nHost: {PROVIDER}\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.status, 200);
        client.send("GET /v1/models HTTP/1.0\r\n\r\n").await;
        let answer = client.answer().await;
        assert!(answer.body.contains("HTTP/1.0"), "{answer:?}");
        assert_eq!(client.end().await, End::Closed);
        world.is_quiet().await;
    }
    assert_eq!(world.counters.outcomes(Outcome::Intercepted), 2);
    world.finished().await;
}

#[tokio::test]
async fn http2_is_spoken_inside() {
    let world = World::start().await;
    let token = world.token();
    let client = world.intercepted(&token, b"h2").await;
    let (send, connection) = h2::client::handshake(client.io).await.unwrap();
    let driving = world.tasks().spawn(connection);
    let mut send = send.ready().await.unwrap();
    for (host, status) in [
        (PROVIDER, 200),
        ("api.provider.test:443", 200),
        ("API.provider.test.", 200),
        ("api.openai.com", 421),
        ("api.provider.test:8443", 421),
    ] {
        let request = http::Request::builder()
            .uri(format!("https://{host}/v1/models"))
            .body(())
            .unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        let answer = patiently("the answer", answer).await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
    drop(send);
    let _ = patiently("the end", driving).await;
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let world = World::start().await;
    let token = world.token();
    let mut client = world.intercepted(&token, b"http/1.1").await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: api.openai.com\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: api.provider.test:8443\r\n", 421),
        (
            "GET https://api.openai.com/ HTTP/1.1\r\nHost: api.provider.test\r\n",
            421,
        ),
        (
            "GET http://api.provider.test/ HTTP/1.1\r\nHost: api.provider.test\r\n",
            421,
        ),
        (
            "GET / HTTP/1.1\r\nHost: api.provider.test\r\nHost: api.openai.com\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 3\r\n",
            421,
        ),
    ] {
        let body = if head.starts_with("POST") { "abc" } else { "" };
        client.send(format!("{head}\r\n{body}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{head}");
        let lower = answer.head.to_ascii_lowercase();
        assert!(lower.contains("x-should-retry: false"), "{answer:?}");
        assert!(
            answer.body.starts_with(r#"{"type":"error","error":{"#),
            "{answer:?}"
        );
    }
    assert_eq!(world.counters.misdirected(), 7);
    // Nothing of it has hurt the connection.
    client.get("/v1/models").await;
    assert_eq!(client.answer().await.status, 200);
    drop(client);
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn the_port_and_the_name_in_the_handshake_must_be_right() {
    let world = World::start().await;
    let token = world.token();
    let client = world.connected(&token, &format!("{PROVIDER}:443")).await;
    assert!(world.tls(client.io, "api.openai.com", b"http/1.1").await.is_err());
    until("the count", || world.counters.failed_handshakes() == 1).await;
    // Another port of the table is another authority, to which its requests have to be sent.
    let client = world.connected(&token, &format!("{PROVIDER}:8443")).await;
    let mut client = Client::new(world.tls(client.io, PROVIDER, b"http/1.1").await.unwrap());
    client.get("/").await;
    assert_eq!(client.answer().await.status, 421);
    client
        .send(format!("GET / HTTP/1.1\r\nHost: {PROVIDER}:8443\r\n\r\n"))
        .await;
    assert_eq!(client.answer().await.status, 200);
    drop(client);
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn a_client_hello_may_come_with_the_request() {
    let world = World::start().await;
    let token = world.token();
    let mut client = world.client().await;
    client.connect(&format!("{PROVIDER}:443"), Some(&token)).await;
    // The hello goes out before the answer has been read.
    let io = crate::support::Early::new(client.io);
    let mut client = Client::new(world.tls(io, PROVIDER, b"http/1.1").await.unwrap());
    client.get("/v1/models").await;
    assert_eq!(client.answer().await.status, 200);
    drop(client);
    world.finished().await;
}

#[tokio::test]
async fn an_answer_streams_as_it_comes() {
    let world = World::start().await;
    let token = world.token();
    let stream = world.stream();
    let mut client = world.intercepted(&token, b"http/1.1").await;
    client.get("/stream").await;
    client.take_until("\r\n\r\n").await;
    for part in ["one", "two"] {
        stream.send(part.into()).unwrap();
        client.take_until(part).await;
    }
    drop(stream);
    client.take_until("0\r\n\r\n").await;
    drop(client);

    let stream = world.stream();
    let client = world.intercepted(&token, b"h2").await;
    let (send, connection) = h2::client::handshake(client.io).await.unwrap();
    let driving = world.tasks().spawn(connection);
    let mut send = send.ready().await.unwrap();
    let request = http::Request::get(format!("https://{PROVIDER}/stream"))
        .body(())
        .unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    let mut body = patiently("the head", answer).await.unwrap().into_body();
    for part in ["one", "two"] {
        stream.send(part.into()).unwrap();
        assert_eq!(patiently("data", body.data()).await.unwrap().unwrap(), part);
    }
    drop(stream);
    while let Some(data) = patiently("the end", body.data()).await {
        assert!(data.unwrap().is_empty());
    }
    drop((send, body));
    let _ = patiently("the end", driving).await;
    world.is_quiet().await;
    world.finished().await;
}
