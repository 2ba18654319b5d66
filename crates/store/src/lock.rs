//! The lock that keeps two servers off one SQLite file, and commands that work on the database directly off a
//! database that is being served.
//!
//! SQLite: an exclusive lock on the file `<database>.lock`, for every purpose. PostgreSQL: a session's advisory
//! lock on a connection of its own, shared among servers, exclusive for a command. Both end with the process,
//! however it ends. The advisory lock also ends with its connection; then it is taken again as soon as the
//! database can be reached.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::target::Purpose;

/// The advisory lock's key. The same in all versions that share a database.
pub(crate) const SERVER_LOCK_KEY: i64 = 6_020_117_340_895_520;

/// How often the connection that holds the lock is looked at, which also keeps it from being dropped as idle.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The pause between attempts to take a lost lock again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long any single step on the lock's connection may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long giving the lock back may take, which ends with the connection at the latest.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connection has to find out that its peer is gone (a machine that lost its power holds the lock until then),
/// and whatever limits the server sets by default are not meant for migrations.
const SESSION_SETTINGS: &str = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
    SET tcp_keepalives_count = 3; SET statement_timeout = 0; SET lock_timeout = 0";

/// A lock that is held.
#[derive(Debug)]
pub(crate) enum Lock {
    File(File),
    Advisory(AdvisoryLock),
}

/// An advisory lock and the task that looks after it.
#[derive(Debug)]
pub(crate) struct AdvisoryLock {
    cancel: DropGuard,
    tasks: TaskTracker,
}

// === impl Lock ===

impl Lock {
    pub(crate) async fn release(self) {
        match self {
            Self::File(file) => drop(file),
            Self::Advisory(lock) => {
                drop(lock.cancel);
                lock.tasks.wait().await;
            }
        }
    }
}

// === File ===

/// Takes the lock on `path`, making the file if needed. None: somebody else holds it. The file stays when the
/// lock is given back; removing it could let two processes hold a lock on two files of one name.
pub(crate) fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

// === impl AdvisoryLock ===

impl AdvisoryLock {
    /// Connects and takes the lock. The connection has no statement timeout, so it may migrate before it is
    /// handed to [`AdvisoryLock::keep`]. None: somebody else holds the lock.
    pub(crate) async fn take(
        options: &PgConnectOptions,
        purpose: Purpose,
    ) -> Result<Option<PgConnection>, sqlx::Error> {
        let take = async {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(SESSION_SETTINGS).execute(&mut connection).await?;
            let sql = match purpose {
                Purpose::Server => "SELECT pg_try_advisory_lock_shared($1)",
                Purpose::Offline => "SELECT pg_try_advisory_lock($1)",
            };
            let taken: bool = sqlx::query_scalar(sql)
                .bind(SERVER_LOCK_KEY)
                .fetch_one(&mut connection)
                .await?;
            Ok(taken.then_some(connection))
        };
        within(STEP_TIMEOUT, take).await
    }

    /// Keeps the lock until the value is dropped or released.
    pub(crate) fn keep(connection: PgConnection, options: PgConnectOptions, purpose: Purpose) -> Self {
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(keep(connection, options, purpose, cancel.clone()));
        tasks.close();
        Self {
            cancel: cancel.drop_guard(),
            tasks,
        }
    }
}

async fn keep(
    mut connection: PgConnection,
    options: PgConnectOptions,
    purpose: Purpose,
    cancel: CancellationToken,
) {
    while cancel
        .run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL))
        .await
        .is_some()
    {
        let looked = cancel.run_until_cancelled(within(STEP_TIMEOUT, connection.ping()));
        let Some(Err(error)) = looked.await else {
            continue;
        };
        tracing::warn!(%error, "lost the connection that holds the lock on the database; taking it again");
        match cancel.run_until_cancelled(take_again(&options, purpose)).await {
            Some(new) => connection = new,
            None => return,
        }
    }
    // Given back by a statement, so that it is free when the answer is here: after a mere good-bye the server takes
    // its time. If this fails, the lock ends with the connection.
    let release = async {
        sqlx::query("SELECT pg_advisory_unlock_all()")
            .execute(&mut connection)
            .await?;
        connection.close().await
    };
    let _ = within(RELEASE_TIMEOUT, release).await;
}

async fn take_again(options: &PgConnectOptions, purpose: Purpose) -> PgConnection {
    loop {
        match AdvisoryLock::take(options, purpose).await {
            Ok(Some(connection)) => {
                tracing::info!("the lock on the database is held again");
                return connection;
            }
            Ok(None) => tracing::warn!("the lock on the database is held by somebody else; waiting for it"),
            Err(error) => tracing::debug!(%error, "the lock on the database cannot be taken yet"),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// An await on a peer that never answers is an error.
async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, step).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}
