//! How connections end with the server, and with the life of a token.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway_core::{Clock as _, Scopes, Timestamp};

use crate::support::{End, PROVIDER, Target, World, patiently, until};

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_drain_closes_what_is_idle_and_lets_the_rest_end() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let mut waiting = world.client().await;
    let mut handshaking = world.connected(&token, &format!("{PROVIDER}:443")).await;
    let mut idle = world.intercepted(&token, b"http/1.1").await;
    idle.get("/v1/models").await;
    idle.answer().await;
    let stream = world.stream();
    let mut busy = world.intercepted(&token, b"http/1.1").await;
    busy.get("/stream").await;
    busy.take_until("\r\n\r\n").await;
    let mut tunnel = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;

    world.ending.drain.cancel();
    assert_eq!(waiting.end().await, End::Closed);
    assert_eq!(handshaking.end().await, End::Closed);
    assert_eq!(idle.end().await, End::Closed);
    stream.send("last words".into()).unwrap();
    drop(stream);
    busy.take_until("0\r\n\r\n").await;
    assert_eq!(busy.end().await, End::Closed);
    tunnel.send("still").await;
    there.take_until("still").await;
    drop((tunnel, there));
    world.finished().await;
}

#[tokio::test]
async fn an_abort_resets_what_is_left() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let mut tunnel = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;
    let _stream = world.stream();
    let mut busy = world.intercepted(&token, b"http/1.1").await;
    busy.get("/stream").await;
    busy.take_until("\r\n\r\n").await;
    world.ending.drain.cancel();
    world.ending.abort.cancel();
    assert_eq!(tunnel.end().await, End::Reset);
    assert_eq!(there.end().await, End::Reset);
    assert_eq!(busy.end().await, End::Reset);
    world.finished().await;
}

#[tokio::test]
async fn expiry_closes_tunnels_and_idle_connections_and_lets_answers_finish() {
    let world = World::start().await;
    let target = Target::listen().await;
    let token = world.accounts.add(Scopes::all(), world.clock.now().plus(SOON));
    let mut tunnel = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;
    let mut handshaking = world.connected(&token, &format!("{PROVIDER}:443")).await;
    let mut idle = world.intercepted(&token, b"http/1.1").await;
    let stream = world.stream();
    let mut busy = world.intercepted(&token, b"http/1.1").await;
    busy.get("/stream").await;
    busy.take_until("\r\n\r\n").await;

    world.clock.advance(SOON);
    assert_eq!(tunnel.end().await, End::Reset);
    assert_eq!(there.end().await, End::Reset);
    handshaking.end().await;
    assert_eq!(idle.end().await, End::Closed);
    until("the end of the others", || world.counters.intercepted() == 1).await;
    stream.send("last words".into()).unwrap();
    busy.take_until("last words").await;
    drop(stream);
    busy.take_until("0\r\n\r\n").await;
    assert_eq!(busy.end().await, End::Closed);
    world.is_quiet().await;

    let mut late = world.client().await;
    late.connect(&target.authority(), Some(&token)).await;
    assert!(late.answer().await.body.contains("expired"));
    world.finished().await;
}

#[tokio::test]
async fn a_session_that_was_extended_goes_on_and_can_still_be_cut() {
    let world = World::start().await;
    let target = Target::listen().await;
    let token = world.accounts.add(Scopes::all(), world.clock.now().plus(SOON));
    let mut tunnel = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;
    let reads = world.accounts.reads.load(Ordering::SeqCst);
    world.accounts.extend(token.id(), Timestamp::MAX);
    world.access.forget(&[token.id()]);
    world.clock.advance(SOON);
    until("the second look", || {
        world.accounts.reads.load(Ordering::SeqCst) > reads
    })
    .await;
    for _ in 0..3 {
        tunnel.send("still").await;
        there.take_until("still").await;
    }
    until("the end of the first admission", || world.access.in_flight() == 1).await;
    world.revoke(&token).await;
    assert_eq!(tunnel.end().await, End::Reset);
    assert_eq!(there.end().await, End::Reset);
    patiently("quiet", world.is_quiet()).await;
    world.finished().await;
}
