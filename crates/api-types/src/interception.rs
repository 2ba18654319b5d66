//! What was asked of the providers, and what came of it.
//!
//! Names are those of the reference's columns. What this server adds stands beside them: route, the model that
//! answered, outcome, marks and the like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::time::Time;

/// Reply of `GET /api/v2/aibridge/interceptions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterceptionsPage {
    /// How many match, wherever the page begins; at most 10,000.
    pub count: u64,
    /// There are more than `count`.
    #[serde(default)]
    pub count_capped: bool,
    /// Newest first. There may be fewer than were asked for, where texts are long; only an empty page is the end.
    pub results: Vec<Interception>,
}

/// A request to a provider with all that is known of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interception {
    pub id: Uuid,
    pub initiator: Initiator,
    pub initiator_id: Uuid,
    /// The public part of the gateway token that was used.
    pub api_key_id: String,
    /// What the provider speaks: `anthropic`, `openai`, `openai-compat`, `copilot`.
    pub provider: String,
    /// The provider instance.
    pub provider_name: String,
    /// As asked for; empty if the request named none.
    pub model: String,
    /// The model that answered.
    pub answered_model: Option<String>,
    /// Such as `messages` or `responses`.
    pub route: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub started_at: Time,
    /// When the first byte of the provider's answer came, its head aside. Null while it is in flight.
    pub first_byte_at: Option<Time>,
    /// Null while it is in flight.
    pub ended_at: Option<Time>,
    /// Such as `Claude Code`, or `Unknown`.
    pub client: String,
    pub client_version: Option<String>,
    pub user_agent: Option<String>,
    pub client_session_id: Option<String>,
    /// The client's, else that of the thread's first interception, else the own id.
    pub session_id: String,
    /// The interception that this one continues. It may have been removed for its age, as may the root.
    pub thread_parent_id: Option<Uuid>,
    pub thread_root_id: Option<Uuid>,
    /// `centralized` or `byok`.
    pub credential_kind: String,
    /// The provider's credential, masked.
    pub credential_hint: String,
    #[serde(default)]
    pub is_streamed: bool,
    /// Of the provider's answer, if there was one.
    pub status: Option<u16>,
    /// Such as `completed`, `provider_error`, `client_gone`, `revoked`; null while it is in flight.
    pub outcome: Option<String>,
    pub stop_reason: Option<String>,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub provider_response_id: Option<String>,
    /// What is peculiar about the record, such as `prompt_cut`.
    #[serde(default)]
    pub marks: Vec<String>,
    /// Something in the answer could not be read, so that the record may lack it.
    #[serde(default)]
    pub observation_incomplete: bool,
    pub token_usages: Vec<TokenUsage>,
    pub user_prompts: Vec<UserPrompt>,
    pub tool_usages: Vec<ToolUsage>,
    pub model_thoughts: Vec<ModelThought>,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Initiator {
    pub id: Uuid,
    /// At the time.
    pub username: String,
    /// The name for display as it is now; empty if there is none, or the user is gone.
    #[serde(default)]
    pub name: String,
}

/// What is known beyond the columns, by name.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// What an answer used up, in tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenUsage {
    pub id: Uuid,
    pub interception_id: Uuid,
    pub provider_response_id: Option<String>,
    /// Without what was read from or written to a cache.
    pub input_tokens: u64,
    /// Reasoning included.
    pub output_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_write_input_tokens: u64,
    pub reasoning_tokens: Option<u64>,
    pub service_tier: Option<String>,
    /// The answer broke off, so there may have been more.
    #[serde(default)]
    pub is_partial: bool,
    /// Other counters, by the provider's names.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub created_at: Time,
}

/// The last human prompt of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UserPrompt {
    pub id: Uuid,
    pub interception_id: Uuid,
    pub provider_response_id: Option<String>,
    pub prompt: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub created_at: Time,
}

/// A tool that the model called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolUsage {
    pub id: Uuid,
    pub interception_id: Uuid,
    pub provider_response_id: Option<String>,
    pub provider_tool_call_id: Option<String>,
    /// The Responses API's id of the item.
    pub provider_item_id: Option<String>,
    pub tool: String,
    /// `function`, `custom` or `built_in`.
    pub kind: String,
    /// Always null: tools are the client's, or the provider's.
    pub server_url: Option<String>,
    /// The arguments as text, usually JSON; null if content is not recorded.
    pub input: Option<String>,
    /// The text was cut.
    #[serde(default)]
    pub is_cut: bool,
    /// Always false: no tools are added to requests.
    #[serde(default)]
    pub injected: bool,
    pub invocation_error: Option<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub created_at: Time,
}

/// Text in which the model reasoned or commented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelThought {
    pub interception_id: Uuid,
    pub content: String,
    /// The text was cut.
    #[serde(default)]
    pub is_cut: bool,
    /// `source` is `thinking`, `reasoning_summary` or `commentary`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub created_at: Time,
}

// === impl Interception ===

impl Interception {
    /// The beginning of what was asked, if it was recorded.
    pub fn prompt(&self) -> Option<&str> {
        self.user_prompts.first().map(|prompt| prompt.prompt.as_str())
    }
}
