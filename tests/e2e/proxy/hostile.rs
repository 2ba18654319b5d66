//! Clients that are broken or mean harm: each gets a clear refusal, and what they leave behind is nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::curl::Http;
use super::{World, proxy_authorization};
use crate::support::{message, patiently};

#[tokio::test]
async fn what_is_no_connect_is_refused_clearly() {
    let world = World::new(&[]).await;
    let credential = proxy_authorization(&world.token);
    let target = world.anthropic().address();
    let long = "a".repeat(17 * 1024);
    let (long_header, long_target) = (format!("X: {long}\r\n"), format!("CONNECT {long}:443"));
    for (line, more, status) in [
        ("CONNECT nowhere", "", 400),
        ("CONNECT nowhere:0", "", 400),
        ("CONNECT nowhere:65536", "", 400),
        ("CONNECT :443", "", 400),
        ("CONNECT https://api.example.com/", "", 400),
        ("CONNECT user@api.example.com:443", "", 400),
        ("CONNECT [::1:443", "", 400),
        ("CONNECT a..b:443", "", 400),
        ("CONNECT api.example.com:443", "Content-Length: 5\r\n", 400),
        ("CONNECT api.example.com:443", "Host: a\r\nHost: b\r\n", 400),
        ("CONNECT api.example.com:443", credential.as_str(), 400),
        ("CONNECT api.example.com:443", " folded\r\n", 400),
        ("CONNECT api.example.com:443", long_header.as_str(), 431),
        (long_target.as_str(), "", 431),
        ("GET http://api.example.com/", "", 403),
        ("POST http://api.example.com/v1/messages", "", 403),
        ("GET /", "", 400),
        ("OPTIONS *", "", 400),
    ] {
        let head = format!("{line} HTTP/1.1\r\n{credential}{more}\r\n");
        let connected = world.ask(&head).await;
        let shown: String = line.chars().take(60).collect();
        assert_eq!(
            connected.status(),
            status,
            "{shown} {more:.40}: {}",
            connected.head
        );
    }
    // A client that speaks TLS to a proxy that does not.
    let connected = world.ask("\x16\x03\x01\x00\x05hello").await;
    assert_eq!(connected.status(), 400, "{}", connected.head);
    let alive = world.connect(&target.to_string(), Some(&world.token)).await;
    assert_eq!(alive.status(), 200);
    assert!(!world.gateway.log().contains(&world.token.text[15..]));
}

/// The name in the handshake is that of the CONNECT, or there is no handshake.
#[tokio::test]
async fn a_handshake_for_another_name_ends() {
    let world = World::new(&[]).await;
    let provider = world.anthropic().address();
    for name in ["api.openai.com", "localhost"] {
        let way = format!("{name}:{}:{provider}", provider.port());
        let curl = world
            .curl(&world.token, Http::One)
            .argument("--connect-to")
            .argument(&way);
        let url = format!("https://{name}:{}/v1/models", provider.port());
        let fetched = curl.argument(&url).fetch().await;
        // 35: the server has ended the handshake. 60 would be curl's own refusal.
        assert_eq!((fetched.exit, fetched.last().connect), (35, 200), "{fetched:?}");
    }
    assert!(world.anthropic().requests().is_empty());
}

/// What a client does that wants to occupy a place.
#[derive(Clone, Copy, Debug)]
enum Occupation {
    Nothing,
    /// A head that does not end.
    Half,
    /// The same, a byte at a time.
    Drip,
    /// Was let through to a provider, and does not begin with TLS.
    NoHandshake,
    /// The same with the beginning of a handshake.
    HalfHandshake,
}

/// Not the one of the honest clients.
async fn from_elsewhere(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Occupies a place until the proxy takes it away.
async fn occupy(proxy: SocketAddr, connect: String, how: Occupation) {
    let mut stream = from_elsewhere(proxy).await;
    let beginning: &[u8] = match how {
        Occupation::Nothing | Occupation::Drip => b"",
        Occupation::Half => &connect.as_bytes()[..20],
        Occupation::NoHandshake => connect.as_bytes(),
        Occupation::HalfHandshake => &[connect.as_bytes(), b"\x16\x03\x01\x02\x00\x01\x00"].concat(),
    };
    // There are only so many places for strangers of one address, so this one may be refused already.
    let _ = stream.write_all(beginning).await;
    let (mut reader, mut writer) = stream.split();
    let dripping = async {
        if matches!(how, Occupation::Drip) {
            for byte in connect.bytes() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if writer.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    patiently(&format!("the end of an occupation by {how:?}"), async {
        tokio::select! {
            // By a reset, too.
            _ = reader.read_to_end(&mut answer) => {}
            () = dripping => {}
        }
    })
    .await;
}

/// Of the server process.
fn open_files(world: &World) -> usize {
    let folder = format!("/proc/{}/fd", world.gateway.process_id());
    std::fs::read_dir(folder).unwrap().count()
}

/// Resident memory of the server process.
fn memory_kib(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.gateway.process_id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_flood_passes_and_leaves_nothing_behind() {
    let world = World::new(&[]).await;
    let ask = || world.curl(&world.token, Http::One).message(&world, &message(""));
    assert!(ask().fetch().await.is_whole());
    let (files, memory) = (open_files(&world), memory_kib(&world));
    let kinds = [
        Occupation::Nothing,
        Occupation::Half,
        Occupation::Drip,
        Occupation::NoHandshake,
        Occupation::HalfHandshake,
    ];
    let target = world.anthropic().address();
    let connect = format!(
        "CONNECT {target} HTTP/1.1\r\n{}\r\n",
        proxy_authorization(&world.token)
    );
    let mut flood = JoinSet::new();
    for kind in kinds.into_iter().cycle().take(600) {
        flood.spawn(occupy(world.address, connect.clone(), kind));
    }
    for _ in 0..20 {
        let fetched = ask().fetch().await;
        assert!(fetched.is_whole(), "{fetched:?}");
    }
    let during = memory_kib(&world);
    flood.join_all().await;
    assert!(
        during < memory + 64 * 1024,
        "{memory} KiB before, {during} KiB during the flood"
    );
    patiently("that all is given back", async {
        // The honest clients' way to the provider may be kept open.
        while open_files(&world) > files + 8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let fetched = ask().fetch().await;
    assert!(fetched.is_whole(), "{fetched:?}");
}
