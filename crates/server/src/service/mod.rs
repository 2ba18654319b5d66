//! What the REST API does, as functions over domain types: the rules, the permission checks, and the order of
//! "commit, then revoke".
//!
//! The first line of each operation checks who may. Every write names its author, so that the store checks in the
//! write's own transaction that the author is still valid. Nothing here knows HTTP.

pub mod attempts;
pub mod audit;
pub mod cli_sign_in;
pub mod error;
pub mod failures;
pub mod hasher;
pub mod places;
pub mod records;
pub mod removals;
pub mod session_list;
pub mod sessions;
pub mod setup;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod users;

use std::ops::Deref;
use std::sync::Arc;

use gateway_core::audit::Source;
use gateway_core::{Clock, Lifetime, Permission, Principal, TokenId, User, UserId};
use gateway_relay::access::Access;
use gateway_store::{Author, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use attempts::Attempts;
use cli_sign_in::SignInCodes;
use error::ServiceError;
use failures::Failures;
use hasher::Hasher;
use places::Places;
use removals::Removals;
use setup::Setup;

/// How long things may live.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    pub session: Lifetime,
    /// Of an API token whose request names none.
    pub default_token: Lifetime,
    pub max_token: Lifetime,
    /// The ceiling for owners.
    pub max_admin_token: Lifetime,
}

/// Everything that the operations share. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub store: Store,
    pub access: Arc<Access>,
    pub clock: Arc<dyn Clock>,
    pub lifetimes: Lifetimes,
    pub hasher: Hasher,
    pub attempts: Arc<Attempts>,
    pub failures: Arc<Failures>,
    pub setup: Arc<Setup>,
    pub sign_in_codes: Arc<SignInCodes>,
    pub removals: Removals,
    /// The searches for a text that are going on.
    pub searches: Arc<Places>,
    pub tasks: TaskTracker,
    /// Cancelled when the server begins to stop.
    pub drain: CancellationToken,
}

/// Who asks, verified, and from where.
#[derive(Clone, Debug)]
pub struct Requester {
    pub principal: Arc<Principal>,
    pub source: Source,
}

/// What a committed write took away, to be cut before the write is reported as done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    Nothing,
    Tokens(Vec<TokenId>),
    User(UserId),
}

// === impl Requester ===

impl Deref for Requester {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

// === impl Services ===

impl Services {
    /// Runs a write to its end and then cuts what it took away, also when the caller goes away meanwhile: a removal
    /// that is committed must not stay without its cut. `at_stake` is what the write may take away. It is cut, too, if
    /// the write finds it gone already, since somebody else may still be cutting, and if the database does not say
    /// whether the write has happened; then once more when it can no longer happen.
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        at_stake: Revoked,
        write: impl Future<Output = Result<(T, Revoked), ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (access, tasks) = (Arc::clone(&self.access), self.tasks.clone());
        let drain = self.drain.clone();
        let task = self.tasks.spawn(async move {
            match write.await {
                Ok((value, revoked)) => {
                    revoke(&access, &revoked).await;
                    Ok(value)
                }
                Err(error) => {
                    if matches!(error, ServiceError::NotFound(_) | ServiceError::Unavailable(_)) {
                        revoke(&access, &at_stake).await;
                    }
                    if matches!(error, ServiceError::Unavailable(_)) && at_stake != Revoked::Nothing {
                        tasks.spawn(async move {
                            // The end of the server does not wait for this: then all are cut before long.
                            let later = tokio::time::sleep(2 * gateway_store::OPERATION_TIMEOUT);
                            drain.run_until_cancelled(later).await;
                            revoke(&access, &at_stake).await;
                        });
                    }
                    Err(error)
                }
            }
        });
        task.await.map_err(ServiceError::internal)?
    }

    /// The user that a path names: by id, username or `me`. Others are seen only with `needs`; without it they are
    /// not there.
    pub(crate) async fn user(
        &self,
        caller: &Requester,
        name: &str,
        needs: Permission,
    ) -> Result<User, ServiceError> {
        let found = if name == "me" {
            self.store.users().find(caller.user_id).await?
        } else if let Ok(id) = name.parse() {
            self.store.users().find(id).await?
        } else {
            self.store.users().find_by_username(name).await?
        };
        match found {
            Some(user) if user.id == caller.user_id || caller.roles.allow(needs) => Ok(user),
            _ => Err(ServiceError::NotFound("user")),
        }
    }
}

/// Cuts, and returns when it is done.
pub(crate) async fn revoke(access: &Access, revoked: &Revoked) {
    match revoked {
        Revoked::Nothing => {}
        Revoked::Tokens(tokens) => access.revoke_tokens(tokens).await,
        Revoked::User(user) => access.revoke_user(*user).await,
    }
}

/// The author of a write, with the right that it stands on.
pub(crate) fn author(caller: &Requester, needs: Option<Permission>) -> Author {
    Author::Token {
        token_id: caller.token_id,
        user_id: caller.user_id,
        needs,
        source: caller.source.clone(),
    }
}

/// Refuses whoever lacks a right.
pub(crate) fn require(caller: &Requester, needs: Permission) -> Result<(), ServiceError> {
    if caller.roles.allow(needs) {
        return Ok(());
    }
    Err(ServiceError::Forbidden("your roles do not allow this".to_owned()))
}
