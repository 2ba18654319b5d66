//! mitmproxy as a yardstick, at its best: with nothing to print, nothing kept, and no connection to the provider before
//! there is a request. Its authority is the one that it makes itself, with a key of RSA like those of its hosts.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::cores::Cores;
use crate::db::free_port;
use crate::demo::{Child, Stage};
use crate::interrupt;
use crate::python::Environment;
use crate::workspace::Workspace;

const ENVIRONMENT: Environment<'static> = Environment {
    what_for: "mitmproxy, the yardstick of the proxy,",
    minor: 12,
    requirements: "mitmproxy==12.3.1\n",
    module: "mitmproxy",
};
const VERSION: &str = "mitmproxy 12";

/// The provider's base URL is plain HTTP, and the gateway is told so.
const ADDON: &str = "def requestheaders(flow):\n    flow.request.scheme = \"http\"\n";

/// Beside the password and the folder.
const OPTIONS: [&str; 7] = [
    // Certificates are made without asking the provider for its own.
    "upstream_cert=false",
    "connection_strategy=lazy",
    // The clients do not speak it either.
    "http2=false",
    "flow_detail=0",
    "termlog_verbosity=error",
    // Its own page for clients.
    "onboarding=false",
    "store_streamed_bodies=false",
];

/// How long it may take to start.
const START: Duration = Duration::from_mins(1);

/// A mitmproxy that runs.
pub(super) struct Mitmproxy {
    pub(super) process: Child,
    pub(super) address: SocketAddr,
    pub(super) version: &'static str,
    /// What its clients have to trust.
    pub(super) trusted: PathBuf,
}

// === impl Mitmproxy ===

impl Mitmproxy {
    /// Installs it if need be, and starts it on the processor of what is measured.
    pub(super) fn start(
        workspace: &Workspace,
        stage: &Stage,
        cores: Cores,
        credential: &str,
    ) -> anyhow::Result<Self> {
        let programs = ENVIRONMENT.prepare(&workspace.target.join("mitmproxy-venv"))?;
        let folder = stage.scratch().join("mitmproxy");
        fs::create_dir(&folder)?;
        let addon = folder.join("plain.py");
        fs::write(&addon, ADDON)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = Command::new(programs.join("mitmdump"));
        command.args(["--quiet", "--listen-host", "127.0.0.1", "--listen-port"]);
        command
            .arg(address.port().to_string())
            .arg("--scripts")
            .arg(addon);
        let own = [
            format!("confdir={}", folder.display()),
            format!("proxyauth={credential}"),
        ];
        for option in OPTIONS.iter().copied().chain(own.iter().map(String::as_str)) {
            command.args(["--set", option]);
        }
        let process = cores
            .measured
            .run(|| Child::start("mitmdump", command, stage.scratch()))?;
        let mut started = Self {
            process,
            address,
            version: VERSION,
            trusted: folder.join("mitmproxy-ca-cert.pem"),
        };
        started.wait()?;
        Ok(started)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            self.process.require_running()?;
            if interrupt::happened() {
                bail!("interrupted");
            }
            if start.elapsed() > START {
                bail!("mitmproxy did not start; it printed:\n{}", self.process.log());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
