//! Writing interceptions down before their answers are released.
//!
//! A request is admitted with its start record, or refused while the database does not keep up. From then on it owns
//! its places in the queue: what it adds later is never turned away, and goes before the starts of others. One
//! [`Writer`] commits what has gathered in groups: a commit begins when the writer is idle, and what arrives meanwhile is
//! the next group, which is given a moment to gather, since much arrives then.
//!
//! What a record says, and when an answer is held back for it, is decided elsewhere; how it is stored is the
//! [`RecordSink`]'s business. The invariant that others rely on: `Interception::poll_committed` is ready with `Ok`
//! only when everything added before is committed.

mod slot;
mod writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use gateway_core::interception::{End, Entry, Record, Records, Start, ToolUsage};
use gateway_core::{InterceptionId, ProviderName, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body::BoxError;
use slot::{Lane, Slot, record_bytes};
pub use writer::Writer;

/// What a new request may find waiting, in bytes; beyond that it is refused. Requests that have been admitted may
/// exceed it by what [`SLOT_BYTES`] allows to each.
const QUEUE_BYTES: usize = 128 * 1024 * 1024;

/// When this much of one interception waits, its answer does not go on until that is committed.
const SLOT_BYTES: usize = 4 * 1024 * 1024;

/// How long records may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecorderTimes {
    /// A record that waits for longer says that the database does not keep up; then nothing new is admitted.
    pub patience: Duration,
    /// How long a part of an answer is held back at most for its record.
    pub hold_back: Duration,
}

/// Where records are kept.
pub trait RecordSink: Send + Sync + 'static {
    /// Commits all of them, in their order, or none. The same records may come again after an error.
    fn commit(&self, records: Records) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Keeps no more than the fact that a record was there, for one that was refused.
    fn commit_unrecordable<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), SinkError>>;

    /// Whether an interception of this user, with the organisation's key, has produced this object.
    fn made_object<'a>(
        &'a self,
        user: UserId,
        provider: &'a ProviderName,
        object_id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SinkError>>;
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The database is away, slow or full; the same may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] BoxError),
    /// Something in the records will never be accepted.
    #[error("the database refused the record")]
    Refused(#[source] BoxError),
}

/// Records do not reach the database in time; nothing may be started that would have to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("requests cannot be recorded at the moment")]
pub struct Behind;

/// A record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record could not be kept")]
pub(crate) struct Lost;

/// The queue of what is to be written down. Clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    times: RecorderTimes,
    sink: Arc<dyn RecordSink>,
    queue: Mutex<Queue>,
    /// Something is in the queue.
    work: Notify,
    /// The last commit failed.
    is_failing: AtomicBool,
    /// Of all records that are not committed.
    waiting_bytes: AtomicUsize,
    /// The process is on its way out: what is cut now is interrupted, not revoked.
    is_ending: AtomicBool,
}

/// Each entry stands for all that waits in its slot.
#[derive(Default)]
struct Queue {
    /// Tool calls and ends.
    ahead: VecDeque<Waiting>,
    starts: VecDeque<Waiting>,
    /// Since when the oldest record of the group that is being committed has waited.
    committing_since: Option<Instant>,
}

struct Waiting {
    slot: Arc<Slot>,
    since: Instant,
}

/// An admitted request. It should be given an [`End`]; one without is closed when the process starts again.
pub(crate) struct Interception {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

// === impl RecorderTimes ===

impl Default for RecorderTimes {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            hold_back: Duration::from_secs(10),
        }
    }
}

// === impl Recorder ===

impl Recorder {
    /// The queue, and the writer that has to run for as long as there are requests.
    pub fn new(sink: Arc<dyn RecordSink>, times: RecorderTimes) -> (Self, Writer) {
        let shared = Arc::new(Shared {
            times,
            sink,
            queue: Mutex::default(),
            work: Notify::new(),
            is_failing: AtomicBool::new(false),
            waiting_bytes: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
        });
        let writer = Writer::new(Arc::clone(&shared));
        (Self { shared }, writer)
    }

    /// Whether a request could be admitted now.
    pub fn check(&self) -> Result<(), Behind> {
        let shared = &self.shared;
        let is_behind = shared.is_failing.load(Ordering::Relaxed)
            || shared.waiting_bytes.load(Ordering::Relaxed) > QUEUE_BYTES
            || shared
                .queue
                .lock()
                .oldest()
                .is_some_and(|since| since.elapsed() > shared.times.patience);
        if is_behind { Err(Behind) } else { Ok(()) }
    }

    /// Says that the process ends, before what is left in flight is cut.
    pub fn begin_end(&self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
    }

    /// How long a part of an answer is held back at most for its record.
    pub(crate) fn hold_back(&self) -> Duration {
        self.shared.times.hold_back
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.shared.is_ending.load(Ordering::Relaxed)
    }

    /// Admits a request and queues its start.
    pub(crate) fn open(
        &self,
        id: InterceptionId,
        initiator: UserId,
        start: Start,
    ) -> Result<Interception, Behind> {
        self.check()?;
        let interception = Interception {
            shared: Arc::clone(&self.shared),
            slot: Arc::new(Slot::new(id, initiator)),
        };
        interception.add(Entry::Start(Box::new(start)));
        Ok(interception)
    }

    /// Whether the object belongs to the user.
    pub(crate) async fn made_object(
        &self,
        user: UserId,
        provider: &ProviderName,
        object_id: &str,
    ) -> Result<bool, SinkError> {
        self.shared.sink.made_object(user, provider, object_id).await
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("is_behind", &self.check().is_err())
            .finish_non_exhaustive()
    }
}

// === impl Queue ===

impl Queue {
    fn oldest(&self) -> Option<Instant> {
        let fronts = [self.ahead.front(), self.starts.front()];
        fronts
            .into_iter()
            .flatten()
            .map(|waiting| waiting.since)
            .chain(self.committing_since)
            .min()
    }

    fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.starts.is_empty()
    }

    fn push(&mut self, lane: Lane, waiting: Waiting) {
        match lane {
            Lane::Ahead => self.ahead.push_back(waiting),
            Lane::Start => self.starts.push_back(waiting),
        }
    }
}

// === impl Interception ===

impl Interception {
    pub(crate) fn id(&self) -> InterceptionId {
        self.slot.id
    }

    pub(crate) fn tool(&self, tool: ToolUsage) {
        self.add(Entry::Tool(Box::new(tool)));
    }

    pub(crate) fn end(&self, end: End) {
        self.add(Entry::End(Box::new(end)));
    }

    /// So much of this interception waits that its answer should not go on.
    pub(crate) fn is_full(&self) -> bool {
        self.slot.waiting_bytes() > SLOT_BYTES
    }

    /// Ready when all that was added is committed. One task at a time may wait.
    pub(crate) fn poll_committed(&self, cx: &Context<'_>) -> Poll<Result<(), Lost>> {
        self.slot.poll_committed(cx)
    }

    /// Waits like [`Interception::poll_committed`], for as long as an answer is held back at most.
    pub(crate) async fn committed(&self) -> Result<(), Behind> {
        let committed = std::future::poll_fn(|cx| self.poll_committed(cx));
        match tokio::time::timeout(self.shared.times.hold_back, committed).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Lost)) | Err(_) => Err(Behind),
        }
    }

    fn add(&self, entry: Entry) {
        let bytes = record_bytes(&entry);
        // Counted before the writer can see it, and so can take it off again.
        self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(lane) = self.slot.add(entry, bytes) {
            let waiting = Waiting {
                slot: Arc::clone(&self.slot),
                since: Instant::now(),
            };
            self.shared.queue.lock().push(lane, waiting);
            self.shared.work.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
