//! What the server does beside answering: writing down when tokens were used, and removing expired ones.
//!
//! Both end when the shutdown begins to drain; the last uses are written down once more before the store is closed.

use std::time::Duration;

use gateway_core::{Lifetime, Timestamp, TokenId, TokenKind};
use gateway_store::{StoreError, TokenUse};
use tokio_util::sync::CancellationToken;

use crate::service::Services;

/// How often uses are written down.
const FLUSH: Duration = Duration::from_secs(10);

/// How often expired tokens are looked for, how many go at a time, and the pause between, so that recording and
/// accounts are not held up.
const SWEEP: Duration = Duration::from_mins(10);
const SWEEP_BATCH: u32 = 500;
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// Writes down uses until told to stop, and then once more.
pub(crate) async fn note_uses(services: Services, slides: bool, stop: CancellationToken) {
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(FLUSH) => false,
        };
        if let Err(error) = flush(&services, slides).await {
            tracing::warn!(%error, "the last uses of tokens could not be written down");
        }
        if is_last {
            return;
        }
    }
}

/// Writes down the uses since the last time. Sessions that are used live on: their expiry moves once less than a
/// full span less a margin is left, so that it is not written at every use.
pub(crate) async fn flush(services: &Services, slides: bool) -> Result<(), StoreError> {
    let uses = services.access.drain_uses();
    if uses.is_empty() {
        return Ok(());
    }
    let now = services.clock.now();
    let mut batch = Vec::with_capacity(uses.len());
    let mut extended = Vec::new();
    for (id, _, used_at) in uses {
        let extend_to = if slides {
            extension(services, id, used_at).await?
        } else {
            None
        };
        extended.extend(extend_to.map(|_| id));
        batch.push(TokenUse {
            id,
            used_at,
            extend_to,
        });
    }
    services.store.tokens().note_used(&batch, now).await?;
    // What is cached still has the old expiry.
    services.access.forget(&extended);
    Ok(())
}

async fn extension(
    services: &Services,
    id: TokenId,
    used_at: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(record) = services.store.tokens().find(id).await? else {
        return Ok(None);
    };
    if record.kind != TokenKind::Session {
        return Ok(None);
    }
    Ok(slide(record.lifetime, record.expires_at, used_at))
}

/// The new expiry of a session that was used, if it is time to move it.
fn slide(lifetime: Lifetime, expires_at: Timestamp, used_at: Timestamp) -> Option<Timestamp> {
    let lifetime = lifetime.as_duration();
    let margin = Duration::from_hours(1).min(lifetime / 10);
    let left = expires_at.since(used_at);
    (left + margin <= lifetime).then(|| used_at.plus(lifetime))
}

/// Removes tokens that expired longer ago than `retention`, in small batches.
pub(crate) async fn remove_expired(services: Services, retention: Lifetime, stop: CancellationToken) {
    loop {
        let before = services.clock.now().minus(retention.as_duration());
        let pause = match services.store.tokens().remove_expired(before, SWEEP_BATCH).await {
            Ok(removed) if removed >= u64::from(SWEEP_BATCH) => SWEEP_PAUSE,
            Ok(_) => SWEEP,
            Err(error) => {
                tracing::warn!(%error, "expired tokens could not be removed");
                SWEEP
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
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
