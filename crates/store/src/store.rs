//! The handle that the rest of the program holds.

use std::sync::Arc;

use crate::audit::Audit;
use crate::db::Db;
use crate::error::{OpenError, StoreError};
use crate::interceptions::Interceptions;
use crate::target::{Engine, Purpose, StoreOptions};
use crate::tokens::Tokens;
use crate::users::Users;

/// The database. Clones share the same connections.
#[derive(Clone, Debug)]
pub struct Store {
    db: Arc<Db>,
}

// === impl Store ===

impl Store {
    /// Takes the lock, applies the migrations and opens the connections.
    pub async fn open(options: StoreOptions, purpose: Purpose) -> Result<Self, OpenError> {
        Ok(Self {
            db: Arc::new(crate::open::open(options, purpose).await?),
        })
    }

    pub fn engine(&self) -> Engine {
        self.db.engine()
    }

    pub fn users(&self) -> Users<'_> {
        Users::new(&self.db)
    }

    pub fn tokens(&self) -> Tokens<'_> {
        Tokens::new(&self.db)
    }

    pub fn audit(&self) -> Audit<'_> {
        Audit::new(&self.db)
    }

    pub fn interceptions(&self) -> Interceptions<'_> {
        Interceptions::new(&self.db)
    }

    /// Moves what was committed from SQLite's write-ahead log into the file, which nothing else does while the store
    /// is open. To be called every few seconds: the log grows with each commit, and reading through a long one is
    /// slow. Commits go on meanwhile, except when the log has become large and is cut. Nothing on PostgreSQL.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        self.db.checkpoint().await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await
    }

    /// Waits for what is running, closes the connections and gives the lock back. Later calls fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
