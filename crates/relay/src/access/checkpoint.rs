//! Named moments in the life of a request, for tests that must stop one exactly there.
//!
//! In production nothing is installed and a checkpoint costs one branch.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gateway_core::TokenId;

/// What the request has just done, or is just about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Entered in the registry; nothing verified.
    Registered,
    /// The epoch is noted; the cache comes next.
    BeforeCache,
    /// Not in the cache; the store comes next.
    BeforeStoreRead,
    /// The store has answered; the cache is to be filled.
    BeforeCacheFill,
    /// Verified and bound; the request's body is read next.
    BeforeBody,
    /// The body is read; the provider is asked next.
    BeforeUpstream,
    /// The provider's head has arrived and was not released.
    BeforeHead,
    /// The last frame of the answer has arrived and was not released.
    BeforeRelease,
}

/// Called at each step; the request goes on when the future is ready.
pub trait Checkpoints: Send + Sync + 'static {
    fn reach(&self, step: Step, token: TokenId) -> BoxFuture<'static, ()>;
}

/// The installed checkpoints, if any.
#[derive(Clone, Default)]
pub struct CheckpointHook(Option<Arc<dyn Checkpoints>>);

// === impl CheckpointHook ===

impl CheckpointHook {
    pub fn new(checkpoints: Arc<dyn Checkpoints>) -> Self {
        Self(Some(checkpoints))
    }

    pub(crate) fn is_installed(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) async fn reach(&self, step: Step, token: TokenId) {
        if let Some(checkpoints) = &self.0 {
            checkpoints.reach(step, token).await;
        }
    }

    pub(crate) fn future(&self, step: Step, token: TokenId) -> Option<BoxFuture<'static, ()>> {
        self.0.as_ref().map(|checkpoints| checkpoints.reach(step, token))
    }
}

impl std::fmt::Debug for CheckpointHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CheckpointHook")
            .field(&self.is_installed())
            .finish()
    }
}
