//! What was asked of the providers: interceptions with their prompts, tool calls, thoughts and tokens.
//!
//! [`Interceptions::commit`] writes a group of records in one transaction, in few statements; everything else reads,
//! or looks after what is there. Whether somebody may read a record is decided by the caller, who restricts a read to
//! one initiator.
//!
//! Ids of interceptions are UUIDs of version 7, so order of ids is order of time, to the millisecond: pages, bounds of
//! time and retention need nothing else.

use gateway_core::UserId;
use gateway_core::interception::CredentialKind;

use crate::db::{Db, on};
use crate::error::StoreError;
use crate::text;

mod bare;
mod batch;
mod ends;
mod filter;
mod lineage;
mod model;
mod read;
mod retention;
mod rollup;
mod rows;
mod runs;
mod sessions;
mod usage;
mod walk;
mod write;

pub use filter::InterceptionFilter;
pub use model::{Interception, SessionSummary, Thought, Thread, TokenSums, UsageRow};
pub use read::MAX_PAGE_BYTES;
pub use sessions::{LAST_PROMPT_CHARS, MAX_THREAD_INTERCEPTIONS, Steps, ThreadPage};
pub use usage::{MAX_USAGE_ROWS, UsageKey, UsageQuery};
pub use walk::Found;

/// The operations on interceptions.
#[derive(Clone, Copy, Debug)]
pub struct Interceptions<'a> {
    db: &'a Db,
}

const MADE_OBJECT: &str = "SELECT EXISTS (SELECT 1 FROM aibridge_interceptions \
    WHERE provider_response_id = $1 AND initiator_id = $2 AND provider_name = $3 AND credential_kind = $4) \
    AND NOT EXISTS (SELECT 1 FROM aibridge_interceptions \
    WHERE provider_response_id = $1 AND initiator_id <> $2 AND provider_name = $3 AND credential_kind = $4)";

// === impl Interceptions ===

impl<'a> Interceptions<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Whether an answer with this id was given to this user by this provider instance, with the central key.
    /// An id that other users were given, too, belongs to nobody: the provider lets its clients choose them.
    /// What it was given for the user's own key says nothing about what the central key may reach.
    pub async fn made_object(
        self,
        user: UserId,
        provider_name: &str,
        object_id: &str,
    ) -> Result<bool, StoreError> {
        if !text::is_storable(object_id) || !text::is_storable(provider_name) {
            return Ok(false);
        }
        self.db
            .read("interceptions.made_object", || async {
                let mut conn = self.db.verifier().await?;
                Ok(on!(&mut conn, |c| sqlx::query_scalar(MADE_OBJECT)
                    .bind(object_id)
                    .bind(user.to_string())
                    .bind(provider_name)
                    .bind(CredentialKind::Centralized.as_str())
                    .fetch_one(c)
                    .await)?)
            })
            .await
    }
}
