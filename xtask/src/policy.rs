//! The dependency policy: licences, banned crates, sources, versions that are there twice.
//!
//! The lists are those of `deny.toml`, which cargo-deny reads as well; here they are applied to what cargo itself says,
//! so that the policy holds where that tool is not installed. Advisories need a database from the network and are
//! cargo-deny's alone.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::spdx;
use crate::workspace::{Package, Workspace};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Policy {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bans {
    multiple_versions: Level,
    #[serde(default)]
    deny: Vec<Entry>,
    #[serde(default)]
    skip: Vec<Entry>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Allow,
    Warn,
    Deny,
}

#[derive(Deserialize)]
struct Entry {
    /// The crate's name, with `@version` for one version only.
    #[serde(rename = "crate")]
    name: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    /// Without a list: the one registry that the first package comes from, which is cargo's own.
    allow_registry: Option<Vec<String>>,
}

/// What a policy says about a set of packages.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    notes: Vec<String>,
}

/// Applies `deny.toml` to every package that the workspace uses.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let file = workspace.root.join("deny.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let policy: Policy = toml::from_str(&text).context("cannot understand deny.toml")?;
    let packages = workspace.packages_for(&policy.graph.targets)?;
    let findings = apply(&policy, &packages);
    for note in &findings.notes {
        println!("note: {note}");
    }
    for fault in &findings.faults {
        eprintln!("{fault}");
    }
    if !findings.faults.is_empty() {
        bail!("{} packages break deny.toml", findings.faults.len());
    }
    println!("{} packages keep to deny.toml", packages.len());
    Ok(())
}

fn apply(policy: &Policy, packages: &[Package]) -> Findings {
    let mut findings = Findings::default();
    let registries: Vec<&str> = match &policy.sources.allow_registry {
        Some(listed) => listed.iter().map(String::as_str).collect(),
        None => packages.iter().find_map(Package::registry).into_iter().collect(),
    };
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        if let Some(entry) = policy.bans.deny.iter().find(|entry| entry.matches(package)) {
            let reason = entry.reason.as_deref().unwrap_or("banned");
            findings.faults.push(format!("{name}: not allowed: {reason}"));
        }
        if let Some(source) = &package.source
            && !package
                .registry()
                .is_some_and(|registry| registries.contains(&registry))
        {
            findings.faults.push(format!(
                "{name}: comes from {source}, which is not an allowed source"
            ));
        }
        let license = package.license.as_deref().unwrap_or_default();
        if !spdx::satisfied(license, &|license| policy.licenses.allows(&package.name, license)) {
            findings
                .faults
                .push(format!("{name}: licence {license:?} is not allowed"));
        }
    }
    doubles(policy, packages, &mut findings);
    findings
}

/// Crates that are there in more than one version, but for those that the policy gives a reason for.
fn doubles(policy: &Policy, packages: &[Package], findings: &mut Findings) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages
        .iter()
        .filter(|package| !policy.bans.skip.iter().any(|entry| entry.matches(package)))
    {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for (name, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
        let text = format!("{name}: there in versions {}", versions.join(", "));
        match policy.bans.multiple_versions {
            Level::Allow => {}
            Level::Warn => findings.notes.push(text),
            Level::Deny => findings.faults.push(text),
        }
    }
}

impl Package {
    fn registry(&self) -> Option<&str> {
        self.source.as_deref()?.strip_prefix("registry+")
    }
}

impl Licenses {
    fn allows(&self, package: &str, license: &str) -> bool {
        let exceptions = self
            .exceptions
            .iter()
            .filter(|exception| exception.name == package);
        self.allow
            .iter()
            .chain(exceptions.flat_map(|exception| &exception.allow))
            .any(|allowed| allowed == license)
    }
}

impl Entry {
    fn matches(&self, package: &Package) -> bool {
        match self.name.split_once('@') {
            // A version may be written in part, as cargo-deny takes it.
            Some((name, version)) => {
                let rest = package.version.strip_prefix(version);
                name == package.name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
            None => self.name == package.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Policy, apply};
    use crate::workspace::Package;

    fn package(name: &str, version: &str, license: &str, source: Option<&str>) -> Package {
        Package {
            id: format!("{name}@{version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            license: (!license.is_empty()).then(|| license.to_owned()),
            source: source.map(str::to_owned),
            manifest_path: PathBuf::new(),
            dependencies: Vec::new(),
        }
    }

    fn policy(multiple_versions: &str) -> Policy {
        toml::from_str(&format!(
            r#"
            [graph]
            targets = []
            [licenses]
            allow = ["MIT"]
            exceptions = [{{ crate = "special", allow = ["Zlib"] }}]
            [bans]
            multiple-versions = "{multiple_versions}"
            deny = [{{ crate = "openssl", reason = "rustls is used" }}]
            skip = [{{ crate = "old@1", reason = "somebody needs it" }}]
            [sources]
            "#
        ))
        .unwrap()
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let good = Some("registry+https://registry.example");
        let packages = [
            package("own", "0.1.0", "MIT", None),
            package("fine", "1.0.0", "MIT OR GPL-3.0-only", good),
            package("special", "1.0.0", "Zlib", good),
            package("openssl", "1.0.0", "MIT", good),
            package("copyleft", "1.0.0", "GPL-3.0-only", good),
            package("silent", "1.0.0", "", good),
            package("forked", "1.0.0", "MIT", Some("git+https://forge.example/x")),
            package(
                "elsewhere",
                "1.0.0",
                "MIT",
                Some("registry+https://other.example"),
            ),
        ];
        let found = apply(&policy("deny"), &packages).faults;
        assert_eq!(found.len(), 5, "{found:?}");
        for (fault, name) in found
            .iter()
            .zip(["openssl", "copyleft", "silent", "forked", "elsewhere"])
        {
            assert!(fault.starts_with(name), "{fault}");
        }
    }

    #[test]
    fn a_double_without_a_reason_is_found() {
        let packages = ["old 1.2.0", "old 2.0.0", "new 1.0.0", "new 2.0.0"].map(|text| {
            let (name, version) = text.split_once(' ').unwrap();
            package(name, version, "MIT", None)
        });
        assert_eq!(
            apply(&policy("deny"), &packages).faults,
            ["new: there in versions 1.0.0, 2.0.0"]
        );
        let warned = apply(&policy("warn"), &packages);
        assert!(warned.faults.is_empty());
        assert_eq!(warned.notes.len(), 1);
    }
}
