//! The tests in `tests/browser`: the dashboard in headless Chromium, driven from Python.
//!
//! Chromium and its driver are Debian's. axe-core, which finds what keeps a page from somebody, comes from npm in one
//! fixed version. What the pages look like is under `screens` in the target directory afterwards, for a person to see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use sha2::{Digest as _, Sha256};

use super::python::{self, Suite};
use crate::report::Count;
use crate::text::hex;
use crate::workspace::Workspace;
use crate::{install, process};

const SUITE: Suite = Suite {
    folder: "tests/browser",
    environment: "browser-venv",
};

const WHAT_FOR: &str = "testing the dashboard in a browser";

const AXE: &str = "axe-core@4.14.1";
/// Of the one file of it that is used.
const AXE_SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

pub(super) fn run(
    workspace: &Workspace,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let chromium = program("chromium", "chromium")?;
    let driver = program("chromedriver", "chromium-driver")?;
    let axe = axe(&workspace.target.join("axe"))?;
    let screens = workspace.target.join("screens");
    // Those of pages that are no more would be looked at for nothing.
    if screens.exists() {
        fs::remove_dir_all(&screens).with_context(|| format!("cannot remove {}", screens.display()))?;
    }
    python::run(workspace, &SUITE, count, |command| {
        prepare(command)?;
        command
            .env("CHROMIUM_BIN", &chromium)
            .env("CHROMEDRIVER_BIN", &driver)
            .env("AXE_JS", &axe)
            .env("SCREENS", &screens);
        Ok(())
    })
}

/// The path of a program, which its Debian package brings where it is missing.
fn program(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    if process::find(name).is_none() {
        install::packages(&[package], WHAT_FOR)?;
    }
    process::find(name).with_context(|| format!("the package {package} has brought no {name}"))
}

/// The path of axe's script, fetched once.
fn axe(folder: &Path) -> anyhow::Result<PathBuf> {
    let script = folder.join("package/axe.min.js");
    if is_right(&script) {
        return Ok(script);
    }
    let npm = program("npm", "npm")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut pack = Command::new(npm);
    pack.args(["pack", "--silent", AXE]).current_dir(folder);
    let archive = process::quiet(&mut pack)?;
    let mut unpack = Command::new("tar");
    unpack
        .args(["-xzf", archive.trim(), "package/axe.min.js"])
        .current_dir(folder);
    process::quiet(&mut unpack)?;
    if !is_right(&script) {
        bail!("what npm has brought for {AXE} is not what was expected");
    }
    Ok(script)
}

fn is_right(script: &Path) -> bool {
    fs::read(script).is_ok_and(|bytes| hex(&Sha256::digest(bytes)) == AXE_SHA256)
}
