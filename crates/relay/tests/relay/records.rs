//! Where records go in these tests: into memory, as slowly and as unwillingly as a test wants.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use gateway_core::interception::{self, End, Entry, ModelThought, Record, Start, ToolUsage};
use gateway_core::{InterceptionId, ProviderName, UserId};
use gateway_relay::recorder::{RecordSink, SinkError};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::support::patiently;

pub(crate) struct Records {
    committed: Mutex<Vec<Record>>,
    changed: watch::Sender<usize>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Works,
    /// Commits take for ever.
    Stalls,
    /// Ends and tool calls take for ever.
    StallsBehindStarts,
    Fails,
}

/// All that is known of one interception.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) initiator: Option<UserId>,
    pub(crate) start: Option<Start>,
    pub(crate) tools: Vec<ToolUsage>,
    pub(crate) end: Option<End>,
}

impl Records {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            committed: Mutex::default(),
            changed: watch::channel(0).0,
            state: watch::channel(State::Works).0,
        })
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// In the order of their starts.
    pub(crate) fn all(&self) -> Vec<Kept> {
        let mut order = Vec::new();
        let mut kept: HashMap<InterceptionId, Kept> = HashMap::new();
        for record in self.committed.lock().iter().cloned() {
            let entry = kept.entry(record.id).or_insert_with(|| {
                order.push(record.id);
                Kept::default()
            });
            match record.entry {
                Entry::Start(start) => {
                    entry.initiator = Some(record.initiator_id);
                    entry.start = Some(*start);
                }
                Entry::Tool(tool) => entry.tools.push(*tool),
                Entry::End(end) => {
                    assert!(entry.end.replace(*end).is_none(), "two ends");
                }
            }
        }
        order
            .into_iter()
            .map(|id| kept.remove(&id).unwrap_or_default())
            .collect()
    }

    /// The first `count` interceptions, once they are closed.
    pub(crate) async fn closed(&self, count: usize) -> Vec<Kept> {
        let mut changed = self.changed.subscribe();
        patiently("the end of the records", async {
            loop {
                let all = self.all();
                if all.len() >= count && all.iter().all(|kept| kept.end.is_some()) {
                    return all;
                }
                changed.changed().await.unwrap();
            }
        })
        .await
    }

    pub(crate) async fn only(&self) -> (Start, End, Kept) {
        let all = self.closed(1).await;
        assert_eq!(all.len(), 1);
        let kept = all[0].clone();
        (kept.start.clone().unwrap(), kept.end.clone().unwrap(), kept)
    }
}

impl Kept {
    pub(crate) fn thoughts(&self) -> &[ModelThought] {
        self.end.as_ref().map_or(&[], |end| &end.thoughts)
    }
}

impl RecordSink for Records {
    fn commit(&self, records: interception::Records) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let has_more = records
                .iter()
                .any(|record| !matches!(record.entry, Entry::Start(_)));
            let mut state = self.state.subscribe();
            let may_go = |state: &State| match state {
                State::Works | State::Fails => true,
                State::Stalls => false,
                State::StallsBehindStarts => !has_more,
            };
            let state = *state.wait_for(may_go).await.unwrap();
            if state == State::Fails {
                return Err(SinkError::Unavailable("the database is gone".into()));
            }
            self.committed.lock().extend_from_slice(&records);
            self.changed.send_modify(|count| *count += 1);
            Ok(())
        })
    }

    fn commit_unrecordable<'a>(&'a self, _: &'a Record) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }

    fn made_object<'a>(
        &'a self,
        user: UserId,
        provider: &'a ProviderName,
        object_id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SinkError>> {
        Box::pin(async move {
            if *self.state.borrow() != State::Works {
                return Err(SinkError::Unavailable("the database is gone".into()));
            }
            Ok(self.all().iter().any(|kept| {
                kept.initiator == Some(user)
                    && kept
                        .start
                        .as_ref()
                        .is_some_and(|start| start.provider_name == *provider)
                    && kept
                        .end
                        .as_ref()
                        .is_some_and(|end| end.provider_response_id.as_deref() == Some(object_id))
            }))
        })
    }
}
