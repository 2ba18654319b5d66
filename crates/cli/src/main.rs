//! `coder`: the command line of the gateway, and the server itself.
//!
//! This file starts things and ends them: completion, parsing, runtime, exit code. What a command does is in
//! `commands/<noun>/<verb>.rs`; what is printed goes through `output`, what is asked of a server through `client`.

use std::process::ExitCode;

use clap::FromArgMatches as _;

use crate::args::Cli;
use crate::commands::Context;
use crate::output::Output;

mod args;
mod client;
mod commands;
mod complete;
mod config_dir;
mod environment;
mod exit;
mod find;
mod moment;
mod output;
mod progress;
mod prompt;

/// Gives memory back to the system after load, which the system's allocator does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let output = Output::new();
    // Before anything else: it changes the environment, and no other thread may be running then.
    match complete::answer() {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => return exit::after_parse_error(&output, &error),
    }
    let cli = match args::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => return exit::after_parse_error(&output, &error),
    };
    let verbose = cli.global.verbose;
    match start(cli) {
        Ok(exit) => exit.into(),
        Err(error) => exit::after_error(&output, &error, verbose),
    }
}

fn start(cli: Cli) -> anyhow::Result<exit::Exit> {
    // Fails only if another one was installed before, which nothing does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = if cli.command.is_server() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build()?;
    let context = Context::new(cli.global, Output::new())?;
    runtime.block_on(Box::pin(commands::run(cli.command, &context)))
}
