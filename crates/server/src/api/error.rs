//! From a failed operation to an answer.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway_api_types::{ErrorReply, Validation};

use crate::service::error::ServiceError;

/// The SDKs' word for an error that will not heal.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// RFC 6750, section 3.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"coder\", error=\"invalid_token\"");

/// An answer that says why.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) reply: ErrorReply,
    retry_after_seconds: Option<u64>,
}

// === impl ApiError ===

impl ApiError {
    pub(crate) fn new(status: StatusCode, reply: ErrorReply) -> Self {
        Self {
            status,
            reply,
            retry_after_seconds: None,
        }
    }

    /// One wrong field of a request.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorReply::new("the request is not valid").with_validation(field, detail),
        )
    }

    /// The cause is for the log; the caller gets an id by which it can be found there.
    fn hidden(status: StatusCode, error: &ServiceError) -> Self {
        let id = uuid::Uuid::new_v4();
        tracing::error!(request_id = %id, %error, cause = error.causes(), "a request failed");
        let reply = ErrorReply::new(error.to_string()).with_detail(format!("request id {id}"));
        Self {
            status,
            reply,
            retry_after_seconds: Some(1),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let plain = |status| Self::new(status, ErrorReply::new(error.to_string()));
        match &error {
            ServiceError::Invalid { message, faults } => {
                let mut reply = ErrorReply::new(message.clone());
                reply.validations = faults
                    .iter()
                    .map(|fault| Validation {
                        field: fault.field.clone(),
                        detail: fault.detail.clone(),
                    })
                    .collect();
                Self::new(StatusCode::BAD_REQUEST, reply)
            }
            ServiceError::Unauthenticated(_) => plain(StatusCode::UNAUTHORIZED),
            ServiceError::Forbidden(_) => plain(StatusCode::FORBIDDEN),
            ServiceError::NotFound(_) => plain(StatusCode::NOT_FOUND),
            ServiceError::Conflict { field, .. } => {
                let mut answer = plain(StatusCode::CONFLICT);
                if let Some(field) = field {
                    answer.reply = answer.reply.with_validation(*field, "this value is taken");
                }
                answer
            }
            ServiceError::RateLimited { retry_after_seconds } => {
                let seconds = *retry_after_seconds;
                Self {
                    retry_after_seconds: Some(seconds),
                    ..plain(StatusCode::TOO_MANY_REQUESTS)
                }
            }
            ServiceError::TooMany(_) => Self {
                retry_after_seconds: Some(1),
                ..plain(StatusCode::TOO_MANY_REQUESTS)
            },
            ServiceError::Busy => Self {
                retry_after_seconds: Some(1),
                ..plain(StatusCode::SERVICE_UNAVAILABLE)
            },
            // Without a time to try again at: whoever does so unasked may do it twice.
            ServiceError::OutOfTime => plain(StatusCode::SERVICE_UNAVAILABLE),
            ServiceError::Unavailable(_) => Self::hidden(StatusCode::SERVICE_UNAVAILABLE, &error),
            ServiceError::Internal(_) => Self::hidden(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.reply)).into_response();
        let headers = response.headers_mut();
        if matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        ) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
