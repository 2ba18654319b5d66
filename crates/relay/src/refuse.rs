//! Answers of the gateway's own: refusals in the provider's envelope, and what happens to the rest of a request
//! that was refused before its body was read.

use std::pin::Pin;
use std::time::Duration;

use gateway_llm::error::{ErrorKind, error_body, should_not_retry};
use gateway_llm::route::Family;
use http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::body::{RequestBody, ResponseBody};

/// What a client is still sending is read and thrown away up to here, so that closing the connection does not
/// reset the answer away before the client has seen it.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

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

/// Reads what is left of a refused request, within bounds. To be run beside the answer.
pub(crate) async fn drain(mut body: RequestBody) {
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

/// Whether there is anything to drain.
pub(crate) fn is_unread(body: &RequestBody) -> bool {
    !body.is_end_stream()
}
