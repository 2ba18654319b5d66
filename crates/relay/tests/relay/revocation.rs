//! Streams in flight end when their right does, and nobody else's.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::{End, World};

#[tokio::test]
async fn a_cut_stream_says_so_and_ends_in_a_reset() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send("event: ping\ndata: {}\n\n").await;
    client.read_until(b"event: ping").await;
    world.accounts.remove_token(token.id());
    world.access.revoke_tokens(&[token.id()]).await;
    let answer = client.answer().await;
    assert_ne!(answer.end, End::Complete);
    assert!(
        answer.text().contains("event: error\ndata: {\"type\":\"error\""),
        "{}",
        answer.text()
    );
    assert!(
        answer.text().contains("authentication_error"),
        "{}",
        answer.text()
    );
    sending.abandoned().await;
    assert_eq!(world.access.in_flight(), 0);
}

/// A third of the clients read nothing at all; the revocation does not wait for them.
#[tokio::test]
async fn clients_that_do_not_read_cannot_delay_it() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut clients = Vec::new();
    let mut sendings = Vec::new();
    for _ in 0..8 {
        clients.push(world.post_message(&token).await);
        sendings.push(world.exchange().await.stream());
    }
    // Fill every buffer on the way until the provider itself is held up.
    let chunk = Bytes::from(format!(": {}\n\n", "x".repeat(1 << 20)));
    for sending in &sendings {
        let mut stuck = false;
        while !stuck {
            stuck = tokio::time::timeout(Duration::from_millis(200), sending.send(chunk.clone()))
                .await
                .is_err();
        }
    }
    world.accounts.remove_token(token.id());
    let started = Instant::now();
    world.access.revoke_tokens(&[token.id()]).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "took {:?}",
        started.elapsed()
    );
    for sending in &sendings {
        sending.abandoned().await;
    }
    for mut client in clients {
        let answer = client.answer().await;
        assert_ne!(answer.end, End::Complete);
    }
}

/// From the return of the revocation on, not a byte more reaches a client: what it can still read is what the
/// kernel had, so the provider's later bytes never show up.
#[tokio::test]
async fn nothing_sent_after_the_cut_arrives() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send("data: before\n\n").await;
    client.read_until(b"before").await;
    world.accounts.remove_token(token.id());
    world.access.revoke_tokens(&[token.id()]).await;
    sending.send("data: after\n\n").await;
    let answer = client.answer().await;
    assert!(!answer.text().contains("after"), "{}", answer.text());
}

#[tokio::test]
async fn exactly_theirs_end() {
    let mut world = World::start().await;
    let (alice, alices) = world.token();
    let alices_other =
        world
            .accounts
            .add_token(alice, gateway_core::Scopes::all(), gateway_core::Timestamp::MAX);
    let (_, bobs) = world.token();
    let mut streams = Vec::new();
    for token in [&alices, &alices_other, &bobs, &alices, &bobs] {
        let client = world.post_message(token).await;
        streams.push((token.clone(), client, world.exchange().await.stream()));
    }
    world.accounts.remove_token(alices.id());
    world.access.revoke_tokens(&[alices.id()]).await;
    assert_eq!(world.access.in_flight(), 3);
    for (_, _, sending) in &streams {
        sending.send("data: more\n\n").await;
    }
    for (token, mut client, sending) in streams {
        if token.id() == alices.id() {
            assert_ne!(client.answer().await.end, End::Complete);
            continue;
        }
        sending.finish().await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.end, answer.text().as_str()),
            (End::Complete, "data: more\n\n")
        );
    }
}

#[tokio::test]
async fn a_second_caller_waits_for_the_same_cut() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send("data: x\n\n").await;
    client.read_until(b"data: x").await;
    world.accounts.remove_token(token.id());
    let (id, tokens) = (token.id(), [token.id()]);
    let first = world.access.revoke_tokens(&tokens);
    let second = world.access.revoke_tokens(&tokens);
    tokio::join!(first, second);
    assert_eq!(world.access.in_flight(), 0, "{id:?}");
    assert_ne!(client.answer().await.end, End::Complete);
}

/// The last bytes of a finished answer may still stand in this process for a client that does not read.
#[tokio::test]
async fn an_answer_that_is_not_out_yet_is_still_in_flight() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    loop {
        if tokio::time::timeout(Duration::from_millis(200), sending.send(chunk.clone()))
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(world.access.in_flight(), 1);
    world.accounts.remove_token(token.id());
    world.access.revoke_tokens(&[token.id()]).await;
    assert_ne!(client.answer().await.end, End::Complete);
}

#[tokio::test]
async fn expiry_stops_new_requests_and_lets_a_stream_finish() {
    let mut world = World::start().await;
    let user = gateway_core::UserId::generate();
    let token = world.accounts.add_token(
        user,
        gateway_core::Scopes::all(),
        gateway_core::Timestamp::from_micros(2_000_000),
    );
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    world.clock.advance(Duration::from_secs(1));
    let refused = world.post_message(&token).await.answer().await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("expired"), "{}", refused.text());
    sending.send("data: end\n\n").await;
    sending.finish().await;
    assert_eq!(client.answer().await.end, End::Complete);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_exchange() {
    let mut world = World::start().await;
    let (_, token) = world.token();
    let mut client = world.post_message(&token).await;
    let sending = world.exchange().await.stream();
    sending.send("data: x\n\n").await;
    client.read_until(b"data: x").await;
    drop(client);
    sending.abandoned().await;
    let waiting = world.post_message(&token).await;
    let exchange = world.exchange().await;
    drop(waiting);
    let sending = exchange.stream();
    sending.abandoned().await;
}

const MESSAGES: &str = "/api/v2/aibridge/anthropic/v1/messages";
const BODY: &[u8] = br#"{"model":"m","stream":true,"messages":[]}"#;

/// The second request was sent before the first was answered, and goes down with the connection.
#[tokio::test]
async fn what_is_pipelined_behind_a_cut_is_never_sent() {
    let mut world = World::start().await;
    let (_, alices) = world.token();
    let (_, bobs) = world.token();
    let mut client = world.connect().await;
    for token in [&alices, &bobs] {
        client
            .send("POST", MESSAGES, &[("x-api-key", token.expose())], BODY)
            .await;
    }
    let sending = world.exchange().await.stream();
    sending.send("event: ping\ndata: {}\n\n").await;
    client.read_until(b"event: ping").await;
    world.accounts.remove_token(alices.id());
    world.access.revoke_tokens(&[alices.id()]).await;
    assert_ne!(client.answer().await.end, End::Complete);
    assert_eq!(world.access.in_flight(), 0);
    world.assert_nothing_sent();
}

/// Whoever used the connection before has no hold on it.
#[tokio::test]
async fn a_cut_leaves_the_next_request_on_the_connection_alone() {
    for is_pipelined in [false, true] {
        let mut world = World::start().await;
        let (_, alices) = world.token();
        let (_, bobs) = world.token();
        let mut client = world.connect().await;
        let (alice, bob) = ([("x-api-key", alices.expose())], [("x-api-key", bobs.expose())]);
        client.send("POST", MESSAGES, &alice, BODY).await;
        if is_pipelined {
            client.send("POST", MESSAGES, &bob, BODY).await;
        }
        let sending = world.exchange().await.stream();
        sending.send("data: a\n\n").await;
        sending.finish().await;
        assert_eq!(client.answer().await.text(), "data: a\n\n");
        client.buffer.clear();
        if !is_pipelined {
            client.send("POST", MESSAGES, &bob, BODY).await;
        }
        let sending = world.exchange().await.stream();
        sending.send("data: b\n\n").await;
        client.read_until(b"data: b").await;
        assert_eq!(world.access.in_flight(), 1);
        world.accounts.remove_token(alices.id());
        world.access.revoke_tokens(&[alices.id()]).await;
        sending.finish().await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.end, answer.text().as_str()),
            (End::Complete, "data: b\n\n")
        );
    }
}
