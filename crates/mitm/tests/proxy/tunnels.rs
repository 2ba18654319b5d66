//! Tunnels: bytes in both directions, ends passed on, bounds on silence.

use std::time::Duration;

use gateway_mitm::proxy::{Outcome, ProxyOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{End, Setup, Target, World, basic, patiently};

#[tokio::test]
async fn a_host_that_is_not_intercepted_is_reached_untouched() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let mut client = world.client().await;
    client.connect(&target.authority(), Some(&token)).await;
    let mut there = target.accept().await;
    client.established().await;
    assert_eq!(world.counters.tunnels(), 1);
    client.send(b"\x16\x03\x01 hello").await;
    assert_eq!(there.take_until("hello").await, "\x16\x03\x01 hello");
    there.send("welcome").await;
    assert_eq!(client.take_until("welcome").await, "welcome");
    drop(client);
    assert_eq!(there.end().await, End::Closed);
    drop(there);
    world.is_quiet().await;
    assert_eq!(world.counters.outcomes(Outcome::Tunnelled), 1);
    world.finished().await;
}

#[tokio::test]
async fn old_and_hasty_clients_are_served() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let (authority, credential) = (target.authority(), basic(&token));
    for request in [
        format!("CONNECT {authority} HTTP/1.0\r\n{credential}\r\n"),
        format!("CONNECT {authority} HTTP/1.1\r\nHost: target.test\r\n{credential}\r\n"),
        format!("\r\nCONNECT {authority} HTTP/1.1\r\nProxy-Connection: close\r\n{credential}\r\n"),
        format!("CONNECT {authority} HTTP/1.1\r\nHost: elsewhere.test\r\n{credential}\r\n"),
    ] {
        // What comes together with the request is not lost.
        let mut client = world.client().await;
        client.send(format!("{request}early")).await;
        let mut there = target.accept().await;
        assert_eq!(there.take_until("early").await, "early", "{request}");
        client.established().await;
        // Nor what comes in pieces.
        let mut client = world.client().await;
        for byte in request.as_bytes() {
            client.send([*byte]).await;
        }
        let mut there = target.accept().await;
        client.established().await;
        client.send("late").await;
        assert_eq!(there.take_until("late").await, "late", "{request}");
    }
    world.finished().await;
}

#[tokio::test]
async fn each_direction_ends_for_itself() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let mut client = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;
    client.send("question").await;
    client.io.shutdown().await.unwrap();
    assert_eq!(there.end().await, End::Closed);
    assert_eq!(there.buffer, b"question");
    there.send("answer").await;
    assert_eq!(client.take_until("answer").await, "answer");
    assert_eq!(world.counters.tunnels(), 1);
    there.io.shutdown().await.unwrap();
    assert_eq!(client.end().await, End::Closed);
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn a_reset_on_one_side_is_a_reset_on_the_other() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    for reset_there in [true, false] {
        let mut client = world.connected(&token, &target.authority()).await;
        let mut there = target.accept().await;
        client.send("x").await;
        there.take_until("x").await;
        let (reset, mut left) = if reset_there {
            (there, client)
        } else {
            (client, there)
        };
        socket2::SockRef::from(&reset.io)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(reset);
        let end = left.end().await;
        assert_eq!(end, End::Reset, "{reset_there}");
        world.is_quiet().await;
    }
    world.finished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_both_ways_at_once_in_order() {
    const LENGTH: usize = 20_000_000;
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let client = world.connected(&token, &target.authority()).await;
    let there = target.accept().await;
    let byte = |at: usize, salt: u8| u8::try_from(at % 251).unwrap() ^ salt;
    let (mut client_read, mut client_write) = client.io.into_split();
    let (mut there_read, mut there_write) = there.io.into_split();
    let content = |salt| (0..LENGTH).map(|at| byte(at, salt)).collect::<Vec<u8>>();
    let (up, down) = (content(1), content(2));
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    patiently("the transfer", async {
        tokio::try_join!(
            async {
                client_write.write_all(&up).await?;
                client_write.shutdown().await
            },
            async {
                there_write.write_all(&down).await?;
                there_write.shutdown().await
            },
            async { there_read.read_to_end(&mut got_up).await.map(|_| ()) },
            async { client_read.read_to_end(&mut got_down).await.map(|_| ()) },
        )
    })
    .await
    .unwrap();
    assert!(got_up == up && got_down == down);
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn a_silent_tunnel_is_taken_down_and_a_busy_one_is_not() {
    let options = ProxyOptions {
        idle_timeout: Duration::from_millis(300),
        ..ProxyOptions::default()
    };
    let world = World::with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    let (token, target) = (world.token(), Target::listen().await);
    let mut client = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;
    let begin = tokio::time::Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    while begin.elapsed() < Duration::from_millis(900) {
        beat.tick().await;
        there.send("x").await;
        client.take_until("x").await;
    }
    let begin = tokio::time::Instant::now();
    client.end().await;
    there.end().await;
    assert!(
        begin.elapsed() >= Duration::from_millis(200),
        "{:?}",
        begin.elapsed()
    );
    world.is_quiet().await;
    world.finished().await;
}
