//! `coder tokens view`.

use clap::{Args, ValueEnum as _};

use super::TokenColumn;
use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::find::{self, Wanted};
use crate::output::Format;

/// Show one token, without its secret.
#[derive(Debug, Args)]
pub(crate) struct View {
    /// Name or id of the token, or the whole token.
    #[arg(value_name = "NAME|ID|TOKEN", add = complete::token_names())]
    token: gateway_core::Secret,
    /// User whose token it is, by name or id, if it is named by its name.
    #[arg(short, long, default_value = "me", add = complete::usernames())]
    user: String,
    /// Columns of the table, separated by commas [default: all].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<TokenColumn>,
    /// How to print. JSON is a list of one.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

// === impl View ===

impl View {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        find::user(&self.user)?;
        let wanted = Wanted::parse(self.token.expose())?;
        let client = context.client()?;
        let key = find::token(&client, &self.user, &wanted).await?;
        match self.output {
            Format::Json => context.output.json(&[key])?,
            Format::Table if self.column.is_empty() => {
                let is_known = |column: &TokenColumn| *column != TokenColumn::Owner || key.username.is_some();
                let columns: Vec<TokenColumn> = TokenColumn::value_variants()
                    .iter()
                    .copied()
                    .filter(is_known)
                    .collect();
                context.output.table(&columns, &[key])?;
            }
            Format::Table => context.output.table(&self.column, &[key])?,
        }
        Ok(Exit::Success)
    }
}
