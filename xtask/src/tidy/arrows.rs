//! Which crate may depend on which.
//!
//! The crate table of ARCHITECTURE.md says it, in its last column; a new arrow needs its reason there first.
//! Dev-dependencies are apart: tests may use what they like of the workspace, as cargo allows.

use crate::workspace::Package;

/// The library that only one package may use directly, tests included.
const SQL: (&str, &str) = ("sqlx", "gateway-store");
/// The packages that know nothing of sockets, and the libraries that would bring them there.
const PURE: [&str; 2] = ["gateway-core", "gateway-llm"];
const SOCKETS: [&str; 5] = ["tokio", "hyper", "hyper-util", "reqwest", "axum"];

/// A row of the crate table.
struct Row {
    package: String,
    /// The packages of the workspace that it may depend on.
    allowed: Vec<String>,
}

/// Every arrow that the page's table or the rules above do not allow.
pub(super) fn faults(page: &str, members: &[Package]) -> Vec<String> {
    let rows = rows(page);
    let mut faults = Vec::new();
    for package in members {
        let name = package.name.as_str();
        // Those outside of the table, development commands and tests, may use none.
        let allowed = rows
            .iter()
            .find(|row| row.package == name)
            .map(|row| row.allowed.as_slice());
        for dependency in &package.dependencies {
            let target = dependency.name.as_str();
            let internal = members.iter().any(|member| member.name == target);
            let for_tests = dependency.kind.as_deref() == Some("dev");
            if internal && !for_tests && !allowed.unwrap_or_default().iter().any(|other| other == target) {
                faults.push(format!(
                    "{name}: ARCHITECTURE.md does not let it depend on {target}"
                ));
            }
            if target == SQL.0 && name != SQL.1 {
                faults.push(format!("{name}: only {} may use {target}", SQL.1));
            }
            if PURE.contains(&name) && SOCKETS.contains(&target) {
                faults.push(format!("{name}: does no I/O, and may not use {target}"));
            }
        }
    }
    faults
}

/// Reads the table; its rows begin with the folder in backticks and end with the folders that it may use.
fn rows(page: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in page.lines() {
        let Some((folder, rest)) = line
            .strip_prefix("| `crates/")
            .and_then(|rest| rest.split_once('`'))
        else {
            continue;
        };
        let column = rest
            .trim_end()
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim();
        let allowed = match column {
            "-" => Vec::new(),
            "all above" => rows.iter().map(|row| row.package.clone()).collect(),
            listed => listed.split(", ").map(package_of).collect(),
        };
        rows.push(Row {
            package: package_of(folder),
            allowed,
        });
    }
    rows
}

/// The package in a folder under `crates/`.
fn package_of(folder: &str) -> String {
    if folder.starts_with("gateway-") {
        folder.to_owned()
    } else {
        format!("gateway-{folder}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::faults;
    use crate::workspace::{Dependency, Package};

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "0.0.0".to_owned(),
            license: None,
            source: None,
            manifest_path: PathBuf::new(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).to_owned(),
                    kind: kind.map(str::to_owned),
                })
                .collect(),
        }
    }

    #[test]
    fn an_arrow_that_points_back_is_found() {
        let page = "| crate | what | may use |\n| --- | --- | --- |\n\
            | `crates/gateway-core` | a | - |\n\
            | `crates/store` | b: \\| and so on | gateway-core |\n\
            | `crates/relay` | c | gateway-core, llm |\n\
            | `crates/server` | d | all above |\n";
        let members = [
            package(
                "gateway-core",
                &[("gateway-store", None), ("sqlx", Some("dev")), ("tokio", None)],
            ),
            package("gateway-store", &[("gateway-core", None), ("sqlx", None)]),
            package(
                "gateway-relay",
                &[("gateway-store", Some("dev")), ("gateway-server", Some("build"))],
            ),
            package(
                "gateway-server",
                &[("gateway-relay", None), ("gateway-store", None)],
            ),
            package("xtask", &[("gateway-core", None)]),
        ];
        assert_eq!(
            faults(page, &members),
            [
                "gateway-core: ARCHITECTURE.md does not let it depend on gateway-store",
                "gateway-core: only gateway-store may use sqlx",
                "gateway-core: does no I/O, and may not use tokio",
                "gateway-relay: ARCHITECTURE.md does not let it depend on gateway-server",
                "xtask: ARCHITECTURE.md does not let it depend on gateway-core",
            ]
        );
    }
}
