//! Signing in and out, and the first user.

use gateway_core::audit::Source;
use gateway_core::{
    ApiToken, Role, Roles, Scopes, Secret, TokenKind, User, UserId, UserStatus, password, user,
};
use gateway_store::{Author, NewToken, NewUser};

use super::error::ServiceError;
use super::setup::Origin;
use super::{Requester, Revoked, Services, author};

/// What the first user is to be.
pub struct FirstUser {
    pub username: String,
    pub email: String,
    pub name: String,
    pub password: Secret,
    pub setup_code: Option<String>,
}

/// Under what set-up counts among the accounts that are tried.
const SETUP: &str = "set-up";

/// Why somebody was not signed in: what they are told, and what the audit log is.
struct Refusal {
    error: ServiceError,
    /// The account that was tried, if it was found.
    user: Option<User>,
    /// None if it was no attempt that failed, but the server.
    reason: Option<&'static str>,
}

// === impl Refusal ===

impl Refusal {
    fn new(error: ServiceError, user: Option<User>, reason: &'static str) -> Self {
        Self {
            error,
            user,
            reason: Some(reason),
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        Self {
            error,
            user: None,
            reason: None,
        }
    }
}

// === impl Services ===

impl Services {
    pub async fn is_set_up(&self) -> Result<bool, ServiceError> {
        Ok(self.store.users().is_set_up().await?)
    }

    /// Makes the first owner, once in the life of a deployment.
    pub async fn create_first_user(
        &self,
        first: FirstUser,
        origin: Origin,
        source: &Source,
    ) -> Result<User, ServiceError> {
        self.check_setup_code(first.setup_code.as_deref(), origin, source)
            .await?;
        if self.is_set_up().await? {
            return Err(gateway_store::StoreError::AlreadySetUp.into());
        }
        check_names(&first.username, Some(&first.email), &first.name)?;
        let password_hash = self
            .new_password(&first.password, &first.username, Some(&first.email))
            .await?;
        let new = NewUser {
            id: UserId::generate(),
            username: first.username,
            email: Some(first.email),
            name: first.name,
            roles: Roles::new([Role::Owner]),
            is_service_account: false,
            password_hash: Some(password_hash),
        };
        Ok(self
            .store
            .users()
            .create_first_owner(source, new, self.clock.now())
            .await?)
    }

    /// The code can be guessed at like a password. Who needs none guesses nothing, and nor does who has it right.
    async fn check_setup_code(
        &self,
        code: Option<&str>,
        origin: Origin,
        source: &Source,
    ) -> Result<(), ServiceError> {
        if code.is_none() && self.setup.check(origin, None).is_ok() {
            return Ok(());
        }
        self.attempts.begin(source.address(), SETUP)?;
        if let Err(refused) = self.setup.check(origin, code) {
            self.note_failure(SETUP, None, source, "wrong or missing set-up code")
                .await;
            return Err(refused);
        }
        self.attempts.succeeded(source.address(), SETUP);
        Ok(())
    }

    /// Signs in with a password. An unknown address, a wrong password and a service account get the same answer
    /// after the same work.
    pub async fn login(&self, email: &str, given: Secret, source: &Source) -> Result<ApiToken, ServiceError> {
        let refusal = match self.try_login(email, given, source).await {
            Ok(token) => return Ok(token),
            Err(refusal) => refusal,
        };
        if let Some(reason) = refusal.reason {
            self.note_failure(email, refusal.user.as_ref(), source, reason)
                .await;
        }
        Err(refusal.error)
    }

    async fn try_login(&self, email: &str, given: Secret, source: &Source) -> Result<ApiToken, Refusal> {
        self.attempts
            .begin(source.address(), email)
            .map_err(|error| Refusal::new(error, None, "too many attempts"))?;
        let is_plausible =
            password::LENGTH.contains(&given.expose().chars().count()) && user::check_email(email).is_ok();
        let found = if is_plausible {
            self.store
                .users()
                .credentials_by_email(email)
                .await
                .map_err(ServiceError::from)?
        } else {
            None
        };
        let stored = found.as_ref().and_then(|(_, hash)| hash.clone());
        // A password that is too long to be anybody's is not hashed at its full length.
        let given = if is_plausible {
            given
        } else {
            Secret::new("not a password")
        };
        let is_right = self.hasher.verify(given, stored.clone()).await?;
        let user = match found {
            Some((user, _)) if is_right => user,
            found => {
                let reason = if found.is_some() {
                    "wrong password"
                } else {
                    "unknown account"
                };
                let error = ServiceError::Unauthenticated("incorrect e-mail address or password".to_owned());
                return Err(Refusal::new(error, found.map(|(user, _)| user), reason));
            }
        };
        self.attempts.succeeded(source.address(), email);
        if user.status != UserStatus::Active {
            let error = ServiceError::Unauthenticated(
                "this account is suspended; ask an administrator to activate it".to_owned(),
            );
            return Err(Refusal::new(error, Some(user), "account suspended"));
        }
        Ok(self
            .new_session(Author::Client(source.clone()), &user, stored.map(Secret::new))
            .await?)
    }

    /// A further session for somebody who is signed in, so that a command line can have one of its own.
    pub async fn create_session(&self, caller: &Requester, target: &str) -> Result<ApiToken, ServiceError> {
        let user = self
            .user(caller, target, gateway_core::Permission::ManageTokens)
            .await?;
        let needs = (user.id != caller.user_id).then_some(gateway_core::Permission::ManageTokens);
        self.new_session(author(caller, needs), &user, None).await
    }

    /// Ends the session, or removes the token, that the call was made with.
    pub async fn logout(&self, caller: &Requester) -> Result<(), ServiceError> {
        let (store, id, now) = (self.store.clone(), caller.token_id, self.clock.now());
        let author = author(caller, None);
        let outcome = self
            .commit(Revoked::Tokens(vec![id]), async move {
                store.tokens().log_out(&author, id, now).await?;
                Ok(((), Revoked::Tokens(vec![id])))
            })
            .await;
        if matches!(outcome, Err(ServiceError::Unauthenticated(_))) {
            // Somebody else has removed it a moment ago and may still be cutting.
            self.access.revoke_tokens(&[id]).await;
        }
        outcome
    }

    /// Checks a new password and hashes it.
    pub(crate) async fn new_password(
        &self,
        new: &Secret,
        username: &str,
        email: Option<&str>,
    ) -> Result<String, ServiceError> {
        let names = std::iter::once(username)
            .chain(email)
            .map(str::to_owned)
            .collect();
        self.hasher
            .hash_new(new.clone(), names)
            .await?
            .map_err(|weak| ServiceError::field("password", weak))
    }

    /// `verified` is the password hash that the sign-in was checked against, if it was by password: if it is another
    /// one by then, there is no session.
    async fn new_session(
        &self,
        author: Author,
        user: &User,
        verified: Option<Secret>,
    ) -> Result<ApiToken, ServiceError> {
        let token = ApiToken::generate(&mut rand::rng());
        let now = self.clock.now();
        let lifetime = self.lifetimes.session;
        let new = NewToken {
            id: token.id(),
            user_id: user.id,
            secret_hash: token.secret_hash(),
            kind: TokenKind::Session,
            name: String::new(),
            scopes: Scopes::all(),
            lifetime,
            created_at: now,
            expires_at: now.plus(lifetime.as_duration()),
            password_hash: verified,
        };
        let store = self.store.clone();
        self.commit(Revoked::Nothing, async move {
            let created = store.tokens().create(&author, new).await?;
            Ok((token, Revoked::Tokens(created.dropped_sessions)))
        })
        .await
    }
}

/// The rules for names, each fault with its field.
pub(crate) fn check_names(username: &str, email: Option<&str>, name: &str) -> Result<(), ServiceError> {
    user::check_username(username).map_err(|fault| ServiceError::field("username", fault))?;
    if let Some(email) = email {
        user::check_email(email).map_err(|fault| ServiceError::field("email", fault))?;
    }
    user::check_full_name(name).map_err(|fault| ServiceError::field("name", fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::{PASSWORD, add, requester, services};

    #[tokio::test]
    async fn guessing_elsewhere_keeps_nobody_from_a_new_password() {
        let (services, _directory) = services().await;
        let email = "alice@example.com";
        add(&services, "alice", Some(email), Some(PASSWORD)).await;
        let home = Source::new("192.0.2.1".parse().ok(), None);
        let token = services.login(email, Secret::new(PASSWORD), &home).await.unwrap();
        let refused = (0..=100)
            .map(|n| format!("198.51.100.{n}").parse().ok())
            .filter(|address| services.attempts.begin(*address, email).is_err());
        assert!(refused.count() > 0);
        let caller = requester(&services, &token, home).await;
        let (old, new) = (Secret::new(PASSWORD), Secret::new("another battery staple horse"));
        services
            .set_password(&caller, "me", Some(old), new, true)
            .await
            .unwrap();
    }

    /// Whatever is wrong takes the one hash that the right password takes, so that the time tells nothing.
    #[tokio::test]
    async fn every_sign_in_computes_one_hash() {
        let (services, _directory) = services().await;
        add(&services, "alice", Some("alice@example.com"), Some(PASSWORD)).await;
        add(&services, "carol", Some("carol@example.com"), None).await;
        add(&services, "bot", None, None).await;
        let too_long = "x".repeat(1_000_000);
        let cases = [
            ("alice@example.com", PASSWORD, true),
            ("alice@example.com", "a wrong password", false),
            ("alice@example.com", "short", false),
            ("alice@example.com", too_long.as_str(), false),
            ("carol@example.com", PASSWORD, false),
            ("nobody@example.com", PASSWORD, false),
            ("bot", PASSWORD, false),
            ("not an address", PASSWORD, false),
            ("", "", false),
        ];
        for (email, given, is_right) in cases {
            let before = services.hasher.computed();
            let outcome = services
                .login(email, Secret::new(given), &Source::default())
                .await;
            let case = format!("{email}, {} bytes", given.len());
            assert_eq!(outcome.is_ok(), is_right, "{case}");
            if let Err(error) = outcome {
                assert!(
                    matches!(error, ServiceError::Unauthenticated(_)),
                    "{case}: {error}"
                );
            }
            assert_eq!(services.hasher.computed() - before, 1, "{case}");
        }
    }
}
