//! `cargo xtask test`: everything that CI runs, or one part of it.
//!
//! The whole workspace is built once, with one set of features, and all parts use that build. Each part's tests are
//! given what they need through the environment: `TEST_POSTGRES_URL`, `TEST_POSTGRES_BIN`, `CODER_BIN`, `LLM_SIM_BIN`.
//! A part that cannot run is a failure; none is left out.

mod browser;
mod node;
mod python;
mod runner;
mod sdk;

use std::process::{Command, ExitCode};

use clap::ValueEnum;

use self::runner::Selection;
use crate::db::{self, Database};
use crate::report::Report;
use crate::workspace::{Build, Programs, Workspace};
use crate::{check, demo, generate, install, process};

/// The parts of the test run, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Tests of the crates that need neither a database nor a server, and the examples in the documentation.
    Unit,
    /// The store's conformance suite, on SQLite and PostgreSQL.
    Store,
    /// The REST API and the assembled server.
    Api,
    /// The command line: help pages, arguments, output.
    Cli,
    /// Journeys over real sockets.
    E2e,
    /// Killing the server in the middle of what it does.
    Kill,
    /// The official packages against the gateway.
    Sdk,
    /// The dashboard in a browser.
    Browser,
}

/// What the names of the tests have in common that kill the server.
const KILL: &str = "killed";

/// What the tests are given.
struct Setting {
    programs: Programs,
    database: Database,
}

pub(crate) fn run(workspace: &Workspace, part: Option<Part>) -> ExitCode {
    let mut report = Report::default();
    if part.is_none() {
        check::steps(workspace, &mut report);
    }
    let made = report.step("build", || workspace.build(Build::Everything));
    let database = report.step("database", || db::ensure(workspace));
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    if let (Some(programs), Some(database)) = (made, database) {
        let setting = Setting { programs, database };
        if part.is_none() {
            report.step("generated documents", || {
                generate::with(workspace, setting.programs.path("coder")?, true)
            });
        }
        for part in parts {
            run_part(workspace, &setting, part, &mut report);
        }
        if part.is_none() {
            report.step("demonstration", || demo::with(&setting.programs, true));
        }
    } else {
        for part in parts {
            report.not_run(part.name(), "there is no build or no database to test with");
        }
    }
    let total = report.total();
    println!("\n{}", report.table());
    println!("{} passed, {} failed", total.passed, total.failed);
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

// === impl Part ===

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Store => "store",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::E2e => "e2e",
            Self::Kill => "kill",
            Self::Sdk => "sdk",
            Self::Browser => "browser",
        }
    }
}

// === impl Setting ===

impl Setting {
    /// Hands over what the tests need, and keeps from them what the caller's environment says about the product.
    fn prepare(&self, command: &mut Command) -> anyhow::Result<()> {
        for (name, _) in std::env::vars_os() {
            if of_the_product(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command.env("TEST_POSTGRES_URL", self.database.url());
        command.env("TEST_POSTGRES_BIN", self.database.programs());
        command.env("CODER_BIN", self.programs.path("coder")?);
        command.env("LLM_SIM_BIN", self.programs.path("llm-sim")?);
        Ok(())
    }
}

/// Whether a variable of the caller's would change what the product or a client does.
pub(crate) fn of_the_product(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
    ["CODER_", "ANTHROPIC_", "OPENAI_"]
        .iter()
        .any(|start| name.starts_with(start))
        || proxies.contains(&name.as_str())
}

fn run_part(workspace: &Workspace, setting: &Setting, part: Part, report: &mut Report) {
    let selection = match part {
        Part::Unit => Selection::all_but(&["gateway-store", "gateway-server", "gateway-cli", "gateway-e2e"]),
        Part::Store => Selection::of("gateway-store"),
        Part::Api => Selection::of("gateway-server"),
        Part::Cli => Selection::of("gateway-cli"),
        Part::E2e => Selection::of("gateway-e2e").without(KILL),
        Part::Kill => Selection::of("gateway-e2e").only(KILL),
        Part::Sdk => {
            report.tests("sdk", |count| {
                sdk::run(workspace, count, |command| setting.prepare(command))
            });
            return;
        }
        Part::Browser => {
            report.tests("browser", |count| {
                browser::run(workspace, count, |command| setting.prepare(command))
            });
            return;
        }
    };
    report.tests(part.name(), |count| {
        if part == Part::E2e && process::find("curl").is_none() {
            install::packages(&["curl"], "the tests of the proxy")?;
        }
        runner::run(workspace, &selection, count, |command| setting.prepare(command))
    });
    if part == Part::Unit {
        report.tests("examples", |count| {
            runner::examples(workspace, count, |command| setting.prepare(command))
        });
    }
}
