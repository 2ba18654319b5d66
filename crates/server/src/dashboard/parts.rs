//! Pieces that several pages are made of, each with a small template of its own.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use gateway_core::Timestamp;

use super::error::{sentence, waiting};
use super::layout::render;
use crate::service::error::{Fault, ServiceError};

/// A time, relative to now in words, with the exact one on demand. The script keeps the words up to date.
#[derive(Template)]
#[template(path = "parts/when.html")]
pub(super) struct When {
    machine: String,
    exact: String,
    words: String,
}

/// A text with a button that copies it.
#[derive(Template)]
#[template(path = "parts/copy_box.html")]
pub(super) struct CopyBox {
    /// Unique on the page.
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) text: String,
}

/// What is wrong with a form.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// With the form as a whole.
    pub(super) message: Option<String>,
    fields: Vec<Fault>,
    /// When there is any sense in trying again.
    retry_after_seconds: Option<u64>,
}

/// What is wrong with one field, for beneath it. Shows nothing if nothing is.
#[derive(Template)]
#[template(path = "parts/field_fault.html")]
pub(super) struct FieldFault {
    name: &'static str,
    text: Option<String>,
}

impl HtmlSafe for When {}
impl HtmlSafe for CopyBox {}
impl HtmlSafe for FieldFault {}

// === impl When ===

impl When {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        // What lies outside of the calendar is shown as its end; nothing of ours does.
        let time = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MAX);
        Self {
            machine: time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            words: in_words(at.as_micros().saturating_sub(now.as_micros()) / 1_000_000),
        }
    }

    /// The date alone, UTC.
    pub(super) fn day(&self) -> &str {
        self.exact.split(' ').next().unwrap_or_default()
    }
}

/// `seconds` from now, to the nearest unit. The script has the same rules.
fn in_words(seconds: i64) -> String {
    let distance = seconds.unsigned_abs();
    if distance < 60 {
        return if seconds > 0 { "in a moment" } else { "just now" }.to_owned();
    }
    let in_units = |size: u64| distance.saturating_add(size / 2) / size;
    let (minutes, hours, days) = (in_units(60), in_units(3_600), in_units(86_400));
    let (count, unit) = if minutes < 60 {
        (minutes, "minute")
    } else if hours < 24 {
        (hours, "hour")
    } else {
        (days, "day")
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 {
        format!("in {count} {unit}{plural}")
    } else {
        format!("{count} {unit}{plural} ago")
    }
}

// === impl Faults ===

impl Faults {
    /// What the person at the form can do something about; any other error is given back.
    pub(super) fn of(error: ServiceError) -> Result<Self, ServiceError> {
        match error {
            ServiceError::Invalid { message, faults } => Ok(Self {
                message: faults.is_empty().then(|| sentence(&message)),
                fields: faults,
                retry_after_seconds: None,
            }),
            ServiceError::Conflict { message, field } => Ok(match field {
                Some(field) => Self::field(field, &message),
                None => Self::whole(&message),
            }),
            ServiceError::RateLimited { retry_after_seconds } => Ok(Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..Self::whole(&format!(
                    "too many attempts; try again in {}",
                    waiting(retry_after_seconds)
                ))
            }),
            error => Err(error),
        }
    }

    pub(super) fn whole(message: &str) -> Self {
        Self {
            message: Some(sentence(message)),
            ..Self::default()
        }
    }

    pub(super) fn field(field: &str, detail: &str) -> Self {
        Self {
            message: None,
            fields: vec![Fault {
                field: field.to_owned(),
                detail: detail.to_owned(),
            }],
            ..Self::default()
        }
    }

    /// For the template: what stands beneath this field.
    pub(super) fn at(&self, name: &'static str) -> FieldFault {
        let fault = self.fields.iter().find(|fault| fault.field == name);
        FieldFault {
            name,
            text: fault.map(|fault| sentence(&fault.detail)),
        }
    }

    /// For the template: the attributes of this field that say that it is wrong. The first that is gets the keyboard.
    /// They have nothing to be escaped.
    pub(super) fn mark(&self, name: &str) -> &'static str {
        match self.fields.iter().position(|fault| fault.field == name) {
            Some(0) => " aria-invalid=true autofocus",
            Some(_) => " aria-invalid=true",
            None => "",
        }
    }

    /// The answer with the form once more, or for the first time.
    pub(super) fn answer(&self, page: &impl Template) -> Response {
        let status = if self.is_empty() {
            StatusCode::OK
        } else if self.retry_after_seconds.is_some() {
            StatusCode::TOO_MANY_REQUESTS
        } else {
            StatusCode::BAD_REQUEST
        };
        let mut response = render(status, page);
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    pub(super) fn is_empty(&self) -> bool {
        self.message.is_none() && self.fields.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (seconds, words) in [
            (0, "just now"),
            (-59, "just now"),
            (5, "in a moment"),
            (-60, "1 minute ago"),
            (-7_300, "2 hours ago"),
            (3_599, "in 1 hour"),
            (-86_399, "1 day ago"),
            (86_400 * 30 - 1, "in 30 days"),
            (86_400, "in 1 day"),
            (i64::MIN, "106751991167301 days ago"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
    }

    #[test]
    fn markup_in_a_part_is_text() {
        let copy_box = CopyBox {
            id: "a",
            label: "b",
            text: "<script>\"'".to_owned(),
        };
        let html = copy_box.render().unwrap();
        assert!(
            !html.contains("<script>") && html.contains("&#60;script&#62;"),
            "{html}"
        );
    }
}
