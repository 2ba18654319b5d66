//! `coder aibridge interceptions`.

use clap::{Args, Subcommand, ValueEnum};
use gateway_api_types::{Interception, TokenUsage};

use super::short_id::shorten;
use super::{NAME, PROMPT, user};
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::{Column, one_line, time};

mod list;
mod show;

/// Requests to providers, one by one.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Interceptions {
    #[command(subcommand)]
    command: InterceptionsCommand,
}

#[derive(Debug, Subcommand)]
enum InterceptionsCommand {
    #[command(visible_alias = "ls")]
    List(Box<list::List>),
    Show(show::Show),
}

/// What can be shown of an interception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum InterceptionColumn {
    #[value(name = "id")]
    Id,
    #[value(name = "full id", alias = "full_id")]
    FullId,
    #[value(name = "started at", alias = "started_at")]
    StartedAt,
    #[value(name = "first byte at", alias = "first_byte_at")]
    FirstByteAt,
    #[value(name = "ended at", alias = "ended_at")]
    EndedAt,
    #[value(name = "user", alias = "initiator")]
    User,
    #[value(name = "token")]
    Token,
    #[value(name = "provider")]
    Provider,
    #[value(name = "route")]
    Route,
    #[value(name = "client")]
    Client,
    #[value(name = "model")]
    Model,
    #[value(name = "answered model", alias = "answered_model")]
    AnsweredModel,
    #[value(name = "session", alias = "session_id")]
    Session,
    #[value(name = "credential")]
    Credential,
    #[value(name = "status")]
    Status,
    #[value(name = "outcome")]
    Outcome,
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
    #[value(name = "tools")]
    Tools,
    #[value(name = "error")]
    Error,
    #[value(name = "marks")]
    Marks,
    #[value(name = "prompt")]
    Prompt,
}

/// Shown unless others are asked for.
const DEFAULT_COLUMNS: [InterceptionColumn; 9] = [
    InterceptionColumn::Id,
    InterceptionColumn::StartedAt,
    InterceptionColumn::User,
    InterceptionColumn::Client,
    InterceptionColumn::Model,
    InterceptionColumn::Outcome,
    InterceptionColumn::Input,
    InterceptionColumn::Output,
    InterceptionColumn::Prompt,
];

// === impl Interceptions ===

impl Interceptions {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            InterceptionsCommand::List(args) => args.run(context).await,
            InterceptionsCommand::Show(args) => args.run(context).await,
        }
    }
}

// === impl InterceptionColumn ===

impl Column for InterceptionColumn {
    type Row = Interception;

    fn cell(self, row: &Interception) -> String {
        let tokens = |count: fn(&TokenUsage) -> Option<u64>| {
            let count = row.token_usages.first().and_then(count);
            count.map(|count| count.to_string()).unwrap_or_default()
        };
        match self {
            Self::Id => shorten(row.id),
            Self::FullId => row.id.to_string(),
            Self::StartedAt => time(row.started_at),
            Self::FirstByteAt => row.first_byte_at.map(time).unwrap_or_default(),
            Self::EndedAt => row.ended_at.map(time).unwrap_or_default(),
            Self::User => user(&row.initiator),
            Self::Token => row.api_key_id.clone(),
            Self::Provider => row.provider_name.clone(),
            Self::Route => row.route.clone(),
            Self::Client => one_line(&row.client, NAME),
            Self::Model => one_line(&row.model, NAME),
            Self::AnsweredModel => one_line(row.answered_model.as_deref().unwrap_or_default(), NAME),
            Self::Session => row.session_id.clone(),
            Self::Credential => format!("{} {}", row.credential_kind, row.credential_hint),
            Self::Status => row.status.map(|status| status.to_string()).unwrap_or_default(),
            Self::Outcome => outcome(row.outcome.as_deref()),
            Self::Input => tokens(|usage| Some(usage.input_tokens)),
            Self::Output => tokens(|usage| Some(usage.output_tokens)),
            Self::CacheRead => tokens(|usage| Some(usage.cache_read_input_tokens)),
            Self::CacheWrite => tokens(|usage| Some(usage.cache_write_input_tokens)),
            Self::Reasoning => tokens(|usage| usage.reasoning_tokens),
            Self::Tools => {
                let names: Vec<&str> = row.tool_usages.iter().map(|usage| usage.tool.as_str()).collect();
                one_line(&names.join(" "), PROMPT)
            }
            Self::Error => {
                let error = [&row.error_type, &row.error_message];
                let error: Vec<&str> = error.into_iter().flatten().map(String::as_str).collect();
                one_line(&error.join(": "), PROMPT)
            }
            Self::Marks => row.marks.join(" "),
            Self::Prompt => one_line(row.prompt().unwrap_or_default(), PROMPT),
        }
    }

    fn is_number(self) -> bool {
        matches!(
            self,
            Self::Status | Self::Input | Self::Output | Self::CacheRead | Self::CacheWrite | Self::Reasoning
        )
    }
}

/// In words of its own while there is none.
fn outcome(outcome: Option<&str>) -> String {
    outcome.unwrap_or("(in flight)").replace('_', " ")
}
