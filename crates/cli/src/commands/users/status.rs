//! `coder users suspend` and `coder users activate`, which differ in a word.

use clap::Args;
use gateway_api_types::{User, UserStatus};

use super::{DEFAULT_COLUMNS, UserColumn};
use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::output::{table, visible};
use crate::{find, prompt};

/// Refuse all sessions and tokens of a user until the user is activated again. What is in flight is cut.
#[derive(Debug, Args)]
pub(crate) struct Suspend {
    #[command(flatten)]
    change: Change,
}

/// Honour the sessions and tokens of a suspended user again.
#[derive(Debug, Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
struct Change {
    /// Username or id.
    #[arg(value_name = "USERNAME|ID", add = complete::usernames())]
    user: String,
    /// Columns of the table that is shown with the question, separated by commas.
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<UserColumn>,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

// === impl Suspend ===

impl Suspend {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.change.run(context, UserStatus::Suspended).await
    }
}

// === impl Activate ===

impl Activate {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.change.run(context, UserStatus::Active).await
    }
}

// === impl Change ===

impl Change {
    async fn run(&self, context: &Context, status: UserStatus) -> anyhow::Result<Exit> {
        let (verb, question, done) = match status {
            UserStatus::Suspended => ("suspend", "Suspend this user?", "suspended"),
            UserStatus::Active => ("activate", "Activate this user?", "activated"),
        };
        let client = context.client()?;
        let user: User = client.get(&["users", find::user(&self.user)?]).await?;
        let name = visible(&user.username);
        if user.status == status {
            context
                .output
                .note(&format!("User {name} is already {}.", status.as_str()));
            return Ok(Exit::Success);
        }
        if !self.yes {
            let columns = if self.column.is_empty() {
                DEFAULT_COLUMNS.as_slice()
            } else {
                &self.column
            };
            let shown = table(columns, std::slice::from_ref(&user));
            context.output.note(shown.trim_end());
            if !prompt::confirm(&context.output, question)? {
                return Ok(Exit::Declined);
            }
        }
        // By id: the name may belong to somebody else by now.
        let id = user.id.to_string();
        let _: User = client.put(&["users", &id, "status", verb], None::<&()>).await?;
        context.output.line(&format!("User {name} was {done}."))?;
        Ok(Exit::Success)
    }
}
