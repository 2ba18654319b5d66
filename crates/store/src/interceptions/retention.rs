//! Removing what is old. In small parts, so that no commit of records waits for long.

use gateway_core::Timestamp;

use super::Interceptions;
use super::filter::first_id;
use super::rollup::day_of;
use super::rows::unsigned;
use crate::db::{Tx, on};
use crate::error::StoreError;
use crate::fault::Fault;

/// The last of the oldest interceptions that go now.
const LAST: &str = "SELECT MAX(oldest.id), COUNT(*) FROM (SELECT id FROM aibridge_interceptions WHERE id < $1 \
    ORDER BY id LIMIT $2) AS oldest";

/// Children first. Up to that id nothing is to be left, so no list of ids is needed.
const REMOVE: [&str; 5] = [
    "DELETE FROM aibridge_user_prompts WHERE interception_id <= $1",
    "DELETE FROM aibridge_token_usages WHERE interception_id <= $1",
    "DELETE FROM aibridge_tool_usages WHERE interception_id <= $1",
    "DELETE FROM aibridge_model_thoughts WHERE interception_id <= $1",
    "DELETE FROM aibridge_interceptions WHERE id <= $1",
];

/// A session is known by its first interception, so those that lose it go by the next one, or go. A replica that
/// records something of such a session in this very moment may find it still there; then it is listed again from the
/// next interception on.
const MOVE_SESSIONS: &str = "UPDATE aibridge_sessions SET id = (SELECT MIN(i.id) FROM aibridge_interceptions AS i \
    WHERE i.initiator_id = aibridge_sessions.initiator_id AND i.session_id = aibridge_sessions.session_id) \
    WHERE id <= $1 AND EXISTS (SELECT 1 FROM aibridge_interceptions AS i \
    WHERE i.initiator_id = aibridge_sessions.initiator_id AND i.session_id = aibridge_sessions.session_id)";
const REMOVE_SESSIONS: &str = "DELETE FROM aibridge_sessions WHERE id <= $1";
const REMOVE_DAYS: &str = "DELETE FROM aibridge_usage_days WHERE day < $1";

// === impl Interceptions ===

impl Interceptions<'_> {
    /// Removes up to `limit` of the oldest interceptions that started before the cutoff, with all that belongs to
    /// them, the sessions of which nothing is left, and the sums of days that were over before it. Returns how many
    /// interceptions went; the caller goes on while there are any.
    pub async fn remove_before(self, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.db
            .write("interceptions.remove_before", || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = remove(&mut tx, cutoff, limit).await;
                tx.end(outcome).await
            })
            .await
    }
}

async fn remove(tx: &mut Tx, cutoff: Timestamp, limit: u32) -> Result<u64, Fault> {
    let (last, count): (Option<String>, i64) = on!(tx.conn(), |c| sqlx::query_as(LAST)
        .bind(first_id(cutoff))
        .bind(i64::from(limit))
        .fetch_one(c)
        .await)?;
    if let Some(last) = last {
        for sql in REMOVE.into_iter().chain([MOVE_SESSIONS, REMOVE_SESSIONS]) {
            on!(tx.conn(), |c| sqlx::query(sql)
                .bind(last.as_str())
                .execute(c)
                .await
                .map(drop))?;
        }
    }
    on!(tx.conn(), |c| sqlx::query(REMOVE_DAYS)
        .bind(day_of(cutoff))
        .execute(c)
        .await
        .map(drop))?;
    Ok(unsigned(count))
}
