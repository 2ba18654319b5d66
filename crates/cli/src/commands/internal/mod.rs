//! `coder internal`: documents made from the program itself, for those who work on it.

use clap::{Args, Subcommand, ValueEnum};

use super::Context;
use crate::exit::Exit;

mod markdown;

/// For those who work on the program.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Internal {
    #[command(subcommand)]
    command: InternalCommand,
}

#[derive(Debug, Subcommand)]
enum InternalCommand {
    Docs(Docs),
}

/// Print a document.
#[derive(Debug, Args)]
struct Docs {
    #[arg(value_enum)]
    document: Document,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Document {
    /// The commands, as Markdown.
    Cli,
    /// The options of the server, as Markdown.
    Options,
    /// Description of the REST API, as JSON.
    Openapi,
}

// === impl Internal ===

impl Internal {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let InternalCommand::Docs(docs) = self.command;
        let text = match docs.document {
            Document::Cli => markdown::commands(),
            Document::Options => markdown::server_options(),
            Document::Openapi => format!("{}\n", gateway_server::openapi().to_pretty_json()?),
        };
        context.output.text(&text)?;
        Ok(Exit::Success)
    }
}
