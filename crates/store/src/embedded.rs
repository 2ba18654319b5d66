//! SQLite without sqlx: the one connection that commits records.
//!
//! sqlx sends each statement to a thread and waits for its answer. For the few statements of a group of records those
//! trips cost several times what SQLite itself does, so a group goes to a thread once and is written there whole. Only
//! commits of records are worth that; everything else goes through sqlx.
//!
//! What has been handed over runs to its end, whether or not somebody still waits for it. It holds its turn among the
//! writers for so long, and whoever comes next waits without a thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Mutex;

use crate::fault::{DatabaseError, Fault};
use crate::gate::Gate;

/// The connection, or how to make a new one.
#[derive(Debug)]
pub(crate) struct Embedded {
    place: Arc<Place>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    settings: String,
    busy_timeout: Duration,
    statements: usize,
}

#[derive(Debug)]
enum State {
    Open(Connection),
    /// The last one was left inside a transaction that could not be rolled back.
    Broken,
    Closed,
}

// === impl Embedded ===

impl Embedded {
    /// Opens the database, which is there. `settings` are statements to be run on each new connection, of which
    /// `statements` many others are kept prepared.
    pub(crate) async fn open(
        path: &Path,
        settings: String,
        busy_timeout: Duration,
        statements: usize,
    ) -> Result<Self, DatabaseError> {
        let place = Arc::new(Place {
            path: path.to_owned(),
            settings,
            busy_timeout,
            statements,
        });
        let there = Arc::clone(&place);
        let connection = on_a_thread(move || Ok::<_, DatabaseError>(there.connect()?)).await?;
        Ok(Self {
            place,
            state: Arc::new(Mutex::new(State::Open(connection))),
        })
    }

    /// Runs `work` in a transaction when it is the turn of records, and commits what it does unless it fails.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        gate: &Gate,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let turn = gate.turn().await;
        let place = Arc::clone(&self.place);
        on_a_thread(move || {
            let connection = match std::mem::replace(&mut *state, State::Broken) {
                State::Open(connection) => connection,
                State::Broken => place.connect()?,
                State::Closed => {
                    *state = State::Closed;
                    return Err(sqlx::Error::PoolClosed.into());
                }
            };
            let outcome = transaction(&connection, work);
            if connection.is_autocommit() {
                *state = State::Open(connection);
            }
            // Only now may others write; a thread's values are dropped in an order that is easily changed.
            drop(turn);
            outcome
        })
        .await
    }

    /// Closes the connection once what runs on it has ended.
    pub(crate) async fn close(&self) {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        // Closing may write, as the last connection does.
        let closed = on_a_thread(move || {
            *state = State::Closed;
            Ok::<_, DatabaseError>(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(?error, "the connection for records did not close");
        }
    }
}

impl Place {
    fn connect(&self) -> Result<Connection, rusqlite::Error> {
        // One user at a time, by the lock on it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(self.statements);
        connection.execute_batch(&self.settings)?;
        Ok(connection)
    }
}

fn transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let outcome = work(connection).and_then(|value| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(value)
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // If even that fails the connection is given up.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

/// Runs what blocks where it may.
async fn on_a_thread<T: Send + 'static, E: From<sqlx::Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_) => Err(sqlx::Error::WorkerCrashed.into()),
        },
    }
}
