//! A gateway in a process of its own, its owner, and the people and tokens that a test needs.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use gateway_core::Secret;
use gateway_store::{DEFAULT_FILE_NAME, Purpose, Store, StoreOptions, Target};
use gateway_testkit::sim::{Sim, SimConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::disk::Disk;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const ANTHROPIC_KEY: &str = "sk-ant-organisation";
pub(crate) const OPENAI_KEY: &str = "sk-organisation";
pub(crate) const MESSAGES: &str = "/api/v2/aibridge/anthropic/v1/messages";
pub(crate) const CHAT: &str = "/api/v2/aibridge/openai/v1/chat/completions";
pub(crate) const RESPONSES: &str = "/api/v2/aibridge/openai/v1/responses";

/// How long a test waits for something that is bound to happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Figures of a run that passes, for who runs it by hand.
#[expect(clippy::print_stdout, reason = "the test runner shows it to who asks for it")]
pub(crate) fn report(figures: &str) {
    println!("{figures}");
}

pub(crate) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// A streamed request to the simulated provider, driven by directives.
pub(crate) fn message(directives: &str) -> Vec<u8> {
    json!({
        "model": "claude-sim",
        "max_tokens": 64,
        "stream": true,
        "messages": [{"role": "user", "content": format!("hello [[sim: {directives}]]")}],
    })
    .to_string()
    .into_bytes()
}

/// Which engine a gateway keeps its data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test runner hands over what it built and started"
)]
pub(crate) fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn from_runner(name: &str) -> String {
    from_environment(name).unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test e2e`"))
}

/// What outlives a restart of the server.
pub(crate) struct Site {
    /// Where SQLite keeps its files, if that can be full.
    pub(crate) disk: Option<Disk>,
    directory: TempDir,
    database: Option<Database>,
    address: SocketAddr,
    pub(crate) sim: Sim,
}

/// A PostgreSQL database.
struct Database {
    /// One of the test's own on the throw-away server, to be dropped.
    name: Option<String>,
    url: String,
}

pub(crate) struct Gateway {
    pub(crate) site: Site,
    process: Child,
    http: reqwest::Client,
}

/// A token with its id.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
}

impl Token {
    pub(crate) fn id(&self) -> &str {
        &self.text[4..14]
    }
}

impl Database {
    fn create() -> Self {
        let server = from_runner("TEST_POSTGRES_URL");
        let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        psql(&server, &format!("CREATE DATABASE {name}"));
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Self {
            name: Some(name),
            url: url.into(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            psql(
                &from_runner("TEST_POSTGRES_URL"),
                &format!("DROP DATABASE {name} WITH (FORCE)"),
            );
        }
    }
}

fn psql(url: &str, statement: &str) {
    let output = std::process::Command::new("psql")
        .args([url, "-qc", statement])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn signal(process: u32, name: &str) {
    let status = std::process::Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Site {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with((engine == Engine::Postgres).then(Database::create)).await
    }

    /// On a PostgreSQL database that is somebody else's to remove.
    pub(crate) async fn on_postgres(url: &str) -> Self {
        let url = url.to_owned();
        Self::with(Some(Database { name: None, url })).await
    }

    /// On SQLite, on a disk that can be full.
    pub(crate) async fn on_disk() -> Self {
        let site = Self::with(None).await;
        let disk = Some(Disk::at(site.path("server")));
        Self { disk, ..site }
    }

    async fn with(database: Option<Database>) -> Self {
        let sim = Sim::start(SimConfig {
            accept_keys: vec![ANTHROPIC_KEY.into(), OPENAI_KEY.into(), "own-key".into()],
            ..SimConfig::default()
        });
        Self {
            disk: None,
            directory: tempfile::tempdir().unwrap(),
            database,
            address: free_address(),
            sim: sim.await.unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The database of the server, for a look at what it has stored.
    pub(crate) async fn store(&self) -> Store {
        let target = match &self.database {
            Some(database) => Target::Postgres {
                url: Secret::new(database.url.as_str()),
            },
            None => Target::Sqlite {
                path: self.path("server").join(DEFAULT_FILE_NAME),
            },
        };
        Store::open(StoreOptions::new(target), Purpose::Server)
            .await
            .unwrap()
    }

    /// None on SQLite.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.database.as_ref().map(|database| database.url.as_str())
    }

    /// What the servers have printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    fn server(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = match &self.disk {
            Some(disk) => coder_by(disk.wrapper(), &self.path("server")),
            None => coder(&self.path("server")),
        };
        command
            .arg("server")
            .env("CODER_HTTP_ADDRESS", self.address.to_string())
            .env("CODER_AIBRIDGE_ANTHROPIC_KEY", ANTHROPIC_KEY)
            .env("CODER_AIBRIDGE_ANTHROPIC_BASE_URL", self.sim.base_url())
            .env("CODER_AIBRIDGE_OPENAI_KEY", OPENAI_KEY)
            .env(
                "CODER_AIBRIDGE_OPENAI_BASE_URL",
                format!("{}/v1", self.sim.base_url()),
            )
            .envs(settings.iter().copied());
        if let Some(database) = &self.database {
            command.env("CODER_PG_CONNECTION_URL", &database.url);
        }
        command
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(self, settings: &[(&str, &str)]) -> Gateway {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let process = self
            .server(settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut gateway = Gateway {
            site: self,
            process,
            http: http_client(),
        };
        gateway.wait_until_up().await;
        gateway
    }
}

fn http_client() -> reqwest::Client {
    // Nothing here is TLS, but the client wants a provider to be there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// The command line with nothing of this machine's environment but what it needs to run.
pub(crate) fn coder(config: &Path) -> Command {
    coder_by(&[], config)
}

/// The same by way of another program, which is given it as its last argument.
fn coder_by(wrapper: &[&str], config: &Path) -> Command {
    let program = from_runner("CODER_BIN");
    let mut words = wrapper.iter().copied().chain([program.as_str()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
        .env_clear()
        .env("HOME", config)
        .env("CODER_CONFIG_DIR", config);
    command
}

pub(crate) async fn run(command: &mut Command) -> Output {
    patiently("the end of a command", command.stdin(Stdio::null()).output())
        .await
        .unwrap()
}

/// Runs a command that must succeed and gives its standard output.
pub(crate) async fn stdout_of(command: &mut Command) -> String {
    let output = run(command).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

impl Gateway {
    /// A gateway with its owner, `admin`.
    pub(crate) async fn with_owner(engine: Engine, settings: &[(&str, &str)]) -> (Self, Token) {
        Self::set_up(Site::new(engine).await.start(settings).await).await
    }

    /// Makes the owner of a gateway that has none.
    pub(crate) async fn set_up(gateway: Self) -> (Self, Token) {
        let body = json!({"email": "admin@example.com", "username": "admin", "password": PASSWORD});
        let (status, _) = gateway
            .call("POST", "/api/v2/users/first", None, Some(body))
            .await;
        assert_eq!(status, 201);
        let session = gateway.login("admin@example.com").await;
        (gateway, session)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.site.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.site.address)
    }

    pub(crate) fn log(&self) -> String {
        self.site.log()
    }

    async fn wait_until_up(&mut self) {
        let url = format!("{}/healthz", self.url());
        patiently("the server's first answer", async {
            loop {
                if self
                    .http
                    .get(&url)
                    .send()
                    .await
                    .is_ok_and(|response| response.status() == 200)
                {
                    return;
                }
                if let Some(status) = self.process.try_wait().unwrap() {
                    panic!("the server ended with {status}: {}", self.log());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.process_id(), name);
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Waits for the process to end; gives what outlives it and whether it ended well.
    pub(crate) async fn ended(mut self) -> (Site, bool) {
        let status = patiently("the end of the server", self.process.wait())
            .await
            .unwrap();
        (self.site, status.success())
    }

    /// One call of the REST API; the body is null if there is none.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&Token>,
        body: Option<Value>,
    ) -> (u16, Value) {
        self.try_call(method, path, token, body).await.unwrap()
    }

    /// The same where the server may be gone.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        token: Option<&Token>,
        body: Option<Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.url()));
        if let Some(token) = token {
            request = request.header("Coder-Session-Token", &token.text);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub(crate) async fn login(&self, email: &str) -> Token {
        let body = json!({"email": email, "password": PASSWORD});
        let (status, reply) = self.call("POST", "/api/v2/users/login", None, Some(body)).await;
        assert_eq!(status, 201, "{reply}");
        Token {
            text: reply["session_token"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn create_user(&self, owner: &Token, name: &str) {
        let body = json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
        let (status, reply) = self.call("POST", "/api/v2/users", Some(owner), Some(body)).await;
        assert_eq!(status, 201, "{reply}");
    }

    pub(crate) async fn create_token(&self, owner: &Token, user: &str, name: &str) -> Token {
        let path = format!("/api/v2/users/{user}/keys/tokens");
        let (status, reply) = self
            .call("POST", &path, Some(owner), Some(json!({"token_name": name})))
            .await;
        assert_eq!(status, 201, "{reply}");
        Token {
            text: reply["key"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn remove_token(&self, owner: &Token, token: &Token) -> u16 {
        self.call(
            "DELETE",
            &format!("/api/v2/users/me/keys/{}", token.id()),
            Some(owner),
            None,
        )
        .await
        .0
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// The status that a request with this token gets.
    pub(crate) async fn status_of(&self, token: &Token) -> u16 {
        let mut client = self.connect().await;
        client
            .post(MESSAGES, &[("x-api-key", &token.text)], &message(""))
            .await;
        client.answer().await.status
    }
}
