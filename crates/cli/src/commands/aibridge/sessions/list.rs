//! `coder aibridge sessions list`.

use clap::Args;
use gateway_api_types::{AiSession, AiSessionsPage};
use uuid::Uuid;

use super::super::export::{self, Form};
use super::super::filters::{Filters, Limits};
use super::super::table::{self, Page};
use super::{DEFAULT_COLUMNS, SessionColumn};
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::ExportFormat;

const PATH: [&str; 2] = ["aibridge", "sessions"];

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
            ExportFormat::Json => Form::Json,
            ExportFormat::Csv => Form::Csv,
            ExportFormat::Table => {
                let columns = if self.column.is_empty() {
                    &DEFAULT_COLUMNS
                } else {
                    self.column.as_slice()
                };
                return table::print::<AiSessionsPage, _>(
                    context,
                    &PATH,
                    &self.filters,
                    self.limits,
                    columns,
                )
                .await;
            }
        };
        export::copy_list(context, &PATH, self.filters.query(), self.limits, form).await?;
        Ok(Exit::Success)
    }
}

impl Page for AiSessionsPage {
    type Row = AiSession;

    fn count(&self) -> u64 {
        self.count
    }

    fn rows(self) -> Vec<AiSession> {
        self.sessions
    }

    fn id(row: &AiSession) -> Uuid {
        row.head.id
    }
}
