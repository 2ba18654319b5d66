//! What is kept of a record that the database refuses.

use gateway_core::InterceptionId;
use gateway_core::interception::{End, Entry, Mark, Record, Start, TokenUsage, ToolUsage};

use super::batch::{ManyRows, WriteRows, Writer};
use crate::fault::Fault;

static MARK: WriteRows = WriteRows::new(
    ManyRows::new(
        "UPDATE aibridge_interceptions AS i SET marks = i.marks | v.column2 FROM ",
        2,
        " WHERE i.id = v.column1",
    ),
    &["UPDATE aibridge_interceptions SET marks = marks | ?2 WHERE id = ?1"],
);

/// The client of which nothing is known.
const UNKNOWN_CLIENT: &str = "Unknown";

/// The record without any text that came from outside. What is left has a fixed form, or is in the database already.
pub(super) fn stripped(record: &Record) -> Record {
    let entry = match &record.entry {
        Entry::Start(start) => Entry::Start(Box::new(stripped_start(start))),
        Entry::Tool(tool) => Entry::Tool(Box::new(ToolUsage {
            ordinal: tool.ordinal,
            provider_response_id: None,
            provider_tool_call_id: None,
            provider_item_id: None,
            tool: String::new(),
            kind: tool.kind,
            input: None,
            is_cut: true,
            created_at: tool.created_at,
        })),
        Entry::End(end) => Entry::End(Box::new(stripped_end(end))),
    };
    Record {
        id: record.id,
        initiator_id: record.initiator_id,
        entry,
    }
}

fn stripped_start(start: &Start) -> Start {
    let mut marks = start.marks;
    marks.insert(Mark::Unrecordable);
    Start {
        initiator_username: start.initiator_username.clone(),
        token_id: start.token_id,
        provider: start.provider,
        provider_name: start.provider_name.clone(),
        route: start.route,
        model: String::new(),
        client: UNKNOWN_CLIENT.to_owned(),
        client_version: None,
        user_agent: None,
        client_session_id: None,
        correlating_tool_call_id: None,
        credential_kind: start.credential_kind,
        credential_hint: String::new(),
        is_streamed: start.is_streamed,
        prompt: None,
        started_at: start.started_at,
        marks,
    }
}

fn stripped_end(end: &End) -> End {
    let mut marks = end.marks;
    marks.insert(Mark::Unrecordable);
    End {
        outcome: end.outcome,
        status: end.status,
        answered_model: None,
        provider_response_id: None,
        stop_reason: None,
        error_type: None,
        error_message: None,
        usage: end.usage.as_ref().map(|usage| TokenUsage {
            service_tier: None,
            extra: Vec::new(),
            ..usage.clone()
        }),
        thoughts: Vec::new(),
        ended_at: end.ended_at,
        marks,
    }
}

/// Marks the interception, whichever of its records it was.
pub(super) async fn mark(writer: &mut impl Writer, id: InterceptionId) -> Result<(), Fault> {
    let mark: gateway_core::interception::Marks = [Mark::Unrecordable].into_iter().collect();
    let row = [id.to_string().into(), i64::from(mark.bits()).into()];
    writer.write(&MARK, &row).await
}
