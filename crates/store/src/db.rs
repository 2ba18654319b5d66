//! The connections, transactions, and the macro that runs one expression on either engine.
//!
//! There are four lanes, so that no kind of work can starve another: one connection for the writes of accounts (they
//! are in one order anyway), one or two for those of records, a pool for reads, and a small pool for the lookups that
//! verify presented tokens, which anybody can cause. SQLite has two more connections, one for checkpoints and one for
//! the commits of records, which do not go through sqlx there.
//!
//! Nothing in here waits for ever: each operation ends after [`OPERATION_TIMEOUT`], and a connection that is left
//! inside a transaction (its future was dropped, or did not come back) is closed, never given to somebody else.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gateway_core::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool, Postgres, Row as _, Sqlite};

use crate::audit::write::Signature;
use crate::author::{Author, Rights};
use crate::embedded::Embedded;
use crate::error::StoreError;
use crate::fault::Fault;
use crate::gate::{Gate, Turn};
use crate::lock::Lock;
use crate::target::Engine;

/// The longest that a read or a write takes ([`note_used`](crate::Tokens::note_used): for each 500 tokens). Opening
/// and closing have limits of their own.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a write of records waits for PostgreSQL before it is tried on another connection. A group takes
/// milliseconds; the second attempt has the rest of the time.
const SILENCE: Duration = Duration::from_secs(3);

/// How long closing waits for what is running.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a write is tried that PostgreSQL aborted for the sake of another transaction.
const WRITE_ATTEMPTS: u32 = 5;

/// The pause before the second attempt; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// From so many pages on, 16 MiB, the write-ahead log begins anew, which under steady load it would never do by itself.
/// Its file is written over, which is cheaper than a new one.
const LONG_LOG: i64 = 4096;
const RESTART_LOG: &str = "PRAGMA wal_checkpoint(RESTART)";

/// From so many pages on, 256 MiB, the file is cut too.
const HUGE_LOG: i64 = 65536;
const CUT_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";

/// Each write of accounts on PostgreSQL holds this advisory lock to its commit. Any number will do, but it must be the same in
/// all versions that share a database. The isolation is named because a server's default could be one in which
/// the snapshot is older than the lock.
const BEGIN_POSTGRES: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(6020117340895521)";

/// Records are of their run alone, so they need no order among all writers.
const BEGIN_POSTGRES_RECORDS: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// An open database.
#[derive(Debug)]
pub(crate) struct Db {
    pools: Pools,
    /// Of use on SQLite only, whose writers keep each other out.
    gate: Gate,
    /// Given back when the database is closed or dropped.
    lock: Mutex<Option<Lock>>,
}

#[derive(Debug)]
pub(crate) enum Pools {
    Sqlite {
        lanes: Lanes<Sqlite>,
        /// For commits of records. Their other writes go through the lane.
        embedded: Embedded,
        /// One connection.
        checkpoint: Pool<Sqlite>,
    },
    Postgres(Lanes<Postgres>),
}

#[derive(Debug)]
pub(crate) struct Lanes<D: Database> {
    /// One connection.
    pub(crate) write: Pool<D>,
    pub(crate) record: Pool<D>,
    pub(crate) read: Pool<D>,
    pub(crate) verify: Pool<D>,
}

/// A connection of either engine.
#[derive(Debug)]
pub(crate) enum Conn {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A write transaction. [`Tx::end`] commits it or rolls it back; if that is not reached, or not finished, the
/// connection is closed, which rolls back whatever was not committed.
#[derive(Debug)]
pub(crate) struct Tx {
    conn: Option<Conn>,
    pub(crate) rights: Rights,
    /// Given back when the transaction is over.
    turn: Option<Turn>,
    pub(crate) signature: Signature,
}

/// Runs one expression on the connection of either engine: `on!(conn, |c| sqlx::query(..).execute(c).await)`.
macro_rules! on {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn {
            $crate::db::Conn::Sqlite(connection) => {
                let $c = &mut **connection;
                $body
            }
            $crate::db::Conn::Postgres(connection) => {
                let $c = &mut **connection;
                $body
            }
        }
    };
}
pub(crate) use on;

// === impl Db ===

impl Db {
    pub(crate) fn new(pools: Pools, lock: Lock) -> Self {
        Self {
            pools,
            gate: Gate::new(),
            lock: Mutex::new(Some(lock)),
        }
    }

    #[cfg(test)]
    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(crate) fn engine(&self) -> Engine {
        match self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a read, which may use any of the lanes, within the time limit.
    pub(crate) async fn read<T, F>(
        &self,
        operation: &'static str,
        read: impl FnOnce() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        limited(operation, Box::pin(read())).await
    }

    /// Runs a write within the time limit. It is tried again if the database gave up on it for the sake of another
    /// transaction, so it must begin its transaction itself.
    pub(crate) async fn write<T, F>(
        &self,
        operation: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        limited(operation, attempts(operation, &mut attempt)).await
    }

    /// Runs a write that may be repeated where it is not known whether it has happened, as that of records. It is
    /// tried again, too, if PostgreSQL has not answered for a while: the connection may lead nowhere while a new one
    /// would not, and answers are held back meanwhile.
    pub(crate) async fn write_again<T, F>(
        &self,
        operation: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let work = async {
            if self.engine() == Engine::Postgres {
                let first = attempts(operation, &mut attempt);
                match tokio::time::timeout(SILENCE, first).await {
                    Ok(outcome) => return outcome,
                    Err(_) => {
                        tracing::warn!(
                            operation,
                            "the database is silent; trying again on another connection"
                        );
                    }
                }
            }
            attempts(operation, &mut attempt).await
        };
        limited(operation, work).await
    }

    /// Runs a write of records on SQLite's own connection within the time limit, in a transaction; none on PostgreSQL. A
    /// write that took too long may still happen.
    pub(crate) fn write_embedded<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Option<impl Future<Output = Result<T, StoreError>>> {
        match &self.pools {
            Pools::Sqlite { embedded, .. } => Some(limited(operation, embedded.write(&self.gate, work))),
            Pools::Postgres(_) => None,
        }
    }

    pub(crate) async fn reader(&self) -> Result<Conn, Fault> {
        match &self.pools {
            Pools::Sqlite { lanes, .. } => Ok(Conn::Sqlite(lanes.read.acquire().await?)),
            Pools::Postgres(lanes) => Ok(Conn::Postgres(lanes.read.acquire().await?)),
        }
    }

    pub(crate) async fn verifier(&self) -> Result<Conn, Fault> {
        match &self.pools {
            Pools::Sqlite { lanes, .. } => Ok(Conn::Sqlite(lanes.verify.acquire().await?)),
            Pools::Postgres(lanes) => Ok(Conn::Postgres(lanes.verify.acquire().await?)),
        }
    }

    /// Begins a write transaction of accounts and finds its author still valid in it.
    pub(crate) async fn begin(&self, author: &Author, now: Timestamp) -> Result<Tx, Fault> {
        let (conn, begin, turn) = match &self.pools {
            Pools::Sqlite { lanes, .. } => {
                let precedence = self.gate.announce();
                let conn = Conn::Sqlite(lanes.write.acquire().await?);
                (conn, BEGIN_SQLITE, Some(precedence.turn().await))
            }
            Pools::Postgres(lanes) => {
                let conn = Conn::Postgres(lanes.write.acquire().await?);
                (conn, BEGIN_POSTGRES, None)
            }
        };
        let mut tx = Tx::begin(conn, begin, turn, author.signature(now)).await?;
        match author.check(&mut tx, now).await {
            Ok(rights) => {
                tx.rights = rights;
                Ok(tx)
            }
            Err(fault) => tx.end(Err(fault)).await,
        }
    }

    /// Begins a write transaction of records. It lets those of accounts go first.
    pub(crate) async fn begin_records(&self) -> Result<Tx, Fault> {
        let (conn, begin, turn) = match &self.pools {
            Pools::Sqlite { lanes, .. } => {
                let conn = Conn::Sqlite(lanes.record.acquire().await?);
                (conn, BEGIN_SQLITE, Some(self.gate.turn().await))
            }
            Pools::Postgres(lanes) => {
                let conn = Conn::Postgres(lanes.record.acquire().await?);
                (conn, BEGIN_POSTGRES_RECORDS, None)
            }
        };
        // Nothing about records is audited.
        let signature = Author::System.signature(Timestamp::from_micros(0));
        Tx::begin(conn, begin, turn, signature).await
    }

    /// See [`Store::checkpoint`](crate::Store::checkpoint).
    pub(crate) async fn checkpoint(&self) -> Result<(), StoreError> {
        let Pools::Sqlite { checkpoint, .. } = &self.pools else {
            return Ok(());
        };
        limited("checkpoint", async {
            let mut connection = checkpoint.acquire().await?;
            let pages: i64 = sqlx::query(CHECKPOINT)
                .fetch_one(&mut *connection)
                .await?
                .try_get(1)?;
            if pages > LONG_LOG {
                // What was written meanwhile is moved too, so that what is left is little: nobody writes until that is
                // done. Readers may be in the way of a new beginning; then the next checkpoint makes it.
                sqlx::query(CHECKPOINT).execute(&mut *connection).await?;
                let _turn = self.gate.turn().await;
                let again = if pages > HUGE_LOG { CUT_LOG } else { RESTART_LOG };
                sqlx::query(again).execute(&mut *connection).await?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.read("ping", || async {
            let mut conn = self.reader().await?;
            on!(&mut conn, |c| sqlx::query("SELECT 1").execute(c).await.map(drop))?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn close(&self) {
        let pools = async {
            match &self.pools {
                Pools::Sqlite {
                    lanes,
                    embedded,
                    checkpoint,
                } => {
                    checkpoint.close().await;
                    embedded.close().await;
                    lanes.close().await;
                }
                Pools::Postgres(lanes) => lanes.close().await,
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, pools).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lock) = lock {
            lock.release().await;
        }
    }
}

// === impl Lanes ===

impl<D: Database> Lanes<D> {
    /// The writer last: SQLite's last connection moves the write-ahead log into the file.
    async fn close(&self) {
        self.verify.close().await;
        self.read.close().await;
        self.record.close().await;
        self.write.close().await;
    }
}

// === impl Tx ===

impl Tx {
    async fn begin(
        conn: Conn,
        begin: &'static str,
        turn: Option<Turn>,
        signature: Signature,
    ) -> Result<Self, Fault> {
        // From here on dropping it closes the connection, whether or not the transaction has begun.
        let mut tx = Self {
            conn: Some(conn),
            rights: Rights::System,
            turn,
            signature,
        };
        tx.execute(begin).await?;
        Ok(tx)
    }

    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.conn
            .as_mut()
            .expect("taken only by end and drop, which consume the transaction")
    }

    /// Commits if `outcome` is good, else rolls back; then gives the connection back.
    pub(crate) async fn end<T>(mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        let statement = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.execute(statement).await;
        if ended.is_ok() {
            drop(self.conn.take());
        }
        drop(self.turn.take());
        let value = outcome?;
        ended.map(|()| value)
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), Fault> {
        on!(self.conn(), |c| sqlx::raw_sql(statement)
            .execute(c)
            .await
            .map(drop))?;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Taken out of the pool and dropped: the socket or file is closed without another word on it.
        match self.conn.take() {
            Some(Conn::Sqlite(conn)) => drop(conn.detach()),
            Some(Conn::Postgres(conn)) => drop(conn.detach()),
            None => {}
        }
    }
}

/// Tries a write until the database does not abort it for the sake of another.
async fn attempts<T, F>(operation: &'static str, attempt: &mut impl FnMut() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut pause = FIRST_PAUSE;
    for left in (0..WRITE_ATTEMPTS).rev() {
        match Box::pin(attempt()).await {
            Err(fault) if fault.is_conflict() && left > 0 => {
                tracing::debug!(
                    operation,
                    "the database aborted a write in favour of another; trying again"
                );
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
    unreachable!("the last attempt returns whatever comes out")
}

/// The futures given to this are on the heap: those of a query are large, and callers hold them inside their own.
async fn limited<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(OPERATION_TIMEOUT, work).await {
        Ok(outcome) => outcome.map_err(|fault| fault.into_store_error(operation)),
        Err(_) => Err(StoreError::Timeout { operation }),
    }
}
