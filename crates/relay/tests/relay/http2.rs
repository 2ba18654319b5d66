//! HTTP/2 clients: several requests on one connection, each with an end of its own.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

use crate::support::{World, patiently};

async fn connect(world: &World) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(16 * 1024)
        .handshake(stream)
        .await
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test's own connection")]
    tokio::spawn(connection);
    client
}

async fn post(client: &SendRequest<Bytes>, token: &str) -> h2::client::ResponseFuture {
    let request = Request::post("http://gateway.test/api/v2/aibridge/anthropic/v1/messages")
        .header("x-api-key", token)
        .body(())
        .unwrap();
    let mut client = client.clone().ready().await.unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"{\"stream\":true}"), true)
        .unwrap();
    response
}

/// What came of a body, and whether it ended cleanly.
async fn read(mut body: h2::RecvStream) -> (Vec<u8>, Result<(), h2::Error>) {
    let mut all = Vec::new();
    let end = patiently("the end of the stream", async {
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            all.extend_from_slice(&data);
        }
        Ok(())
    })
    .await;
    (all, end)
}

#[tokio::test]
async fn answers_are_byte_exact() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let client = connect(&world).await;
    let response = post(&client, token.expose()).await;
    let exchange = world.exchange().await;
    assert_eq!(exchange.body, "{\"stream\":true}");
    let sending = exchange.stream();
    let expected: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let reading = async {
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        read(response.into_body()).await
    };
    let writing = async {
        for chunk in expected.chunks(10_007) {
            sending.send(chunk.to_vec()).await;
        }
        sending.finish().await;
    };
    let ((all, end), ()) = tokio::join!(reading, writing);
    end.unwrap();
    assert!(all == expected);
}

#[tokio::test]
async fn a_cut_resets_the_stream_and_leaves_the_others() {
    let mut world = World::start().await;
    let (_, alices) = world.token();
    let (_, bobs) = world.token();
    let client = connect(&world).await;
    let alice = post(&client, alices.expose()).await;
    let alice_sends = world.exchange().await.stream();
    let bob = post(&client, bobs.expose()).await;
    let bob_sends = world.exchange().await.stream();
    alice_sends.send("data: a\n\n").await;
    let alice = alice.await.unwrap().into_body();
    let bob = bob.await.unwrap().into_body();
    world.accounts.remove_token(alices.id());
    world.access.revoke_tokens(&[alices.id()]).await;
    assert_eq!(world.access.in_flight(), 1);
    let (got, end) = read(alice).await;
    assert!(end.is_err(), "a cut answer looks complete");
    let got = String::from_utf8(got).unwrap();
    assert!(got.contains("event: error"), "{got}");
    bob_sends.send("data: b\n\n").await;
    bob_sends.finish().await;
    let (got, end) = read(bob).await;
    end.unwrap();
    assert_eq!(got, b"data: b\n\n");
}

/// The client never opens the window of the stream; the cut neither waits for it nor touches its neighbour.
#[tokio::test]
async fn a_stream_that_is_not_read_is_cut_too() {
    let mut world = World::start().await;
    let (_, alices) = world.token();
    let (_, bobs) = world.token();
    let client = connect(&world).await;
    let alice = post(&client, alices.expose()).await;
    let alice_sends = world.exchange().await.stream();
    let bob = post(&client, bobs.expose()).await;
    let bob_sends = world.exchange().await.stream();
    let chunk = Bytes::from(vec![b'x'; 256 * 1024]);
    while tokio::time::timeout(
        std::time::Duration::from_millis(200),
        alice_sends.send(chunk.clone()),
    )
    .await
    .is_ok()
    {}
    world.accounts.remove_token(alices.id());
    world.access.revoke_tokens(&[alices.id()]).await;
    alice_sends.abandoned().await;
    let (got, end) = read(alice.await.unwrap().into_body()).await;
    assert!(end.is_err());
    // No more than what had been let out before: the client's window.
    assert!(got.len() <= 16 * 1024, "{} bytes came after the cut", got.len());
    bob_sends.send("data: b\n\n").await;
    bob_sends.finish().await;
    let (got, end) = read(bob.await.unwrap().into_body()).await;
    end.unwrap();
    assert_eq!(got, b"data: b\n\n");
}

#[tokio::test]
async fn a_client_that_resets_ends_the_exchange() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let client = connect(&world).await;
    let response = post(&client, token.expose()).await;
    let sending = world.exchange().await.stream();
    sending.send("data: x\n\n").await;
    let body = response.await.unwrap().into_body();
    drop(body);
    sending.abandoned().await;
}

/// Without another frame on the connection, that is.
#[tokio::test]
async fn a_finished_answer_leaves_the_registry() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let client = connect(&world).await;
    let response = post(&client, token.expose()).await;
    let sending = world.exchange().await.stream();
    sending.send("data: x\n\n").await;
    sending.finish().await;
    let (_, end) = read(response.await.unwrap().into_body()).await;
    end.unwrap();
    patiently("the end of the request", async {
        while world.access.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(client);
}

/// The client has opened every window and stopped reading, so frames stand half-written; the cut does not wait for it.
#[tokio::test]
async fn a_connection_that_is_not_read_is_taken_away() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let mut connection = std::pin::pin!(connection);
    let response = tokio::select! {
        _ = &mut connection => panic!("the connection ended"),
        response = post(&client, token.expose()) => response,
    };
    let exchange = tokio::select! {
        _ = &mut connection => panic!("the connection ended"),
        exchange = world.exchange() => exchange,
    };
    let sending = exchange.stream();
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    while tokio::time::timeout(std::time::Duration::from_millis(200), sending.send(chunk.clone()))
        .await
        .is_ok()
    {}
    world.accounts.remove_token(token.id());
    let started = std::time::Instant::now();
    world.access.revoke_tokens(&[token.id()]).await;
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    sending.abandoned().await;
    let ended = async {
        let (_, end) = read(response.await?.into_body()).await;
        end
    };
    let (ended, _) = tokio::join!(ended, connection);
    assert!(ended.is_err(), "a cut answer looks complete");
    assert_eq!(world.access.in_flight(), 0);
}
