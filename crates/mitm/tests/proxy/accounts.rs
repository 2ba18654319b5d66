//! The tokens that exist, and gates at which admissions are stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use gateway_core::{
    ApiToken, Lifetime, Roles, Scopes, Timestamp, TokenId, TokenKind, TokenRecord, User, UserId, UserStatus,
};
use gateway_relay::access::checkpoint::{Checkpoints, Step};
use gateway_relay::access::{SourceError, StoredToken, TokenSource};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::support::patiently;

#[derive(Default)]
pub(crate) struct Accounts {
    tokens: Mutex<HashMap<TokenId, StoredToken>>,
    pub(crate) reads: AtomicU64,
    pub(crate) is_broken: Mutex<bool>,
}

impl Accounts {
    pub(crate) fn add(&self, scopes: Scopes, expires_at: Timestamp) -> ApiToken {
        let (token, user_id) = (ApiToken::generate(&mut rand::rng()), UserId::generate());
        let now = Timestamp::from_micros(0);
        let record = TokenRecord {
            id: token.id(),
            user_id,
            secret_hash: token.secret_hash(),
            kind: TokenKind::Session,
            name: String::new(),
            scopes,
            lifetime: Lifetime::from_days(30).unwrap(),
            created_at: now,
            updated_at: now,
            expires_at,
            last_used_at: None,
        };
        let user = User {
            id: user_id,
            username: "alice".into(),
            email: None,
            name: String::new(),
            roles: Roles::default(),
            status: UserStatus::Active,
            is_service_account: false,
            created_at: now,
            updated_at: now,
            last_seen_at: None,
        };
        self.tokens
            .lock()
            .insert(token.id(), StoredToken { record, user });
        token
    }

    pub(crate) fn remove(&self, id: TokenId) {
        self.tokens.lock().remove(&id);
    }

    pub(crate) fn extend(&self, id: TokenId, expires_at: Timestamp) {
        self.tokens.lock().get_mut(&id).unwrap().record.expires_at = expires_at;
    }
}

impl TokenSource for Accounts {
    fn find(&self, id: TokenId) -> BoxFuture<'_, Result<Option<StoredToken>, SourceError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let found = if *self.is_broken.lock() {
            Err(SourceError("the database is gone".into()))
        } else {
            Ok(self.tokens.lock().get(&id).cloned())
        };
        Box::pin(async move { found })
    }
}

/// Stops an admission at one step until told to go on.
#[derive(Default)]
pub(crate) struct Gate {
    closed: Mutex<Option<Step>>,
    arrived: Notify,
    open: Notify,
}

impl Gate {
    pub(crate) fn close(&self, step: Step) {
        *self.closed.lock() = Some(step);
    }

    pub(crate) async fn arrival(&self) {
        patiently("arrival at the gate", self.arrived.notified()).await;
    }

    pub(crate) fn open(&self) {
        self.open.notify_one();
    }
}

pub(crate) struct Gates(pub(crate) Arc<Gate>);

impl Checkpoints for Gates {
    fn reach(&self, step: Step, _token: TokenId) -> BoxFuture<'static, ()> {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            let is_stopped = gate.closed.lock().take_if(|closed| *closed == step).is_some();
            if is_stopped {
                gate.arrived.notify_one();
                gate.open.notified().await;
            }
        })
    }
}
