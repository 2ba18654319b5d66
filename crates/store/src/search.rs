//! Reads that may go through a large part of a table.
//!
//! A statement of SQLite runs to its end even if nobody waits for its answer any more, and holds its connection until
//! then. A few of them that were given up would be all connections that there are for reading. So here it is told to
//! stop. PostgreSQL has a time limit for statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::db::{Conn, Db};
use crate::fault::Fault;

/// How often a statement looks whether it is to stop, in steps of SQLite's machine. One step can be the comparison of a
/// long text.
const STEPS: i32 = 100;

/// A connection for such a read. [`Search::end`] gives it back; if that is not reached, what runs on it stops, and it
/// is closed.
#[derive(Debug)]
pub(crate) struct Search {
    conn: Option<Conn>,
    is_given_up: Arc<AtomicBool>,
}

impl Db {
    pub(crate) async fn search(&self) -> Result<Search, Fault> {
        let mut search = Search {
            conn: Some(self.reader().await?),
            is_given_up: Arc::default(),
        };
        let is_given_up = Arc::clone(&search.is_given_up);
        if let Conn::Sqlite(conn) = search.conn() {
            conn.lock_handle()
                .await?
                .set_progress_handler(STEPS, move || !is_given_up.load(Ordering::Relaxed));
        }
        Ok(search)
    }
}

// === impl Search ===

impl Search {
    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.conn
            .as_mut()
            .expect("taken only by end and drop, which consume the search")
    }

    /// Gives the connection back.
    pub(crate) async fn end<T>(mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if let Conn::Sqlite(conn) = self.conn() {
            conn.lock_handle().await?.remove_progress_handler();
        }
        drop(self.conn.take());
        outcome
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.is_given_up.store(true, Ordering::Relaxed);
        if let Some(Conn::Sqlite(conn)) = self.conn.take() {
            drop(conn.detach());
        }
    }
}
