//! The writes on tokens. Those that somebody asks for are one transaction that first finds its author still valid.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gateway_core::audit::{Action, Actor, Changes, Target};
use gateway_core::{Timestamp, TokenId, TokenKind, TokenRecord, UserId, UserStatus};
use sqlx::AssertSqlSafe;

use super::{MAX_API_TOKENS, MAX_SESSIONS, NewToken, TokenCreated, TokenUse, Tokens};
use crate::audit::describe;
use crate::author::Author;
use crate::db::{Tx, on};
use crate::error::{Field, StoreError};
use crate::fault::Fault;
use crate::rows::{self, ListedTokenRow, TokenOwnerRow, TokenRow, joined_token_columns, token_columns};
use crate::text;

/// How many expired tokens of a kind a user keeps until they are removed by age. Without a bound, making tokens
/// that live for a second would fill the disk.
const MAX_EXPIRED: i64 = 1000;

/// How many uses are noted in one transaction, so that the writer is never taken for long.
const USES_AT_ONCE: usize = 500;

const INSERT: &str = concat!(
    "INSERT INTO tokens (id, user_id, secret_hash, kind, name, scopes, lifetime_nanos, slides, created_at, \
     updated_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10) ON CONFLICT DO NOTHING RETURNING ",
    token_columns!()
);
const FIND_WITH_OWNER: &str = concat!(
    "SELECT ",
    joined_token_columns!(),
    ", u.username FROM tokens AS t JOIN users AS u ON u.id = t.user_id WHERE t.id = $1"
);
const REMOVE_EXPIRED_NAMESAKE: &str =
    "DELETE FROM tokens WHERE user_id = $1 AND kind = 'api' AND name = $2 AND expires_at <= $3";
const COUNT_LIVE: &str = "SELECT COUNT(*) FROM tokens WHERE user_id = $1 AND kind = $2 AND expires_at > $3";
const REMOVE_OLDEST_SESSIONS: &str = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
    WHERE user_id = $1 AND kind = 'session' AND expires_at > $2 \
    ORDER BY created_at DESC, id DESC LIMIT 1000 OFFSET $3) RETURNING id";
const REMOVE_OLDEST_EXPIRED: &str = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
    WHERE user_id = $1 AND kind = $2 AND expires_at <= $3 \
    ORDER BY expires_at DESC, id DESC LIMIT 1000 OFFSET $4)";
const EXPIRE: &str = concat!(
    "UPDATE tokens SET expires_at = CASE WHEN expires_at > $2 THEN $2 ELSE expires_at END, \
     updated_at = CASE WHEN expires_at > $2 THEN $2 ELSE updated_at END, slides = FALSE \
     WHERE id = $1 RETURNING ",
    token_columns!()
);
const REMOVE_EXPIRED: &str = "DELETE FROM tokens WHERE id IN \
    (SELECT id FROM tokens WHERE expires_at < $1 ORDER BY expires_at, id LIMIT $2)";

impl Tokens<'_> {
    /// Makes a token as of its `created_at`. An expired one of the same name gives way; the oldest session gives
    /// way when there are [`MAX_SESSIONS`].
    ///
    /// [`StoreError::NameTaken`], [`StoreError::TooManyTokens`], [`StoreError::UserGone`], for sessions
    /// [`StoreError::UserSuspended`] and [`StoreError::PasswordChanged`], [`StoreError::TokenIdTaken`].
    pub async fn create(self, author: &Author, new: NewToken) -> Result<TokenCreated, StoreError> {
        text::check(Field::TokenName, &new.name)?;
        self.db
            .write("tokens.create", || async {
                let mut tx = self.db.begin(author, new.created_at).await?;
                let outcome = create(&mut tx, &new).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Removes a token of either kind. False if it was not there.
    pub async fn remove(self, author: &Author, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        self.remove_by("tokens.remove", Action::TokenRemoved, author, id, now)
            .await
    }

    /// The same for somebody who signs out with this very token.
    pub async fn log_out(self, author: &Author, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        self.remove_by("tokens.log_out", Action::Logout, author, id, now)
            .await
    }

    async fn remove_by(
        self,
        operation: &'static str,
        action: Action,
        author: &Author,
        id: TokenId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.db
            .write(operation, || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = remove(&mut tx, action, id).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Removes all sessions of a user and returns their ids.
    pub async fn remove_sessions(
        self,
        author: &Author,
        user: UserId,
        now: Timestamp,
    ) -> Result<Vec<TokenId>, StoreError> {
        self.db
            .write("tokens.remove_sessions", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = remove_sessions(&mut tx, user).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Sets the expiry to `now` unless it lies before. Idempotent. [`StoreError::NotFound`].
    pub async fn expire(
        self,
        author: &Author,
        id: TokenId,
        now: Timestamp,
    ) -> Result<TokenRecord, StoreError> {
        self.db
            .write("tokens.expire", || async {
                let mut tx = self.db.begin(author, now).await?;
                let outcome = expire(&mut tx, id, now).await;
                tx.end(outcome).await
            })
            .await
    }

    /// Notes uses of tokens, and that their users were seen. Times never move backwards. Only sessions are
    /// extended, and only if they are there and alive at `now` and were never expired by hand. Tokens that are
    /// gone are no error.
    pub async fn note_used(self, uses: &[TokenUse], now: Timestamp) -> Result<(), StoreError> {
        let uses = merged(uses);
        for part in uses.chunks(USES_AT_ONCE) {
            let tokens_sql = note_tokens_sql(part.len());
            let users_sql = note_users_sql(part.len());
            self.db
                .write("tokens.note_used", || async {
                    let mut tx = self.db.begin(&Author::System, now).await?;
                    let outcome = note_part(&mut tx, part, &tokens_sql, &users_sql, now).await;
                    tx.end(outcome).await
                })
                .await?;
        }
        Ok(())
    }

    /// Removes up to `limit` tokens that expired before `before`; returns how many.
    pub async fn remove_expired(self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.db
            .write("tokens.remove_expired", || async {
                let mut tx = self.db.begin(&Author::System, before).await?;
                let removed = on!(tx.conn(), |c| sqlx::query(REMOVE_EXPIRED)
                    .bind(before.as_micros())
                    .bind(i64::from(limit))
                    .execute(c)
                    .await
                    .map(|done| done.rows_affected()));
                tx.end(removed.map_err(Fault::from)).await
            })
            .await
    }
}

async fn create(tx: &mut Tx, new: &NewToken) -> Result<TokenCreated, Fault> {
    let owner = check_owner(tx, new).await?;
    let dropped_sessions = match new.kind {
        TokenKind::Session => drop_oldest_sessions(tx, new).await?,
        TokenKind::Api => {
            make_room_for_name(tx, new).await?;
            Vec::new()
        }
    };
    on!(tx.conn(), |c| sqlx::query(REMOVE_OLDEST_EXPIRED)
        .bind(new.user_id.to_string())
        .bind(new.kind.as_str())
        .bind(new.created_at.as_micros())
        .bind(MAX_EXPIRED)
        .execute(c)
        .await
        .map(drop))?;
    let record = insert(tx, new).await?;
    audit_created(tx, new, &record, &owner, &dropped_sessions).await?;
    Ok(TokenCreated {
        record,
        dropped_sessions,
    })
}

/// Who signs in with a password has no token to do it with yet, so the actor is known only now.
async fn audit_created(
    tx: &mut Tx,
    new: &NewToken,
    record: &TokenRecord,
    owner: &str,
    dropped: &[TokenId],
) -> Result<(), Fault> {
    let mut changes = describe::token_changes(None, Some(record)).made("owner", owner);
    if !dropped.is_empty() {
        let ids: Vec<&str> = dropped.iter().map(TokenId::as_str).collect();
        changes = changes.gone("older_sessions", &ids.join(","));
    }
    let action = if new.password_hash.is_some() {
        tx.signature.actor = Actor::user(new.user_id, owner);
        Action::Login
    } else {
        Action::TokenCreated
    };
    tx.audit(action, describe::token(record), changes).await
}

/// The token and its owner's username.
async fn find_with_owner(tx: &mut Tx, id: TokenId) -> Result<Option<(TokenRecord, String)>, Fault> {
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, ListedTokenRow>(
        FIND_WITH_OWNER
    )
    .bind(id.as_str())
    .fetch_optional(c)
    .await)?;
    Ok(match row {
        Some(row) => Some((row.token.try_into()?, row.username)),
        None => None,
    })
}

async fn remove(tx: &mut Tx, action: Action, id: TokenId) -> Result<bool, Fault> {
    let Some((token, owner)) = find_with_owner(tx, id).await? else {
        return Ok(false);
    };
    on!(tx.conn(), |c| sqlx::query("DELETE FROM tokens WHERE id = $1")
        .bind(id.as_str())
        .execute(c)
        .await
        .map(drop))?;
    let changes = describe::token_changes(Some(&token), None).gone("owner", &owner);
    tx.audit(action, describe::token(&token), changes).await?;
    Ok(true)
}

async fn remove_sessions(tx: &mut Tx, user: UserId) -> Result<Vec<TokenId>, Fault> {
    let removed: Vec<String> = on!(tx.conn(), |c| sqlx::query_scalar(
        "DELETE FROM tokens WHERE user_id = $1 AND kind = 'session' RETURNING id"
    )
    .bind(user.to_string())
    .fetch_all(c)
    .await)?;
    if removed.is_empty() {
        return Ok(Vec::new());
    }
    let username: String = on!(tx.conn(), |c| sqlx::query_scalar(
        "SELECT username FROM users WHERE id = $1"
    )
    .bind(user.to_string())
    .fetch_one(c)
    .await)?;
    let changes = Changes::default().gone("sessions", &removed.len());
    tx.audit(Action::SessionsRemoved, Target::user(user, username), changes)
        .await?;
    Ok(rows::token_ids(&removed)?)
}

async fn expire(tx: &mut Tx, id: TokenId, now: Timestamp) -> Result<TokenRecord, Fault> {
    let found = find_with_owner(tx, id).await?;
    let (before, owner) = found.ok_or(StoreError::NotFound("token"))?;
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, TokenRow>(EXPIRE)
        .bind(id.as_str())
        .bind(now.as_micros())
        .fetch_one(c)
        .await)?;
    let after = TokenRecord::try_from(row)?;
    let changes = describe::token_changes(Some(&before), Some(&after));
    if !changes.is_empty() {
        let changes = changes.kept("owner", &owner);
        tx.audit(Action::TokenExpired, describe::token(&after), changes)
            .await?;
    }
    Ok(after)
}

/// The owner's username.
async fn check_owner(tx: &mut Tx, new: &NewToken) -> Result<String, Fault> {
    let user_id = new.user_id.to_string();
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, TokenOwnerRow>(
        "SELECT username, status, password_hash FROM users WHERE id = $1"
    )
    .bind(user_id.as_str())
    .fetch_optional(c)
    .await)?;
    let row = row.ok_or(StoreError::UserGone)?;
    if new.kind == TokenKind::Session && rows::status(&user_id, &row.status)? != UserStatus::Active {
        return Err(StoreError::UserSuspended.into());
    }
    match &new.password_hash {
        // Not secret from each other: the caller read the one from the same place as the other.
        Some(checked) if row.password_hash.as_deref() != Some(checked.expose()) => {
            Err(StoreError::PasswordChanged.into())
        }
        _ => Ok(row.username),
    }
}

async fn drop_oldest_sessions(tx: &mut Tx, new: &NewToken) -> Result<Vec<TokenId>, Fault> {
    let ids: Vec<String> = on!(tx.conn(), |c| sqlx::query_scalar(REMOVE_OLDEST_SESSIONS)
        .bind(new.user_id.to_string())
        .bind(new.created_at.as_micros())
        .bind(MAX_SESSIONS - 1)
        .fetch_all(c)
        .await)?;
    Ok(rows::token_ids(&ids)?)
}

/// An expired token does not hold its name.
async fn make_room_for_name(tx: &mut Tx, new: &NewToken) -> Result<(), Fault> {
    on!(tx.conn(), |c| sqlx::query(REMOVE_EXPIRED_NAMESAKE)
        .bind(new.user_id.to_string())
        .bind(new.name.as_str())
        .bind(new.created_at.as_micros())
        .execute(c)
        .await
        .map(drop))?;
    let live: i64 = on!(tx.conn(), |c| sqlx::query_scalar(COUNT_LIVE)
        .bind(new.user_id.to_string())
        .bind(new.kind.as_str())
        .bind(new.created_at.as_micros())
        .fetch_one(c)
        .await)?;
    if live >= MAX_API_TOKENS {
        return Err(StoreError::TooManyTokens {
            limit: MAX_API_TOKENS,
        }
        .into());
    }
    Ok(())
}

async fn insert(tx: &mut Tx, new: &NewToken) -> Result<TokenRecord, Fault> {
    let row = on!(tx.conn(), |c| sqlx::query_as::<_, TokenRow>(INSERT)
        .bind(new.id.as_str())
        .bind(new.user_id.to_string())
        .bind(new.secret_hash.as_bytes().as_slice())
        .bind(new.kind.as_str())
        .bind(new.name.as_str())
        .bind(new.scopes.to_string())
        .bind(new.lifetime.as_nanos())
        .bind(new.kind == TokenKind::Session)
        .bind(new.created_at.as_micros())
        .bind(new.expires_at.as_micros())
        .fetch_optional(c)
        .await)?;
    if let Some(row) = row {
        return Ok(TokenRecord::try_from(row)?);
    }
    // A constraint refused the row; nothing else can write meanwhile, so it is still there to be seen.
    let same_id: i64 = on!(tx.conn(), |c| sqlx::query_scalar(
        "SELECT COUNT(*) FROM tokens WHERE id = $1"
    )
    .bind(new.id.as_str())
    .fetch_one(c)
    .await)?;
    Err(if same_id > 0 {
        StoreError::TokenIdTaken
    } else {
        StoreError::NameTaken(Field::TokenName)
    }
    .into())
}

// === Uses ===

/// One entry for each token, with the latest times.
fn merged(uses: &[TokenUse]) -> Vec<TokenUse> {
    let mut latest: BTreeMap<TokenId, TokenUse> = BTreeMap::new();
    for new in uses {
        latest
            .entry(new.id)
            .and_modify(|known| {
                known.used_at = known.used_at.max(new.used_at);
                known.extend_to = known.extend_to.max(new.extend_to);
            })
            .or_insert(*new);
    }
    latest.into_values().collect()
}

/// `$1` is the current time; then come id, time of use and new expiry of each token.
fn note_tokens_sql(count: usize) -> String {
    let extended = "tokens.slides AND tokens.expires_at > $1 AND uses.extend_to > tokens.expires_at";
    let mut sql = uses_sql(count);
    write!(
        sql,
        " UPDATE tokens SET last_used_at = CASE WHEN tokens.last_used_at > uses.used_at \
            THEN tokens.last_used_at ELSE uses.used_at END, \
          expires_at = CASE WHEN {extended} THEN uses.extend_to ELSE tokens.expires_at END, \
          updated_at = CASE WHEN {extended} THEN $1 ELSE tokens.updated_at END \
          FROM uses WHERE tokens.id = uses.id"
    )
    .expect("a string takes everything");
    sql
}

/// The same parameters as for the tokens. Several of a user's tokens count once.
fn note_users_sql(count: usize) -> String {
    uses_sql(count)
        + ", seen (user_id, seen_at) AS (SELECT tokens.user_id, MAX(uses.used_at) \
             FROM uses JOIN tokens ON tokens.id = uses.id WHERE $1 = $1 GROUP BY tokens.user_id) \
           UPDATE users SET last_seen_at = seen.seen_at FROM seen \
           WHERE users.id = seen.user_id AND (users.last_seen_at IS NULL OR users.last_seen_at < seen.seen_at)"
}

fn uses_sql(count: usize) -> String {
    let mut sql = String::from("WITH uses (id, used_at, extend_to) AS (VALUES ");
    for row in 0..count {
        let first = 2 + row * 3;
        let comma = if row == 0 { "" } else { ", " };
        write!(sql, "{comma}(${first}, ${}, ${})", first + 1, first + 2).expect("a string takes everything");
    }
    sql.push(')');
    sql
}

async fn note_part(
    tx: &mut Tx,
    part: &[TokenUse],
    tokens_sql: &str,
    users_sql: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    // Nothing but placeholders is built into these texts.
    for sql in [tokens_sql, users_sql] {
        on!(tx.conn(), |c| {
            let mut query = sqlx::query(AssertSqlSafe(sql))
                .persistent(false)
                .bind(now.as_micros());
            for one in part {
                query = query
                    .bind(one.id.as_str())
                    .bind(one.used_at.as_micros())
                    .bind(one.extend_to.map(Timestamp::as_micros));
            }
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}
