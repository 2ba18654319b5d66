//! `cargo xtask <command>`: everything a developer or CI runs in this repository.
//!
//! One file a command. It depends on none of the product's crates, so that it is quick to build and works while they
//! do not; what it needs to know of the product it asks the built binaries. It runs on Unix only.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of these commands is for the terminal of whoever runs them"
)]

mod bench;
mod check;
mod cores;
mod db;
mod demo;
mod dist;
mod generate;
mod http;
mod install;
mod interrupt;
mod migration;
mod policy;
mod process;
mod python;
mod report;
mod spdx;
mod test;
mod text;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Development commands of this repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, lints, documentation, tidiness and dependency policy: the quick look before a commit.
    Check,
    /// The rules of this repository that no other tool checks.
    Tidy,
    /// The dependency policy of deny.toml: licences, banned crates, sources.
    Deny,
    /// Everything that CI runs, or one part of it.
    Test {
        /// The part to run; without it, everything.
        part: Option<test::Part>,
    },
    /// A throw-away PostgreSQL for tests.
    Db {
        #[command(subcommand)]
        action: db::Action,
    },
    /// Files of database migrations.
    Migration {
        #[command(subcommand)]
        action: migration::Action,
    },
    /// Writes the generated documents: command reference, options, description of the API.
    Gen {
        /// Write nothing; fail if a document is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Runs the gateway against a simulated provider and shows a token's life.
    Demo {
        /// End after the demonstration instead of serving until Ctrl-C.
        #[arg(long)]
        once: bool,
    },
    /// Measures the gateway beside its yardsticks, and prints the ratios.
    Bench {
        /// The part to measure; without it, everything.
        part: Option<bench::Part>,
        /// Seconds for each measurement.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Builds the release archive with its checksums.
    Dist,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    match &cli.command {
        Command::Check => return Ok(check::run(&workspace)),
        Command::Tidy => tidy::run(&workspace)?,
        Command::Deny => policy::run(&workspace)?,
        Command::Test { part } => {
            interrupt::note()?;
            return Ok(test::run(&workspace, *part));
        }
        Command::Db { action } => db::run(&workspace, action)?,
        Command::Migration { action } => migration::run(&workspace, action)?,
        Command::Gen { check } => generate::run(&workspace, *check)?,
        Command::Demo { once } => {
            interrupt::note()?;
            demo::run(&workspace, *once)?;
        }
        Command::Bench { part, seconds } => {
            interrupt::note()?;
            bench::run(&workspace, *part, *seconds)?;
        }
        Command::Dist => dist::run(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}
