//! Running Rust tests: through cargo-nextest where it is installed, else program by program as cargo has built them.
//!
//! Always the whole workspace is selected and the tests are filtered afterwards: cargo builds a dependency with other
//! features when fewer packages are selected, and would build most of them twice.

use std::process::Command;

use anyhow::{Context, bail};

use crate::process;
use crate::report::Count;
use crate::workspace::{Workspace, executables};

/// Which tests to run.
pub(super) struct Selection {
    packages: Packages,
    /// A part of the tests' names, and whether those are wanted or the others.
    names: Option<(&'static str, bool)>,
}

enum Packages {
    One(&'static str),
    AllBut(&'static [&'static str]),
}

// === impl Selection ===

impl Selection {
    pub(super) fn of(package: &'static str) -> Self {
        Self {
            packages: Packages::One(package),
            names: None,
        }
    }

    pub(super) fn all_but(packages: &'static [&'static str]) -> Self {
        Self {
            packages: Packages::AllBut(packages),
            names: None,
        }
    }

    pub(super) fn only(self, part: &'static str) -> Self {
        Self {
            names: Some((part, true)),
            ..self
        }
    }

    pub(super) fn without(self, part: &'static str) -> Self {
        Self {
            names: Some((part, false)),
            ..self
        }
    }

    fn has(&self, package: &str) -> bool {
        match self.packages {
            Packages::One(name) => name == package,
            Packages::AllBut(names) => !names.contains(&package),
        }
    }

    /// As nextest writes it.
    fn expression(&self) -> String {
        let packages = match self.packages {
            Packages::One(name) => format!("package(={name})"),
            Packages::AllBut(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("package(={name})")).collect();
                format!("not ({})", names.join(" or "))
            }
        };
        match self.names {
            None => packages,
            Some((part, true)) => format!("{packages} and test(~{part})"),
            Some((part, false)) => format!("{packages} and not test(~{part})"),
        }
    }
}

/// Runs the selected tests. Fails when one does, and when there are none.
pub(super) fn run(
    workspace: &Workspace,
    selection: &Selection,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let good = if process::find("cargo-nextest").is_some() {
        nextest(workspace, selection, count, prepare)?
    } else {
        libtest(workspace, selection, count, prepare)?
    };
    finish(good, *count)?;
    if count.passed == 0 {
        bail!("there are no tests");
    }
    Ok(())
}

/// Runs the examples in the documentation of every library; there need not be any.
pub(super) fn examples(
    workspace: &Workspace,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&["test", "--locked", "--workspace", "--doc"]);
    prepare(&mut command)?;
    let status = process::watched(command, |line| count.add(libtest_line(line)))?;
    finish(status.success(), *count)
}

fn finish(good: bool, count: Count) -> anyhow::Result<()> {
    match (good, count.failed) {
        (true, 0) => Ok(()),
        (_, 0) => bail!("the test runner failed"),
        (_, failed) => bail!("{failed} tests failed"),
    }
}

fn nextest(
    workspace: &Workspace,
    selection: &Selection,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let mut command = workspace.cargo(&["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]);
    command.args([
        "--status-level",
        "slow",
        "--final-status-level",
        "slow",
        "-E",
        &selection.expression(),
    ]);
    prepare(&mut command)?;
    let status = process::watched(command, |line| count.add(nextest_line(line)))?;
    Ok(status.success())
}

fn libtest(
    workspace: &Workspace,
    selection: &Selection,
    count: &mut Count,
    prepare: impl Fn(&mut Command) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let arguments = [
        "test",
        "--locked",
        "--workspace",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ];
    let messages = process::stdout_of(&mut workspace.cargo(&arguments))?;
    let mut good = true;
    for program in executables(&messages, true) {
        let Some(package) = workspace
            .members
            .iter()
            .find(|package| package.id == program.package_id)
        else {
            continue;
        };
        if !selection.has(&package.name) {
            continue;
        }
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest without a folder")?;
        let mut command = Command::new(&program.path);
        command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
        match selection.names {
            None => {}
            Some((part, true)) => drop(command.arg(part)),
            Some((part, false)) => drop(command.args(["--skip", part])),
        }
        prepare(&mut command)?;
        println!("{} of {}", program.name, package.name);
        good &= process::watched(command, |line| count.add(libtest_line(line)))?.success();
    }
    Ok(good)
}

// === impl Count ===

impl Count {
    /// Adds what a line of a runner's output says, if it is a summary.
    pub(super) fn add(&mut self, summary: Option<Self>) {
        let Self { passed, failed } = summary.unwrap_or_default();
        self.passed += passed;
        self.failed += failed;
    }
}

/// `Summary [   0.010s] 12 tests run: 11 passed (1 slow), 1 failed, 3 skipped`, with `12/13` after an early end.
fn nextest_line(line: &str) -> Option<Count> {
    let line = line.trim_start().strip_prefix("Summary [")?;
    let (head, tail) = line.split_once(" run: ")?;
    let run = head.split_once(']')?.1.split_whitespace().next()?;
    let all: u64 = run.rsplit('/').next()?.parse().ok()?;
    let passed = tail.split_whitespace().next()?.parse().ok()?;
    // Failed, timed out, could not be started, never started: all that did not pass.
    Some(Count {
        passed,
        failed: all.saturating_sub(passed),
    })
}

/// `test result: ok. 3 passed; 0 failed; 0 ignored; ...`; what is ignored counts as failed, for it has not run.
fn libtest_line(line: &str) -> Option<Count> {
    let numbers = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let of = |what: &str| -> Option<u64> {
        numbers
            .split("; ")
            .find_map(|part| part.strip_suffix(what))?
            .trim()
            .parse()
            .ok()
    };
    Some(Count {
        passed: of(" passed")?,
        failed: of(" failed")? + of(" ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Selection, libtest_line, nextest_line};

    #[test]
    fn summaries_are_counted() {
        let count = |line| nextest_line(line).map(|count| (count.passed, count.failed));
        assert_eq!(
            count("     Summary [   1.2s] 12 tests run: 12 passed, 3 skipped"),
            Some((12, 0))
        );
        assert_eq!(
            count("     Summary [   1.2s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out"),
            Some((10, 2))
        );
        assert_eq!(
            count("     Summary [   1.2s] 5/12 tests run: 4 passed, 1 failed, 0 skipped"),
            Some((4, 8))
        );
        assert_eq!(
            count("     Summary [   1.2s] 1 test run: 1 passed, 0 skipped"),
            Some((1, 0))
        );
        assert_eq!(count("        PASS [   0.1s] something"), None);
    }

    #[test]
    fn an_ignored_test_is_not_a_passed_one() {
        let line =
            "test result: ok. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let count = libtest_line(line).unwrap();
        assert_eq!((count.passed, count.failed), (3, 3));
        assert!(libtest_line("test a::b ... ok").is_none());
    }

    #[test]
    fn selections_are_written_as_nextest_reads_them() {
        assert_eq!(Selection::of("a").expression(), "package(=a)");
        assert_eq!(
            Selection::all_but(&["a", "b"]).expression(),
            "not (package(=a) or package(=b))"
        );
        assert_eq!(
            Selection::of("a").only("killed").expression(),
            "package(=a) and test(~killed)"
        );
        assert_eq!(
            Selection::of("a").without("killed").expression(),
            "package(=a) and not test(~killed)"
        );
        assert!(Selection::all_but(&["a"]).has("b") && !Selection::all_but(&["a"]).has("a"));
    }
}
