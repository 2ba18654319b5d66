//! Sums of what was used up.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ai_session::TokenSums;
use crate::interception::Initiator;

/// Reply of `GET /api/v2/aibridge/usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsagePage {
    /// One for each group, in the order of what was grouped by.
    pub results: Vec<Usage>,
}

/// What a group of interceptions came to. What was not grouped by is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The day on which they started, UTC, as in `2026-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<Initiator>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// As asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Those that have ended.
    pub requests: u64,
    /// Those of them that failed other than by the client going away or losing its right.
    pub errors: u64,
    #[serde(flatten)]
    pub tokens: TokenSums,
    /// How long answers took to begin on average, in milliseconds: from the request's arrival to the first byte of the
    /// provider's answer, its head aside, over those that were completed. Null without any.
    pub first_byte_ms: Option<u64>,
}
