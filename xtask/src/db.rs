//! `cargo xtask db`: a throw-away PostgreSQL for tests.
//!
//! It lives under the target directory, listens on a free port of 127.0.0.1 and nowhere else, takes a password made for
//! it, and trades durability for speed: nothing in it is worth keeping. PostgreSQL refuses to run as root, so there it
//! runs as another user, and where that user cannot reach the target directory, under the system's temporary folder.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Subcommand;
use nix::unistd::User;
use sha2::{Digest, Sha256};

use crate::text::hex;
use crate::workspace::Workspace;
use crate::{install, process};

/// The oldest version that the product works with.
const OLDEST: u32 = 15;
/// Users to run it as when this program runs as root, the first that exists.
const OTHER_USERS: [&str; 2] = ["postgres", "nobody"];
const ROLE: &str = "gateway";

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Starts it, unless it runs, and prints its address.
    Up,
    /// Throws its data away and starts it anew.
    Reset,
    /// Stops it and throws its data away.
    Down,
}

/// A running server. Stops it when dropped, unless it was up before.
pub(crate) struct Database {
    cluster: Cluster,
    url: String,
    keep: bool,
}

/// What a commit is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Nothing: for tests.
    None,
    /// What it is worth by default: for measurements.
    Full,
}

/// Where everything of a server of this checkout is.
struct Cluster {
    durability: Durability,
    folder: PathBuf,
    programs: PathBuf,
    /// Whom to run as, when it cannot be the caller.
    other: Option<User>,
}

pub(crate) fn run(workspace: &Workspace, action: &Action) -> anyhow::Result<()> {
    let cluster = Cluster::find(workspace, Durability::None)?;
    match action {
        Action::Up => {}
        Action::Reset => cluster.remove()?,
        Action::Down => return cluster.remove(),
    }
    let url = cluster.start()?;
    fs::write(cluster.kept(), "").context("cannot note that the database is to stay")?;
    println!("{url}");
    Ok(())
}

/// The running server, or one started for the life of the answer.
pub(crate) fn ensure(workspace: &Workspace) -> anyhow::Result<Database> {
    let cluster = Cluster::find(workspace, Durability::None)?;
    let keep = cluster.port().is_some() && cluster.kept().exists();
    let url = cluster.start()?;
    Ok(Database { cluster, url, keep })
}

/// A server of its own for measurements, which keeps what it has committed as servers do by default.
pub(crate) fn durable(workspace: &Workspace) -> anyhow::Result<Database> {
    let cluster = Cluster::find(workspace, Durability::Full)?;
    let url = cluster.start()?;
    Ok(Database {
        cluster,
        url,
        keep: false,
    })
}

// === impl Database ===

impl Database {
    /// The address, with the role that may create databases.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The folder of PostgreSQL's programs, for tests that start a server of their own.
    pub(crate) fn programs(&self) -> &Path {
        &self.cluster.programs
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.cluster.remove()
        {
            eprintln!("note: the test database could not be removed: {error:#}");
        }
    }
}

// === impl Cluster ===

impl Cluster {
    fn find(workspace: &Workspace, durability: Durability) -> anyhow::Result<Self> {
        if programs().is_none() {
            install::packages(&["postgresql"], "a throw-away PostgreSQL for tests")?;
        }
        let programs =
            programs().with_context(|| format!("found no PostgreSQL {OLDEST} or newer; install one"))?;
        let other = if nix::unistd::geteuid().is_root() {
            Some(other_user()?)
        } else {
            None
        };
        let wanted = workspace.target.join(match durability {
            Durability::None => "pg",
            Durability::Full => "pg-durable",
        });
        let folder = match &other {
            Some(user) if !can_enter(user, &workspace.target) => elsewhere(&wanted),
            _ => wanted,
        };
        Ok(Self {
            durability,
            folder,
            programs,
            other,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Exists when somebody asked for the server by name, and so wants it to stay.
    fn kept(&self) -> PathBuf {
        self.folder.join("kept")
    }

    fn start(&self) -> anyhow::Result<String> {
        if self.port().is_none() {
            // What a killed run left behind is not worth a recovery.
            self.remove()?;
            self.create()?;
            self.launch()?;
        }
        let port = self
            .port()
            .context("the database stopped right after it had started")?;
        let password =
            fs::read_to_string(self.folder.join("password")).context("cannot read the password")?;
        Ok(format!(
            "postgres://{ROLE}:{}@127.0.0.1:{port}/postgres",
            password.trim()
        ))
    }

    fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        let password = self.folder.join("password");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password)
            .and_then(|mut file| file.write_all(random_hex()?.as_bytes()))
            .with_context(|| format!("cannot write {}", password.display()))?;
        if let Some(user) = &self.other {
            for path in [&self.folder, &password] {
                std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .with_context(|| format!("cannot give {} to {}", path.display(), user.name))?;
            }
        }
        let mut initdb = self.command("initdb");
        initdb
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(&password);
        initdb.args(["--username", ROLE, "--auth", "scram-sha-256"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        process::quiet(&mut initdb)?;
        Ok(())
    }

    fn launch(&self) -> anyhow::Result<()> {
        let settings = match self.durability {
            Durability::None => {
                "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off"
            }
            Durability::Full => "",
        };
        let mut last = None;
        // Another program may take the port between the look and the start.
        for _ in 0..3 {
            let port = free_port()?;
            let options = format!(
                "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=400 \
                 {settings}"
            );
            let mut start = self.command("pg_ctl");
            start
                .arg("start")
                .arg("--pgdata")
                .arg(self.data())
                .arg("--log")
                .arg(self.log());
            start.args(["--wait", "--timeout", "60", "--silent", "--options", &options]);
            // The server inherits these and keeps them open, so that they must not be pipes that somebody reads.
            let status = start
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if status
                .with_context(|| format!("cannot start `{}`", process::line(&start)))?
                .success()
            {
                return Ok(());
            }
            last = fs::read_to_string(self.log()).ok();
        }
        bail!(
            "PostgreSQL does not start; its log says:\n{}",
            last.unwrap_or_default()
        );
    }

    /// The port of the server, if it runs.
    fn port(&self) -> Option<u16> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid: u32 = lines.next()?.trim().parse().ok()?;
        let port = lines.nth(2)?.trim().parse().ok()?;
        // After a crash or a restart of the machine the number may be another program's.
        let ours = match fs::read(format!("/proc/{pid}/cmdline")) {
            Ok(line) => String::from_utf8_lossy(&line).contains(&*self.data().to_string_lossy()),
            Err(_) if Path::new("/proc/self").exists() => false,
            Err(_) => process::quiet(
                self.command("pg_ctl")
                    .arg("status")
                    .arg("--pgdata")
                    .arg(self.data()),
            )
            .is_ok(),
        };
        ours.then_some(port)
    }

    fn remove(&self) -> anyhow::Result<()> {
        if self.port().is_some() {
            let mut stop = self.command("pg_ctl");
            stop.arg("stop").arg("--pgdata").arg(self.data());
            stop.args(["--mode", "immediate", "--wait", "--timeout", "30", "--silent"]);
            process::quiet(&mut stop)?;
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // Any place that the other user may be in; the checkout may not be one. Messages in a language tests know.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some(user) = &self.other {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}

/// The folder with the programs of the newest PostgreSQL that is new enough.
fn programs() -> Option<PathBuf> {
    let mut candidates: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    if let Some(folder) = process::find("initdb").and_then(|file| fs::canonicalize(file).ok()) {
        candidates.extend(folder.parent().map(Path::to_owned));
    }
    candidates
        .into_iter()
        .filter(|folder| folder.join("pg_ctl").exists())
        .filter_map(|folder| {
            let printed = process::quiet(Command::new(folder.join("postgres")).arg("--version")).ok()?;
            Some((major(&printed)?, folder))
        })
        .filter(|(version, _)| *version >= OLDEST)
        .max()
        .map(|(_, folder)| folder)
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian ...)`.
fn major(printed: &str) -> Option<u32> {
    let version = printed.split(") ").nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn other_user() -> anyhow::Result<User> {
    for name in OTHER_USERS {
        if let Some(user) = User::from_name(name).with_context(|| format!("cannot look up user {name}"))? {
            return Ok(user);
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as; add one")
}

/// Whether a user may go into a folder: every folder above must let them through.
fn can_enter(user: &User, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.ancestors().all(|folder| match fs::metadata(folder) {
        Ok(data) if data.uid() == user.uid.as_raw() => data.mode() & 0o100 != 0,
        Ok(data) if data.gid() == user.gid.as_raw() => data.mode() & 0o010 != 0,
        Ok(data) => data.mode() & 0o001 != 0,
        // What does not exist yet is made by this program, for all to enter.
        Err(_) => true,
    })
}

/// A place outside of the target directory that belongs to it alone.
fn elsewhere(wanted: &Path) -> PathBuf {
    let digest = Sha256::digest(wanted.as_os_str().as_encoded_bytes());
    let short = hex(&digest[..6]);
    std::env::temp_dir().join(format!("gateway-test-pg-{short}"))
}

/// A port of the loopback address that nothing listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// 128 random bits as text.
pub(crate) fn random_hex() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_version_is_read_from_what_the_server_prints() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("something else"), None);
    }
}
