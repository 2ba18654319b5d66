//! The sums by day, user, provider, model and client, kept up to date in the transaction that ends an interception, so
//! that asking for the usage of a month reads none of its interceptions.

use std::collections::BTreeMap;

use gateway_core::Timestamp;
use gateway_core::interception::{End, Outcome};
use sqlx::FromRow;

use super::batch::{ManyRows, Returned, Value, WriteRows, Writer};
use super::ends::tokens;
use crate::fault::Fault;

const DAY_MICROS: i64 = 86_400_000_000;

/// The columns of [`ClosedRow`].
macro_rules! closed_columns {
    () => {
        "id, initiator_id, initiator_username, provider_name, model, client, started_at"
    };
}
pub(super) use closed_columns;

/// What an interception that has just ended counts under.
#[derive(Debug, FromRow)]
pub(super) struct ClosedRow {
    pub(super) id: String,
    initiator_id: String,
    initiator_username: String,
    provider_name: String,
    model: String,
    client: String,
    started_at: i64,
}

/// What one interception adds, or several do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    requests: i64,
    errors: i64,
    input: i64,
    output: i64,
    cache_read: i64,
    cache_write: i64,
    reasoning: i64,
}

/// What is to be added to the sums. In the order of the key, so that two replicas cannot wait for each other.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    /// With the username to show.
    sums: BTreeMap<Key, (String, Sums)>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    day: i64,
    initiator_id: String,
    provider_name: String,
    model: String,
    client: String,
}

/// How the sums of a row are added to those that are there.
macro_rules! add_up {
    () => {
        " ON CONFLICT (day, initiator_id, provider_name, model, client) DO UPDATE SET \
         initiator_username = excluded.initiator_username, requests = aibridge_usage_days.requests + excluded.requests, \
         errors = aibridge_usage_days.errors + excluded.errors, \
         input_tokens = aibridge_usage_days.input_tokens + excluded.input_tokens, \
         output_tokens = aibridge_usage_days.output_tokens + excluded.output_tokens, \
         cache_read_input_tokens = aibridge_usage_days.cache_read_input_tokens + excluded.cache_read_input_tokens, \
         cache_write_input_tokens = aibridge_usage_days.cache_write_input_tokens + excluded.cache_write_input_tokens, \
         reasoning_tokens = aibridge_usage_days.reasoning_tokens + excluded.reasoning_tokens"
    };
}

macro_rules! insert_sums {
    () => {
        "INSERT INTO aibridge_usage_days (day, initiator_id, provider_name, model, client, initiator_username, requests, \
         errors, input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_tokens) "
    };
}

static ADD: WriteRows = WriteRows::new(
    ManyRows::new(
        concat!(insert_sums!(), "SELECT * FROM "),
        13,
        concat!(" WHERE column1 IS NOT NULL", add_up!()),
    ),
    &[concat!(
        insert_sums!(),
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        add_up!()
    )],
);

/// Days since the Unix epoch, UTC.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY_MICROS)
}

/// The beginning of a day.
pub(super) fn beginning_of(day: i64) -> Timestamp {
    Timestamp::from_micros(day.saturating_mul(DAY_MICROS))
}

// === impl ClosedRow ===

impl Returned for ClosedRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            initiator_id: row.get("initiator_id")?,
            initiator_username: row.get("initiator_username")?,
            provider_name: row.get("provider_name")?,
            model: row.get("model")?,
            client: row.get("client")?,
            started_at: row.get("started_at")?,
        })
    }
}

// === impl Sums ===

impl Sums {
    /// An interception that was closed as interrupted.
    pub(super) const INTERRUPTED: Self = Self {
        requests: 1,
        errors: 1,
        input: 0,
        output: 0,
        cache_read: 0,
        cache_write: 0,
        reasoning: 0,
    };

    pub(super) fn of(end: &End) -> Self {
        let usage = end.usage.as_ref();
        Self {
            requests: 1,
            errors: i64::from(is_error(end.outcome)),
            input: usage.map_or(0, |usage| tokens(usage.input)),
            output: usage.map_or(0, |usage| tokens(usage.output)),
            cache_read: usage.map_or(0, |usage| tokens(usage.cache_read_input)),
            cache_write: usage.map_or(0, |usage| tokens(usage.cache_write_input)),
            reasoning: usage.and_then(|usage| usage.reasoning).map_or(0, tokens),
        }
    }

    /// What is to be added where `other` was already.
    #[must_use]
    pub(super) fn instead_of(mut self, other: &Self) -> Self {
        self.plus(other, -1);
        self
    }

    fn plus(&mut self, other: &Self, sign: i64) {
        self.requests += sign * other.requests;
        self.errors += sign * other.errors;
        self.input += sign * other.input;
        self.output += sign * other.output;
        self.cache_read += sign * other.cache_read;
        self.cache_write += sign * other.cache_write;
        self.reasoning += sign * other.reasoning;
    }
}

/// Whether somebody should look at it. That the client went away, or was sent away, is no error.
fn is_error(outcome: Outcome) -> bool {
    match outcome {
        Outcome::ProviderError | Outcome::ProviderBroke | Outcome::GatewayError | Outcome::Interrupted => {
            true
        }
        Outcome::Completed | Outcome::ClientGone | Outcome::Revoked => false,
    }
}

// === impl Rollup ===

impl Rollup {
    pub(super) fn add(&mut self, row: ClosedRow, sums: &Sums) {
        let key = Key {
            day: day_of(Timestamp::from_micros(row.started_at)),
            initiator_id: row.initiator_id,
            provider_name: row.provider_name,
            model: row.model,
            client: row.client,
        };
        let known = self
            .sums
            .entry(key)
            .or_insert_with(|| (row.initiator_username, Sums::default()));
        known.1.plus(sums, 1);
    }

    pub(super) async fn write(&self, writer: &mut impl Writer) -> Result<(), Fault> {
        let mut rows = Vec::with_capacity(self.sums.len() * 13);
        for (key, (username, sums)) in &self.sums {
            rows.extend::<[Value<'_>; 13]>([
                key.day.into(),
                key.initiator_id.as_str().into(),
                key.provider_name.as_str().into(),
                key.model.as_str().into(),
                key.client.as_str().into(),
                username.as_str().into(),
                sums.requests.into(),
                sums.errors.into(),
                sums.input.into(),
                sums.output.into(),
                sums.cache_read.into(),
                sums.cache_write.into(),
                sums.reasoning.into(),
            ]);
        }
        writer.write(&ADD, &rows).await
    }
}
