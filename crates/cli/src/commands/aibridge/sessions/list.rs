//! `coder aibridge sessions list`.

use clap::Args;
use gateway_api_types::{AiSession, AiSessionsPage};

use super::super::export::{self, Form};
use super::super::filters::{Filters, Limits, borrowed};
use super::{DEFAULT_COLUMNS, SessionColumn};
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::ExportFormat;

const PATH: [&str; 2] = ["aibridge", "sessions"];

/// As many as the server gives at once.
const PAGE: u64 = 1000;

/// List sessions, those that began last first.
///
/// With filters, those in which a request is as they say. JSON and CSV hold all of them, and are copied as the server
/// sends them. In CSV a text that a spreadsheet could take for a formula has an apostrophe in front.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    limits: Limits,
    /// Columns of the table, separated by commas [default: id,started at,user,client,models,requests,input,output,last prompt].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<SessionColumn>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: ExportFormat,
}

// === impl List ===

impl List {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let form = match self.output {
            ExportFormat::Table => return self.table(context).await,
            ExportFormat::Json => Form::Json,
            ExportFormat::Csv => Form::Csv,
        };
        export::copy_list(context, &PATH, self.filters.query(), self.limits, form).await?;
        Ok(Exit::Success)
    }

    async fn table(self, context: &Context) -> anyhow::Result<Exit> {
        let client = context.client()?;
        let limit = self.limits.of_table();
        let mut rows: Vec<AiSession> = Vec::new();
        let has_more = loop {
            let left = limit.map_or(PAGE, |limit| PAGE.min(limit - rows.len() as u64));
            let mut query = self.filters.query();
            // Whether there is one more is seen by asking for it.
            query.push(("limit", if left == 0 { 1 } else { left }.to_string()));
            query.extend(rows.last().map(|row| ("after_id", row.head.id.to_string())));
            let page: AiSessionsPage = client.get_with(&PATH, &borrowed(&query)).await?;
            if page.sessions.is_empty() || left == 0 {
                break !page.sessions.is_empty();
            }
            rows.extend(page.sessions);
        };
        if rows.is_empty() {
            context.output.note("Nothing found.");
        } else if self.column.is_empty() {
            context.output.table(&DEFAULT_COLUMNS, &rows)?;
        } else {
            context.output.table(&self.column, &rows)?;
        }
        if has_more {
            context.output.note(&format!(
                "There are more than these {}; `--all` shows all.",
                rows.len()
            ));
        }
        Ok(Exit::Success)
    }
}
