//! Users and service accounts: making, showing, changing, removing.

use std::sync::Arc;

use gateway_core::audit::Source;
use gateway_core::{Permission, Role, Roles, Secret, TokenId, TokenKind, User, UserId, UserStatus};
use gateway_store::{NewUser, TokenFilter, UserFilter, UserPage};

use super::error::ServiceError;
use super::sessions::check_names;
use super::{Requester, Revoked, Services, author, require};

/// What a new user is to be.
pub struct UserRequest {
    pub username: String,
    pub email: Option<String>,
    pub name: String,
    pub password: Option<Secret>,
    pub roles: Vec<String>,
    pub is_service_account: bool,
    /// The user cannot sign in with a password.
    pub without_password: bool,
}

/// What somebody may do with one user.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one right each; none follows from another"
)]
pub struct RightsOver {
    pub is_self: bool,
    /// Suspend, activate, delete, and set the password.
    pub can_manage: bool,
    pub can_set_roles: bool,
    pub can_read_tokens: bool,
    /// Make and remove tokens.
    pub can_manage_tokens: bool,
}

/// What dies with a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCounts {
    /// Those that have not expired.
    pub api_tokens: usize,
    pub sessions: usize,
}

// === impl Services ===

impl Services {
    pub async fn list_users(&self, caller: &Requester, filter: UserFilter) -> Result<UserPage, ServiceError> {
        require(caller, Permission::ReadUsers)?;
        Ok(self.store.users().list(filter).await?)
    }

    pub async fn find_user(&self, caller: &Requester, target: &str) -> Result<User, ServiceError> {
        self.user(caller, target, Permission::ReadUsers).await
    }

    pub async fn create_user(&self, caller: &Requester, request: UserRequest) -> Result<User, ServiceError> {
        require(caller, Permission::ManageUsers)?;
        let roles = parse_roles(&request.roles)?;
        let needs = if roles.is_empty() {
            Permission::ManageUsers
        } else {
            Permission::ManageRoles
        };
        require(caller, needs)?;
        check_names(&request.username, request.email.as_deref(), &request.name)?;
        let password_hash = self.initial_password(&request).await?;
        let new = NewUser {
            id: UserId::generate(),
            username: request.username,
            email: request.email,
            name: request.name,
            roles,
            is_service_account: request.is_service_account,
            password_hash,
        };
        let (store, author, now) = (self.store.clone(), author(caller, Some(needs)), self.clock.now());
        self.commit(Revoked::Nothing, async move {
            let user = store.users().create(&author, new, now).await?;
            Ok((user, Revoked::Nothing))
        })
        .await
    }

    /// What the operations on this user will allow, so that nobody is offered what would be refused.
    pub fn rights_over(&self, caller: &Requester, user: &User) -> RightsOver {
        let is_self = user.id == caller.user_id;
        let may = |needs| caller.roles.allow(needs);
        RightsOver {
            is_self,
            can_manage: !is_self && needs_for(caller, user).is_ok(),
            can_set_roles: !is_self && may(Permission::ManageRoles),
            can_read_tokens: is_self || may(Permission::ReadTokens),
            can_manage_tokens: is_self || may(Permission::ManageTokens),
        }
    }

    /// How many tokens deleting this user takes away, for those who may do that.
    pub async fn count_tokens(&self, caller: &Requester, target: &str) -> Result<TokenCounts, ServiceError> {
        let user = self.user(caller, target, Permission::ReadUsers).await?;
        needs_for(caller, &user)?;
        let filter = TokenFilter {
            user: Some(user.id),
            kind: None,
            include_expired: false,
            now: self.clock.now(),
            after: None,
            limit: 0,
        };
        let tokens = self.store.tokens().list(filter).await?;
        let sessions = tokens
            .iter()
            .filter(|token| token.record.kind == TokenKind::Session)
            .count();
        Ok(TokenCounts {
            api_tokens: tokens.len() - sessions,
            sessions,
        })
    }

    async fn initial_password(&self, request: &UserRequest) -> Result<Option<String>, ServiceError> {
        if request.is_service_account {
            if request.email.is_some() {
                return Err(ServiceError::field(
                    "email",
                    "a service account has no e-mail address",
                ));
            }
            if request.password.is_some() {
                return Err(ServiceError::field(
                    "password",
                    "a service account has no password",
                ));
            }
            return Ok(None);
        }
        if request.email.is_none() {
            return Err(ServiceError::field("email", "an e-mail address is required"));
        }
        match &request.password {
            Some(_) if request.without_password => Err(ServiceError::field(
                "password",
                "a password does not go with login type none",
            )),
            None if request.without_password => Ok(None),
            None => Err(ServiceError::field("password", "a password is required")),
            Some(new) => self
                .new_password(new, &request.username, request.email.as_deref())
                .await
                .map(Some),
        }
    }

    pub async fn set_profile(
        &self,
        caller: &Requester,
        target: &str,
        username: String,
        name: Option<String>,
    ) -> Result<User, ServiceError> {
        let user = self.user(caller, target, Permission::ManageUsers).await?;
        let needs = needs_for(caller, &user)?;
        let name = name.unwrap_or_else(|| user.name.clone());
        check_names(&username, None, &name)?;
        let (store, author, now) = (self.store.clone(), author(caller, needs), self.clock.now());
        let access = Arc::clone(&self.access);
        self.commit(Revoked::Nothing, async move {
            let user = store
                .users()
                .set_profile(&author, user.id, &username, &name, now)
                .await?;
            // What is cached of the user's tokens still has the old name.
            let tokens = TokenFilter {
                user: Some(user.id),
                kind: None,
                include_expired: false,
                now,
                after: None,
                limit: 0,
            };
            let tokens: Vec<TokenId> = store
                .tokens()
                .list(tokens)
                .await?
                .iter()
                .map(|token| token.record.id)
                .collect();
            access.forget(&tokens);
            Ok((user, Revoked::Nothing))
        })
        .await
    }

    pub async fn set_status(
        &self,
        caller: &Requester,
        target: &str,
        status: UserStatus,
    ) -> Result<User, ServiceError> {
        let user = self.manageable(caller, target, Permission::ManageUsers).await?;
        if user.id == caller.user_id {
            return Err(ServiceError::refused("you cannot suspend or activate yourself"));
        }
        let needs = needs_for(caller, &user)?;
        let (store, author, now) = (self.store.clone(), author(caller, needs), self.clock.now());
        let revoked = if status == UserStatus::Suspended {
            Revoked::User(user.id)
        } else {
            Revoked::Nothing
        };
        self.commit(revoked.clone(), async move {
            let user = store.users().set_status(&author, user.id, status, now).await?;
            Ok((user, revoked))
        })
        .await
    }

    pub async fn set_roles(
        &self,
        caller: &Requester,
        target: &str,
        roles: &[String],
    ) -> Result<User, ServiceError> {
        let user = self.manageable(caller, target, Permission::ManageRoles).await?;
        let roles = parse_roles(roles)?;
        if user.id == caller.user_id {
            return Err(ServiceError::refused("you cannot change your own roles"));
        }
        let author = author(caller, Some(Permission::ManageRoles));
        let (store, now) = (self.store.clone(), self.clock.now());
        self.commit(Revoked::User(user.id), async move {
            let user = store.users().set_roles(&author, user.id, &roles, now).await?;
            let id = user.id;
            Ok((user, Revoked::User(id)))
        })
        .await
    }

    /// Sets a password and ends all sessions of the user, and the API tokens too unless they are to be kept.
    pub async fn set_password(
        &self,
        caller: &Requester,
        target: &str,
        old: Option<Secret>,
        new: Secret,
        keep_api_tokens: bool,
    ) -> Result<(), ServiceError> {
        let user = self.user(caller, target, Permission::ManageUsers).await?;
        let needs = needs_for(caller, &user)?;
        if user.id == caller.user_id {
            self.check_old_password(&user, old, &new, &caller.source).await?;
        }
        let hash = self
            .new_password(&new, &user.username, user.email.as_deref())
            .await?;
        let (store, author, now) = (self.store.clone(), author(caller, needs), self.clock.now());
        let removal = self.removals.begin(user.id, &user.username);
        let access = Arc::clone(&self.access);
        self.commit(Revoked::User(user.id), async move {
            let removed = store
                .users()
                .set_password(&author, user.id, &hash, keep_api_tokens, now)
                .await?;
            // Kept tokens keep their streams; everything else of the user goes, found by id.
            let revoked = if keep_api_tokens {
                Revoked::Tokens(removed)
            } else {
                Revoked::User(user.id)
            };
            super::revoke(&access, &revoked).await;
            // What an earlier call has removed is not in this one's list; it may still be cutting.
            removal.wait_for_earlier().await;
            Ok(((), Revoked::Nothing))
        })
        .await
    }

    async fn check_old_password(
        &self,
        user: &User,
        old: Option<Secret>,
        new: &Secret,
        source: &Source,
    ) -> Result<(), ServiceError> {
        let old = old.ok_or_else(|| ServiceError::field("old_password", "the old password is required"))?;
        if old.expose() == new.expose() {
            return Err(ServiceError::field(
                "password",
                "the new password is the same as the old one",
            ));
        }
        // Guessing here is guessing all the same. From where the user has signed in it is not held up by what others
        // guess elsewhere.
        let account = user.email.clone().unwrap_or_default();
        self.attempts.begin(source.address(), &account)?;
        let stored = self.store.users().password_hash(user.id).await?;
        if !self.hasher.verify(old, stored).await? {
            self.note_failure(&account, Some(user), source, "wrong old password")
                .await;
            return Err(ServiceError::field("old_password", "the old password is wrong"));
        }
        self.attempts.succeeded(source.address(), &account);
        Ok(())
    }

    /// Removes a user and all their tokens. When this returns, whoever removed them, none is accepted any more.
    pub async fn delete_user(&self, caller: &Requester, target: &str) -> Result<u64, ServiceError> {
        let user = match self.manageable(caller, target, Permission::ManageUsers).await {
            Err(error @ ServiceError::NotFound(_)) => {
                // Removed a moment ago by somebody who may still be cutting: wait for the same cut.
                self.removals.wait(target).await;
                return Err(error);
            }
            found => found?,
        };
        if user.id == caller.user_id {
            return Err(ServiceError::Forbidden("you cannot delete yourself".to_owned()));
        }
        let needs = needs_for(caller, &user)?;
        let (store, author, now) = (self.store.clone(), author(caller, needs), self.clock.now());
        let removal = self.removals.begin(user.id, &user.username);
        let access = Arc::clone(&self.access);
        self.commit(Revoked::User(user.id), async move {
            let deleted = store.users().delete(&author, user.id, now).await?;
            super::revoke(&access, &Revoked::User(user.id)).await;
            drop(removal);
            Ok((deleted.tokens, Revoked::Nothing))
        })
        .await
    }

    /// A user whom the caller may act upon: members asking about others are told that nobody is there.
    async fn manageable(
        &self,
        caller: &Requester,
        target: &str,
        needs: Permission,
    ) -> Result<User, ServiceError> {
        let user = self.user(caller, target, Permission::ReadUsers).await?;
        require(caller, needs)?;
        Ok(user)
    }
}

/// The right that changing this user takes: none for oneself, more for holders of roles.
fn needs_for(caller: &Requester, user: &User) -> Result<Option<Permission>, ServiceError> {
    if user.id == caller.user_id {
        return Ok(None);
    }
    let needs = if user.roles.is_empty() {
        Permission::ManageUsers
    } else {
        Permission::ManageRoles
    };
    require(caller, needs)?;
    Ok(Some(needs))
}

fn parse_roles(names: &[String]) -> Result<Roles, ServiceError> {
    let roles = names
        .iter()
        .map(|name| name.parse::<Role>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|unknown| ServiceError::field("roles", unknown))?;
    Ok(Roles::new(roles))
}
