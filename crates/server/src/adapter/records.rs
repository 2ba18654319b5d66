//! The store as the place where records go.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway_core::interception::{Record, Records};
use gateway_core::{ProviderName, RunId, UserId};
use gateway_relay::recorder::{RecordSink, SinkError};
use gateway_store::{Store, StoreError};

use super::record_log::RecordLog;

pub(crate) struct StoreRecords {
    pub(crate) store: Store,
    /// The run of this process.
    pub(crate) run: RunId,
    /// Where committed records are told of, too.
    pub(crate) log: Option<RecordLog>,
}

impl RecordSink for StoreRecords {
    fn commit(&self, records: Records) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            let committed = self.store.interceptions().commit(self.run, records.clone()).await;
            committed.map_err(sink_error)?;
            if let Some(log) = &self.log {
                log.tell(&records);
            }
            Ok(())
        }
        .boxed()
    }

    fn commit_unrecordable<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), SinkError>> {
        async move {
            let interceptions = self.store.interceptions();
            let committed = interceptions.commit_unrecordable(self.run, record).await;
            committed.map_err(sink_error)
        }
        .boxed()
    }

    fn made_object<'a>(
        &'a self,
        user: UserId,
        provider: &'a ProviderName,
        object_id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SinkError>> {
        async move {
            let interceptions = self.store.interceptions();
            let found = interceptions
                .made_object(user, provider.as_str(), object_id)
                .await;
            found.map_err(sink_error)
        }
        .boxed()
    }
}

fn sink_error(error: StoreError) -> SinkError {
    if error.is_unavailable() {
        SinkError::Unavailable(Box::new(error))
    } else {
        SinkError::Refused(Box::new(error))
    }
}
