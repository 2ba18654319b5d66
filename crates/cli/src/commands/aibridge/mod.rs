//! `coder aibridge`: what was recorded of requests to providers, and the way there through the proxy.

use clap::{Args, Subcommand};
use gateway_api_types::Initiator;

use super::Context;
use crate::exit::Exit;

mod export;
mod filters;
mod interceptions;
mod proxy;
mod sessions;
mod short_id;
mod table;
mod usage;

/// Show what was asked of the providers, and set machines up for the proxy.
///
/// Everybody sees their own requests, owners and auditors all.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Aibridge {
    #[command(subcommand)]
    command: AibridgeCommand,
}

#[derive(Debug, Subcommand)]
enum AibridgeCommand {
    #[command(alias = "interception")]
    Interceptions(interceptions::Interceptions),
    #[command(alias = "session")]
    Sessions(sessions::Sessions),
    Usage(usage::Usage),
    Proxy(proxy::Proxy),
}

// === impl Aibridge ===

impl Aibridge {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            AibridgeCommand::Interceptions(args) => args.run(context).await,
            AibridgeCommand::Sessions(args) => args.run(context).await,
            AibridgeCommand::Usage(args) => args.run(context).await,
            AibridgeCommand::Proxy(args) => args.run(context).await,
        }
    }
}

/// How much of a prompt a table shows, in characters.
const PROMPT: usize = 40;

/// How much of a model's or client's name.
const NAME: usize = 28;

fn user(initiator: &Initiator) -> String {
    initiator.username.clone()
}
