//! `coder aibridge interceptions show`.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use gateway_api_types::{Interception, InterceptionsPage};
use uuid::Uuid;

use super::super::export::{self, Form};
use super::super::filters::borrowed;
use super::super::{short_id, user};
use super::outcome;
use crate::client::Client;
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::{ExportFormat, paragraph, time, visible};

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
    for (title, value) in facts(found) {
        if !value.is_empty() {
            writeln!(text, "{:<15} {}", format!("{title}:"), visible(&value)).expect(INFALLIBLE);
        }
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

fn facts(found: &Interception) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let error = [&found.error_type, &found.error_message];
    let error: Vec<&str> = error.into_iter().flatten().map(String::as_str).collect();
    let mut facts = vec![
        ("id", found.id.to_string()),
        ("started at", time(found.started_at)),
        ("first byte at", found.first_byte_at.map(time).unwrap_or_default()),
        ("ended at", found.ended_at.map(time).unwrap_or_default()),
        ("user", user(&found.initiator)),
        ("token", found.api_key_id.clone()),
        ("provider", found.provider_name.clone()),
        ("route", found.route.clone()),
        (
            "credential",
            format!("{} {}", found.credential_kind, found.credential_hint),
        ),
        ("client", found.client.clone()),
        ("user agent", text(&found.user_agent)),
        ("model", found.model.clone()),
        ("answered model", text(&found.answered_model)),
        ("session", found.session_id.clone()),
        ("continues", id(found.thread_parent_id)),
        (
            "status",
            found.status.map(|status| status.to_string()).unwrap_or_default(),
        ),
        ("outcome", outcome(found.outcome.as_deref())),
        ("stop reason", text(&found.stop_reason)),
        ("error", error.join(": ")),
        ("answer", text(&found.provider_response_id)),
        ("marks", found.marks.join(", ")),
    ];
    for usage in &found.token_usages {
        let reasoning = usage.reasoning_tokens.map(|count| count.to_string());
        facts.extend([
            ("input", usage.input_tokens.to_string()),
            ("output", usage.output_tokens.to_string()),
            ("cache read", usage.cache_read_input_tokens.to_string()),
            ("cache write", usage.cache_write_input_tokens.to_string()),
            ("reasoning", reasoning.unwrap_or_default()),
        ]);
    }
    facts
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
