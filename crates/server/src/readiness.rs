//! Whether requests could be served now, for load balancers.
//!
//! Asking costs nothing: a job looks at the database, and the recorder knows by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway_relay::recorder::Recorder;
use gateway_store::Store;
use tokio_util::sync::CancellationToken;

/// How often the database is looked at, and how long it may take to answer.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Readiness {
    recorder: Recorder,
    database_answers: Arc<AtomicBool>,
    drain: CancellationToken,
}

// === impl Readiness ===

impl Readiness {
    /// To be made when the database has just answered.
    pub(crate) fn new(recorder: Recorder, drain: CancellationToken) -> Self {
        Self {
            recorder,
            database_answers: Arc::new(AtomicBool::new(true)),
            drain,
        }
    }

    /// What stands in the way, if anything.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.drain.is_cancelled() {
            Some("the server is shutting down")
        } else if !self.database_answers.load(Ordering::Relaxed) {
            Some("the database does not answer")
        } else if self.recorder.check().is_err() {
            Some("requests cannot be recorded at the moment")
        } else {
            None
        }
    }

    /// Looks at the database until told to stop.
    pub(crate) async fn watch(self, store: Store, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let answers = matches!(tokio::time::timeout(PATIENCE, store.ping()).await, Ok(Ok(())));
            let did = self.database_answers.swap(answers, Ordering::Relaxed);
            if did != answers {
                if answers {
                    tracing::info!("the database answers again");
                } else {
                    tracing::warn!("the database does not answer");
                }
            }
        }
    }
}
