//! How much of request bodies may be in memory at once: over the process, and for one user.
//!
//! Shares are taken as bytes arrive, never for what a client merely announces, and given back when the provider
//! has taken the body. Nobody waits for a share: a full budget is an answer of its own.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use gateway_core::UserId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Semaphores count in 32 bits, so shares are counted in this many bytes.
const UNIT: usize = 1024;

/// One user gets this fraction of the whole.
const USER_FRACTION: usize = 4;

/// Below this there could not be one full-sized body.
const SMALLEST: usize = 160 * 1024 * 1024;

pub(crate) struct Budget {
    total: Arc<Semaphore>,
    units_per_user: usize,
    users: Mutex<HashMap<UserId, Weak<Semaphore>>>,
}

/// One request's part of the budget.
pub(crate) struct Share {
    total: Arc<Semaphore>,
    user: Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
    units: usize,
}

/// The budget is used up.
#[derive(Debug, thiserror::Error)]
#[error("too much memory is taken by requests at the moment")]
pub(crate) struct Exhausted;

// === impl Budget ===

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = (bytes.max(SMALLEST) / UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            total: Arc::new(Semaphore::new(units)),
            units_per_user: units / USER_FRACTION,
            users: Mutex::default(),
        }
    }

    pub(crate) fn share(&self, user_id: UserId) -> Share {
        let mut users = self.users.lock();
        let known = users.get(&user_id).and_then(Weak::upgrade);
        let user = known.unwrap_or_else(|| {
            if users.len() >= 64 && users.len().is_power_of_two() {
                users.retain(|_, user| user.strong_count() > 0);
            }
            let user = Arc::new(Semaphore::new(self.units_per_user));
            users.insert(user_id, Arc::downgrade(&user));
            user
        });
        Share {
            total: Arc::clone(&self.total),
            user,
            permits: Vec::new(),
            units: 0,
        }
    }
}

/// A quarter of the memory that this process may use, by its control group or by the machine.
pub(crate) fn quarter_of_memory() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_ascii_whitespace()
            .nth(1)?
            .parse::<usize>()
            .ok()?
            .checked_mul(1024)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    [machine, group].into_iter().flatten().min().unwrap_or(4 << 30) / 4
}

// === impl Share ===

impl Share {
    /// Grows the share to cover `bytes` in all.
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let wanted = bytes.div_ceil(UNIT);
        let Some(more) = wanted.checked_sub(self.units).filter(|more| *more > 0) else {
            return Ok(());
        };
        let more = u32::try_from(more).map_err(|_| Exhausted)?;
        let user = Arc::clone(&self.user)
            .try_acquire_many_owned(more)
            .map_err(|_| Exhausted)?;
        let total = Arc::clone(&self.total)
            .try_acquire_many_owned(more)
            .map_err(|_| Exhausted)?;
        for permit in [user, total] {
            self.hold(permit);
        }
        self.units = wanted;
        Ok(())
    }

    /// The permits alone, for whoever keeps the bytes.
    pub(crate) fn into_permits(self) -> Vec<OwnedSemaphorePermit> {
        self.permits
    }

    fn hold(&mut self, permit: OwnedSemaphorePermit) {
        for held in &mut self.permits {
            if Arc::ptr_eq(held.semaphore(), permit.semaphore()) {
                held.merge(permit);
                return;
            }
        }
        self.permits.push(permit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_it_all_and_shares_come_back() {
        let budget = Budget::new(SMALLEST);
        let (alice, bob) = (UserId::generate(), UserId::generate());
        let mut shares: Vec<Share> = Vec::new();
        let mut granted = 0;
        loop {
            let mut share = budget.share(alice);
            if share.cover(1 << 20).is_err() {
                break;
            }
            granted += 1;
            shares.push(share);
        }
        assert_eq!(granted, SMALLEST / (1 << 20) / USER_FRACTION);
        assert!(
            budget.share(bob).cover(1 << 20).is_ok(),
            "others still get theirs"
        );
        drop(shares);
        let mut again = budget.share(alice);
        assert!(again.cover(1).is_ok() && again.cover(32 << 20).is_ok() && again.cover(100).is_ok());
        drop(again);
        assert_eq!(budget.total.available_permits(), SMALLEST / UNIT);
    }

    #[test]
    fn users_that_are_gone_are_forgotten() {
        let budget = Budget::new(SMALLEST);
        for _ in 0..10_000 {
            let _ = budget.share(UserId::generate()).cover(1);
        }
        assert!(budget.users.lock().len() <= 128);
    }
}
