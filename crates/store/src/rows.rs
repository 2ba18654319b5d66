//! Rows as the database returns them, and how they become values of the domain. A row with a value that this
//! program never writes is an error that names table, column and id.

use std::error::Error as StdError;
use std::str::FromStr;

use gateway_core::{Lifetime, Roles, SecretHash, Timestamp, TokenId, TokenRecord, User, UserStatus};
use sqlx::FromRow;

use crate::error::StoreError;

/// The columns of [`UserRow`].
macro_rules! user_columns {
    () => {
        "id, username, email, name, roles, status, is_service_account, created_at, updated_at, last_seen_at"
    };
}
pub(crate) use user_columns;

/// The columns of [`TokenRow`].
macro_rules! token_columns {
    () => {
        "id, user_id, secret_hash, kind, name, scopes, lifetime_nanos, created_at, updated_at, expires_at, \
         last_used_at"
    };
}
pub(crate) use token_columns;

/// The columns of [`TokenRow`] where users stand beside it.
macro_rules! joined_token_columns {
    () => {
        "t.id, t.user_id, t.secret_hash, t.kind, t.name, t.scopes, t.lifetime_nanos, t.created_at, t.updated_at, \
         t.expires_at, t.last_used_at"
    };
}
pub(crate) use joined_token_columns;

#[derive(Debug, FromRow)]
pub(crate) struct UserRow {
    pub(crate) id: String,
    username: String,
    email: Option<String>,
    name: String,
    roles: String,
    status: String,
    is_service_account: bool,
    created_at: i64,
    updated_at: i64,
    last_seen_at: Option<i64>,
}

/// A user with what is needed for signing in.
#[derive(FromRow)]
pub(crate) struct CredentialsRow {
    #[sqlx(flatten)]
    pub(crate) user: UserRow,
    pub(crate) password_hash: Option<String>,
}

#[derive(FromRow)]
pub(crate) struct TokenRow {
    id: String,
    user_id: String,
    secret_hash: Vec<u8>,
    kind: String,
    name: String,
    scopes: String,
    lifetime_nanos: i64,
    created_at: i64,
    updated_at: i64,
    expires_at: i64,
    last_used_at: Option<i64>,
}

/// A token in a list.
#[derive(FromRow)]
pub(crate) struct ListedTokenRow {
    #[sqlx(flatten)]
    pub(crate) token: TokenRow,
    pub(crate) username: String,
}

/// A token and its user; the user's columns that a token has too are renamed.
#[derive(FromRow)]
pub(crate) struct TokenWithUserRow {
    #[sqlx(flatten)]
    token: TokenRow,
    username: String,
    email: Option<String>,
    user_name: String,
    roles: String,
    status: String,
    is_service_account: bool,
    user_created_at: i64,
    user_updated_at: i64,
    last_seen_at: Option<i64>,
}

/// The author of a write.
#[derive(FromRow)]
pub(crate) struct AuthorRow {
    pub(crate) user_id: String,
    pub(crate) expires_at: i64,
    pub(crate) status: String,
    pub(crate) roles: String,
}

/// What making a token needs to know of its user.
#[derive(FromRow)]
pub(crate) struct TokenOwnerRow {
    pub(crate) status: String,
    pub(crate) password_hash: Option<String>,
}

const USERS: &str = "users";
const TOKENS: &str = "tokens";

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: value(USERS, "id", &row.id, &row.id)?,
            roles: roles(&row.id, &row.roles)?,
            status: status(&row.id, &row.status)?,
            username: row.username,
            email: row.email,
            name: row.name,
            is_service_account: row.is_service_account,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            last_seen_at: row.last_seen_at.map(Timestamp::from_micros),
        })
    }
}

impl TryFrom<TokenRow> for TokenRecord {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let secret_hash = <[u8; 32]>::try_from(row.secret_hash.as_slice())
            .map_err(|error| bad_row(TOKENS, "secret_hash", &row.id, error))?;
        let lifetime = Lifetime::from_nanos(row.lifetime_nanos)
            .ok_or_else(|| bad_row(TOKENS, "lifetime_nanos", &row.id, "not above zero"))?;
        Ok(Self {
            id: value(TOKENS, "id", &row.id, &row.id)?,
            user_id: value(TOKENS, "user_id", &row.id, &row.user_id)?,
            secret_hash: SecretHash::from_bytes(secret_hash),
            kind: value(TOKENS, "kind", &row.id, &row.kind)?,
            scopes: value(TOKENS, "scopes", &row.id, &row.scopes)?,
            name: row.name,
            lifetime,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
        })
    }
}

impl TryFrom<TokenWithUserRow> for (TokenRecord, User) {
    type Error = StoreError;

    fn try_from(row: TokenWithUserRow) -> Result<Self, StoreError> {
        let user = UserRow {
            id: row.token.user_id.clone(),
            username: row.username,
            email: row.email,
            name: row.user_name,
            roles: row.roles,
            status: row.status,
            is_service_account: row.is_service_account,
            created_at: row.user_created_at,
            updated_at: row.user_updated_at,
            last_seen_at: row.last_seen_at,
        };
        Ok((row.token.try_into()?, user.try_into()?))
    }
}

pub(crate) fn token_ids(ids: &[String]) -> Result<Vec<TokenId>, StoreError> {
    ids.iter().map(|id| value(TOKENS, "id", id, id)).collect()
}

pub(crate) fn roles(user_id: &str, roles: &str) -> Result<Roles, StoreError> {
    value(USERS, "roles", user_id, roles)
}

pub(crate) fn status(user_id: &str, status: &str) -> Result<UserStatus, StoreError> {
    value(USERS, "status", user_id, status)
}

pub(crate) fn value<T>(
    table: &'static str,
    column: &'static str,
    id: &str,
    text: &str,
) -> Result<T, StoreError>
where
    T: FromStr<Err: Into<Box<dyn StdError + Send + Sync>>>,
{
    text.parse().map_err(|error| bad_row(table, column, id, error))
}

pub(crate) fn bad_row(
    table: &'static str,
    column: &'static str,
    id: &str,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> StoreError {
    StoreError::BadRow {
        table,
        column,
        id: id.to_owned(),
        source: source.into(),
    }
}
