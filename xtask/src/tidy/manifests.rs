//! Every manifest takes version, edition, lints and dependencies from the workspace's own.

use std::fs;
use std::path::Path;

use anyhow::Context;
use toml::{Table, Value};

use crate::workspace::Workspace;

/// The fields of `[package]` that the workspace's manifest decides.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// What in the members' manifests is not inherited.
pub(super) fn faults(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for package in &workspace.members {
        let file = &package.manifest_path;
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let table = text
            .parse()
            .with_context(|| format!("cannot parse {}", file.display()))?;
        let name = file.strip_prefix(&workspace.root).unwrap_or(file);
        faults.extend(check(name, &table));
    }
    Ok(faults)
}

fn check(file: &Path, manifest: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("{}: {text}", file.display()));
    for field in INHERITED {
        if !inherits(manifest.get("package").and_then(|package| package.get(field))) {
            fault(format!("package.{field} is not taken from the workspace"));
        }
    }
    if !inherits(manifest.get("lints")) {
        fault("lints are not taken from the workspace".to_owned());
    }
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::values);
    for table in std::iter::once(manifest).chain(targets.filter_map(Value::as_table)) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                if !inherits(Some(value)) {
                    fault(format!("{kind}.{name} is not taken from the workspace"));
                }
            }
        }
    }
    faults
}

fn inherits(value: Option<&Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(Value::as_bool)
        == Some(true)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;

    #[test]
    fn what_is_not_inherited_is_found() {
        let manifest = r#"
            [package]
            version.workspace = true
            edition = "2024"
            rust-version.workspace = true
            license.workspace = true
            publish.workspace = true
            [lints]
            workspace = true
            [dependencies]
            a.workspace = true
            b = { workspace = true, features = ["x"] }
            c = "1"
            [target.'cfg(unix)'.dev-dependencies]
            d = { path = "../d" }
        "#;
        let found = check(Path::new("x/Cargo.toml"), &manifest.parse().unwrap());
        assert_eq!(
            found,
            [
                "x/Cargo.toml: package.edition is not taken from the workspace",
                "x/Cargo.toml: dependencies.c is not taken from the workspace",
                "x/Cargo.toml: dev-dependencies.d is not taken from the workspace",
            ]
        );
    }
}
