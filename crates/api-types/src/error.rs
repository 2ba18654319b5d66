//! The object in which every refusal is explained, and its little sibling for success.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request failed. Clients show `message`; programs look at the status and at `validations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorReply {
    /// What went wrong, in one sentence.
    pub message: String,
    /// More about it, for the one who looks into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The fields of the request that are wrong. Left out if none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
}

/// One field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validation {
    /// The name of the field, as in the request's JSON.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// The reply of a call that succeeded and has nothing else to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageReply {
    pub message: String,
}

// === impl ErrorReply ===

impl ErrorReply {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_validation(mut self, field: impl Into<String>, detail: impl Into<String>) -> Self {
        self.validations.push(Validation {
            field: field.into(),
            detail: detail.into(),
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_left_out() {
        let bare = serde_json::to_string(&ErrorReply::new("no")).unwrap();
        assert_eq!(bare, r#"{"message":"no"}"#);
        let full = ErrorReply::new("no")
            .with_detail("why")
            .with_validation("name", "taken");
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(
            text,
            r#"{"message":"no","detail":"why","validations":[{"field":"name","detail":"taken"}]}"#
        );
        assert_eq!(serde_json::from_str::<ErrorReply>(&text).unwrap(), full);
    }
}
