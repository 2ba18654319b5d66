//! Sessions and API tokens: one table, one form, told apart by kind. Their types and the reads; the
//! writes are in `write`.

use gateway_core::{
    Lifetime, Scopes, Secret, SecretHash, Timestamp, TokenId, TokenKind, TokenRecord, User, UserId,
};

use crate::db::{Db, on};
use crate::error::StoreError;
use crate::rows::{ListedTokenRow, TokenRow, TokenWithUserRow, joined_token_columns, token_columns};
use crate::text;

mod write;

/// How many API tokens that have not expired a user can have.
pub const MAX_API_TOKENS: i64 = 1000;

/// How many sessions a user can have; a new one ends the oldest.
pub const MAX_SESSIONS: i64 = 100;

/// The operations on tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    db: &'a Db,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub id: TokenId,
    pub user_id: UserId,
    pub secret_hash: SecretHash,
    pub kind: TokenKind,
    /// Unique among the user's API tokens that have not expired, case-sensitive; empty for sessions.
    pub name: String,
    pub scopes: Scopes,
    pub lifetime: Lifetime,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// For a session made by password: the hash that the password was checked against. If another is stored by
    /// now, nothing is made and the answer is [`StoreError::PasswordChanged`]. None: not checked.
    pub password_hash: Option<Secret>,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCreated {
    pub record: TokenRecord,
    /// Older sessions of the user that were ended to make room. They must be cut like removed ones.
    pub dropped_sessions: Vec<TokenId>,
}

/// Which tokens to list.
#[derive(Clone, Debug)]
pub struct TokenFilter {
    /// None: everybody's.
    pub user: Option<UserId>,
    /// None: both kinds.
    pub kind: Option<TokenKind>,
    /// Also those whose `expires_at` is not after `now`.
    pub include_expired: bool,
    pub now: Timestamp,
    /// Only tokens after this one.
    pub after: Option<TokenId>,
    /// At most so many; 0: without limit.
    pub limit: u32,
    /// Those that were made last first, rather than in the order of their ids. `after` does not go with it.
    pub newest_first: bool,
}

/// A token in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWithOwner {
    pub record: TokenRecord,
    pub username: String,
}

/// One use of a token, to be noted some time later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenUse {
    pub id: TokenId,
    pub used_at: Timestamp,
    /// The new expiry of a session that slides.
    pub extend_to: Option<Timestamp>,
}

const FIND: &str = concat!("SELECT ", token_columns!(), " FROM tokens WHERE id = $1");
const FIND_BY_NAME: &str = concat!(
    "SELECT ",
    token_columns!(),
    " FROM tokens WHERE user_id = $1 AND kind = 'api' AND name = $2"
);
const FIND_WITH_USER: &str = concat!(
    "SELECT ",
    joined_token_columns!(),
    ", u.username, u.email, u.name AS user_name, u.roles, u.status, u.is_service_account, \
     u.created_at AS user_created_at, u.updated_at AS user_updated_at, u.last_seen_at \
     FROM tokens AS t JOIN users AS u ON u.id = t.user_id WHERE t.id = $1"
);

/// Tokens with their owners in an order.
macro_rules! list {
    ($order:literal) => {
        concat!(
            "SELECT ",
            joined_token_columns!(),
            ", u.username FROM tokens AS t JOIN users AS u ON u.id = t.user_id \
             WHERE ($1 IS NULL OR t.user_id = $1) AND ($2 IS NULL OR t.kind = $2) \
               AND ($3 OR t.expires_at > $4) AND ($5 IS NULL OR t.id > $5) ORDER BY ",
            $order,
            " LIMIT $6"
        )
    };
}

const LIST: &str = list!("t.id");
const LIST_NEWEST: &str = list!("t.created_at DESC, t.id");

// === impl Tokens ===

impl<'a> Tokens<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Alive or expired.
    pub async fn find(self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.db
            .read("tokens.find", || async {
                let mut conn = self.db.reader().await?;
                let row = on!(&mut conn, |c| sqlx::query_as::<_, TokenRow>(FIND)
                    .bind(id.as_str())
                    .fetch_optional(c)
                    .await)?;
                Ok(row.map(TokenRecord::try_from).transpose()?)
            })
            .await
    }

    /// The lookup that verifies a presented token, in one snapshot and on connections of its own, so that lookups
    /// of made-up tokens cannot hold up anything else. Alive or expired, of an active user or not.
    pub async fn find_with_user(self, id: TokenId) -> Result<Option<(TokenRecord, User)>, StoreError> {
        self.db
            .read("tokens.find_with_user", || async {
                let mut conn = self.db.verifier().await?;
                let row = on!(&mut conn, |c| sqlx::query_as::<_, TokenWithUserRow>(
                    FIND_WITH_USER
                )
                .bind(id.as_str())
                .fetch_optional(c)
                .await)?;
                Ok(row.map(TryInto::try_into).transpose()?)
            })
            .await
    }

    /// The API token of this name, alive or expired.
    pub async fn find_by_name(self, user: UserId, name: &str) -> Result<Option<TokenRecord>, StoreError> {
        if !text::is_storable(name) {
            return Ok(None);
        }
        self.db
            .read("tokens.find_by_name", || async {
                let mut conn = self.db.reader().await?;
                let row = on!(&mut conn, |c| sqlx::query_as::<_, TokenRow>(FIND_BY_NAME)
                    .bind(user.to_string())
                    .bind(name)
                    .fetch_optional(c)
                    .await)?;
                Ok(row.map(TokenRecord::try_from).transpose()?)
            })
            .await
    }

    pub async fn list(self, filter: TokenFilter) -> Result<Vec<TokenWithOwner>, StoreError> {
        let user = filter.user.map(|id| id.to_string());
        let sql = if filter.newest_first { LIST_NEWEST } else { LIST };
        let limit = if filter.limit == 0 {
            i64::MAX
        } else {
            i64::from(filter.limit)
        };
        self.db
            .read("tokens.list", || async {
                let mut conn = self.db.reader().await?;
                let rows = on!(&mut conn, |c| sqlx::query_as::<_, ListedTokenRow>(sql)
                    .bind(user.as_deref())
                    .bind(filter.kind.map(TokenKind::as_str))
                    .bind(filter.include_expired)
                    .bind(filter.now.as_micros())
                    .bind(filter.after.as_ref().map(TokenId::as_str))
                    .bind(limit)
                    .fetch_all(c)
                    .await)?;
                let tokens = rows.into_iter().map(|row| {
                    Ok(TokenWithOwner {
                        record: row.token.try_into()?,
                        username: row.username,
                    })
                });
                Ok(tokens.collect::<Result<_, StoreError>>()?)
            })
            .await
    }
}
