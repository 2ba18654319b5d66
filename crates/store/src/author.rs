//! Who makes a write, checked again inside the write's own transaction, and what the audit log is told of them.

use gateway_core::audit::{Actor, Source};
use gateway_core::{Permission, Roles, Timestamp, TokenId, UserId, UserStatus};

use crate::audit::write::Signature;
use crate::db::{Tx, on};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::rows::{self, AuthorRow};

/// Who makes a write.
///
/// A request was authenticated some time before its write; meanwhile its token may have been removed or its user
/// suspended. So each write first finds its author still valid, in the same transaction.
#[derive(Clone, Debug)]
pub enum Author {
    /// The program itself.
    System,
    /// The program at somebody's hand, or for a reason: the command that somebody at the machine has run, or why it was
    /// done. The words stand in the audit log.
    SystemFor(&'static str),
    /// Somebody without a token: who signs in, or makes the first user. The caller has checked that they may; for the
    /// audit log they are the user of the write.
    Client(Source),
    /// A session or API token.
    Token {
        token_id: TokenId,
        user_id: UserId,
        /// What the user's roles must still allow. None for what everyone may do to their own account.
        ///
        /// With [`Permission::ManageUsers`], the account of somebody else who holds any role can only be changed
        /// if the author also has [`Permission::ManageRoles`].
        needs: Option<Permission>,
        /// From where the request came.
        source: Source,
    },
}

/// What the author was found to be.
#[derive(Debug)]
pub(crate) enum Rights {
    System,
    Token {
        user_id: UserId,
        needs: Option<Permission>,
        roles: Roles,
    },
}

const FIND_AUTHOR: &str = "SELECT t.user_id, t.expires_at, u.username, u.status, u.roles \
    FROM tokens AS t JOIN users AS u ON u.id = t.user_id WHERE t.id = $1";

// === impl Author ===

impl Author {
    /// What is known before the transaction; the username is read in it.
    pub(crate) fn signature(&self, at: Timestamp) -> Signature {
        let (actor, source, detail) = match self {
            Self::System => (Actor::SYSTEM, Source::default(), None),
            Self::SystemFor(detail) => (Actor::SYSTEM, Source::default(), Some(*detail)),
            Self::Client(source) => (Actor::NOBODY, source.clone(), None),
            Self::Token {
                token_id,
                user_id,
                source,
                needs: _,
            } => {
                let actor = Actor {
                    id: Some(*user_id),
                    token_id: Some(*token_id),
                    ..Actor::NOBODY
                };
                (actor, source.clone(), None)
            }
        };
        Signature {
            at,
            actor,
            source,
            detail,
        }
    }

    /// All writes are in one order, so what is found here holds until the transaction has ended.
    pub(crate) async fn check(&self, tx: &mut Tx, now: Timestamp) -> Result<Rights, Fault> {
        let Self::Token {
            token_id,
            user_id,
            needs,
            source: _,
        } = self
        else {
            return Ok(Rights::System);
        };
        let row = on!(tx.conn(), |c| sqlx::query_as::<_, AuthorRow>(FIND_AUTHOR)
            .bind(token_id.as_str())
            .fetch_optional(c)
            .await)?;
        let row = row.ok_or(StoreError::AuthorGone)?;
        let status = rows::status(&row.user_id, &row.status)?;
        let alive = now.as_micros() < row.expires_at && status == UserStatus::Active;
        if !alive || row.user_id != user_id.to_string() {
            return Err(StoreError::AuthorGone.into());
        }
        let roles = rows::roles(&row.user_id, &row.roles)?;
        if needs.is_some_and(|permission| !roles.allow(permission)) {
            return Err(StoreError::AuthorForbidden.into());
        }
        tx.signature.actor.username = Some(row.username);
        Ok(Rights::Token {
            user_id: *user_id,
            needs: *needs,
            roles,
        })
    }
}

// === impl Rights ===

impl Rights {
    /// Whether the author may change this account, as far as that depends on the roles it holds right now.
    pub(crate) fn check_target(&self, target: UserId, target_roles: &Roles) -> Result<(), StoreError> {
        match self {
            Self::Token {
                user_id,
                needs: Some(Permission::ManageUsers),
                roles,
            } if *user_id != target && !target_roles.is_empty() && !roles.allow(Permission::ManageRoles) => {
                Err(StoreError::AuthorForbidden)
            }
            _ => Ok(()),
        }
    }
}
