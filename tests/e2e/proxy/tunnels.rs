//! What is no provider's passes untouched, or not at all.

use gateway_testkit::sim::Sim;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::curl::Http;
use super::{Connected, World, over_tls, url_at};
use crate::support::{Engine, Site, Token, patiently};

/// A host that has nothing to do with the gateway, with a certificate of its own, and a world that may reach it.
async fn elsewhere() -> (World, Sim, std::path::PathBuf) {
    let (elsewhere, certificate) = over_tls().await;
    let site = Site::new(Engine::Sqlite).await;
    let trusted = site.path("elsewhere.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let port = elsewhere.address().port().to_string();
    let settings = [
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PRIVATE_CIDRS", "127.0.0.0/8"),
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PORTS", port.as_str()),
    ];
    (World::start(site, &settings).await, elsewhere, trusted)
}

#[tokio::test]
async fn another_host_is_reached_with_its_own_certificate() {
    let (world, elsewhere, trusted) = elsewhere().await;
    let credential = format!("coder:{}", world.token.text);
    for http in [Http::One, Http::Two] {
        elsewhere.clear();
        let key = "Bearer own-key";
        let curl = world
            .curl_with(Some(&credential), http, &trusted)
            .header("authorization", key);
        let fetched = curl.argument(&url_at(&elsewhere, "/v1/models")).fetch().await;
        assert!(fetched.is_whole(), "{fetched:?}");
        assert_eq!(fetched.last().http, http.name());
        let exchange = elsewhere.requests().remove(0);
        assert_eq!(exchange.header("authorization"), [key.as_bytes()]);
        assert_eq!(exchange.answer.as_ref().unwrap().body, fetched.body);
        world.assert_clean(&exchange);
    }
    // The proxy's authority did not sign for it.
    let curl = world.curl(&world.token, Http::One);
    let fetched = curl.argument(&url_at(&elsewhere, "/v1/models")).fetch().await;
    assert_eq!((fetched.exit, fetched.last().connect), (60, 200), "{fetched:?}");
    assert!(world.recorded().await.is_empty());
}

#[tokio::test]
async fn this_machine_is_closed_to_tunnels_unless_excepted() {
    let (elsewhere, _) = over_tls().await;
    let port = elsewhere.address().port().to_string();
    for setting in [
        // The port is right and the address is not, and the other way round.
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PORTS", port.as_str()),
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PRIVATE_CIDRS", "127.0.0.0/8"),
    ] {
        let world = World::new(&[setting]).await;
        let curl = world.curl(&world.token, Http::One);
        let fetched = curl.argument(&url_at(&elsewhere, "/v1/models")).fetch().await;
        assert_eq!(
            (fetched.last().connect, fetched.last().status),
            (403, 0),
            "{setting:?}: {fetched:?}"
        );
        // Nor by another spelling, nor to the gateway itself.
        for target in [
            format!("localhost:{port}"),
            format!("[::ffff:127.0.0.1]:{port}"),
            world.gateway.address().to_string(),
        ] {
            let connected = world.connect(&target, Some(&world.token)).await;
            assert_eq!(connected.status(), 403, "{setting:?} {target}");
        }
    }
    assert!(elsewhere.requests().is_empty());
}

/// Both ends of an open tunnel to a host that takes and sends any bytes.
struct Open {
    world: World,
    client: TcpStream,
    host: TcpStream,
    /// Where the host can be reached again.
    listener: TcpListener,
    target: String,
}

async fn open(settings: &[(&str, &str)]) -> Open {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port().to_string();
    let mut all = vec![
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PRIVATE_CIDRS", "127.0.0.0/8"),
        ("CODER_AIBRIDGE_PROXY_ALLOWED_PORTS", port.as_str()),
    ];
    all.extend_from_slice(settings);
    let world = World::new(&all).await;
    let target = address.to_string();
    let connected = world.connect(&target, Some(&world.token)).await;
    assert_eq!(connected.status(), 200, "{}", connected.head);
    let Connected { stream: client, .. } = connected;
    let (host, _) = listener.accept().await.unwrap();
    Open {
        world,
        client,
        host,
        listener,
        target,
    }
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut received = vec![0; bytes.len()];
    patiently("bytes through the tunnel", to.read_exact(&mut received))
        .await
        .unwrap();
    assert_eq!(received, bytes);
}

#[tokio::test]
async fn a_tunnel_is_cut_before_the_removal_of_its_token_returns() {
    let Open {
        world,
        mut client,
        mut host,
        target,
        ..
    } = open(&[]).await;
    pass(&mut client, &mut host, b"\x16\x03\x01 not TLS at all").await;
    pass(&mut host, &mut client, &vec![0; 100_000]).await;

    assert_eq!(world.gateway.remove_token(&world.owner, &world.token).await, 204);
    // What either end writes now goes nowhere. The reset shows in the first that is tried, be it writing or reading.
    let written = [
        host.write_all(b"too late").await,
        client.write_all(b"too late").await,
    ];
    for (end, written) in [&mut host, &mut client].into_iter().zip(written) {
        let mut rest = Vec::new();
        let ended = patiently("the end of the tunnel", end.read_to_end(&mut rest)).await;
        assert!(
            written.is_err() || ended.is_err(),
            "the tunnel ended as if all were well"
        );
        assert!(
            rest.is_empty(),
            "{:?} came after the removal",
            String::from_utf8_lossy(&rest)
        );
    }
    assert_eq!(world.connect(&target, Some(&world.token)).await.status(), 407);
}

#[tokio::test]
async fn a_tunnel_ends_as_its_ends_do() {
    let Open {
        world: _world,
        mut client,
        mut host,
        ..
    } = open(&[]).await;
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    patiently("the end of what the client sends", host.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty());
    // The other direction is still open.
    pass(&mut host, &mut client, b"goodbye").await;
    drop(host);
    patiently("the end of what the host sends", client.read_to_end(&mut rest))
        .await
        .unwrap();
}

/// Nobody but its ends knows what a tunnel is in the middle of, so it has the time that there is.
#[tokio::test]
async fn a_tunnel_goes_on_through_a_shutdown_until_the_deadline() {
    let Open {
        world,
        mut client,
        mut host,
        ..
    } = open(&[("CODER_SHUTDOWN_TIMEOUT", "2s")]).await;
    world.gateway.signal("TERM");
    patiently("that the proxy refuses newcomers", async {
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    pass(&mut client, &mut host, b"still here").await;
    for end in [&mut client, &mut host] {
        let mut rest = Vec::new();
        let ended = patiently("the end of the tunnel", end.read_to_end(&mut rest)).await;
        assert!(ended.is_err(), "the tunnel ended as if all were well");
    }
    world.gateway.ended().await;
}

#[tokio::test]
async fn where_tunnels_are_open_to_all_providers_still_are_not() {
    let Open {
        world,
        mut client,
        mut host,
        listener: _listener,
        target,
    } = open(&[("CODER_AIBRIDGE_PROXY_ALLOW_ANONYMOUS_TUNNELS", "true")]).await;
    let provider = world.anthropic().address().to_string();
    assert_eq!(world.connect(&target, None).await.status(), 200);
    assert_eq!(world.connect(&provider, None).await.status(), 407);
    // Who says who it is has to be it, and loses the tunnel with the token.
    let nobody = Token {
        text: format!("{}0", world.token.text),
    };
    assert_eq!(world.connect(&target, Some(&nobody)).await.status(), 407);
    pass(&mut client, &mut host, b"hello").await;
    assert_eq!(world.gateway.remove_token(&world.owner, &world.token).await, 204);
    let mut rest = Vec::new();
    let ended = patiently("the end of the tunnel", client.read_to_end(&mut rest)).await;
    assert!(ended.is_err(), "the tunnel ended as if all were well");
}
