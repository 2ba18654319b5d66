//! `coder audit list`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use gateway_api_types::{AuditEntry, AuditPage};
use gateway_core::audit::Action;

use super::{AuditColumn, DEFAULT_COLUMNS};
use crate::client::Client;
use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::output::Format;

/// How many entries are asked for at once: as many as the server gives.
const PAGE: usize = 1000;

/// List administrative acts, newest first. Owners and auditors may.
///
/// Where there are many changes, the table shows the beginning of them, and JSON all.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only acts of this user, by the name at the time or the id.
    #[arg(long, value_name = "USERNAME|ID", add = complete::usernames())]
    actor: Option<String>,
    /// Only acts of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Action::ALL.iter().map(|action| action.as_str())))]
    action: Option<String>,
    /// Only acts upon this user or token, by the name at the time or the id.
    #[arg(long, value_name = "NAME|ID")]
    target: Option<String>,
    /// Only acts since then: a time as in 2026-01-31T12:00:00Z, or how long ago, as in 7d.
    #[arg(long, value_name = "TIME")]
    after: Option<Moment>,
    /// Only acts before then, written in the same way.
    #[arg(long, value_name = "TIME")]
    before: Option<Moment>,
    /// At most so many; 0 for all.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Columns of the table, separated by commas [default: time,actor,address,action,target,changes,detail].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<AuditColumn>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

// === impl List ===

impl List {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut entries = self.entries(&context.client()?).await?;
        let limit = self.limit();
        let is_cut = entries.len() > limit;
        entries.truncate(limit);
        match self.output {
            Format::Json => context.output.json(&entries)?,
            Format::Table if entries.is_empty() => context.output.note("Nothing found."),
            Format::Table if self.column.is_empty() => context.output.table(&DEFAULT_COLUMNS, &entries)?,
            Format::Table => context.output.table(&self.column, &entries)?,
        }
        if is_cut {
            context.output.note(&format!(
                "There are more than these {limit}; `--limit 0` shows all."
            ));
        }
        Ok(Exit::Success)
    }

    fn limit(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.limit }
    }

    /// Page after page, and one entry more than wanted if there is one, so that it can be said that there is.
    async fn entries(&self, client: &Client) -> anyhow::Result<Vec<AuditEntry>> {
        let wanted = self.limit().saturating_add(1);
        let after = self.after.map(|moment| moment.to_string());
        let before = self.before.map(|moment| moment.to_string());
        let filters = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
            ("started_after", &after),
            ("started_before", &before),
        ];
        let mut entries: Vec<AuditEntry> = Vec::new();
        loop {
            let page_size = PAGE.min(wanted - entries.len());
            let limit = page_size.to_string();
            let last = entries.last().map(|entry| entry.id.to_string());
            let mut query: Vec<(&str, &str)> = filters
                .iter()
                .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
                .collect();
            query.push(("limit", &limit));
            query.extend(last.as_deref().map(|id| ("after_id", id)));
            let page: AuditPage = client.get_with(&["audit"], &query).await?;
            let is_last = page.results.len() < page_size;
            entries.extend(page.results);
            if is_last || entries.len() >= wanted {
                return Ok(entries);
            }
        }
    }
}
