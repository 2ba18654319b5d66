//! `cargo xtask tidy`: the rules of this repository that no other tool checks.
//!
//! Each rule is a function that returns what breaks it, so that one run names every fault. The same run is a unit test.

mod arrows;
mod files;
mod manifests;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::migration::{ENGINES, names, number};
use crate::workspace::Workspace;

/// Checks every rule, and prints what breaks one.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let faults = faults(workspace)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults", faults.len());
    }
    Ok(())
}

fn faults(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    match fs::read_to_string(workspace.root.join("ARCHITECTURE.md")) {
        Ok(page) => {
            faults.extend(arrows::faults(&page, &workspace.members));
            faults.extend(crate_table(&page, &workspace.root)?);
        }
        Err(error) => faults.push(format!("ARCHITECTURE.md: cannot be read: {error}")),
    }
    faults.extend(migration_pairs(&workspace.root.join("migrations"))?);
    faults.extend(manifests::faults(workspace)?);
    faults.extend(files::faults(&workspace.root)?);
    Ok(faults)
}

/// ARCHITECTURE.md and `crates/` name the same crates.
fn crate_table(page: &str, root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("crates");
    let mut present = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            present.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(compare_crates(page, &present))
}

fn compare_crates(page: &str, present: &[String]) -> Vec<String> {
    // Rows of the crate table begin with the folder in backticks.
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `crates/"))
        .filter_map(|rest| rest.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let missing = present
        .iter()
        .filter(|name| !rows.contains(&name.as_str()))
        .map(|name| format!("ARCHITECTURE.md: the crate table has no row for crates/{name}"));
    let gone = rows
        .iter()
        .filter(|row| !present.iter().any(|name| name == *row))
        .map(|row| format!("ARCHITECTURE.md: the crate table names crates/{row}, which does not exist"));
    missing.chain(gone).collect()
}

/// Both engines have the same migrations, numbered without a gap or a double.
fn migration_pairs(migrations: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let [first, second] = ENGINES;
    let (left, right) = (names(&migrations.join(first))?, names(&migrations.join(second))?);
    for (here, there, engine) in [(&left, &right, second), (&right, &left, first)] {
        for name in here.iter().filter(|name| !there.contains(name)) {
            faults.push(format!(
                "migrations/{engine}/{name}: missing, the other engine has it"
            ));
        }
    }
    for (name, expected) in left.iter().zip(1..) {
        if number(name) != Some(expected) {
            faults.push(format!(
                "migrations/{first}/{name}: its number should be {expected:04}"
            ));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{compare_crates, faults, migration_pairs};
    use crate::workspace::Workspace;

    #[test]
    fn this_repository_is_tidy() {
        let found = faults(&Workspace::load().unwrap()).unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn the_crate_table_must_agree_with_the_folder() {
        let page = "| crate | what |\n| --- | --- |\n| `crates/a` | x |\n| `crates/gone` | y |\n";
        let found = compare_crates(page, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("no row for crates/b") && found[1].contains("crates/gone"),
            "{found:?}"
        );
    }

    #[test]
    fn migrations_come_in_pairs_without_gaps() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "sqlite/0001_a.sql",
            "postgres/0001_a.sql",
            "sqlite/0003_b.sql",
            "postgres/0002_b.sql",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = migration_pairs(folder.path()).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
