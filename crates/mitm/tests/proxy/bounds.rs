//! Clients that are slow, many or silent.

use std::time::Duration;

use futures_util::future::select_all;
use gateway_mitm::proxy::{Outcome, ProxyOptions};

use crate::support::{End, PROVIDER, SILENT, Setup, Target, World, patiently, until};

const SHORT: Duration = Duration::from_millis(200);

fn hasty() -> ProxyOptions {
    ProxyOptions {
        head_timeout: SHORT,
        handshake_timeout: SHORT,
        ..ProxyOptions::default()
    }
}

#[tokio::test]
async fn a_request_that_drips_is_given_up() {
    let world = World::with(Setup {
        options: hasty(),
        ..Setup::default()
    })
    .await;
    let mut client = world.client().await;
    let mut beat = tokio::time::interval(SHORT / 10);
    let (mut read, mut write) = client.io.split();
    let drip = async {
        for byte in b"CONNECT ".iter().chain(&[b'a'; 1000]) {
            beat.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut write, &[*byte])
                .await
                .is_err()
            {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut buffer = Vec::new();
    let answered = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut buffer);
    patiently("the refusal", async {
        tokio::select! {
            _ = answered => {}
            () = drip => {}
        }
    })
    .await;
    let text = String::from_utf8_lossy(&buffer);
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    // Who says nothing gets no answer.
    let mut silent = world.client().await;
    assert_eq!(silent.end().await, End::Closed);
    assert!(silent.buffer.is_empty());
    assert_eq!(world.counters.outcomes(Outcome::TooSlow), 2);
    drop(client);
    world.finished().await;
}

#[tokio::test]
async fn handshakes_that_stand_still_are_given_up() {
    let world = World::with(Setup {
        options: hasty(),
        with_tls: true,
        ..Setup::default()
    })
    .await;
    let mut client = world.client().await;
    client.send(b"\x16\x03\x01\x02\x00\x01").await;
    client.end().await;
    assert_eq!(world.counters.failed_handshakes(), 1);

    let world = World::with(Setup {
        options: hasty(),
        ..Setup::default()
    })
    .await;
    let token = world.token();
    let mut client = world.connected(&token, &format!("{PROVIDER}:443")).await;
    assert_eq!(world.counters.intercepted(), 1);
    client.send(b"\x16\x03\x01\x02\x00\x01").await;
    client.end().await;
    until("the count", || world.counters.failed_handshakes() == 1).await;
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn an_address_has_only_so_many_connections_that_are_not_admitted() {
    let world = World::with(Setup {
        options: ProxyOptions {
            strangers_per_address: 3,
            ..ProxyOptions::default()
        },
        ..Setup::default()
    })
    .await;
    let token = world.token();
    let mut clients = Vec::new();
    // Those that are admitted do not count.
    let mut intercepted = world.intercepted(&token, b"http/1.1").await;
    for _ in 0..4 {
        clients.push(world.client().await);
    }
    let ended = select_all(clients.iter_mut().map(|client| Box::pin(client.end())));
    let (_, at, _) = ended.await;
    assert_eq!(world.counters.outcomes(Outcome::Flooded), 1);
    clients.remove(at);
    // The others are served, and make room.
    for client in &mut clients {
        client.connect(&format!("{PROVIDER}:443"), Some(&token)).await;
        client.established().await;
    }
    let mut next = world.client().await;
    next.connect(&format!("{PROVIDER}:443"), None).await;
    assert_eq!(next.answer().await.status, 407);
    intercepted.get("/v1/models").await;
    assert_eq!(intercepted.answer().await.status, 200);
    drop((clients, next, intercepted));
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn a_user_has_only_so_many_connections() {
    let world = World::with(Setup {
        options: ProxyOptions {
            connections_per_user: 2,
            allow_anonymous_tunnels: true,
            ..ProxyOptions::default()
        },
        ..Setup::default()
    })
    .await;
    let (token, other, target) = (world.token(), world.token(), Target::listen().await);
    let (authority, silent) = (target.authority(), format!("{SILENT}:443"));
    let intercepted = world.connected(&token, &format!("{PROVIDER}:443")).await;
    // One that is being dialled counts.
    let mut dialling = vec![world.client().await];
    dialling[0].connect(&silent, Some(&token)).await;
    patiently("the look-up", world.names.asked.notified()).await;
    let mut further = world.client().await;
    further.connect(&authority, Some(&token)).await;
    let answer = further.answer().await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("Retry-After: 1"), "{answer:?}");
    assert_eq!(world.counters.outcomes(Outcome::Crowded), 1);
    // Others have their own, those without a token as well.
    let spared = [
        world.connected(&other, &authority).await,
        world.connected(&other, &authority).await,
    ];
    for _ in 0..2 {
        let mut client = world.client().await;
        client.connect(&silent, None).await;
        patiently("the look-up", world.names.asked.notified()).await;
        dialling.push(client);
    }
    let mut further = world.client().await;
    further.connect(&authority, None).await;
    assert_eq!(further.answer().await.status, 503);
    drop((intercepted, spared));
    until("room for another", || world.counters.intercepted() == 0).await;
    drop(world.connected(&token, &authority).await);
}

#[tokio::test]
async fn a_flood_of_bad_credentials_reads_no_store_and_leaves_nothing() {
    let world = World::start().await;
    let mut bad = gateway_core::ApiToken::generate(&mut rand::rng())
        .expose()
        .to_owned();
    let last = if bad.pop() == Some('a') { 'b' } else { 'a' };
    bad.push(last);
    for _ in 0..50 {
        let mut client = world.client().await;
        for _ in 0..3 {
            client
                .send(format!(
                    "CONNECT a.test:443 HTTP/1.1\r\nProxy-Authorization: Bearer {bad}\r\n\r\n"
                ))
                .await;
            assert_eq!(client.answer().await.status, 407);
        }
    }
    assert_eq!(world.accounts.reads.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(world.counters.outcomes(Outcome::Unauthenticated), 150);
    world.finished().await;
}
