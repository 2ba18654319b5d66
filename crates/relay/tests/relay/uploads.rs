//! What clients are still sending, and what is still being sent to a provider.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_core::ApiToken;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Client, End, World, WorldOptions, patiently};

const MESSAGES: &str = "/api/v2/aibridge/anthropic/v1/messages";

/// More than the kernel takes for a provider that does not read.
const LARGE: usize = 24 * 1024 * 1024;

async fn world_of_own_provider() -> (World, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = WorldOptions {
        provider: Some(listener.local_addr().unwrap()),
        ..WorldOptions::default()
    };
    (World::with(options).await, listener)
}

fn large_message() -> Vec<u8> {
    let text = "x".repeat(LARGE);
    format!(r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}"#).into_bytes()
}

/// Sends a request that the provider takes in no further than its kernel does. Returns the client and the provider's
/// end of the connection.
async fn stuck_upload(world: &World, listener: &TcpListener, token: &ApiToken) -> (Client, TcpStream) {
    let headers = [("x-api-key", token.expose())];
    let client = world.send("POST", MESSAGES, &headers, &large_message()).await;
    let (provider, _) = patiently("the upload", listener.accept()).await.unwrap();
    let mut received = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = arrived(&provider).await;
        if now == received {
            return (client, provider);
        }
        received = now;
    }
}

/// How much has arrived and was not read.
async fn arrived(provider: &TcpStream) -> usize {
    let mut buffer = vec![0; LARGE + 1024 * 1024];
    patiently("the first byte", provider.peek(&mut buffer))
        .await
        .unwrap()
}

/// Reads to the end; whether that was a reset, and how much came.
async fn rest(mut provider: TcpStream) -> (usize, bool) {
    let mut buffer = vec![0; 1024 * 1024];
    let mut total = 0;
    loop {
        match patiently("the end of the upload", provider.read(&mut buffer)).await {
            Ok(0) => return (total, false),
            Ok(count) => total += count,
            Err(error) => return (total, error.kind() == ErrorKind::ConnectionReset),
        }
    }
}

#[tokio::test]
async fn an_upload_is_severed_with_its_token() {
    let (world, listener) = world_of_own_provider().await;
    let (_, token) = world.token();
    let (mut client, provider) = stuck_upload(&world, &listener, &token).await;
    world.accounts.remove_token(token.id());
    world.access.revoke_tokens(&[token.id()]).await;
    let before = arrived(&provider).await;
    let (received, is_reset) = rest(provider).await;
    assert_eq!(received, before, "bytes were sent after the cut");
    assert!(is_reset && received < LARGE);
    assert_eq!(client.answer().await.status, 401);
    assert_eq!(world.access.in_flight(), 0);
}

/// The provider answers before it has read the request; that does not make the rest of the upload anybody else's.
#[tokio::test]
async fn an_upload_that_is_answered_early_is_severed_too() {
    let (world, listener) = world_of_own_provider().await;
    let (_, token) = world.token();
    let (mut client, mut provider) = stuck_upload(&world, &listener, &token).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: ping\ndata: {}\n\n";
    provider.write_all(head).await.unwrap();
    client.read_until(b"event: ping").await;
    world.accounts.remove_token(token.id());
    world.access.revoke_tokens(&[token.id()]).await;
    let before = arrived(&provider).await;
    let (received, is_reset) = rest(provider).await;
    assert_eq!(received, before, "bytes were sent after the cut");
    assert!(is_reset && received < LARGE);
    assert_ne!(client.answer().await.end, End::Complete);
}

/// No revocation finds a request whose client is gone, so nothing of it may be left behind.
#[tokio::test]
async fn an_upload_whose_client_leaves_is_severed() {
    let (world, listener) = world_of_own_provider().await;
    let (_, token) = world.token();
    let (client, provider) = stuck_upload(&world, &listener, &token).await;
    drop(client);
    patiently("the end of the request", async {
        while world.access.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = arrived(&provider).await;
    let (received, is_reset) = rest(provider).await;
    assert_eq!(
        received, before,
        "bytes were sent when nobody could cut them any more"
    );
    assert!(is_reset);
}

/// Answers every request on the connection alike.
async fn serve_plainly(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => buffer.extend_from_slice(&chunk[..count]),
            _ => return,
        }
        if buffer.ends_with(b"}") {
            buffer.clear();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_finished_exchange_leaves_its_connection_to_the_next() {
    let (world, listener) = world_of_own_provider().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let provide = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            #[expect(clippy::disallowed_methods, reason = "the test's own provider")]
            tokio::spawn(serve_plainly(stream));
        }
    };
    let ask = async {
        for _ in 0..20 {
            let (_, token) = world.token();
            assert_eq!(world.post_message(&token).await.answer().await.text(), "{}");
            world.access.revoke_tokens(&[token.id()]).await;
        }
    };
    tokio::select! {
        () = ask => {}
        () = provide => {}
    }
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections < 10, "{connections} connections for 20 requests");
}

/// Clients of large bodies ask first. A refusal is the answer at once, and nobody waits for the body.
#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_the_refusal() {
    let mut world = World::start().await;
    let mut client = world.connect().await;
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: nobody\r\n\
         expect: 100-continue\r\ncontent-length: 1000000\r\n\r\n"
    );
    client.stream.write_all(head.as_bytes()).await.unwrap();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.end), (401, End::Complete));
    let mut rest = Vec::new();
    patiently("the end of the connection", client.stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty());
    world.assert_nothing_sent();
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_when_its_body_is_wanted() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.connect().await;
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\
         expect: 100-continue\r\ncontent-length: 13\r\n\r\n",
        token.expose()
    );
    client.stream.write_all(head.as_bytes()).await.unwrap();
    client.read_until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    client.stream.write_all(br#"{"model":"m"}"#).await.unwrap();
    assert_eq!(world.exchange().await.body, r#"{"model":"m"}"#);
}
