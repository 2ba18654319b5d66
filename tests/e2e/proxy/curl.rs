//! curl, going through the proxy.

use std::path::Path;
use std::process::Stdio;

use gateway_testkit::sim::Sim;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::{World, url_at};
use crate::support::{Token, from_environment, patiently};

/// What is spoken inside of the intercepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// A run of curl that is being put together.
pub(super) struct Curl(Command);

/// A run of curl that goes on.
pub(super) struct Running {
    process: Child,
    /// What has come of the answer.
    pub(super) body: Vec<u8>,
}

/// How a run of curl has ended.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Of curl; 0 if the answer is whole.
    pub(super) exit: i32,
    pub(super) body: Vec<u8>,
    /// One of each request.
    pub(super) transfers: Vec<Transfer>,
    /// What curl says of its doings.
    pub(super) told: String,
}

/// What curl says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    /// 0 if there was no answer.
    pub(super) status: u16,
    /// `1.1` or `2`.
    pub(super) http: String,
    /// The proxy's answer to the CONNECT; 0 if there was none.
    pub(super) connect: u16,
    /// Connections that were opened for it.
    pub(super) connections: u32,
}

/// How curl is to tell of a transfer, on a line of its own.
const WRITE_OUT: &str = "%{stderr}\n@ %{http_code} %{http_version} %{http_connect} %{num_connects}\n";

// === impl Http ===

impl Http {
    fn flag(self) -> &'static str {
        match self {
            Self::One => "--http1.1",
            Self::Two => "--http2",
        }
    }

    /// As curl writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "1.1",
            Self::Two => "2",
        }
    }
}

// === impl World ===

impl World {
    /// Through the proxy with a token, and with trust in the proxy's authority only.
    pub(super) fn curl(&self, token: &Token, http: Http) -> Curl {
        self.curl_with(Some(&format!("coder:{}", token.text)), http, &self.ca)
    }

    /// With this user and password, if any.
    pub(super) fn curl_with(&self, credential: Option<&str>, http: Http, trusted: &Path) -> Curl {
        let mut curl = Command::new("curl");
        // Nothing of this machine's environment or settings.
        curl.env_clear().args(["--disable", "--silent", "--show-error"]);
        curl.env("PATH", from_environment("PATH").unwrap_or_default());
        curl.args(["--verbose", "--no-buffer", "--max-time", "60", http.flag()]);
        curl.args(["--write-out", WRITE_OUT]);
        curl.arg("--cacert").arg(trusted);
        let scheme = match &self.listener_certificate {
            Some(certificate) => {
                curl.arg("--proxy-cacert").arg(certificate);
                "https"
            }
            None => "http",
        };
        let credential = credential.map_or_else(String::new, |credential| format!("{credential}@"));
        curl.args(["--proxy", &format!("{scheme}://{credential}{}", self.address)]);
        Curl(curl)
    }
}

// === impl Curl ===

impl Curl {
    pub(super) fn header(self, name: &str, value: &str) -> Self {
        self.argument("--header").argument(&format!("{name}: {value}"))
    }

    pub(super) fn argument(mut self, argument: &str) -> Self {
        self.0.arg(argument);
        self
    }

    /// A request to the Messages API of a simulated provider.
    pub(super) fn message(self, world: &World, body: &[u8]) -> Self {
        self.post(world.anthropic(), "/v1/messages", body)
    }

    pub(super) fn post(self, provider: &Sim, path: &str, body: &[u8]) -> Self {
        self.header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .argument("--data-binary")
            .argument(std::str::from_utf8(body).unwrap())
            .argument(&url_at(provider, path))
    }

    pub(super) fn start(mut self) -> Running {
        let process = self
            .0
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("curl cannot be run ({error}); the tests of the proxy need it"));
        Running {
            process,
            body: Vec::new(),
        }
    }

    pub(super) async fn fetch(self) -> Fetched {
        self.start().end().await
    }
}

// === impl Running ===

impl Running {
    /// Reads until the answer holds this.
    pub(super) async fn read_until(&mut self, text: &str) {
        let stdout = self.process.stdout.as_mut().unwrap();
        let body = &mut self.body;
        patiently("a part of curl's output", async {
            while !String::from_utf8_lossy(body).contains(text) {
                let count = stdout.read_buf(body).await.unwrap();
                assert!(count > 0, "curl ended after {:?}", String::from_utf8_lossy(body));
            }
        })
        .await;
    }

    pub(super) async fn end(mut self) -> Fetched {
        let (stdout, stderr) = (self.process.stdout.take(), self.process.stderr.take());
        let mut body = self.body;
        let (rest, told, status) = patiently("the end of curl", async {
            tokio::join!(all_of(stdout), all_of(stderr), self.process.wait())
        })
        .await;
        body.extend_from_slice(&rest);
        let told = String::from_utf8_lossy(&told).into_owned();
        Fetched {
            exit: status.unwrap().code().unwrap(),
            body,
            transfers: told.lines().filter_map(Transfer::parse).collect(),
            told,
        }
    }
}

async fn all_of(output: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    output.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

// === impl Fetched ===

impl Fetched {
    /// The last request.
    pub(super) fn last(&self) -> &Transfer {
        self.transfers.last().unwrap()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.exit == 0 && self.last().status == 200
    }
}

// === impl Transfer ===

impl Transfer {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("@ ")?.split(' ');
        let mut next = || words.next();
        Some(Self {
            status: next()?.parse().ok()?,
            http: next()?.to_owned(),
            connect: next()?.parse().ok()?,
            connections: next()?.parse().ok()?,
        })
    }
}
