//! The gateway's own errors in the form that each provider's clients know.
//!
//! Shapes follow the providers' pages on errors: Anthropic's `{"type":"error","error":{"type","message"}}`, OpenAI's
//! `{"error":{"message","type","param","code"}}`. The SDKs choose the class they raise by the status.

use serde::Serialize;

use crate::route::{Api, Family};
use crate::sse::BoundaryTracker;

/// What went wrong, as far as a client treats it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    InvalidRequest,
    Authentication,
    Permission,
    NotFound,
    Timeout,
    TooLarge,
    UpgradeRequired,
    RateLimited,
    Internal,
    NotImplemented,
    BadGateway,
    Unavailable,
    GatewayTimeout,
}

// === impl ErrorKind ===

impl ErrorKind {
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::UpgradeRequired => 426,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::GatewayTimeout => 504,
        }
    }

    const fn anthropic_type(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::UpgradeRequired | Self::NotImplemented => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::Timeout | Self::GatewayTimeout => "timeout_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimited => "rate_limit_error",
            Self::Internal | Self::BadGateway => "api_error",
            Self::Unavailable => "overloaded_error",
        }
    }

    const fn openai_type(self) -> &'static str {
        match self {
            Self::InvalidRequest
            | Self::Authentication
            | Self::Permission
            | Self::NotFound
            | Self::Timeout
            | Self::TooLarge
            | Self::UpgradeRequired
            | Self::NotImplemented => "invalid_request_error",
            Self::RateLimited => "rate_limit_error",
            Self::Internal | Self::BadGateway | Self::Unavailable | Self::GatewayTimeout => "server_error",
        }
    }

    /// OpenAI's machine-readable code.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Authentication => Some("invalid_api_key"),
            Self::Permission => Some("permission_denied"),
            Self::NotFound => Some("not_found"),
            Self::TooLarge => Some("request_too_large"),
            Self::RateLimited => Some("rate_limit_exceeded"),
            Self::Unavailable => Some("service_unavailable"),
            Self::Timeout | Self::GatewayTimeout => Some("timeout"),
            Self::BadGateway => Some("bad_gateway"),
            Self::Internal => Some("server_error"),
            Self::InvalidRequest | Self::UpgradeRequired | Self::NotImplemented => None,
        }
    }
}

/// Whether trying again is of no use: the SDKs and Claude Code heed `x-should-retry: false`.
pub const fn should_not_retry(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::NotFound | ErrorKind::TooLarge
    )
}

/// The body of an error answer.
pub fn error_body(family: Family, kind: ErrorKind, message: &str) -> Vec<u8> {
    match family {
        Family::Anthropic => json(&AnthropicError::new(kind, message)),
        Family::OpenAi => json(&OpenAiError::new(kind, message)),
    }
    .into_bytes()
}

/// The event that says within a stream that it cannot go on.
pub fn error_event(api: Api, kind: ErrorKind, message: &str) -> Vec<u8> {
    match api {
        Api::Messages | Api::CountTokens => {
            format!(
                "event: error\ndata: {}\n\n",
                json(&AnthropicError::new(kind, message))
            )
        }
        Api::Responses | Api::ResponsesObject | Api::Conversations => {
            format!(
                "event: error\ndata: {}\n\n",
                json(&ResponsesError::new(kind, message))
            )
        }
        Api::ChatCompletions | Api::Models | Api::Other => {
            format!("data: {}\n\n", json(&OpenAiError::new(kind, message)))
        }
    }
    .into_bytes()
}

/// What ends an event that has been begun, so that an [`error_event`] can follow.
///
/// An event that is broken off within a line would be taken for whole, and its half of a JSON text would be the error
/// that the client reports. Clients of Messages ignore events named `ping`, and of two names the later counts; the
/// other APIs have nothing that every client ignores.
pub const fn close_event(api: Api, boundary: &BoundaryTracker) -> &'static [u8] {
    if boundary.at_event_boundary() {
        return b"";
    }
    match api {
        Api::Messages if boundary.mid_line() => b"\nevent: ping\n\n",
        // Twice, since the first may only complete a line end that has begun with a carriage return.
        _ => b"\n\n",
    }
}

// Structs rather than values, for the order of fields that the providers have.

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    error: AnthropicDetail<'a>,
}

#[derive(Serialize)]
struct AnthropicDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    error: OpenAiDetail<'a>,
}

#[derive(Serialize)]
struct OpenAiDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct ResponsesError<'a> {
    r#type: &'static str,
    code: Option<&'static str>,
    message: &'a str,
    param: Option<&'static str>,
    sequence_number: u64,
}

impl<'a> AnthropicError<'a> {
    const fn new(kind: ErrorKind, message: &'a str) -> Self {
        Self {
            r#type: "error",
            error: AnthropicDetail {
                r#type: kind.anthropic_type(),
                message,
            },
        }
    }
}

impl<'a> OpenAiError<'a> {
    const fn new(kind: ErrorKind, message: &'a str) -> Self {
        Self {
            error: OpenAiDetail {
                message,
                r#type: kind.openai_type(),
                param: None,
                code: kind.code(),
            },
        }
    }
}

impl<'a> ResponsesError<'a> {
    const fn new(kind: ErrorKind, message: &'a str) -> Self {
        Self {
            r#type: "error",
            code: kind.code(),
            message,
            param: None,
            sequence_number: 0,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [ErrorKind; 13] = [
        ErrorKind::InvalidRequest,
        ErrorKind::Authentication,
        ErrorKind::Permission,
        ErrorKind::NotFound,
        ErrorKind::Timeout,
        ErrorKind::TooLarge,
        ErrorKind::UpgradeRequired,
        ErrorKind::RateLimited,
        ErrorKind::Internal,
        ErrorKind::NotImplemented,
        ErrorKind::BadGateway,
        ErrorKind::Unavailable,
        ErrorKind::GatewayTimeout,
    ];

    #[test]
    fn envelopes() {
        let text = |family, kind| String::from_utf8(error_body(family, kind, "no")).unwrap();
        assert_eq!(
            text(Family::Anthropic, ErrorKind::Authentication),
            r#"{"type":"error","error":{"type":"authentication_error","message":"no"}}"#
        );
        assert_eq!(
            text(Family::OpenAi, ErrorKind::Authentication),
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#
        );
        let statuses: Vec<u16> = KINDS.iter().map(|kind| kind.status()).collect();
        assert_eq!(
            statuses,
            [400, 401, 403, 404, 408, 413, 426, 429, 500, 501, 502, 503, 504]
        );
        let final_ones: Vec<u16> = KINDS
            .iter()
            .filter(|kind| should_not_retry(**kind))
            .map(|kind| kind.status())
            .collect();
        assert_eq!(final_ones, [401, 403, 404, 413]);
    }

    proptest! {
        /// Whatever the message holds, an event is one event with one line of valid JSON.
        #[test]
        fn events_stay_one_event(message in "\\PC{0,20}[\n\r\"\\\\]{0,3}\\PC{0,20}", which in 0..KINDS.len()) {
            for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
                let event = String::from_utf8(error_event(api, KINDS[which], &message)).unwrap();
                prop_assert!(event.ends_with("\n\n"));
                prop_assert_eq!(event.matches("\n\n").count(), 1);
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                let value: serde_json::Value = serde_json::from_str(data).unwrap();
                let found = if api == Api::Responses { &value["message"] } else { &value["error"]["message"] };
                prop_assert_eq!(found.as_str(), Some(message.as_str()));
            }
        }
    }
}
