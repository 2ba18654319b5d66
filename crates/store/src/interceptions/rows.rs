//! Rows of interceptions and their children as the database returns them, and how they become values.

use gateway_core::Timestamp;
use gateway_core::interception::{Marks, TokenUsage, ToolUsage};
use sqlx::FromRow;

use super::model::{Interception, Thought};
use crate::error::StoreError;
use crate::rows::{bad_row, value};

const INTERCEPTIONS: &str = "aibridge_interceptions";
const USAGES: &str = "aibridge_token_usages";
const TOOLS: &str = "aibridge_tool_usages";

/// The columns of [`InterceptionRow`], of `i`.
macro_rules! interception_columns {
    () => {
        "i.id, i.initiator_id, i.initiator_username, i.api_key_id, i.provider, i.provider_name, i.route, i.model, \
         i.answered_model, i.client, i.client_version, i.user_agent, i.client_session_id, i.session_id, \
         i.thread_parent_id, i.thread_root_id, i.credential_kind, i.credential_hint, i.is_streamed, i.started_at, \
         i.first_byte_at, i.ended_at, i.outcome, i.status, i.provider_response_id, i.stop_reason, i.error_type, i.error_message, i.marks"
    };
}
pub(super) use interception_columns;

#[derive(FromRow)]
pub(super) struct InterceptionRow {
    pub(super) id: String,
    initiator_id: String,
    initiator_username: String,
    api_key_id: String,
    provider: String,
    provider_name: String,
    route: String,
    model: String,
    answered_model: Option<String>,
    client: String,
    client_version: Option<String>,
    user_agent: Option<String>,
    client_session_id: Option<String>,
    session_id: String,
    thread_parent_id: Option<String>,
    thread_root_id: Option<String>,
    credential_kind: String,
    credential_hint: String,
    is_streamed: bool,
    started_at: i64,
    first_byte_at: Option<i64>,
    ended_at: Option<i64>,
    outcome: Option<String>,
    status: Option<i64>,
    provider_response_id: Option<String>,
    stop_reason: Option<String>,
    error_type: Option<String>,
    error_message: Option<String>,
    marks: i64,
}

#[derive(FromRow)]
pub(super) struct PromptRow {
    pub(super) interception_id: String,
    pub(super) prompt: String,
}

#[derive(FromRow)]
pub(super) struct UsageRow {
    pub(super) interception_id: String,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_input_tokens: i64,
    cache_write_input_tokens: i64,
    reasoning_tokens: Option<i64>,
    service_tier: Option<String>,
    metadata: String,
    is_partial: bool,
}

#[derive(FromRow)]
pub(super) struct ToolRow {
    pub(super) interception_id: String,
    ordinal: i64,
    provider_response_id: Option<String>,
    provider_tool_call_id: Option<String>,
    provider_item_id: Option<String>,
    tool: String,
    kind: String,
    input: Option<String>,
    is_cut: bool,
    created_at: i64,
}

#[derive(FromRow)]
pub(super) struct ThoughtRow {
    pub(super) interception_id: String,
    source: String,
    content: String,
    is_cut: bool,
    created_at: i64,
}

/// How many bytes of text belong to an interception.
#[derive(FromRow)]
pub(super) struct SizeRow {
    pub(super) interception_id: String,
    pub(super) bytes: i64,
}

/// A number that is never stored below zero.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl TryFrom<InterceptionRow> for Interception {
    type Error = StoreError;

    /// Without children.
    fn try_from(row: InterceptionRow) -> Result<Self, StoreError> {
        let (table, id) = (INTERCEPTIONS, row.id.as_str());
        let other = |column, text: &Option<String>| {
            text.as_deref()
                .map(|text| value(table, column, id, text))
                .transpose()
        };
        let status = row.status.map(u16::try_from).transpose();
        let outcome = row
            .outcome
            .as_deref()
            .map(|word| value(table, "outcome", id, word));
        Ok(Self {
            id: value(table, "id", id, id)?,
            initiator_id: value(table, "initiator_id", id, &row.initiator_id)?,
            token_id: value(table, "api_key_id", id, &row.api_key_id)?,
            provider: value(table, "provider", id, &row.provider)?,
            thread_parent_id: other("thread_parent_id", &row.thread_parent_id)?,
            thread_root_id: other("thread_root_id", &row.thread_root_id)?,
            credential_kind: value(table, "credential_kind", id, &row.credential_kind)?,
            outcome: outcome.transpose()?,
            status: status.map_err(|error| bad_row(table, "status", id, error))?,
            marks: Marks::from_bits(
                u32::try_from(row.marks).map_err(|error| bad_row(table, "marks", id, error))?,
            ),
            initiator_username: row.initiator_username,
            provider_name: row.provider_name,
            route: row.route,
            model: row.model,
            answered_model: row.answered_model,
            client: row.client,
            client_version: row.client_version,
            user_agent: row.user_agent,
            client_session_id: row.client_session_id,
            session_id: row.session_id,
            credential_hint: row.credential_hint,
            is_streamed: row.is_streamed,
            started_at: Timestamp::from_micros(row.started_at),
            first_byte_at: row.first_byte_at.map(Timestamp::from_micros),
            ended_at: row.ended_at.map(Timestamp::from_micros),
            provider_response_id: row.provider_response_id,
            stop_reason: row.stop_reason,
            error_type: row.error_type,
            error_message: row.error_message,
            prompt: None,
            usage: None,
            tools: Vec::new(),
            thoughts: Vec::new(),
        })
    }
}

impl TryFrom<UsageRow> for TokenUsage {
    type Error = StoreError;

    fn try_from(row: UsageRow) -> Result<Self, StoreError> {
        let extra: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&row.metadata)
            .map_err(|error| bad_row(USAGES, "metadata", &row.interception_id, error))?;
        Ok(Self {
            input: unsigned(row.input_tokens),
            output: unsigned(row.output_tokens),
            cache_read_input: unsigned(row.cache_read_input_tokens),
            cache_write_input: unsigned(row.cache_write_input_tokens),
            reasoning: row.reasoning_tokens.map(unsigned),
            service_tier: row.service_tier,
            // Whatever else a later version puts there is none of the counters.
            extra: extra
                .into_iter()
                .filter_map(|(name, count)| Some((name, count.as_u64()?)))
                .collect(),
            is_partial: row.is_partial,
        })
    }
}

impl TryFrom<ToolRow> for ToolUsage {
    type Error = StoreError;

    fn try_from(row: ToolRow) -> Result<Self, StoreError> {
        let id = row.interception_id.as_str();
        Ok(Self {
            ordinal: u32::try_from(row.ordinal).map_err(|error| bad_row(TOOLS, "ordinal", id, error))?,
            kind: value(TOOLS, "kind", id, &row.kind)?,
            provider_response_id: row.provider_response_id,
            provider_tool_call_id: row.provider_tool_call_id,
            provider_item_id: row.provider_item_id,
            tool: row.tool,
            input: row.input,
            is_cut: row.is_cut,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

impl From<ThoughtRow> for Thought {
    fn from(row: ThoughtRow) -> Self {
        Self {
            source: row.source,
            content: row.content,
            is_cut: row.is_cut,
            created_at: Timestamp::from_micros(row.created_at),
        }
    }
}
