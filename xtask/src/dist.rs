//! `cargo xtask dist`: the release archive of `coder`, with everything that belongs beside it, and its checksum.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::process;
use crate::text::hex;
use crate::workspace::{Build, Workspace};

/// Files of the repository that go into the archive, with their place in it.
const FILES: [(&str, &str); 6] = [
    ("README.md", "README.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("docs/options.md", "docs/options.md"),
    ("deploy/coder.service", "systemd/coder.service"),
    ("deploy/coder.env.example", "systemd/coder.env.example"),
];

/// Shells with the file names that they look for.
const COMPLETIONS: [(&str, &str); 4] = [
    ("bash", "coder.bash"),
    ("zsh", "_coder"),
    ("fish", "coder.fish"),
    ("powershell", "coder.ps1"),
];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let programs = workspace.build(Build::Release)?;
    let coder = programs.path("coder")?;
    let version = workspace
        .members
        .iter()
        .find(|package| package.name == "gateway-cli")
        .map(|package| package.version.as_str())
        .context("the workspace has no package gateway-cli")?;
    let name = format!("coder-{version}-{}", host()?);
    let folder = workspace.target.join("dist");
    let tree = folder.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    copy(coder, &tree.join("coder"))?;
    fs::set_permissions(tree.join("coder"), Permissions::from_mode(0o755))?;
    for (from, to) in FILES {
        copy(&workspace.root.join(from), &tree.join(to))?;
    }
    for (shell, file) in COMPLETIONS {
        let script = process::quiet(Command::new(coder).args(["completion", shell]))?;
        write(&tree.join("completions").join(file), script.as_bytes())?;
    }
    let archive = format!("{name}.tar.gz");
    // Owners and order do not depend on who builds it.
    let mut tar = Command::new("tar");
    tar.current_dir(&folder)
        .args(["--create", "--gzip", "--file", &archive, "--sort=name"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner", &name]);
    process::quiet(&mut tar)?;
    let bytes = fs::read(folder.join(&archive)).with_context(|| format!("cannot read {archive}"))?;
    let digest = hex(&Sha256::digest(&bytes));
    write(
        &folder.join("SHA256SUMS"),
        format!("{digest}  {archive}\n").as_bytes(),
    )?;
    println!("{}", folder.join(&archive).display());
    println!("{}", folder.join("SHA256SUMS").display());
    Ok(())
}

/// The target that this toolchain builds for.
fn host() -> anyhow::Result<String> {
    let printed = process::quiet(Command::new("rustc").arg("--version").arg("--verbose"))?;
    printed
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("`rustc --version --verbose` names no host")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes)
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
