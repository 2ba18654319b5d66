//! `coder aibridge sessions`.

use clap::{Args, Subcommand, ValueEnum};
use gateway_api_types::AiSession;

use super::short_id::shorten;
use super::{NAME, PROMPT, user};
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::{Column, one_line, time};

mod list;
mod show;

/// Requests that belong together, by the client's word or by their tool calls.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    #[command(visible_alias = "ls")]
    List(Box<list::List>),
    Show(show::Show),
}

/// What can be shown of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum SessionColumn {
    #[value(name = "id")]
    Id,
    #[value(name = "full id", alias = "full_id")]
    FullId,
    #[value(name = "session", alias = "session_id")]
    Session,
    #[value(name = "started at", alias = "started_at")]
    StartedAt,
    #[value(name = "last active at", alias = "last_active_at")]
    LastActiveAt,
    #[value(name = "ended at", alias = "ended_at")]
    EndedAt,
    #[value(name = "user", alias = "initiator")]
    User,
    #[value(name = "client")]
    Client,
    #[value(name = "providers")]
    Providers,
    #[value(name = "models")]
    Models,
    #[value(name = "threads")]
    Threads,
    #[value(name = "requests")]
    Requests,
    #[value(name = "input", alias = "input_tokens")]
    Input,
    #[value(name = "output", alias = "output_tokens")]
    Output,
    #[value(name = "cache read", alias = "cache_read_input_tokens")]
    CacheRead,
    #[value(name = "cache write", alias = "cache_write_input_tokens")]
    CacheWrite,
    #[value(name = "reasoning", alias = "reasoning_tokens")]
    Reasoning,
    #[value(name = "last prompt", alias = "last_prompt")]
    LastPrompt,
}

/// Shown unless others are asked for.
const DEFAULT_COLUMNS: [SessionColumn; 9] = [
    SessionColumn::Id,
    SessionColumn::StartedAt,
    SessionColumn::User,
    SessionColumn::Client,
    SessionColumn::Models,
    SessionColumn::Requests,
    SessionColumn::Input,
    SessionColumn::Output,
    SessionColumn::LastPrompt,
];

// === impl Sessions ===

impl Sessions {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            SessionsCommand::List(args) => args.run(context).await,
            SessionsCommand::Show(args) => args.run(context).await,
        }
    }
}

// === impl SessionColumn ===

impl Column for SessionColumn {
    type Row = AiSession;

    fn cell(self, row: &AiSession) -> String {
        let head = &row.head;
        let tokens = &head.token_usage_summary;
        match self {
            Self::Id => shorten(head.id),
            Self::FullId => head.id.to_string(),
            Self::Session => head.session_id.clone(),
            Self::StartedAt => time(head.started_at),
            Self::LastActiveAt => time(head.last_active_at),
            Self::EndedAt => head.ended_at.map(time).unwrap_or_default(),
            Self::User => user(&head.initiator),
            Self::Client => one_line(&head.client, NAME),
            Self::Providers => one_line(&head.providers.join(", "), PROMPT),
            Self::Models => one_line(&head.models.join(", "), PROMPT),
            Self::Threads => row.threads.to_string(),
            Self::Requests => head.interceptions.to_string(),
            Self::Input => tokens.input_tokens.to_string(),
            Self::Output => tokens.output_tokens.to_string(),
            Self::CacheRead => tokens.cache_read_input_tokens.to_string(),
            Self::CacheWrite => tokens.cache_write_input_tokens.to_string(),
            Self::Reasoning => tokens.reasoning_tokens.to_string(),
            Self::LastPrompt => one_line(head.last_prompt.as_deref().unwrap_or_default(), PROMPT),
        }
    }

    fn is_number(self) -> bool {
        matches!(
            self,
            Self::Threads
                | Self::Requests
                | Self::Input
                | Self::Output
                | Self::CacheRead
                | Self::CacheWrite
                | Self::Reasoning
        )
    }
}
