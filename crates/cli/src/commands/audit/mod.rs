//! `coder audit`: the audit log.

use clap::{Args, Subcommand, ValueEnum};
use gateway_api_types::{AuditChange, AuditEntry};

use super::Context;
use crate::exit::Exit;
use crate::output::{Column, time};

mod list;

/// Show who did what to accounts, tokens and configuration.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    #[command(visible_alias = "ls")]
    List(list::List),
}

/// What can be shown of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum AuditColumn {
    #[value(name = "id")]
    Id,
    #[value(name = "time")]
    Time,
    #[value(name = "actor")]
    Actor,
    #[value(name = "token")]
    Token,
    #[value(name = "address")]
    Address,
    #[value(name = "user agent", alias = "user_agent")]
    UserAgent,
    #[value(name = "action")]
    Action,
    #[value(name = "target")]
    Target,
    #[value(name = "changes")]
    Changes,
    #[value(name = "detail")]
    Detail,
}

/// As many characters of the changes as a table shows.
const LONGEST_CHANGES: usize = 120;

/// Shown unless others are asked for.
const DEFAULT_COLUMNS: [AuditColumn; 7] = [
    AuditColumn::Time,
    AuditColumn::Actor,
    AuditColumn::Address,
    AuditColumn::Action,
    AuditColumn::Target,
    AuditColumn::Changes,
    AuditColumn::Detail,
];

// === impl Audit ===

impl Audit {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            AuditCommand::List(args) => args.run(context).await,
        }
    }
}

// === impl AuditColumn ===

impl Column for AuditColumn {
    type Row = AuditEntry;

    fn cell(self, entry: &AuditEntry) -> String {
        let actor = &entry.actor;
        match self {
            Self::Id => entry.id.to_string(),
            Self::Time => time(entry.at),
            Self::Actor => match &actor.username {
                Some(username) => username.clone(),
                None if actor.kind == "user" => "(unknown)".to_owned(),
                None => format!("({})", actor.kind),
            },
            Self::Token => actor.token_id.clone().unwrap_or_default(),
            Self::Address => entry.address.clone().unwrap_or_default(),
            Self::UserAgent => entry.user_agent.clone().unwrap_or_default(),
            Self::Action => entry.action.clone(),
            Self::Target => target(entry),
            Self::Changes => {
                let changes = entry.changes.iter().map(|(field, change)| changed(field, change));
                cut(changes.collect::<Vec<_>>().join("; "))
            }
            Self::Detail => entry.detail.clone().unwrap_or_default(),
        }
    }
}

/// The changes of a configuration would make the table wider than any screen.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_CHANGES) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Such as `token ci`, by the id where there is no name.
fn target(entry: &AuditEntry) -> String {
    let target = &entry.target;
    match target.name.as_ref().or(target.id.as_ref()) {
        Some(name) => format!("{} {name}", target.kind),
        None => target.kind.clone(),
    }
}

/// Such as `roles: owner -> auditor`.
fn changed(field: &str, change: &AuditChange) -> String {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if before == after => format!("{field}: {after}"),
        (before, after) => {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
            format!("{field}: {} -> {}", shown(before), shown(after))
        }
    }
}
