//! From a name to addresses, with a bound on how many threads wait for answers.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// A look-up under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// The addresses in the order in which to try them. No address is an error like one of the look-up. Dropping the
    /// future gives up waiting.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The resolver of the operating system: `/etc/hosts`, DNS and whatever else it is set up to ask.
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

// === impl SystemResolver ===

impl SystemResolver {
    /// `lookups` may run at once, further ones wait. Each holds a thread of the pool that all blocking work of the
    /// process shares, for as long as the name's server keeps silent.
    pub fn new(lookups: usize) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(lookups)),
        }
    }
}

impl Default for SystemResolver {
    /// An eighth of the threads that tokio has for blocking work.
    fn default() -> Self {
        Self::new(64)
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let permit = Arc::clone(&self.lookups).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            let name = name.to_owned();
            // Not `tokio::net::lookup_host`: when its future is dropped the thread goes on, and nothing counts it.
            let looking = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(permit);
                found.map(|addresses| addresses.map(|address| address.ip()).collect())
            });
            looking.await.map_err(io::Error::other)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_its_own_name_and_gives_the_permit_back() {
        let resolver = SystemResolver::new(1);
        for _ in 0..2 {
            let found = resolver.resolve("localhost").await.unwrap();
            assert!(
                !found.is_empty() && found.iter().all(IpAddr::is_loopback),
                "{found:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_lookup_that_nobody_waits_for_keeps_its_permit_until_its_thread_is_done() {
        let resolver = SystemResolver::new(1);
        let held = Arc::clone(&resolver.lookups).acquire_owned().await.unwrap();
        let mut second = resolver.resolve("localhost");
        assert!(futures_util::poll!(&mut second).is_pending(), "beyond the bound");
        drop(held);
        // Starts its thread, then is given up.
        let _ = futures_util::poll!(&mut second);
        drop(second);
        assert!(!resolver.resolve("localhost").await.unwrap().is_empty());
    }
}
