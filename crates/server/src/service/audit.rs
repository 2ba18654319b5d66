//! Reading the audit log.

use gateway_core::Permission;
use gateway_core::audit::Entry;
use gateway_store::AuditFilter;

use super::error::ServiceError;
use super::{Requester, Services, require};

/// The most entries that one call lists.
pub const PAGE: u32 = 1000;

// === impl Services ===

impl Services {
    /// Entries of the audit log, newest first. `limit` is 1 to [`PAGE`].
    pub async fn list_audit(
        &self,
        caller: &Requester,
        filter: AuditFilter,
    ) -> Result<Vec<Entry>, ServiceError> {
        require(caller, Permission::ReadRecords)?;
        if !(1..=PAGE).contains(&filter.limit) {
            return Err(ServiceError::field("limit", format!("must be 1 to {PAGE}")));
        }
        Ok(self.store.audit().list(filter).await?)
    }
}
