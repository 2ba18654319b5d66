//! `coder logout`: ends the session at the server and forgets it here.

use clap::Args;
use gateway_api_types::MessageReply;

use super::Context;
use crate::client::{self, ClientError};
use crate::exit::Exit;
use crate::prompt;

/// End the session and forget it on this machine.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

// === impl Logout ===

impl Logout {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let client = context.client()?;
        if !self.yes && !prompt::confirm(&context.output, &format!("Log out of {}?", client.base()))? {
            return Ok(Exit::Declined);
        }
        let ended: Result<Option<MessageReply>, ClientError> =
            client.post(&["users", "logout"], None::<&()>).await;
        let ended = match ended {
            // Gone already: what was asked for is so.
            Ok(_) | Err(ClientError::SessionEnded { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        // With a token given for this call, the session that is stored is another one and stays.
        let stored = context.stored_url()?;
        let is_here = stored.is_some_and(|stored| client::same_server(&stored, client.base()));
        let is_stored = match (context.given_token(), context.config.session()?) {
            (Some(given), Some(session)) => given.expose() == session.expose(),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_here && is_stored {
            context.config.forget()?;
            if ended.is_err() {
                context
                    .output
                    .note("The session was forgotten here, but the server may still honour it:");
            }
        }
        ended?;
        context.output.line("You are logged out.")?;
        Ok(Exit::Success)
    }
}
