//! `coder reset-password`: for an owner who is locked out.

use anyhow::{Context as _, bail};
use clap::Args;
use gateway_core::{Clock as _, SystemClock, password};
use gateway_store::Author;

use super::{Context, offline};
use crate::exit::Exit;
use crate::output::visible;
use crate::prompt;

/// Give a user a new password, directly in the database. The server must be stopped.
///
/// All sessions and API tokens of the user end, unless API tokens are kept. The password is asked for, or read from
/// standard input.
#[derive(Debug, Args)]
pub(crate) struct ResetPassword {
    /// Username; not an id or e-mail address.
    username: String,
    /// Leave the user's API tokens alive. Sessions end in any case.
    #[arg(long)]
    keep_api_tokens: bool,
    #[command(flatten)]
    database: offline::Database,
}

// === impl ResetPassword ===

impl ResetPassword {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let store = self.database.open(context, true).await?;
        let outcome = self.reset(context, &store).await;
        store.close().await;
        outcome
    }

    async fn reset(&self, context: &Context, store: &gateway_store::Store) -> anyhow::Result<Exit> {
        let name = visible(&self.username);
        let user = store
            .users()
            .find_by_username(&self.username)
            .await?
            .with_context(|| format!("there is no user {name}"))?;
        if user.is_service_account {
            bail!("{name} is a service account, which has no password");
        }
        let new = prompt::new_secret(&context.output, &format!("New password of {name}"))?;
        let mut own_names = vec![user.username.as_str(), user.name.as_str()];
        own_names.extend(user.email.as_deref());
        password::check_strength(&new, &own_names)?;
        let hash = password::hash(&new)?;
        let removed = store
            .users()
            .set_password(
                &Author::SystemFor("coder reset-password"),
                user.id,
                &hash,
                self.keep_api_tokens,
                SystemClock.now(),
            )
            .await?;
        let ended = if self.keep_api_tokens {
            "sessions ended, API tokens were kept"
        } else {
            "sessions and API tokens ended"
        };
        context.output.line(&format!(
            "The password of {name} was changed; all {ended} ({} removed).",
            removed.len()
        ))?;
        Ok(Exit::Success)
    }
}
