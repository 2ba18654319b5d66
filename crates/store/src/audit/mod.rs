//! The audit log: its reads, and what the writes of the other areas put into it.
//!
//! Each write that somebody asks for leaves one entry, through [`Tx::audit`](crate::db::Tx::audit), in its own
//! transaction: a write without its entry cannot be, nor an entry without its write. A write that finds nothing to
//! change leaves none, and neither does housekeeping (uses noted, what has expired removed).

use std::fmt::Write as _;

use gateway_core::Timestamp;
use gateway_core::audit::{Action, AuditId, Entry};
use sqlx::AssertSqlSafe;

use crate::db::{Db, on};
use crate::error::StoreError;
use crate::text;

pub(crate) mod describe;
mod row;
pub(crate) mod write;

use row::{AuditRow, audit_columns};

/// The operations on the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a> {
    db: &'a Db,
}

/// Which entries to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Id of a user, or the username at the time, whatever the case.
    pub actor: Option<String>,
    pub action: Option<Action>,
    /// Id of a user or token, or the name at the time, whatever the case.
    pub target: Option<String>,
    /// Not older than this.
    pub from: Option<Timestamp>,
    /// Older than this.
    pub until: Option<Timestamp>,
    /// Only entries that come after this one in the list, which are the older ones. It need not be there any more.
    pub after: Option<AuditId>,
    /// At most so many; 0: without limit.
    pub limit: u32,
}

// === impl Audit ===

impl<'a> Audit<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    pub async fn list(self, filter: AuditFilter) -> Result<Vec<Entry>, StoreError> {
        let named = [&filter.actor, &filter.target];
        if named.into_iter().flatten().any(|name| !text::is_storable(name)) {
            return Ok(Vec::new());
        }
        let (sql, texts) = list_sql(&filter);
        let limit = if filter.limit == 0 {
            i64::MAX
        } else {
            i64::from(filter.limit)
        };
        self.db
            .read("audit.list", || async {
                let mut conn = self.db.reader().await?;
                // Nothing but fixed parts and placeholders is built into this text.
                let rows = on!(&mut conn, |c| {
                    let mut query = sqlx::query_as::<_, AuditRow>(AssertSqlSafe(sql.as_str()));
                    for text in &texts {
                        query = query.bind(text.as_str());
                    }
                    query.bind(limit).fetch_all(c).await
                })?;
                let entries = rows.into_iter().map(Entry::try_from);
                Ok(entries.collect::<Result<_, _>>()?)
            })
            .await
    }
}

/// The query and its text parameters, of which only the parts stand in it that the filter has: a condition that may be
/// switched off by a parameter would keep both engines from using an index. The last parameter is the limit.
fn list_sql(filter: &AuditFilter) -> (String, Vec<String>) {
    let mut sql = String::from(concat!("SELECT ", audit_columns!(), " FROM audit_log WHERE TRUE"));
    let mut texts = Vec::new();
    let mut add = |condition: &str, values: &[&str]| {
        let mut condition = condition.to_owned();
        for value in values {
            texts.push((*value).to_owned());
            condition = condition.replacen('?', &format!("${}", texts.len()), 1);
        }
        write!(sql, " AND {condition}").expect("a string takes everything");
    };
    if let Some(actor) = &filter.actor {
        let folded = text::fold(actor);
        add("(actor_id = ? OR actor_username_folded = ?)", &[&folded, &folded]);
    }
    if let Some(target) = &filter.target {
        // Ids of tokens differ by case.
        add(
            "(target_id = ? OR target_name_folded = ?)",
            &[target, &text::fold(target)],
        );
    }
    if let Some(action) = filter.action {
        add("action = ?", &[action.as_str()]);
    }
    let oldest = filter.from.map(AuditId::first_at);
    let newest = filter
        .until
        .map(AuditId::first_at)
        .into_iter()
        .chain(filter.after)
        .min();
    if let Some(oldest) = oldest {
        add("id >= ?", &[&oldest.to_string()]);
    }
    if let Some(newest) = newest {
        add("id < ?", &[&newest.to_string()]);
    }
    let limit = texts.len() + 1;
    write!(sql, " ORDER BY id DESC LIMIT ${limit}").expect("a string takes everything");
    (sql, texts)
}
