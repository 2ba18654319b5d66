//! The way to a provider: TLS, HTTP/2, and the proxies of the environment. And TLS towards clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_testkit::sim::{Sim, SimConfig, TlsPem};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, End};
use crate::support::{ANTHROPIC_KEY, Engine, Gateway, MESSAGES, PASSWORD, Site, Token, message, patiently};

/// A certificate for the given names, and its key.
fn certificate(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

async fn provider(tls: Option<(&str, &str)>) -> Sim {
    let tls = tls.map(|(certificates, key)| TlsPem {
        certificates: certificates.into(),
        key: key.into(),
    });
    let config = SimConfig {
        accept_keys: vec![ANTHROPIC_KEY.into()],
        tls,
        ..SimConfig::default()
    };
    Sim::start(config).await.unwrap()
}

/// A proxy that leads every name to one address, and counts who asks it in which way.
#[derive(Clone)]
struct Proxy {
    address: std::net::SocketAddr,
    tunnels: Arc<AtomicUsize>,
    plain: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

/// What a request to the proxy must carry: user `u`, password `p`.
const PROXY_CREDENTIAL: &str = "Basic dTpw";

impl Proxy {
    async fn start(target: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            tunnels: Arc::default(),
            plain: Arc::default(),
            refused: Arc::default(),
        };
        let serving = proxy.clone();
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(client, target));
            }
        });
        proxy
    }

    async fn serve(self, mut client: TcpStream, target: std::net::SocketAddr) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        if !text.contains(PROXY_CREDENTIAL) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return client
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        let mut upstream = TcpStream::connect(target).await?;
        if text.starts_with("CONNECT ") {
            self.tunnels.fetch_add(1, Ordering::SeqCst);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        } else {
            self.plain.fetch_add(1, Ordering::SeqCst);
            // The absolute address becomes the path that an origin server knows.
            let (line, rest) = text.split_once("\r\n").unwrap();
            let (method, address) = line.split_once(' ').unwrap();
            let path = address
                .split_once("://")
                .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]))
                .unwrap();
            upstream
                .write_all(format!("{method} {path}\r\n{rest}").as_bytes())
                .await?;
        }
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
        Ok(())
    }
}

async fn streamed_answer(gateway: &Gateway, token: &Token) {
    let mut client = gateway.connect().await;
    client
        .post(
            MESSAGES,
            &[("x-api-key", &token.text)],
            &message("chunks=50 split=random seed=3"),
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.end),
        (200, End::Complete),
        "{}\n{}",
        answer.text(),
        gateway.log()
    );
    assert!(answer.text().contains("message_stop"));
}

#[tokio::test]
async fn a_provider_over_tls_is_asked_by_http2_on_one_connection() {
    let (certificates, key) = certificate(&["localhost"]);
    let sim = provider(Some((&certificates, &key))).await;
    let site = Site::new(Engine::Sqlite).await;
    std::fs::write(site.path("roots.pem"), &certificates).unwrap();
    let (roots, base) = (
        site.path("roots.pem"),
        format!("https://localhost:{}", sim.address().port()),
    );
    let settings = [
        ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", base.as_str()),
    ];
    let (gateway, owner) = Gateway::set_up(site.start(&settings).await).await;
    for _ in 0..5 {
        streamed_answer(&gateway, &owner).await;
    }
    let requests = sim.requests();
    assert_eq!(requests.len(), 5);
    assert!(
        requests
            .iter()
            .all(|request| request.version == reqwest::Version::HTTP_2),
        "{:?}",
        requests[0].version
    );
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-api-key") == [ANTHROPIC_KEY.as_bytes()])
    );
}

#[tokio::test]
async fn a_provider_whose_certificate_is_not_trusted_gets_nothing() {
    let (certificates, key) = certificate(&["localhost"]);
    let sim = provider(Some((&certificates, &key))).await;
    let base = format!("https://localhost:{}", sim.address().port());
    let settings = [("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", base.as_str())];
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &settings).await;
    assert_eq!(gateway.status_of(&owner).await, 502);
    assert!(sim.requests().is_empty());
}

#[tokio::test]
async fn providers_are_reached_through_the_proxies_of_the_environment() {
    let (certificates, key) = certificate(&["provider.test"]);
    let sim = provider(Some((&certificates, &key))).await;
    let proxy = Proxy::start(sim.address()).await;
    let site = Site::new(Engine::Sqlite).await;
    std::fs::write(site.path("roots.pem"), &certificates).unwrap();
    let roots = site.path("roots.pem");
    let proxy_url = format!("http://u:p@{}", proxy.address);
    let settings = [
        ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", "https://provider.test"),
        ("HTTPS_PROXY", proxy_url.as_str()),
    ];
    let (gateway, owner) = Gateway::set_up(site.start(&settings).await).await;
    streamed_answer(&gateway, &owner).await;
    assert_eq!(proxy.tunnels.load(Ordering::SeqCst), 1);
    assert!(
        !gateway.log().contains("u:p@"),
        "the proxy's password is in the log"
    );
}

#[tokio::test]
async fn a_plain_provider_is_asked_for_by_its_absolute_address() {
    let sim = provider(None).await;
    let proxy = Proxy::start(sim.address()).await;
    let proxy_url = format!("http://u:p@{}", proxy.address);
    let settings = [
        ("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", "http://provider.test"),
        ("HTTP_PROXY", proxy_url.as_str()),
    ];
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &settings).await;
    streamed_answer(&gateway, &owner).await;
    assert_eq!(
        (
            proxy.plain.load(Ordering::SeqCst),
            proxy.tunnels.load(Ordering::SeqCst)
        ),
        (1, 0)
    );
    assert_eq!(proxy.refused.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_provider_that_is_excepted_is_not_proxied() {
    let sim = provider(None).await;
    let proxy = Proxy::start(sim.address()).await;
    let proxy_url = format!("http://u:p@{}", proxy.address);
    let base = format!("http://127.0.0.1:{}", sim.address().port());
    let settings = [
        ("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", base.as_str()),
        ("ALL_PROXY", proxy_url.as_str()),
    ];
    let (gateway, owner) = Gateway::with_owner(Engine::Sqlite, &settings).await;
    streamed_answer(&gateway, &owner).await;
    assert_eq!(
        proxy.plain.load(Ordering::SeqCst) + proxy.tunnels.load(Ordering::SeqCst),
        0
    );
}

/// The server's own TLS: the command line logs in over it, and a client streams over it.
#[tokio::test]
async fn clients_are_served_over_tls() {
    let (certificates, key) = certificate(&["localhost"]);
    let site = Site::new(Engine::Sqlite).await;
    for (name, content) in [("cert.pem", &certificates), ("key.pem", &key)] {
        std::fs::write(site.path(name), content).unwrap();
    }
    let (cert_file, key_file) = (site.path("cert.pem"), site.path("key.pem"));
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let settings = [
        ("CODER_TLS_ENABLE", "true"),
        ("CODER_TLS_ADDRESS", address.as_str()),
        ("CODER_TLS_CERT_FILE", cert_file.to_str().unwrap()),
        ("CODER_TLS_KEY_FILE", key_file.to_str().unwrap()),
    ];
    let gateway = site.start(&settings).await;
    let root = reqwest::Certificate::from_pem(certificates.as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .build()
        .unwrap();
    let base = format!("https://localhost:{port}");
    let body = json!({"email": "admin@example.com", "username": "admin", "password": PASSWORD});
    let made = http
        .post(format!("{base}/api/v2/users/first"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (made.status().as_u16(), made.version()),
        (201, reqwest::Version::HTTP_2)
    );
    let token = gateway.login("admin@example.com").await;
    let answer = http
        .post(format!("{base}{MESSAGES}"))
        .header("x-api-key", &token.text)
        .body(message("chunks=20"));
    let text = patiently("the answer", async {
        answer.send().await.unwrap().text().await.unwrap()
    })
    .await;
    assert!(text.contains("message_stop"), "{text}");
    // The same server still answers in plain text on its other address.
    let mut client = Client::connect(gateway.address()).await;
    client
        .post(MESSAGES, &[("x-api-key", &token.text)], &message(""))
        .await;
    assert_eq!(client.answer().await.status, 200);
}
