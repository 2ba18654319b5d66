//! Users and service accounts: their types and the reads; the writes are in `write`.
//!
//! Which names are well formed is the caller's business (`gateway_core::user`).

use std::fmt;

use gateway_core::{Role, Roles, User, UserId, UserStatus};

use crate::db::{Db, on};
use crate::error::StoreError;
use crate::rows::{CredentialsRow, UserRow, user_columns};
use crate::text;

mod write;

/// The operations on users.
#[derive(Clone, Copy, Debug)]
pub struct Users<'a> {
    db: &'a Db,
}

/// A user to be made. It begins active.
#[derive(Clone)]
pub struct NewUser {
    pub id: UserId,
    /// Unique whatever the case of its letters.
    pub username: String,
    /// Unique whatever the case of its letters. None for a service account.
    pub email: Option<String>,
    /// The full name, possibly empty.
    pub name: String,
    pub roles: Roles,
    pub is_service_account: bool,
    /// In PHC form. None: nobody can sign in with a password.
    pub password_hash: Option<String>,
}

/// Which users to list, in the order of their ids, which is that of their creation.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// A part of username, e-mail address or full name, whatever the case. None or empty: all.
    pub search: Option<String>,
    pub status: Option<UserStatus>,
    /// Holders of this role; [`Role::Member`] is everybody.
    pub role: Option<Role>,
    /// Only service accounts, or only people.
    pub is_service_account: Option<bool>,
    /// Only users after this one.
    pub after: Option<UserId>,
    /// At most so many; 0: without limit.
    pub limit: u32,
    /// How many to leave out at the beginning.
    pub offset: u32,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    pub users: Vec<User>,
    /// How many users match, whatever `after`, `limit` and `offset` say.
    pub count: u64,
}

/// What went with a deleted user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Sessions and API tokens, expired ones included.
    pub tokens: u64,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("id", &self.id)
            .field("username", &self.username)
            .field("roles", &self.roles)
            .field("is_service_account", &self.is_service_account)
            .finish_non_exhaustive()
    }
}

const FIND: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
const FIND_BY_USERNAME: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users WHERE username_folded = $1"
);
const FIND_BY_EMAIL: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE email_folded = $1");
const CREDENTIALS_BY_EMAIL: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", password_hash FROM users WHERE email_folded = $1"
);

/// What the filter says, for both of the next two.
macro_rules! matching {
    () => {
        r" FROM users WHERE ($1 IS NULL OR username_folded LIKE $1 ESCAPE '\'
              OR email_folded LIKE $1 ESCAPE '\' OR name_folded LIKE $1 ESCAPE '\')
            AND ($2 IS NULL OR status = $2)
            AND ($3 IS NULL OR (',' || roles || ',') LIKE $3)
            AND ($4 IS NULL OR is_service_account = $4)"
    };
}
const LIST: &str = concat!(
    "SELECT ",
    user_columns!(),
    matching!(),
    " AND ($5 IS NULL OR id > $5) ORDER BY id LIMIT $6 OFFSET $7"
);
const COUNT: &str = concat!("SELECT COUNT(*)", matching!());

// === impl Users ===

impl<'a> Users<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Whether the first owner has ever been made. Stays true whatever is deleted later.
    pub async fn is_set_up(self) -> Result<bool, StoreError> {
        self.db
            .read("users.is_set_up", || async {
                let mut conn = self.db.reader().await?;
                let rows: i64 = on!(&mut conn, |c| sqlx::query_scalar("SELECT COUNT(*) FROM set_up")
                    .fetch_one(c)
                    .await)?;
                Ok(rows > 0)
            })
            .await
    }

    pub async fn find(self, id: UserId) -> Result<Option<User>, StoreError> {
        self.find_one("users.find", FIND, &id.to_string()).await
    }

    pub async fn find_by_username(self, username: &str) -> Result<Option<User>, StoreError> {
        self.find_one("users.find_by_username", FIND_BY_USERNAME, &text::fold(username))
            .await
    }

    pub async fn find_by_email(self, email: &str) -> Result<Option<User>, StoreError> {
        self.find_one("users.find_by_email", FIND_BY_EMAIL, &text::fold(email))
            .await
    }

    /// The user and the password hash, for signing in.
    pub async fn credentials_by_email(
        self,
        email: &str,
    ) -> Result<Option<(User, Option<String>)>, StoreError> {
        let email = text::fold(email);
        if !text::is_storable(&email) {
            return Ok(None);
        }
        self.db
            .read("users.credentials_by_email", || async {
                let mut conn = self.db.reader().await?;
                let row = on!(&mut conn, |c| sqlx::query_as::<_, CredentialsRow>(
                    CREDENTIALS_BY_EMAIL
                )
                .bind(email.as_str())
                .fetch_optional(c)
                .await)?;
                Ok(match row {
                    Some(row) => Some((row.user.try_into()?, row.password_hash)),
                    None => None,
                })
            })
            .await
    }

    /// None if the user is not there or has no password.
    pub async fn password_hash(self, id: UserId) -> Result<Option<String>, StoreError> {
        self.db
            .read("users.password_hash", || async {
                let mut conn = self.db.reader().await?;
                let hash: Option<Option<String>> = on!(&mut conn, |c| sqlx::query_scalar(
                    "SELECT password_hash FROM users WHERE id = $1"
                )
                .bind(id.to_string())
                .fetch_optional(c)
                .await)?;
                Ok(hash.flatten())
            })
            .await
    }

    pub async fn list(self, filter: UserFilter) -> Result<UserPage, StoreError> {
        let search = filter
            .search
            .as_deref()
            .filter(|part| !part.is_empty())
            .map(text::fold);
        if search.as_deref().is_some_and(|part| !text::is_storable(part)) {
            return Ok(UserPage {
                users: Vec::new(),
                count: 0,
            });
        }
        let pattern = search.as_deref().map(text::containing);
        let status = filter.status.map(UserStatus::as_str);
        let role = filter
            .role
            .filter(|role| *role != Role::Member)
            .map(|role| format!("%,{role},%"));
        let after = filter.after.map(|id| id.to_string());
        let limit = if filter.limit == 0 {
            i64::MAX
        } else {
            i64::from(filter.limit)
        };
        self.db
            .read("users.list", || async {
                let mut conn = self.db.reader().await?;
                let rows = on!(&mut conn, |c| sqlx::query_as::<_, UserRow>(LIST)
                    .bind(pattern.as_deref())
                    .bind(status)
                    .bind(role.as_deref())
                    .bind(filter.is_service_account)
                    .bind(after.as_deref())
                    .bind(limit)
                    .bind(i64::from(filter.offset))
                    .fetch_all(c)
                    .await)?;
                let count: i64 = on!(&mut conn, |c| sqlx::query_scalar(COUNT)
                    .bind(pattern.as_deref())
                    .bind(status)
                    .bind(role.as_deref())
                    .bind(filter.is_service_account)
                    .fetch_one(c)
                    .await)?;
                let users = rows.into_iter().map(User::try_from).collect::<Result<_, _>>()?;
                Ok(UserPage {
                    users,
                    count: u64::try_from(count).unwrap_or(0),
                })
            })
            .await
    }

    async fn find_one(
        self,
        operation: &'static str,
        sql: &'static str,
        key: &str,
    ) -> Result<Option<User>, StoreError> {
        if !text::is_storable(key) {
            return Ok(None);
        }
        self.db
            .read(operation, || async {
                let mut conn = self.db.reader().await?;
                let row = on!(&mut conn, |c| sqlx::query_as::<_, UserRow>(sql)
                    .bind(key)
                    .fetch_optional(c)
                    .await)?;
                Ok(row.map(User::try_from).transpose()?)
            })
            .await
    }
}
