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
        let name = name.to_owned();
        Box::pin(bounded(&self.lookups, move || {
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        }))
    }
}

/// Runs a look-up on a thread of its own. Not by `tokio::net::lookup_host`: when its future is dropped, the thread
/// goes on and nothing counts it.
async fn bounded<T: Send + 'static>(
    lookups: &Arc<Semaphore>,
    look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = Arc::clone(lookups).acquire_owned().await;
    let permit = permit.expect("the semaphore is never closed");
    let looking = tokio::task::spawn_blocking(move || {
        let found = look_up();
        drop(permit);
        found
    });
    looking.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_system_knows_its_own_name() {
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
    async fn a_lookup_counts_until_its_thread_is_done_though_nobody_waits_for_it() {
        let resolver = SystemResolver::new(1);
        let (answer, silence) = mpsc::channel::<()>();
        let mut given_up = Box::pin(bounded(&resolver.lookups, move || {
            let _ = silence.recv();
            Ok(())
        }));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);

        let mut next = resolver.resolve("localhost");
        assert!(futures_util::poll!(&mut next).is_pending());
        assert_eq!(resolver.lookups.available_permits(), 0);
        drop(answer);
        assert!(!next.await.unwrap().is_empty());
        assert_eq!(resolver.lookups.available_permits(), 1);
    }
}
