//! `cargo xtask migration new NAME`: one file in each engine's folder, with the same number and name.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::workspace::Workspace;

/// The folders under `migrations/`, one for each engine.
pub(crate) const ENGINES: [&str; 2] = ["sqlite", "postgres"];

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Makes the next migration for both engines.
    New {
        /// What it does, as in `add_groups`.
        name: String,
    },
}

pub(crate) fn run(workspace: &Workspace, action: &Action) -> anyhow::Result<()> {
    let Action::New { name } = action;
    for file in create(&workspace.root.join("migrations"), name)? {
        println!("{}", file.display());
    }
    Ok(())
}

/// The names of the migrations in a folder, in order.
pub(crate) fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "sql")
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The number that a migration's file name begins with.
pub(crate) fn number(name: &str) -> Option<u32> {
    name.split_once('_')?.0.parse().ok()
}

fn create(migrations: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(good) {
        bail!("the name {name:?} of a migration may hold lower-case letters, digits and underscores only");
    }
    let mut last = 0;
    for engine in ENGINES {
        let highest = names(&migrations.join(engine))?
            .iter()
            .filter_map(|name| number(name))
            .max();
        last = last.max(highest.unwrap_or(0));
    }
    let mut files = Vec::new();
    for engine in ENGINES {
        let file = migrations
            .join(engine)
            .join(format!("{:04}_{name}.sql", last + 1));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)
            .and_then(|mut made| made.write_all(b"-- What this changes, and why.\n"))
            .with_context(|| format!("cannot make {}", file.display()))?;
        files.push(file);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{ENGINES, create, names};

    #[test]
    fn both_engines_get_the_next_number() {
        let folder = tempfile::tempdir().unwrap();
        for engine in ENGINES {
            fs::create_dir(folder.path().join(engine)).unwrap();
        }
        fs::write(folder.path().join("sqlite/0007_first.sql"), "").unwrap();
        create(folder.path(), "add_groups").unwrap();
        assert_eq!(
            names(&folder.path().join("postgres")).unwrap(),
            ["0008_add_groups.sql"]
        );
        assert_eq!(
            names(&folder.path().join("sqlite")).unwrap(),
            ["0007_first.sql", "0008_add_groups.sql"]
        );
    }

    #[test]
    fn a_name_that_is_no_file_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "../up", "Add", "a b"] {
            let error = create(folder.path(), name).unwrap_err();
            assert!(error.to_string().contains("lower-case letters"), "{error}");
        }
    }
}
