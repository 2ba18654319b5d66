//! What waits of one interception, and how far it has been committed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use gateway_core::interception::{Entry, Record};
use gateway_core::{InterceptionId, UserId};
use parking_lot::Mutex;

use super::Lost;

/// What a record, or a thought in one, takes beside its texts, roughly.
const RECORD_BYTES: usize = 512;

/// The records of one interception that wait to be committed.
pub(super) struct Slot {
    pub(super) id: InterceptionId,
    initiator: UserId,
    pending: Mutex<Pending>,
    /// How many records were ever added, and how many of them are committed.
    added: AtomicU64,
    committed: AtomicU64,
    is_lost: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Pending {
    records: Vec<Record>,
    bytes: usize,
    /// Where the slot stands in the queue.
    in_ahead: bool,
    in_starts: bool,
}

/// The part of the queue that a slot stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Ahead,
    Start,
}

/// What was taken out of a slot.
pub(super) struct Taken {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
    /// When these are committed, so are this many in all.
    upto: u64,
}

// === impl Slot ===

impl Slot {
    pub(super) fn new(id: InterceptionId, initiator: UserId) -> Self {
        Self {
            id,
            initiator,
            pending: Mutex::default(),
            added: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Adds a record of so many bytes. Returns where the slot has to be queued, if it does not stand there yet.
    pub(super) fn add(&self, entry: Entry, bytes: usize) -> Option<Lane> {
        let lane = match entry {
            Entry::Start(_) => Lane::Start,
            Entry::Tool(_) | Entry::End(_) => Lane::Ahead,
        };
        let mut pending = self.pending.lock();
        pending.records.push(Record {
            id: self.id,
            initiator_id: self.initiator,
            entry,
        });
        pending.bytes += bytes;
        self.added.fetch_add(1, Ordering::SeqCst);
        let stands_there = match lane {
            Lane::Ahead => &mut pending.in_ahead,
            Lane::Start => &mut pending.in_starts,
        };
        let is_new = !std::mem::replace(stands_there, true);
        is_new.then_some(lane)
    }

    /// Takes all that waits; nothing if the slot stood in the queue twice and came up already.
    pub(super) fn take(&self, lane: Lane) -> Option<Taken> {
        let mut pending = self.pending.lock();
        match lane {
            Lane::Ahead => pending.in_ahead = false,
            Lane::Start => pending.in_starts = false,
        }
        if pending.records.is_empty() {
            return None;
        }
        Some(Taken {
            records: std::mem::take(&mut pending.records),
            bytes: std::mem::take(&mut pending.bytes),
            upto: self.added.load(Ordering::SeqCst),
        })
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.pending.lock().bytes
    }

    pub(super) fn note_committed(&self, taken: &Taken) {
        self.committed.store(taken.upto, Ordering::SeqCst);
        self.waker.wake();
    }

    /// A record will never be committed, so nobody may wait for it.
    pub(super) fn note_lost(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn poll_committed(&self, cx: &Context<'_>) -> Poll<Result<(), Lost>> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        self.waker.register(cx.waker());
        // The commit may have come between the look and the registration.
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }

    fn outcome(&self) -> Option<Result<(), Lost>> {
        if self.is_lost.load(Ordering::SeqCst) {
            return Some(Err(Lost));
        }
        let is_committed = self.committed.load(Ordering::SeqCst) >= self.added.load(Ordering::SeqCst);
        is_committed.then_some(Ok(()))
    }
}

/// What a record takes: the texts that may be long, and a rough figure for the rest.
pub(super) fn record_bytes(entry: &Entry) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let texts = match entry {
        Entry::Start(start) => length(&start.prompt),
        Entry::Tool(tool) => length(&tool.input),
        Entry::End(end) => end
            .thoughts
            .iter()
            .map(|thought| RECORD_BYTES + thought.content.len())
            .sum(),
    };
    RECORD_BYTES + texts
}
