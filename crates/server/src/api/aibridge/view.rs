//! From what the store returns to what the API shows.

use gateway_api_types as api;
use gateway_api_types::{AgenticAction, AiSession, AiSessionHead, AiThread, Initiator, Metadata, TokenSums};
use gateway_core::interception::{self as core, Mark};
use gateway_core::{Timestamp, UserId};
use gateway_store::{Interception, SessionSummary, Thought, Thread, UsageRow};
use serde_json::Value;
use uuid::Uuid;

use crate::service::records::Names;

pub(super) fn initiator(id: UserId, username: String, names: &Names) -> Initiator {
    Initiator {
        id: id.as_uuid(),
        username,
        name: names.of(id),
    }
}

pub(super) fn interception(found: Interception, names: &Names) -> api::Interception {
    let id = found.id.as_uuid();
    let response_id = found.provider_response_id;
    let ended_at = found.ended_at.unwrap_or(found.started_at);
    let usages = found
        .usage
        .map(|usage| token_usage(id, usage, response_id.clone(), ended_at));
    let prompts = found.prompt.map(|prompt| api::UserPrompt {
        id: child(id, 0),
        interception_id: id,
        provider_response_id: response_id.clone(),
        prompt,
        metadata: Metadata::new(),
        created_at: found.started_at.into(),
    });
    api::Interception {
        id,
        initiator: initiator(found.initiator_id, found.initiator_username, names),
        initiator_id: found.initiator_id.as_uuid(),
        api_key_id: found.token_id.to_string(),
        provider: found.provider.to_string(),
        provider_name: found.provider_name,
        model: found.model,
        answered_model: found.answered_model,
        route: found.route,
        metadata: Metadata::new(),
        started_at: found.started_at.into(),
        first_byte_at: found.first_byte_at.map(Into::into),
        ended_at: found.ended_at.map(Into::into),
        client: found.client,
        client_version: found.client_version,
        user_agent: found.user_agent,
        client_session_id: found.client_session_id,
        session_id: found.session_id,
        thread_parent_id: found.thread_parent_id.map(gateway_core::InterceptionId::as_uuid),
        thread_root_id: found.thread_root_id.map(gateway_core::InterceptionId::as_uuid),
        credential_kind: found.credential_kind.to_string(),
        credential_hint: found.credential_hint,
        is_streamed: found.is_streamed,
        status: found.status,
        outcome: found.outcome.map(|outcome| outcome.to_string()),
        stop_reason: found.stop_reason,
        error_type: found.error_type,
        error_message: found.error_message,
        provider_response_id: response_id,
        observation_incomplete: found.marks.contains(Mark::ObservationIncomplete),
        marks: found.marks.iter().map(|mark| mark.to_string()).collect(),
        token_usages: usages.into_iter().collect(),
        user_prompts: prompts.into_iter().collect(),
        tool_usages: found.tools.into_iter().map(|tool| tool_usage(id, tool)).collect(),
        model_thoughts: found
            .thoughts
            .into_iter()
            .map(|thought| model_thought(id, thought))
            .collect(),
    }
}

fn token_usage(
    id: Uuid,
    usage: core::TokenUsage,
    provider_response_id: Option<String>,
    created_at: Timestamp,
) -> api::TokenUsage {
    api::TokenUsage {
        id: child(id, 0),
        interception_id: id,
        provider_response_id,
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_input_tokens: usage.cache_read_input,
        cache_write_input_tokens: usage.cache_write_input,
        reasoning_tokens: usage.reasoning,
        service_tier: usage.service_tier,
        is_partial: usage.is_partial,
        metadata: usage
            .extra
            .into_iter()
            .map(|(name, count)| (name, Value::from(count)))
            .collect(),
        created_at: created_at.into(),
    }
}

fn tool_usage(id: Uuid, tool: core::ToolUsage) -> api::ToolUsage {
    api::ToolUsage {
        id: child(id, tool.ordinal),
        interception_id: id,
        provider_response_id: tool.provider_response_id,
        provider_tool_call_id: tool.provider_tool_call_id,
        provider_item_id: tool.provider_item_id,
        tool: tool.tool,
        kind: tool.kind.to_string(),
        server_url: None,
        input: tool.input,
        is_cut: tool.is_cut,
        injected: false,
        invocation_error: None,
        metadata: Metadata::new(),
        created_at: tool.created_at.into(),
    }
}

fn model_thought(id: Uuid, thought: Thought) -> api::ModelThought {
    api::ModelThought {
        interception_id: id,
        content: thought.content,
        is_cut: thought.is_cut,
        metadata: Metadata::from([("source".to_owned(), Value::from(thought.source))]),
        created_at: thought.created_at.into(),
    }
}

/// Children are stored by the id of their interception and their place in it; those who want an id of their own get
/// the interception's, moved on by the place. It is the same each time, and unique among those of one kind: the low
/// bits of ids of one millisecond are random.
fn child(interception: Uuid, place: u32) -> Uuid {
    Uuid::from_u128(interception.as_u128().wrapping_add(place.into()))
}

// === Sessions ===

pub(super) fn session(found: SessionSummary, names: &Names) -> AiSession {
    AiSession {
        threads: found.threads,
        head: session_head(found, names),
    }
}

pub(super) fn session_head(found: SessionSummary, names: &Names) -> AiSessionHead {
    AiSessionHead {
        id: found.id.as_uuid(),
        session_id: found.session_id,
        initiator: initiator(found.initiator_id, found.initiator_username, names),
        client: found.client,
        providers: found.providers,
        models: found.models,
        started_at: found.started_at.into(),
        ended_at: found.ended_at.map(Into::into),
        last_active_at: found.last_active_at.into(),
        last_prompt: found.last_prompt,
        interceptions: found.interceptions,
        token_usage_summary: sums(&found.tokens),
        metadata: Metadata::new(),
    }
}

/// None if all of it has been removed for its age meanwhile.
pub(super) fn thread(found: Thread) -> Option<AiThread> {
    let first = found.interceptions.first()?;
    let last = found.interceptions.last()?;
    let is_open = found.interceptions.iter().any(|one| one.ended_at.is_none());
    let ended_at = found.interceptions.iter().filter_map(|one| one.ended_at).max();
    let mut thread = AiThread {
        id: found.id.as_uuid(),
        prompt: found.interceptions.iter().find_map(|one| one.prompt.clone()),
        provider: first.provider.to_string(),
        provider_name: first.provider_name.clone(),
        model: first.model.clone(),
        credential_kind: first.credential_kind.to_string(),
        credential_hint: first.credential_hint.clone(),
        started_at: first.started_at.into(),
        ended_at: ended_at.filter(|_| !is_open).map(Into::into),
        token_usage: TokenSums::default(),
        error_type: last.error_type.clone(),
        error_message: last.error_message.clone(),
        is_cut: found.is_cut,
        agentic_actions: Vec::new(),
    };
    for one in found.interceptions {
        let action = action(one);
        thread.token_usage += action.token_usage;
        thread.agentic_actions.push(action);
    }
    Some(thread)
}

fn action(found: Interception) -> AgenticAction {
    let id = found.id.as_uuid();
    AgenticAction {
        interception_id: id,
        model: found.model,
        started_at: found.started_at.into(),
        ended_at: found.ended_at.map(Into::into),
        outcome: found.outcome.map(|outcome| outcome.to_string()),
        thinking: found
            .thoughts
            .into_iter()
            .map(|thought| api::Thinking {
                text: thought.content,
            })
            .collect(),
        token_usage: found.usage.map(|usage| used(&usage)).unwrap_or_default(),
        tool_calls: found.tools.into_iter().map(|tool| tool_usage(id, tool)).collect(),
    }
}

fn used(usage: &core::TokenUsage) -> TokenSums {
    TokenSums {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_input_tokens: usage.cache_read_input,
        cache_write_input_tokens: usage.cache_write_input,
        reasoning_tokens: usage.reasoning.unwrap_or(0),
    }
}

fn sums(tokens: &gateway_store::TokenSums) -> TokenSums {
    TokenSums {
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cache_read_input_tokens: tokens.cache_read_input,
        cache_write_input_tokens: tokens.cache_write_input,
        reasoning_tokens: tokens.reasoning,
    }
}

// === Usage ===

pub(super) fn usage(row: UsageRow, names: &Names) -> api::Usage {
    let username = row.initiator_username.unwrap_or_default();
    api::Usage {
        // A time begins with its day.
        day: row
            .day
            .map(|day| api::Time::from(day).to_string().chars().take(10).collect()),
        initiator: row.initiator_id.map(|id| initiator(id, username, names)),
        provider_name: row.provider_name,
        model: row.model,
        client: row.client,
        requests: row.requests,
        errors: row.errors,
        tokens: sums(&row.tokens),
        first_byte_ms: row
            .first_byte_micros
            .checked_div(row.first_bytes)
            .map(|micros| micros.div_ceil(1000)),
    }
}
