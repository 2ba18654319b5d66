//! `coder users delete`.

use clap::Args;

use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::find;
use crate::output::visible;

/// Delete a user with all sessions and tokens. When this returns, nobody accepts them any more and what was in
/// flight with them is cut.
///
/// It is not asked whether you are sure. What was recorded about the user stays.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Username or id.
    #[arg(value_name = "USERNAME|ID", add = complete::usernames())]
    user: String,
}

// === impl Delete ===

impl Delete {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = find::user(&self.user)?;
        context.client()?.delete(&["users", name]).await?;
        context
            .output
            .line(&format!("User {} was deleted.", visible(name)))?;
        Ok(Exit::Success)
    }
}
