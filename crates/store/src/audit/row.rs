//! An entry as it is stored.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::str::FromStr;

use gateway_core::Timestamp;
use gateway_core::audit::{Actor, Change, Changes, Entry, Source, Target};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::error::StoreError;
use crate::rows::{bad_row, value};

/// The columns of [`AuditRow`].
macro_rules! audit_columns {
    () => {
        "id, at, actor_kind, actor_id, actor_username, actor_token_id, address, user_agent, action, target_kind, \
         target_id, target_name, changes, detail"
    };
}
pub(super) use audit_columns;

#[derive(FromRow)]
pub(super) struct AuditRow {
    id: String,
    at: i64,
    actor_kind: String,
    actor_id: Option<String>,
    actor_username: Option<String>,
    actor_token_id: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    action: String,
    target_kind: String,
    target_id: Option<String>,
    target_name: Option<String>,
    changes: String,
    detail: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ChangeJson {
    before: Option<String>,
    after: Option<String>,
}

const AUDIT_LOG: &str = "audit_log";

impl TryFrom<AuditRow> for Entry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let id = row.id.as_str();
        let address = optional("address", id, row.address.as_deref())?;
        let changes =
            changes_from_json(&row.changes).map_err(|error| bad_row(AUDIT_LOG, "changes", id, error))?;
        Ok(Self {
            id: value(AUDIT_LOG, "id", id, id)?,
            at: Timestamp::from_micros(row.at),
            actor: Actor {
                kind: value(AUDIT_LOG, "actor_kind", id, &row.actor_kind)?,
                id: optional("actor_id", id, row.actor_id.as_deref())?,
                username: row.actor_username,
                token_id: optional("actor_token_id", id, row.actor_token_id.as_deref())?,
            },
            source: Source::new(address, row.user_agent.as_deref().map(str::as_bytes)),
            action: value(AUDIT_LOG, "action", id, &row.action)?,
            target: Target {
                kind: value(AUDIT_LOG, "target_kind", id, &row.target_kind)?,
                id: row.target_id,
                name: row.target_name,
            },
            changes,
            detail: row.detail,
        })
    }
}

fn optional<T>(column: &'static str, id: &str, text: Option<&str>) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Into<Box<dyn StdError + Send + Sync>>>,
{
    text.map(|text| value(AUDIT_LOG, column, id, text)).transpose()
}

pub(super) fn changes_to_json(changes: &Changes) -> String {
    let changes: BTreeMap<&str, ChangeJson> = changes
        .iter()
        .map(|(field, change)| {
            let Change { before, after } = change.clone();
            (field, ChangeJson { before, after })
        })
        .collect();
    serde_json::to_string(&changes).expect("text under text makes JSON")
}

fn changes_from_json(text: &str) -> Result<Changes, serde_json::Error> {
    let changes: BTreeMap<String, ChangeJson> = serde_json::from_str(text)?;
    Ok(changes
        .into_iter()
        .map(|(field, ChangeJson { before, after })| (field, Change { before, after }))
        .collect())
}
