//! How many exports run at once: few in all, and fewer of one user, so that nobody takes all the places.

use std::collections::HashMap;
use std::sync::Arc;

use gateway_core::UserId;
use parking_lot::Mutex;

use crate::service::error::ServiceError;

/// Each holds a page in memory, which is up to a few times 16 MiB.
const IN_ALL: usize = 8;
const PER_USER: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<UserId, usize>>);

/// Held for as long as an export runs.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    user: UserId,
}

// === impl Places ===

impl Places {
    pub(super) fn enter(self: &Arc<Self>, user: UserId) -> Result<Place, ServiceError> {
        let mut taken = self.0.lock();
        if taken.get(&user).is_some_and(|own| *own >= PER_USER) {
            return Err(ServiceError::TooMany(
                "you have two exports going on already; wait for one to end",
            ));
        }
        if taken.values().sum::<usize>() >= IN_ALL {
            return Err(ServiceError::Busy);
        }
        *taken.entry(user).or_default() += 1;
        Ok(Place {
            places: Arc::clone(self),
            user,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        if let Some(own) = taken.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_and_come_back() {
        let places = Arc::<Places>::default();
        let users: Vec<UserId> = (0..5).map(|_| UserId::generate()).collect();
        let mut held: Vec<Place> = Vec::new();
        for user in &users[..4] {
            held.push(places.enter(*user).unwrap());
            held.push(places.enter(*user).unwrap());
            assert!(matches!(places.enter(*user), Err(ServiceError::TooMany(_))));
        }
        assert!(matches!(places.enter(users[4]), Err(ServiceError::Busy)));
        held.pop();
        held.push(places.enter(users[4]).unwrap());
        held.clear();
        assert!(places.0.lock().is_empty());
    }
}
