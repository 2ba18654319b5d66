//! A home directory to run the program in, and a server that replays canned replies and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A token of the right form whose id is 0123456789.
pub(crate) const TOKEN: &str = "cdr_0123456789_0123456789ABCDEFGHIJKL0IkVvR";

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A fresh home directory. Nothing of the environment of the tests reaches the program.
pub(crate) struct Home {
    folder: TempDir,
    variables: Vec<(String, String)>,
    input: String,
}

/// One request as the server has seen it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) token: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Answers `METHOD /path?query` with what was put there, and anything else with 404.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A status, a body, and headers.
type Canned = (u16, String, Vec<(String, String)>);

#[derive(Default)]
struct Shared {
    replies: Mutex<BTreeMap<String, Canned>>,
    asked: Mutex<Vec<Asked>>,
}

// === impl Ended ===

impl Ended {
    /// Ended well; returns standard output.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, 0, "stderr: {}", self.stderr);
        self.stdout
    }

    /// Ended with this code and without a result; returns standard error.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        assert_eq!(self.stdout, "", "a failure has no result");
        self.stderr
    }
}

// === impl Home ===

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            input: String::new(),
        }
    }

    /// Logged in to `server` with [`TOKEN`] as session.
    pub(crate) fn logged_in(server: &FakeServer) -> Self {
        let home = Self::new();
        std::fs::create_dir_all(home.config()).unwrap();
        std::fs::write(home.config().join("url"), &server.url).unwrap();
        std::fs::write(home.config().join("session"), TOKEN).unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join(".config").join("coderv2")
    }

    /// For the next runs.
    #[must_use]
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// What the next runs read from standard input.
    #[must_use]
    pub(crate) fn with_input(mut self, input: &str) -> Self {
        input.clone_into(&mut self.input);
        self
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The program may not want it all.
        let _ = stdin.write_all(self.input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coder"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path());
        command
    }
}

// === impl FakeServer ===

impl FakeServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let app = axum::Router::new()
            .fallback(reply)
            .with_state(Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app)
                    .with_graceful_shutdown(async {
                        let _ = stopped.await;
                    })
                    .await
                    .unwrap();
            });
        });
        Self {
            url,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `line` is `METHOD /path` below `/api/v2`.
    pub(crate) fn on(&self, line: &str, status: u16, body: &Value) -> &Self {
        self.on_text(line, status, &body.to_string(), &[])
    }

    pub(crate) fn on_text(&self, line: &str, status: u16, body: &str, headers: &[(&str, &str)]) -> &Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (method, path) = line.split_once(' ').unwrap();
        self.shared.replies.lock().unwrap().insert(
            format!("{method} /api/v2{path}"),
            (status, body.to_owned(), headers),
        );
        self
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The lines of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn reply(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {uri}");
    shared.asked.lock().unwrap().push(Asked {
        line: line.replacen("/api/v2", "", 1),
        token: headers
            .get("coder-session-token")
            .map(|value| value.to_str().unwrap().to_owned()),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let found = shared.replies.lock().unwrap().get(&line).cloned();
    let (status, body, headers) = found.unwrap_or_else(|| {
        (
            404,
            json!({"message": "there is no such thing"}).to_string(),
            Vec::new(),
        )
    });
    let mut response = (
        StatusCode::from_u16(status).unwrap(),
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response();
    for (name, value) in headers {
        response.headers_mut().insert(
            name.parse::<header::HeaderName>().unwrap(),
            value.parse().unwrap(),
        );
    }
    response
}

// === Canned objects ===

pub(crate) fn user(username: &str, roles: &[&str]) -> Value {
    let roles: Vec<Value> = roles
        .iter()
        .map(|name| json!({"name": name, "display_name": name, "organization_id": ""}))
        .collect();
    json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "username": username,
        "name": "",
        "email": format!("{username}@example.com"),
        "avatar_url": "",
        "created_at": "2026-01-02T03:04:05.000006Z",
        "updated_at": "2026-01-02T03:04:05.000006Z",
        "last_seen_at": "0001-01-01T00:00:00.000000Z",
        "status": "active",
        "login_type": "password",
        "theme_preference": "",
        "organization_ids": [],
        "roles": roles,
        "is_service_account": false,
        "has_ai_seat": true,
        "a_field_of_a_newer_server": 1,
    })
}

pub(crate) fn key(id: &str, name: &str, owner: &str) -> Value {
    json!({
        "id": id,
        "user_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "username": owner,
        "last_used": "0001-01-01T00:00:00.000000Z",
        "expires_at": "2026-02-01T03:04:05.000006Z",
        "created_at": "2026-01-02T03:04:05.000006Z",
        "updated_at": "2026-01-02T03:04:05.000006Z",
        "login_type": "token",
        "scope": "all",
        "scopes": ["all"],
        "token_name": name,
        "lifetime_seconds": 2_592_000,
        "allow_list": [{"type": "*", "id": "*"}],
    })
}
