//! A token that is removed takes its connections with it, at whatever step they are.

use gateway_mitm::proxy::Outcome;
use gateway_relay::access::checkpoint::Step;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Client, End, PROVIDER, SILENT, Setup, Target, World, patiently};

#[tokio::test]
async fn while_the_token_is_verified() {
    let world = World::start().await;
    let target = Target::listen().await;
    for step in [
        Step::Registered,
        Step::BeforeCache,
        Step::BeforeStoreRead,
        Step::BeforeCacheFill,
    ] {
        let token = world.token();
        world.gate.close(step);
        let mut client = world.client().await;
        client.connect(&target.authority(), Some(&token)).await;
        world.gate.arrival().await;
        world.revoke(&token).await;
        world.gate.open();
        assert_eq!(client.answer().await.status, 407, "{step:?}");
    }
    assert_eq!(world.counters.outcomes(Outcome::Tunnelled), 0);
    world.finished().await;
}

#[tokio::test]
async fn while_the_target_is_dialled() {
    let world = World::start().await;
    let token = world.token();
    let mut client = world.client().await;
    client.connect(&format!("{SILENT}:443"), Some(&token)).await;
    patiently("the look-up", world.names.asked.notified()).await;
    world.revoke(&token).await;
    client.end().await;
    assert!(client.buffer.is_empty(), "something was said after the cut");
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn during_the_handshake_with_an_intercepted_host() {
    let world = World::start().await;
    let token = world.token();
    for hello in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let token = if hello.is_empty() {
            token.clone()
        } else {
            world.token()
        };
        let mut client = world.connected(&token, &format!("{PROVIDER}:443")).await;
        client.send(hello).await;
        world.revoke(&token).await;
        client.end().await;
        assert!(client.buffer.is_empty());
    }
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn in_an_idle_tunnel() {
    let world = World::start().await;
    let (token, other, target) = (world.token(), world.token(), Target::listen().await);
    let mut spared = world.connected(&other, &target.authority()).await;
    let mut spared_there = target.accept().await;
    let mut client = world.connected(&token, &target.authority()).await;
    let mut there = target.accept().await;
    world.revoke(&token).await;
    assert_eq!(client.end().await, End::Reset);
    assert_eq!(there.end().await, End::Reset);
    let mut again = world.client().await;
    again.connect(&target.authority(), Some(&token)).await;
    assert_eq!(again.answer().await.status, 407);
    spared.send("unharmed").await;
    spared_there.take_until("unharmed").await;
    drop((spared, spared_there, again));
    world.finished().await;
}

#[tokio::test]
async fn behind_tls_to_the_proxy() {
    let setup = Setup {
        with_tls: true,
        ..Setup::default()
    };
    let world = World::with(setup).await;
    let (token, target) = (world.token(), Target::listen().await);
    let connected = async |authority: &str| {
        let tls = world
            .tls(world.client().await.io, "proxy.test", b"")
            .await
            .unwrap();
        let mut client = Client::new(tls);
        client.connect(authority, Some(&token)).await;
        client.established().await;
        client
    };
    let mut tunnel = connected(&target.authority()).await;
    let mut there = target.accept().await;
    let mut handshaking = connected(&format!("{PROVIDER}:443")).await;
    let inner = connected(&format!("{PROVIDER}:443")).await;
    let mut inner = Client::new(world.tls(inner.io, PROVIDER, b"http/1.1").await.unwrap());
    world.revoke(&token).await;
    assert_eq!(tunnel.end().await, End::Reset);
    assert_eq!(there.end().await, End::Reset);
    handshaking.end().await;
    inner.end().await;
    world.is_quiet().await;
    world.finished().await;
}

/// Both ends send as fast as they can; when the revocation has returned, what was on its way is all that arrives, and the
/// end is a reset.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_tunnel_that_is_busy_both_ways() {
    let world = World::start().await;
    let (token, target) = (world.token(), Target::listen().await);
    let client = world.connected(&token, &target.authority()).await;
    let there = target.accept().await;
    let (moving, mut moved) = tokio::sync::mpsc::unbounded_channel();
    let mut ends = Vec::new();
    for io in [client.io, there.io] {
        let (mut read, mut write) = io.into_split();
        let moving = moving.clone();
        ends.push(world.tasks().spawn(async move {
            // A reset is told once, to whichever call comes first.
            let writes = async {
                loop {
                    if let Err(error) = write.write_all(&[7; 8192]).await {
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                        return;
                    }
                }
            };
            let reads = async {
                let (mut buffer, mut total) = (vec![0; 8192], 0_usize);
                loop {
                    match read.read(&mut buffer).await {
                        Ok(0) => return End::Closed,
                        Ok(count) => {
                            total += count;
                            if total > 1_000_000 {
                                let _ = moving.send(());
                            }
                        }
                        Err(_) => return End::Reset,
                    }
                }
            };
            tokio::select! {
                end = reads => end,
                () = writes => End::Reset,
            }
        }));
    }
    patiently("traffic", moved.recv()).await;
    world.revoke(&token).await;
    for end in ends {
        assert_eq!(patiently("the end", end).await.unwrap(), End::Reset);
    }
    world.is_quiet().await;
    world.finished().await;
}

/// Neither a client that does not read nor a target that does not can hold the revocation up.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_tunnel_whose_ends_do_not_read() {
    let world = World::start().await;
    let target = Target::listen().await;
    for client_sends in [true, false] {
        let token = world.token();
        let mut client = world.connected(&token, &target.authority()).await;
        let mut there = target.accept().await;
        let (sender, silent) = if client_sends {
            (&mut client, &mut there)
        } else {
            (&mut there, &mut client)
        };
        // Until nothing more is taken: all buffers on the way are full.
        let fill = async { while sender.io.write_all(&[7; 8192]).await.is_ok() {} };
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), fill).await;
        world.revoke(&token).await;
        assert_eq!(sender.end().await, End::Reset);
        assert_eq!(silent.end().await, End::Reset);
    }
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn in_an_intercepted_connection_that_is_idle() {
    let world = World::start().await;
    for has_asked in [false, true] {
        let token = world.token();
        let mut client = world.intercepted(&token, b"http/1.1").await;
        if has_asked {
            client.get("/v1/models").await;
            assert_eq!(client.answer().await.status, 200);
        }
        world.revoke(&token).await;
        client.end().await;
        assert!(client.buffer.is_empty());
        world.is_quiet().await;
    }
    world.finished().await;
}

#[tokio::test]
async fn in_an_answer_that_streams() {
    let world = World::start().await;
    let token = world.token();
    let stream = world.stream();
    let mut client = world.intercepted(&token, b"http/1.1").await;
    client.get("/stream").await;
    client.take_until("\r\n\r\n").await;
    stream.send("before".into()).unwrap();
    client.take_until("before\r\n").await;
    world.revoke(&token).await;
    let _ = stream.send("after".into());
    drop(stream);
    assert_eq!(client.end().await, End::Reset);
    assert!(
        client.buffer.is_empty(),
        "{:?}",
        String::from_utf8_lossy(&client.buffer)
    );
    world.is_quiet().await;
    world.finished().await;
}

#[tokio::test]
async fn in_http2() {
    let world = World::start().await;
    for is_streaming in [false, true] {
        let token = world.token();
        let stream = world.stream();
        let client = world.intercepted(&token, b"h2").await;
        let (send, connection) = h2::client::handshake(client.io).await.unwrap();
        let driving = world.tasks().spawn(connection);
        let mut send = send.ready().await.unwrap();
        let path = if is_streaming { "stream" } else { "v1/models" };
        let request = http::Request::get(format!("https://{PROVIDER}/{path}"))
            .body(())
            .unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        let mut body = patiently("the head", answer).await.unwrap().into_body();
        if is_streaming {
            stream.send("before".into()).unwrap();
            assert_eq!(patiently("data", body.data()).await.unwrap().unwrap(), "before");
        }
        world.revoke(&token).await;
        let _ = stream.send("after".into());
        let ended = patiently("the end of the connection", driving).await.unwrap();
        if is_streaming {
            assert!(
                patiently("the end of the stream", body.data())
                    .await
                    .unwrap()
                    .is_err()
            );
            assert!(ended.is_err());
        }
        world.is_quiet().await;
    }
    world.finished().await;
}
