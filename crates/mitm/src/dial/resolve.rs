//! From a name to addresses, with a bound on how many threads wait for answers, and on how many of them for one user.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::places::Who;

/// So many users at least it takes to hold all look-ups, by names that nobody answers for.
const USERS: usize = 4;

/// With fewer shares than this there is nothing to sweep out.
const FEW: usize = 64;

/// A look-up under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// The addresses in the order in which to try them, for `who` has asked. No address is an error like one of the
    /// look-up, and so is a look-up that takes longer than `limit`; time in which it waits for its turn does not count.
    /// Dropping the future gives up waiting.
    fn resolve<'a>(&'a self, who: Who, name: &'a str, limit: Duration) -> Resolving<'a>;
}

/// The resolver of the operating system: `/etc/hosts`, DNS and whatever else it is set up to ask.
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
    shares: Shares,
}

/// The look-ups that each may have under way.
struct Shares {
    each: usize,
    taken: Mutex<Taken>,
}

struct Taken {
    /// Those that nobody uses are swept out from time to time.
    by: HashMap<Who, Arc<Semaphore>>,
    sweep_at: usize,
}

// === impl SystemResolver ===

impl SystemResolver {
    /// `lookups` may run at once, a quarter of them for the same user; further ones wait. Each holds a thread of the pool that all blocking work of the
    /// process shares, for as long as the name's server keeps silent.
    pub fn new(lookups: usize) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(lookups)),
            shares: Shares::new(lookups.div_ceil(USERS)),
        }
    }

    /// For a name that the operator has chosen.
    pub(super) async fn resolve_for_all(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        bounded([&self.lookups], Duration::MAX, move || look_up(&name)).await
    }
}

impl Default for SystemResolver {
    /// An eighth of the threads that tokio has for blocking work.
    fn default() -> Self {
        Self::new(64)
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, who: Who, name: &'a str, limit: Duration) -> Resolving<'a> {
        let (share, name) = (self.shares.of(who), name.to_owned());
        Box::pin(async move {
            // The share first: who waits for one's own holds nothing of what is everybody's.
            bounded([&share, &self.lookups], limit, move || look_up(&name)).await
        })
    }
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Runs a look-up on a thread of its own, with a permit of each bound. Not by `tokio::net::lookup_host`: when its future
/// is dropped, the thread goes on and nothing counts it.
async fn bounded<T: Send + 'static, const N: usize>(
    bounds: [&Arc<Semaphore>; N],
    limit: Duration,
    look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let mut permits = Vec::with_capacity(N);
    for bound in bounds {
        let permit = Arc::clone(bound).acquire_owned().await;
        permits.push(permit.expect("the semaphore is never closed"));
    }
    let looking = tokio::task::spawn_blocking(move || {
        let found = look_up();
        drop(permits);
        found
    });
    let found = tokio::time::timeout(limit, looking).await?;
    found.map_err(io::Error::other)?
}

// === impl Shares ===

impl Shares {
    fn new(each: usize) -> Self {
        Self {
            each,
            taken: Mutex::new(Taken {
                by: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    fn of(&self, who: Who) -> Arc<Semaphore> {
        let mut taken = self.taken.lock();
        if taken.by.len() >= taken.sweep_at {
            // Whoever waits or looks up has a clone.
            taken.by.retain(|_, share| Arc::strong_count(share) > 1);
            taken.sweep_at = FEW.max(taken.by.len() * 2);
        }
        let share = taken.by.entry(who);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gateway_core::UserId;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn user() -> Who {
        Who::User(UserId::generate())
    }

    #[tokio::test]
    async fn the_system_knows_its_own_name() {
        let resolver = SystemResolver::new(1);
        for _ in 0..2 {
            let found = resolver.resolve(user(), "localhost", LONG).await.unwrap();
            assert!(
                !found.is_empty() && found.iter().all(IpAddr::is_loopback),
                "{found:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_lookup_counts_until_its_thread_is_done_though_nobody_waits_for_it() {
        let resolver = SystemResolver::new(1);
        let (answer, silence) = mpsc::channel::<()>();
        let mut given_up = Box::pin(bounded([&resolver.lookups], LONG, move || {
            let _ = silence.recv();
            Ok(())
        }));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);

        let mut next = resolver.resolve(user(), "localhost", LONG);
        assert!(futures_util::poll!(&mut next).is_pending());
        assert_eq!(resolver.lookups.available_permits(), 0);
        drop(answer);
        assert!(!next.await.unwrap().is_empty());
        assert_eq!(resolver.lookups.available_permits(), 1);
    }

    #[tokio::test]
    async fn names_that_nobody_answers_for_hold_up_their_own_user_only() {
        let resolver = SystemResolver::new(8);
        let (alice, bob) = (user(), user());
        let mut answers = Vec::new();
        // All that one user asks for, and gives up.
        for _ in 0..2 {
            let (answer, silence) = mpsc::channel::<()>();
            let share = resolver.shares.of(alice);
            let mut asked = Box::pin(bounded([&share, &resolver.lookups], LONG, move || {
                let _ = silence.recv();
                Ok(())
            }));
            assert!(futures_util::poll!(&mut asked).is_pending());
            answers.push(answer);
        }
        let mut more: Vec<_> = (0..20)
            .map(|_| resolver.resolve(alice, "localhost", LONG))
            .collect();
        for next in &mut more {
            assert!(futures_util::poll!(next).is_pending());
        }
        assert_eq!(resolver.lookups.available_permits(), 6);
        assert!(!resolver.resolve(bob, "localhost", LONG).await.unwrap().is_empty());
        drop(answers);
        for next in more {
            assert!(!next.await.unwrap().is_empty());
        }
    }

    #[test]
    fn who_asks_for_nothing_is_forgotten() {
        let shares = Shares::new(1);
        let kept = user();
        let share = shares.of(kept);
        for _ in 0..10 * FEW {
            shares.of(user());
        }
        assert!(shares.taken.lock().by.len() <= FEW);
        assert!(Arc::ptr_eq(&share, &shares.of(kept)));
    }
}
