//! The writes on the audit log.

use std::collections::BTreeMap;

use gateway_core::audit::{Action, Actor, AuditId, Change, Changes, Entry, Source, Target, TargetKind};
use gateway_core::{Timestamp, token};

use super::Audit;
use super::row::changes_to_json;
use crate::author::Author;
use crate::db::{Tx, on};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::rows::bad_row;
use crate::text;

const INSERT: &str = "INSERT INTO audit_log (id, at, actor_kind, actor_id, actor_username, actor_username_folded, \
    actor_token_id, address, user_agent, action, target_kind, target_id, target_name, target_name_folded, changes, \
    detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
const REMOVE_BEFORE: &str =
    "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id < $1 ORDER BY id LIMIT $2)";
const NOTE_CONFIGURATION: &str = "INSERT INTO configuration (id, options, noted_at) VALUES (1, $1, $2) \
    ON CONFLICT (id) DO UPDATE SET options = excluded.options, noted_at = excluded.noted_at";

/// What a transaction knows of its author, for the entries that it makes.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    pub(crate) source: Source,
    pub(crate) detail: Option<&'static str>,
}

// === impl Tx ===

impl Tx {
    /// Notes what this transaction does.
    pub(crate) async fn audit(
        &mut self,
        action: Action,
        target: Target,
        changes: Changes,
    ) -> Result<(), Fault> {
        let Signature {
            at,
            actor,
            source,
            detail,
        } = &self.signature;
        let entry = Entry {
            id: AuditId::generate(*at),
            at: *at,
            actor: actor.clone(),
            source: source.clone(),
            action,
            target,
            changes,
            detail: detail.map(str::to_owned),
        };
        insert(self, &entry).await
    }
}

// === impl Audit ===

impl Audit<'_> {
    /// Notes acts that are no writes by themselves, such as failed logins.
    pub async fn note(self, entries: &[Entry]) -> Result<(), StoreError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        self.db
            .write("audit.note", || async {
                let mut tx = self.db.begin(&Author::System, first.at).await?;
                let outcome = async {
                    for entry in entries {
                        insert(&mut tx, entry).await?;
                    }
                    Ok(())
                }
                .await;
                tx.end(outcome).await
            })
            .await
    }

    /// Compares the options that the server starts with to those of the last start, and notes what is different. The
    /// values must hold no secret. False if nothing is.
    pub async fn note_configuration(
        self,
        options: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.db
            .write("audit.note_configuration", || async {
                let mut tx = self.db.begin(&Author::System, now).await?;
                let outcome = note_configuration(&mut tx, options, now).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Removes up to `limit` entries that are older than `cutoff`, the oldest first; returns how many.
    pub async fn remove_before(self, cutoff: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.db
            .write("audit.remove_before", || async {
                let mut tx = self.db.begin(&Author::System, cutoff).await?;
                let removed = on!(tx.conn(), |c| sqlx::query(REMOVE_BEFORE)
                    .bind(AuditId::first_at(cutoff).to_string())
                    .bind(i64::from(limit))
                    .execute(c)
                    .await
                    .map(|done| done.rows_affected()));
                tx.end(removed.map_err(Fault::from)).await
            })
            .await
    }
}

/// Text is mended rather than refused: an entry must not fail the act that it tells of. Nothing keeps anybody from giving
/// a token's whole text as a name, so that tokens are reduced to their ids here.
async fn insert(tx: &mut Tx, entry: &Entry) -> Result<(), Fault> {
    let storable = |text: &str| text::mended(&token::redact(text));
    let mended = |text: &Option<String>| text.as_deref().map(storable);
    let folded = |text: &Option<String>| {
        text.as_deref()
            .map(|text| text::mended(&text::fold(&storable(text))))
    };
    let Entry { actor, target, .. } = entry;
    on!(tx.conn(), |c| sqlx::query(INSERT)
        .bind(entry.id.to_string())
        .bind(entry.at.as_micros())
        .bind(actor.kind.as_str())
        .bind(actor.id.map(|id| id.to_string()))
        .bind(mended(&actor.username))
        .bind(folded(&actor.username))
        .bind(actor.token_id.map(|id| id.to_string()))
        .bind(entry.source.address().map(|address| address.to_string()))
        .bind(entry.source.user_agent())
        .bind(entry.action.as_str())
        .bind(target.kind.as_str())
        .bind(mended(&target.id))
        .bind(mended(&target.name))
        .bind(folded(&target.name))
        .bind(token::redact(&changes_to_json(&entry.changes)))
        .bind(mended(&entry.detail))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

async fn note_configuration(
    tx: &mut Tx,
    options: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let stored: Option<String> = on!(tx.conn(), |c| sqlx::query_scalar(
        "SELECT options FROM configuration WHERE id = 1"
    )
    .fetch_optional(c)
    .await)?;
    let last: BTreeMap<String, String> = match &stored {
        Some(json) => {
            serde_json::from_str(json).map_err(|error| bad_row("configuration", "options", "1", error))?
        }
        None => BTreeMap::new(),
    };
    if last == *options {
        return Ok(false);
    }
    let changes: Changes = last
        .keys()
        .chain(options.keys())
        .map(|name| (name.clone(), last.get(name), options.get(name)))
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| {
            let (before, after) = (before.cloned(), after.cloned());
            (name, Change { before, after })
        })
        .collect();
    on!(tx.conn(), |c| sqlx::query(NOTE_CONFIGURATION)
        .bind(serde_json::to_string(options).expect("text under text makes JSON"))
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(drop))?;
    let target = Target {
        kind: TargetKind::Configuration,
        id: None,
        name: None,
    };
    tx.audit(Action::ConfigurationChanged, target, changes).await?;
    Ok(true)
}
