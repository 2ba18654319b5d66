//! The audit log.

use std::collections::BTreeMap;

use gateway_core::audit::Entry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::time::Time;

/// Reply of `GET /api/v2/audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Newest first. As many as were asked for, unless there are no more.
    pub results: Vec<AuditEntry>,
}

/// One administrative act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub id: Uuid,
    pub at: Time,
    pub actor: AuditActor,
    /// Address of the client, of which proxies are believed only as configured. Absent for the server's own acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// At most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Such as `login`, `login_failed`, `logout`, `token_created`, `token_removed`, `user_created`, `user_deleted`,
    /// `user_suspended`, `roles_changed`, `configuration_changed`. A newer server may know more.
    pub action: String,
    pub target: AuditTarget,
    /// By the name of the field; none of them is a secret.
    #[serde(default)]
    pub changes: BTreeMap<String, AuditChange>,
    /// Why an attempt failed, by which command it was done, and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Who did it, as known at the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditActor {
    /// `user`, or `system` for the server itself and commands at its machine.
    pub kind: String,
    /// Of a failed login the account that was tried; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The token that it was done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
}

/// What it was done to, as known at the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditTarget {
    /// `user`, `token`, `session` or `configuration`.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Username or name of the token; the e-mail address of an account that does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A field before and after: `null` if it was not there. Times are RFC 3339, lists have commas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditChange {
    pub before: Option<String>,
    pub after: Option<String>,
}

// === impl AuditEntry ===

impl From<&Entry> for AuditEntry {
    fn from(entry: &Entry) -> Self {
        let changes = entry.changes.iter().map(|(field, change)| {
            let (before, after) = (change.before.clone(), change.after.clone());
            (field.to_owned(), AuditChange { before, after })
        });
        Self {
            id: entry.id.as_uuid(),
            at: entry.at.into(),
            actor: AuditActor {
                kind: entry.actor.kind.to_string(),
                id: entry.actor.id.map(gateway_core::UserId::as_uuid),
                username: entry.actor.username.clone(),
                token_id: entry.actor.token_id.map(|id| id.to_string()),
            },
            address: entry.source.address().map(|address| address.to_string()),
            user_agent: entry.source.user_agent().map(str::to_owned),
            action: entry.action.to_string(),
            target: AuditTarget {
                kind: entry.target.kind.to_string(),
                id: entry.target.id.clone(),
                name: entry.target.name.clone(),
            },
            changes: changes.collect(),
            detail: entry.detail.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::audit::{Action, Actor, AuditId, Changes, Source, Target};
    use gateway_core::{Timestamp, UserId};

    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let at = Timestamp::from_micros(1_700_000_000_000_001);
        let (ann, bob) = (UserId::generate(), UserId::generate());
        let mut entry = Entry {
            id: AuditId::generate(at),
            at,
            actor: Actor::user(ann, "ann"),
            source: Source::new("192.0.2.1".parse().ok(), Some(b"agent")),
            action: Action::RolesChanged,
            target: Target::user(bob, "bob"),
            changes: Changes::default().made("roles", "owner"),
            detail: None,
        };
        let value = serde_json::to_value(AuditEntry::from(&entry)).unwrap();
        let expected = serde_json::json!({
            "id": entry.id.to_string(),
            "at": "2023-11-14T22:13:20.000001Z",
            "actor": {"kind": "user", "id": ann.to_string(), "username": "ann"},
            "address": "192.0.2.1",
            "user_agent": "agent",
            "action": "roles_changed",
            "target": {"kind": "user", "id": bob.to_string(), "name": "bob"},
            "changes": {"roles": {"before": null, "after": "owner"}},
        });
        assert_eq!(value, expected);
        entry.actor = Actor::SYSTEM;
        entry.source = Source::default();
        let value = serde_json::to_value(AuditEntry::from(&entry)).unwrap();
        assert_eq!(value["actor"], serde_json::json!({"kind": "system"}));
        assert!(value.get("address").is_none());
        assert!(serde_json::from_value::<AuditEntry>(value).is_ok());
    }
}
