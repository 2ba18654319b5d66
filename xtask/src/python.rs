//! Virtual environments for programs in Python: each in a folder of its own under the target directory, and made anew
//! when it is to hold something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::{install, process};

/// What this version of the set-up has put into an environment.
const STAMP: &str = "requirements.installed";

/// What an environment is for.
pub(crate) struct Environment<'a> {
    /// In messages.
    pub(crate) what_for: &'a str,
    /// The oldest Python that the packages run on, as 3.`minor`.
    pub(crate) minor: u32,
    /// As pip reads it from a file.
    pub(crate) requirements: &'a str,
    /// Can be imported when all is well.
    pub(crate) module: &'a str,
}

// === impl Environment ===

impl Environment<'_> {
    /// Makes it unless it is there. Returns the folder of its programs.
    pub(crate) fn prepare(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let programs = folder.join("bin");
        let python = programs.join("python");
        let stamp = folder.join(STAMP);
        let is_made = fs::read_to_string(&stamp).is_ok_and(|made| made == self.requirements);
        let import = format!("import {}", self.module);
        // The interpreter that it links to may be gone.
        if is_made && process::quiet(Command::new(&python).args(["-c", &import])).is_ok() {
            return Ok(programs);
        }
        println!("making {}", folder.display());
        if self.create(folder).is_err() {
            install::packages(&["python3", "python3-venv"], self.what_for)?;
            self.create(folder)?;
        }
        let list = folder.join("requirements.txt");
        fs::write(&list, self.requirements).with_context(|| format!("cannot write {}", list.display()))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--only-binary", ":all:", "--requirement"]).arg(&list);
        process::run(&mut pip)?;
        fs::rename(&list, &stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(programs)
    }

    fn create(&self, folder: &Path) -> anyhow::Result<()> {
        let Self { what_for, minor, .. } = self;
        let mut last = anyhow::anyhow!("{what_for} needs Python 3.{minor} or newer; install it");
        let check = format!("import sys; sys.exit(sys.version_info < (3, {minor}))");
        for python in interpreters() {
            if process::quiet(Command::new(&python).args(["-c", &check])).is_err() {
                continue;
            }
            match process::quiet(Command::new(&python).args(["-m", "venv", "--clear"]).arg(folder)) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Where a Python may be. Debian's own is the one that its package completes; another in `PATH` may come first and be
/// fine. What pyenv has installed is not in `PATH` unless it was chosen.
fn interpreters() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("python3"), PathBuf::from("/usr/bin/python3")];
    let versions = std::env::home_dir().map(|home| home.join(".pyenv/versions"));
    let versions = versions.and_then(|folder| fs::read_dir(folder).ok());
    found.extend(
        versions
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin/python3")),
    );
    found
}
