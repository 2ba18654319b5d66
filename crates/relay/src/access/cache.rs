//! Tokens that were verified a moment ago, so that a warm request reads no database.
//!
//! Keyed by the digest of the whole token and indexed by token id and by user. Values are immutable and only a
//! verification fills them in, under the epoch that it noted before it read the store: if a revocation came in
//! between, the fill is refused. Expiry is for the caller to check at every hit.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::{Principal, TokenDigest, TokenId, UserId};
use parking_lot::RwLock;

pub(crate) struct Cache {
    capacity: usize,
    /// Moves with every revocation. Written only under the lock, read without it.
    epoch: AtomicU64,
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    by_digest: HashMap<TokenDigest, Arc<Principal>>,
    by_token: HashMap<TokenId, TokenDigest>,
    by_user: HashMap<UserId, HashSet<TokenId>>,
    /// In the order of filling, for making room; may name tokens that are gone.
    order: VecDeque<TokenId>,
}

// === impl Cache ===

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            epoch: AtomicU64::new(0),
            entries: RwLock::default(),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<Arc<Principal>> {
        self.entries.read().by_digest.get(digest).cloned()
    }

    /// Keeps a verified token, unless the epoch has moved since `noted`.
    pub(crate) fn fill(&self, digest: TokenDigest, principal: Arc<Principal>, noted: u64) {
        let mut entries = self.entries.write();
        if self.epoch() != noted {
            return;
        }
        entries.remove_token(principal.token_id);
        while entries.by_digest.len() >= self.capacity || entries.order.len() >= self.capacity * 2 {
            let Some(oldest) = entries.order.pop_front() else {
                break;
            };
            entries.remove_token(oldest);
        }
        entries.order.push_back(principal.token_id);
        entries.by_token.insert(principal.token_id, digest);
        entries
            .by_user
            .entry(principal.user_id)
            .or_default()
            .insert(principal.token_id);
        entries.by_digest.insert(digest, principal);
    }

    /// Forgets tokens without moving the epoch: for what changed without taking a right away.
    pub(crate) fn forget(&self, tokens: &[TokenId]) {
        let mut entries = self.entries.write();
        for token in tokens {
            entries.remove_token(*token);
        }
    }

    /// Moves the epoch, then forgets tokens.
    pub(crate) fn revoke_tokens(&self, tokens: &[TokenId]) {
        let mut entries = self.entries.write();
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for token in tokens {
            entries.remove_token(*token);
        }
    }

    /// Moves the epoch, then forgets every token of a user.
    pub(crate) fn revoke_user(&self, user_id: UserId) {
        let mut entries = self.entries.write();
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for token in entries.by_user.get(&user_id).cloned().unwrap_or_default() {
            entries.remove_token(token);
        }
    }
}

impl Entries {
    fn remove_token(&mut self, token: TokenId) {
        let Some(digest) = self.by_token.remove(&token) else {
            return;
        };
        let Some(principal) = self.by_digest.remove(&digest) else {
            return;
        };
        if let Some(tokens) = self.by_user.get_mut(&principal.user_id) {
            tokens.remove(&token);
            if tokens.is_empty() {
                self.by_user.remove(&principal.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::{ApiToken, Roles, Scopes, Timestamp, TokenKind};

    use super::*;

    fn principal(token: &ApiToken, user_id: UserId) -> Arc<Principal> {
        Arc::new(Principal {
            token_id: token.id(),
            token_kind: TokenKind::Api,
            scopes: Scopes::all(),
            expires_at: Timestamp::MAX,
            user_id,
            username: "alice".into(),
            roles: Roles::default(),
            is_service_account: false,
        })
    }

    fn token() -> ApiToken {
        ApiToken::generate(&mut rand::rng())
    }

    #[test]
    fn a_fill_under_an_old_epoch_is_refused() {
        let cache = Cache::new(10);
        let (token, user) = (token(), UserId::generate());
        let noted = cache.epoch();
        cache.revoke_user(UserId::generate());
        cache.fill(token.digest(), principal(&token, user), noted);
        assert!(cache.get(&token.digest()).is_none());
        cache.fill(token.digest(), principal(&token, user), cache.epoch());
        assert!(cache.get(&token.digest()).is_some());
    }

    #[test]
    fn revoking_a_user_forgets_all_their_tokens_and_nobody_elses() {
        let cache = Cache::new(10);
        let (alice, bob) = (UserId::generate(), UserId::generate());
        let tokens = [token(), token(), token()];
        for (token, user) in tokens.iter().zip([alice, alice, bob]) {
            cache.fill(token.digest(), principal(token, user), cache.epoch());
        }
        cache.revoke_user(alice);
        assert!(cache.get(&tokens[0].digest()).is_none());
        assert!(cache.get(&tokens[1].digest()).is_none());
        assert!(cache.get(&tokens[2].digest()).is_some());
        cache.revoke_tokens(&[tokens[2].id()]);
        assert!(cache.get(&tokens[2].digest()).is_none());
        assert!(cache.entries.read().by_user.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let cache = Cache::new(3);
        let tokens: Vec<ApiToken> = (0..50).map(|_| token()).collect();
        for token in &tokens {
            cache.fill(
                token.digest(),
                principal(token, UserId::generate()),
                cache.epoch(),
            );
        }
        let kept = tokens
            .iter()
            .filter(|token| cache.get(&token.digest()).is_some())
            .count();
        assert_eq!(kept, 3);
        // Filling the same token again and again leaves no trail.
        for _ in 0..100 {
            cache.fill(
                tokens[0].digest(),
                principal(&tokens[0], UserId::generate()),
                cache.epoch(),
            );
        }
        let entries = cache.entries.read();
        assert!(entries.order.len() <= 6 && entries.by_user.len() <= 3);
    }
}
