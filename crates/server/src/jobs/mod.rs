//! What the server does beside answering: writing down when tokens were used and how often signing in has failed, and
//! removing what has expired.
//!
//! All end when the shutdown begins to drain; the last uses are written down once more before the store is closed.

pub(crate) mod records;

use std::collections::HashMap;
use std::time::Duration;

use gateway_core::{Lifetime, Timestamp, TokenId, TokenKind};
use gateway_store::{StoreError, TokenUse};
use tokio_util::sync::CancellationToken;

use crate::service::Services;

/// How often uses are written down.
const FLUSH: Duration = Duration::from_secs(10);

/// How often it is looked for what has expired, how much goes at a time, and the pause between, so that recording and
/// accounts are not held up.
const SWEEP: Duration = Duration::from_mins(10);
const SWEEP_BATCH: u32 = 500;
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// How long failed logins are counted before they are written down, see `service::failures`.
const FAILURES_WINDOW: Duration = Duration::from_mins(1);

/// Counted failures that are kept while the database takes none.
const FAILURES_KEPT: usize = 1000;

/// Tokens about which a fact is remembered between two rounds; beyond that all are looked up again.
const REMEMBERED: usize = 100_000;

/// Writes down uses until told to stop, and then once more.
pub(crate) async fn note_uses(services: Services, slides: bool, stop: CancellationToken) {
    let mut uses = Uses {
        services,
        slides,
        pending: HashMap::new(),
        look_again: HashMap::new(),
    };
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(FLUSH) => false,
        };
        if let Err(error) = uses.flush().await {
            tracing::warn!(%error, "the last uses of tokens could not be written down; they are kept");
        }
        if is_last {
            return;
        }
    }
}

struct Uses {
    services: Services,
    slides: bool,
    /// Noted and not yet written down.
    pending: HashMap<TokenId, Timestamp>,
    /// From when on a token's expiry may have to be moved; for API tokens never.
    look_again: HashMap<TokenId, Timestamp>,
}

// === impl Uses ===

impl Uses {
    /// Writes down the uses since the last time. Sessions that are used live on: their expiry moves once a margin of
    /// their span is used up, so that it is not written at every use.
    async fn flush(&mut self) -> Result<(), StoreError> {
        for (id, _, used_at) in self.services.access.drain_uses() {
            if self.pending.len() < REMEMBERED || self.pending.contains_key(&id) {
                self.pending.insert(id, used_at);
            }
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut batch = Vec::with_capacity(self.pending.len());
        for (id, used_at) in self.pending.clone() {
            let extend_to = if self.slides {
                self.extension(id, used_at).await?
            } else {
                None
            };
            batch.push(TokenUse {
                id,
                used_at,
                extend_to,
            });
        }
        self.services
            .store
            .tokens()
            .note_used(&batch, self.services.clock.now())
            .await?;
        self.pending.clear();
        // What is cached still has the old expiry.
        let extended: Vec<TokenId> = batch
            .iter()
            .filter(|note| note.extend_to.is_some())
            .map(|note| note.id)
            .collect();
        self.services.access.forget(&extended);
        Ok(())
    }

    async fn extension(&mut self, id: TokenId, used_at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        if self.look_again.get(&id).is_some_and(|from| used_at < *from) {
            return Ok(None);
        }
        let Some(record) = self.services.store.tokens().find(id).await? else {
            return Ok(None);
        };
        if self.look_again.len() >= REMEMBERED {
            self.look_again.clear();
        }
        if record.kind != TokenKind::Session {
            self.look_again.insert(id, Timestamp::MAX);
            return Ok(None);
        }
        let extend_to = slide(record.lifetime, record.expires_at, used_at);
        let expires_at = extend_to.unwrap_or(record.expires_at);
        let lifetime = record.lifetime.as_duration();
        self.look_again
            .insert(id, expires_at.minus(lifetime).plus(margin(lifetime)));
        Ok(extend_to)
    }
}

/// The new expiry of a session that was used, if it is time to move it.
fn slide(lifetime: Lifetime, expires_at: Timestamp, used_at: Timestamp) -> Option<Timestamp> {
    let lifetime = lifetime.as_duration();
    let left = expires_at.since(used_at);
    (left + margin(lifetime) <= lifetime).then(|| used_at.plus(lifetime))
}

/// How much of a session's span is used up before its expiry moves: an hour, and less of short ones.
fn margin(lifetime: Duration) -> Duration {
    Duration::from_hours(1).min(lifetime / 10)
}

/// Writes down failed logins that were only counted, until told to stop, and then once more.
pub(crate) async fn note_failures(services: Services, stop: CancellationToken) {
    let mut pending = Vec::new();
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(FAILURES_WINDOW) => false,
        };
        pending.extend(services.failures.take(services.clock.now()));
        pending.truncate(FAILURES_KEPT);
        match services.store.audit().note(&pending).await {
            Ok(()) => pending.clear(),
            Err(error) => tracing::warn!(%error, "failed logins could not be written down; they are kept"),
        }
        if is_last {
            return;
        }
    }
}

/// Removes tokens that expired longer ago than `retention`, in small batches.
pub(crate) async fn remove_expired(services: Services, retention: Lifetime, stop: CancellationToken) {
    loop {
        let before = services.clock.now().minus(retention.as_duration());
        let outcome = services.store.tokens().remove_expired(before, SWEEP_BATCH).await;
        if !next_batch("expired tokens", outcome, &stop).await {
            return;
        }
    }
}

/// Removes entries of the audit log that are older than `retention`, in small batches.
pub(crate) async fn remove_old_audit(services: Services, retention: Lifetime, stop: CancellationToken) {
    loop {
        let before = services.clock.now().minus(retention.as_duration());
        let outcome = services.store.audit().remove_before(before, SWEEP_BATCH).await;
        if !next_batch("old entries of the audit log", outcome, &stop).await {
            return;
        }
    }
}

/// Waits until the next batch is due: soon if there was a whole one. False when there is to be none.
async fn next_batch(what: &str, outcome: Result<u64, StoreError>, stop: &CancellationToken) -> bool {
    let pause = match outcome {
        Ok(removed) if removed >= u64::from(SWEEP_BATCH) => SWEEP_PAUSE,
        Ok(_) => SWEEP,
        Err(error) => {
            tracing::warn!(%error, "{what} could not be removed");
            SWEEP
        }
    };
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_slide_once_the_margin_is_used_up() {
        let at = |minutes: u64| Timestamp::from_micros(0).plus(Duration::from_mins(minutes));
        let day = Lifetime::from_days(1).unwrap();
        assert_eq!(slide(day, at(24 * 60), at(0)), None);
        assert_eq!(slide(day, at(24 * 60), at(59)), None);
        assert_eq!(slide(day, at(24 * 60), at(60)), Some(at(25 * 60)));
        // Short sessions slide, too.
        let minute = Lifetime::from_secs(60).unwrap();
        assert_eq!(
            slide(
                minute,
                Timestamp::from_micros(60_000_000),
                Timestamp::from_micros(1_000_000)
            ),
            None
        );
        assert!(
            slide(
                minute,
                Timestamp::from_micros(60_000_000),
                Timestamp::from_micros(6_000_000)
            )
            .is_some()
        );
    }
}
