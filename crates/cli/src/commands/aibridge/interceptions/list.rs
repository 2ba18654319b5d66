//! `coder aibridge interceptions list`.

use clap::Args;
use gateway_api_types::{Interception, InterceptionsPage};
use uuid::Uuid;

use super::super::PROMPT;
use super::super::export::{self, Form};
use super::super::filters::{Filters, Limits};
use super::super::table::{self, Page};
use super::{DEFAULT_COLUMNS, InterceptionColumn};
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::{ExportFormat, one_line};

const PATH: [&str; 2] = ["aibridge", "interceptions"];

/// List requests to providers, newest first.
///
/// JSON and CSV hold all of them and all that was recorded, and are copied as the server sends them, however much that
/// is. In CSV a text that a spreadsheet could take for a formula has an apostrophe in front.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    limits: Limits,
    /// Columns of the table, separated by commas [default: id,started at,user,client,model,outcome,input,output,prompt].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<InterceptionColumn>,
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
                return table::print::<InterceptionsPage, _>(
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

impl Page for InterceptionsPage {
    type Row = Interception;

    fn count(&self) -> u64 {
        self.count
    }

    fn rows(self) -> Vec<Interception> {
        self.results.into_iter().map(slim).collect()
    }

    fn id(row: &Interception) -> Uuid {
        row.id
    }
}

fn slim(mut row: Interception) -> Interception {
    row.model_thoughts = Vec::new();
    for tool in &mut row.tool_usages {
        tool.input = None;
    }
    for prompt in &mut row.user_prompts {
        // One character more than is shown, so that it can be seen that there is more.
        prompt.prompt = one_line(&prompt.prompt, PROMPT + 1);
    }
    row
}
