//! How many connections an address may have that have not been admitted yet.
//!
//! A client with a token is a stranger for milliseconds; who has none could otherwise hold every place of the listener,
//! each for as long as a handshake and a head may take.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

pub(super) struct Strangers {
    per_address: usize,
    /// Only addresses with at least one.
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among the strangers; given back on drop.
pub(crate) struct Stranger {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

// === impl Strangers ===

impl Strangers {
    pub(super) fn new(per_address: usize) -> Self {
        Self {
            per_address,
            counts: Mutex::default(),
        }
    }

    /// None when the address has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let address = network(address);
        let mut counts = self.counts.lock();
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= self.per_address {
            return None;
        }
        counts.insert(address, count + 1);
        Some(Stranger {
            strangers: Arc::clone(self),
            address,
        })
    }
}

/// Whoever has one IPv6 address has the 64 bits below it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

// === impl Stranger ===

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_own_places_and_gets_them_back() {
        let strangers = Arc::new(Strangers::new(2));
        let enter = |address: &str| strangers.enter(address.parse().unwrap());
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
        assert!(strangers.counts.lock().is_empty());
    }
}
