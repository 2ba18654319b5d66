//! `coder server`: the server itself, and what is done to its database while it is stopped.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use gateway_server::config::{ConfigError, ServerArgs};

use super::Context;
use crate::exit::{Exit, one_line};

mod create_admin_user;

/// Run the gateway.
///
/// Each option can be given as a flag, as a variable or in a YAML file, in this order of precedence. The options of a
/// subcommand stand after it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Server {
    #[command(flatten)]
    options: ServerArgs,
    #[command(subcommand)]
    command: Option<ServerCommand>,
}

#[derive(Debug, Subcommand)]
enum ServerCommand {
    CreateAdminUser(create_admin_user::CreateAdminUser),
}

// === impl Server ===

impl Server {
    /// Whether it runs until it is told to stop.
    pub(crate) fn serves(&self) -> bool {
        self.command.is_none()
    }

    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if let Some(ServerCommand::CreateAdminUser(args)) = self.command {
            return args.run(context).await;
        }
        match Box::pin(gateway_server::run(self.options, context.config.path())).await {
            Ok(()) => Ok(Exit::Success),
            // Its faults are told one a line.
            Err(error) if error.is::<ConfigError>() => Err(error),
            // Why a server has not started is in the last of the causes.
            Err(error) => Err(anyhow!(one_line(&error))),
        }
    }
}
