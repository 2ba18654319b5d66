//! What reads return.

use gateway_core::interception::{CredentialKind, Marks, Outcome, TokenUsage, ToolUsage};
use gateway_core::{InterceptionId, ProviderKind, Timestamp, TokenId, UserId};

/// An interception with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interception {
    pub id: InterceptionId,
    pub initiator_id: UserId,
    /// At the time.
    pub initiator_username: String,
    pub token_id: TokenId,
    pub provider: ProviderKind,
    /// As it was; names may be given differently by now.
    pub provider_name: String,
    pub route: String,
    /// As asked for; empty if the request named none.
    pub model: String,
    /// The model that answered.
    pub answered_model: Option<String>,
    pub client: String,
    pub client_version: Option<String>,
    pub user_agent: Option<String>,
    pub client_session_id: Option<String>,
    /// The client's, else that of the thread's root, else the own id. Means something only beside the initiator.
    pub session_id: String,
    /// The interception that this one continues. It may have been removed for its age, as may the root.
    pub thread_parent_id: Option<InterceptionId>,
    /// The first of the thread, if it is another one.
    pub thread_root_id: Option<InterceptionId>,
    pub credential_kind: CredentialKind,
    pub credential_hint: String,
    pub is_streamed: bool,
    pub started_at: Timestamp,
    /// When the first byte of the provider's answer came, its head aside. None while it is open.
    pub first_byte_at: Option<Timestamp>,
    /// None while it is open, as is `outcome`.
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// Of the provider's answer, if there was one.
    pub status: Option<u16>,
    pub provider_response_id: Option<String>,
    pub stop_reason: Option<String>,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub marks: Marks,
    pub prompt: Option<String>,
    pub usage: Option<TokenUsage>,
    /// In order.
    pub tools: Vec<ToolUsage>,
    /// In order.
    pub thoughts: Vec<Thought>,
}

/// Text in which the model reasoned or commented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thought {
    pub source: String,
    pub content: String,
    pub is_cut: bool,
    pub created_at: Timestamp,
}

/// Sums over several interceptions, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenSums {
    /// Without what was read from or written to a cache.
    pub input: u64,
    /// Reasoning included.
    pub output: u64,
    pub cache_read_input: u64,
    pub cache_write_input: u64,
    pub reasoning: u64,
}

/// A session, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// That of its first interception, which is unique where `session_id` is the client's choice. It moves to the
    /// next one when the first is removed for its age.
    pub id: InterceptionId,
    pub initiator_id: UserId,
    pub session_id: String,
    /// This and the client as of the last interception.
    pub initiator_username: String,
    pub client: String,
    /// Names of provider instances, in order.
    pub providers: Vec<String>,
    /// As asked for, in order.
    pub models: Vec<String>,
    pub started_at: Timestamp,
    /// The last start or end of an interception.
    pub last_active_at: Timestamp,
    /// None while an interception is open.
    pub ended_at: Option<Timestamp>,
    /// The beginning of the last prompt, at most [`LAST_PROMPT_CHARS`](crate::LAST_PROMPT_CHARS) characters.
    pub last_prompt: Option<String>,
    pub threads: u64,
    pub interceptions: u64,
    pub tokens: TokenSums,
}

/// A thread of a session: an interception that continues none, and those that continue it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// That of the root, which may have been removed for its age.
    pub id: InterceptionId,
    /// The first and those that were asked for, in order of time; within the session.
    pub interceptions: Vec<Interception>,
    /// How many there are.
    pub total: u64,
    /// More were asked for, which were left out because the page would have become too large.
    pub is_cut: bool,
}

/// The usage of one group. What was not grouped by is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// The beginning of the day on which the interceptions started, UTC.
    pub day: Option<Timestamp>,
    pub initiator_id: Option<UserId>,
    /// With the initiator. One of them if there were several.
    pub initiator_username: Option<String>,
    pub provider_name: Option<String>,
    pub model: Option<String>,
    pub client: Option<String>,
    /// Interceptions that have ended.
    pub requests: u64,
    /// Those of them that failed other than by the client going away or losing its right.
    pub errors: u64,
    pub tokens: TokenSums,
    /// Of those that were completed: how many answers had a first byte, and the time until then in all.
    pub first_bytes: u64,
    pub first_byte_micros: u64,
}
