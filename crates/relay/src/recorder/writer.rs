//! The one task that commits: groups in a row, halves of a group that the database refuses, the same group again
//! while the database is away.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway_core::interception::{Record, Records};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::slot::{Lane, Slot, Taken};
use super::{Queue, Shared, SinkError};
use crate::causes::causes;

/// A group takes no further interception once it has this many records, or this many bytes.
const GROUP_RECORDS: usize = 512;
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// How long records may gather under load: larger groups cost less for each record, and a provider takes far longer than
/// this.
const GATHERING: Duration = Duration::from_millis(3);

/// How often a group of more than so many records is tried before its halves are.
const ATTEMPTS: u32 = 3;
const SMALL: usize = 16;

/// The pause before a commit is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Commits what is in the queue. To be run once, for as long as there are requests.
pub struct Writer {
    shared: Arc<Shared>,
}

/// Why records were not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the database refused it: {0}")]
    Record(String),
    #[error("the database did not take it, and may take less")]
    Group,
}

/// Records that are committed together, and whose they are.
struct Group {
    records: Vec<Record>,
    bytes: usize,
    slots: Vec<Share>,
}

/// What a slot has in a group, with the range of its records there.
type Share = (Arc<Slot>, Taken, Range<usize>);

// === impl Writer ===

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs until `stop` and the queue is empty. Stop it when no request is left.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let group = self.shared.queue.lock().take_group();
            if let Some(group) = group {
                self.commit(group).await;
                self.gather(&stop).await;
                continue;
            }
            if stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.shared.work.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Where records came while others were being committed, there are many, and larger groups cost less. So they are
    /// given a moment to gather. A record that comes alone waits for nothing.
    async fn gather(&self, stop: &CancellationToken) {
        if self.shared.queue.lock().is_empty() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(GATHERING) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn commit(&self, group: Group) {
        let gathered = Records::from(group.records);
        // Ranges still to be committed, the first on top.
        let mut parts = Vec::with_capacity(1);
        parts.push(0..gathered.len());
        while let Some(part) = parts.pop() {
            let records = gathered.part(part.clone());
            // Smaller parts are tried for ever, larger ones only so often: it may be their size that the database does not
            // bear.
            let attempts = (records.len() > SMALL).then_some(ATTEMPTS);
            let commit = || self.shared.sink.commit(records.clone());
            match self.insist(attempts, commit).await {
                Ok(()) => {}
                Err(Refused::Record(error)) if records.len() == 1 => {
                    tracing::error!(interception = %records[0].id, error, "a record was refused; only that it was there is kept");
                    self.commit_bare(&group.slots, &records[0], part.start).await;
                }
                Err(refused) => {
                    let records = records.len();
                    tracing::warn!(records, %refused, "a group was not taken; its halves are tried alone");
                    let middle = part.start + records / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
            }
        }
        for (slot, taken, _) in &group.slots {
            slot.note_committed(taken);
        }
        self.shared
            .waiting_bytes
            .fetch_sub(group.bytes, Ordering::Relaxed);
        self.shared.queue.lock().committing_since = None;
    }

    /// `at` says where the record stands in its group.
    async fn commit_bare(&self, slots: &[Share], record: &Record, at: usize) {
        let commit = || self.shared.sink.commit_unrecordable(record);
        if let Err(refused) = self.insist(None, commit).await {
            tracing::error!(interception = %record.id, %refused, "a record is lost");
            for (slot, _, range) in slots {
                if range.contains(&at) {
                    slot.note_lost();
                }
            }
        }
    }

    /// Tries for as long as the database is away, or for so many attempts.
    async fn insist<'a, F>(&'a self, attempts: Option<u32>, commit: impl Fn() -> F) -> Result<(), Refused>
    where
        F: Future<Output = Result<(), SinkError>> + 'a,
    {
        let mut pause = FIRST_PAUSE;
        let mut failed = 0;
        loop {
            let outcome = commit().await;
            let was_failing = self.shared.is_failing.load(Ordering::Relaxed);
            if let Err(SinkError::Unavailable(error)) = outcome {
                self.shared.is_failing.store(true, Ordering::Relaxed);
                if !was_failing {
                    let error = causes(&*error);
                    tracing::error!(
                        error,
                        "records cannot be committed; requests are refused until they can"
                    );
                }
                failed += 1;
                if attempts.is_some_and(|attempts| failed >= attempts) {
                    return Err(Refused::Group);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            self.shared.is_failing.store(false, Ordering::Relaxed);
            if was_failing {
                tracing::info!("records are committed again");
            }
            return match outcome {
                Err(SinkError::Refused(error)) => Err(Refused::Record(causes(&*error))),
                _ => Ok(()),
            };
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

// === impl Queue ===

impl Queue {
    /// Ends and tool calls before starts, since clients wait for them with the answer in hand.
    fn take_group(&mut self) -> Option<Group> {
        let mut group = Group {
            records: Vec::new(),
            bytes: 0,
            slots: Vec::new(),
        };
        let mut oldest: Option<Instant> = None;
        while group.records.len() < GROUP_RECORDS && group.bytes < GROUP_BYTES {
            let (lane, waiting) = match (self.ahead.pop_front(), Lane::Ahead) {
                (Some(waiting), lane) => (lane, waiting),
                (None, _) => match self.starts.pop_front() {
                    Some(waiting) => (Lane::Start, waiting),
                    None => break,
                },
            };
            let Some(mut taken) = waiting.slot.take(lane) else {
                continue;
            };
            oldest = Some(oldest.map_or(waiting.since, |oldest| oldest.min(waiting.since)));
            let first = group.records.len();
            group.bytes += taken.bytes;
            group.records.append(&mut taken.records);
            let range = first..group.records.len();
            group.slots.push((waiting.slot, taken, range));
        }
        self.committing_since = oldest;
        (!group.records.is_empty()).then_some(group)
    }
}
