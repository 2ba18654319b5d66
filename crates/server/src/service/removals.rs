//! Removals that are under way, so that whoever finds a user already gone can wait until the cut is done, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::UserId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Those that have begun and whose cut has not ended.
#[derive(Clone, Default)]
pub struct Removals(Arc<Shared>);

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    running: Mutex<Vec<Running>>,
}

#[derive(Clone)]
struct Running {
    number: u64,
    user_id: UserId,
    username: String,
    done: CancellationToken,
}

/// One removal; over when this is dropped.
pub(crate) struct Removal {
    removals: Removals,
    number: u64,
    user_id: UserId,
}

// === impl Removals ===

impl Removals {
    /// To be called before the write, and kept until what it took away is cut.
    pub(crate) fn begin(&self, user_id: UserId, username: &str) -> Removal {
        let mut running = self.0.running.lock();
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (username, done) = (username.to_lowercase(), CancellationToken::new());
        running.push(Running {
            number,
            user_id,
            username,
            done,
        });
        Removal {
            removals: self.clone(),
            number,
            user_id,
        }
    }

    /// Waits for the end of what is under way for a user, named by id or username.
    pub(crate) async fn wait(&self, name: &str) {
        let name = name.to_lowercase();
        self.wait_for(|running| running.username == name || running.user_id.to_string() == name)
            .await;
    }

    async fn wait_for(&self, is_meant: impl Fn(&Running) -> bool) {
        let meant: Vec<Running> = self
            .0
            .running
            .lock()
            .iter()
            .filter(|running| is_meant(running))
            .cloned()
            .collect();
        for removal in meant {
            removal.done.cancelled().await;
        }
    }
}

// === impl Removal ===

impl Removal {
    /// Waits for those for the same user that began before this one; so no two wait for each other.
    pub(crate) async fn wait_for_earlier(&self) {
        self.removals
            .wait_for(|running| running.user_id == self.user_id && running.number < self.number)
            .await;
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.removals.0.running.lock().retain(|running| {
            let is_over = running.number == self.number;
            if is_over {
                running.done.cancel();
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_later_waits_and_who_comes_first_does_not() {
        let removals = Removals::default();
        let user = UserId::generate();
        let first = removals.begin(user, "Alice");
        let second = removals.begin(user, "alice");
        first.wait_for_earlier().await;
        let mut waiting = Box::pin(removals.wait("ALICE"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(first);
        second.wait_for_earlier().await;
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(second);
        waiting.await;
        removals.wait(&user.to_string()).await;
        assert!(removals.0.running.lock().is_empty());
    }
}
