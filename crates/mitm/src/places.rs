//! Who may have how much of what all share.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use gateway_core::UserId;
use parking_lot::Mutex;

/// Who a connection is for, as far as fairness goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    User(UserId),
    /// Nobody in particular, from this address, or from this IPv6 network of 64 bits.
    Network(IpAddr),
}

/// How many places each may take at once.
pub(crate) struct Places<K> {
    each: usize,
    /// Only of those with at least one.
    counts: Mutex<HashMap<K, usize>>,
}

/// Given back on drop.
pub(crate) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    key: K,
}

/// Whoever has one IPv6 address has the 64 bits below it.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

// === impl Places ===

impl<K: Copy + Eq + Hash> Places<K> {
    pub(crate) fn new(each: usize) -> Self {
        Self {
            each,
            counts: Mutex::default(),
        }
    }

    /// None when `key` has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut counts = self.counts.lock();
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= self.each {
            return None;
        }
        counts.insert(key, count + 1);
        Some(Place {
            places: Arc::clone(self),
            key,
        })
    }
}

// === impl Place ===

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.places.counts.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_own_places_and_gets_them_back() {
        let places = Arc::new(Places::new(2));
        let enter = |address: &str| places.enter(network(address.parse().unwrap()));
        let first = enter("192.0.2.1");
        let second = enter("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some() && enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        let (third, fourth) = (enter("2001:db8::1"), enter("2001:db8::ffff:2"));
        assert!(third.is_some() && fourth.is_some() && enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        drop((second, third, fourth));
        assert!(places.counts.lock().is_empty());
    }
}
