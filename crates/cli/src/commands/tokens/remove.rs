//! `coder tokens remove`.

use clap::Args;

use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::find::{self, Wanted};
use crate::output::visible;

/// Remove a token for good. When this returns, nobody accepts it any more and what was in flight with it is cut.
///
/// It is not asked whether you are sure. Of a whole token only the id is sent.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name or id of the token, or the whole token.
    #[arg(value_name = "NAME|ID|TOKEN", add = complete::token_names())]
    token: gateway_core::Secret,
    /// User whose token it is, by name or id, if it is named by its name.
    #[arg(short, long, default_value = "me", add = complete::usernames())]
    user: String,
    /// Taken and ignored: tokens are always deleted.
    #[arg(long, hide = true)]
    delete: bool,
}

// === impl Remove ===

impl Remove {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        find::user(&self.user)?;
        let wanted = Wanted::parse(self.token.expose())?;
        let client = context.client()?;
        let (id, shown) = match &wanted {
            // Nothing is looked up first: this may be a leaked token, and each moment counts.
            Wanted::Id(id) => (id.to_string(), id.to_string()),
            Wanted::Text(_) => {
                let key = find::token(&client, &self.user, &wanted).await?;
                let shown = match key.token_name.as_str() {
                    "" => key.id.clone(),
                    name => format!("{} ({})", visible(name), key.id),
                };
                (key.id, shown)
            }
        };
        client.delete(&["users", &self.user, "keys", &id]).await?;
        context.output.line(&format!("Token {shown} was deleted."))?;
        Ok(Exit::Success)
    }
}
