//! `cargo xtask gen`: documents that are made from the program itself.
//!
//! The built `coder` prints each of them (`coder internal docs NAME`), so that this package need not know the product.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::test::of_the_product;
use crate::workspace::{Build, Workspace};

/// What `coder internal docs` is asked for, and the file that it belongs in.
const DOCUMENTS: [(&str, &str); 3] = [
    ("cli", "docs/cli.md"),
    ("options", "docs/options.md"),
    ("openapi", "docs/openapi.json"),
];

/// Between these lines of README.md stands the table of options.
const BEGIN: &str = "<!-- options: begin (cargo xtask gen) -->";
const END: &str = "<!-- options: end -->";

pub(crate) fn run(workspace: &Workspace, check: bool) -> anyhow::Result<()> {
    let programs = workspace.build(Build::Programs)?;
    with(workspace, programs.path("coder")?, check)
}

/// Writes the documents as the given program prints them, or fails when one is not as it would be written.
pub(crate) fn with(workspace: &Workspace, coder: &Path, check: bool) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for (name, file) in DOCUMENTS {
        let printed = ask(coder, name)?;
        if name == "options" {
            let readme = workspace.root.join("README.md");
            let text = fs::read_to_string(&readme).context("cannot read README.md")?;
            let table = table(&printed).context("`coder internal docs options` printed no table")?;
            update(&readme, &insert(&text, &table)?, check, &mut stale)?;
        }
        update(&workspace.root.join(file), &printed, check, &mut stale)?;
    }
    if !stale.is_empty() {
        bail!("not up to date: {}; run `cargo xtask gen`", stale.join(", "));
    }
    Ok(())
}

fn ask(coder: &Path, name: &str) -> anyhow::Result<String> {
    let mut command = Command::new(coder);
    command.args(["internal", "docs", name]);
    for (variable, _) in std::env::vars_os() {
        if of_the_product(&variable.to_string_lossy()) {
            command.env_remove(variable);
        }
    }
    let printed = process::quiet(&mut command)?;
    Ok(format!("{}\n", printed.trim_end()))
}

fn update(file: &Path, wanted: &str, check: bool, stale: &mut Vec<String>) -> anyhow::Result<()> {
    if fs::read_to_string(file).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    if check {
        stale.push(
            file.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        );
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, wanted).with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {}", file.display());
    Ok(())
}

/// The tables of a Markdown page with the headings above them, without the page's title and first words.
fn table(page: &str) -> Option<String> {
    let lines: Vec<&str> = page.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("## ") || line.starts_with('|'))?;
    Some(lines[first..].join("\n"))
}

/// The page with the table between the two marks.
fn insert(page: &str, table: &str) -> anyhow::Result<String> {
    let (head, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no line `{BEGIN}`"))?;
    let (_, tail) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no line `{END}`"))?;
    // Sections of the table stand one level below the README's own.
    let table: Vec<String> = table
        .lines()
        .map(|line| {
            if line.starts_with("## ") {
                format!("#{line}")
            } else {
                line.to_owned()
            }
        })
        .collect();
    Ok(format!(
        "{head}{BEGIN}\n\n{}\n\n{END}{tail}",
        table.join("\n").trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, insert, table};

    #[test]
    fn the_table_replaces_what_is_between_the_marks() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\nafter\n");
        let options = table("# Options\n\nWords.\n\n## Network\n\n| a |\n| --- |\n").unwrap();
        let made = insert(&page, &options).unwrap();
        assert_eq!(
            made,
            format!("# Title\n\n{BEGIN}\n\n### Network\n\n| a |\n| --- |\n\n{END}\nafter\n")
        );
        assert_eq!(insert(&made, &options).unwrap(), made);
    }

    #[test]
    fn a_page_without_marks_is_an_error() {
        assert!(
            insert("nothing", "| a |")
                .unwrap_err()
                .to_string()
                .contains(BEGIN)
        );
    }
}
