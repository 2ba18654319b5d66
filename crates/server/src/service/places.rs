//! How much of one kind of work runs at once: little in all, and less of one user, so that nobody takes all the places.

use std::collections::HashMap;
use std::sync::Arc;

use gateway_core::UserId;
use parking_lot::Mutex;

use super::error::ServiceError;

/// The places for one kind of work.
#[derive(Debug)]
pub struct Places {
    limits: Limits,
    taken: Mutex<HashMap<UserId, usize>>,
}

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub in_all: usize,
    pub per_user: usize,
    /// What a user is told who has as many as one may.
    pub refusal: &'static str,
}

/// Held for as long as the work runs.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    user: UserId,
}

// === impl Places ===

impl Places {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            taken: Mutex::default(),
        })
    }

    pub fn enter(self: &Arc<Self>, user: UserId) -> Result<Place, ServiceError> {
        let mut taken = self.taken.lock();
        if taken.get(&user).is_some_and(|own| *own >= self.limits.per_user) {
            return Err(ServiceError::TooMany(self.limits.refusal));
        }
        if taken.values().sum::<usize>() >= self.limits.in_all {
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
        let mut taken = self.places.taken.lock();
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
        let places = Places::new(Limits {
            in_all: 8,
            per_user: 2,
            refusal: "two already",
        });
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
        assert!(places.taken.lock().is_empty());
    }
}
