//! A server, its people, and calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::{Lifetime, Secret};
use gateway_relay::RelayOptions;
use gateway_relay::listen::Endpoint;
use gateway_server::config::TrustedProxies;
use gateway_server::lifecycle::Shutdown;
use gateway_server::service::Lifetimes;
use gateway_server::{AccountOptions, JobOptions, Parts, serve};
use gateway_store::{Purpose, Store, StoreOptions, Target};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const SETUP_CODE: &str = "the-set-up-code";

pub(crate) struct Server {
    scheme: &'static str,
    address: SocketAddr,
    http: reqwest::Client,
    shutdown: Shutdown,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    directory: TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The fields that the answer finds fault with.
    pub(crate) fn faulty_fields(&self) -> Vec<String> {
        let json = self.json();
        let validations = json["validations"].as_array().cloned().unwrap_or_default();
        validations
            .iter()
            .map(|fault| fault["field"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Server {
    /// Without any user.
    pub(crate) async fn empty() -> Self {
        Self::start(tempfile::tempdir().unwrap(), |_| {}).await
    }

    /// On the database in the directory, with parts changed from what they usually are.
    pub(crate) async fn start(directory: TempDir, change: impl FnOnce(&mut Parts)) -> Self {
        Self::start_on(directory, None, change).await
    }

    /// Without any user, on a TLS listener of its own.
    pub(crate) async fn over_tls() -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), Some(certificate()), |_| {}).await
    }

    async fn start_on(
        directory: TempDir,
        tls: Option<Arc<rustls::ServerConfig>>,
        change: impl FnOnce(&mut Parts),
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let year = Lifetime::from_days(365).unwrap();
        let mut parts = Parts {
            store: StoreOptions::new(Target::Sqlite {
                path: directory.path().join("coder.db"),
            }),
            accounts: AccountOptions {
                lifetimes: Lifetimes {
                    session: Lifetime::from_days(1).unwrap(),
                    default_token: Lifetime::from_days(30).unwrap(),
                    max_token: Lifetime::from_days(90).unwrap(),
                    max_admin_token: year,
                },
                first_user_code: Some(Secret::new(SETUP_CODE)),
            },
            jobs: JobOptions {
                sessions_slide: true,
                ..JobOptions::default()
            },
            options: BTreeMap::from([("log-filter".to_owned(), "info".to_owned())]),
            access_url: "https://gateway.example.com/".to_owned(),
            trusted_proxies: TrustedProxies {
                headers: Vec::new(),
                origins: Vec::new(),
            },
            relay: RelayOptions::default(),
            proxy: None,
            record_log: None,
            shutdown_timeout: Duration::from_secs(1),
        };
        change(&mut parts);
        let shutdown = Shutdown::new();
        let endpoint = Endpoint {
            listener,
            tls,
            max_connections: 256,
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let running = TaskTracker::new().spawn(serve(parts, vec![endpoint], shutdown.clone()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            scheme,
            address,
            http,
            shutdown,
            running: Some(running),
            directory,
        }
    }

    /// With the owner `admin`, whose session comes with it.
    pub(crate) async fn with_owner() -> (Self, String) {
        let server = Self::empty().await;
        let body = json!({"email": "admin@example.com", "username": "admin", "password": PASSWORD});
        assert_eq!(server.post("/users/first", "", body).await.status, 201);
        let session = server.login("admin@example.com").await;
        (server, session)
    }

    /// Where its database is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) async fn send(
        &self,
        request: impl FnOnce(&reqwest::Client, String) -> reqwest::RequestBuilder,
    ) -> Reply {
        let response = request(&self.http, format!("http://{}", self.address))
            .send()
            .await
            .unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// `path` is below `/api/v2`; an empty token is none.
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Reply {
        self.send(|http, base| {
            let mut request = http.request(method.parse().unwrap(), format!("{base}/api/v2{path}"));
            if !token.is_empty() {
                request = request.header("Coder-Session-Token", token);
            }
            match body {
                Some(body) => request.json(&body),
                None => request,
            }
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.call("GET", path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.call("POST", path, token, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, token: &str, body: Value) -> Reply {
        self.call("PUT", path, token, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Reply {
        self.call("DELETE", path, token, None).await
    }

    pub(crate) async fn login(&self, email: &str) -> String {
        let reply = self
            .post("/users/login", "", json!({"email": email, "password": PASSWORD}))
            .await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["session_token"].as_str().unwrap().to_owned()
    }

    /// Makes a user with roles; gives the user's session.
    pub(crate) async fn user(&self, owner: &str, name: &str, roles: &[&str]) -> String {
        let email = format!("{name}@example.com");
        let body = json!({"email": email, "username": name, "password": PASSWORD, "roles": roles});
        let reply = self.post("/users", owner, body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        self.login(&email).await
    }

    pub(crate) async fn token(&self, caller: &str, body: Value) -> String {
        let reply = self.post("/users/me/keys/tokens", caller, body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["key"].as_str().unwrap().to_owned()
    }

    /// Drains, and sees that the server ends in good order. What it leaves is in the directory.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.shutdown.drain.cancel();
        let running = self.running.take().unwrap();
        tokio::time::timeout(Duration::from_secs(30), running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        self.directory
    }
}

/// One that nobody trusts.
fn certificate() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The database that a server has left, or that one is to find.
pub(crate) async fn open(directory: &TempDir) -> Store {
    let path = directory.path().join("coder.db");
    Store::open(StoreOptions::new(Target::Sqlite { path }), Purpose::Offline)
        .await
        .unwrap()
}

/// The public part of a token.
pub(crate) fn id_of(token: &str) -> &str {
    &token[4..14]
}
