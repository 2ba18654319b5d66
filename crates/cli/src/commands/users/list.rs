//! `coder users list`.

use clap::Args;
use gateway_api_types::{User, UsersPage};

use super::{DEFAULT_COLUMNS, UserColumn};
use crate::client::Client;
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::Format;

/// How many users are asked for at once.
const PAGE: usize = 100;

/// List users and service accounts.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Columns of the table, separated by commas [default: username,email,created at,status].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<UserColumn>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

// === impl List ===

impl List {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let users = all(&context.client()?).await?;
        match self.output {
            Format::Json => context.output.json(&users)?,
            Format::Table if users.is_empty() => context.output.note("No users found."),
            Format::Table if self.column.is_empty() => context.output.table(&DEFAULT_COLUMNS, &users)?,
            Format::Table => context.output.table(&self.column, &users)?,
        }
        Ok(Exit::Success)
    }
}

/// All pages. Each begins after the last user of the one before, so that none is missed or shown twice while
/// others are made or deleted.
async fn all(client: &Client) -> anyhow::Result<Vec<User>> {
    let limit = PAGE.to_string();
    let mut users: Vec<User> = Vec::new();
    loop {
        let after = users.last().map(|user| user.id.to_string());
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.as_deref().map(|id| ("after_id", id)));
        let page: UsersPage = client.get_with(&["users"], &query).await?;
        let is_last = page.users.len() < PAGE;
        users.extend(page.users);
        if is_last {
            return Ok(users);
        }
    }
}
