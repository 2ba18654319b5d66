//! `coder aibridge interceptions show`.

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, ValueEnum as _};
use gateway_api_types::{Interception, InterceptionsPage};

use super::super::export::{self, Form};
use super::super::filters::borrowed;
use super::super::short_id;
use super::InterceptionColumn;
use crate::client::Client;
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::{Column as _, ExportFormat, paragraph, visible};

/// Show one request to a provider with all that was recorded of it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The id, or its beginning as the list shows it.
    #[arg(value_name = "ID")]
    id: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: ExportFormat,
}

// === impl Show ===

impl Show {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let client = context.client()?;
        let found = find(&client, &self.id).await?;
        match self.output {
            ExportFormat::Table => context.output.text(&page(&found))?,
            ExportFormat::Json => context.output.json(&found)?,
            ExportFormat::Csv => {
                let id = found.id.to_string();
                let path = ["aibridge", "interceptions", &id];
                export::copy(context, &client, &path, &[], Form::Csv, None).await?;
            }
        }
        Ok(Exit::Success)
    }
}

async fn find(client: &Client, id: &str) -> anyhow::Result<Interception> {
    let found = match short_id::beginning(id, "after_id") {
        Some(query) => {
            let page: InterceptionsPage = client
                .get_with(&["aibridge", "interceptions"], &borrowed(&query))
                .await?;
            short_id::only(id, page.results, |one| one.id.to_string())?
        }
        None => client.find(&["aibridge", "interceptions", id]).await?,
    };
    match found {
        Some(found) => Ok(found),
        None => bail!("there is no interception with the id {id:?}; see `coder aibridge interceptions list`"),
    }
}

/// One `Title: value` a line for what there is, then the texts.
fn page(found: &Interception) -> String {
    let mut text = String::new();
    let columns = InterceptionColumn::value_variants().iter().filter(|column| {
        !matches!(
            column,
            InterceptionColumn::Id
                | InterceptionColumn::Tools
                | InterceptionColumn::Error
                | InterceptionColumn::Prompt
        )
    });
    for column in columns {
        let value = visible(&column.cell(found));
        if !value.is_empty() {
            let title = column.title().replace("full id", "id");
            writeln!(text, "{:<15} {value}", format!("{title}:")).expect(INFALLIBLE);
        }
    }
    let error = [&found.error_type, &found.error_message];
    for part in error.into_iter().flatten() {
        writeln!(text, "{:<15} {}", "error:", visible(part)).expect(INFALLIBLE);
    }
    if let Some(prompt) = found.prompt() {
        section(&mut text, "Prompt", prompt);
    }
    for thought in &found.model_thoughts {
        let source = thought.metadata.get("source").and_then(|source| source.as_str());
        section(
            &mut text,
            &capitalised(source.unwrap_or("thought")),
            &thought.content,
        );
    }
    for tool in &found.tool_usages {
        let title = format!("Tool {}", visible(&tool.tool));
        section(
            &mut text,
            &title,
            tool.input.as_deref().unwrap_or("(not recorded)"),
        );
    }
    text
}

const INFALLIBLE: &str = "a string takes everything";

fn section(text: &mut String, title: &str, body: &str) {
    write!(text, "\n{title}:\n{}", paragraph(body)).expect(INFALLIBLE);
}

/// Such as `Reasoning summary`.
fn capitalised(word: &str) -> String {
    let mut characters = visible(word).replace('_', " ").chars().collect::<Vec<_>>();
    if let Some(first) = characters.first_mut() {
        first.make_ascii_uppercase();
    }
    characters.into_iter().collect()
}
