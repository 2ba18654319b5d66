//! Tests in Python: the official packages against the built gateway, and the dashboard in a browser.
//!
//! Each folder of them gets a virtual environment of its own under the target directory, made anew when its list of
//! packages changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::report::Count;
use crate::workspace::Workspace;
use crate::{install, process};

/// What the packages in the list need.
const OLDEST: &str = "Python 3.11";
/// What this version of the set-up has put into an environment; one that was made otherwise is made anew.
const STAMP: &str = "requirements.installed";

/// Tests that share a folder and an environment.
pub(super) struct Suite {
    /// Below the root of the workspace.
    pub(super) folder: &'static str,
    /// Below the target directory.
    pub(super) environment: &'static str,
}

pub(super) fn run(
    workspace: &Workspace,
    suite: &Suite,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let tests = workspace.root.join(suite.folder);
    let python = environment(
        &workspace.target.join(suite.environment),
        &tests.join("requirements.txt"),
    )?;
    let mut command = Command::new(python);
    command
        .args([
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            "--durations=5",
        ])
        .arg(&tests);
    command
        .current_dir(&tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH");
    prepare(&mut command)?;
    let status = process::watched(command, |line| count.add(summary(line)))?;
    if count.failed > 0 {
        bail!("{} tests failed or did not run", count.failed);
    }
    if !status.success() || count.passed == 0 {
        bail!("pytest failed ({status})");
    }
    Ok(())
}

/// The Python of an environment that holds what the file lists.
fn environment(folder: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let python = folder.join("bin/python");
    let stamp = folder.join(STAMP);
    let made = fs::read_to_string(&stamp).is_ok_and(|made| made == wanted);
    // The interpreter that it links to may be gone.
    if made && process::quiet(Command::new(&python).args(["-c", "import pytest"])).is_ok() {
        return Ok(python);
    }
    println!("making {}", folder.display());
    if create(folder).is_err() {
        install::packages(
            &["python3", "python3-venv"],
            "a virtual environment for the tests in Python",
        )?;
        create(folder)?;
    }
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ]);
    process::run(pip.arg("--requirement").arg(requirements))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn create(folder: &Path) -> anyhow::Result<()> {
    let mut last = anyhow::anyhow!("the tests in Python need {OLDEST} or newer; install it");
    // Debian's own is the one that its package completes; another in PATH may come first and be fine.
    for python in ["python3", "/usr/bin/python3"] {
        let check = "import sys; sys.exit(sys.version_info < (3, 11))";
        if process::quiet(Command::new(python).args(["-c", check])).is_err() {
            continue;
        }
        match process::quiet(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder)) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `=== 3 failed, 20 passed, 1 error in 3.21s ===`; whatever is neither passed nor a warning did not do its work.
fn summary(line: &str) -> Option<Count> {
    let text = line.trim_matches('=').trim();
    let (counts, _) = text.rsplit_once(" in ")?;
    let mut count = Count::default();
    for part in counts.split(", ") {
        let (number, what) = part.split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match what {
            "passed" => count.passed += number,
            "warning" | "warnings" => {}
            "failed" | "error" | "errors" | "skipped" | "deselected" | "xfailed" | "xpassed" => {
                count.failed += number;
            }
            _ => return None,
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_last_line_of_pytest_is_counted() {
        let count = |line| summary(line).map(|count| (count.passed, count.failed));
        assert_eq!(count("===== 20 passed in 3.21s ====="), Some((20, 0)));
        assert_eq!(
            count("=== 3 failed, 20 passed, 2 skipped, 1 warning, 1 error in 61.00s (0:01:01) ==="),
            Some((20, 6))
        );
        assert_eq!(count("20 passed in 3.21s"), Some((20, 0)));
        assert_eq!(count("the gateway answered in time"), None);
        assert_eq!(count("no tests ran in 0.01s"), None);
    }
}
