//! Clients that go through the AI Gateway Proxy of a whole server: what reaches the provider, what is recorded, what
//! passes untouched, and how it ends.
//!
//! The client is curl, so that the proxy is held against another implementation of HTTP, HTTP/2, TLS and CONNECT. The
//! official packages go the same way in `tests/python` and `tests/node`.

mod chain;
mod clients;
mod command_line;
mod credentials;
mod curl;
mod ends;
mod hostile;
mod tunnels;

use std::net::SocketAddr;
use std::path::PathBuf;

use gateway_testkit::sim::{Exchange, Sim, SimConfig, TlsPem};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fidelity::assert_no_trace;
use crate::support::{Engine, Gateway, OPENAI_KEY, Site, Token, patiently};

/// Who uses the proxy; not the owner, so that a record with the wrong user shows.
const USER: &str = "alice";

/// A gateway with its proxy and two providers: `anthropic` in plain text, `openai` over TLS with a certificate that
/// the server alone trusts.
struct World {
    gateway: Gateway,
    owner: Token,
    token: Token,
    openai: Sim,
    /// Where the proxy listens.
    address: SocketAddr,
    /// What its clients must trust.
    ca: PathBuf,
    /// With what it speaks TLS itself, if it does.
    listener_certificate: Option<PathBuf>,
}

/// A connection to the proxy after its answer to a CONNECT.
struct Connected {
    stream: TcpStream,
    /// The answer's head.
    head: String,
}

/// A certificate for 127.0.0.1 that signs itself, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A simulated provider that speaks TLS, and its certificate.
async fn over_tls() -> (Sim, String) {
    let (certificates, key) = certificate();
    let config = SimConfig {
        accept_keys: vec![OPENAI_KEY.into(), "own-key".into()],
        tls: Some(TlsPem {
            certificates: certificates.clone().into(),
            key: key.into(),
        }),
        ..SimConfig::default()
    };
    (Sim::start(config).await.unwrap(), certificates)
}

/// An address as clients know it: always with TLS.
fn url_at(provider: &Sim, path: &str) -> String {
    format!("https://{}{path}", provider.address())
}

// === impl World ===

impl World {
    async fn new(settings: &[(&str, &str)]) -> Self {
        Self::start(Site::new(Engine::Sqlite).await, settings).await
    }

    /// With a proxy that is itself reached over TLS.
    async fn behind_tls(further: &[(&str, &str)]) -> Self {
        let site = Site::new(Engine::Sqlite).await;
        let (certificates, key) = certificate();
        let (cert_file, key_file) = (site.path("listener.pem"), site.path("listener-key.pem"));
        std::fs::write(&cert_file, certificates).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let mut settings = vec![
            ("CODER_AIBRIDGE_PROXY_TLS_CERT_FILE", cert_file.to_str().unwrap()),
            ("CODER_AIBRIDGE_PROXY_TLS_KEY_FILE", key_file.to_str().unwrap()),
        ];
        settings.extend_from_slice(further);
        let world = Self::start(site, &settings).await;
        Self {
            listener_certificate: Some(cert_file),
            ..world
        }
    }

    async fn start(site: Site, settings: &[(&str, &str)]) -> Self {
        let (openai, certificates) = over_tls().await;
        let roots = site.path("roots.pem");
        std::fs::write(&roots, certificates).unwrap();
        let base_url = format!("{}/v1", openai.base_url());
        let mut all = vec![
            ("CODER_AIBRIDGE_PROXY_ENABLED", "true"),
            ("CODER_AIBRIDGE_PROXY_LISTEN_ADDR", "127.0.0.1:0"),
            ("CODER_AIBRIDGE_OPENAI_BASE_URL", &base_url),
            ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ];
        all.extend_from_slice(settings);
        let (gateway, owner) = Gateway::set_up(site.start(&all).await).await;
        gateway.create_user(&owner, USER).await;
        let token = gateway.create_token(&owner, USER, "t").await;
        let (status, told) = gateway
            .call("GET", "/api/v2/aibridge/proxy", Some(&owner), None)
            .await;
        assert_eq!(status, 200, "{told}");
        let port = told["port"].as_u64().unwrap().try_into().unwrap();
        let ca = gateway.site.path("server").join("aibridge-proxy-ca.pem");
        Self {
            gateway,
            owner,
            token,
            openai,
            address: ([127, 0, 0, 1], port).into(),
            ca,
            listener_certificate: None,
        }
    }

    /// The provider that is asked in plain text.
    fn anthropic(&self) -> &Sim {
        &self.gateway.site.sim
    }

    /// What was recorded, newest first.
    async fn recorded(&self) -> Vec<Value> {
        let path = "/api/v2/aibridge/interceptions";
        let (status, page) = self.gateway.call("GET", path, Some(&self.owner), None).await;
        assert_eq!(status, 200, "{page}");
        page["results"].as_array().unwrap().clone()
    }

    /// Nothing in a request tells the provider of the gateway or its proxy.
    fn assert_clean(&self, exchange: &Exchange) {
        assert_no_trace(exchange, &self.token);
        for (name, value) in &exchange.headers {
            let value = String::from_utf8_lossy(value);
            assert!(!name.starts_with("proxy-"), "{name}: {value}");
            assert!(!value.contains("Basic "), "{name}: {value}");
            assert!(!matches!(name.as_str(), "via" | "forwarded"), "{name}: {value}");
            assert!(!name.starts_with("x-forwarded"), "{name}: {value}");
        }
    }

    /// Asks in plain bytes, with the credential of a token if one is given.
    async fn connect(&self, target: &str, token: Option<&Token>) -> Connected {
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(token) = token {
            head.push_str(&proxy_authorization(token));
        }
        self.ask(&format!("{head}\r\n")).await
    }

    async fn ask(&self, head: &str) -> Connected {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        patiently("the proxy's answer", async {
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.unwrap());
            }
        })
        .await;
        Connected {
            stream,
            head: String::from_utf8(answer).unwrap(),
        }
    }
}

fn proxy_authorization(token: &Token) -> String {
    let credential = base64(format!("coder:{}", token.text).as_bytes());
    format!("Proxy-Authorization: Basic {credential}\r\n")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            text.push(if place <= group.len() {
                ALPHABET[bits >> (18 - 6 * place) & 63].into()
            } else {
                '='
            });
        }
    }
    text
}

// === impl Connected ===

impl Connected {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}
