//! Who may pass: every token that any part of the gateway accepts goes through [`Access::admit`], and every
//! right that is taken away goes through [`Access::revoke_tokens`] or [`Access::revoke_user`].
//!
//! The invariant: when a revocation returns, nobody accepts the old right any more and what was in flight with it
//! has been cut. It rests on the order of steps. A request first enters the registry, then notes the epoch, then
//! reads cache or store, then is bound to its user, then looks whether the epoch has moved: if so it throws away
//! what it read. A revocation is first committed by its caller, then moves the epoch and drops cache entries in
//! one step, then cuts whom it finds in the registry. Whichever way the two interleave, either the request
//! sees the moved epoch or the revocation finds the request.
//!
//! It does not decide what a principal may do, and writes nothing to the store.

mod cache;
pub mod checkpoint;
mod lane;
pub mod registry;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use gateway_core::{ApiToken, Clock, Principal, Timestamp, TokenId, TokenRecord, User, UserId, UserStatus};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use cache::Cache;
use checkpoint::{CheckpointHook, Step};
pub use lane::LaneOptions;
use lane::{Lane, LaneError};
pub use registry::Side;
use registry::{Entry, Registered, Registry, Sever};

/// How long a cut request may take to say goodbye before its connections are taken away.
pub const GOODBYE: Duration = Duration::from_millis(50);

/// How often a verification starts over because rights were taken away while it ran.
const VERIFY_ROUNDS: usize = 16;

/// A token and its owner as the store holds them.
#[derive(Clone, Debug)]
pub struct StoredToken {
    pub record: TokenRecord,
    pub user: User,
}

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be looked up")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where tokens are looked up.
pub trait TokenSource: Send + Sync + 'static {
    /// The token with this id and its owner; none if there is no such token.
    fn find(&self, id: TokenId) -> BoxFuture<'_, Result<Option<StoredToken>, SourceError>>;
}

/// Why nobody is admitted.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Unknown, removed, wrong secret, or its owner is suspended.
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
    /// Too many look-ups at once; nothing is known about the token.
    #[error("too many tokens are being verified")]
    Busy,
    /// The store did not answer; nothing is known about the token.
    #[error("tokens cannot be verified at the moment")]
    Unavailable(#[source] Option<Arc<SourceError>>),
}

/// Bounds and hooks.
#[derive(Clone, Debug)]
pub struct AccessOptions {
    /// Verified tokens that are kept.
    pub cache_capacity: usize,
    pub lane: LaneOptions,
    pub checkpoints: CheckpointHook,
}

pub struct Access {
    registry: Arc<Registry>,
    cache: Cache,
    lane: Lane,
    clock: Arc<dyn Clock>,
    uses: Mutex<HashMap<TokenId, (UserId, Timestamp)>>,
    capacity: usize,
    checkpoints: CheckpointHook,
}

/// The right to go on, for as long as this is held: keep it until the last byte of the answer is out.
pub struct Admission {
    principal: Arc<Principal>,
    registered: Registered,
}

/// A handle on an admitted request that does not keep it in the registry.
#[derive(Clone)]
pub struct InFlight(Arc<Entry>);

// === impl AccessOptions ===

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            cache_capacity: 100_000,
            lane: LaneOptions::default(),
            checkpoints: CheckpointHook::default(),
        }
    }
}

// === impl Access ===

impl Access {
    pub fn new(source: Arc<dyn TokenSource>, clock: Arc<dyn Clock>, options: AccessOptions) -> Arc<Self> {
        Arc::new(Self {
            registry: Arc::default(),
            cache: Cache::new(options.cache_capacity),
            lane: Lane::new(source, options.lane),
            clock,
            uses: Mutex::default(),
            capacity: options.cache_capacity,
            checkpoints: options.checkpoints,
        })
    }

    /// Verifies a token and enters the request in the registry. `from` is the client's address, for fairness
    /// among those whose tokens have to be looked up.
    pub async fn admit(&self, token: &ApiToken, from: Option<IpAddr>) -> Result<Admission, AccessError> {
        let registered = self.registry.enter(token.id());
        self.checkpoints.reach(Step::Registered, token.id()).await;
        for _ in 0..VERIFY_ROUNDS {
            let epoch = self.cache.epoch();
            self.checkpoints.reach(Step::BeforeCache, token.id()).await;
            let principal = self.verify(token, epoch, from).await?;
            registered.bind(principal.user_id);
            if self.cache.epoch() != epoch {
                continue;
            }
            if registered.entry().is_cut() {
                return Err(AccessError::Invalid);
            }
            let now = self.clock.now();
            if principal.is_expired(now) {
                return Err(AccessError::Expired);
            }
            self.note_use(&principal, now);
            return Ok(Admission {
                principal,
                registered,
            });
        }
        Err(AccessError::Busy)
    }

    /// Takes tokens' rights away: call it after the removal is committed. Returns when the tokens are refused
    /// and everything in flight with them has been cut, at the latest a little over twice [`GOODBYE`] later.
    pub async fn revoke_tokens(&self, tokens: &[TokenId]) {
        self.cache.revoke_tokens(tokens);
        cut(tokens
            .iter()
            .flat_map(|token| self.registry.of_token(*token))
            .collect())
        .await;
    }

    /// The same for all tokens of a user, found by the user's id and not by a list read before.
    pub async fn revoke_user(&self, user_id: UserId) {
        self.cache.revoke_user(user_id);
        cut(self.registry.of_user(user_id)).await;
    }

    /// Cuts everything, for the end of a shutdown.
    pub async fn cut_all(&self) {
        cut(self.registry.everyone()).await;
    }

    /// Drops cache entries without cutting anything: for changes that take no right away.
    pub fn forget(&self, tokens: &[TokenId]) {
        self.cache.forget(tokens);
    }

    /// The last use of every token since the last call.
    pub fn drain_uses(&self) -> Vec<(TokenId, UserId, Timestamp)> {
        let uses = std::mem::take(&mut *self.uses.lock());
        uses.into_iter()
            .map(|(token, (user, at))| (token, user, at))
            .collect()
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.registry.len()
    }

    async fn verify(
        &self,
        token: &ApiToken,
        epoch: u64,
        from: Option<IpAddr>,
    ) -> Result<Arc<Principal>, AccessError> {
        let digest = token.digest();
        if let Some(principal) = self.cache.get(&digest) {
            return Ok(principal);
        }
        if self.lane.was_refused(&digest) {
            return Err(AccessError::Invalid);
        }
        self.checkpoints.reach(Step::BeforeStoreRead, token.id()).await;
        let found = self
            .lane
            .find(token.id(), digest, epoch, from)
            .await
            .map_err(|error| match error {
                LaneError::Full => AccessError::Busy,
                LaneError::TimedOut(_) => AccessError::Unavailable(None),
                LaneError::Source(source) => AccessError::Unavailable(Some(source)),
            })?;
        let Some(stored) = found.filter(|stored| stored.record.secret_hash.matches(&token.secret_hash()))
        else {
            self.lane.refuse(digest);
            return Err(AccessError::Invalid);
        };
        if stored.user.status != UserStatus::Active {
            return Err(AccessError::Invalid);
        }
        let principal = Arc::new(stored.principal());
        self.checkpoints.reach(Step::BeforeCacheFill, token.id()).await;
        self.cache.fill(digest, Arc::clone(&principal), epoch);
        Ok(principal)
    }

    /// Bounded like the cache: when it is full, uses of further tokens are not noted until it is drained.
    fn note_use(&self, principal: &Principal, now: Timestamp) {
        let mut uses = self.uses.lock();
        if uses.len() < self.capacity || uses.contains_key(&principal.token_id) {
            uses.insert(principal.token_id, (principal.user_id, now));
        }
    }
}

/// Asks every entry to end, waits [`GOODBYE`] for those that do, severs the rest, and waits for what the connections
/// of severed streams had staged, again for [`GOODBYE`] at most.
async fn cut(entries: Vec<Arc<Entry>>) {
    if entries.is_empty() {
        return;
    }
    for entry in &entries {
        entry.begin();
    }
    let all_ended = join_all(entries.iter().map(|entry| entry.ended()));
    let _ = tokio::time::timeout(GOODBYE, all_ended).await;
    for entry in &entries {
        entry.sever();
    }
    join_all(entries.iter().map(|entry| entry.settled())).await;
}

// === impl StoredToken ===

impl StoredToken {
    fn principal(&self) -> Principal {
        Principal {
            token_id: self.record.id,
            token_kind: self.record.kind,
            scopes: self.record.scopes.clone(),
            expires_at: self.record.expires_at,
            user_id: self.user.id,
            username: self.user.username.clone(),
            roles: self.user.roles.clone(),
            is_service_account: self.user.is_service_account,
        }
    }
}

// === impl Admission ===

impl Admission {
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Whether the right has been taken away since.
    pub fn is_cut(&self) -> bool {
        self.registered.entry().is_cut()
    }

    /// Ready when the right is taken away.
    pub async fn cut(&self) {
        self.registered.entry().cut().await;
    }

    pub fn in_flight(&self) -> InFlight {
        InFlight(Arc::clone(self.registered.entry()))
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("token_id", &self.principal.token_id)
            .finish_non_exhaustive()
    }
}

// === impl InFlight ===

impl InFlight {
    pub fn is_cut(&self) -> bool {
        self.0.is_cut()
    }

    /// A token that is cancelled when the right is taken away.
    pub fn cut_token(&self) -> &CancellationToken {
        self.0.cut_token()
    }

    /// Hands over a connection that is to be taken away if the request does not end by itself.
    pub fn attach(&self, side: Side, connection: Arc<dyn Sever>) {
        self.0.attach(side, connection);
    }

    /// Takes the connection back: what is in flight no longer depends on it.
    pub fn detach(&self, side: Side) {
        self.0.detach(side);
    }

    /// Takes the connections away at once.
    pub fn sever(&self) {
        self.0.sever();
    }
}
