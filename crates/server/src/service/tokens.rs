//! Making, showing and removing tokens.

use gateway_core::{ApiToken, Lifetime, Permission, Scopes, TokenId, TokenKind, TokenRecord, User, user};
use gateway_store::{NewToken, TokenFilter, TokenWithOwner};
use rand::RngExt as _;

use super::error::ServiceError;
use super::{Requester, Revoked, Services, author, require};

/// The most tokens that one call lists.
pub const PAGE: u32 = 1000;

/// What a new API token is to be.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// Nanoseconds; none or 0 is the default.
    pub lifetime: Option<i64>,
    /// None or empty: one is picked.
    pub name: Option<String>,
    pub scopes: Vec<String>,
}

/// Which tokens to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenListing {
    /// Everybody's, as far as the caller may see them.
    pub all: bool,
    pub include_expired: bool,
    pub after: Option<TokenId>,
    /// At most [`PAGE`].
    pub limit: Option<u32>,
    /// Those that were made last, rather than in the order of their ids. `after` does not go with it.
    pub newest_first: bool,
}

// === impl Services ===

impl Services {
    /// The longest lifetime that a token of this user may be given.
    pub fn max_lifetime(&self, user: &User) -> Lifetime {
        if user.roles.is_owner() {
            self.lifetimes.max_admin_token
        } else {
            self.lifetimes.max_token
        }
    }

    pub async fn token_config(&self, caller: &Requester, target: &str) -> Result<Lifetime, ServiceError> {
        let user = self.user(caller, target, Permission::ManageTokens).await?;
        Ok(self.max_lifetime(&user))
    }

    /// The token with its secret, and what is kept of it.
    pub async fn create_token(
        &self,
        caller: &Requester,
        target: &str,
        request: TokenRequest,
    ) -> Result<(ApiToken, TokenRecord), ServiceError> {
        let user = self.user(caller, target, Permission::ManageTokens).await?;
        let needs = (user.id != caller.user_id).then_some(Permission::ManageTokens);
        let lifetime = self.lifetime(&user, request.lifetime)?;
        let name = match request.name {
            Some(name) if !name.is_empty() => name,
            _ => picked_name(),
        };
        user::check_token_name(&name).map_err(|fault| ServiceError::field("token_name", fault))?;
        let scopes = request
            .scopes
            .iter()
            .map(|scope| scope.parse())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|unknown| ServiceError::field("scopes", unknown))?;
        let token = ApiToken::generate(&mut rand::rng());
        let now = self.clock.now();
        let new = NewToken {
            id: token.id(),
            user_id: user.id,
            secret_hash: token.secret_hash(),
            kind: TokenKind::Api,
            name,
            scopes: Scopes::new(scopes),
            lifetime,
            created_at: now,
            expires_at: now.plus(lifetime.as_duration()),
            password_hash: None,
        };
        let (store, author) = (self.store.clone(), author(caller, needs));
        self.commit(Revoked::Nothing, async move {
            let created = store.tokens().create(&author, new).await?;
            Ok(((token, created.record), Revoked::Nothing))
        })
        .await
    }

    fn lifetime(&self, user: &User, nanos: Option<i64>) -> Result<Lifetime, ServiceError> {
        let ceiling = self.max_lifetime(user);
        let nanos = nanos.unwrap_or(0);
        if nanos == 0 {
            return Ok(self.lifetimes.default_token.min(ceiling));
        }
        let lifetime = Lifetime::from_nanos(nanos)
            .ok_or_else(|| ServiceError::field("lifetime", "a lifetime must be longer than zero"))?;
        if lifetime > ceiling {
            return Err(ServiceError::field(
                "lifetime",
                format!("the longest lifetime of a token here is {ceiling}"),
            ));
        }
        Ok(lifetime)
    }

    /// A user's API tokens, or everybody's, in the order of their ids unless asked for another.
    pub async fn list_tokens(
        &self,
        caller: &Requester,
        target: &str,
        listing: TokenListing,
    ) -> Result<Vec<TokenWithOwner>, ServiceError> {
        let user = self.user(caller, target, Permission::ReadTokens).await?;
        let limit = listing.limit.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&limit) {
            return Err(ServiceError::field("limit", format!("must be 1 to {PAGE}")));
        }
        let everybody = listing.all && caller.roles.allow(Permission::ReadTokens);
        let filter = TokenFilter {
            user: (!everybody).then_some(user.id),
            kind: Some(TokenKind::Api),
            include_expired: listing.include_expired,
            now: self.clock.now(),
            after: listing.after,
            limit,
            newest_first: listing.newest_first,
        };
        Ok(self.store.tokens().list(filter).await?)
    }

    pub async fn token_by_name(
        &self,
        caller: &Requester,
        target: &str,
        name: &str,
    ) -> Result<TokenRecord, ServiceError> {
        let user = self.user(caller, target, Permission::ReadTokens).await?;
        self.store
            .tokens()
            .find_by_name(user.id, name)
            .await?
            .ok_or(ServiceError::NotFound("token"))
    }

    pub async fn token(&self, caller: &Requester, id: &str) -> Result<TokenRecord, ServiceError> {
        self.visible(caller, parse(id)?, Permission::ReadTokens)
            .await?
            .ok_or(ServiceError::NotFound("token"))
    }

    /// Removes a token for good. When this returns, whoever removed it, nobody accepts it any more.
    pub async fn remove_token(&self, caller: &Requester, id: &str) -> Result<(), ServiceError> {
        let id = parse(id)?;
        let Some(record) = self.visible(caller, id, Permission::ManageTokens).await? else {
            return self.already_gone(id).await;
        };
        let needs = (record.user_id != caller.user_id).then_some(Permission::ManageTokens);
        let (store, author, now) = (self.store.clone(), author(caller, needs), self.clock.now());
        let was_there = self
            .commit(Revoked::Tokens(vec![id]), async move {
                let was_there = store.tokens().remove(&author, id, now).await?;
                Ok((was_there, Revoked::Tokens(vec![id])))
            })
            .await?;
        if was_there {
            Ok(())
        } else {
            Err(ServiceError::NotFound("token"))
        }
    }

    /// Lets a token expire now and keeps its row.
    pub async fn expire_token(&self, caller: &Requester, id: &str) -> Result<(), ServiceError> {
        let id = parse(id)?;
        let Some(record) = self.visible(caller, id, Permission::ManageTokens).await? else {
            return self.already_gone(id).await;
        };
        let needs = (record.user_id != caller.user_id).then_some(Permission::ManageTokens);
        let (store, author, now) = (self.store.clone(), author(caller, needs), self.clock.now());
        self.commit(Revoked::Tokens(vec![id]), async move {
            store.tokens().expire(&author, id, now).await?;
            Ok(((), Revoked::Tokens(vec![id])))
        })
        .await
    }

    /// Somebody else has removed it a moment ago and may still be cutting: the same cut is waited for.
    async fn already_gone(&self, id: TokenId) -> Result<(), ServiceError> {
        if self.store.tokens().find(id).await?.is_none() {
            self.access.revoke_tokens(&[id]).await;
        }
        Err(ServiceError::NotFound("token"))
    }

    /// The token, if it is the caller's own or the caller has the right to those of others.
    async fn visible(
        &self,
        caller: &Requester,
        id: TokenId,
        needs: Permission,
    ) -> Result<Option<TokenRecord>, ServiceError> {
        let found = self.store.tokens().find(id).await?;
        Ok(found.filter(|record| record.user_id == caller.user_id || require(caller, needs).is_ok()))
    }
}

fn parse(id: &str) -> Result<TokenId, ServiceError> {
    id.parse().map_err(|_| ServiceError::NotFound("token"))
}

/// Two words and a number, easy to tell apart in a list.
fn picked_name() -> String {
    const FIRST: [&str; 16] = [
        "amber", "brave", "calm", "clever", "eager", "fair", "gentle", "happy", "keen", "light", "lucid",
        "quiet", "rapid", "sharp", "solid", "warm",
    ];
    const SECOND: [&str; 16] = [
        "anchor", "beacon", "bridge", "canyon", "comet", "delta", "ember", "falcon", "harbor", "lantern",
        "maple", "meadow", "orbit", "pebble", "river", "summit",
    ];
    let mut rng = rand::rng();
    let (first, second) = (FIRST[rng.random_range(0..16)], SECOND[rng.random_range(0..16)]);
    format!("{first}-{second}-{}", rng.random_range(1000..10_000))
}
