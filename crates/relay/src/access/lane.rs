//! The way to the store for tokens that are not in the cache: the path that an attacker can force.
//!
//! Few look-ups run at once, those of the same token under the same epoch share one, the queue is bounded as a
//! whole and per address, and tokens that were refused are remembered for a few seconds. When the lane is full
//! the answer is "busy", never "invalid".

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use gateway_core::{TokenDigest, TokenId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{SourceError, StoredToken, TokenSource};

/// Why a look-up gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LaneError {
    #[error("too many tokens are being looked up")]
    Full,
    #[error("looking up a token took longer than {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Source(#[from] Arc<SourceError>),
}

type Found = Result<Option<Arc<StoredToken>>, LaneError>;
type LookUp = BoxFuture<'static, Found>;

/// A look-up is shared only with those who noted the same epoch: one that began before a revocation must not
/// answer somebody who asks after it.
type Key = (TokenDigest, u64);

pub(crate) struct Lane {
    source: Arc<dyn TokenSource>,
    at_once: Arc<Semaphore>,
    options: LaneOptions,
    waiting: Mutex<Waiting>,
    refused: moka::sync::Cache<TokenDigest, ()>,
}

/// The bounds of the lane.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    /// Look-ups that read the store at the same time.
    pub at_once: usize,
    /// Requests that may wait, over all.
    pub waiting: usize,
    /// Requests that may wait from one address.
    pub waiting_per_address: usize,
    /// How long one may take, waiting included.
    pub timeout: Duration,
    /// How many refused tokens are remembered, and for how long.
    pub refused: u64,
    pub refused_for: Duration,
}

#[derive(Default)]
struct Waiting {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    shared: HashMap<Key, WeakShared<LookUp>>,
}

/// A place in the queue; given back on drop.
struct Place<'a> {
    lane: &'a Lane,
    address: Option<IpAddr>,
}

// === impl LaneOptions ===

impl Default for LaneOptions {
    fn default() -> Self {
        Self {
            at_once: 4,
            waiting: 1024,
            waiting_per_address: 256,
            timeout: Duration::from_secs(5),
            refused: 10_000,
            refused_for: Duration::from_secs(5),
        }
    }
}

// === impl Lane ===

impl Lane {
    pub(crate) fn new(source: Arc<dyn TokenSource>, options: LaneOptions) -> Self {
        Self {
            source,
            at_once: Arc::new(Semaphore::new(options.at_once)),
            waiting: Mutex::default(),
            refused: moka::sync::Cache::builder()
                .max_capacity(options.refused)
                .time_to_live(options.refused_for)
                .build(),
            options,
        }
    }

    pub(crate) fn was_refused(&self, digest: &TokenDigest) -> bool {
        self.refused.contains_key(digest)
    }

    /// Remembers that no such token exists. Only for what can never become valid: an id that the store does not
    /// know or a wrong secret, not a suspended user.
    pub(crate) fn refuse(&self, digest: TokenDigest) {
        self.refused.insert(digest, ());
    }

    pub(crate) async fn find(
        &self,
        id: TokenId,
        digest: TokenDigest,
        epoch: u64,
        from: Option<IpAddr>,
    ) -> Found {
        let _place = self.enter(from).ok_or(LaneError::Full)?;
        let look_up = self.look_up(id, (digest, epoch));
        tokio::time::timeout(self.options.timeout, look_up)
            .await
            .unwrap_or(Err(LaneError::TimedOut(self.options.timeout)))
    }

    fn enter(&self, address: Option<IpAddr>) -> Option<Place<'_>> {
        let mut waiting = self.waiting.lock();
        if waiting.total >= self.options.waiting {
            return None;
        }
        if let Some(address) = address {
            let here = waiting.by_address.entry(address).or_default();
            if *here >= self.options.waiting_per_address {
                return None;
            }
            *here += 1;
        }
        waiting.total += 1;
        Some(Place { lane: self, address })
    }

    fn look_up(&self, id: TokenId, key: Key) -> Shared<LookUp> {
        let mut waiting = self.waiting.lock();
        if let Some(running) = waiting.shared.get(&key).and_then(WeakShared::upgrade) {
            return running;
        }
        let (source, at_once) = (Arc::clone(&self.source), Arc::clone(&self.at_once));
        let look_up: LookUp = Box::pin(async move {
            let _permit = at_once.acquire_owned().await.map_err(|_| LaneError::Full)?;
            let found = source.find(id).await.map_err(Arc::new)?;
            Ok(found.map(Arc::new))
        });
        let look_up = look_up.shared();
        if let Some(weak) = look_up.downgrade() {
            waiting.shared.insert(key, weak);
        }
        look_up
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.lane.waiting.lock();
        waiting.total -= 1;
        if let Some(address) = self.address
            && let Some(here) = waiting.by_address.get_mut(&address)
        {
            *here -= 1;
            if *here == 0 {
                waiting.by_address.remove(&address);
            }
        }
        // Finished look-ups leave dead entries behind; there are never more than places, so sweeping when the
        // map has grown past twice that keeps it bounded.
        if waiting.shared.len() > 64 && waiting.shared.len() > waiting.total * 2 {
            waiting.shared.retain(|_, look_up| look_up.upgrade().is_some());
        }
    }
}
