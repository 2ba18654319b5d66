//! The handle that the rest of the program holds.

use std::sync::Arc;

use crate::audit::Audit;
use crate::db::Db;
use crate::error::{OpenError, StoreError};
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

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await
    }

    /// Waits for what is running, closes the connections and gives the lock back. Later calls fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
