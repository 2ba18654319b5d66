//! Sessions: the interceptions of one user that belong together, by the client's word or by their tool calls.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::interception::{Initiator, Metadata, ToolUsage};
use crate::time::Time;

/// Reply of `GET /api/v2/aibridge/sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiSessionsPage {
    /// How many match, wherever the page begins; at most 10,000.
    pub count: u64,
    /// There are more than `count`.
    #[serde(default)]
    pub count_capped: bool,
    /// Those that began last first. As many as were asked for, unless there are no more.
    pub sessions: Vec<AiSession>,
}

/// A session, seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiSession {
    #[serde(flatten)]
    pub head: AiSessionHead,
    /// How many.
    pub threads: u64,
}

/// What is said of a session wherever it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiSessionHead {
    /// That of its first interception, which is unique. It moves on when that one is removed for its age.
    pub id: Uuid,
    /// As interceptions name it. Clients of several users may have chosen the same.
    pub session_id: String,
    pub initiator: Initiator,
    /// Of the last interception.
    pub client: String,
    /// Names of provider instances.
    pub providers: Vec<String>,
    pub models: Vec<String>,
    pub started_at: Time,
    /// Null while an interception is in flight.
    pub ended_at: Option<Time>,
    pub last_active_at: Time,
    /// At most its first 1000 characters.
    pub last_prompt: Option<String>,
    #[serde(default)]
    pub interceptions: u64,
    pub token_usage_summary: TokenSums,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
}

/// Sums over several interceptions, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenSums {
    /// Without what was read from or written to a cache.
    pub input_tokens: u64,
    /// Reasoning included.
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_write_input_tokens: u64,
    #[serde(default)]
    pub reasoning_tokens: u64,
}

/// Reply of `GET /api/v2/aibridge/sessions/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiSessionDetail {
    #[serde(flatten)]
    pub head: AiSessionHead,
    /// A page of them, those that began last first.
    pub threads: Vec<AiThread>,
}

/// An interception that continues none, with those that continue it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiThread {
    /// That of its first interception.
    pub id: Uuid,
    /// Of the first interception that has one.
    pub prompt: Option<String>,
    /// Of the first interception, as are model and credential.
    pub provider: String,
    pub provider_name: String,
    pub model: String,
    pub credential_kind: String,
    pub credential_hint: String,
    pub started_at: Time,
    /// Null while an interception is in flight.
    pub ended_at: Option<Time>,
    pub token_usage: TokenSums,
    /// Of the last interception.
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    /// Actions are left out, because there are too many for one reply.
    #[serde(default)]
    pub is_cut: bool,
    /// In order of time.
    pub agentic_actions: Vec<AgenticAction>,
}

/// What one interception of a thread did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgenticAction {
    pub interception_id: Uuid,
    pub model: String,
    pub started_at: Time,
    /// Null while it is in flight.
    pub ended_at: Option<Time>,
    /// As of an interception.
    pub outcome: Option<String>,
    pub thinking: Vec<Thinking>,
    pub token_usage: TokenSums,
    pub tool_calls: Vec<ToolUsage>,
}

/// Text in which the model reasoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Thinking {
    pub text: String,
}

// === impl TokenSums ===

impl std::ops::AddAssign for TokenSums {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_read_input_tokens, other.cache_read_input_tokens),
            (&mut self.cache_write_input_tokens, other.cache_write_input_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_overflow() {
        let mut sums = TokenSums {
            input_tokens: u64::MAX,
            output_tokens: 1,
            ..TokenSums::default()
        };
        sums += sums;
        assert_eq!((sums.input_tokens, sums.output_tokens), (u64::MAX, 2));
    }
}
