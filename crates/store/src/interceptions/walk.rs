//! Going through interceptions or sessions, newest first.
//!
//! To what a filter asks beyond user, time and session no index leads, since each would make every commit dearer. So what
//! may match is looked at one by one, in parts: each is a statement of its own that looks at so many and returns those
//! that match. Between two of them the reader may have had enough, and can go on from there later.

use std::time::{Duration, Instant};

use gateway_core::InterceptionId;
use sqlx::FromRow;

use super::filter::Where;
use super::read::fetch;
use super::rows::unsigned;
use crate::db::Conn;
use crate::error::StoreError;
use crate::fault::Fault;
use crate::rows::value;

/// How many are looked at in the first part, and at most in one. Most pages are full after the first.
const FIRST: u32 = 64;
const MOST: u32 = 4096;

/// Some of what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// The time ran out before the page was full. Everything down to this id has been looked at, and what comes after it
    /// has not.
    pub stopped_at: Option<InterceptionId>,
}

/// What to go through, and what of it matches.
#[derive(Debug)]
pub(super) struct Walk {
    /// `i` for interceptions, `s` for sessions.
    pub(super) alias: &'static str,
    /// Its table and the columns that `matching` needs beside the three of [`Candidate`].
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    /// Of what is gone through. An index leads there.
    pub(super) conditions: Where,
    /// Conditions on each, beginning with ` AND `; their arguments are in `conditions`. Empty: all match.
    pub(super) matching: String,
}

/// An interception, or a session by its first one.
#[derive(Debug, FromRow)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) initiator_id: String,
    pub(super) session_id: String,
    /// How many were looked at; of the last row, which is about the part and stands for none.
    looked_at: Option<i64>,
}

// === impl Walk ===

impl Walk {
    /// Leaves out what does not come before this id in time.
    pub(super) fn before(&mut self, id: &str) {
        self.conditions
            .and(&format!("{}.id < $?", self.alias), id.to_owned());
    }

    pub(super) fn only_of(&mut self, initiator: String) {
        self.conditions
            .and(&format!("{}.initiator_id = $?", self.alias), initiator);
    }

    /// Up to `limit` of those that match and come after `after`, and where it stopped if the time ran out. At least one
    /// part is looked at.
    pub(super) async fn run(
        &self,
        conn: &mut Conn,
        after: Option<InterceptionId>,
        limit: u32,
        patience: Duration,
    ) -> Result<(Vec<Candidate>, Option<String>), Fault> {
        let begin = Instant::now();
        let mut found = Vec::new();
        let mut after = after.map(|id| id.to_string());
        let mut size = if self.matching.is_empty() { limit } else { FIRST };
        loop {
            let missing = limit - u32::try_from(found.len()).unwrap_or(limit).min(limit);
            let before = begin.elapsed();
            let (sql, args) = self.part(after.as_deref(), size, missing);
            let mut rows: Vec<Candidate> = fetch(conn, &sql, &args).await?;
            let place = rows.iter().position(|row| row.looked_at.is_some());
            let last = place.map(|place| rows.swap_remove(place));
            rows.sort_unstable_by(|a, b| b.id.cmp(&a.id));
            let is_full = rows.len() >= missing as usize;
            found.append(&mut rows);
            let last = last.filter(|last| !is_full && last.looked_at >= Some(size.into()));
            let Some(last) = last else {
                return Ok((found, None));
            };
            let now = begin.elapsed();
            if now >= patience {
                return Ok((found, Some(last.id)));
            }
            after = Some(last.id);
            size = next_size(size, now.saturating_sub(before), patience.saturating_sub(now));
        }
    }

    /// How many match, counted up to `cap` and for so long, and whether there may be more.
    pub(super) async fn count(
        &self,
        conn: &mut Conn,
        cap: u32,
        patience: Duration,
    ) -> Result<(u64, bool), Fault> {
        if self.matching.is_empty() {
            let sql = format!(
                "SELECT COUNT(*) FROM (SELECT 1 AS one FROM {} AS {}{} LIMIT {}) AS counted",
                self.table,
                self.alias,
                self.conditions.sql(),
                u64::from(cap) + 1
            );
            let rows: Vec<(i64,)> = fetch(conn, &sql, &self.conditions.args).await?;
            let count = rows.first().map_or(0, |row| unsigned(row.0));
            return Ok((count.min(cap.into()), count > cap.into()));
        }
        let (found, stopped_at) = self.run(conn, None, cap.saturating_add(1), patience).await?;
        let count = found.len() as u64;
        Ok((count.min(cap.into()), count > cap.into() || stopped_at.is_some()))
    }

    /// The statement that looks at the next ones. The second half of it is a row about all of them.
    fn part(&self, after: Option<&str>, size: u32, limit: u32) -> (String, Vec<String>) {
        let mut conditions = self.conditions.clone();
        let (alias, table, columns, matching) = (self.alias, self.table, self.columns, &self.matching);
        if let Some(after) = after {
            conditions.and(&format!("{alias}.id < $?"), after.to_owned());
        }
        let sql = format!(
            "WITH {alias} AS MATERIALIZED (SELECT {alias}.id, {alias}.initiator_id, {alias}.session_id{columns} \
             FROM {table} AS {alias}{} ORDER BY {alias}.id DESC LIMIT {size}) \
             SELECT * FROM (SELECT {alias}.id, {alias}.initiator_id, {alias}.session_id, CAST(NULL AS BIGINT) AS looked_at \
             FROM {alias} WHERE TRUE{matching} ORDER BY {alias}.id DESC LIMIT {limit}) AS found \
             UNION ALL SELECT COALESCE(MIN({alias}.id), ''), '', '', COUNT(*) FROM {alias}",
            conditions.sql()
        );
        (sql, conditions.args)
    }
}

/// Twice as many, if that leaves time for more.
fn next_size(size: u32, took: Duration, left: Duration) -> u32 {
    if took * 4 < left {
        (size * 2).min(MOST)
    } else if took > left {
        (size / 2).max(1)
    } else {
        size
    }
}

// === impl Found ===

impl<T> Found<T> {
    pub(super) fn new(rows: Vec<T>, stopped_at: Option<&str>) -> Result<Self, StoreError> {
        let stopped_at = stopped_at
            .map(|id| value("aibridge_interceptions", "id", id, id))
            .transpose()?;
        Ok(Self { rows, stopped_at })
    }

    pub(super) const fn nothing() -> Self {
        Self {
            rows: Vec::new(),
            stopped_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_while_there_is_time() {
        let ms = Duration::from_millis;
        assert_eq!(next_size(64, ms(1), ms(20)), 128);
        assert_eq!(next_size(MOST, ms(1), ms(20)), MOST);
        assert_eq!(next_size(64, ms(6), ms(20)), 64);
        assert_eq!(next_size(64, ms(6), ms(5)), 32);
        assert_eq!(next_size(1, ms(6), ms(5)), 1);
    }
}
