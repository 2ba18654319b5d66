//! The packages that `tests/node` uses, in a folder of their own under the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::{install, process};

/// The oldest that the packages in the list run on.
const OLDEST: u32 = 20;
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];
/// The list whose packages are in the folder.
const STAMP: &str = "packages.installed";

/// The folder that holds what the lists in `tests` name.
pub(super) fn environment(folder: &Path, tests: &Path) -> anyhow::Result<PathBuf> {
    require_node()?;
    let mut wanted = String::new();
    for list in LISTS {
        wanted += &fs::read_to_string(tests.join(list))
            .with_context(|| format!("cannot read tests/node/{list}"))?;
    }
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(folder.to_owned());
    }
    println!("making {}", folder.display());
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for list in LISTS {
        fs::copy(tests.join(list), folder.join(list))
            .with_context(|| format!("cannot write {}", folder.join(list).display()))?;
    }
    let mut npm = Command::new("npm");
    // What packages would run while they are installed is not needed.
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
    ])
    .current_dir(folder);
    process::run(&mut npm)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(folder.to_owned())
}

fn require_node() -> anyhow::Result<()> {
    let what_for = "a client of the proxy among the SDK tests";
    if process::find("node").is_none() || process::find("npm").is_none() {
        install::packages(&["nodejs", "npm"], what_for)?;
    }
    let version = process::stdout_of(Command::new("node").arg("--version"))?;
    if major(&version).is_none_or(|major| major < OLDEST) {
        bail!(
            "{what_for} needs Node.js {OLDEST} or newer, and here is {}; install it",
            version.trim()
        );
    }
    Ok(())
}

/// Of a version as in `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v26.0.0-nightly"), Some(26));
        assert_eq!(major("20.1.0"), None);
        assert_eq!(major(""), None);
    }
}
