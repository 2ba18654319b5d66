//! Who is asking, once a token has been verified.

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::role::Roles;
use crate::scope::Scopes;
use crate::token::TokenKind;

/// A verified token and its owner. Immutable: when anything in it changes, the old value is thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub token_id: TokenId,
    pub token_kind: TokenKind,
    pub scopes: Scopes,
    /// From this moment on the token is refused. Checked at every use, also of a cached value.
    pub expires_at: Timestamp,
    pub user_id: UserId,
    pub username: String,
    pub roles: Roles,
    pub is_service_account: bool,
}

// === impl Principal ===

impl Principal {
    /// A token is dead at the very moment of its expiry.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}
