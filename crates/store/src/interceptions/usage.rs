//! Sums, and the names that occur in them. All from the sums by day, which are few.

use std::fmt::Write as _;

use gateway_core::{Timestamp, UserId};
use sqlx::FromRow;

use super::Interceptions;
use super::filter::Where;
use super::model::{TokenSums, UsageRow};
use super::read::fetch;
use super::rollup::{beginning_of, day_of};
use super::rows::unsigned;
use crate::error::StoreError;
use crate::rows::value;
use crate::text;

/// What to sum up, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Only that of this user: a choice of the reader, or all that the reader may see.
    pub initiator: Option<UserId>,
    pub provider_name: Option<String>,
    pub model: Option<String>,
    pub client: Option<String>,
    /// From the day on that this is in, UTC.
    pub from: Option<Timestamp>,
    /// Up to the day before the one that this is in, or with it if it is not its beginning.
    pub until: Option<Timestamp>,
    /// In which order to group and sort; none: one row. Days are in order, all else by name.
    pub group_by: Vec<UsageKey>,
    /// The most rows; none, or more than that: [`MAX_USAGE_ROWS`].
    pub limit: Option<u32>,
}

/// What usage is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKey {
    Day,
    User,
    /// The provider instance, by its name.
    Provider,
    /// As asked for.
    Model,
    Client,
}

const INFALLIBLE: &str = "a string takes everything";

/// The most rows of usage in one answer.
pub const MAX_USAGE_ROWS: u32 = 100_000;

#[derive(FromRow)]
struct Row {
    day: Option<i64>,
    initiator_id: Option<String>,
    initiator_username: Option<String>,
    provider_name: Option<String>,
    model: Option<String>,
    client: Option<String>,
    requests: i64,
    errors: i64,
    #[sqlx(flatten)]
    tokens: TokenSumsRow,
    first_bytes: i64,
    first_byte_micros: i64,
}

/// Sums of tokens.
#[derive(FromRow)]
pub(super) struct TokenSumsRow {
    input: i64,
    output: i64,
    cache_read_input: i64,
    cache_write_input: i64,
    reasoning: i64,
}

/// The columns of [`TokenSumsRow`], summed up from a table with such columns.
macro_rules! token_sums {
    ($table:literal) => {
        concat!(
            "CAST(COALESCE(SUM(",
            $table,
            ".input_tokens), 0) AS BIGINT) AS input, CAST(COALESCE(SUM(",
            $table,
            ".output_tokens), 0) AS BIGINT) AS output, CAST(COALESCE(SUM(",
            $table,
            ".cache_read_input_tokens), 0) AS BIGINT) AS cache_read_input, CAST(COALESCE(SUM(",
            $table,
            ".cache_write_input_tokens), 0) AS BIGINT) AS cache_write_input, CAST(COALESCE(SUM(",
            $table,
            ".reasoning_tokens), 0) AS BIGINT) AS reasoning"
        )
    };
}
pub(super) use token_sums;

// === impl Interceptions ===

impl Interceptions<'_> {
    /// At most as many as [`UsageQuery::most_rows`] says.
    pub async fn usage(self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let Some(conditions) = query.conditions() else {
            return Ok(Vec::new());
        };
        let sql = query.sql(&conditions);
        self.db
            .read("interceptions.usage", || async {
                let mut search = self.db.search().await?;
                let outcome = fetch::<Row>(search.conn(), &sql, &conditions.args).await;
                let rows = search.end(outcome).await?;
                Ok(rows
                    .into_iter()
                    .map(UsageRow::try_from)
                    .collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Models that were asked for and begin with `prefix`, in order.
    pub async fn models(
        self,
        initiator: Option<UserId>,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.names("interceptions.models", "i.model", initiator, prefix, limit)
            .await
    }

    /// Clients that asked and begin with `prefix`, in order.
    pub async fn clients(
        self,
        initiator: Option<UserId>,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        self.names("interceptions.clients", "i.client", initiator, prefix, limit)
            .await
    }

    async fn names(
        self,
        operation: &'static str,
        column: &'static str,
        initiator: Option<UserId>,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        if !text::is_storable(prefix) {
            return Ok(Vec::new());
        }
        let mut conditions = Where::default();
        conditions.and(
            &format!("{column} <> '' AND SUBSTR({column}, 1, LENGTH($?)) = $?"),
            prefix.to_owned(),
        );
        if let Some(initiator) = initiator {
            conditions.and("i.initiator_id = $?", initiator.to_string());
        }
        let sql = format!(
            "SELECT DISTINCT {column} FROM aibridge_usage_days AS i{} ORDER BY {column} LIMIT {limit}",
            conditions.sql()
        );
        self.db
            .read(operation, || async {
                let mut search = self.db.search().await?;
                let outcome = fetch::<(String,)>(search.conn(), &sql, &conditions.args).await;
                let rows = search.end(outcome).await?;
                Ok(rows.into_iter().map(|row| row.0).collect())
            })
            .await
    }
}

// === impl UsageQuery ===

impl UsageQuery {
    /// None: nothing can match.
    fn conditions(&self) -> Option<Where> {
        let mut conditions = Where::default();
        if let Some(initiator) = self.initiator {
            conditions.and("i.initiator_id = $?", initiator.to_string());
        }
        for (condition, word) in [
            ("i.provider_name = $?", &self.provider_name),
            ("i.model = $?", &self.model),
            ("i.client = $?", &self.client),
        ] {
            if let Some(word) = word {
                if !text::is_storable(word) {
                    return None;
                }
                conditions.and(condition, word.clone());
            }
        }
        Some(conditions)
    }

    fn sql(&self, conditions: &Where) -> String {
        let grouped = |key, column: &str, kind| {
            if self.group_by.contains(&key) {
                column.to_owned()
            } else {
                format!("CAST(NULL AS {kind})")
            }
        };
        let mut sql = format!(
            "SELECT {} AS day, {} AS initiator_id, {} AS initiator_username, {} AS provider_name, {} AS model, \
             {} AS client, CAST(COALESCE(SUM(i.requests), 0) AS BIGINT) AS requests, \
             CAST(COALESCE(SUM(i.errors), 0) AS BIGINT) AS errors, {}, \
             CAST(COALESCE(SUM(i.first_bytes), 0) AS BIGINT) AS first_bytes, \
             CAST(COALESCE(SUM(i.first_byte_micros), 0) AS BIGINT) AS first_byte_micros FROM aibridge_usage_days AS i{}",
            grouped(UsageKey::Day, "i.day", "BIGINT"),
            grouped(UsageKey::User, "i.initiator_id", "TEXT"),
            grouped(UsageKey::User, "MAX(i.initiator_username)", "TEXT"),
            grouped(UsageKey::Provider, "i.provider_name", "TEXT"),
            grouped(UsageKey::Model, "i.model", "TEXT"),
            grouped(UsageKey::Client, "i.client", "TEXT"),
            token_sums!("i"),
            conditions.sql(),
        );
        // Numbers of our own making, so they need no placeholder, of which the others are all text.
        if let Some(from) = self.from {
            write!(sql, " AND i.day >= {}", day_of(from)).expect(INFALLIBLE);
        }
        if let Some(until) = self.until {
            let whole_days = day_of(Timestamp::from_micros(until.as_micros().saturating_sub(1)));
            write!(sql, " AND i.day <= {whole_days}").expect(INFALLIBLE);
        }
        let columns = self.group_by.iter().map(|key| key.column()).collect::<Vec<_>>();
        if !columns.is_empty() {
            let columns = columns.join(", ");
            write!(sql, " GROUP BY {columns} ORDER BY {columns}").expect(INFALLIBLE);
        }
        sql + &format!(" LIMIT {}", self.most_rows())
    }

    /// How many rows there are at most.
    pub fn most_rows(&self) -> u32 {
        self.limit.unwrap_or(MAX_USAGE_ROWS).min(MAX_USAGE_ROWS)
    }
}

impl UsageKey {
    const fn column(self) -> &'static str {
        match self {
            Self::Day => "i.day",
            Self::User => "i.initiator_id",
            Self::Provider => "i.provider_name",
            Self::Model => "i.model",
            Self::Client => "i.client",
        }
    }
}

impl TryFrom<Row> for UsageRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let initiator = row
            .initiator_id
            .map(|id| value("aibridge_usage_days", "initiator_id", &id, &id))
            .transpose()?;
        Ok(Self {
            day: row.day.map(beginning_of),
            initiator_id: initiator,
            initiator_username: row.initiator_username,
            provider_name: row.provider_name,
            model: row.model,
            client: row.client,
            requests: unsigned(row.requests),
            errors: unsigned(row.errors),
            tokens: row.tokens.into(),
            first_bytes: unsigned(row.first_bytes),
            first_byte_micros: unsigned(row.first_byte_micros),
        })
    }
}

impl From<TokenSumsRow> for TokenSums {
    fn from(row: TokenSumsRow) -> Self {
        Self {
            input: unsigned(row.input),
            output: unsigned(row.output),
            cache_read_input: unsigned(row.cache_read_input),
            cache_write_input: unsigned(row.cache_write_input),
            reasoning: unsigned(row.reasoning),
        }
    }
}
