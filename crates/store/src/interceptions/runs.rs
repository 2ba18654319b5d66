//! The runs of the server, and closing what a run that is over has left open.
//!
//! On PostgreSQL a run holds a lease by the clock of the database, which all replicas share. On SQLite there is one
//! server at a time, which the lock on the file proves, so every other run is over.

use std::time::Duration;

use gateway_core::interception::Outcome;
use gateway_core::{RunId, Timestamp};

use super::Interceptions;
use super::rollup::{self, ClosedRow, Rollup, Sums};
use crate::db::{Conn, Tx, on};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::target::Engine;

const BEGIN: &str = "INSERT INTO aibridge_runs (id, started_at, lease_until) VALUES ($1, $2, $3) \
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";
const RENEW: &str = "UPDATE aibridge_runs SET lease_until = $2 WHERE id = $1";
const END: &str = "DELETE FROM aibridge_runs WHERE id = $1";

/// A run that is not in the table is over too. `$2`, the time by which a lease must have run out, is the end of time
/// on SQLite. PostgreSQL looks at the condition again where the interception was closed meanwhile.
const CLOSE: &str = concat!(
    "UPDATE aibridge_interceptions SET outcome = $4, ended_at = $5 WHERE ended_at IS NULL AND id IN \
     (SELECT i.id FROM aibridge_interceptions AS i WHERE i.ended_at IS NULL AND i.run_id <> $1 \
     AND NOT EXISTS (SELECT 1 FROM aibridge_runs AS r WHERE r.id = i.run_id AND r.lease_until > $2) \
     ORDER BY i.id LIMIT $3) RETURNING ",
    rollup::closed_columns!()
);

/// Runs that have been over for so long are forgotten. Whatever they left open is closed all the same.
const REMEMBERED: Duration = Duration::from_hours(24);
const FORGET: &str = "DELETE FROM aibridge_runs WHERE id <> $1 AND lease_until < $2";

// === impl Interceptions ===

impl Interceptions<'_> {
    /// Begins a run, which holds its lease for so long from now on, by the clock of the database.
    pub async fn begin_run(self, run: RunId, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
        self.db
            .write_again("interceptions.begin_run", || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = async {
                    let until = database_time(&mut tx).await?.plus(lease);
                    on!(tx.conn(), |c| sqlx::query(BEGIN)
                        .bind(run.to_string())
                        .bind(now.as_micros())
                        .bind(until.as_micros())
                        .execute(c)
                        .await
                        .map(drop))?;
                    Ok(())
                }
                .await;
                tx.end(outcome).await
            })
            .await
    }

    /// Holds the lease for so long from now on. False: the run was ended or forgotten, and must begin anew.
    pub async fn renew_run(self, run: RunId, lease: Duration) -> Result<bool, StoreError> {
        self.db
            .write_again("interceptions.renew_run", || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = async {
                    let until = database_time(&mut tx).await?.plus(lease);
                    let rows = on!(tx.conn(), |c| sqlx::query(RENEW)
                        .bind(run.to_string())
                        .bind(until.as_micros())
                        .execute(c)
                        .await
                        .map(|done| done.rows_affected()))?;
                    Ok(rows == 1)
                }
                .await;
                tx.end(outcome).await
            })
            .await
    }

    /// Ends a run. What it has left open can be closed as interrupted at once.
    pub async fn end_run(self, run: RunId) -> Result<(), StoreError> {
        self.db
            .write_again("interceptions.end_run", || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = on!(tx.conn(), |c| sqlx::query(END)
                    .bind(run.to_string())
                    .execute(c)
                    .await
                    .map(drop));
                tx.end(outcome.map_err(Fault::from)).await
            })
            .await
    }

    /// Closes up to `limit` interceptions that runs other than `except` have left open and that nobody will close:
    /// on SQLite all, on PostgreSQL those of runs without a lease. Returns how many; the caller goes on while there
    /// are any.
    pub async fn close_interrupted(
        self,
        except: RunId,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.db
            .write_again("interceptions.close_interrupted", || async {
                let mut tx = self.db.begin_records().await?;
                let outcome = close_interrupted(&mut tx, self.db.engine(), except, now, limit).await;
                tx.end(outcome).await
            })
            .await
    }
}

async fn close_interrupted(
    tx: &mut Tx,
    engine: Engine,
    except: RunId,
    now: Timestamp,
    limit: u32,
) -> Result<u64, Fault> {
    let database_now = database_time(tx).await?;
    let lease_until = match engine {
        Engine::Sqlite => Timestamp::MAX,
        Engine::Postgres => database_now,
    };
    let rows: Vec<ClosedRow> = on!(tx.conn(), |c| sqlx::query_as(CLOSE)
        .bind(except.to_string())
        .bind(lease_until.as_micros())
        .bind(i64::from(limit))
        .bind(Outcome::Interrupted.as_str())
        .bind(now.as_micros())
        .fetch_all(c)
        .await)?;
    on!(tx.conn(), |c| sqlx::query(FORGET)
        .bind(except.to_string())
        .bind(database_now.minus(REMEMBERED).as_micros())
        .execute(c)
        .await
        .map(drop))?;
    let count = rows.len() as u64;
    let mut rollup = Rollup::default();
    for row in rows {
        rollup.add(row, &Sums::INTERRUPTED);
    }
    rollup.write(tx.conn()).await?;
    Ok(count)
}

/// The time by the clock of the database, which each engine tells in its own way.
async fn database_time(tx: &mut Tx) -> Result<Timestamp, Fault> {
    let sql = match tx.conn() {
        Conn::Sqlite(_) => "SELECT CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)",
        Conn::Postgres(_) => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    };
    let micros: i64 = on!(tx.conn(), |c| sqlx::query_scalar(sql).fetch_one(c).await)?;
    Ok(Timestamp::from_micros(micros))
}
