//! The writes on users. Each is one transaction that first finds its author still valid.

use gateway_core::audit::{Action, Actor, Changes, Source};
use gateway_core::{Role, Roles, Timestamp, TokenId, User, UserId, UserStatus};

use super::{Deleted, NewUser, Users};
use crate::audit::describe;
use crate::author::Author;
use crate::db::{Tx, on};
use crate::error::{Field, StoreError};
use crate::fault::Fault;
use crate::rows::{self, UserRow, user_columns};
use crate::text;

const INSERT: &str = concat!(
    "INSERT INTO users (id, username, username_folded, email, email_folded, name, name_folded, roles, status, \
     is_service_account, password_hash, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $10, $11, $11) ON CONFLICT DO NOTHING RETURNING ",
    user_columns!()
);
const FIND: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
const SET_STATUS: &str = concat!(
    "UPDATE users SET status = $2, updated_at = $3 WHERE id = $1 RETURNING ",
    user_columns!()
);
const SET_ROLES: &str = concat!(
    "UPDATE users SET roles = $2, updated_at = $3 WHERE id = $1 RETURNING ",
    user_columns!()
);
const SET_PROFILE: &str = concat!(
    "UPDATE users SET username = $2, username_folded = $3, name = $4, name_folded = $5, updated_at = $6 \
     WHERE id = $1 RETURNING ",
    user_columns!()
);
/// A service account cannot sign in, so it is not counted: the last owner is a person.
const OTHER_ACTIVE_OWNERS: &str = "SELECT COUNT(*) FROM users \
    WHERE id <> $1 AND status = 'active' AND NOT is_service_account AND (',' || roles || ',') LIKE '%,owner,%'";
const REMOVE_TOKENS: &str =
    "DELETE FROM tokens WHERE user_id = $1 AND (kind = 'session' OR NOT $2) RETURNING id";
const TOUCH_SEEN: &str = "UPDATE users SET last_seen_at = $2 \
    WHERE id = $1 AND (last_seen_at IS NULL OR last_seen_at < $2)";

impl Users<'_> {
    /// Makes the first owner: [`StoreError::AlreadySetUp`] if there ever was one, [`StoreError::NameTaken`].
    pub async fn create_first_owner(
        self,
        source: &Source,
        new: NewUser,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        let author = Author::Client(source.clone());
        let new = NewUser {
            roles: Roles::new(new.roles.iter().chain([Role::Owner])),
            ..new
        };
        check_new(&new)?;
        self.db
            .write("users.create_first_owner", || async {
                let mut tx = self.db.begin(&author, now).await?;
                let outcome = async {
                    if !mark_set_up(&mut tx, new.id, now).await? {
                        return Err(StoreError::AlreadySetUp.into());
                    }
                    tx.signature.actor = Actor::user(new.id, new.username.as_str());
                    create(&mut tx, Action::SetUp, &new, now).await
                }
                .await;
                tx.end(outcome).await
            })
            .await
    }

    /// [`StoreError::NameTaken`] if username or e-mail address belong to somebody else. An owner made here ends
    /// the time in which a first owner can be made.
    pub async fn create(self, author: &Author, new: NewUser, now: Timestamp) -> Result<User, StoreError> {
        check_new(&new)?;
        self.db
            .write("users.create", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = async {
                    if new.roles.is_owner() {
                        mark_set_up(&mut tx, new.id, now).await?;
                    }
                    create(&mut tx, Action::UserCreated, &new, now).await
                }
                .await;
                tx.end(outcome).await
            })
            .await
    }

    /// Deletes the user with all tokens. [`StoreError::NotFound`], [`StoreError::LastOwner`].
    pub async fn delete(self, author: &Author, id: UserId, now: Timestamp) -> Result<Deleted, StoreError> {
        self.db
            .write("users.delete", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = delete(&mut tx, id).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Idempotent. [`StoreError::NotFound`], [`StoreError::LastOwner`].
    pub async fn set_status(
        self,
        author: &Author,
        id: UserId,
        status: UserStatus,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        self.db
            .write("users.set_status", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = set_status(&mut tx, id, status, now).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Idempotent. [`StoreError::NotFound`], [`StoreError::LastOwner`].
    pub async fn set_roles(
        self,
        author: &Author,
        id: UserId,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        self.db
            .write("users.set_roles", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = set_roles(&mut tx, id, roles, now).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Changes username and full name. Idempotent. [`StoreError::NotFound`], [`StoreError::NameTaken`].
    pub async fn set_profile(
        self,
        author: &Author,
        id: UserId,
        username: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        text::check(Field::Username, username)?;
        text::check(Field::Name, name)?;
        self.db
            .write("users.set_profile", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = set_profile(&mut tx, id, username, name, now).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Sets the password and, in the same transaction, ends all sessions, and API tokens unless kept. Returns
    /// the ids of the removed tokens. [`StoreError::NotFound`], [`StoreError::ServiceAccount`].
    pub async fn set_password(
        self,
        author: &Author,
        id: UserId,
        password_hash: &str,
        keep_api_tokens: bool,
        now: Timestamp,
    ) -> Result<Vec<TokenId>, StoreError> {
        text::check(Field::Password, password_hash)?;
        self.db
            .write("users.set_password", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = set_password(&mut tx, id, password_hash, keep_api_tokens, now).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Notes that the user was seen at `at`; never moves backwards. A user that is gone is no error.
    pub async fn touch_seen(self, id: UserId, at: Timestamp) -> Result<(), StoreError> {
        self.db
            .write("users.touch_seen", || async {
                let mut tx = self.db.begin(&Author::System, at).await?;
                let touched = on!(tx.conn(), |c| sqlx::query(TOUCH_SEEN)
                    .bind(id.to_string())
                    .bind(at.as_micros())
                    .execute(c)
                    .await
                    .map(drop));
                tx.end(touched.map_err(Fault::from)).await
            })
            .await
    }
}

fn check_new(new: &NewUser) -> Result<(), StoreError> {
    if new.is_service_account && (new.email.is_some() || new.password_hash.is_some()) {
        return Err(StoreError::ServiceAccount);
    }
    text::check(Field::Username, &new.username)?;
    text::check(Field::Name, &new.name)?;
    text::check(Field::Email, new.email.as_deref().unwrap_or_default())?;
    text::check(Field::Password, new.password_hash.as_deref().unwrap_or_default())
}

/// Writes the row that says that set-up is done. False if it was there.
async fn mark_set_up(tx: &mut Tx, owner: UserId, now: Timestamp) -> Result<bool, Fault> {
    let rows = on!(tx.conn(), |c| sqlx::query(
        "INSERT INTO set_up (id, user_id, set_up_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING"
    )
    .bind(owner.to_string())
    .bind(now.as_micros())
    .execute(c)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

async fn create(tx: &mut Tx, action: Action, new: &NewUser, now: Timestamp) -> Result<User, Fault> {
    let user = insert(tx, new, now).await?;
    let changes = describe::user_changes(None, Some(&user));
    tx.audit(action, describe::user(&user), changes).await?;
    Ok(user)
}

async fn insert(tx: &mut Tx, new: &NewUser, now: Timestamp) -> Result<User, Fault> {
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, UserRow>(INSERT)
        .bind(new.id.to_string())
        .bind(new.username.as_str())
        .bind(text::fold(&new.username))
        .bind(new.email.as_deref())
        .bind(new.email.as_deref().map(text::fold))
        .bind(new.name.as_str())
        .bind(text::fold(&new.name))
        .bind(new.roles.to_string())
        .bind(new.is_service_account)
        .bind(new.password_hash.as_deref())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    match row {
        Some(row) => Ok(User::try_from(row)?),
        None => Err(which_is_taken(tx, new).await?.into()),
    }
}

/// A constraint refused the row; says which, since SQLite does not name it. Nothing else can write meanwhile.
async fn which_is_taken(tx: &mut Tx, new: &NewUser) -> Result<StoreError, Fault> {
    let holders: i64 = on!(tx.conn(), |c| sqlx::query_scalar(
        "SELECT COUNT(*) FROM users WHERE username_folded = $1"
    )
    .bind(text::fold(&new.username))
    .fetch_one(c)
    .await)?;
    Ok(StoreError::NameTaken(if holders > 0 {
        Field::Username
    } else {
        Field::Email
    }))
}

async fn find(tx: &mut Tx, id: UserId) -> Result<User, Fault> {
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, UserRow>(FIND)
        .bind(id.to_string())
        .fetch_optional(c)
        .await)?;
    Ok(User::try_from(row.ok_or(StoreError::NotFound("user"))?)?)
}

/// Finds the user that is to be changed, if the author may change it.
async fn find_target(tx: &mut Tx, id: UserId) -> Result<User, Fault> {
    let user = find(tx, id).await?;
    tx.rights.check_target(id, &user.roles)?;
    Ok(user)
}

/// To be called before `user` stops being an active owner.
async fn keep_one_owner(tx: &mut Tx, user: &User) -> Result<(), Fault> {
    let counts = user.roles.is_owner() && user.status == UserStatus::Active && !user.is_service_account;
    if !counts {
        return Ok(());
    }
    let others: i64 = on!(tx.conn(), |c| sqlx::query_scalar(OTHER_ACTIVE_OWNERS)
        .bind(user.id.to_string())
        .fetch_one(c)
        .await)?;
    if others == 0 {
        Err(StoreError::LastOwner.into())
    } else {
        Ok(())
    }
}

async fn delete(tx: &mut Tx, id: UserId) -> Result<Deleted, Fault> {
    let user = find_target(tx, id).await?;
    keep_one_owner(tx, &user).await?;
    let tokens: i64 = on!(tx.conn(), |c| sqlx::query_scalar(
        "SELECT COUNT(*) FROM tokens WHERE user_id = $1"
    )
    .bind(id.to_string())
    .fetch_one(c)
    .await)?;
    on!(tx.conn(), |c| sqlx::query("DELETE FROM users WHERE id = $1")
        .bind(id.to_string())
        .execute(c)
        .await
        .map(drop))?;
    let changes = describe::user_changes(Some(&user), None).gone("tokens", &tokens);
    tx.audit(Action::UserDeleted, describe::user(&user), changes)
        .await?;
    Ok(Deleted {
        tokens: u64::try_from(tokens).unwrap_or(0),
    })
}

async fn set_status(tx: &mut Tx, id: UserId, status: UserStatus, now: Timestamp) -> Result<User, Fault> {
    let user = find_target(tx, id).await?;
    if user.status == status {
        return Ok(user);
    }
    if status != UserStatus::Active {
        keep_one_owner(tx, &user).await?;
    }
    let changed = update(tx, SET_STATUS, id, status.as_str(), now).await?;
    let action = match status {
        UserStatus::Active => Action::UserActivated,
        UserStatus::Suspended => Action::UserSuspended,
    };
    changed_to(tx, action, &user, changed).await
}

async fn set_roles(tx: &mut Tx, id: UserId, roles: &Roles, now: Timestamp) -> Result<User, Fault> {
    let user = find_target(tx, id).await?;
    if user.roles == *roles {
        return Ok(user);
    }
    if !roles.is_owner() {
        keep_one_owner(tx, &user).await?;
    }
    let changed = update(tx, SET_ROLES, id, &roles.to_string(), now).await?;
    changed_to(tx, Action::RolesChanged, &user, changed).await
}

/// Notes the change, and returns what the user has become. The target is named as before.
async fn changed_to(tx: &mut Tx, action: Action, before: &User, after: User) -> Result<User, Fault> {
    let changes = describe::user_changes(Some(before), Some(&after));
    tx.audit(action, describe::user(before), changes).await?;
    Ok(after)
}

async fn update(
    tx: &mut Tx,
    sql: &'static str,
    id: UserId,
    value: &str,
    now: Timestamp,
) -> Result<User, Fault> {
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, UserRow>(sql)
        .bind(id.to_string())
        .bind(value)
        .bind(now.as_micros())
        .fetch_one(c)
        .await)?;
    Ok(User::try_from(row)?)
}

async fn set_profile(
    tx: &mut Tx,
    id: UserId,
    username: &str,
    name: &str,
    now: Timestamp,
) -> Result<User, Fault> {
    let user = find_target(tx, id).await?;
    if user.username == username && user.name == name {
        return Ok(user);
    }
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, UserRow>(SET_PROFILE)
        .bind(id.to_string())
        .bind(username)
        .bind(text::fold(username))
        .bind(name)
        .bind(text::fold(name))
        .bind(now.as_micros())
        .fetch_one(c)
        .await);
    match row {
        Ok(row) => changed_to(tx, Action::ProfileChanged, &user, row.try_into()?).await,
        // The only unique column that is written here.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(StoreError::NameTaken(Field::Username).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn set_password(
    tx: &mut Tx,
    id: UserId,
    password_hash: &str,
    keep_api_tokens: bool,
    now: Timestamp,
) -> Result<Vec<TokenId>, Fault> {
    let user = find_target(tx, id).await?;
    if user.is_service_account {
        return Err(StoreError::ServiceAccount.into());
    }
    on!(tx.conn(), |c| sqlx::query(
        "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1"
    )
    .bind(id.to_string())
    .bind(password_hash)
    .bind(now.as_micros())
    .execute(c)
    .await
    .map(drop))?;
    let removed: Vec<String> = on!(tx.conn(), |c| sqlx::query_scalar(REMOVE_TOKENS)
        .bind(id.to_string())
        .bind(keep_api_tokens)
        .fetch_all(c)
        .await)?;
    let changes = Changes::default()
        .made("password", "changed")
        .gone("tokens", &removed.len());
    tx.audit(Action::PasswordChanged, describe::user(&user), changes)
        .await?;
    Ok(rows::token_ids(&removed)?)
}
