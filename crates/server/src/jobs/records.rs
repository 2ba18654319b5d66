//! What keeps records in order: the run that they belong to, what other runs have left open, and their file.

use std::time::Duration;

use gateway_core::RunId;
use gateway_store::{Engine, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::service::Services;

/// How long a run is taken to live after it was last heard of, and how often it is.
const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_secs(1);

/// How often runs are looked for that are over. They are closed in batches, so that recording is not held up.
const LOOK: Duration = Duration::from_secs(5);
const BATCH: u32 = 200;

/// How often what SQLite has committed is moved into its file.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// Begins the run of this process, and closes what runs before it have left open.
pub(crate) async fn begin_run(services: &Services) -> Result<RunId, StoreError> {
    let run = RunId::generate();
    let interceptions = services.store.interceptions();
    interceptions.begin_run(run, LEASE, services.clock.now()).await?;
    close_interrupted(services, run).await?;
    Ok(run)
}

async fn close_interrupted(services: &Services, run: RunId) -> Result<(), StoreError> {
    let mut closed = 0;
    loop {
        let interceptions = services.store.interceptions();
        let batch = interceptions
            .close_interrupted(run, services.clock.now(), BATCH)
            .await?;
        closed += batch;
        if batch < u64::from(BATCH) {
            break;
        }
    }
    if closed > 0 {
        tracing::warn!(
            closed,
            "requests whose process had ended were closed as interrupted"
        );
    }
    Ok(())
}

/// Looks after the run until told to stop. With SQLite there is one process, which its lock on the file proves to be
/// alive; with PostgreSQL the lease does, and the runs of other processes are looked at, too.
pub(crate) async fn keep_run(services: Services, run: RunId, stop: CancellationToken) {
    match services.store.engine() {
        Engine::Sqlite => keep_file(services.store, stop).await,
        Engine::Postgres => keep_lease(services, run, stop).await,
    }
}

async fn keep_file(store: Store, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(CHECKPOINT))
        .await
        .is_some()
    {
        if let Err(error) = store.checkpoint().await {
            tracing::warn!(%error, "what was committed could not be moved into the database file");
        }
    }
}

async fn keep_lease(services: Services, run: RunId, stop: CancellationToken) {
    let mut is_failing = false;
    let mut since_look = Duration::ZERO;
    while stop
        .run_until_cancelled(tokio::time::sleep(RENEW))
        .await
        .is_some()
    {
        since_look += RENEW;
        let mut outcome = renew(&services, run).await;
        if outcome.is_ok() && since_look >= LOOK {
            since_look = Duration::ZERO;
            outcome = close_interrupted(&services, run).await;
        }
        if let Err(error) = &outcome
            && !is_failing
        {
            tracing::warn!(%error, "the lease of this process could not be renewed");
        }
        is_failing = outcome.is_err();
    }
}

async fn renew(services: &Services, run: RunId) -> Result<(), StoreError> {
    let interceptions = services.store.interceptions();
    if interceptions.renew_run(run, LEASE).await? {
        return Ok(());
    }
    interceptions.begin_run(run, LEASE, services.clock.now()).await
}
