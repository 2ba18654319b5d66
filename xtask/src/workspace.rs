//! What cargo knows about this workspace.
//!
//! Read from `cargo metadata` once a command: where the checkout and the target directory are (the latter is often not
//! `target/`), which packages there are and what they depend on. Paths of binaries come from cargo's own messages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Deserialize;

use crate::process;

/// The answer of `cargo metadata`, as far as it is used.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

/// One package: of the workspace, or from outside.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// The checkout that this command works on.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds, and where these commands keep what they make.
    pub(crate) target: PathBuf,
    /// The packages of the workspace itself.
    pub(crate) members: Vec<Package>,
}

/// Which units `Workspace::build` builds.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// Every target of every package, tests included: what the test run shares, so that nothing is built twice.
    Everything,
    /// The two programs alone, in the profile for development.
    Programs,
    /// The `coder` binary as it is shipped.
    Release,
    /// The two programs, optimised.
    OptimisedPrograms,
}

/// The paths of the built programs.
pub(crate) struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// The path of one program, or an error that names it.
    pub(crate) fn path(&self, name: &str) -> anyhow::Result<&Path> {
        self.paths
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("the build made no program named {name}"))
    }
}

// === impl Workspace ===

impl Workspace {
    /// Asks cargo about the workspace that this program was built from.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = metadata(Path::new(env!("CARGO_MANIFEST_DIR")), &["--no-deps"])?;
        let members = metadata.workspace_members;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            members: metadata
                .packages
                .into_iter()
                .filter(|package| members.contains(&package.id))
                .collect(),
        })
    }

    /// Every package that is used on one of the given targets, those of the workspace included.
    pub(crate) fn packages_for(&self, targets: &[String]) -> anyhow::Result<Vec<Package>> {
        let mut used = BTreeMap::new();
        for target in targets {
            let metadata = metadata(&self.root, &["--locked", "--filter-platform", target])?;
            let nodes: Vec<String> = metadata
                .resolve
                .context("cargo metadata gave no dependency graph")?
                .nodes
                .into_iter()
                .map(|node| node.id)
                .collect();
            for package in metadata.packages {
                if nodes.contains(&package.id) {
                    used.insert(package.id.clone(), package);
                }
            }
        }
        Ok(used.into_values().collect())
    }

    /// A cargo command that runs in the checkout.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo_command();
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Builds, and returns where cargo put the programs.
    pub(crate) fn build(&self, what: Build) -> anyhow::Result<Programs> {
        let arguments: &[&str] = match what {
            Build::Everything => &["build", "--workspace", "--all-targets"],
            Build::Programs => &[
                "build",
                "--package",
                "gateway-cli",
                "--package",
                "gateway-testkit",
                "--bins",
            ],
            Build::OptimisedPrograms => &[
                "build",
                "--release",
                "--package",
                "gateway-cli",
                "--package",
                "gateway-testkit",
                "--package",
                "gateway-store",
                "--bins",
                "--examples",
            ],
            Build::Release => &["build", "--release", "--package", "gateway-cli", "--bins"],
        };
        let mut command = self.cargo(arguments);
        command.args(["--locked", "--message-format", "json-render-diagnostics"]);
        let output = process::stdout_of(&mut command)?;
        Ok(Programs {
            paths: executables(&output, false)
                .into_iter()
                .map(|made| (made.name, made.path))
                .collect(),
        })
    }
}

/// A cargo command; not yet in any directory.
fn cargo_command() -> Command {
    // Set by cargo for what it runs, so that the same toolchain is used.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` sets for this program would make build scripts of the product run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "CARGO_PRIMARY_PACKAGE"
        {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn metadata(directory: &Path, arguments: &[&str]) -> anyhow::Result<Metadata> {
    let mut command = cargo_command();
    command
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .current_dir(directory);
    let output = process::stdout_of(&mut command)?;
    serde_json::from_str(&output).context("cannot read the answer of cargo metadata")
}

/// One executable that cargo reports to have built.
pub(crate) struct Executable {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) package_id: String,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<MessageTarget>,
    profile: Option<MessageProfile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
}

#[derive(Deserialize)]
struct MessageProfile {
    test: bool,
}

/// The executables in cargo's JSON messages: test programs, or the others.
pub(crate) fn executables(messages: &str, tests: bool) -> Vec<Executable> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message
                .profile
                .as_ref()
                .is_some_and(|profile| profile.test == tests)
        })
        .filter_map(|message| {
            Some(Executable {
                name: message.target?.name,
                path: message.executable?,
                package_id: message.package_id?,
            })
        })
        .collect()
}
