//! `coder aibridge sessions show`.

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, ValueEnum as _};
use gateway_api_types::{AiSession, AiSessionDetail, AiSessionsPage, AiThread};

use super::super::export::{self, Form};
use super::super::filters::borrowed;
use super::super::{PROMPT, short_id};
use super::SessionColumn;
use crate::client::Client;
use crate::commands::Context;
use crate::exit::Exit;
use crate::output::{Column as _, ExportFormat, one_line, time, visible};

/// As many threads as the server gives at once.
const PAGE: usize = 200;

/// Show a session with its threads.
///
/// CSV holds its interceptions.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The id, or its beginning as the list shows it, or the id that the client gave the session.
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
            ExportFormat::Table => context.output.text(&page(found))?,
            ExportFormat::Json => context.output.json(&found)?,
            ExportFormat::Csv => {
                let query = [
                    ("initiator", found.head.initiator.id.to_string()),
                    ("session_id", found.head.session_id),
                ];
                let path = ["aibridge", "interceptions"];
                export::copy(context, &client, &path, &query, Form::Csv, None).await?;
            }
        }
        Ok(Exit::Success)
    }
}

/// By the id, with all its threads.
async fn find(client: &Client, id: &str) -> anyhow::Result<AiSessionDetail> {
    let mut wanted = id.to_owned();
    if let Some(query) = short_id::beginning(id, "after_id") {
        let page: AiSessionsPage = client
            .get_with(&["aibridge", "sessions"], &borrowed(&query))
            .await?;
        if let Some(found) = short_id::only(id, page.sessions, |one| one.head.id.to_string())? {
            wanted = found.head.id.to_string();
        }
    }
    let path = ["aibridge", "sessions", &wanted];
    let limit = PAGE.to_string();
    let mut found: Option<AiSessionDetail> = None;
    loop {
        let last = found
            .as_ref()
            .and_then(|found| Some(found.threads.last()?.id.to_string()));
        let mut query = vec![("limit", limit.as_str())];
        query.extend(last.as_deref().map(|id| ("after_id", id)));
        let Some(page) = client.find_with::<AiSessionDetail>(&path, &query).await? else {
            bail!("there is no session with the id {id:?}; see `coder aibridge sessions list`");
        };
        let is_last = page.threads.is_empty();
        match &mut found {
            None => found = Some(page),
            Some(found) => found.threads.extend(page.threads),
        }
        if let Some(found) = found.take_if(|_| is_last) {
            return Ok(found);
        }
    }
}

const INFALLIBLE: &str = "a string takes everything";

/// One `Title: value` a line for what there is, then the threads.
fn page(found: AiSessionDetail) -> String {
    let mut text = String::new();
    let session = AiSession {
        threads: found.threads.len() as u64,
        head: found.head,
    };
    let columns = SessionColumn::value_variants()
        .iter()
        .filter(|column| !matches!(column, SessionColumn::Id | SessionColumn::LastPrompt));
    for column in columns {
        let value = visible(&column.cell(&session));
        if !value.is_empty() {
            let title = column.title().replace("full id", "id");
            writeln!(text, "{:<15} {value}", format!("{title}:")).expect(INFALLIBLE);
        }
    }
    for thread in &found.threads {
        text.push('\n');
        add_thread(&mut text, thread);
    }
    text
}

fn add_thread(text: &mut String, thread: &AiThread) {
    let prompt = one_line(thread.prompt.as_deref().unwrap_or("(no prompt)"), 2 * PROMPT);
    writeln!(text, "{}  {}", time(thread.started_at), visible(&prompt)).expect(INFALLIBLE);
    for action in &thread.agentic_actions {
        let tokens = &action.token_usage;
        let mut line = format!(
            "  {}  {}: {} in, {} out",
            short_id::shorten(action.interception_id),
            action.model,
            tokens.input_tokens,
            tokens.output_tokens
        );
        if action.ended_at.is_none() {
            line.push_str(", in flight");
        }
        if !action.tool_calls.is_empty() {
            let names: Vec<&str> = action.tool_calls.iter().map(|call| call.tool.as_str()).collect();
            write!(line, ", called {}", one_line(&names.join(", "), 2 * PROMPT)).expect(INFALLIBLE);
        }
        writeln!(text, "{}", visible(&line)).expect(INFALLIBLE);
    }
    if thread.is_cut {
        text.push_str("  (there is more of this thread than is shown)\n");
    }
    let error = [&thread.error_type, &thread.error_message];
    let error: Vec<&str> = error.into_iter().flatten().map(String::as_str).collect();
    if !error.is_empty() {
        writeln!(text, "  error: {}", visible(&error.join(": "))).expect(INFALLIBLE);
    }
}
