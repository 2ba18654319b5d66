//! A PostgreSQL of a test's own, to be stopped, paused and started at will; the one of the whole run must not be.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{free_address, from_runner, patiently, signal};

const ROLE: &str = "gateway";

/// Whom to run it as where the tests run as root, which PostgreSQL refuses; the first that exists.
const OTHER_USERS: [&str; 2] = ["postgres", "nobody"];

pub(crate) struct Cluster {
    folder: TempDir,
    /// User and group, if not the test's own.
    other: Option<(u32, u32)>,
    port: u16,
    password: String,
    is_paused: bool,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) async fn start() -> Self {
        let cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            other: other_user().await,
            port: free_address().port(),
            password: uuid::Uuid::new_v4().simple().to_string(),
            is_paused: false,
        };
        let password = cluster.path("password");
        fs::write(&password, &cluster.password).unwrap();
        fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        for path in [cluster.folder.path(), &password] {
            if let Some((user, group)) = cluster.other {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let mut initdb = cluster.command("initdb");
        initdb.arg("--pwfile").arg(password);
        initdb.args(["--username", ROLE, "--auth", "scram-sha-256"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        succeed(&mut initdb).await;
        cluster.launch().await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        self.url_by(self.address())
    }

    /// The same by way of somebody who passes everything on.
    pub(crate) fn url_by(&self, address: SocketAddr) -> String {
        format!("postgres://{ROLE}:{}@{address}/postgres", self.password)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it again where it was stopped.
    pub(crate) async fn launch(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off",
            self.port
        );
        let mut start = self.command("pg_ctl");
        start.arg("start").arg("--log").arg(self.path("log"));
        start.args(["--wait", "--timeout", "60", "--options", &options]);
        succeed(&mut start).await;
    }

    /// `immediate` is as good as a crash, `fast` ends all sessions in order.
    pub(crate) async fn stop(&self, mode: &str) {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--wait", "--mode", mode]);
        succeed(&mut stop).await;
    }

    /// Keeps all its processes from running. It still has its connections, and the kernel takes new ones for it.
    pub(crate) fn pause(&mut self) {
        self.is_paused = true;
        let postmaster = self.postmaster().unwrap();
        // First the one that makes others.
        signal(postmaster, "STOP");
        for child in children(postmaster) {
            signal(child, "STOP");
        }
    }

    pub(crate) fn resume(&mut self) {
        self.is_paused = false;
        let postmaster = self.postmaster().unwrap();
        for child in children(postmaster) {
            signal(child, "CONT");
        }
        signal(postmaster, "CONT");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path("data/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(&from_runner("TEST_POSTGRES_BIN")).join(program));
        command.arg("--pgdata").arg(self.path("data"));
        // A place that the other user may be in, too.
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((user, group)) = self.other {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_paused {
            self.resume();
        }
        // Its data goes with it, so it need not end well.
        if let Some(postmaster) = self.postmaster() {
            signal(postmaster, "QUIT");
            while Path::new(&format!("/proc/{postmaster}")).exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

/// What it prints goes to a file in the way of the server's own output: a pipe would be kept open by the server.
async fn succeed(command: &mut Command) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = patiently("the end of a command", command.status()).await.unwrap();
    assert!(status.success(), "{command:?} failed with {status}");
}

async fn other_user() -> Option<(u32, u32)> {
    if id(&["-u"]).await? != 0 {
        return None;
    }
    for name in OTHER_USERS {
        if let (Some(user), Some(group)) = (id(&["-u", name]).await, id(&["-g", name]).await) {
            return Some((user, group));
        }
    }
    panic!("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as");
}

async fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().await.unwrap();
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// The processes that a process has started and that still run.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name before it may hold anything but the last bracket.
            let after_name = stat.rsplit_once(')')?.1;
            let of: u32 = after_name.split_whitespace().nth(1)?.parse().ok()?;
            (of == parent).then_some(process)
        })
        .collect()
}
