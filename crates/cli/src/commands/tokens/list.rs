//! `coder tokens list`.

use clap::Args;
use gateway_api_types::ApiKey;

use super::TokenColumn;
use crate::client::Client;
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::Format;

/// How many tokens are asked for at once: as many as the server gives.
const PAGE: usize = 1000;

/// List tokens. Sessions are not listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Those of everyone, as far as you may see them.
    #[arg(short, long)]
    all: bool,
    /// Also those that have expired.
    #[arg(long)]
    include_expired: bool,
    /// Columns of the table, separated by commas [default: all but allow list; owner only with --all].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<TokenColumn>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

// === impl List ===

impl List {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let keys = self.keys(&context.client()?).await?;
        match self.output {
            Format::Json => context.output.json(&keys)?,
            Format::Table if keys.is_empty() => context.output.note("No tokens found."),
            Format::Table => context.output.table(&self.columns(), &keys)?,
        }
        Ok(Exit::Success)
    }

    /// All pages, in the order of the ids.
    async fn keys(&self, client: &Client) -> anyhow::Result<Vec<ApiKey>> {
        let flag = |on: bool| if on { "true" } else { "false" };
        let limit = PAGE.to_string();
        let mut keys: Vec<ApiKey> = Vec::new();
        loop {
            let after = keys.last().map(|key| key.id.clone());
            let mut query = vec![
                ("include_all", flag(self.all)),
                ("include_expired", flag(self.include_expired)),
                ("limit", limit.as_str()),
            ];
            query.extend(after.as_deref().map(|id| ("after_id", id)));
            // Some servers say `null` for an empty list.
            let page: Option<Vec<ApiKey>> = client
                .get_with(&["users", "me", "keys", "tokens"], &query)
                .await?;
            let mut page = page.unwrap_or_default();
            let is_last = page.len() < PAGE;
            // And some know no pages: what is not new would come for ever.
            page.retain(|key| after.as_ref().is_none_or(|after| key.id > *after));
            page.sort_by(|one, other| one.id.cmp(&other.id));
            let nothing_new = page.is_empty();
            keys.extend(page);
            if is_last || nothing_new {
                return Ok(keys);
            }
        }
    }

    fn columns(&self) -> Vec<TokenColumn> {
        if !self.column.is_empty() {
            return self.column.clone();
        }
        let mut columns = vec![
            TokenColumn::Id,
            TokenColumn::Name,
            TokenColumn::Scopes,
            TokenColumn::LastUsed,
            TokenColumn::ExpiresAt,
            TokenColumn::CreatedAt,
        ];
        if self.all {
            columns.push(TokenColumn::Owner);
        }
        columns
    }
}
