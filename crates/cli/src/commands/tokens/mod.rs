//! `coder tokens`: API tokens.

use clap::{Args, Subcommand, ValueEnum};
use gateway_api_types::ApiKey;

use super::Context;
use crate::exit::Exit;
use crate::output::{Column, time};

mod create;
mod list;
mod remove;
mod view;

/// Make, show and remove API tokens.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    Create(create::Create),
    #[command(visible_alias = "ls")]
    List(list::List),
    View(view::View),
    #[command(visible_aliases = ["rm", "delete"])]
    Remove(remove::Remove),
}

/// What can be shown of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum TokenColumn {
    #[value(name = "id")]
    Id,
    #[value(name = "name")]
    Name,
    #[value(name = "scopes")]
    Scopes,
    #[value(name = "allow list", alias = "allow_list")]
    AllowList,
    #[value(name = "last used", alias = "last_used")]
    LastUsed,
    #[value(name = "expires at", alias = "expires_at")]
    ExpiresAt,
    #[value(name = "created at", alias = "created_at")]
    CreatedAt,
    #[value(name = "owner")]
    Owner,
}

// === impl Tokens ===

impl Tokens {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            TokensCommand::Create(args) => args.run(context).await,
            TokensCommand::List(args) => args.run(context).await,
            TokensCommand::View(args) => args.run(context).await,
            TokensCommand::Remove(args) => args.run(context).await,
        }
    }
}

// === impl TokenColumn ===

impl Column for TokenColumn {
    type Row = ApiKey;

    fn cell(self, key: &ApiKey) -> String {
        match self {
            Self::Id => key.id.clone(),
            Self::Name => key.token_name.clone(),
            Self::Scopes => sorted(key.scopes.iter().cloned()),
            Self::AllowList => sorted(key.allow_list.iter().map(ToString::to_string)),
            Self::LastUsed => time(key.last_used),
            Self::ExpiresAt => time(key.expires_at),
            Self::CreatedAt => time(key.created_at),
            Self::Owner => key.username.clone().unwrap_or_default(),
        }
    }
}

fn sorted(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    parts.sort_unstable();
    parts.join(", ")
}
