//! Opening: lock, migrate, connect, in this order, so that nothing is changed under a server that holds the lock.

use std::error::Error as StdError;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, PgPool, SqlitePool};

use crate::db::{Db, Lanes, Pools};
use crate::embedded::Embedded;
use crate::error::OpenError;
use crate::fault::DatabaseError;
use crate::lock::{self, AdvisoryLock, Lock};
use crate::migrate;
use crate::target::{InvalidTarget, Purpose, StoreOptions, Synchronous, Target};

/// Connections for the lookups that verify presented tokens.
const VERIFY_CONNECTIONS: u32 = 4;

/// Connections for records on PostgreSQL: one for the commits, and two so that neither the lease of a run nor
/// the removal of what is old waits for them.
const RECORD_CONNECTIONS: u32 = 3;

/// How many prepared statements a connection for records keeps, which is more than there are.
const RECORD_STATEMENTS: usize = 128;

/// Memory for pages of the connection that commits records on SQLite: in KiB, with a minus.
const RECORD_CACHE: &str = "-8192";

/// How long a checkpoint waits for readers, while nothing can be written.
const CHECKPOINT_BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// Set on a connection for records on PostgreSQL. Its statements find rows by their keys alone. A plan made while the
/// tables were small must not read them whole later, be it through an index or once for all rows, and there is nothing to
/// be gained by planning each time.
const RECORD_SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_bitmapscan = off";

/// How long to wait for a free connection, or a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long SQLite waits for a lock that another process (a backup, say) holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that is given back or taken again may take to show that it is alive. Then there is still time
/// for a new one within [`ACQUIRE_TIMEOUT`]: the old ones may lead to a machine that is gone, one of them being all
/// that writes of accounts have.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that was idle for less is taken to be alive.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Set on each connection. The limits are below `OPERATION_TIMEOUT`, so that the server gives up first and says so.
/// A revocation must survive a crash of the server, so a commit is never asynchronous, whatever the server's default.
const SESSION_SETTINGS: &str = "SET statement_timeout = '8s'; SET lock_timeout = '8s'; \
    SET idle_in_transaction_session_timeout = '10s'; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// The parameters of a PostgreSQL URL that are understood. Others are refused rather than ignored: a misspelt one
/// could be the one that asks for encryption.
const URL_PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

pub(crate) async fn open(options: StoreOptions, purpose: Purpose) -> Result<Db, OpenError> {
    match &options.target {
        Target::Sqlite { path } => open_sqlite(path.clone(), &options, purpose).await,
        Target::Postgres { url } => {
            let url =
                postgres_options(url.expose()).map_err(|error| connect_error(&options.target, error))?;
            open_postgres(url, &options, purpose).await
        }
    }
}

/// Reads a PostgreSQL URL. The error never shows it.
pub(crate) fn postgres_options(url: &str) -> Result<PgConnectOptions, InvalidTarget> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        if !URL_PARAMETERS.contains(&name) && !name.starts_with("options") {
            return Err(InvalidTarget::Postgres(format!("unknown parameter {name:?}")));
        }
    }
    let options: PgConnectOptions = url
        .parse()
        .map_err(|error: sqlx::Error| InvalidTarget::Postgres(innermost(&error)))?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("coder"),
    })
}

// === SQLite ===

async fn open_sqlite(path: PathBuf, options: &StoreOptions, purpose: Purpose) -> Result<Db, OpenError> {
    let target = &options.target;
    let prepared = tokio::task::spawn_blocking(move || prepare_file(&path)).await;
    let prepared = prepared.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (path, lock) = prepared.map_err(|error| connect_error(target, error))?;
    let lock = lock.ok_or_else(|| OpenError::InUse {
        database: target.to_string(),
        purpose,
    })?;

    let file = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    // No commit pays for a checkpoint: those are made on a connection of their own.
    let writer = file
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", "0");
    let synchronous = match options.record_synchronous {
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
    };
    let recorder = writer
        .clone()
        .synchronous(synchronous)
        // A statement on many rows notes what it would have to undo, by default in a file.
        .pragma("temp_store", "memory");
    // What is committed here must survive a power cut too: a removed token must not come back.
    let writer = writer.synchronous(SqliteSynchronous::Full);
    let checkpointer = file
        .clone()
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(CHECKPOINT_BUSY_TIMEOUT);
    let reader = file.pragma("query_only", "on");

    let pool = async |connections: u32, options: SqliteConnectOptions| {
        sqlite_pool(options, connections)
            .await
            .map_err(|error| connect_error(target, error))
    };
    let write = pool(1, writer).await?;
    {
        let mut connection = write
            .acquire()
            .await
            .map_err(|error| connect_error(target, error))?;
        migrate::run(&migrate::SQLITE, &mut *connection, target).await?;
    }
    let lanes = Lanes {
        write,
        record: pool(1, recorder).await?,
        read: pool(options.max_connections, reader.clone()).await?,
        verify: pool(VERIFY_CONNECTIONS, reader).await?,
    };
    let checkpoint = pool(1, checkpointer).await?;
    let embedded = open_embedded(&path, options)
        .await
        .map_err(|error| connect_error(target, error))?;
    let pools = Pools::Sqlite {
        lanes,
        embedded,
        checkpoint,
    };
    Ok(Db::new(pools, Lock::File(lock)))
}

/// The connection that commits records, with what sqlx sets on the others.
async fn open_embedded(path: &Path, options: &StoreOptions) -> Result<Embedded, DatabaseError> {
    let synchronous = match options.record_synchronous {
        Synchronous::Normal => "NORMAL",
        Synchronous::Full => "FULL",
    };
    let settings = format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = {RECORD_CACHE}; \
         PRAGMA foreign_keys = ON"
    );
    Embedded::open(path, settings, BUSY_TIMEOUT, RECORD_STATEMENTS).await
}

async fn sqlite_pool(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
}

/// Makes file and folder if needed, both for the owner alone, and takes the lock. Returns the real path, so that
/// two names of one file meet at one lock.
fn prepare_file(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path)?);
    let path = path.canonicalize()?;
    let lock = lock::lock_file(&with_suffix(&path, ".lock"))?;
    if lock.is_some() {
        // SQLite gives its side files the mode of the database, but ones that are left from before keep theirs.
        for suffix in ["", "-wal", "-shm"] {
            make_private(&with_suffix(&path, suffix))?;
        }
    }
    Ok((path, lock))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(unix)]
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = match path.metadata() {
        Ok(metadata) => metadata.permissions(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if permissions.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the database could be read by others; its mode is now 0600");
        permissions.set_mode(0o600);
        std::fs::set_permissions(path, permissions)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

// === PostgreSQL ===

async fn open_postgres(
    url: PgConnectOptions,
    options: &StoreOptions,
    purpose: Purpose,
) -> Result<Db, OpenError> {
    let target = &options.target;
    let mut connection = AdvisoryLock::take(&url, purpose)
        .await
        .map_err(|error| connect_error(target, error))?
        .ok_or_else(|| OpenError::InUse {
            database: target.to_string(),
            purpose,
        })?;
    migrate::run(&migrate::POSTGRES, &mut connection, target).await?;
    let lock = AdvisoryLock::keep(connection, url.clone(), purpose);

    let pool = async |connections: u32, settings: &'static [&'static str], url: PgConnectOptions| {
        postgres_pool(url, connections, settings)
            .await
            .map_err(|error| connect_error(target, error))
    };
    let plain = &[SESSION_SETTINGS];
    let lanes = Lanes {
        write: pool(1, plain, url.clone()).await?,
        record: pool(
            RECORD_CONNECTIONS,
            &[SESSION_SETTINGS, RECORD_SETTINGS],
            url.clone().statement_cache_capacity(RECORD_STATEMENTS),
        )
        .await?,
        read: pool(options.max_connections, plain, url.clone()).await?,
        verify: pool(VERIFY_CONNECTIONS, plain, url).await?,
    };
    Ok(Db::new(Pools::Postgres(lanes), Lock::Advisory(lock)))
}

/// `settings` are set on each connection.
async fn postgres_pool(
    options: PgConnectOptions,
    connections: u32,
    settings: &'static [&'static str],
) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for part in settings {
                    sqlx::raw_sql(*part).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        // The pool's own test before use has no limit but that of the whole acquisition, and costs a round trip
        // each time.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > TRUSTED_IDLE {
                    ping(connection).await?;
                }
                Ok(true)
            })
        })
        // A read whose future was dropped leaves its answer on the way; a connection that does not get through it
        // is closed here, where the pool itself would wait for ever.
        .after_release(|connection, _| Box::pin(async move { ping(connection).await.map(|()| true) }))
        .connect_with(options)
        .await
}

async fn ping(connection: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(PING_TIMEOUT, connection.ping()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

fn connect_error(target: &Target, source: impl Into<Box<dyn StdError + Send + Sync>>) -> OpenError {
    OpenError::Connect {
        database: target.to_string(),
        source: source.into(),
    }
}

/// The last cause, which says what is wrong with a URL without repeating it.
fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use sqlx::Sqlite;
    use sqlx::pool::Pool;

    use super::*;

    async fn pragma(pool: &Pool<Sqlite>, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn commits_on_sqlite_wait_for_what_they_should() {
        let folder = tempfile::tempdir().unwrap();
        for (record_synchronous, expected) in [(Synchronous::Normal, 1), (Synchronous::Full, 2)] {
            let options = StoreOptions {
                record_synchronous,
                ..StoreOptions::new(Target::Sqlite {
                    path: folder.path().join("coder.db"),
                })
            };
            let db = open(options, Purpose::Server).await.unwrap();
            let Pools::Sqlite { lanes, .. } = db.pools() else {
                unreachable!()
            };
            assert_eq!(pragma(&lanes.write, "PRAGMA synchronous").await, 2);
            assert_eq!(pragma(&lanes.record, "PRAGMA synchronous").await, expected);
            for pool in [&lanes.write, &lanes.record] {
                assert_eq!(pragma(pool, "PRAGMA wal_autocheckpoint").await, 0);
            }
            db.close().await;
        }
    }
}
