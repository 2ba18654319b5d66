//! Pages for what went wrong.
//!
//! What one may not see is not there: a refused right is answered like a wrong address. The cause of a fault of the
//! server stands in the log under the id that the page shows.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::layout::{Page, render};
use crate::service::error::ServiceError;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum PageError {
    /// Sign in first.
    SignIn,
    Told(Told),
}

/// What is shown instead.
#[derive(Debug)]
pub(super) struct Told {
    status: StatusCode,
    heading: &'static str,
    text: String,
    request_id: Option<uuid::Uuid>,
    retry_after_seconds: Option<u64>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: Page,
    told: &'a Told,
}

// === impl PageError ===

impl PageError {
    fn told(status: StatusCode, heading: &'static str, text: impl Into<String>) -> Self {
        Self::Told(Told {
            status,
            heading,
            text: text.into(),
            request_id: None,
            retry_after_seconds: None,
        })
    }

    fn later(self, seconds: u64) -> Self {
        match self {
            Self::Told(told) => Self::Told(Told {
                retry_after_seconds: Some(seconds),
                ..told
            }),
            Self::SignIn => self,
        }
    }

    /// The cause is for the log.
    fn hidden(status: StatusCode, heading: &'static str, text: &str, error: &ServiceError) -> Self {
        let id = uuid::Uuid::new_v4();
        tracing::error!(request_id = %id, %error, cause = error.causes(), "a page could not be made");
        Self::Told(Told {
            status,
            heading,
            text: text.to_owned(),
            request_id: Some(id),
            retry_after_seconds: None,
        })
    }

    pub(super) fn not_found() -> Self {
        Self::told(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "The address may be mistyped, or what it led to has been removed.",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::told(
            StatusCode::METHOD_NOT_ALLOWED,
            "This cannot be done here",
            "The address is right, but not for what was asked of it.",
        )
    }

    /// The browser says that another site sent the form.
    pub(super) fn not_from_here() -> Self {
        Self::told(
            StatusCode::FORBIDDEN,
            "This did not come from here",
            "Another site asked for this change, or your browser does not say who did, so nothing was done. \
             Open the page here and try again.",
        )
    }

    /// The token of the form is not, or no longer, the browser's own.
    pub(super) fn form_outdated() -> Self {
        Self::told(
            StatusCode::FORBIDDEN,
            "This form is out of date",
            "You have signed in or out since it was opened, or your browser takes no cookies. Nothing was done. \
             Go back, reload the page and try again.",
        )
    }

    pub(super) fn bad_form() -> Self {
        Self::told(
            StatusCode::BAD_REQUEST,
            "The form could not be read",
            "Something of it is missing or too long. Go back, reload the page and try again.",
        )
    }
}

impl From<ServiceError> for PageError {
    /// What a form can explain beside its fields it has taken out before.
    fn from(error: ServiceError) -> Self {
        match &error {
            ServiceError::Unauthenticated(_) => Self::SignIn,
            ServiceError::Forbidden(_) | ServiceError::NotFound(_) => Self::not_found(),
            ServiceError::Invalid { message, .. } => {
                Self::told(StatusCode::BAD_REQUEST, "This cannot be done", sentence(message))
            }
            ServiceError::Conflict { message, .. } => {
                Self::told(StatusCode::CONFLICT, "This cannot be done", sentence(message))
            }
            ServiceError::RateLimited { retry_after_seconds } => Self::told(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many attempts",
                format!("Try again in {}.", waiting(*retry_after_seconds)),
            )
            .later(*retry_after_seconds),
            ServiceError::TooMany(message) => Self::told(
                StatusCode::TOO_MANY_REQUESTS,
                "Too much at once",
                sentence(message),
            )
            .later(1),
            ServiceError::Busy => Self::told(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is busy",
                "Nothing was done. Try again in a moment.",
            )
            .later(1),
            ServiceError::OutOfTime => Self::told(
                StatusCode::SERVICE_UNAVAILABLE,
                "This takes too long",
                "It is not known whether it was done: what was begun goes on. Look before you try again.",
            ),
            ServiceError::Unavailable(_) => Self::hidden(
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer",
                "Try again in a moment. If it stays like this, tell whoever runs this server.",
                &error,
            )
            .later(1),
            ServiceError::Internal(_) => Self::hidden(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "It is not your fault. If it happens again, tell whoever runs this server the number below.",
                &error,
            ),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let told = match self {
            Self::SignIn => return Redirect::to("/login").into_response(),
            Self::Told(told) => told,
        };
        let page = ErrorPage {
            page: Page::plain(told.heading),
            told: &told,
        };
        let mut response = render(told.status, &page);
        if let Some(seconds) = told.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A message of the services as a sentence.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let mut text: String = letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect());
    if !text.ends_with(['.', '?', '!']) {
        text.push('.');
    }
    text
}

/// A time to wait in words.
pub(super) fn waiting(seconds: u64) -> String {
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}
