//! The programs of the product in a scratch directory: what a demonstration or a measurement plays on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::child::Child;
use super::{go_on, heading};
use crate::cores::Cores;
use crate::db::{free_port, random_hex};
use crate::test::of_the_product;
use crate::workspace::Programs;
use crate::{http, process};

/// How long a program may take until it answers.
const START: Duration = Duration::from_mins(1);
const OWNER: &str = "admin";
pub(crate) const EMAIL: &str = "admin@example.com";

/// The keys that the server holds and the simulated provider accepts; no client ever sees them.
const CENTRAL_KEYS: [(&str, &str); 2] = [
    ("ANTHROPIC", "sk-ant-demo-central-key"),
    ("OPENAI", "sk-demo-central-key"),
];

/// What of a stage is not as usual.
#[derive(Default)]
pub(crate) struct Setting<'a> {
    /// A PostgreSQL database instead of the embedded one.
    pub(crate) database: Option<&'a str>,
    /// Further variables of the gateway.
    pub(crate) variables: &'a [(&'a str, String)],
    /// Processors for the provider and for the gateway, instead of any.
    pub(crate) cores: Option<Cores>,
    /// Where the gateway's providers are, instead of the simulated one.
    pub(crate) provider: Option<SocketAddr>,
}

/// A simulated provider and a gateway in front of it. Dropped, it ends both and removes the directory.
pub(crate) struct Stage {
    coder: PathBuf,
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    /// Of the owner.
    pub(crate) password: String,
    children: Vec<Child>,
    // After the children, which live in it.
    scratch: TempDir,
}

impl Stage {
    /// Starts the simulated provider, then the gateway in front of it.
    pub(crate) fn start(programs: &Programs) -> anyhow::Result<Self> {
        Self::start_with(programs, &Setting::default())
    }

    /// The same on a PostgreSQL database instead of the embedded one.
    pub(crate) fn start_on(programs: &Programs, database: Option<&str>) -> anyhow::Result<Self> {
        let setting = Setting {
            database,
            ..Setting::default()
        };
        Self::start_with(programs, &setting)
    }

    pub(crate) fn start_with(programs: &Programs, setting: &Setting<'_>) -> anyhow::Result<Self> {
        heading("Starting a simulated provider and the gateway");
        let mut stage = Self {
            coder: programs.path("coder")?.to_owned(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, own_port()?)),
            password: random_hex()?,
            children: Vec::new(),
            scratch: tempfile::Builder::new()
                .prefix("gateway-demo-")
                .tempdir()
                .context("cannot make a scratch directory")?,
        };
        if let Err(error) = stage.launch(programs, setting) {
            stage.show_logs();
            return Err(error);
        }
        Ok(stage)
    }

    fn launch(&mut self, programs: &Programs, setting: &Setting<'_>) -> anyhow::Result<()> {
        let mut command = clean(Command::new(programs.path("llm-sim")?));
        command.args(["--listen", "127.0.0.1:0"]);
        for (_, key) in CENTRAL_KEYS {
            command.args(["--accept-key", key]);
        }
        let start = || Child::start("llm-sim", command, self.scratch.path());
        self.children.push(match setting.cores {
            Some(cores) => cores.clients.run(start)?,
            None => start()?,
        });
        // It prints its address once it accepts connections.
        let provider = self.wait_until("llm-sim to start", |stage| {
            stage.children[0].log().strip_suffix('\n').map(str::to_owned)
        })?;
        self.launch_server(setting)?;
        println!("  provider  {provider}");
        let kept = match setting.database {
            Some(_) => "PostgreSQL".to_owned(),
            None => format!("SQLite in {}", self.scratch.path().display()),
        };
        println!("  gateway   http://{}, {kept}", self.address);
        Ok(())
    }

    fn launch_server(&mut self, setting: &Setting<'_>) -> anyhow::Result<()> {
        let provider = match setting.provider {
            Some(address) => address,
            None => self.provider()?,
        };
        let command = self.server(&format!("http://{provider}"), setting);
        let start = || Child::start("coder server", command, self.scratch.path());
        self.children.push(match setting.cores {
            Some(cores) => cores.measured.run(start)?,
            None => start()?,
        });
        self.wait_until("the gateway to answer", |stage| {
            http::send(stage.address, "GET", "/healthz", &[], "")
                .ok()
                .filter(|answer| answer.status == 200)
        })?;
        Ok(())
    }

    /// Ends the gateway and starts it anew, with what it has kept.
    pub(crate) fn restart_server(&mut self, setting: &Setting<'_>) -> anyhow::Result<()> {
        self.children
            .pop()
            .context("the gateway was not started")?
            .stop()?;
        self.launch_server(setting)
    }

    /// The command that starts the gateway.
    fn server(&self, provider: &str, setting: &Setting<'_>) -> Command {
        let mut command = clean(Command::new(&self.coder));
        command
            .arg("server")
            .env("CODER_CONFIG_DIR", self.server_folder())
            .env("CODER_HTTP_ADDRESS", self.address.to_string());
        if let Some(url) = setting.database {
            command.env("CODER_PG_CONNECTION_URL", url);
        }
        for (name, value) in setting.variables {
            command.env(name, value);
        }
        for (kind, key) in CENTRAL_KEYS {
            command.env(format!("CODER_AIBRIDGE_{kind}_KEY"), key);
            let path = if kind == "OPENAI" { "/v1" } else { "" };
            command.env(
                format!("CODER_AIBRIDGE_{kind}_BASE_URL"),
                format!("{provider}{path}"),
            );
        }
        command
    }

    /// Makes the first user, who owns the deployment, and logs the command line in as that user.
    pub(crate) fn owner(&self) -> anyhow::Result<()> {
        go_on()?;
        heading("Making the owner and logging in");
        let url = format!("http://{}", self.address);
        let arguments = [
            "login",
            &url,
            "--first-user-username",
            OWNER,
            "--first-user-email",
            EMAIL,
        ];
        println!("  $ CODER_FIRST_USER_PASSWORD=... coder {}", arguments.join(" "));
        // Not as an argument, which every user of the machine could read.
        self.coder(&arguments, &[("CODER_FIRST_USER_PASSWORD", &self.password)])?;
        Ok(())
    }

    /// Makes a token and returns it.
    pub(crate) fn token(&self, name: &str) -> anyhow::Result<String> {
        go_on()?;
        heading("Making a token");
        let arguments = ["tokens", "create", "--lifetime", "30d", "-n", name];
        println!("  $ coder {}", arguments.join(" "));
        let token = self.coder(&arguments, &[])?.trim().to_owned();
        if !token.starts_with("cdr_") || token.contains(char::is_whitespace) {
            bail!("`coder tokens create` printed something other than a token");
        }
        println!("  {token}");
        Ok(token)
    }

    /// The key that the simulated provider takes from one who asks it directly.
    pub(crate) fn central_key() -> &'static str {
        CENTRAL_KEYS[0].1
    }

    /// The address of the simulated provider itself.
    pub(crate) fn provider(&self) -> anyhow::Result<SocketAddr> {
        let printed = self
            .children
            .first()
            .context("the provider was not started")?
            .log();
        let address = printed
            .trim()
            .strip_prefix("http://")
            .context("the provider printed no address")?;
        address
            .parse()
            .with_context(|| format!("not an address: {address}"))
    }

    /// Processor time that the gateway has used so far.
    pub(crate) fn server_time(&self) -> anyhow::Result<Duration> {
        self.children
            .last()
            .context("the gateway was not started")?
            .processor_time()
    }

    /// Memory of the gateway at the moment, in bytes.
    pub(crate) fn server_memory(&self) -> anyhow::Result<u64> {
        self.children
            .last()
            .context("the gateway was not started")?
            .memory()
    }

    /// Where the gateway keeps its files.
    pub(crate) fn server_folder(&self) -> PathBuf {
        self.scratch.path().join("server")
    }

    /// A folder that goes away with the stage.
    pub(crate) fn scratch(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// Runs the command line as the owner; returns what it printed.
    pub(crate) fn coder(&self, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut command = clean(Command::new(&self.coder));
        command
            .args(arguments)
            .env("CODER_CONFIG_DIR", self.scratch.path().join("cli"));
        command.envs(environment.iter().copied());
        process::quiet(&mut command)
    }

    /// Fails if one of the programs has ended.
    pub(crate) fn require_running(&mut self) -> anyhow::Result<()> {
        self.children.iter_mut().try_for_each(Child::require_running)
    }

    /// Shows what the programs have printed.
    pub(crate) fn show_logs(&self) {
        for child in &self.children {
            eprintln!("\n--- what {} printed\n{}", child.name(), child.log());
        }
    }

    /// Ends the programs in order, the server first, so that it can finish what it does.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        while let Some(child) = self.children.pop() {
            child.stop()?;
        }
        Ok(())
    }

    /// Waits until `look` finds what it looks for, as long as the children live.
    fn wait_until<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> anyhow::Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            go_on()?;
            for child in &mut self.children {
                child.require_running()?;
            }
            if start.elapsed() > START {
                bail!("waited {START:?} in vain for {what}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The port of the documentation if it is free, so that its examples work as they stand.
fn own_port() -> anyhow::Result<u16> {
    const USUAL: u16 = 3000;
    match TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL)) {
        Ok(_) => Ok(USUAL),
        Err(_) => free_port(),
    }
}

/// Without what the caller's environment says about the product.
fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if of_the_product(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}
