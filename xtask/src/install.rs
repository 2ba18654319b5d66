//! Getting the tools that a command needs.
//!
//! As root on a system with apt they are installed; anywhere else the command fails with one line that says what to
//! install. Nothing is left out because a tool is missing.

use std::process::Command;

use anyhow::{Context, bail};

use crate::process;

/// Installs Debian packages, or says in one line what is to be installed.
pub(crate) fn packages(names: &[&str], what_for: &str) -> anyhow::Result<()> {
    let wanted = names.join(" ");
    if !nix::unistd::geteuid().is_root() || process::find("apt-get").is_none() {
        bail!(
            "{what_for} needs what is missing here; install it (Debian and Ubuntu: apt-get install {wanted})"
        );
    }
    println!("installing {wanted}: {what_for} needs it");
    // The lists of a new machine are often empty or old; one that cannot be renewed may still do.
    if let Err(error) = process::quiet(&mut apt(&["update"])) {
        eprintln!("note: {error:#}");
    }
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend_from_slice(names);
    process::quiet(&mut apt(&install)).with_context(|| {
        format!("{what_for} needs {wanted}, and installing it failed; install it by hand")
    })?;
    Ok(())
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
