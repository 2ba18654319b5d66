//! Users and tokens as the audit log tells of them. The fields stand here one by one, so that a hash cannot get in.

use gateway_core::audit::{Changes, Target, TargetKind};
use gateway_core::{Timestamp, TokenKind, TokenRecord, User};

/// What differs between two states of a user, of which one may be "not there".
pub(crate) fn user_changes(before: Option<&User>, after: Option<&User>) -> Changes {
    let field = |changes: Changes, name: &str, of: &dyn Fn(&User) -> Option<String>| {
        changes.with(name, before.and_then(of), after.and_then(of))
    };
    let changes = Changes::default();
    let changes = field(changes, "username", &|user| Some(user.username.clone()));
    let changes = field(changes, "email", &|user| user.email.clone());
    let changes = field(changes, "name", &|user| not_empty(user.name.clone()));
    let changes = field(changes, "roles", &|user| not_empty(user.roles.to_string()));
    let changes = field(changes, "status", &|user| Some(user.status.as_str().to_owned()));
    field(changes, "is_service_account", &|user| {
        Some(user.is_service_account.to_string())
    })
}

/// What differs between two states of a token, of which one may be "not there".
pub(crate) fn token_changes(before: Option<&TokenRecord>, after: Option<&TokenRecord>) -> Changes {
    let field = |changes: Changes, name: &str, of: &dyn Fn(&TokenRecord) -> Option<String>| {
        changes.with(name, before.and_then(of), after.and_then(of))
    };
    let changes = Changes::default();
    let changes = field(changes, "name", &|token| not_empty(token.name.clone()));
    let changes = field(changes, "scopes", &|token| Some(token.scopes.to_string()));
    let changes = field(changes, "lifetime", &|token| Some(token.lifetime.to_string()));
    field(changes, "expires_at", &|token| Some(rfc3339(token.expires_at)))
}

pub(crate) fn user(user: &User) -> Target {
    Target::user(user.id, user.username.as_str())
}

pub(crate) fn token(token: &TokenRecord) -> Target {
    Target {
        kind: match token.kind {
            TokenKind::Session => TargetKind::Session,
            TokenKind::Api => TargetKind::Token,
        },
        id: Some(token.id.as_str().to_owned()),
        name: not_empty(token.name.clone()),
    }
}

fn not_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// As the API writes times. What lies beyond the years that can be written is the last moment that can.
fn rfc3339(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.6}")
}
