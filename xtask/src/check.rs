//! `cargo xtask check`: what can be said about the source without running it.

use std::process::ExitCode;

use crate::report::Report;
use crate::workspace::Workspace;
use crate::{policy, process, tidy};

/// Runs every check, also after one has failed.
pub(crate) fn run(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    steps(workspace, &mut report);
    print!("\n{}", report.table());
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The checks as steps of a larger run; the quick ones first.
pub(crate) fn steps(workspace: &Workspace, report: &mut Report) {
    report.step("tidy", || tidy::run(workspace));
    report.step("dependencies", || policy::run(workspace));
    report.step("format", || {
        process::run(&mut workspace.cargo(&["fmt", "--all", "--", "--check"]))
    });
    report.step("lints", || {
        let arguments = [
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ];
        process::run(&mut workspace.cargo(&arguments))
    });
    report.step("documentation", || {
        let mut command = workspace.cargo(&[
            "doc",
            "--locked",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ]);
        process::run(command.env("RUSTDOCFLAGS", "--deny warnings"))
    });
}
