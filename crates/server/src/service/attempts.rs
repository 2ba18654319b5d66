//! How often somebody may try to sign in.
//!
//! Three bounds: attempts from one address, failures against one account from one address, and failures against one
//! account from anywhere. The last is wide, and does not hold for an address from which the account has signed in
//! before, so that guessing cannot lock people out of where they work. Accounts are counted by the e-mail address as
//! typed, whether such a user exists or not, so that the answer tells nothing. An attempt is counted before it is
//! made, so that many at once do not slip through.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use super::error::ServiceError;

const PER_ADDRESS: u32 = 60;
const ADDRESS_WINDOW: Duration = Duration::from_mins(1);
const PER_ACCOUNT_AND_ADDRESS: u32 = 10;
const PER_ACCOUNT: u32 = 100;
const ACCOUNT_WINDOW: Duration = Duration::from_mins(15);
/// How long an address counts as one from which an account signs in.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);
/// How many of each are remembered.
const REMEMBERED: u64 = 100_000;

type Counts<K> = Cache<K, Arc<AtomicU32>>;

pub struct Attempts {
    addresses: Counts<IpAddr>,
    pairs: Counts<(String, Option<IpAddr>)>,
    accounts: Counts<String>,
    known: Cache<(String, Option<IpAddr>), ()>,
}

// === impl Attempts ===

impl Default for Attempts {
    fn default() -> Self {
        Self {
            addresses: remembered(ADDRESS_WINDOW),
            pairs: remembered(ACCOUNT_WINDOW),
            accounts: remembered(ACCOUNT_WINDOW),
            known: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(KNOWN_FOR)
                .build(),
        }
    }
}

fn remembered<K: std::hash::Hash + Eq + Send + Sync + 'static>(window: Duration) -> Counts<K> {
    // A window begins with its first attempt and is not moved by later ones.
    Cache::builder()
        .max_capacity(REMEMBERED)
        .time_to_live(window)
        .build()
}

impl Attempts {
    /// Counts an attempt, and says whether it may be made.
    pub fn begin(&self, address: Option<IpAddr>, email: &str) -> Result<(), ServiceError> {
        let address = address.map(network);
        let limited = |window: Duration| ServiceError::RateLimited {
            retry_after_seconds: window.as_secs(),
        };
        if let Some(address) = address
            && count(&self.addresses, address) > PER_ADDRESS
        {
            return Err(limited(ADDRESS_WINDOW));
        }
        let pair = (account(email), address);
        if count(&self.pairs, pair.clone()) > PER_ACCOUNT_AND_ADDRESS {
            return Err(limited(ACCOUNT_WINDOW));
        }
        if count(&self.accounts, pair.0.clone()) > PER_ACCOUNT && !self.known.contains_key(&pair) {
            return Err(limited(ACCOUNT_WINDOW));
        }
        Ok(())
    }

    /// A right password: what was counted against the account from this address is forgotten.
    pub fn succeeded(&self, address: Option<IpAddr>, email: &str) {
        let pair = (account(email), address.map(network));
        self.pairs.invalidate(&pair);
        if let Some(failures) = self.accounts.get(&pair.0) {
            failures.fetch_sub(1, Ordering::Relaxed);
        }
        self.known.insert(pair, ());
    }
}

/// The count with this attempt in it.
fn count<K: std::hash::Hash + Eq + Send + Sync + 'static>(counts: &Counts<K>, key: K) -> u32 {
    counts
        .get_with(key, Arc::default)
        .fetch_add(1, Ordering::Relaxed)
        .saturating_add(1)
}

/// The account that somebody means, however they write it.
pub(super) fn account(email: &str) -> String {
    email.trim().to_lowercase().chars().take(254).collect()
}

/// Who has an IPv6 network has all its addresses, so the /64 counts as one.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let segments = address.segments();
            IpAddr::from([segments[0], segments[1], segments[2], segments[3], 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn an_address_runs_out_and_others_do_not() {
        let attempts = Attempts::default();
        for n in 0..60 {
            assert!(
                attempts
                    .begin(address("192.0.2.1"), &format!("user{n}@example.com"))
                    .is_ok()
            );
        }
        let refused = attempts.begin(address("192.0.2.1"), "x@example.com");
        assert!(matches!(
            refused,
            Err(ServiceError::RateLimited {
                retry_after_seconds: 60
            })
        ));
        assert!(attempts.begin(address("192.0.2.2"), "x@example.com").is_ok());
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let attempts = Attempts::default();
        for n in 0..60 {
            attempts
                .begin(address(&format!("2001:db8::{n:x}")), &format!("{n}@example.com"))
                .unwrap();
        }
        assert!(
            attempts
                .begin(address("2001:db8::ffff"), "x@example.com")
                .is_err()
        );
        assert!(attempts.begin(address("2001:db8:1::1"), "x@example.com").is_ok());
    }

    #[test]
    fn guessing_from_elsewhere_locks_nobody_out_of_where_they_work() {
        let attempts = Attempts::default();
        let (home, office) = (address("192.0.2.1"), address("192.0.2.2"));
        attempts.begin(home, "alice@example.com").unwrap();
        attempts.succeeded(home, "alice@example.com");
        for _ in 0..10 {
            attempts.begin(office, "Alice@Example.com ").unwrap();
        }
        assert!(attempts.begin(office, "alice@example.com").is_err());
        assert!(attempts.begin(office, "bob@example.com").is_ok());
        // Many addresses together reach the wide bound.
        let reached = (0..100).find(|n| {
            attempts
                .begin(address(&format!("198.51.100.{n}")), "alice@example.com")
                .is_err()
        });
        assert!(reached.is_some_and(|n| n > 50), "{reached:?}");
        assert!(attempts.begin(home, "alice@example.com").is_ok());
    }

    #[test]
    fn a_right_password_clears_what_was_counted() {
        let attempts = Attempts::default();
        for _ in 0..30 {
            for _ in 0..9 {
                attempts.begin(None, "alice@example.com").unwrap();
            }
            attempts.begin(None, "alice@example.com").unwrap();
            attempts.succeeded(None, "alice@example.com");
        }
    }
}
