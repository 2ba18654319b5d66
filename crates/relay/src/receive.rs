//! Taking in a request's body: whole, within bounds, and not for longer than a living client needs.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::body::{BoxError, RequestBody};
use crate::budget::{Exhausted, Share};

/// The largest body, as providers have it.
pub(crate) const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// A body must bring this much in each such span of time, or it is dropped: 4 KiB/s.
const SPAN: Duration = Duration::from_secs(10);
const SPAN_BYTES: usize = 40 * 1024;

/// What a body in several pieces gets at first.
const SMALLEST_BUFFER: usize = 64 * 1024;

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the body is larger than {BODY_LIMIT} bytes")]
    TooLarge,
    #[error("the body arrives too slowly")]
    TooSlow,
    #[error(transparent)]
    Memory(#[from] Exhausted),
    #[error("the client broke the body off")]
    Broken(#[source] BoxError),
}

/// Reads the body to its end. `share` grows with what has arrived.
pub(crate) async fn receive(body: &mut RequestBody, share: &mut Share) -> Result<Bytes, ReceiveError> {
    receive_at(SPAN, body, share).await
}

async fn receive_at(
    span: Duration,
    body: &mut RequestBody,
    share: &mut Share,
) -> Result<Bytes, ReceiveError> {
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(ReceiveError::TooLarge);
    }
    let mut first: Option<Bytes> = None;
    let mut rest = Vec::new();
    let mut total = 0;
    let mut span_end = Instant::now() + span;
    let mut span_bytes = 0;
    loop {
        let frame = match tokio::time::timeout_at(span_end, Pin::new(&mut *body).frame()).await {
            Err(_) => return Err(ReceiveError::TooSlow),
            Ok(None) => break,
            Ok(Some(frame)) => frame.map_err(ReceiveError::Broken)?,
        };
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > BODY_LIMIT {
            return Err(ReceiveError::TooLarge);
        }
        share.cover(total.max(rest.capacity()))?;
        span_bytes += data.len();
        if span_bytes >= SPAN_BYTES {
            span_bytes = 0;
            span_end = Instant::now() + span;
        }
        // A body that came in one piece is not copied.
        match (&first, rest.is_empty()) {
            (None, true) => first = Some(data),
            (Some(start), true) => {
                grow(&mut rest, total, share)?;
                rest.extend_from_slice(start);
                rest.extend_from_slice(&data);
            }
            (_, false) => {
                grow(&mut rest, total, share)?;
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(if rest.is_empty() {
        first.unwrap_or_default()
    } else {
        Bytes::from(rest)
    })
}

/// Makes room for `total` bytes, so much at a time that copying stays linear, and pays for all of the room.
fn grow(buffer: &mut Vec<u8>, total: usize, share: &mut Share) -> Result<(), Exhausted> {
    if total <= buffer.capacity() {
        return Ok(());
    }
    let room = total
        .max(2 * buffer.capacity())
        .clamp(SMALLEST_BUFFER, BODY_LIMIT);
    share.cover(room)?;
    buffer.reserve_exact(room - buffer.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use gateway_core::UserId;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::budget::Budget;

    fn share() -> Share {
        Budget::new(0).share(UserId::generate())
    }

    fn body_of(chunks: Vec<Vec<u8>>) -> RequestBody {
        RequestBody::new(StreamBody::new(stream::iter(
            chunks
                .into_iter()
                .map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk)))),
        )))
    }

    #[tokio::test]
    async fn pieces_are_put_together() {
        for chunks in [
            vec![],
            vec![b"one".to_vec()],
            vec![vec![], b"one".to_vec()],
            vec![b"o".to_vec(), b"ne".to_vec(), vec![]],
        ] {
            let expected: Vec<u8> = chunks.concat();
            assert_eq!(
                receive(&mut body_of(chunks), &mut share()).await.unwrap(),
                expected
            );
        }
    }

    /// One user's part is a quarter of the least budget: 40 MiB.
    #[tokio::test]
    async fn the_room_is_paid_for_and_not_only_what_is_in_it() {
        let budget = Budget::new(0);
        let user = UserId::generate();
        let mebibytes = |count| body_of(vec![vec![0; 1 << 20]; count]);
        let mut first = budget.share(user);
        // 17 MiB, in room for 32.
        assert!(receive(&mut mebibytes(17), &mut first).await.is_ok());
        let second = receive(&mut mebibytes(9), &mut budget.share(user)).await;
        assert!(matches!(second, Err(ReceiveError::Memory(_))));
    }

    #[tokio::test]
    async fn the_limit_is_exact() {
        let chunk = vec![0; 1 << 20];
        let whole = vec![chunk; 32];
        assert_eq!(
            receive(&mut body_of(whole.clone()), &mut share())
                .await
                .unwrap()
                .len(),
            BODY_LIMIT
        );
        let mut more = whole;
        more.push(vec![0]);
        assert!(matches!(
            receive(&mut body_of(more), &mut share()).await,
            Err(ReceiveError::TooLarge)
        ));
        let announced = RequestBody::full(vec![0; BODY_LIMIT + 1]);
        assert!(matches!(
            receive(&mut { announced }, &mut share()).await,
            Err(ReceiveError::TooLarge)
        ));
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_dropped_and_a_slow_one_is_not() {
        let drip = |bytes: usize| {
            RequestBody::new(StreamBody::new(Box::pin(stream::unfold(
                0,
                move |count| async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    (count < 20).then(|| {
                        (
                            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; bytes]))),
                            count + 1,
                        )
                    })
                },
            ))))
        };
        assert!(matches!(
            receive_at(Duration::from_millis(100), &mut drip(64), &mut share()).await,
            Err(ReceiveError::TooSlow)
        ));
        let living = receive_at(Duration::from_secs(5), &mut drip(8 * 1024), &mut share()).await;
        assert_eq!(living.unwrap().len(), 20 * 8 * 1024);
    }
}
