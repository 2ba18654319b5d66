//! `coder aibridge usage`.

use clap::{Args, ValueEnum};
use gateway_api_types::{Usage as Row, UsagePage};

use super::export::{self, Form};
use super::filters::{Parameter, borrowed};
use super::{NAME, user};
use crate::commands::Context;
use crate::complete;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::output::{Column, ExportFormat, one_line};

const PATH: [&str; 2] = ["aibridge", "usage"];

/// Sum up tokens and requests by whole days, UTC, and by user, model and client.
#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// What to sum up by, separated by commas, in the order in which to sort.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        ignore_case = true,
        default_value = "day,user,model,client"
    )]
    by: Vec<Key>,
    /// Only that of this user, by username or id, or me.
    #[arg(long, value_name = "USERNAME|ID|me", add = complete::usernames())]
    initiator: Option<String>,
    /// Only that of this provider, by the name of the instance.
    #[arg(long, value_name = "NAME", add = complete::providers())]
    provider: Option<String>,
    /// Only that of this model, as it was asked for.
    #[arg(long, value_name = "MODEL", add = complete::models())]
    model: Option<String>,
    /// Only that of this client, such as "Claude Code".
    #[arg(long, value_name = "CLIENT", add = complete::clients())]
    client: Option<String>,
    /// Only that from this day on: a time as in 2026-01-31T12:00:00Z, or how long ago, as in 7d.
    #[arg(long, value_name = "TIME")]
    started_after: Option<Moment>,
    /// Only that before this day, written in the same way; a day that has begun by then counts.
    #[arg(long, value_name = "TIME")]
    started_before: Option<Moment>,
    /// Columns of the table, separated by commas [default: what is summed up by, requests, errors, and tokens].
    #[arg(short, long, value_enum, value_delimiter = ',', ignore_case = true)]
    column: Vec<UsageColumn>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: ExportFormat,
}

/// What can be summed up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Key {
    Day,
    User,
    Provider,
    Model,
    Client,
}

/// What can be shown of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum UsageColumn {
    #[value(name = "day")]
    Day,
    #[value(name = "user", alias = "initiator")]
    User,
    #[value(name = "provider")]
    Provider,
    #[value(name = "model")]
    Model,
    #[value(name = "client")]
    Client,
    #[value(name = "requests")]
    Requests,
    #[value(name = "errors")]
    Errors,
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
    // Milliseconds on average until answers began.
    #[value(name = "first byte ms", alias = "first_byte_ms")]
    FirstByteMs,
}

/// Shown behind the keys unless others are asked for.
const SUMS: [UsageColumn; 6] = [
    UsageColumn::Requests,
    UsageColumn::Errors,
    UsageColumn::Input,
    UsageColumn::Output,
    UsageColumn::CacheRead,
    UsageColumn::CacheWrite,
];

// === impl Usage ===

impl Usage {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let client = context.client()?;
        let query = self.query();
        if self.output == ExportFormat::Csv {
            export::copy(context, &client, &PATH, &query, Form::Csv, None).await?;
            return Ok(Exit::Success);
        }
        let page: UsagePage = client.get_with(&PATH, &borrowed(&query)).await?;
        match self.output {
            ExportFormat::Json => context.output.json(&page.results)?,
            _ if page.results.is_empty() => context.output.note("Nothing found."),
            _ => context.output.table(&self.columns(), &page.results)?,
        }
        Ok(Exit::Success)
    }

    fn query(&self) -> Vec<Parameter> {
        let keys: Vec<String> = self.by.iter().map(|key| key.word()).collect();
        let [after, before] =
            [self.started_after, self.started_before].map(|moment| moment.map(|moment| moment.to_string()));
        let given = [
            ("group_by", Some(keys.join(","))),
            ("initiator", self.initiator.clone()),
            ("provider", self.provider.clone()),
            ("model", self.model.clone()),
            ("client", self.client.clone()),
            ("started_after", after),
            ("started_before", before),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    fn columns(&self) -> Vec<UsageColumn> {
        if !self.column.is_empty() {
            return self.column.clone();
        }
        let keys = self.by.iter().map(|key| key.column());
        keys.chain(SUMS).collect()
    }
}

// === impl Key ===

impl Key {
    fn word(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    const fn column(self) -> UsageColumn {
        match self {
            Self::Day => UsageColumn::Day,
            Self::User => UsageColumn::User,
            Self::Provider => UsageColumn::Provider,
            Self::Model => UsageColumn::Model,
            Self::Client => UsageColumn::Client,
        }
    }
}

// === impl UsageColumn ===

impl Column for UsageColumn {
    type Row = Row;

    fn cell(self, row: &Row) -> String {
        let name = |name: &Option<String>| one_line(name.as_deref().unwrap_or_default(), NAME);
        match self {
            Self::Day => name(&row.day),
            Self::User => row.initiator.as_ref().map(user).unwrap_or_default(),
            Self::Provider => name(&row.provider_name),
            Self::Model => name(&row.model),
            Self::Client => name(&row.client),
            Self::Requests => row.requests.to_string(),
            Self::Errors => row.errors.to_string(),
            Self::Input => row.tokens.input_tokens.to_string(),
            Self::Output => row.tokens.output_tokens.to_string(),
            Self::CacheRead => row.tokens.cache_read_input_tokens.to_string(),
            Self::CacheWrite => row.tokens.cache_write_input_tokens.to_string(),
            Self::Reasoning => row.tokens.reasoning_tokens.to_string(),
            Self::FirstByteMs => row.first_byte_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        }
    }

    fn is_number(self) -> bool {
        self >= Self::Requests
    }
}
