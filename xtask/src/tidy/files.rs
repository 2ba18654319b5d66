//! Rules about files: nothing left over, nothing too long, no path of somebody's own machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// No source file is longer.
const MAX_LINES: usize = 600;

/// Folders that hold nothing of the repository's own.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "__pycache__", ".pytest_cache"];

/// Files that other programs write, or whose bytes are somebody else's.
const FOREIGN: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// Every file that breaks a rule.
pub(super) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut faults = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        if name.ends_with(".snap.new") {
            faults.push(format!("{name}: a snapshot that nobody has looked at"));
            continue;
        }
        if FOREIGN.iter().any(|foreign| name.ends_with(foreign)) {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // What is not text is a fixture.
        if let Ok(text) = String::from_utf8(bytes) {
            faults.extend(check(&name, &text));
        }
    }
    Ok(faults)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                collect(&entry.path(), files)?;
            }
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn check(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if name.contains("src/")
        && Path::new(name).extension().is_some_and(|kind| kind == "rs")
        && lines > MAX_LINES
    {
        faults.push(format!("{name}: {lines} lines, more than {MAX_LINES}; split it"));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = own_path(line) {
            faults.push(format!("{name}:{}: a path of one machine: {path}", number + 1));
        }
    }
    faults
}

/// The first path in a line that only one machine has: a home directory, or where a checkout was.
fn own_path(line: &str) -> Option<&str> {
    const STARTS: [&str; 4] = [
        concat!("/", "root/"),
        concat!("/", "home/"),
        concat!("/", "Users/"),
        concat!("/", "work/"),
    ];
    let found = STARTS.iter().filter_map(|start| {
        line.match_indices(start).find(|(at, _)| {
            // Part of a longer path or of an address otherwise.
            line[..*at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && !"/.-_~}".contains(before))
        })
    });
    let (at, _) = found.min()?;
    line[at..]
        .split(|c: char| c.is_whitespace() || "\"'`)>,;".contains(c))
        .next()
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, check, own_path};

    #[test]
    fn a_path_of_one_machine_is_found() {
        let home = concat!("/", "home/");
        assert_eq!(
            own_path(&format!("see `{home}ann/x` there")),
            Some(format!("{home}ann/x").as_str())
        );
        assert!(own_path(concat!("PATH=", "/", "root/bin")).is_some());
        for fine in [
            "https://example.com/home/page",
            "../home/x",
            "${HOME}/work/x",
            "network/root/x",
        ] {
            assert_eq!(own_path(fine), None, "{fine}");
        }
    }

    #[test]
    fn a_long_source_file_is_found() {
        let text = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(check("crates/a/src/b.rs", &text).len(), 1);
        assert!(check("crates/a/tests/b.rs", &text).is_empty());
    }
}
