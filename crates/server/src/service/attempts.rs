//! How often somebody may try to sign in.
//!
//! Two bounds: attempts of any kind from one address, and failures against one account from anywhere. An account
//! that is being guessed at refuses further attempts for a while; its sessions and tokens keep working. Accounts are
//! counted by the e-mail address as typed, whether such a user exists or not, so that the answer tells nothing.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::ServiceError;

/// Attempts from one address within a minute.
const PER_ADDRESS: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
/// Failures against one account within the window.
const PER_ACCOUNT: u32 = 10;
const WINDOW: Duration = Duration::from_mins(15);
/// Accounts and addresses that are remembered.
const REMEMBERED: u64 = 100_000;

pub struct Attempts {
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    accounts: moka::sync::Cache<String, u32>,
}

// === impl Attempts ===

impl Default for Attempts {
    fn default() -> Self {
        Self {
            addresses: RateLimiter::keyed(Quota::per_minute(PER_ADDRESS)),
            accounts: moka::sync::Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(WINDOW)
                .build(),
        }
    }
}

impl Attempts {
    /// Counts an attempt from this address, and says whether the account may be tried.
    pub fn begin(&self, address: Option<IpAddr>, email: &str) -> Result<(), ServiceError> {
        if let Some(address) = address.map(network) {
            if self.addresses.len() as u64 > REMEMBERED {
                self.addresses.retain_recent();
            }
            self.addresses
                .check_key(&address)
                .map_err(|not_until| ServiceError::RateLimited {
                    retry_after_seconds: not_until.wait_time_from(DefaultClock::default().now()).as_secs()
                        + 1,
                })?;
        }
        if self
            .accounts
            .get(&key(email))
            .is_some_and(|failures| failures >= PER_ACCOUNT)
        {
            return Err(ServiceError::RateLimited {
                retry_after_seconds: WINDOW.as_secs(),
            });
        }
        Ok(())
    }

    /// Counts a wrong password.
    pub fn failed(&self, email: &str) {
        self.accounts
            .entry(key(email))
            .and_upsert_with(|entry| entry.map_or(1, |entry| entry.into_value() + 1));
    }

    /// A right password clears what was counted against the account.
    pub fn succeeded(&self, email: &str) {
        self.accounts.invalidate(&key(email));
    }
}

fn key(email: &str) -> String {
    email.trim().to_lowercase().chars().take(254).collect()
}

/// Who has an IPv6 network has all its addresses, so the /64 counts as one.
fn network(address: IpAddr) -> IpAddr {
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

    #[test]
    fn an_address_runs_out_and_others_do_not() {
        let attempts = Attempts::default();
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        for n in 0..60 {
            assert!(
                attempts
                    .begin(Some(here), &format!("user{n}@example.com"))
                    .is_ok()
            );
        }
        let refused = attempts.begin(Some(here), "x@example.com");
        assert!(matches!(
            refused,
            Err(ServiceError::RateLimited {
                retry_after_seconds: 1..=60
            })
        ));
        assert!(
            attempts
                .begin(Some("192.0.2.2".parse().unwrap()), "x@example.com")
                .is_ok()
        );
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let attempts = Attempts::default();
        for n in 0..60 {
            attempts
                .begin(
                    Some(format!("2001:db8::{n:x}").parse().unwrap()),
                    &format!("{n}@example.com"),
                )
                .unwrap();
        }
        assert!(
            attempts
                .begin(Some("2001:db8::ffff".parse().unwrap()), "x@example.com")
                .is_err()
        );
        assert!(
            attempts
                .begin(Some("2001:db8:1::1".parse().unwrap()), "x@example.com")
                .is_ok()
        );
    }

    #[test]
    fn an_account_runs_out_from_anywhere_until_a_right_password() {
        let attempts = Attempts::default();
        for _ in 0..10 {
            attempts.begin(None, "alice@example.com").unwrap();
            attempts.failed("Alice@Example.com ");
        }
        assert!(attempts.begin(None, "alice@example.com").is_err());
        assert!(attempts.begin(None, "bob@example.com").is_ok());
        attempts.succeeded("alice@example.com");
        assert!(attempts.begin(None, "alice@example.com").is_ok());
    }
}
