//! Hashing passwords off the async threads, a few at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::{Secret, password};
use tokio::sync::Semaphore;

use super::error::ServiceError;

/// How many may wait for each one that runs; more are told to come back.
const WAITING: usize = 16;

/// Bounds the memory (19 MiB each) and the processor time that passwords can take.
#[derive(Clone)]
pub struct Hasher {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    computed: Arc<AtomicU64>,
}

// === impl Hasher ===

impl Hasher {
    /// `at_once` hashes run at the same time.
    pub fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        Self {
            running: Arc::new(Semaphore::new(at_once)),
            admitted: Arc::new(Semaphore::new(at_once * WAITING)),
            computed: Arc::default(),
        }
    }

    /// How many hashes were computed, for new passwords and to compare given ones.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// Hashes a new password, unless it is too weak for somebody with these names.
    pub async fn hash_new(
        &self,
        password: Secret,
        names: Vec<String>,
    ) -> Result<Result<String, password::WeakPassword>, ServiceError> {
        let computed = Arc::clone(&self.computed);
        self.run(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match password::check_strength(&password, &names) {
                Ok(()) => {
                    computed.fetch_add(1, Ordering::Relaxed);
                    password::hash(&password).map(Ok)
                }
                Err(weak) => Ok(Err(weak)),
            }
        })
        .await
    }

    /// Without a stored hash the same work is done, and the answer is no.
    pub async fn verify(&self, password: Secret, stored: Option<String>) -> Result<bool, ServiceError> {
        let computed = Arc::clone(&self.computed);
        self.run(move || {
            computed.fetch_add(1, Ordering::Relaxed);
            password::verify(&password, stored.as_deref())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password::HashError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| ServiceError::Busy)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(ServiceError::internal)?;
        // The permits go with the work, which runs to its end even if nobody waits for it any more.
        let work = tokio::task::spawn_blocking(move || {
            let _permits = (admitted, running);
            work()
        });
        work.await
            .map_err(ServiceError::internal)?
            .map_err(ServiceError::internal)
    }
}
