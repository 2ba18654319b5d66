//! The root of the command line: global options and the list of commands. Each command's own options stand with it.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use gateway_core::Secret;

use crate::commands::{
    aibridge, audit, completion, internal, login, logout, reset_password, server, tokens, users, whoami,
};
use crate::environment;

/// The AI gateway: its server, and the commands that manage it.
#[derive(Debug, Parser)]
#[command(
    name = "coder",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes. Their ids are unlike any other, since an argument of a command with the same id
/// would take their place.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Address of the server; by default the one that was logged in to.
    #[arg(id = "global_url", long = "url", env = environment::URL, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Token for this call instead of the stored session. Prefer the variable: others can see flags.
    #[arg(id = "global_token", long = "token", env = environment::SESSION_TOKEN, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
    /// Directory of session, URL and the server's embedded database.
    #[arg(id = "global_config", long = "global-config", env = environment::CONFIG_DIR, global = true, value_name = "DIR")]
    pub(crate) global_config: Option<PathBuf>,
    /// Header to add to each request, as name=value; can be repeated. In the variable one a line.
    #[arg(
        id = "global_header",
        long = "header",
        env = environment::HEADER,
        global = true,
        value_name = "NAME=VALUE",
        value_delimiter = '\n'
    )]
    pub(crate) header: Vec<Secret>,
    /// Say more in errors: request, status, the whole chain of causes.
    #[arg(id = "global_verbose", short = 'v', long = "verbose", env = environment::VERBOSE, global = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Login(Box<login::Login>),
    Logout(logout::Logout),
    Whoami(whoami::Whoami),
    #[command(alias = "token")]
    Tokens(tokens::Tokens),
    #[command(alias = "user")]
    Users(users::Users),
    #[command(alias = "ai-gateway")]
    Aibridge(Box<aibridge::Aibridge>),
    Audit(audit::Audit),
    ResetPassword(reset_password::ResetPassword),
    Server(Box<server::Server>),
    Completion(completion::Completion),
    #[command(hide = true)]
    Internal(internal::Internal),
}

// === impl Command ===

impl Command {
    /// Whether this is the long-running server, which wants all cores.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Server(server) if server.serves())
    }
}

/// The whole tree of commands, as it is parsed, completed and documented.
pub(crate) fn command() -> clap::Command {
    without_values(Cli::command())
}

/// Help names the variables but never shows what they hold, which may be secret.
fn without_values(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_args(|arg| arg.hide_env_values(true))
        .mut_subcommands(without_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn debug_shows_no_secret() {
        let cli = Cli::try_parse_from([
            "coder",
            "whoami",
            "--token",
            "hunter2hunter2",
            "--header",
            "x=hunter2hunter2",
        ])
        .unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
    }
}
