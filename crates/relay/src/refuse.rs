//! Answers of the gateway's own: refusals in the provider's envelope, and what happens to the rest of a request
//! that was refused before its body was read.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gateway_llm::error::{ErrorKind, error_body, should_not_retry};
use gateway_llm::route::Family;
use http::header::{CONTENT_TYPE, EXPECT, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::body::{RequestBody, ResponseBody};

/// What a client is still sending is read and thrown away up to here, so that closing the connection does not
/// reset the answer away before the client has seen it.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How many are read at once. Of further ones the rest is not read: their clients may miss the answer.
const DRAINS: usize = 256;

/// The SDKs' word for an error that will not heal.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Why the gateway does not relay a request, or an answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
}

/// Takes care of what clients go on sending after a refusal.
pub(crate) struct Drains {
    tasks: TaskTracker,
    free: Arc<Semaphore>,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// For what heals by itself soon.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            message: message.into(),
            retry_after: Some(1),
        }
    }

    pub(crate) fn into_response(self, family: Family) -> Response<ResponseBody> {
        let body = error_body(family, self.kind, &self.message);
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() =
            StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if should_not_retry(self.kind) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == ErrorKind::UpgradeRequired {
            // RFC 9110, section 15.5.22: a 426 names what would be accepted.
            headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        }
        response
    }
}

// === impl Drains ===

impl Drains {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self {
            tasks,
            free: Arc::new(Semaphore::new(DRAINS)),
        }
    }

    /// Reads what is left of a refused request, within bounds, beside the answer. A client that waits for a 100
    /// (Continue) is not asked for its body by reading: it sends nothing once it has the final status (RFC 9110,
    /// section 10.1.1).
    pub(crate) fn drain(&self, headers: &HeaderMap, body: RequestBody) {
        if body.is_end_stream() || headers.contains_key(EXPECT) {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            self.tasks.spawn(async move {
                read_to_end(body).await;
                drop(permit);
            });
        }
    }
}

async fn read_to_end(mut body: RequestBody) {
    let mut total = 0;
    let _ = tokio::time::timeout(DRAIN_TIME, async {
        while let Some(Ok(frame)) = Pin::new(&mut body).frame().await {
            total += frame.data_ref().map_or(0, bytes::Bytes::len);
            if total > DRAIN_BYTES {
                return;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn endless() -> RequestBody {
        RequestBody::new(StreamBody::new(
            stream::pending::<Result<Frame<Bytes>, Infallible>>(),
        ))
    }

    #[tokio::test]
    async fn only_so_many_bodies_are_drained_at_once() {
        let drains = Drains::new(TaskTracker::new());
        for _ in 0..2 * DRAINS {
            drains.drain(&HeaderMap::new(), endless());
        }
        assert_eq!(drains.tasks.len(), DRAINS);
    }

    #[tokio::test]
    async fn a_body_that_was_not_asked_for_is_not_read() {
        let drains = Drains::new(TaskTracker::new());
        let expects = HeaderMap::from_iter([(EXPECT, HeaderValue::from_static("100-continue"))]);
        drains.drain(&expects, endless());
        drains.drain(&HeaderMap::new(), RequestBody::empty());
        assert_eq!(drains.tasks.len(), 0);
    }
}
